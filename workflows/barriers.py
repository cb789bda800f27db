"""`simtools barrier`: every distinct hop that a recipe asks for, its path and barrier; resumable.

What is printed, drawn and summarised of it: barrier_report.py. A path lies in ``paths/`` under a name that
carries a hash of all that fixes it (path_files.py).
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from simtools.core.errors import ConfigError
from simtools.core.periodic import cell_heights_A
from simtools.defects.insertion import PlacedDefect
from simtools.defects.kroger_vink import KrogerVink
from simtools.md.dumbbells import RelaxedDumbbell, dumbbell_hops, relax_dumbbells
from simtools.md.hops import Hop, vacancy_hops
from simtools.md.pathways import (
    EndPointError,
    MigrationPath,
    PathNotConvergedError,
    UnequalEndsError,
    continue_path,
    find_path,
)
from simtools.structures import relax_lattice_parameter
from simtools.structures.ionic_relaxation import NotRelaxedError, relax_ions
from simtools.structures.symmetry import CrystalSymmetry, crystal_symmetry
from workflows.forces import forces_of
from workflows.lammps_check import ImageCheck, verify_in_lammps
from workflows.path_files import BandSaver, read_band, read_path, write_band, write_path
from workflows.static_tables import HopTable
from workflows.statics import DEFAULT_ACCURACY, StaticRecipe, refuse_lammps
from workflows.system_checks import SHORTEST_HEIGHT_A
from workflows.systems import GUESSES_A, build_perfect_cell

__all__ = ["Barriers", "HopOutcome", "compute_barriers"]

PROTOCOL = 1
"""Raised whenever a change of the code changes paths."""
_SEED = 1
_HOST_RATTLE_A = 0.02
_HOST_FORCE_EV_PER_A = 0.002
UNSTABLE_HOST_EV = 1e-3
_NOT_FIXING = ("only", "max_steps")


@dataclass(frozen=True, kw_only=True)
class HopOutcome:
    """What became of one hop.

    Attributes
    ----------
    row
        Index of its [[hops]] table.
    hop
        Its ends.
    path
        The path, or None.
    no_hop
        Why this is no hop: an end is not a minimum.
    failed
        Why the path was not found.
    checks
        Images that LAMMPS evaluated.
    """

    row: int
    hop: Hop
    path: MigrationPath | None = None
    no_hop: str | None = None
    failed: str | None = None
    checks: tuple[ImageCheck, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Barriers:
    """Everything that `simtools barrier` found.

    Attributes
    ----------
    recipe
        What was asked for.
    lattice_parameter_A
        Of the perfect crystal at rest, at which all cells are held.
    n_sites
        Of the supercell.
    host_gain_eV
        Energy that the perfect supercell gains when its ions are displaced at random and relax: more than
        1 meV says that its static structure is not this prototype.
    dumbbells
        Row -> the orientations of its dumbbell, lowest first.
    outcomes
        One per hop.
    warnings
        What to know before the numbers are used.
    force_identity
        What fixes the forces.
    """

    recipe: StaticRecipe
    lattice_parameter_A: float
    n_sites: int
    host_gain_eV: float
    dumbbells: dict[int, tuple[RelaxedDumbbell, ...]]
    outcomes: tuple[HopOutcome, ...]
    warnings: tuple[str, ...]
    force_identity: dict


def compute_barriers(
    recipe: StaticRecipe,
    directory,
    *,
    verify: str | None = None,
    stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[str], None] = lambda message: None,
) -> Barriers:
    """Find the path of every hop of a recipe.

    Parameters
    ----------
    recipe
        From `read_static_recipe`; it needs [[hops]].
    directory
        Where paths are kept; those that are there are not computed again.
    verify
        ``"lammps"``: ends and saddle point of each path are evaluated by LAMMPS as well.
    stop
        Asked at every step of a band and between hops; True writes the band and raises KeyboardInterrupt.
    on_progress
        Told in words what is being done.

    Raises
    ------
    ConfigError
        For hops that do not fit the crystal or the forces.
    """
    system = _System(recipe, Path(directory), stop)
    if verify is not None and system.forces.force_field is None:
        raise ConfigError(
            f"--verify lammps needs a force field of ours (potential.name), not the calculator "
            f"{system.forces.table['calculator']!r}"
        )
    gain = system.host_gain_eV()
    dumbbells, outcomes = {}, []
    for row, table in enumerate(recipe.hops):
        on_progress(f"[hops.{row}] {table.kind} of {table.species}")
        hops, relaxed = system.hops(row, table)
        if relaxed:
            dumbbells[row] = relaxed
        for hop in hops:
            if stop():
                raise KeyboardInterrupt
            on_progress(hop.name)
            outcome = system.outcome(row, table, hop)
            if verify is not None and outcome.path is not None:
                outcome = _with_checks(outcome, system)
            outcomes.append(outcome)
    return Barriers(
        recipe=recipe,
        lattice_parameter_A=system.a_A,
        n_sites=len(system.perfect),
        host_gain_eV=gain,
        dumbbells=dumbbells,
        outcomes=tuple(outcomes),
        warnings=_warnings(gain, outcomes, system.perfect),
        force_identity=system.forces.identity(),
    )


class _System:
    """The perfect supercell and the forces of a recipe, and where its paths are kept."""

    def __init__(self, recipe: StaticRecipe, directory: Path, stop: Callable[[], bool]):
        self.stop = stop
        if not recipe.hops:
            raise ConfigError(f"{recipe.source}: no [[hops]]: expected at least one kind of hop")
        record = recipe.to_dict()
        table = dict(record["potential"])
        if "name" in table:
            table.setdefault("accuracy", DEFAULT_ACCURACY)
        self.recipe, self.directory = recipe, directory / "paths"
        refuse_lammps(recipe)
        self.forces = forces_of(
            table, where=f"{recipe.source}: [potential] ", relative_to=recipe.source.resolve().parent
        )
        self.structure = record["structure"]
        self.charges = self.forces.formal_charges_e
        try:
            self.a_A = round(self._lattice_parameter_A(), 6)
            self.perfect: Atoms = build_perfect_cell(self.structure, self.a_A)
        except ConfigError as error:
            raise ConfigError(f"{recipe.source}: [structure] {error}") from error
        self.symmetry: CrystalSymmetry = crystal_symmetry(self.perfect)
        self.directory.mkdir(parents=True, exist_ok=True)

    def _lattice_parameter_A(self):
        one = {**self.structure, "supercell": [1, 1, 1]}
        return relax_lattice_parameter(
            lambda a: build_perfect_cell(one, a),
            self.forces.calculator(),
            guess_A=GUESSES_A[self.structure["prototype"]],
        ).a_A

    def host_gain_eV(self):
        """Return what the perfect supercell gains by relaxing from small random displacements, eV."""
        calculator = self.forces.calculator()
        still = self.perfect.copy()
        still.calc = calculator
        energy = still.get_potential_energy()
        moved = self.perfect.copy()
        moved.positions += np.random.default_rng(_SEED).normal(0, _HOST_RATTLE_A, moved.positions.shape)
        relaxed = relax_ions(moved, calculator, max_force_eV_per_A=_HOST_FORCE_EV_PER_A)
        return max(0.0, float(energy - relaxed.energy_eV))

    def hops(self, row: int, table: HopTable):
        """Return the hops of one table, and the orientations of its dumbbell."""
        where = f"{self.recipe.source}: [hops.{row}] "
        relaxed = ()
        height = float(min(cell_heights_A(self.perfect.cell.array)))
        if table.longest_A is not None and table.longest_A > height:
            raise ConfigError(
                f"{where}longest_A = {table.longest_A:g}: the cell is {height:.1f} Å at its shortest, and a "
                "hop that long leads to an image; give a larger supercell or a smaller longest_A"
            )
        try:
            if table.kind == "vacancy":
                hops = vacancy_hops(
                    self.perfect,
                    table.species,
                    formal_charges_e=self.charges,
                    net_charge=self.forces.table.get("net_charge"),
                    others=self._others(table),
                    longest_A=table.longest_A,
                    symmetry=self.symmetry,
                )
            else:
                relaxed = relax_dumbbells(
                    self.perfect,
                    table.species,
                    self.forces.calculator,
                    formal_charges_e=self.charges,
                    net_charge=self.forces.table.get("net_charge"),
                    max_force_eV_per_A=0.1 * table.max_force_eV_per_A,
                    rattle_A=table.rattle_A,
                    seed=_SEED,
                    symmetry=self.symmetry,
                )
                hops = dumbbell_hops(
                    self.perfect, relaxed[0], longest_A=table.longest_A, symmetry=self.symmetry
                )
        except ConfigError as error:
            raise ConfigError(f"{where}{error}") from error
        absent = [n for n in table.only or () if n > len(hops)]
        if absent and hops:
            raise ConfigError(f"{where}only = {list(table.only)}: there are hops 1 to {len(hops)}")
        chosen = [hop for n, hop in enumerate(hops, start=1) if table.only is None or n in table.only]
        if not chosen:
            raise ConfigError(
                f"{where}leaves no hop: there are {len(hops)} of {table.species} up to "
                + (f"{table.longest_A:g} Å" if table.longest_A else "the nearest neighbours")
                + (f", only = {list(table.only)}" if table.only else "; give a larger longest_A")
            )
        return chosen, relaxed

    def _others(self, table):
        if table.beside is None:
            return ()
        label = KrogerVink.parse(table.beside)
        sites = np.flatnonzero(np.array(self.perfect.get_chemical_symbols()) == label.site)
        if len(sites) == 0:
            raise ConfigError(f"beside = {table.beside!r}: no {label.site} in {self.structure['formula']}")
        return (PlacedDefect(label=label, site_index=int(sites[0])),)

    def outcome(self, row: int, table: HopTable, hop: Hop) -> HopOutcome:
        """Return the path of one hop: read, continued or computed."""
        stem = self.directory / self._file_stem(row, table, hop)
        finished, underway = stem.with_suffix(".json"), stem.with_suffix(".band.extxyz")
        path = read_path(finished)
        if path is not None:
            return HopOutcome(row=row, hop=hop, path=path)
        options = {
            "name": hop.name,
            "max_force_eV_per_A": table.max_force_eV_per_A,
            "max_steps": table.max_steps,
            "equivalent_ends": hop.equivalent_ends,
            "on_step": BandSaver(underway, stop=self.stop),
        }
        try:
            band = read_band(underway, hop, table)
            if band is not None:
                path = continue_path(band, self.forces.calculator, **options)
            else:
                path = find_path(
                    hop.initial,
                    hop.final,
                    self.forces.calculator,
                    n_images=table.images,
                    interpolation=table.interpolation,
                    rattle_A=table.rattle_A,
                    seed=_SEED,
                    **options,
                )
        except (PathNotConvergedError, NotRelaxedError, UnequalEndsError) as error:
            if isinstance(error, PathNotConvergedError):
                write_band(underway, error.images)
            return HopOutcome(row=row, hop=hop, failed=_reason(error, hop))
        except EndPointError as error:
            return HopOutcome(row=row, hop=hop, no_hop=_reason(error, hop))
        write_path(finished, path)
        underway.unlink(missing_ok=True)
        return HopOutcome(row=row, hop=hop, path=path)

    def _file_stem(self, row, table, hop):
        fixed = {
            "protocol": PROTOCOL,
            "forces": self.forces.identity(),
            "structure": self.structure,
            "lattice_parameter_A": self.a_A,
            "table": {
                name: value for name, value in asdict(table).items() if name not in ("only", "max_steps")
            },
            "hop": hop.name,
        }
        digest = hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()[:16]
        number = hop.name.split(" (")[0].rsplit(" ", 1)[-1]
        return f"{row}-{table.kind}-{table.species}-{number}-{digest}"


def _reason(error, hop):
    return str(error).removeprefix(f"{hop.name}: ")


def _with_checks(outcome, system):
    checks = verify_in_lammps(system.forces.force_field, outcome.path, system.forces.calculator())
    return HopOutcome(row=outcome.row, hop=outcome.hop, path=outcome.path, checks=checks)


def _warnings(gain_eV, outcomes, perfect):
    notes = []
    height = float(min(cell_heights_A(perfect.cell.array)))
    if height < SHORTEST_HEIGHT_A:
        notes.append(
            f"the cell is {height:.1f} Å at its shortest: what hops feels its own images, and the barriers "
            f"are not those of the crystal (nor does +- say so); take {SHORTEST_HEIGHT_A:g} Å or more"
        )
    if gain_eV > UNSTABLE_HOST_EV:
        notes.append(
            f"the perfect supercell itself gains {gain_eV:.3g} eV when its ions are displaced and relax: "
            "at rest these forces do not hold the crystal in this structure; the barriers are those of a "
            "host that is held in it by symmetry, or has begun to distort"
        )
    for outcome in outcomes:
        if outcome.path is not None:
            notes += [f"{outcome.hop.name}: {note}" for note in outcome.path.warnings]
    return tuple(notes)
