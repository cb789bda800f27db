"""A finished point run again and compared: bit for bit where that can be asked, statistically otherwise."""

import hashlib
import math
import shutil
from dataclasses import dataclass
from pathlib import Path

from simtools.core.errors import ConfigError, RunFailedError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate
from simtools.md.h5md import read_trajectory
from workflows.campaign import open_campaign
from workflows.executors import InlineExecutor
from workflows.parts import same_kind
from workflows.point import FORCE_FIELD_FILE, PointJob, finished
from workflows.statepoints import check_directory, locked, read_json
from workflows.sweep_campaign import open_cases

__all__ = ["Reproduction", "bits_of", "reproduce"]

_MOST_SIGMA = 4.0
_MOST_RANKS = 100_000
_QUANTITIES = ("temperature_K", "potential_energy_eV", "volume_A3", "pressure_GPa")


@dataclass(frozen=True)
class Reproduction:
    """How a point run again compares with its record.

    Attributes
    ----------
    point
        Its name.
    status
        ``bit for bit``, ``statistical``, ``different`` or ``stopped``.
    differs
        What is not the same here as where it was computed: processor, commit, libraries. Without any, every
        bit is asked for.
    rows
        (quantity, recorded value, new value, difference in standard errors) of the mean values.
    directory
        Where the new run is.
    earlier
        When it was made, if not now: an earlier call of `reproduce` on a machine of the same kind.
    """

    point: str
    status: str
    differs: tuple
    rows: tuple
    directory: Path
    earlier: str = ""

    @property
    def reproduced(self):
        """Whether it came out as it must."""
        return self.status in ("bit for bit", "statistical")

    def text(self):
        """Return the answer in words."""
        here = ", ".join(self.differs) or "nothing: the same processor kind, libraries and commit"
        lines = [f"{self.point}: differs here: {here}"]
        if self.earlier:
            lines.append(f"run again on {self.earlier}, not now ({self.directory})")
        if self.status == "stopped":
            return "\n".join([*lines, "not finished"])
        lines += [
            f"  {name}: {old:.8g} recorded, {new:.8g} now, {sigma:.2g} standard errors apart"
            for name, old, new, sigma in self.rows
        ]
        answer = {
            "bit for bit": "reproduced bit for bit",
            "statistical": f"reproduced statistically (means within {_MOST_SIGMA:g} standard errors); the "
            "trajectories differ, as they may on another processor or with other libraries",
            "different": "NOT reproduced"
            + ("" if self.differs else ": the bits differ although nothing here differs from the record"),
        }[self.status]
        return "\n".join([*lines, answer])


def reproduce(directory, point, *, output=None, stop, display):
    """Run a finished point again from its recorded inputs and compare.

    Parameters
    ----------
    directory
        Run directory.
    point
        Name or label, as ``simtools status`` shows it (with ``CASE/`` before it in a campaign of cases).
    output
        Where to run it; ``DIR/reproduced`` by default. The same call continues one that was stopped.
    stop, display
        As for `workflows.campaign.run_campaign`.

    Returns
    -------
    Reproduction

    Raises
    ------
    ConfigError
        If there is no such point, it is not finished, or `output` holds it as run by another version or on
        another kind of processor.
    RunFailedError
        If the new run fails.
    """
    job, outcome = _find(Path(directory), point)
    place = Path(output) if output is not None else Path(directory) / "reproduced"
    check_directory(place)
    original = Path(job.run_directory) / FORCE_FIELD_FILE
    again = PointJob(str(place), job.spec, job.checkpoint_every_ps, _ranks_of(job))
    with locked(place):
        copy = place / FORCE_FIELD_FILE
        if original.exists() and not (copy.exists() and copy.read_bytes() == original.read_bytes()):
            shutil.copyfile(original, copy)
        earlier = _earlier(again)
        ended = InlineExecutor().run([again], after=lambda *_: [], stop=stop, display=display)
    result = ended.get(again.name)
    differs = _differences(job.directory)
    if result is None or result.status == "stopped":
        return Reproduction(job.name, "stopped", differs, (), again.directory)
    if result.status == "failed":
        raise RunFailedError(f"{job.name}: {result.message} (log: {result.log})")
    rows = tuple(_compared(outcome, result.outcome))
    if bits_of(job.directory) == bits_of(again.directory):
        status = "bit for bit"
    elif differs and all(sigma <= _MOST_SIGMA for *_, sigma in rows):
        status = "statistical"
    else:
        status = "different"
    return Reproduction(job.name, status, differs, rows, again.directory, earlier)


