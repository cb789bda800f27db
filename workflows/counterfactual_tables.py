"""[[counterfactual]]: runs in which one thing is taken away, and what each must be compared with.

Every ratio compares like with like: same volume, seeds, lengths, rigidity and total masses. Where a variant
needs rigid molecules and the free run is flexible, a rigid free reference is run beside it; where masses are
moved to one end of a molecule, a reference of the same total mass. What comes out: counterfactuals.py.
"""

from dataclasses import dataclass, field

import numpy as np

from simtools.core.errors import ConfigError
from workflows import values as v
from workflows.molecular import held_framework, with_molecular_masses

__all__ = ["CounterfactualTable", "Variant", "check_counterfactuals", "read_counterfactuals", "variants_of"]

_KEYS = {
    "cone_restraint": ("angle_deg", "stiffness_eV_per_rad2"),
    "frozen_orientation": (),
    "frozen_framework": (),
    "heavy_rotor": ("inertia_scale",),
    "heavy_atoms": ("masses_amu",),
    "even_mass": ("masses_amu",),
    "quenched_orientations": (),
}
_NEEDED = {"cone_restraint": "angle_deg", "heavy_rotor": "inertia_scale", "heavy_atoms": "masses_amu"}
_RIGID = ("frozen_orientation", "heavy_rotor", "quenched_orientations")
_SETTLED_TO_EV_PER_A = 0.05
"""Largest force on an ion before quenched orientations get velocities: random ones point at cations."""
_EXAMPLES = {"angle_deg": "30", "inertia_scale": "[4, 16, 64]", "masses_amu": "{ H = 17.0 }"}


@dataclass(frozen=True, kw_only=True)
class CounterfactualTable:
    """[[counterfactual]]: one kind of altered run; a list of angles or scales makes a variant of each."""

    kind: str = v.key(v.choice(*_KEYS))
    angle_deg: float | tuple[float, ...] | None = v.key(
        v.one_or_more(0, 90, "degrees", above=True), default=None
    )
    stiffness_eV_per_rad2: float | None = v.key(v.number(0, 1000, "eV/rad²", above=True), default=None)
    inertia_scale: float | tuple[float, ...] | None = v.key(v.one_or_more(0, 1e6, above=True), default=None)
    masses_amu: dict | None = v.key(v.species_masses(), default=None)
    temperatures_K: tuple[float, ...] | None = v.key(v.numbers(0, 10_000, "K", above=True), default=None)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One altered run, or a reference that altered runs need.

    Attributes
    ----------
    label
        In the names of its points: ``cone30``, ``frozen``, ``inertia16``.
    kind
        As in the recipe; ``rigid_reference`` for the free run with rigid molecules.
    temperatures_K
        K.
    reference
        Label of the variant that it is compared with; None for the free run.
    md, structure
        Keys of the recipe's tables that it changes.
    alteration
        What else fixes it, JSON-able.
    parameter
        Angle in degrees or factor on the inertia; None where the kind has none.
    """

    label: str
    kind: str
    temperatures_K: tuple[float, ...]
    reference: str | None = None
    md: dict = field(default_factory=dict)
    structure: dict = field(default_factory=dict)
    alteration: dict = field(default_factory=dict)
    parameter: float | None = None

    def block(self):
        """Return what a point's inputs say of the variant."""
        return {"label": self.label, "kind": self.kind, **self.alteration}


