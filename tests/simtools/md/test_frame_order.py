"""Atoms that changed places in the list are refused; ions that hop far between sparse frames are not."""

import numpy as np
import pytest

from simtools.core.errors import ConfigError
from simtools.md.frame_checks import check_order
from simtools.md.readers import load_trajectory
from simtools.md.unwrapping import Unwrapper
from simtools.testing import vacancy_walk
from tests.simtools.md import foreign_files as files


def check(trajectory, paths_A):
    """Run the check over all frames of wrapped `paths_A`."""
    unwrapper, before = Unwrapper(trajectory.cells_A), None
    for frame, fractions in enumerate(paths_A @ np.linalg.inv(trajectory.cells_A)):
        _, steps_A = unwrapper.unwrap(fractions, trajectory.cells_A, whole=True)
        if before is not None:
            place = ("run.dump", frame)
            check_order(
                place, trajectory.species, before, fractions, steps_A, trajectory.cells_A, unwrapper.reduction
            )
        before = fractions


@pytest.mark.parametrize(("n_vacancies", "interval_ps"), [(1, 100.0), (6, 2.0), (6, 10.0), (20, 10.0)])
def test_vacancies_that_make_many_hops_between_frames_are_no_exchange(n_vacancies, interval_ps):
    walk = vacancy_walk(
        150,
        seed=4,
        n_vacancies=n_vacancies,
        hop_rate_per_ps=0.1,
        rattle_A=0.15,
        frame_interval_ps=interval_ps,
    )
    steps_A = np.linalg.norm(np.diff(walk.positions_A, axis=0), axis=-1)
    assert steps_A.max() > 4.0
    check(walk, walk.positions_A)


@pytest.mark.parametrize("n_exchanged", [2, 3, 40, 186])
def test_atoms_that_change_places_in_the_list_are_named(n_exchanged):
    walk = vacancy_walk(40, seed=1, n_vacancies=6, hop_rate_per_ps=0.02, rattle_A=0.15, frame_interval_ps=0.1)
    paths_A = walk.positions_A.copy()
    chosen = np.random.default_rng(3).permutation(len(walk.species))[:n_exchanged]
    paths_A[25:, chosen] = paths_A[25:, np.roll(chosen, 1)]
    with pytest.raises(ConfigError, match=r"run.dump, frame 25: atoms are in another order: atom \d+ \(Li\)"):
        check(walk, paths_A)


@pytest.mark.parametrize("writer", [files.write_extxyz, files.write_xtc, files.write_dump])
def test_wrapped_positions_said_to_be_unwrapped_are_refused_for_what_they_are(tmp_path, writer):
    """Not for a changed order: each atom that jumped is where it was itself, one cell away."""
    truth = files.walk(60)
    path = writer(tmp_path / ("a.xtc" if writer is files.write_xtc else "a.xyz"), truth)
    options = {"frame_interval_ps": files.INTERVAL_PS, "species": files.SPECIES}
    moved = np.abs(np.diff(truth.wrapped_s, axis=0)).max(axis=-1) > 0.5
    frame, atom = np.argwhere(moved)[0]
    said = rf"frame {frame + 1}: atom {atom + 1} \(\w+\) jumps .* lattice vector .* these are wrapped; leave"
    with pytest.raises(ConfigError, match=said):
        load_trajectory(path, coordinates="unwrapped", **options)
    load_trajectory(path, **options)


@pytest.mark.parametrize("step_A", [0.5, 1.0, 2.0, 3.0, 4.0])
def test_unwrapped_walks_are_not_taken_for_wrapped_however_far_they_step(tmp_path, step_A):
    for seed in range(5):
        truth = files.walk(40, step_A=step_A, seed=seed)
        path = files.write_extxyz(tmp_path / "a.xyz", files.UnfoldedWalk(truth.whole_s, truth.cells_A))
        found = load_trajectory(
            path, coordinates="unwrapped", frame_interval_ps=files.INTERVAL_PS, species=files.SPECIES
        )
        np.testing.assert_allclose(found.positions_A, truth.paths_A, atol=1e-9)
