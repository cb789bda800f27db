"""g(r) against an ideal gas, the shells of a crystal and MDAnalysis; displacements against Gaussians."""

import MDAnalysis
import numpy as np
import pytest
from MDAnalysis.analysis.rdf import InterRDF
from scipy.stats import maxwell

from simtools.analysers.msd import LagRangeError, mean_squared_displacement
from simtools.analysers.rdf import RadialDistribution, radial_distribution
from simtools.analysers.van_hove import distinct_van_hove, non_gaussian_parameter, self_van_hove
from simtools.core.errors import ConfigError
from simtools.md.trajectory import Trajectory
from simtools.testing import lattice_walkers

TRICLINIC = np.array([[11.0, 0.0, 0.0], [2.0, 10.0, 0.0], [1.0, -1.5, 12.0]])


def gas(n_frames=60, n_a=40, n_b=60, cell=TRICLINIC, seed=1):
    rng = np.random.default_rng(seed)
    s = rng.uniform(-2, 2, size=(n_frames, n_a + n_b, 3))
    return Trajectory(
        positions_A=s @ cell, species=["Li"] * n_a + ["Cl"] * n_b, cells_A=cell, frame_interval_ps=1.0
    )


def brownian(n_frames=2000, n_ions=60, sigma=0.3, seed=5):
    steps = np.random.default_rng(seed).normal(0, sigma, size=(n_frames, n_ions, 3))
    return Trajectory(
        positions_A=np.cumsum(steps, axis=0),
        species=["O"] * n_ions,
        cells_A=30 * np.eye(3),
        frame_interval_ps=0.5,
    )


@pytest.mark.parametrize("neighbour", ["Li", "Cl"])
def test_an_ideal_gas_has_no_structure(neighbour):
    result = radial_distribution(gas(200), centre="Li", neighbour=neighbour, bin_width_A=0.5)
    far = result.r_A > 1
    assert np.abs(result.g[far] - 1).max() < 0.05
    inside = np.abs(result.g[far] - 1) < result.g_half_width[far]
    assert inside.mean() > 0.7
    per_volume = (39 if neighbour == "Li" else 60) / abs(np.linalg.det(TRICLINIC))
    sphere = 4 / 3 * np.pi * result.outer_edge_A[-1] ** 3
    assert result.coordination[-1] == pytest.approx(per_volume * sphere, rel=0.03)


def test_coordination_of_simple_cubic():
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), axis=-1).reshape(1, -1, 3)
    crystal = Trajectory(
        positions_A=3.0 * grid, species=["Na"] * 64, cells_A=12 * np.eye(3), frame_interval_ps=1.0
    )
    result = radial_distribution(crystal, centre="Na", neighbour="Na", bin_width_A=0.1, r_max_A=6.0)
    shells = np.searchsorted(result.outer_edge_A, [3.05, 4.30, 5.30])
    assert result.coordination[shells].tolist() == [6, 18, 26]
    assert np.isnan(result.g_half_width).all()


@pytest.mark.parametrize("neighbour", ["Li", "Cl"])
def test_equal_to_mdanalysis(neighbour):
    trajectory = gas(8)
    universe = MDAnalysis.Universe.empty(100, trajectory=True)
    universe.add_TopologyAttr("names", trajectory.species)
    universe.load_new(trajectory.positions_A.astype(np.float32))
    box = MDAnalysis.lib.mdamath.triclinic_box(*TRICLINIC)
    turned = np.asarray(MDAnalysis.lib.mdamath.triclinic_vectors(box), dtype=float)
    assert np.allclose(turned, TRICLINIC, atol=1e-4)
    for step in universe.trajectory:
        step.dimensions = box

    def set_box(step):
        step.dimensions = box
        return step

    universe.trajectory.add_transformations(set_box)
    groups = [universe.select_atoms(f"name {name}") for name in ("Li", neighbour)]
    block = (1, 1) if neighbour == "Li" else None
    theirs = InterRDF(*groups, nbins=48, range=(0.0, 4.8), exclusion_block=block).run().results
    ours = radial_distribution(
        trajectory, centre="Li", neighbour=neighbour, r_max_A=4.8, bin_width_A=0.1, every=1
    )
    assert np.allclose(ours.r_A, theirs.bins)
    moved = np.abs(ours.g - theirs.rdf) > 1e-5 * np.maximum(theirs.rdf, 1)
    assert moved.sum() <= 2, "float32 may move a pair across an edge, no more"


def test_a_breathing_cell_is_seen_frame_by_frame():
    still = gas(30)
    factors = 1 + 0.1 * np.sin(np.arange(30))
    breathing = Trajectory(
        positions_A=still.positions_A * factors[:, None, None],
        species=still.species,
        cells_A=TRICLINIC * factors[:, None, None],
        frame_interval_ps=1.0,
    )
    result = radial_distribution(breathing, centre="Li", neighbour="Cl", bin_width_A=1.0)
    assert np.abs(result.g[1:] - 1).max() < 0.1


