"""Force fields as data: a cited TOML file in, a frozen and fully checked `ForceField` out.

Every check of a force-field file lives here. What a `ForceField` can answer is in `force_field.py`; the
forms themselves are in `forms.py`; forces on atoms are the calculator's business.
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
import math
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
from potentials.forms import FORMS, Tabulated
from potentials.molecule_schema import check_elements, read_elements, read_molecules
from potentials.molecules import Molecule
from simtools.core.files import read_regular

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
    "suggestion",
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
SHORTEST_TABLE_POINTS = 4
LENGTHS = ("rho", "sigma", "a", "r0")  # lengths and inverse lengths: greater than 0
STRENGTHS = ("A", "C", "D", "epsilon")  # each form states its sign, so none is negative


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


def suggestion(word: str, known) -> str:
    """Return "; did you mean 'x'?" for the closest of the known words, or nothing."""
    close = difflib.get_close_matches(word, [str(entry) for entry in known], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


class _Reader:
    """Walks the TOML tables of one file; every complaint carries the file and the table."""

    def __init__(self, data: dict, path: str):
        self.data, self.path = data, path
        self.parameters: list[Parameter] = []

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
        pairs = self.pairs(species, cutoff_A)
        absent = self.no_interaction(species)
        self.check_every_pair(species, pairs, absent)
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

    def fail(self, where: str, problem: str):
        raise ForceFieldError(f"{self.path}: {where}: {problem}")

    def check_keys(self, table, known, where: str):
        if not isinstance(table, dict):
            self.fail(where, f"expected a table, got {table!r}")
        for key in sorted(set(table) - set(known)):
            hint = suggestion(key, known)
            self.fail(where, f"unknown key {key!r}{hint}; known: {', '.join(known)}")

    def get(self, table: dict, key: str, where: str):
        if key not in table:
            self.fail(where, f"key {key!r} is missing")
        return table[key]

    def text(self, table: dict, key: str, where: str) -> str:
        value = self.get(table, key, where)
        if not isinstance(value, str) or not value.strip():
            self.fail(where, f"{key} = {value!r} must be a non-empty string")
        return value

    def number(self, table: dict, key: str, where: str) -> float:
        value = self.get(table, key, where)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.fail(where, f"{key} = {value!r} must be a number")
        if not math.isfinite(value):
            self.fail(where, f"{key} = {value!r} must be a finite number")
        return float(value)

    def positive(self, table: dict, key: str, where: str) -> float:
        value = self.number(table, key, where)
        if value <= 0:
            self.fail(where, f"{key} = {value:g} must be greater than 0")
        return value

    def rows(self, key: str) -> list:
        rows = self.data.get(key, [])
        if not isinstance(rows, list):
            self.fail(key, f"expected an array of tables, written [[{key}]], got {rows!r}")
        return rows

    def source(self, table: dict, where: str) -> str:
        key = self.text(table, "source", where)
        if key not in self.references:
            hint = suggestion(key, self.references)
            self.fail(where, f"source = {key!r} names no entry of [references]{hint}")
        return key

    def mark(self, value, where: str) -> str:
        if not isinstance(value, str) or value not in CONFIDENCE_MARKS:
            self.fail(
                where, f"confidence = {value!r} must be one of {', '.join(map(repr, CONFIDENCE_MARKS))}"
            )
        return value

    def note(self, table: dict, where: str) -> str:
        return self.text(table, "note", where) if "note" in table else ""

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

    def sourced(self, table: dict, key: str, symbol: str, group: str, unit: str, where: str = "") -> float:
        where = where or f"[species.{symbol}]"
        entry = self.get(table, key, where)
        where = f"{where} {key}"
        self.check_keys(entry, ("value", "source", "confidence", "note"), where)
        value = self.number(entry, "value", where)
        mark = self.mark(self.get(entry, "confidence", where), where)
        source, note = self.source(entry, where), self.note(entry, where)
        self.parameters.append(Parameter(symbol, group, key, value, unit, source, mark, note))
        return value

    def pair(self, row: dict, where: str, species) -> tuple[str, str]:
        pair = self.get(row, "pair", where)
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(x, str) for x in pair)):
            self.fail(where, f'pair = {pair!r} must be two species, e.g. ["Li", "O"]')
        for symbol in pair:
            if symbol not in species:
                hint = suggestion(symbol, species)
                self.fail(where, f"pair = {pair!r}: {symbol!r} has no [species] table{hint}")
        return sorted_pair(*pair)

    def pairs(self, species, cutoff_A: float):
        pairs: dict[tuple[str, str], tuple[PairTerm, ...]] = {}
        for kind, form_class in FORMS.items():
            names = tuple(f.name for f in fields(form_class))
            for index, row in enumerate(self.rows(kind)):
                where = f"[[{kind}]] entry {index + 1}"
                self.check_keys(row, ("pair", *names, "source", "confidence", "note"), where)
                pair = self.pair(row, where, species)
                where = f"[[{kind}]] {pair[0]}-{pair[1]}"
                if any(term.kind == kind for term in pairs.get(pair, ())):
                    self.fail(where, "this pair is given twice with the same form")
                pairs[pair] = (*pairs.get(pair, ()), self.term(kind, pair, row, where, cutoff_A))
        return pairs

    def term(self, kind: str, pair, row: dict, where: str, cutoff_A: float) -> PairTerm:
        form_class = FORMS[kind]
        names = [f.name for f in fields(form_class)]
        if form_class is Tabulated:
            form = self.table(row, where, cutoff_A)
        else:
            values = {name: self.number(row, name, where) for name in names}
            for name in names:
                if name in LENGTHS and (kind, name) != ("born_mayer_huggins", "sigma"):
                    self.positive(row, name, where)
                if name in STRENGTHS and values[name] < 0:
                    self.fail(where, f"{name} = {values[name]:g} must not be negative")
            form = form_class(**values)
        source, note = self.source(row, where), self.note(row, where)
        marks = self.parameter_marks(row, names, where)
        subject = "-".join(pair)
        if form_class is Tabulated:
            count = float(len(form.r))
            self.parameters.append(
                Parameter(subject, kind, "points (r, V)", count, "Å, eV", source, marks["V"], note)
            )
        else:
            for name in names:
                value, unit = getattr(form, name), form_class.units[name]
                self.parameters.append(Parameter(subject, kind, name, value, unit, source, marks[name], note))
        weakest = max(marks.values(), key=("V", "D", "C", "R, corroborated", "R", "F").index)
        return PairTerm(pair, kind, form, source, weakest, marks, note)

    def parameter_marks(self, row: dict, names, where: str) -> dict[str, str]:
        given = self.get(row, "confidence", where)
        if isinstance(given, dict):
            self.check_keys(given, tuple(names), f"{where} confidence")
            return {name: self.mark(self.get(given, name, f"{where} confidence"), where) for name in names}
        return dict.fromkeys(names, self.mark(given, where))

    def table(self, row: dict, where: str, cutoff_A: float) -> Tabulated:
        columns = {}
        for name in ("r", "V"):
            values = self.get(row, name, where)
            if not isinstance(values, list):
                self.fail(where, f"{name} must be an array of numbers, got {values!r}")
            columns[name] = [
                self.number({f"{name}[{k}]": value}, f"{name}[{k}]", where) for k, value in enumerate(values)
            ]
        r, energies = columns["r"], columns["V"]
        if len(r) != len(energies) or len(r) < SHORTEST_TABLE_POINTS:
            self.fail(
                where,
                f"r and V must have the same length, at least {SHORTEST_TABLE_POINTS}; "
                f"got {len(r)} and {len(energies)}",
            )
        if r[0] <= 0 or any(later <= earlier for earlier, later in itertools.pairwise(r)):
            self.fail(where, "r must be positive and strictly ascending")
        if r[-1] < cutoff_A:
            self.fail(where, f"the table ends at r = {r[-1]:g} Å, before the cutoff of {cutoff_A:g} Å")
        return Tabulated(tuple(r), tuple(energies))

    def no_interaction(self, species) -> dict[tuple[str, str], str]:
        absent: dict[tuple[str, str], str] = {}
        for index, row in enumerate(self.rows("no_interaction")):
            where = f"[[no_interaction]] entry {index + 1}"
            self.check_keys(row, ("pair", "reason", "source", "confidence"), where)
            pair = self.pair(row, where, species)
            where = f"[[no_interaction]] {pair[0]}-{pair[1]}"
            if pair in absent:
                self.fail(where, "this pair is given twice")
            absent[pair] = self.text(row, "reason", where)
            mark = self.mark(self.get(row, "confidence", where), where)
            self.parameters.append(
                Parameter(
                    "-".join(pair),
                    "no pair term",
                    "V",
                    0.0,
                    "eV",
                    self.source(row, where),
                    mark,
                    absent[pair],
                )
            )
        return absent

    def check_every_pair(self, species, pairs, absent):
        for pair in sorted(set(pairs) & set(absent)):
            self.fail(
                f"pair {'-'.join(pair)}", "has a pair term and is declared in [[no_interaction]] as well"
            )
        for i, a in enumerate(species):
            for b in species[i:]:
                pair = sorted_pair(a, b)
                if pair not in pairs and pair not in absent:
                    self.fail(
                        f"pair {'-'.join(pair)}",
                        "has no pair term; give one, or declare the pair in [[no_interaction]] with a reason",
                    )

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