def _find(directory, point):
    campaigns = open_cases(directory)
    campaigns = [open_campaign(directory)] if campaigns is None else campaigns
    listed = [pair for campaign in campaigns for pair in campaign.points()]
    found = [(job, outcome) for job, outcome in listed if point in (job.name, job.label)]
    if not found:
        some = ", ".join(job.label for job, _ in listed[:5])
        raise ConfigError(
            f"{directory}: no point {point!r}; its points are {some}{' ...' * (len(listed) > 5)}"
        )
    job, outcome = found[0]
    if outcome is None:
        raise ConfigError(f"{directory}: {job.label} is not finished: there is nothing to compare with")
    return job, finished(job)


def _ranks_of(job):
    """Return the number of MPI ranks that the finished point ran on."""
    provenance = _provenance(job.directory)
    ranks = (provenance.get("arguments") or {}).get("mpi_ranks")
    return ranks if isinstance(ranks, int) and 1 <= ranks <= _MOST_RANKS else job.mpi_ranks


def _earlier(again):
    """Return when `again` was finished by an earlier call, or "" if it is still to be run."""
    if finished(again) is None:
        return ""
    differs = _differences(again.directory)
    if differs:
        raise ConfigError(
            f"{again.directory} was made where other things held ({', '.join(differs)}) and says nothing of "
            "here and now; remove it or choose another -o DIR"
        )
    return str(_provenance(again.directory).get("time_utc", "an earlier day"))


def _provenance(folder):
    provenance = read_json(folder / "done.json").get("provenance")
    return provenance if isinstance(provenance, dict) else {}


def _differences(folder):
    """Return what differs between here and any part of the recorded run."""
    provenance = _provenance(folder)
    arguments = provenance.get("arguments") or {}
    parts = [part for part in arguments.get("parts") or [] if isinstance(part, dict)] or [provenance]
    here = collect_provenance()
    return tuple(dict.fromkeys(name for part in parts for name in same_kind(part, here)))


def _compared(recorded, new):
    """Yield (name, old, new, difference in standard errors) of the last stage's means."""
    old, now = recorded["stages"][-1], new["stages"][-1]
    for name in _QUANTITIES:
        if not isinstance(old.get(name), dict) or not isinstance(now.get(name), dict):
            continue
        first, second = Estimate.from_dict(old[name]), Estimate.from_dict(now[name])
        if first.value is None or second.value is None:
            continue
        spread = math.hypot(first.stderr or 0.0, second.stderr or 0.0)
        apart = abs(first.value - second.value)
        sigma = apart / spread if spread > 0 else (0.0 if apart <= 1e-9 * abs(first.value) else math.inf)
        yield name, first.value, second.value, sigma


def bits_of(folder):
    """Return the SHA-256 of all that a point computed: log, frames, cells, currents, momenta, hexadecimal.

    Times of day, hosts and names of files are left out.
    """
    folder = Path(folder)
    digest = hashlib.sha256((folder / "thermo.csv").read_bytes())
    if (folder / "trajectory").exists():
        trajectory = read_trajectory(folder)
        momenta = trajectory.species_momenta_amu_A_per_ps
        arrays = [trajectory.positions_A, trajectory.cells_A, trajectory.charge_current_e_A_per_ps]
        arrays += [trajectory.velocities_A_per_ps, *(momenta[name] for name in sorted(momenta))]
        for values in arrays:
            if values is not None:
                digest.update(f"{values.dtype} {values.shape}".encode())
                digest.update(values.tobytes())
    return digest.hexdigest()
