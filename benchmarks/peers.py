"""The transport that other packages give for trajectories of ours, handed over from memory.

One function for each package takes the replicas of one system and returns {quantity: `PeerEstimate`}. Each is
used as its documentation says; what is ours is said in its docstring. What the numbers mean: docs/peers.md.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy import linalg, stats

from simtools.md.trajectory import Trajectory

KINISI_LAGS = 30
GEMDAT_PARTS = 10
_CM2_PER_M2 = 1e4
_FS_PER_PS = 1e3
_S_PER_PS = 1e-12
_D_FROM_SLOPE = 1e-4 / 6  # A^2/ps to cm^2/s, three dimensions


@dataclass(frozen=True)
class PeerEstimate:
    """A number and the standard error, or what stands for it, that a package gives; None for no error."""

    value: float
    stderr: float | None = None

    @property
    def ci95(self):
        """Value plus and minus 1.96 standard errors, or None."""
        return (
            None
            if self.stderr is None
            else (self.value - 1.96 * self.stderr, self.value + 1.96 * self.stderr)
        )


def mean_of(estimates):
    """Return the mean of independent estimates, with the error that follows from theirs."""
    errors = [item.stderr for item in estimates]
    stderr = None if None in errors else float(np.sqrt(np.sum(np.square(errors))) / len(errors))
    return PeerEstimate(float(np.mean([item.value for item in estimates])), stderr)


def framed(trajectory, species, host_species=()):
    """Return unwrapped paths of one species in the frame of the host, shape (n_frames, n_ions, 3), Å."""
    item = trajectory.in_host_frame(host_species) if host_species else trajectory
    return item.positions_of(species)


def pymatgen_transport(trajectories, *, species="Li", host_species=()):
    """Run `DiffusionAnalyzer` (smoothed="max", its default) on each replica and take the mean.

    It takes one trajectory, so errors of the mean are those that follow from the claimed ones. One oxygen at
    rest stands for the host, which it needs.
    """
    found = [pymatgen_analyzer(item, species=species, host_species=host_species) for item in trajectories]
    return {
        "D*": mean_of([PeerEstimate(item.diffusivity, item.diffusivity_std_dev) for item in found]),
        "D_sigma": mean_of(
            [PeerEstimate(item.chg_diffusivity, item.chg_diffusivity_std_dev) for item in found]
        ),
        "H_R": mean_of([PeerEstimate(item.haven_ratio) for item in found]),
    }


def pymatgen_analyzer(trajectory, *, species="Li", host_species=(), **options):
    """Return pymatgen's `DiffusionAnalyzer` of one replica."""
    from pymatgen.analysis.diffusion.analyzer import DiffusionAnalyzer
    from pymatgen.core import Lattice, Structure

    r_tnc = framed(trajectory, species, host_species)
    n_frames, n_ions, _ = r_tnc.shape
    displacement_ntc = np.zeros((n_ions + 1, n_frames, 3))
    displacement_ntc[:n_ions] = (r_tnc - r_tnc[0]).transpose(1, 0, 2)
    cell_A = mean_cell_A(trajectory)
    structure = Structure(
        Lattice(cell_A),
        [species] * n_ions + ["O"],
        np.concatenate([r_tnc[0], np.zeros((1, 3))]),
        coords_are_cartesian=True,
    )
    return DiffusionAnalyzer(
        structure,
        displacement_ntc,
        species,
        trajectory.temperature_K,
        time_step=trajectory.frame_interval_ps * _FS_PER_PS,
        step_skip=1,
        **options,
    )


def gemdat_transport(trajectories, *, species="Li", host_species=(), n_parts=GEMDAT_PARTS):
    """Run `TrajectoryMetrics` on every replica, `TrajectoryMetricsStd` on ten parts of each.

    The latter's mean and standard deviation over parts are what GEMDAT's Arrhenius fit takes for D* and its
    error. D_sigma is `tracer_diffusivity_center_of_mass`, the denominator of `haven_ratio`, as it is.
    """
    from gemdat.metrics import TrajectoryMetrics, TrajectoryMetricsStd

    items = [gemdat_trajectory(item, species=species, host_species=host_species) for item in trajectories]
    parts = [part for item in items for part in item.split(n_parts=n_parts, equal_parts=True)]
    tracer = TrajectoryMetricsStd(parts).tracer_diffusivity(dimensions=3)
    metrics = [TrajectoryMetrics(item) for item in items]
    collective = [float(item.tracer_diffusivity_center_of_mass()) for item in metrics]
    return {
        "D*": PeerEstimate(tracer.n * _CM2_PER_M2, tracer.s * _CM2_PER_M2),
        "D_sigma": mean_of([PeerEstimate(value * _CM2_PER_M2) for value in collective]),
        "H_R": mean_of([PeerEstimate(float(item.haven_ratio())) for item in metrics]),
    }


def gemdat_trajectory(trajectory, *, species="Li", host_species=()):
    """Return GEMDAT's `Trajectory` of the ions of one replica."""
    from gemdat import Trajectory as GemdatTrajectory
    from pymatgen.core import Element

    r_tnc = framed(trajectory, species, host_species)
    cell_A = mean_cell_A(trajectory)
    return GemdatTrajectory(
        species=[Element(species)] * r_tnc.shape[1],
        coords=np.mod(r_tnc @ np.linalg.inv(cell_A), 1),
        lattice=cell_A,
        constant_lattice=True,
        time_step=trajectory.frame_interval_ps * _S_PER_PS,
        metadata={"temperature": trajectory.temperature_K},
    )


