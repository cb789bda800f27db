"""Force fields as data: a cited TOML file in, a frozen and fully checked `ForceField` out.

Pair terms are read by `pair_schema.py`, molecules by `molecule_schema.py`, single values by
`table_reader.py`. What a `ForceField` can answer is in `force_field.py`; the forms themselves are in
`forms.py`; forces on atoms are the calculator's business.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import fields
from pathlib import Path

from potentials.force_field import (
    CONFIDENCE_MARKS,
    LOW_CONFIDENCE,
    ForceField,
    ForceFieldError,
    PairTerm,
    Parameter,
    Regression,
    Shell,
    sorted_pair,
)
from potentials.forms import FORMS
from potentials.molecule_schema import check_elements, read_elements, read_molecules
from potentials.molecules import Molecule
from potentials.pair_schema import check_every_pair, read_no_interaction, read_pairs
from potentials.table_reader import TableReader, suggestion
from simtools.core.files import UnusualFileError, read_regular

__all__ = [
    "CONFIDENCE_MARKS",
    "LOW_CONFIDENCE",
    "ForceField",
    "ForceFieldError",
    "Molecule",
    "PairTerm",
    "Parameter",
    "Regression",
    "Shell",
    "list_force_fields",
    "load_force_field",
    "parse_force_field",
    "sorted_pair",
]

DATA_DIRECTORY = Path(__file__).parent / "data"
TEMPLATE_DIRECTORY = DATA_DIRECTORY / "templates"

CUTOFF_MODES = ("truncated", "shifted")
UNITS = {"energy": "eV", "length": "angstrom", "charge": "e", "mass": "amu"}
SHELL_UNITS = {"charge_e": "e", "spring_eV_per_A2": "eV/Å²", "quartic_spring_eV_per_A4": "eV/Å⁴"}
REGRESSION_UNITS = {
    "lattice_parameter_A": "Å",
    "lattice_parameter_c_A": "Å",
    "bond_length_A": "Å",
    "energy_per_formula_unit_eV": "eV",
    "C11_GPa": "GPa",
    "C12_GPa": "GPa",
    "C44_GPa": "GPa",
    "static_dielectric_constant": "",
    "high_frequency_dielectric_constant": "",
}
PROTOTYPES = ("antiperovskite", "rocksalt", "fcc", "cscl", "lioh")


def list_force_fields() -> list[str]:
    """Return the names of the shipped force fields, sorted."""
    return sorted(path.stem for path in DATA_DIRECTORY.glob("*.toml"))


def list_templates() -> list[str]:
    """Return the names of the shipped molecule templates, sorted."""
    return sorted(path.stem for path in TEMPLATE_DIRECTORY.glob("*.toml"))


def load_force_field(name_or_path) -> ForceField:
    """Return a shipped force field by name, or one of your own by the path of its TOML file.

    Raises
    ------
    ForceFieldError
        If there is no such file, or anything in it is unknown, missing, doubled or impossible; the
        message names the file, the table, the key, the value and what was expected.
    """
    text = str(name_or_path)
    shipped = DATA_DIRECTORY / f"{text}.toml"
    if text in list_force_fields():
        path = shipped
    elif text.endswith(".toml") or isinstance(name_or_path, Path):
        path = Path(name_or_path)
    elif text in list_templates():
        raise ForceFieldError(
            f"{text!r} is a template (geometry and charges of one anion) and cannot be run: the pair terms "
            "of its atoms with each other and with every other ion are missing; write them into a force "
            "field of your own, or choose one of: " + ", ".join(list_force_fields())
        )
    else:
        hint = suggestion(text, list_force_fields())
        raise ForceFieldError(
            f"no force field {text!r}{hint}; shipped: {', '.join(list_force_fields())}; "
            "or give the path of a .toml file"
        )
    try:
        content = read_regular(path)
    except OSError as error:
        raise ForceFieldError(f"{path}: cannot read this force field ({error.strerror})") from error
    except UnusualFileError as error:
        raise ForceFieldError(f"cannot read this force field: {error}") from error
    return parse_force_field(content, path=str(path))


def parse_force_field(content: bytes, *, path: str) -> ForceField:
    """Return the `ForceField` written in `content` (TOML); `path` names it in error messages."""
    try:
        data = tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ForceFieldError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    except (ValueError, RecursionError) as error:
        raise ForceFieldError(f"{path}: not valid TOML: {error}") from error
    return _Reader(data, path).force_field(hashlib.sha256(content).hexdigest())


def read_template(content: bytes, *, path: str) -> dict:
    """Return what a template's file says: see `potentials.templates.MoleculeTemplate`."""
    return _Reader(tomllib.loads(content.decode("utf-8")), path).template()


