"""What a recipe's [energetics] asks for, read and checked against its crystal and its forces."""

from pathlib import Path

from simtools.core.errors import ConfigError
from simtools.defects.binding import pair_of
from simtools.defects.kroger_vink import KrogerVink
from simtools.defects.reactions import Reaction
from simtools.defects.reservoirs import chemical_potentials_eV
from simtools.structures.prototypes import PROTOTYPES
from workflows.forces import Forces, forces_of
from workflows.statics import StaticRecipe, refuse_lammps
from workflows.values import suggestion

__all__ = ["DefectPlan"]

FEWEST_SIZES = 3


class DefectPlan:
    """What the recipe asks for, checked against its forces: labels, reactions, phases."""

    def __init__(self, recipe: StaticRecipe):
        if recipe.energetics is None:
            raise ConfigError(f"{recipe.source}: the table [energetics] is missing")
        self.recipe, self.table = recipe, recipe.energetics
        record = recipe.to_dict()
        self.where = f"{recipe.source}: [energetics]"
        self.structure = record["structure"]
        self.relative_to = str(Path(recipe.source).resolve().parent)
        refuse_lammps(recipe)
        self.forces: Forces = forces_of(
            record["potential"], where=f"{recipe.source}: [potential] ", relative_to=self.relative_to
        )
        self.charges = self.forces.formal_charges_e
        self.formula = self.structure["formula"]
        self.phases = self._read_phases()
        self.reactions = self._read_reactions()
        self.associates = tuple(self.table.binding or ())
        self.labels = self._read_labels()
        self._check_background()
        self._check_conditions()
        if len(self.table.supercells) < FEWEST_SIZES:
            raise ConfigError(
                f"{self.where} supercells = {list(self.table.supercells)}: expected at least three sizes: "
                "the isolated limit and its error come from them"
            )

    def _read_phases(self):
        phases = self.table.phases or {}
        for formula, prototype in phases.items():
            if prototype not in PROTOTYPES:
                raise ConfigError(
                    f"{self.where} phases: {formula} = {prototype!r} is no prototype"
                    f"{suggestion(prototype, PROTOTYPES)}"
                )
        return phases

    def _read_reactions(self):
        reactions = {}
        for name, text in (self.table.reactions or {}).items():
            try:
                reaction = Reaction.parse(text, host=self.formula, formal_charges_e=self.charges)
            except ConfigError as error:
                raise ConfigError(f"{self.where} reactions: {name}: {error}") from error
            for _, term in reaction.reactants + reaction.products:
                if isinstance(term, str) and term != self.formula and term not in self.phases:
                    raise ConfigError(
                        f"{self.where} reactions: {name} needs the phase {term}; add it to phases with its "
                        f'prototype, as in {{ {term} = "rocksalt" }}'
                    )
                if not isinstance(term, str) and not isinstance(term, KrogerVink):
                    raise ConfigError(
                        f"{self.where} reactions: {name}: {term} is an associate; write its members one by "
                        "one (their binding is asked for with binding)"
                    )
            reactions[name] = reaction
        return reactions

    def _read_labels(self):
        try:
            labels = [KrogerVink.parse(text) for text in self.table.defects]
            for associate in self.associates:
                labels += pair_of(associate)
        except ConfigError as error:
            raise ConfigError(f"{self.where} {error}") from error
        for reaction in self.reactions.values():
            for _, term in reaction.reactants + reaction.products:
                if isinstance(term, KrogerVink) and not term.is_regular:
                    labels.append(term)
        for label in labels:
            if label.is_regular:
                raise ConfigError(f"{self.where} {label} is an ion on its own site, no defect")
            try:
                expected = KrogerVink.from_charges(label.species, label.site, self.charges)
            except ConfigError as error:
                raise ConfigError(f"{self.where} {label}: {error}") from error
            if label != expected:
                raise ConfigError(f"{self.where} {label} should be {expected} by the formal charges")
            if label.n_ions > 1 and not label.is_dumbbell:
                raise ConfigError(
                    f"{self.where} {label}: no more than two ions can share a site here, and no molecular "
                    "ion; expected vacancies, single ions and dumbbells"
                )
        return tuple(dict.fromkeys(labels))

    def _check_conditions(self):
        for condition, phase in (self.table.conditions or {}).items():
            if phase not in self.phases:
                raise ConfigError(
                    f"{self.where} conditions: {condition} = {phase!r} is not among the phases"
                    f"{suggestion(phase, self.phases)}"
                )
            try:
                chemical_potentials_eV({self.formula: 0.0, phase: 0.0}, self.charges)
            except ConfigError as error:
                raise ConfigError(f"{self.where} conditions: {condition}: {error}") from error

    def _check_background(self):
        charged = [str(label) for label in self.labels if label.charge]
        field = self.forces.force_field
        if field is None or not field.is_charged or not charged:
            return
        if self.forces.table.get("net_charge") != "background":
            raise ConfigError(
                f'{self.recipe.source}: [potential] needs net_charge = "background": the cells with '
                f"{', '.join(charged[:3])} carry a charge, which a uniform background has to neutralise"
            )