def kinisi_transport(
    trajectories, *, start_ps, species="Li", host_species=(), n_lags=KINISI_LAGS, chain=True
):
    """Run `DiffusionAnalyzer` and `JumpDiffusionAnalyzer` on all replicas together (dtype="identical").

    Parameters
    ----------
    trajectories, species, host_species
        Replicas, the mobile species, the species at rest.
    start_ps
        Where the diffusive regime begins: kinisi leaves that to the user.
    n_lags
        Evenly spaced lags from `start_ps` to the end of the run; None takes every lag, kinisi's default.
    chain
        Sample its posterior by its Markov chain; otherwise take mean and standard deviation of the same
        posterior, a normal distribution cut off at zero slope, from its own covariance matrix by formula,
        ten times faster.

    Notes
    -----
    Replicas are joined as its readers join them, including their doubled first frame, which adds one
    displacement over one frame less to every lag. Before the collective displacement is analysed, ions are
    added up and divided by the root of their number; kinisi does the same for every lag.
    """
    paths = [framed(item, species, host_species) for item in trajectories]
    cell_A, interval_ps = mean_cell_A(trajectories[0]), trajectories[0].frame_interval_ps
    first, last = round(start_ps / interval_ps), len(paths[0]) - 1
    n_lags = last - first + 1 if n_lags is None else n_lags
    lags = np.unique(np.linspace(first, last, n_lags).round().astype(int))
    summed = [(path - path[0]).sum(axis=1, keepdims=True) / np.sqrt(path.shape[1]) for path in paths]
    # the summed displacement may step over half of the cell: it must not be folded
    wide_A = np.eye(3) * 1e3 * max(float(np.abs(path).max()) for path in summed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "D*": _kinisi_fit(kinisi_parser(paths, cell_A, interval_ps, lags), start_ps, chain),
            "D_sigma": _kinisi_fit(
                kinisi_parser(summed, wide_A, interval_ps, lags), start_ps, chain, len(summed)
            ),
        }


def kinisi_parser(paths, cell_A, interval_ps, lags):
    """Return kinisi's parsed displacements of replicas in one cell, joined along the particles."""
    import scipp
    from kinisi.parser import Parser

    path = np.concatenate(paths, axis=1)
    doubled = np.concatenate([path[:1], path])
    return Parser(
        coords=scipp.array(dims=["time", "particle", "dimension"], values=doubled @ np.linalg.inv(cell_A)),
        latt=scipp.array(
            dims=["time", "dimension1", "dimension2"],
            values=np.broadcast_to(cell_A, (len(doubled), 3, 3)).copy(),
            unit="angstrom",
        ),
        time_step=interval_ps * scipp.Unit("ps"),
        step_skip=1 * scipp.Unit("dimensionless"),
        dt=scipp.array(dims=["time interval"], values=lags * interval_ps, unit="ps"),
        specie_indices=scipp.array(dims=["particle"], values=np.arange(path.shape[1])),
        drift_indices=scipp.array(dims=["particle"], values=np.array([], dtype=int)),
    )


def _kinisi_fit(parsed, start_ps, chain, system_particles=None):
    import scipp
    from kinisi.analyze import DiffusionAnalyzer, JumpDiffusionAnalyzer
    from kinisi.displacement import calculate_msd, calculate_mstd

    start = start_ps * scipp.Unit("ps")
    if system_particles is None:
        analyzer = DiffusionAnalyzer(parsed)
        analyzer._dg = calculate_msd(parsed, progress=False)
        fit = analyzer.diffusion
    else:
        analyzer = JumpDiffusionAnalyzer(parsed)
        analyzer._dg = calculate_mstd(parsed, system_particles=system_particles, progress=False)
        fit = analyzer.jump_diffusion
    if not chain:
        return _kinisi_posterior(analyzer.dg, start)
    fit(start, progress=False)
    samples = (analyzer.D if system_particles is None else analyzer.D_J).values
    return PeerEstimate(float(np.mean(samples)), float(np.std(samples, ddof=1)))


def _kinisi_posterior(dg, start):
    """Return mean and standard deviation of the posterior that kinisi's chain samples."""
    from kinisi.diffusion import Diffusion

    posterior = Diffusion(dg)
    posterior._start_dt, posterior._cond_max, posterior._recondition = start, 1e16, False
    times_ps = dg["da"].coords["time interval"].values
    posterior.diff_regime = int(np.argmax(times_ps >= start.value - 1e-9))
    inverse = linalg.pinvh(posterior.compute_covariance_matrix().values)
    times_ps = times_ps[posterior.diff_regime :]
    design = np.column_stack([times_ps, np.ones_like(times_ps)])
    covariance = np.linalg.inv(design.T @ inverse @ design)
    slope = (covariance @ design.T @ inverse @ dg["da"].values[posterior.diff_regime :])[0]
    error = np.sqrt(covariance[0, 0])
    cut = stats.truncnorm(-slope / error, np.inf, loc=slope, scale=error)
    return PeerEstimate(float(cut.mean()) * _D_FROM_SLOPE, float(cut.std()) * _D_FROM_SLOPE)


def mean_cell_A(trajectory: Trajectory):
    """Return the mean cell, vectors as rows, Å."""
    return trajectory.cells_A if trajectory.cells_A.ndim == 2 else trajectory.cells_A.mean(axis=0)
