"""Vacancies and dumbbells followed through walks in which every one of them was planted."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simtools.analysers.defect_diffusion import DefectDiffusion, defect_diffusion
from simtools.analysers.defect_ledger import DUMBBELL, VACANCY, Ledger
from simtools.analysers.defect_tracks import DefectTracks, follow_defects
from simtools.core.errors import ConfigError, UnknownSpeciesError
from simtools.md.trajectory import LatticeSites, Trajectory
from simtools.testing import dumbbell_walk, vacancy_walk
from tests.circling import circling_vacancies

HOP = 3.9 / np.sqrt(2)


def row(x_tn, *, n_sites=6, interval_ps=0.1):
    """Return ions on a ring of sites 3 Å apart along x, given their places in units of that."""
    x_tn = np.asarray(x_tn, dtype=float)
    r_tnc = np.zeros((*x_tn.shape, 3))
    r_tnc[..., 0] = 3.0 * x_tn
    return Trajectory(
        positions_A=r_tnc,
        species=["Li"] * x_tn.shape[1],
        cells_A=np.diag([3.0 * n_sites, 12.0, 12.0]),
        frame_interval_ps=interval_ps,
        lattice_sites=LatticeSites(
            np.stack([np.arange(n_sites) / n_sites, *np.zeros((2, n_sites))], axis=1), ["Li"] * n_sites
        ),
    )


def at(*stretches):
    """Return places in time from pairs of (frames, places of all ions)."""
    return np.concatenate([np.tile(places, (n, 1)) for n, places in stretches])


@pytest.mark.parametrize("rattle_A", [0.0, 0.2])
@pytest.mark.parametrize("n_dumbbells", [1, 4])
def test_planted_dumbbells_are_found_with_their_sites_axes_and_jumps(n_dumbbells, rattle_A):
    walk = dumbbell_walk(1500, seed=3, n_dumbbells=n_dumbbells, rattle_A=rattle_A)
    tracks = follow_defects(walk, species="Li")
    assert tracks.kinds.tolist() == [DUMBBELL] * n_dumbbells
    assert not tracks.annihilated.any()
    assert set(tracks.first_sites) == set(walk.metadata["sites"][0])
    assert (tracks.n_dumbbells == n_dumbbells).all()
    assert (tracks.n_vacancies == 0).all()
    # two jumps within one frame, or back within 0.2 ps, do not show
    assert 0.93 * walk.metadata["n_jumps"] < len(tracks.jump_ps) <= walk.metadata["n_jumps"]
    assert np.quantile(np.linalg.norm(tracks.jump_vectors_A, axis=1), [0.0, 0.9]) == pytest.approx(HOP)
    assert (tracks.jump_ions == 1).all()
    assert_allclose(tracks.stay_separations_A.mean(), 0.7 * HOP, atol=0.06)
    if n_dumbbells == 1:
        middle = np.rint(tracks.stay_ps.mean(axis=1) / 0.1).astype(int)
        long = np.ptp(tracks.stay_ps, axis=1) > 1.0
        planted = walk.metadata["axes"][middle][:, 0]
        right = np.abs(tracks.stay_axes).argmax(axis=1) == planted
        assert right[long].mean() > 0.95
        assert tracks.stay_alignments[long].mean() > 0.93


def test_all_ions_together_move_by_what_the_dumbbell_moves():
    walk = dumbbell_walk(800, seed=5)
    tracks = follow_defects(walk, species="Li", shortest_stay_ps=0)
    ions = (walk.positions_A[-1] - walk.positions_A[0]).sum(axis=0)
    assert_allclose(tracks.jump_vectors_A.sum(axis=0), ions, atol=1e-6)


def test_a_vacancy_makes_the_jumps_of_the_ions_backwards():
    walk = vacancy_walk(
        2000, seed=1, n_vacancies=3, rattle_A=0.15, frame_interval_ps=0.05, hop_rate_per_ps=0.1
    )
    tracks = follow_defects(walk, species="Li", shortest_stay_ps=0)
    assert tracks.kinds.tolist() == [VACANCY] * 3
    assert len(tracks.jump_ps) == pytest.approx(walk.metadata["n_jumps"], rel=0.05)
    ions = (walk.positions_A[-1] - walk.positions_A[0]).sum(axis=0)
    assert_allclose(tracks.jump_vectors_A.sum(axis=0), -ions, atol=0.15 * 6 * np.sqrt(2 * 189))
    assert DefectTracks.from_json(tracks.to_json()).to_json() == tracks.to_json()


@pytest.mark.parametrize(("kind", "seed"), [(VACANCY, 1), (DUMBBELL, 2)])
def test_a_lone_defect_diffuses_with_its_rate_and_without_memory(kind, seed):
    make = {VACANCY: vacancy_walk, DUMBBELL: dumbbell_walk}[kind]
    runs = [
        make(3000, seed=(seed, i), **{"n_vacancies" if kind == VACANCY else "n_dumbbells": 1},
             supercell=(3, 3, 3), hop_rate_per_ps=0.02, frame_interval_ps=0.2)
        for i in range(6)
    ]  # fmt: skip
    result = defect_diffusion([follow_defects(run, species="Li") for run in runs], kind=kind)
    exact = 8 * 0.02 * HOP**2 / 6 * 1e-4
    assert result.n_replicas == result.n_defects == 6
    assert result.mean_number == 1.0
    low, high = result.diffusivity_cm2_per_s.ci95
    assert low < exact < high < 2 * low
    low, high = result.jump_rate.ci95
    assert 0.95 * low < 8 * 0.02 < high
    assert result.correlation_factor.value == pytest.approx(1.0, abs=3 * result.correlation_factor.stderr)
    assert result.annihilation_rate.is_limit
    assert result.annihilation_rate.upper_limit == pytest.approx(3.0 / 3599, rel=2e-3)
    assert DefectDiffusion.from_json(result.to_json()).to_json() == result.to_json()


def test_the_intervals_of_the_defects_diffusivity_cover():
    exact, hits = 8 * 0.05 * HOP**2 / 6 * 1e-4, 0
    for seed in range(40):
        walk = vacancy_walk(1500, seed=seed, n_vacancies=1, supercell=(2, 2, 2), frame_interval_ps=0.2)
        low, high = defect_diffusion(
            follow_defects(walk, species="Li"), kind=VACANCY
        ).diffusivity_cm2_per_s.ci95
        hits += low < exact < high
    assert hits >= 34


def test_a_frenkel_pair_is_born_and_dies():
    path = at((10, [0, 1, 2, 3, 4, 5]), (10, [0.8, 1.2, 2, 3, 4, 5]), (10, [1, 1.8, 2.2, 3, 4, 5]),
              (20, [1, 0, 2, 3, 4, 5]))  # fmt: skip
    tracks = follow_defects(row(path), species="Li")
    assert tracks.kinds.tolist() == [VACANCY, DUMBBELL]
    assert_allclose(tracks.born_ps, 1.0)
    assert_allclose(tracks.gone_ps, [3.0, 3.0])
    assert tracks.annihilated.all()
    assert (tracks.n_pairs_created, tracks.n_pairs_annihilated) == (1, 1)
    assert tracks.n_vacancies[[9, 10, 29, 30]].tolist() == [0, 1, 1, 0]
    (stay, other) = tracks.stay_ps
    assert_allclose([stay, other], [[1.0, 1.9], [2.0, 2.9]])
    assert_allclose(np.abs(tracks.stay_axes), [[1, 0, 0]] * 2)
    assert_allclose(tracks.stay_separations_A, 1.2)


def test_three_ions_that_follow_each_other_at_once_are_one_jump_of_the_vacancy():
    # 3 -> 4 last although it makes room: on the way there are, for 0.2 ps, a dumbbell and a second vacancy
    path = at((10, [1, 2, 3, 5, 6]), (1, [2, 2, 3, 5, 6]), (1, [2, 3, 3, 5, 6]), (20, [2, 3, 4, 5, 6]))
    tracks = follow_defects(row(path), species="Li", shortest_stay_ps=0.3)
    assert tracks.kinds.tolist() == [VACANCY]
    assert tracks.n_concerted == 1
    assert tracks.jump_ions.tolist() == [3]
    assert_allclose(tracks.jump_vectors_A, [[-9.0, 0, 0]])
    assert (tracks.jump_from[0], tracks.jump_to[0]) == (4, 1)
    assert tracks.n_pairs_created == 0


def test_an_ion_pushed_out_of_the_row_ahead_is_one_jump_of_the_dumbbell():
    # the dumbbell on 0; the ion on 1 leaves for 2 first, which opens a vacancy that the dumbbell fills
    path = at((10, [-0.2, 0.2, 1, 2, 3, 4, 5]), (1, [-0.2, 0.2, 1.8, 2.2, 3, 4, 5]),
              (20, [0, 1, 1.8, 2.2, 3, 4, 5]))  # fmt: skip
    tracks = follow_defects(row(path), species="Li")
    assert tracks.kinds.tolist() == [DUMBBELL]
    assert_allclose(tracks.jump_vectors_A, [[6.0, 0, 0]])
    assert tracks.jump_ions.tolist() == [2]
    assert tracks.n_pairs_created == 0


def test_ions_that_change_places_in_a_ring_leave_no_defects():
    path = at((10, [0, 1, 2, 3, 4, 5]), (20, [1, 2, 3, 4, 5, 6]))
    tracks = follow_defects(row(path), species="Li")
    assert len(tracks.kinds) == 0
    assert tracks.n_transient_pairs == 1
    assert (tracks.n_vacancies == 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_whatever_ions_do_vacancies_less_dumbbells_are_sites_less_ions(seed):
    rng = np.random.default_rng(seed)
    n_sites, n_ions = 12, int(rng.integers(9, 16))
    site_n = rng.integers(n_sites, size=n_ions)
    ledger = Ledger(np.bincount(site_n, minlength=n_sites), 5)
    for frame in range(1, 300):
        jumps = []
        for ion in rng.permutation(n_ions)[: rng.integers(0, 4)]:
            to = int(rng.integers(n_sites))
            if to != site_n[ion]:
                jumps.append((int(site_n[ion]), to, np.array([float(to - site_n[ion]), 0, 0])))
                site_n[ion] = to
        ledger.jumps_of_frame(frame, jumps)
        occupancy = np.bincount(site_n, minlength=n_sites)
        alive = [item for item in ledger.records if item.died is None]
        vacant = sorted(item.site for item in alive if item.kind == VACANCY)
        excess = sorted(item.site for item in alive if item.kind == DUMBBELL)
        assert vacant == np.flatnonzero(occupancy == 0).tolist()
        assert excess == np.repeat(np.arange(n_sites), np.maximum(occupancy - 1, 0)).tolist()
    for item in ledger.records:
        assert item.first_site + np.sum([move[3][0] for move in item.moves]) == item.site


def test_what_cannot_be_followed_is_refused_and_stillness_gives_limits():
    still = follow_defects(row(at((50, [0, 1, 2]))), species="Li")
    result = defect_diffusion(still, kind=VACANCY)
    assert result.jump_rate.is_limit
    assert result.jump_rate.upper_limit == pytest.approx(2.9957 / (3 * 4.9), rel=1e-3)
    assert result.diffusivity_cm2_per_s.upper_limit == pytest.approx(2.9957 / 14.7 * 9 / 6 * 1e-4, rel=1e-3)
    assert result.correlation_factor is None
    with pytest.raises(ConfigError, match="no dumbbell of Li"):
        defect_diffusion(still, kind=DUMBBELL)
    with pytest.raises(ConfigError, match='kind must be "vacancy" or "dumbbell"'):
        defect_diffusion(still, kind="hole")
    with pytest.raises(ConfigError, match="lag_ps"):
        defect_diffusion(still, kind=VACANCY, lag_ps=-1)
    with pytest.raises(ConfigError, match="shortest_stay_ps"):
        follow_defects(row(at((5, [0.0]))), species="Li", shortest_stay_ps=-1)
    with pytest.raises(UnknownSpeciesError):
        follow_defects(row(at((5, [0.0]))), species="Na")


@pytest.mark.parametrize("seed", range(5, 9))
def test_a_vacancy_that_circles_its_partner_has_no_diffusivity(seed):
    runs = [circling_vacancies(1000, seed=(seed, number), n_pairs=3) for number in range(2)]
    result = defect_diffusion([follow_defects(run, species="Li") for run in runs], kind=VACANCY)
    assert result.n_jumps > 200
    assert result.diffusivity_cm2_per_s.is_limit
    assert result.correlation_factor is None
