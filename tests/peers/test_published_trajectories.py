"""Trajectories that other packages publish with their tests, by our readers and analysis and by theirs.

D, D_sigma and H_R agree within combined errors, or the difference is reproduced from its cause, explained in
docs/peers.md. kinisi ships its trajectories in its wheel, MDAnalysis in MDAnalysisTests;
pymatgen-analysis-diffusion and GEMDAT ship none, so their analyses are tried on the others' files. What is
not installed (extra peers) is skipped.
"""

import numpy as np
import pytest

from benchmarks.peers import (
    gemdat_transport,
    kinisi_parser,
    kinisi_transport,
    pymatgen_analyzer,
    pymatgen_transport,
)
from simtools.analysers.msd import mean_squared_displacement
from simtools.analysers.transport import analyse_transport
from simtools.md.readers import load_trajectory
from simtools.md.trajectory import Trajectory
from simtools.testing import lattice_walkers
from tests.peers.published import need, published
from workflows.analyse import analyse_files

pytestmark = pytest.mark.filterwarnings("ignore")
HOST = ("P", "S", "Cl")
INTERVAL_PS = 0.1  # 50 steps of 2 fs, as kinisi's own tests say


def kinisi_file(name):
    """Return one of the trajectories of kinisi's tests."""
    return published("kinisi", "tests/inputs", name)


def paths_of(trajectory, species, host):
    """Return paths of a species less the plain mean of the host's, as the peers do, shape (t, n, 3), Å."""
    drift_tc = trajectory.positions_A[:, np.isin(trajectory.species, host)].mean(axis=1)
    return trajectory.positions_of(species) - (drift_tc - drift_tc[0])[:, None, :]


def msd(r_tnc):
    """Return the mean squared displacement at lags of 1 to n - 1 frames, by the definition."""
    return np.array([np.mean(np.sum((r_tnc[k:] - r_tnc[:-k]) ** 2, axis=-1)) for k in range(1, len(r_tnc))])


def with_the_first_frame_twice(r_tnc):
    """Return the MSD with one displacement over a frame less among those of every lag."""
    lags = np.arange(1, len(r_tnc))
    since_start = np.mean(np.sum((r_tnc - r_tnc[0]) ** 2, axis=-1), axis=1)
    n_starts = len(r_tnc) - lags
    return (n_starts * msd(r_tnc) + since_start[lags - 1]) / (n_starts + 1)


def apart(one, error_one, two, error_two=0.0):
    """Return the difference in combined standard errors."""
    return abs(one - two) / np.hypot(error_one, error_two)


@pytest.fixture(scope="module")
def argyrodite():
    """Li6PS5Cl, 192 lithium ions, 14 ps: kinisi's XDATCAR, by our reader and analysis."""
    path = kinisi_file("example_XDATCAR.gz")
    charges = {"Li": 1, "P": 5, "S": -2, "Cl": -1}
    options = {"temperature_K": 500, "frame_interval_ps": INTERVAL_PS}
    # wrapped positions every 0.1 ps: steps over half a hop, which are refused unless asked for
    found = analyse_files(
        [[path]], mobile=["Li"], charges_e=charges, host_species=HOST, allow_long_steps=True, **options
    )
    return load_trajectory(path, formal_charges_e=charges, **options), found.transport[0]


def test_kinisi_and_we_agree_on_the_diffusivities_of_its_argyrodite(argyrodite):
    trajectory, ours = argyrodite
    theirs = kinisi_transport([trajectory], start_ps=ours.window_ps[0], host_species=HOST, chain=False)
    for label, mine in (
        ("D*", ours.tracer_diffusivity_cm2_per_s),
        ("D_sigma", ours.charge_diffusivity_cm2_per_s),
    ):
        assert apart(mine.value, mine.stderr, theirs[label].value, theirs[label].stderr) < 2
        assert 0.3 < theirs[label].stderr / mine.stderr < 3


def test_pymatgen_and_we_agree_on_the_argyrodite_but_not_on_the_error(argyrodite):
    need("pymatgen.analysis.diffusion")
    trajectory, ours = argyrodite
    theirs = pymatgen_transport([trajectory], host_species=HOST)
    tracer, charge, ratio = (
        ours.tracer_diffusivity_cm2_per_s,
        ours.charge_diffusivity_cm2_per_s,
        ours.haven_ratio,
    )
    assert apart(tracer.value, tracer.stderr, theirs["D*"].value) < 2
    assert apart(charge.value, charge.stderr, theirs["D_sigma"].value) < 2
    assert ratio.ci95[0] < theirs["H_R"].value < ratio.ci95[1]
    # the residual of a fit to correlated points, over weights that were not normalised
    assert theirs["D*"].stderr < 1e-2 * tracer.stderr
    assert theirs["D_sigma"].stderr < 1e-2 * charge.stderr