def read_counterfactuals(rows, tables, *, source, overrides=()):
    """Return the checked [[counterfactual]] tables.

    Parameters
    ----------
    rows
        As parsed.
    tables
        The recipe's other tables by name, resolved.
    source, overrides
        For messages.

    Raises
    ------
    ConfigError
        For a misspelt key, a key of another kind, a temperature that [md] has not, two variants alike, or a
        free run that is not free.
    """
    if not isinstance(rows, list):
        raise ConfigError(
            f"{source}: counterfactual = {v.shown(rows)}: expected [[counterfactual]], double brackets"
        )
    read = tuple(
        v.read_table(
            CounterfactualTable, row, where=f"counterfactual.{i}", source=source, overrides=overrides
        )
        for i, row in enumerate(rows)
    )
    md = tables["md"]
    for key in ("frozen_orientation", "cone_restraint_deg", "inertia_scale"):
        if read and getattr(md, key):
            raise ConfigError(
                f"{source}: [md] {key}: [[counterfactual]] compares with a free run; remove {key} from [md]"
            )
    for i, table in enumerate(read):
        _check(table, tables, f"{source}: [counterfactual.{i}]")
    seen = {}
    for i, table in enumerate(read):
        for variant in _expanded(table, tables):
            if variant.label in seen:
                raise ConfigError(
                    f"{source}: [counterfactual.{i}] is {variant.label} again, as [counterfactual."
                    f"{seen[variant.label]}]; give one of them, with all temperatures in it"
                )
            seen[variant.label] = i
    return read


def _check(table, tables, where):
    for key in {key for keys in _KEYS.values() for key in keys}:
        if getattr(table, key) is not None and key not in _KEYS[table.kind]:
            owners = " or ".join(kind for kind, keys in _KEYS.items() if key in keys)
            raise ConfigError(f'{where} {key} has no effect with kind = "{table.kind}", only with {owners}')
    needed = _NEEDED.get(table.kind)
    if needed and getattr(table, needed) is None:
        raise ConfigError(
            f'{where} kind = "{table.kind}" needs {needed}, such as {needed} = {_EXAMPLES[needed]}'
        )
    if table.kind == "even_mass" and table.masses_amu is None and tables["md"].masses_amu is None:
        raise ConfigError(
            f'{where} kind = "even_mass" spreads added mass over each molecule: expected masses_amu here or '
            "in [md], such as masses_amu = { H = 17.0 }"
        )
    if table.kind == "heavy_rotor" and 1.0 in _listed(table.inertia_scale):
        raise ConfigError(f"{where} inertia_scale = 1 is the free run itself; leave it out")
    if table.kind == "heavy_rotor" and min(_listed(table.inertia_scale)) < 1:
        raise ConfigError(
            f"{where} inertia_scale = {min(_listed(table.inertia_scale)):g}: expected above 1; lighter "
            "rotors turn faster than [md] timestep_fs was chosen for"
        )
    known = tables["md"].temperatures_K
    for temperature in table.temperatures_K or ():
        if temperature not in known:
            raise ConfigError(
                f"{where} temperatures_K: {temperature:g} K is not in [md] temperatures_K = {list(known)}; a "
                "ratio needs the free run there too"
            )
    if table.kind == "frozen_orientation" and tables["structure"].orientations == "random":
        raise ConfigError(
            f'{where} with [structure] orientations = "random" this is kind = "quenched_orientations"; '
            "ask for that"
        )


def variants_of(recipe):
    """Return every `Variant` of a recipe, references first, each label once."""
    tables = {"md": recipe.md, "structure": recipe.structure, "analysis": recipe.analysis}
    variants = [item for table in recipe.counterfactual for item in _expanded(table, tables)]
    asked = {item.label for item in variants}
    references = {}
    for item in variants:
        if item.reference is None or item.reference in asked:
            continue
        made = references.setdefault(item.reference, (_reference(item), []))
        made[1].extend(item.temperatures_K)
    order = recipe.md.temperatures_K
    found = []
    for variant, needed in references.values():
        found.append(_at(variant, [t for t in order if t in needed]))
    for variant in variants:
        needed = set(variant.temperatures_K)
        needed |= {t for item in variants if item.reference == variant.label for t in item.temperatures_K}
        found.append(_at(variant, [t for t in order if t in needed]))
    return tuple(found)


def _at(variant, temperatures_K):
    return Variant(**{**vars(variant), "temperatures_K": tuple(temperatures_K)})


def _reference(variant):
    if variant.kind == "heavy_atoms":
        masses = variant.alteration["masses_amu"]
        return _even_mass(masses, ())
    return Variant(label="rigid", kind="rigid_reference", temperatures_K=(), md={"rigid_molecules": True})


