from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simtools.analysers.tracer_tensor import analyse_tracer_tensor
from simtools.analysers.transport import analyse_transport
from simtools.analysers.trapping import Escapes, vacancy_paths
from simtools.md.trajectory import LatticeSites
from simtools.testing import vacancy_walk
from tests.circling import LATTICE_PARAMETER_A, circling_vacancies

HOP = LATTICE_PARAMETER_A / np.sqrt(2)
QUANTITIES = ("tracer_diffusivity_cm2_per_s", "charge_diffusivity_cm2_per_s")


def walk(n_frames, seed, **options):
    settings = {"n_vacancies": 2, "hop_rate_per_ps": 0.15, "frame_interval_ps": 0.05, "rattle_A": 0.15}
    return vacancy_walk(n_frames, seed=seed, temperature_K=800, **{**settings, **options})


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("duration_ps", "n_replicas", "n_pairs"), [(20, 2, 1), (20, 2, 5), (40, 2, 5), (100, 2, 5), (100, 4, 2)]
)
def test_vacancies_that_circle_their_partner_do_not_diffuse(duration_ps, n_replicas, n_pairs, seed):
    replicas = [
        circling_vacancies(20 * duration_ps, seed=(seed, number), n_pairs=n_pairs)
        for number in range(n_replicas)
    ]
    result = analyse_transport(replicas, species="Li", hop_length_A=HOP)
    assert result.n_hops > 20
    assert result.n_escapes == 0
    for name in QUANTITIES:
        assert getattr(result, name).is_limit
        assert "bound or trapped" in getattr(result, name).method
    assert "bound or trapped" in result.warnings[0]


@pytest.mark.parametrize("seed", range(6))
def test_dilute_vacancies_that_walk_diffuse_even_in_short_runs(seed):
    replicas = [walk(400, np.random.SeedSequence([seed, number])) for number in range(2)]
    result = analyse_transport(replicas, species="Li", hop_length_A=HOP)
    assert result.n_escapes >= 3
    assert not result.tracer_diffusivity_cm2_per_s.is_limit


def test_the_limit_of_a_short_walk_lies_above_its_diffusivity():
    rate, below = 0.15 / 8, 0
    truth = 0.7 * 8 * rate * HOP**2 / 6 * 2 / 190 * 1e-4
    for seed in range(30):
        replicas = [walk(400, np.random.SeedSequence([seed, i]), hop_rate_per_ps=rate) for i in range(2)]
        tracer = analyse_transport(replicas, species="Li", hop_length_A=HOP).tracer_diffusivity_cm2_per_s
        below += (tracer.upper_limit if tracer.is_limit else tracer.ci95[1]) < truth
    assert below <= 4


def test_few_escapes_do_not_excuse_much_circling():
    circling = Escapes(n_vacancies=10, n_escapes=2, n_far_ions=0, length_A=6.0)
    assert circling.verdict(travelled_A2=100 * 36.0)
    assert not circling.verdict(travelled_A2=5 * 36.0)


def test_without_lattice_sites_circling_is_not_excluded_and_said():
    circling = circling_vacancies(2000, seed=1, n_pairs=5)
    unknown = [type(circling)(**{**vars(circling), "lattice_sites": None})]
    result = analyse_transport(unknown, species="Li", hop_length_A=HOP)
    assert result.n_escapes is None
    doubt = any("cannot be told from diffusion" in note for note in result.warnings)
    assert result.tracer_diffusivity_cm2_per_s.is_limit or doubt


def test_vacancies_are_followed_across_the_faces_of_the_cell():
    trajectory = walk(3000, 4, n_vacancies=3, hop_rate_per_ps=0.2)
    r_tvc, spacing_A = vacancy_paths(trajectory, species="Li")
    assert spacing_A == pytest.approx(HOP)
    steps = np.linalg.norm(np.diff(r_tvc, axis=0), axis=-1)
    assert steps.max() < 2.01 * HOP
    assert np.ptp(r_tvc[..., 0]) > 1.5 * LATTICE_PARAMETER_A
    ions = (trajectory.positions_A[-1] - trajectory.positions_A[0]).sum(axis=0)
    assert_allclose((r_tvc[-1] - r_tvc[0]).sum(axis=0), -ions, atol=0.2 * np.sqrt(2 * 189) * 3)


def test_the_tensor_of_vacancies_that_circle_is_a_limit_like_their_diffusivity():
    replicas = [circling_vacancies(1000, seed=(5, number), n_pairs=3) for number in range(2)]
    scalar = analyse_transport(replicas, species="Li", hop_length_A=HOP).tracer_diffusivity_cm2_per_s
    tensor = analyse_tracer_tensor(replicas, species="Li", hop_length_A=HOP)
    assert scalar.is_limit
    assert tensor.mean_cm2_per_s.is_limit
    assert "bound or trapped" in tensor.mean_cm2_per_s.method
    assert tensor.mean_cm2_per_s.upper_limit == pytest.approx(scalar.upper_limit, rel=1e-6)
    for name in ("xx", "yy", "zz"):
        assert tensor.components_cm2_per_s[name].is_limit


def test_vacancies_are_followed_alike_in_any_basis_of_the_lattice():
    trajectory = walk(600, 4, n_vacancies=3, hop_rate_per_ps=0.2)
    turn = np.array([[1, 0, 0], [6, 1, 0], [-7, 9, 1]])
    skewed = replace(
        trajectory,
        cells_A=turn @ trajectory.cells_A,
        lattice_sites=LatticeSites(
            trajectory.lattice_sites.scaled_positions @ np.linalg.inv(turn), trajectory.lattice_sites.species
        ),
    )
    for one, other in zip(
        vacancy_paths(trajectory, species="Li"), vacancy_paths(skewed, species="Li"), strict=True
    ):
        assert_allclose(np.diff(other, axis=0) if np.ndim(other) else other,
                        np.diff(one, axis=0) if np.ndim(one) else one, atol=1e-9)  # fmt: skip