def test_pymatgen_has_our_mean_squared_displacements(argyrodite):
    need("pymatgen.analysis.diffusion")
    trajectory, _ = argyrodite
    r_tnc = trajectory.in_host_frame(HOST).positions_of("Li")
    theirs = pymatgen_analyzer(trajectory, host_species=HOST)
    lags = np.round(theirs.dt / (1000 * INTERVAL_PS)).astype(int)
    summed = (r_tnc - r_tnc[0]).sum(axis=1, keepdims=True) / np.sqrt(r_tnc.shape[1])
    np.testing.assert_allclose(theirs.msd, msd(r_tnc)[lags - 1], rtol=1e-9)
    np.testing.assert_allclose(theirs.mscd, msd(summed)[lags - 1], rtol=1e-7)


def test_gemdat_uses_the_last_frame_only_and_its_haven_ratio_lacks_the_number_of_ions(argyrodite):
    need("gemdat")
    trajectory, ours = argyrodite
    theirs = gemdat_transport([trajectory], host_species=HOST, n_parts=1)
    moved = trajectory.in_host_frame(HOST).positions_of("Li")
    # of one part, its splitting leaves out the last frame
    end = moved[-2] - moved[0]
    duration_ps = (len(moved) - 1) * INTERVAL_PS
    assert theirs["D*"].value == pytest.approx(np.mean(np.sum(end**2, axis=1)) / (6 * duration_ps) * 1e-4)
    end = moved[-1] - moved[0]
    alone, together = np.sum(end**2), np.sum(end.sum(axis=0) ** 2)
    n_ions = moved.shape[1]
    assert theirs["H_R"].value == pytest.approx(n_ions * alone / together, rel=1e-6)
    assert theirs["H_R"].value > 20 * ours.haven_ratio.ci95[1]
    low, high = ours.haven_ratio.ci95
    assert low < theirs["H_R"].value / n_ions < high


def test_the_formula_of_kinisis_posterior_is_its_markov_chain(argyrodite):
    trajectory, _ = argyrodite
    np.random.seed(1)  # noqa: NPY002 - the chain draws from numpy's global generator
    options = {"start_ps": 2.0, "host_species": HOST, "n_lags": 20}
    chain = kinisi_transport([trajectory], **options)
    formula = kinisi_transport([trajectory], chain=False, **options)
    for label in ("D*", "D_sigma"):
        assert chain[label].value == pytest.approx(formula[label].value, abs=0.2 * formula[label].stderr)
        assert chain[label].stderr == pytest.approx(formula[label].stderr, rel=0.15)


def test_kinisi_reads_the_first_frame_twice_and_has_our_displacements_otherwise():
    path = kinisi_file("example_ase.traj")
    import scipp
    from ase.io import Trajectory as AseTrajectory
    from kinisi.analyze import DiffusionAnalyzer

    trajectory = load_trajectory(path, frame_interval_ps=1.0)
    r_tnc = paths_of(trajectory, "Li", ("N", "Cl"))
    units = {"time_step": 1.0 * scipp.Unit("ps"), "step_skip": 1 * scipp.Unit("dimensionless")}
    with AseTrajectory(path) as file:
        theirs = DiffusionAnalyzer.from_ase(file, specie="Li", progress=False, **units).msd.values
    np.testing.assert_allclose(theirs[: len(r_tnc) - 1], with_the_first_frame_twice(r_tnc), rtol=1e-9)
    assert theirs[0] / msd(r_tnc)[0] == pytest.approx(1 - 1 / len(r_tnc))


def test_lithium_that_fills_its_cages_is_no_diffusion_yet():
    need("pymatgen.analysis.diffusion")
    path = kinisi_file("example_ase.traj")
    host = ("N", "Cl")
    trajectory = load_trajectory(
        path,
        frame_interval_ps=INTERVAL_PS,
        temperature_K=500,
        formal_charges_e={"Li": 1, "N": -3, "Cl": -1},
    )
    ours = analyse_transport([trajectory], species="Li", hop_length_A=2.37, host_species=host)
    limit = ours.tracer_diffusivity_cm2_per_s
    assert limit.is_limit
    assert ours.n_hops < 5
    # what the hops that were seen amount to; theirs is the slope of the MSD while cages fill
    hops = ours.n_hops * 2.37**2 / (6 * 180 * trajectory.duration_ps) * 1e-4
    theirs = (
        kinisi_transport([trajectory], start_ps=2.0, host_species=host, chain=False)["D*"],
        pymatgen_transport([trajectory], host_species=host)["D*"],
    )
    for item in theirs:
        assert hops < limit.upper_limit < item.value
        assert item.stderr < 0.1 * item.value


