"""[[molecule]] tables of a force-field file: read, checked, sourced. The rest of the file: schema.py."""

from __future__ import annotations

import itertools
import re

import numpy as np
from ase.data import atomic_numbers

from potentials.force_field import Parameter
from potentials.molecules import (
    ANGLE_UNITS,
    BOND_FORMS,
    BOND_UNITS,
    Angle,
    Bond,
    HarmonicAngle,
    Molecule,
    spanning_order,
)

EXCLUSIONS = ("intramolecular",)
MOLECULE_KEYS = ("name", "formal_charge_e", "exclude", "rigid", "geometry", "atoms", "bonds", "angles")
LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
REST_LENGTH_A, REST_ANGLE_DEG = 0.02, 1.0
"""By how much the rest geometry may differ from the minimum of each bond and angle."""
NEUTRAL_E = 2e-4
"""Partial charges are tabulated with four digits: by so much may their sum miss a whole number of charges."""


def read_elements(reader, tables) -> dict[str, str]:
    """Return {species: element} of the [species] tables that name one."""
    elements = {}
    for label, table in tables.items():
        if "element" not in table:
            continue
        where = f"[species.{label}]"
        element = reader.text(table, "element", where)
        if element not in atomic_numbers or element == "X":
            reader.fail(where, f"element = {element!r} is no chemical symbol")
        if not LABEL.fullmatch(label):
            reader.fail(where, "a species' name may hold only letters, digits and '_'")
        if element != label:
            elements[label] = element
    return elements


def check_elements(reader, elements, formal, masses):
    """Refuse species of one element that differ in what is counted per element."""
    for what, values in (("formal_charge_e", formal), ("mass_amu", masses)):
        found = {}
        for species, value in values.items():
            other, known = found.setdefault(elements.get(species, species), (species, value))
            if known != value:
                reader.fail(
                    f"[species.{species}]",
                    f"{what} = {value:g} differs from {known:g} of {other}, the same element; analyses count "
                    "both by element",
                )


def read_molecules(reader, species, elements, charges, formal) -> dict[str, Molecule]:
    """Return the molecules of the file by name; every complaint carries the file and the table."""
    molecules = {}
    for index, row in enumerate(reader.rows("molecule")):
        where = f"[[molecule]] entry {index + 1}"
        reader.check_keys(row, MOLECULE_KEYS, where)
        name = reader.text(row, "name", where)
        where = f"[[molecule]] {name}"
        if not LABEL.fullmatch(name) or name in species:
            reader.fail(where, "a molecule's name may hold only letters, digits and '_', and be no species")
        if name in molecules:
            reader.fail(where, "this molecule is given twice")
        molecules[name] = _Molecule(reader, row, name, where, elements).read(species, charges, formal)
    owners = {}
    for name, molecule in molecules.items():
        for label in set(molecule.species):
            if label in owners:
                reader.fail(
                    f"[[molecule]] {name}",
                    f"species {label} belongs to {owners[label]} already; give each molecule species of its "
                    "own (two species may share an element)",
                )
            owners[label] = name
    return molecules