class _Reader(TableReader):
    """Puts a force field, or a template, together from the tables of one file."""

    def force_field(self, sha256: str) -> ForceField:
        tables = ("model", "references", "cutoff", "species", "no_interaction", "regression", "molecule")
        self.check_keys(self.data, (*tables, *FORMS), "top level")
        model = self.model()
        self.references = self.read_references()
        cutoff_A, cutoff_mode = self.cutoff()
        species, charges, formal, masses, shells, elements = self.species()
        molecules = read_molecules(self, species, elements, charges, formal)
        if shells and (molecules or elements):
            self.fail(
                f"[species.{next(iter(shells))}.shell]",
                "shells and molecules (or several species of one element) do not go together; leave one out",
            )
        pairs = read_pairs(self, species, cutoff_A)
        absent = read_no_interaction(self, species)
        check_every_pair(self, species, pairs, absent)
        bound = {label for molecule in molecules.values() for label in molecule.species}
        self.check_charge_ratio({s: charge for s, charge in charges.items() if s not in bound}, formal)
        return ForceField(
            name=model["name"],
            version=model["version"],
            description=model["description"],
            species=tuple(species),
            charges_e=charges,
            formal_charges_e=formal,
            masses_amu=masses,
            pairs=pairs,
            no_interaction=absent,
            cutoff_A=cutoff_A,
            cutoff_mode=cutoff_mode,
            references=self.references,
            regression=self.regression({elements.get(label, label) for label in species}),
            parameters=tuple(self.parameters),
            sha256=sha256,
            path=self.path,
            shells=shells,
            elements=elements,
            molecules=molecules,
        )

    def template(self) -> dict:
        self.check_keys(self.data, ("model", "references", "species", "molecule"), "top level")
        model = self.model()
        self.references = self.read_references()
        species, charges, formal, masses, shells, elements = self.species()
        molecules = read_molecules(self, species, elements, charges, formal)
        if len(molecules) != 1 or shells:
            self.fail("[[molecule]]", f"a template holds one molecule and no shells, got {len(molecules)}")
        (molecule,) = molecules.values()
        return {
            **model,
            "molecule": molecule,
            "charges_e": charges,
            "formal_charges_e": formal,
            "masses_amu": masses,
            "references": self.references,
            "parameters": tuple(self.parameters),
        }

    def model(self) -> dict:
        table = self.get(self.data, "model", "top level")
        self.check_keys(table, ("name", "version", "description", "units"), "[model]")
        units = self.get(table, "units", "[model]")
        self.check_keys(units, tuple(UNITS), "[model] units")
        for kind, unit in UNITS.items():
            if kind not in units:
                self.fail("[model] units", f"unit of {kind} is missing; expected {kind} = {unit!r}")
            if units[kind] != unit:
                self.fail("[model] units", f"{kind} = {units[kind]!r} is not understood; expected {unit!r}")
        return {key: self.text(table, key, "[model]") for key in ("name", "version", "description")}

    def read_references(self) -> dict:
        references = self.get(self.data, "references", "top level")
        if not isinstance(references, dict):
            self.fail("[references]", f"expected a table, got {references!r}")
        for key, table in references.items():
            where = f"[references.{key}]"
            self.check_keys(table, ("citation", "doi", "url", "location"), where)
            self.text(table, "citation", where)
            for optional in table:
                self.text(table, optional, where)
        return references

    def cutoff(self) -> tuple[float, str]:
        table = self.get(self.data, "cutoff", "top level")
        self.check_keys(table, ("radius_A", "mode", "source", "confidence", "note"), "[cutoff]")
        radius = self.positive(table, "radius_A", "[cutoff]")
        mode = self.text(table, "mode", "[cutoff]")
        if mode not in CUTOFF_MODES:
            hint = suggestion(mode, CUTOFF_MODES)
            self.fail("[cutoff]", f"mode = {mode!r} must be one of {', '.join(CUTOFF_MODES)}{hint}")
        mark = self.mark(self.get(table, "confidence", "[cutoff]"), "[cutoff]")
        source, note = self.source(table, "[cutoff]"), self.text(table, "note", "[cutoff]")
        self.parameters.append(Parameter("all pairs", "cutoff", mode, radius, "Å", source, mark, note))
        return radius, mode

    def species(self):
        tables = self.get(self.data, "species", "top level")
        if not isinstance(tables, dict) or not tables:
            self.fail("[species]", "expected one table per species, e.g. [species.Li]")
        charges, formal, masses, shells = {}, {}, {}, {}
        for symbol, table in tables.items():
            where = f"[species.{symbol}]"
            self.check_keys(table, ("element", "charge_e", "formal_charge_e", "mass_amu", "shell"), where)
            charges[symbol] = self.sourced(table, "charge_e", symbol, "charge", "e")
            whole = self.sourced(table, "formal_charge_e", symbol, "formal charge", "e")
            if whole != int(whole):
                self.fail(where, f"formal_charge_e = {whole:g} must be an integer (conductivity uses it)")
            formal[symbol] = int(whole)
            masses[symbol] = self.sourced(table, "mass_amu", symbol, "mass", "amu")
            if masses[symbol] <= 0:
                self.fail(where, f"mass_amu = {masses[symbol]:g} must be greater than 0")
            if "shell" in table:
                shells[symbol] = self.shell(table["shell"], symbol)
        elements = read_elements(self, tables)
        check_elements(self, elements, formal, masses)
        return list(tables), charges, formal, masses, shells, elements

    def shell(self, table: dict, symbol: str) -> Shell:
        where = f"[species.{symbol}.shell]"
        self.check_keys(table, tuple(SHELL_UNITS), where)
        values = {
            key: self.sourced(table, key, symbol, "shell", unit, where)
            for key, unit in SHELL_UNITS.items()
            if key in table or key != "quartic_spring_eV_per_A4"
        }
        if values["charge_e"] == 0.0:
            self.fail(where, "charge_e = 0 polarises nothing; leave the shell out for a rigid ion")
        if values["spring_eV_per_A2"] <= 0.0:
            self.fail(where, f"spring_eV_per_A2 = {values['spring_eV_per_A2']:g} must be greater than 0")
        if values.get("quartic_spring_eV_per_A4", 0.0) < 0.0:
            quartic = values["quartic_spring_eV_per_A4"]
            self.fail(where, f"quartic_spring_eV_per_A4 = {quartic:g} must not be negative")
        return Shell(**values)

    def check_charge_ratio(self, charges, formal):
        for symbol, charge in charges.items():
            if charge * formal[symbol] < 0:
                self.fail(
                    f"[species.{symbol}]",
                    f"charge_e = {charge:g} and formal_charge_e = {formal[symbol]} have opposite signs",
                )

    def regression(self, species) -> tuple[Regression, ...]:
        known = tuple(f.name for f in fields(Regression) if f.name != "unit")
        entries = []
        for index, row in enumerate(self.rows("regression")):
            where = f"[[regression]] entry {index + 1}"
            self.check_keys(row, known, where)
            quantity = self.text(row, "quantity", where)
            if quantity not in REGRESSION_UNITS:
                hint = suggestion(quantity, REGRESSION_UNITS)
                self.fail(
                    where, f"quantity = {quantity!r} must be one of {', '.join(REGRESSION_UNITS)}{hint}"
                )
            prototype, formula = self.text(row, "prototype", where), self.text(row, "formula", where)
            for symbol in re.findall(r"[A-Z][a-z]?", formula):
                if symbol not in species:
                    self.fail(where, f"formula = {formula!r}: {symbol!r} has no [species] table")
            if prototype not in PROTOTYPES:
                self.fail(where, f"prototype = {prototype!r} must be one of {', '.join(PROTOTYPES)}")
            entries.append(
                Regression(
                    quantity=quantity,
                    prototype=prototype,
                    formula=formula,
                    value=self.number(row, "value", where),
                    unit=REGRESSION_UNITS[quantity],
                    tolerance=self.positive(row, "tolerance", where),
                    source=self.source(row, where),
                    confidence=self.mark(self.get(row, "confidence", where), where),
                    earlier_value=self.number(row, "earlier_value", where)
                    if "earlier_value" in row
                    else None,
                    earlier_cutoff_A=(
                        self.positive(row, "earlier_cutoff_A", where) if "earlier_cutoff_A" in row else None
                    ),
                    note=self.note(row, where),
                )
            )
        measured = {(e.prototype, e.formula) for e in entries if e.quantity == "lattice_parameter_A"}
        for index, entry in enumerate(entries):
            if (entry.prototype, entry.formula) not in measured:
                self.fail(
                    f"[[regression]] entry {index + 1}",
                    f"{entry.formula} ({entry.prototype}) needs a lattice_parameter_A entry as well",
                )
        return tuple(entries)