def test_a_crystal_at_rest_gives_limits_that_allow_what_kinisi_fits():
    types = np.array(["Li"] * 204 + ["O"] * 52)  # types 1 and 2, Lennard-Jones units
    trajectory = load_trajectory(
        kinisi_file("example_LAMMPS.dcd"),
        species=types,
        frame_interval_ps=1.25,
        temperature_K=500,
        formal_charges_e={"Li": 1, "O": -2},
    )
    ours = analyse_transport([trajectory], species="Li", hop_length_A=1.0, host_species=("O",))
    assert ours.n_hops == 0
    theirs = kinisi_transport([trajectory], start_ps=50.0, host_species=("O",), chain=False)["D*"]
    assert theirs.value - 2 * theirs.stderr < ours.tracer_diffusivity_cm2_per_s.upper_limit


@pytest.mark.physics
def test_the_triclinic_cell_of_kinisi_gives_its_stored_displacements():
    stored = np.load(kinisi_file("LiPS_msd.npy"))
    trajectory = load_trajectory(kinisi_file("LiPS.exyz"), frame_interval_ps=1.0)
    r_tnc = paths_of(trajectory, "Li", ("P", "S"))
    np.testing.assert_allclose(stored[: len(r_tnc) - 1], with_the_first_frame_twice(r_tnc), rtol=1e-5)


def test_mdanalysis_random_walk_has_its_known_diffusivity():
    need("tidynamics")
    import MDAnalysis
    from MDAnalysis.analysis.msd import EinsteinMSD

    universe = MDAnalysis.Universe(
        published("MDAnalysisTests", "data", "RANDOM_WALK_TOPO.pdb"),
        published("MDAnalysisTests", "data", "xyz_random_walk.xtc"),
    )
    r_tnc = universe.trajectory.timeseries(order="fac").astype(float)
    # the file has no cell: one that no step can reach across
    walk = Trajectory(
        positions_A=r_tnc,
        species=np.full(r_tnc.shape[1], "Li"),
        cells_A=1e4 * np.eye(3),
        frame_interval_ps=1.0,
        temperature_K=300,
        formal_charges_e={"Li": 1},
    )
    theirs = EinsteinMSD(universe, fft=True).run().results.timeseries
    np.testing.assert_allclose(theirs[1:], msd(r_tnc), rtol=1e-4)
    mine = mean_squared_displacement(walk, species="Li", max_lag_ps=50.0)
    np.testing.assert_allclose(np.asarray(mine.msd_A2)[1:51], theirs[1:51], rtol=1e-4)
    truth = np.mean(np.sum(np.diff(r_tnc, axis=0) ** 2, axis=-1)) / 6 * 1e-4
    ours = analyse_transport([walk], species="Li", hop_length_A=2.0).tracer_diffusivity_cm2_per_s
    assert ours.ci95[0] < truth < ours.ci95[1]
    assert ours.stderr < 0.1 * truth
    # its manual fits lags 20 to 60 by ordinary least squares and gives no error
    fitted = np.polyfit(np.arange(20, 61), theirs[20:61], 1)[0] / 6 * 1e-4
    assert 1.1 < fitted / truth < 1.3


def test_ions_added_up_beforehand_give_kinisis_own_collective_displacement():
    need("kinisi")
    from kinisi.displacement import calculate_mstd

    replicas = [lattice_walkers(60, 12, seed=seed, rattle_A=0.1, temperature_K=300) for seed in (1, 2)]
    paths = [item.positions_of("Li") for item in replicas]
    lags = np.arange(1, 60, 4)
    its_own = calculate_mstd(
        kinisi_parser(paths, replicas[0].cells_A, 1.0, lags), system_particles=2, progress=False
    )["da"]
    summed = [(path - path[0]).sum(axis=1, keepdims=True) / np.sqrt(path.shape[1]) for path in paths]
    ours = calculate_mstd(
        kinisi_parser(summed, 1e5 * np.eye(3), 1.0, lags), system_particles=2, progress=False
    )["da"]
    np.testing.assert_allclose(ours.values, its_own.values, rtol=1e-9)
    np.testing.assert_allclose(ours.variances, its_own.variances, rtol=1e-9)
    np.testing.assert_allclose(ours.coords["n_samples"].values, its_own.coords["n_samples"].values)