def _even_mass(masses_amu, temperatures_K):
    return Variant(
        label=_mass_label("even", masses_amu),
        kind="even_mass",
        temperatures_K=temperatures_K,
        alteration={"masses_amu": masses_amu},
    )


def _mass_label(word, masses_amu):
    return word + "".join(f"-{name}{mass:g}" for name, mass in masses_amu.items())


def check_counterfactuals(recipe, cell):
    """Refuse variants that this cell cannot have, and masses of ions that are not in it.

    Parameters
    ----------
    recipe
        A `Recipe`.
    cell
        A cell like those to be run, with ``molecule_id`` if it holds molecules.
    """
    symbols = cell.get_chemical_symbols()
    for name in recipe.md.masses_amu or {}:
        if name not in symbols:
            raise ConfigError(
                f"{recipe.source}: [md] masses_amu names {name}, which is not in the cell"
                f"{v.suggestion(name, set(symbols))}"
            )
    molecular = np.any(cell.arrays.get("molecule_id", np.array([-1])) >= 0)
    for variant in variants_of(recipe):
        where = f'{recipe.source}: [[counterfactual]] kind = "{variant.kind}"'
        if variant.kind == "frozen_framework":
            if not held_framework(cell, variant.alteration["mobile"]):
                raise ConfigError(f"{where}: every ion is mobile, so there is no framework to hold")
        elif not molecular:
            raise ConfigError(f"{where}: {recipe.structure.formula} holds no molecules; remove it")
        elif "masses_amu" in variant.alteration:
            masses = variant.alteration["masses_amu"]
            try:
                with_molecular_masses(cell.copy(), masses)
            except ConfigError as error:
                raise ConfigError(f"{where}: {error}") from error
            for name, mass in masses.items():
                own = float(cell.get_masses()[symbols.index(name)])
                if variant.kind == "heavy_atoms":
                    own = (recipe.md.masses_amu or {}).get(name, own)
                if mass < own:
                    raise ConfigError(
                        f"{where} masses_amu: {name} = {mass:g} amu is lighter than the {own:g} amu of the "
                        "free run; expected a larger mass"
                    )


def _expanded(table, tables):
    """Return the variants of one table."""
    md, kind = tables["md"], table.kind
    ordered = sorted(md.temperatures_K)
    at_K = table.temperatures_K or (ordered[len(ordered) // 2],)
    common = {"kind": kind, "temperatures_K": at_K}
    if kind in _RIGID:
        common["reference"] = None if md.rigid_molecules else "rigid"
    rigid = {"rigid_molecules": True}
    if kind == "cone_restraint":
        stiffness = table.stiffness_eV_per_rad2
        spring = {} if stiffness is None else {"cone_stiffness_eV_per_rad2": stiffness}
        return [
            Variant(label=f"cone{a:g}", md={"cone_restraint_deg": a, **spring}, parameter=a, **common)
            for a in _listed(table.angle_deg)
        ]
    if kind == "heavy_rotor":
        return [
            Variant(
                label=f"inertia{scale:g}",
                md={**rigid, "inertia_scale": scale},
                alteration={"inertia_scale_from": "production"},
                parameter=scale,
                **common,
            )
            for scale in _listed(table.inertia_scale)
        ]
    if kind == "frozen_orientation":
        return [Variant(label="frozen", md={**rigid, "frozen_orientation": True}, **common)]
    if kind == "quenched_orientations":
        return [
            Variant(
                label="quenched",
                md={**rigid, "frozen_orientation": True},
                structure={"orientations": "random"},
                alteration={"settled_to_eV_per_A": _SETTLED_TO_EV_PER_A},
                **common,
            )
        ]
    if kind == "frozen_framework":
        return [Variant(label="framework", alteration={"mobile": tables["analysis"].mobile}, **common)]
    masses = table.masses_amu or md.masses_amu
    if kind == "even_mass":
        return [_even_mass(masses, at_K)]
    return [
        Variant(
            label=_mass_label("heavy", masses),
            reference=_mass_label("even", masses),
            alteration={"masses_amu": masses},
            **common,
        )
    ]


def _listed(value):
    return value if isinstance(value, tuple) else (value,)
