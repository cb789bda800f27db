"""`simtools defects`: the energies of a recipe's defects, reactions and associates, and what follows.

Relaxations run through relaxation_jobs.py and are kept on disk; what is written about them is in
defect_report.py.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from simtools.core.errors import ConfigError, RunFailedError
from simtools.defects.arrangement import DUMBBELL_SEPARATION
from simtools.defects.binding import (
    SAME_SHELL_A,
    BindingCurve,
    PairState,
    binding_curve,
    isolated_reference,
    pair_counts,
    pair_distance_A,
    pair_of,
    placed_pair,
)
from simtools.defects.candidates import Candidate, defect_candidates
from simtools.defects.configurations import distinct_configurations
from simtools.defects.formation import (
    DefectEnergy,
    ReactionEnergy,
    isolated_energy,
    place_in_supercell,
    reaction_energy,
)
from simtools.defects.kroger_vink import KrogerVink
from simtools.defects.sublattice import nearest_distance_A
from simtools.structures import build_supercell
from simtools.structures.symmetry import crystal_symmetry
from workflows.cost import engine_sentence
from workflows.defect_equilibrium import EquilibriumRow, equilibria
from workflows.defect_host import HostRow, relax_host
from workflows.defect_plan import FEWEST_SIZES, DefectPlan
from workflows.relaxation_jobs import RelaxationJob, crystal_record, placed_record, run_relaxations
from workflows.statics import StaticRecipe

__all__ = ["DefectEnergetics", "DefectRow", "compute_defect_energies"]

SAME_ENERGY_EV = 2e-3
"""Relaxed starts this near in energy are the same state: relaxations to 0.005 eV/Å scatter by less."""
SAME_AXIS_DEG = 20.0
"""A dumbbell that turned by more than this is another one."""
_NEARLY_EQUAL_EV = 0.01
_SEED = 1
_CHARGES_UNKNOWN = (
    "the calculator is not told of charges: the cells with {} are neutral, so the energy of one such defect "
    "is that of neutral atoms taken out or put in; only reactions, which conserve atoms, are energies of ions"
)


@dataclass(frozen=True, kw_only=True)
class DefectRow:
    """One kind of defect.

    Attributes
    ----------
    energy
        Isolated limit, both ways.
    description
        Site or axis of the lowest state.
    states
        Pairs of (equivalent places per formula unit, energy above the lowest in the smallest cell, eV): every
        start that stayed on its site and axis.
    starts
        Every start that was relaxed in the smallest cell: description, energy above the lowest (eV), and what
        it became (labels), or why it did not come to rest.
    """

    energy: DefectEnergy
    description: str
    states: tuple[tuple[float, float], ...]
    starts: tuple[tuple[str, float, str], ...]

    @property
    def per_formula_unit(self) -> float:
        """Places (and axes) per formula unit of the host whose energy is within 10 meV of the lowest."""
        return sum(n for n, above in self.states if above < _NEARLY_EQUAL_EV)


@dataclass(frozen=True, kw_only=True)
class DefectEnergetics:
    """Everything that `simtools defects` found."""

    recipe: StaticRecipe
    force_identity: dict
    force_facts: dict  # what an external calculator is made of; empty for a force field of ours
    host: HostRow
    defects: tuple[DefectRow, ...]
    reactions: tuple[ReactionEnergy, ...]
    binding: tuple[BindingCurve, ...]
    equilibria: tuple[EquilibriumRow, ...]
    warnings: tuple[str, ...]

    def row(self, label: str) -> DefectRow:
        """Return the row of a defect."""
        return next(row for row in self.defects if row.energy.label == label)


def compute_defect_energies(
    recipe: StaticRecipe,
    directory,
    *,
    workers: int = 1,
    stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> DefectEnergetics:
    """Relax everything that a recipe's [energetics] asks for.

    Parameters
    ----------
    recipe
        From `read_static_recipe`.
    directory
        Where relaxed cells are kept; those that are there are not computed again.
    workers
        Processes. The results do not depend on it.
    stop
        Asked between relaxations; True raises KeyboardInterrupt.
    on_progress
        Told the stage, and how many cells of how many are done.

    Raises
    ------
    ConfigError
        For labels, reactions or phases that do not fit the crystal or the forces.
    RunFailedError
        If no start of a defect comes to rest.
    """
    plan = DefectPlan(recipe)
    notes: list[str] = []
    host = relax_host(plan, notes)
    sizes = _repeats(plan, host)
    maker = _JobMaker(plan, host.crystal)
    run = _Runner(directory, workers, stop, on_progress)
    chosen = _lowest_starts(plan, host, maker, run, sizes[0])
    rows = _isolated(plan, host, maker, run, chosen, sizes, notes)
    energies = {row.energy.label: row.energy.energy_eV for row in rows}
    crystals = {**host.phases, host.formula: host.crystal}
    pressure = plan.table.pressure_GPa
    phases = {formula: crystal.enthalpy_eV(pressure) for formula, crystal in crystals.items()}
    if pressure:
        notes.append(f"at {pressure:g} GPa: energies of reactions are enthalpies, p V of the phases included")
    reactions = tuple(
        reaction_energy(name, reaction, energies, phases) for name, reaction in plan.reactions.items()
    )
    curves = _binding(plan, host, maker, run, {row.energy.label: row.energy for row in rows}, notes)
    if host.dielectric_static is None:
        notes.append(
            "the calculator gives no polarisation: no dielectric tensor, so charged cells are not corrected; "
            "the isolated limit is the extrapolation in 1/V alone"
        )
    facts = plan.forces.facts()
    if facts:
        notes.append(f"forces: {engine_sentence(facts)}")
        charged = [str(label) for label in plan.labels if label.charge]
        notes += [_CHARGES_UNKNOWN.format(", ".join(charged))] if charged else []
    return DefectEnergetics(
        recipe=recipe,
        force_identity=plan.forces.identity(),
        force_facts=facts,
        host=host,
        defects=rows,
        reactions=reactions,
        binding=curves,
        equilibria=equilibria(recipe, host, rows, plan.charges, notes),
        warnings=tuple(notes),
    )


class _JobMaker:
    """Makes the jobs of one host."""

    def __init__(self, plan, crystal):
        self.common = {
            "potential": dict(plan.forces.table),
            "force_identity": plan.forces.identity(),
            "crystal": crystal_record(crystal.atoms),
            "max_force_eV_per_A": plan.table.max_force_eV_per_A,
            "seed": _SEED,
            "relative_to": plan.relative_to,
        }

    def __call__(self, name, placed, repeats, *, pressure_GPa=None):
        return RelaxationJob(
            name=_file_name(f"{name}-{repeats}"),
            placed=tuple(placed_record(defect) for defect in placed),
            repeats=repeats,
            pressure_GPa=pressure_GPa,
            **self.common,
        )


class _Runner:
    """Runs jobs with the same directory, workers and reporting."""

    def __init__(self, directory, workers, stop, on_progress):
        self.directory, self.workers, self.stop, self.on_progress = directory, workers, stop, on_progress

    def __call__(self, stage, jobs):
        return run_relaxations(
            jobs,
            self.directory,
            workers=self.workers,
            stop=self.stop,
            on_done=lambda done, total: self.on_progress(stage, done, total),
        )


def _repeats(plan, host):
    """Return the supercells in cells of the settled host, ascending."""
    table, n = plan.table, host.repeats
    sizes = sorted(size // n for size in table.supercells if size % n == 0)
    if len(sizes) < FEWEST_SIZES or (plan.associates and table.binding_supercell % n):
        raise ConfigError(
            f"{plan.where} supercells = {list(table.supercells)}, binding_supercell = "
            f"{table.binding_supercell}: {plan.formula} settles into a cell of {n} x {n} x {n}, so expected "
            f"multiples of {n}, three at least, such as {[2 * n, 3 * n, 4 * n]}"
        )
    return sizes


def _lowest_starts(plan, host, maker, run, smallest):
    """Return for each label its lowest start and what was found about all of them, in the smallest cell."""
    symmetry = crystal_symmetry(host.crystal.atoms)
    starts: list[tuple[KrogerVink, Candidate]] = []
    for label in plan.labels:
        separation = DUMBBELL_SEPARATION * (
            nearest_distance_A(host.crystal.atoms, label.site) if label.is_dumbbell else 1.0
        )
        try:
            found = defect_candidates(label, host.crystal.atoms, separation_A=separation, symmetry=symmetry)
        except ConfigError as error:
            raise ConfigError(f"{plan.where} {label}: {error}") from error
        starts += [(label, candidate) for candidate in found]
    jobs = [
        maker(str(label), place_in_supercell([candidate.placed], smallest), smallest)
        for label, candidate in starts
    ]
    cells = run("starts", jobs)
    return {
        label: _lowest(
            label,
            [
                pair
                for (name, _), pair in zip(starts, zip(starts, cells, strict=True), strict=True)
                if name == label
            ],
            host.crystal.formula_units,
        )
        for label in plan.labels
    }


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    candidate: Candidate
    states: tuple
    starts: tuple


def _lowest(label, mine, formula_units):
    at_rest = [(candidate, cell) for (_, candidate), cell in mine if cell.failed is None]
    if not at_rest:
        raise RunFailedError(f"{label}: no start came to rest; {mine[0][1].failed}")
    lowest = min(cell.energy_eV for _, cell in at_rest)
    equal = [item for item in at_rest if item[1].energy_eV < lowest + SAME_ENERGY_EV]
    candidate, _ = min(
        equal, key=lambda item: (item[1].turned_deg > SAME_AXIS_DEG, item[1].max_displacement_A)
    )
    staying = tuple(
        (other.multiplicity / formula_units, cell.energy_eV - lowest)
        for other, cell in at_rest
        if cell.turned_deg <= SAME_AXIS_DEG and _stayed(label, other, cell)
    )
    return _Chosen(
        candidate=candidate,
        states=staying or ((candidate.multiplicity / formula_units, 0.0),),
        starts=tuple(
            (
                other.description,
                cell.energy_eV - lowest,
                cell.failed or " + ".join(str(found) for found, _ in cell.final_defects()),
            )
            for (_, other), cell in mine
        ),
    )


def _stayed(label, candidate, cell):
    if label.is_interstitial:
        return False
    return cell.final_defects() == ((label, candidate.placed.site_index),)


def _isolated(plan, host, maker, run, chosen, sizes, notes):
    jobs = [
        maker(str(label), place_in_supercell([chosen[label].candidate.placed], size), size)
        for label in plan.labels
        for size in sizes
    ]
    cells = iter(run("sizes", jobs))
    rows = []
    for label in plan.labels:
        mine = [next(cells) for _ in sizes]
        for size, cell in zip(sizes, mine, strict=True):
            if cell.failed is not None:
                raise RunFailedError(f"{label} in {size} x {size} x {size}: {cell.failed}")
        kinds = {tuple(str(found) for found, _ in cell.final_defects()) for cell in mine}
        if len(kinds) > 1:
            notes.append(
                f"{label} relaxes to different states in cells of different size ("
                + "; ".join(" + ".join(kind) for kind in sorted(kinds))
                + "): its isolated limit mixes them"
            )
        energy = isolated_energy(
            str(label),
            [host.repeats * size for size in sizes],
            [np.array(cell.cell_A) for cell in mine],
            [cell.energy_eV for cell in mine],
            charge_e=round(mine[0].net_charge_e, 9),
            dielectric_tensor=host.dielectric_static,
        )
        rows.append(
            DefectRow(
                energy=energy,
                description=chosen[label].candidate.description,
                states=chosen[label].states,
                starts=chosen[label].starts,
            )
        )
    return tuple(rows)


def _binding(plan, host, maker, run, energies, notes) -> tuple[BindingCurve, ...]:
    """Return the binding curve of every associate; the pairs of all are relaxed in one go."""
    table, repeats = plan.table, plan.table.binding_supercell // host.repeats
    if not plan.associates:
        return ()
    pressure = table.pressure_GPa if table.binding_at == "pressure" else None
    supercell = build_supercell(host.crystal.atoms, repeats)
    symmetry = crystal_symmetry(supercell)
    todo = []
    for associate in plan.associates:
        pair = pair_of(associate)
        charge = sum(member.charge for member in pair)
        if pressure is not None and charge:
            raise ConfigError(
                f'{plan.where} binding_at = "pressure": {associate} carries {charge:+d} e, and a charged '
                'cell has no pressure; give binding_at = "volume"'
            )
        found = distinct_configurations(supercell, pair_counts(pair), symmetry=symmetry)
        todo += [(associate, item) for item in _thinned(found, table.binding_per_shell)]
    jobs = [maker(name, placed_pair(item.defects), repeats, pressure_GPa=pressure) for name, item in todo]
    cells = run("pairs", jobs)
    curves = []
    for associate in plan.associates:
        mine = [(item, cell) for (name, item), cell in zip(todo, cells, strict=True) if name == associate]
        curve = _curve(associate, mine, supercell, energies, host, table.binding_supercell, notes)
        curves.append(curve)
    return tuple(curves)


def _thinned(configurations, per_shell):
    """Return all pairs of the nearest shell and at most `per_shell` of each other one, the most frequent."""
    shells: list[list] = []
    for item in configurations:
        if not shells or item.distances_A[0] > shells[-1][0].distances_A[0] + SAME_SHELL_A:
            shells.append([])
        shells[-1].append(item)
    kept = list(shells[0])
    for shell in shells[1:]:
        kept += sorted(shell, key=lambda item: -item.multiplicity)[:per_shell]
    return kept


def _curve(associate, mine, supercell, energies, host, repeats, notes):
    pair, states = pair_of(associate), []
    for item, cell in mine:
        if cell.failed is not None:
            notes.append(f"{associate} at {item.distances_A[0]:.2f} Å is left out: {cell.failed}")
            continue
        states.append(
            PairState(
                distance_A=item.distances_A[0],
                shell=item.shell,
                multiplicity=item.multiplicity,
                energy_eV=cell.energy_eV,
                final_distance_A=pair_distance_A(cell.final_defects(), pair, supercell),
            )
        )
    energy, half = isolated_reference(
        [energies[str(member)] for member in pair],
        repeats=repeats,
        cell_A=supercell.cell.array,
        distance_A=min((state.distance_A for state in states if not state.moved), default=0.0),
        dielectric_tensor=host.dielectric_static,
        tolerance_eV=SAME_ENERGY_EV,
    )
    curve = binding_curve(associate, states, isolated_energy_eV=energy, isolated_half_width_eV=half)
    moved = [state for state in curve.states if state.moved]
    if moved:
        where = "; ".join(
            f"{state.distance_A:.2f} Å to "
            + ("no pair of sites" if state.final_distance_A is None else f"{state.final_distance_A:.2f} Å")
            for state in moved
        )
        notes.append(f"{associate} does not stay where it is put: {where}")
    return curve


def _file_name(text):
    """Return a text as part of a file name: charges spelt out, nothing but letters, digits, _ and -."""
    spelt = text.replace("'", "m").replace(".", "p").replace(" ", "+")
    return "".join(letter for letter in spelt if letter.isalnum() or letter in "_+-")
