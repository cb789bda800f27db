"""What a run says about its engine and its cost."""

from dataclasses import dataclass, field

import pytest

from workflows.cost import cost_lines, cost_of, engine_sentence, total_core_hours

ENGINE = {
    "path": "fast path: pair tables and particle mesh",
    "threads": 2,
    "coulomb_cutoff_A": 8.0,
    "mesh_shape": [18, 18, 20],
    "mesh_order": 8,
    "accuracy": 1e-4,
    "self_check": {"relative_rms_force_error": 2.7e-5},
}


@dataclass
class Point:
    outcome: dict | None
    spec: dict = field(default_factory=lambda: {"inputs": {"md": {"timestep_fs": 2.0}}})


@dataclass
class Run:
    points: list


def point(n_steps=1800, wall_s=3.6, **engine):
    return Point({"n_steps": n_steps, "wall_s": wall_s, "engine": {**ENGINE, **engine}})


def test_cost_of_a_point_is_its_wall_time_on_its_threads():
    cost = cost_of(point())
    assert cost.ms_per_step == pytest.approx(2.0)
    assert cost.ns_per_day == pytest.approx(86400 / 2e-3 * 2e-6)
    assert cost.core_hours == pytest.approx(2 * 3.6 / 3600)
    assert cost_of(Point(None)) is None
    assert cost_of(Point({"n_steps": 10, "wall_s": 1.0}, spec={})).ns_per_day is None


def test_cost_of_a_point_in_lammps_counts_its_ranks_and_is_told():
    settings = {
        "engine": "LAMMPS 22 Jul 2025",
        "mpi_ranks": 4,
        "accuracy": 1e-4,
        "pair_cutoff_A": 10.0,
        "self_check": {"relative_rms_force_error": 2.5e-5, "mesh_shape": [15, 15, 16], "mesh_order": 7},
    }
    run = Run([Point({"n_steps": 1800, "wall_s": 3.6, "engine": settings})])
    assert total_core_hours(run) == pytest.approx(4 * 3.6 / 3600)
    engine, _ = cost_lines(run)
    assert engine == (
        "engine: LAMMPS 22 Jul 2025 on 4 MPI ranks; cutoff 10 Å, mesh 15 x 15 x 16, order 7; "
        "relative RMS force error 2.5e-05 measured, 1e-04 asked for"
    )


def test_a_run_says_engine_and_cost_in_two_lines():
    run = Run([point(), Point(None), point(n_steps=5400, wall_s=7.2)])
    engine, cost = cost_lines(run)
    assert engine == (
        "engine: fast path: pair tables and particle mesh; cutoff 8 Å, mesh 18 x 18 x 20, order 8; "
        "relative RMS force error 2.7e-05 measured, 1e-04 asked for"
    )
    assert cost.endswith("7200 steps in 2 points, 1.5 ms/step, 115 ns/day in one point")
    assert total_core_hours(run) == pytest.approx(2 * 10.8 / 3600)


def test_nothing_is_said_of_what_is_not_known():
    assert cost_lines(Run([])) == []
    assert total_core_hours(Run([Point(None)])) is None
    assert engine_sentence({}) is None
    assert engine_sentence({"path": "fast path: pair tables", "accuracy": 1e-3}).endswith("1e-03 asked for")
