"""What a campaign will cost, said before it starts: core-hours from a time per step, disk from frames."""

import time
from dataclasses import dataclass

import numpy as np

from potentials.external import check_first_forces
from workflows.failures import quarantined
from workflows.progress import PointProgress
from workflows.systems import build_cell

__all__ = ["Cost", "planned_cost"]

_FORCES = "forces alone, timed now"
_LAMMPS_FORCES = "forces alone of the embedded engine, timed now"
_MEASURED_S = 0.3
_MEASURED_STEPS = 20
_BYTES_PER_CHECKPOINT_ATOM = 150  # positions, momenta, thermostat and sampler state, two files in turn
_BYTES_PER_SEGMENT = 60_000  # an H5MD file of 32 atoms without frames
_BYTES_PER_POINT = 20_000


@dataclass(frozen=True)
class Cost:
    """What is left of one or several campaigns.

    Attributes
    ----------
    n_points, n_left
        Points of all, and those that are not done.
    n_steps_left
        Time steps to go.
    core_hours
        None if no time per step is known. A point keeps as many cores as it has MPI ranks.
    disk_MB
        Of what is still to be written, roughly: compression is left out.
    ms_per_step
        Of the campaign's own points, or of the forces alone on one core of this machine now: integration and
        writing come on top. ms.
    source
        Where the time per step is from.
    """

    n_points: int
    n_left: int
    n_steps_left: int
    core_hours: float | None
    disk_MB: float
    ms_per_step: float | None
    source: str

    def text(self):
        """Return one line for the terminal."""
        if self.n_steps_left == 0:
            return f"planned: nothing of {self.n_points} points is left to run"
        hours = "time unknown until the first point runs"
        if self.core_hours is not None:
            hours = f"{_short(self.core_hours)} core-hours ({self.ms_per_step:.3g} ms/step, {self.source})"
        return (
            f"planned: {self.n_left} of {self.n_points} points to run, {self.n_steps_left:.3g} steps, "
            f"{hours}, about {_short(self.disk_MB)} MB on disk"
        )


def planned_cost(campaigns, *, measure):
    """Return the `Cost` of what is left of `campaigns`.

    Parameters
    ----------
    campaigns
        `workflows.campaign.Campaign` of every case.
    measure
        Whether to time a few force evaluations where no point of a campaign has run yet (the calculator is
        built and, for force fields of ours, compiled).
    """
    n_left = steps_left = 0
    core_ms = total_ms = disk_MB = 0.0
    sources, unknown = set(), False
    for campaign in campaigns:
        steps = _steps_left(campaign)
        if not steps:
            continue
        n_left += len(steps)
        steps_left += sum(steps)
        disk_MB += _disk_MB(campaign, len(steps))
        ms, source = _rate_so_far(campaign)
        if ms is None and measure:
            ms, source = _measured_ms(campaign), _LAMMPS_FORCES if campaign.forces.in_lammps else _FORCES
        if ms is None:
            unknown = True
        else:
            sources.add(source)
            ranks = campaign.recipe.potential.mpi_ranks or 1
            cores = 1 if source in (_FORCES, _LAMMPS_FORCES) else ranks  # the forces are timed on one core
            core_ms += sum(steps) * ms * cores
            total_ms += sum(steps) * ms
    known = not unknown and steps_left > 0
    return Cost(
        n_points=sum(campaign.n_points for campaign in campaigns),
        n_left=n_left,
        n_steps_left=steps_left,
        core_hours=core_ms / 3.6e6 if known else None,
        disk_MB=disk_MB,
        ms_per_step=total_ms / steps_left if known else None,
        source=" and ".join(sorted(sources)),
    )


def _steps_left(campaign):
    """Return the steps to go of each point that is not done, those not listed yet included."""
    md = campaign.recipe.md
    production = round(1000 * (md.equilibration_ps + md.production_ps) / md.timestep_fs)
    volume = 0
    if md.lattice_parameter_A is None:
        volume = round(1000 * (md.npt_equilibration_ps + md.npt_ps) / md.timestep_fs)
    listed = campaign.points()
    left = []
    for job, outcome in listed:
        if outcome is not None or quarantined(job.directory):
            continue
        state = PointProgress.read(job.directory)
        total = volume if job.spec.role == "volume" else production
        left.append(total if state is None else max(state.total_steps - state.done_steps, 0))
    return left + [production] * (campaign.n_points - len(listed))


def _rate_so_far(campaign):
    """Return ms per step of the campaign's own points, the median, or (None, "")."""
    found = []
    for job, outcome in campaign.points():
        if outcome is not None:
            if outcome.get("wall_s") and outcome.get("n_steps"):
                found.append(1000 * outcome["wall_s"] / outcome["n_steps"])
        else:
            state = PointProgress.read(job.directory)
            if state is not None and state.steps_per_s > 0:
                found.append(1000 / state.steps_per_s)
    return (float(np.median(found)), "from its own points") if found else (None, "")


def _measured_ms(campaign):
    """Return ms per evaluation of the forces on a thermally displaced cell, the median of some.

    Raises
    ------
    CalculatorUnavailableError
        If somebody else's calculator does not compute the first cell.
    """
    recipe = campaign.recipe.to_dict()
    lattice = campaign.recipe.md.lattice_parameter_at(campaign.recipe.md.temperatures_K[0])
    cell = build_cell(
        recipe["structure"],
        recipe.get("defects", []),
        campaign.forces,
        lattice_parameter_A=lattice or campaign.system["start_lattice_parameter_A"],
        seed=campaign.recipe.md.seed,
    )
    cell.calc = campaign.forces.calculator()
    if campaign.forces.force_field is None:
        check_first_forces(campaign.forces.table["calculator"], cell)
    else:
        cell.get_forces()
    rng = np.random.default_rng(0)
    times, began = [], time.perf_counter()
    while len(times) < 3 or (time.perf_counter() - began < _MEASURED_S and len(times) < _MEASURED_STEPS):
        cell.positions += rng.normal(0.0, 0.005, cell.positions.shape)
        start = time.perf_counter()
        cell.get_forces()
        times.append(1000 * (time.perf_counter() - start))
    return float(np.median(times))


def _disk_MB(campaign, n_points):
    md, system = campaign.recipe.md, campaign.system
    n_atoms, n_species = system["n_atoms"], len(system["composition"])
    frames = 1000 * md.production_ps / md.sample_every_fs
    fine = 1000 * md.production_ps / md.charge_current_every_fs
    per_frame = n_atoms * 12 * (2 if md.velocities else 1) + 100
    segments = max(1.0, md.production_ps / md.checkpoint_every_ps)
    per_point = (
        frames * per_frame
        + fine * (24 * (n_species + 1) + 16)
        + segments * _BYTES_PER_SEGMENT
        + n_atoms * _BYTES_PER_CHECKPOINT_ATOM
        + _BYTES_PER_POINT
    )
    return n_points * per_point / 1e6


def _short(value):
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"