class _Molecule:
    """One [[molecule]] table."""

    def __init__(self, reader, row, name, where, elements):
        self.reader, self.row, self.name, self.where, self.elements = reader, row, name, where, elements

    def read(self, species, charges, formal) -> Molecule:
        reader, row, where = self.reader, self.row, self.where
        exclude = reader.text(row, "exclude", where)
        if exclude not in EXCLUSIONS:
            reader.fail(where, f"exclude = {exclude!r} must be {', '.join(map(repr, EXCLUSIONS))}")
        rigid = reader.get(row, "rigid", where)
        if not isinstance(rigid, bool):
            reader.fail(where, f"rigid = {rigid!r} must be true or false")
        charge = reader.sourced(row, "formal_charge_e", self.name, "formal charge", "e", where)
        self.labels, self.geometry = self.atoms(species)
        bonds = tuple(self.bond(k, table, rigid) for k, table in enumerate(self.tables("bonds")))
        angles = tuple(self.angle(k, table, rigid) for k, table in enumerate(self.tables("angles")))
        self.check_bonds(bonds)
        self.check_charge(charge, charges, formal)
        molecule = Molecule(
            name=self.name,
            species=self.labels,
            elements=tuple(self.elements.get(label, label) for label in self.labels),
            positions_A=tuple(map(tuple, self.geometry.tolist())),
            formal_charge_e=int(charge),
            is_rigid=rigid,
            bonds=bonds,
            angles=angles,
        )
        if len(spanning_order(molecule)) < len(self.labels):
            reader.fail(where, "its bonds do not hold all its atoms together")
        self.check_strays(molecule)
        self.geometry_parameters()
        return molecule

    def tables(self, key) -> list:
        tables = self.row.get(key, [])
        if not isinstance(tables, list):
            self.reader.fail(self.where, f"{key}: expected an array of tables, written [[molecule.{key}]]")
        return tables

    def atoms(self, species):
        reader, labels, positions = self.reader, [], []
        atoms = reader.get(self.row, "atoms", self.where)
        if not isinstance(atoms, list) or len(atoms) < 2:
            reader.fail(
                self.where, "atoms must list at least two tables { species = ..., position_A = [x, y, z] }"
            )
        for k, atom in enumerate(atoms):
            where = f"{self.where} atom {k}"
            reader.check_keys(atom, ("species", "position_A"), where)
            label = reader.text(atom, "species", where)
            if label not in species:
                reader.fail(where, f"species = {label!r} has no [species] table")
            place = reader.get(atom, "position_A", where)
            if not isinstance(place, list) or len(place) != 3:
                reader.fail(where, f"position_A = {place!r} must be three numbers, Å")
            labels.append(label)
            positions.append([reader.number({"position_A": x}, "position_A", where) for x in place])
        return tuple(labels), np.array(positions)

    def indices(self, table, key, size, where):
        rows = self.reader.get(table, key, where)
        example = [[0, 1], [0, 1, 2]][size - 2]
        fits = isinstance(rows, list) and rows
        for row in rows if fits else ():
            fits = fits and isinstance(row, list) and len(row) == size and len(set(map(str, row))) == size
            fits = fits and all(type(n) is int and 0 <= n < len(self.labels) for n in row)
        if not fits:
            self.reader.fail(
                where,
                f"{key} = {rows!r} must list groups of {size} different atoms, counted from 0 to "
                f"{len(self.labels) - 1}, such as [{example}]",
            )
        return tuple(map(tuple, rows))

    def bond(self, k, table, rigid) -> Bond:
        reader, where = self.reader, f"{self.where} bonds entry {k + 1}"
        if not isinstance(table, dict):
            reader.fail(where, f"expected a table, got {table!r}")
        kind = reader.text(table, "form", where)
        if kind not in BOND_FORMS:
            reader.fail(where, f"form = {kind!r} must be one of {', '.join(BOND_FORMS)}")
        if rigid != (kind == "rigid"):
            expected = 'form = "rigid"' if rigid else "a form with an energy (harmonic, morse)"
            reader.fail(where, f"form = {kind!r}, expected {expected} with rigid = {str(rigid).lower()}")
        units = {**BOND_UNITS[kind], "longest_A": "Å"}
        reader.check_keys(table, ("form", "pairs", *units, "source", "confidence", "note"), where)
        pairs = self.indices(table, "pairs", 2, where)
        values = {name: reader.positive(table, name, where) for name in units}
        self.parameters(table, f"bond {self.label(pairs[0])}", values, units, where)
        longest = values.pop("longest_A")
        for pair in pairs:
            length = self.distance(*pair)
            if "r0" in values and abs(length - values["r0"]) > REST_LENGTH_A:
                reader.fail(
                    where,
                    f"atoms {list(pair)} rest {length:.4f} Å apart, r0 = {values['r0']:g} Å: expected the "
                    f"same within {REST_LENGTH_A} Å",
                )
            if length >= longest:
                reader.fail(where, f"atoms {list(pair)} rest {length:.4f} Å apart, beyond longest_A")
        form = BOND_FORMS[kind](**values) if values else None
        return Bond(pairs, kind, form, longest)

    def angle(self, k, table, rigid) -> Angle:
        reader, where = self.reader, f"{self.where} angles entry {k + 1}"
        reader.check_keys(table, ("form", "triples", *ANGLE_UNITS, "source", "confidence", "note"), where)
        if rigid:
            reader.fail(where, "a rigid molecule has no angle terms; its geometry says the angles")
        kind = reader.text(table, "form", where)
        if kind != "harmonic":
            reader.fail(where, f"form = {kind!r} must be 'harmonic'")
        triples = self.indices(table, "triples", 3, where)
        values = {name: reader.positive(table, name, where) for name in ANGLE_UNITS}
        if not values["theta0_deg"] < 180.0:
            reader.fail(where, f"theta0_deg = {values['theta0_deg']:g} must be less than 180")
        for i, j, k_ in triples:
            arms = self.geometry[[i, k_]] - self.geometry[j]
            arms /= np.linalg.norm(arms, axis=1)[:, None]
            rest = float(np.degrees(np.arccos(np.clip(arms[0] @ arms[1], -1.0, 1.0))))
            if abs(rest - values["theta0_deg"]) > REST_ANGLE_DEG:
                reader.fail(
                    where,
                    f"atoms {[i, j, k_]} rest at {rest:.3f}°, theta0_deg = {values['theta0_deg']:g}: "
                    f"expected the same within {REST_ANGLE_DEG:g}°",
                )
        self.parameters(table, f"angle {self.label(triples[0])}", values, ANGLE_UNITS, where)
        return Angle(triples, HarmonicAngle(**values))

    def parameters(self, table, group, values, units, where):
        source, note = self.reader.source(table, where), self.reader.note(table, where)
        marks = self.reader.parameter_marks(table, list(values), where)
        self.reader.parameters += [
            Parameter(self.name, group, name, value, units[name], source, marks[name], note)
            for name, value in values.items()
        ]

    def geometry_parameters(self):
        where = f"{self.where} geometry"
        table = self.reader.get(self.row, "geometry", self.where)
        self.reader.check_keys(table, ("source", "confidence", "note"), where)
        source, note = self.reader.source(table, where), self.reader.note(table, where)
        mark = self.reader.mark(self.reader.get(table, "confidence", where), where)
        distances = dict.fromkeys(
            (self.label(pair), round(self.distance(*pair), 6))
            for pair in itertools.combinations(range(len(self.labels)), 2)
        )
        self.reader.parameters += [
            Parameter(self.name, "geometry", f"{pair} distance", value, "Å", source, mark, note)
            for pair, value in distances
        ]

    def check_bonds(self, bonds):
        pairs = [tuple(sorted(pair)) for bond in bonds for pair in bond.pairs]
        for pair in pairs:
            if pairs.count(pair) > 1:
                self.reader.fail(self.where, f"the bond of atoms {list(pair)} is given twice")

    def check_charge(self, charge, charges, formal):
        whole = sum(formal[label] for label in self.labels)
        if charge != whole:
            self.reader.fail(
                self.where,
                f"formal_charge_e = {charge:g}, but the formal charges of its atoms add up to {whole}",
            )
        total = sum(charges[label] for label in self.labels)
        if total * charge < 0 or (charge != 0) != (abs(total) > NEUTRAL_E):
            self.reader.fail(
                self.where,
                f"the charges of its atoms add up to {total:g} e, its formal charge is {charge:g} e",
            )

    def check_strays(self, molecule):
        """Refuse a geometry in which atoms that are not bonded would be taken for bonded."""
        reach = {}
        for i, j in molecule.bonded_pairs:
            kind = frozenset((molecule.elements[i], molecule.elements[j]))
            reach[kind] = max(reach.get(kind, 0.0), molecule.longest_bond_A(i, j))
        for i, j in itertools.combinations(range(molecule.n_atoms), 2):
            kind = frozenset((molecule.elements[i], molecule.elements[j]))
            if (i, j) not in molecule.bonded_pairs and self.distance(i, j) < reach.get(kind, 0.0):
                self.reader.fail(
                    self.where, f"atoms {[i, j]} are not bonded but nearer than the bonds' longest_A"
                )

    def label(self, atoms) -> str:
        return "-".join(self.labels[n] for n in atoms)

    def distance(self, i, j) -> float:
        return float(np.linalg.norm(self.geometry[i] - self.geometry[j]))