def test_what_cannot_be_asked_is_refused_in_one_line():
    with pytest.raises(ConfigError, match="half the smallest height"):
        radial_distribution(gas(2), centre="Li", neighbour="Cl", r_max_A=9.0)
    with pytest.raises(ConfigError, match="one Li only"):
        radial_distribution(gas(2, n_a=1), centre="Li", neighbour="Li")
    with pytest.raises(LagRangeError):
        self_van_hove(gas(5), species="Li", lag_times_ps=[7.0])


def test_brownian_walkers_are_gaussian():
    trajectory = brownian()
    lags = [0.5, 5.0, 20.0]
    result = self_van_hove(trajectory, species="O", lag_times_ps=lags, r_max_A=12, bin_width_A=0.25)
    for row, share, lag in zip(result.density_per_A3, result.beyond, lags, strict=True):
        variance = 0.09 * lag / 0.5
        edges = 0.25 * np.arange(49)
        expected = np.diff(maxwell.cdf(edges, scale=np.sqrt(variance)))
        got = row * np.diff(4 / 3 * np.pi * edges**3)
        assert np.abs(got - expected).max() < 0.015
        assert got.sum() + share == pytest.approx(1, abs=1e-12)
    alpha = non_gaussian_parameter(trajectory, species="O", lag_times_ps=[0.5, 2.0, 5.0])
    assert np.all(np.abs(alpha.alpha_2) < 1.6 * alpha.alpha_2_half_width)
    assert alpha.alpha_2_half_width.max() < 0.06
    msd = mean_squared_displacement(trajectory, species="O")
    assert np.allclose(alpha.msd_A2, msd.msd_A2[[1, 4, 10]])


def test_poisson_hops_are_not_gaussian():
    hops = lattice_walkers(4000, 200, seed=3, hops_per_frame=0.05)
    alpha = non_gaussian_parameter(hops, species="Li", lag_times_ps=[2.0, 10.0, 40.0])
    n = 0.05 * np.array([2.0, 10.0, 40.0])
    # |R|^4 of n Poisson hops along cubic axes, <R^4> = n a^4 + (5/3) n^2 a^4: alpha_2 = 3/(5 n)
    assert np.all(np.abs(alpha.alpha_2 - 0.6 / n) < 2 * alpha.alpha_2_half_width)
    assert np.allclose(alpha.alpha_2, 0.6 / n, rtol=0.06)


def test_the_distinct_part_starts_as_g_of_r_and_fills_what_is_left():
    walkers = gas(40)
    at_once = distinct_van_hove(
        walkers, centre="Li", neighbour="Cl", lag_times_ps=[0.0, 3.0], bin_width_A=0.5
    )
    g = radial_distribution(walkers, centre="Li", neighbour="Cl", bin_width_A=0.5)
    assert np.allclose(at_once.ratio[0], g.g)
    assert np.abs(at_once.ratio[1][2:] - 1).max() < 0.15
    ring = np.roll(np.arange(8), 1)
    places = np.column_stack([2.0 * np.arange(8), np.zeros(8), np.zeros(8)])
    exchange = Trajectory(
        positions_A=np.stack([places, places[ring]]),
        species=["Li"] * 8,
        cells_A=16 * np.eye(3),
        frame_interval_ps=1.0,
    )
    swapped = distinct_van_hove(
        exchange, centre="Li", neighbour="Li", lag_times_ps=[0.0, 1.0], bin_width_A=0.5
    )
    assert swapped.ratio[0, 0] == 0
    count = swapped.ratio[1, 0] * 8 * 7 * (4 / 3 * np.pi * 0.5**3) / 16**3
    assert count == pytest.approx(8), "every place is taken by another ion"


def test_results_survive_json():
    result = radial_distribution(gas(3), centre="Li", neighbour="Cl")
    assert RadialDistribution.from_json(result.to_json()).to_json() == result.to_json()


def test_a_run_given_twice_gives_what_it_gives_once_with_less_doubt():
    run = gas(200)
    once, twice = (
        radial_distribution(item, centre="Li", neighbour="Cl", bin_width_A=0.5) for item in (run, [run, run])
    )
    np.testing.assert_allclose(twice.g, once.g, rtol=1e-12)
    np.testing.assert_allclose(twice.coordination, once.coordination, rtol=1e-12)
    assert twice.n_frames == 2 * once.n_frames
    walk = brownian(300, 20)
    for function, options in (
        (self_van_hove, {"species": "O", "lag_times_ps": [5.0]}),
        (non_gaussian_parameter, {"species": "O", "lag_times_ps": [5.0, 20.0]}),
        (distinct_van_hove, {"centre": "O", "neighbour": "O", "lag_times_ps": [5.0]}),
    ):
        one, two = function(walk, **options), function([walk, walk], **options)
        curve = next(name for name in ("density_per_A3", "alpha_2", "ratio") if hasattr(one, name))
        np.testing.assert_allclose(getattr(two, curve), getattr(one, curve), rtol=1e-10, atol=1e-12)
    assert two.lag_times_ps.tolist() == [5.0]


def test_replicas_sampled_differently_are_refused():
    with pytest.raises(ConfigError, match="sampled alike"):
        self_van_hove(
            [brownian(50, 2), lattice_walkers(50, 2, seed=1, species="O")], species="O", lag_times_ps=[5]
        )
    with pytest.raises(ConfigError, match="at least one trajectory"):
        radial_distribution([], centre="O", neighbour="O")
