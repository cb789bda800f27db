"""LAMMPS' words for molecules: bond and angle types and coefficients, and the lists of a data file."""

from __future__ import annotations

from potentials.force_field import ForceField
from potentials.molecules import Molecule
from simtools.core.errors import ConfigError

BOND_STYLES = {"harmonic": "harmonic", "morse": "morse", "rigid": "zero"}
FARTHEST_SPECIAL = 3
"""Bonds between two atoms up to which special_bonds hides them from each other."""


def _bond_types(field: ForceField):
    return [(name, bond) for name, molecule in field.molecules.items() for bond in molecule.bonds]


def _angle_types(field: ForceField):
    return [(name, angle) for name, molecule in field.molecules.items() for angle in molecule.angles]


def type_counts(field: ForceField) -> list[str]:
    """Return the header lines of a data file that count bond and angle types."""
    bonds, angles = len(_bond_types(field)), len(_angle_types(field))
    return [*([f"{bonds} bond types"] if bonds else []), *([f"{angles} angle types"] if angles else [])]


def molecule_lines(field: ForceField) -> list[str]:
    """Return styles and coefficients: LAMMPS' K is half of k; special_bonds hides a molecule from itself."""
    if not field.molecules:
        return []
    for molecule in field.molecules.values():
        _check_reach(molecule)
    bonds, angles = _bond_types(field), _angle_types(field)
    styles = sorted({BOND_STYLES[bond.kind] for _, bond in bonds})
    lines = ["special_bonds lj/coul 0.0 0.0 0.0"]
    lines.append(f"bond_style {styles[0] if len(styles) == 1 else 'hybrid ' + ' '.join(styles)}")
    for index, (name, bond) in enumerate(bonds, start=1):
        style = f"{BOND_STYLES[bond.kind]} " if len(styles) > 1 else ""
        numbers = ""
        if bond.kind == "harmonic":
            numbers = f"{bond.form.k / 2.0!r} {bond.form.r0!r}"
        elif bond.kind == "morse":
            numbers = f"{bond.form.D!r} {bond.form.a!r} {bond.form.r0!r}"
        lines.append(f"bond_coeff {index} {style}{numbers}  # {name}")
    if angles:
        lines.append("angle_style harmonic")
    for index, (name, angle) in enumerate(angles, start=1):
        lines.append(f"angle_coeff {index} {angle.form.k / 2.0!r} {angle.form.theta0_deg!r}  # {name}")
    return lines


def data_lists(field: ForceField, topology):
    """Return (bonds, angles) of a data file: type, then atoms, all counted from 1."""
    bond_index = {(name, id(bond)): k for k, (name, bond) in enumerate(_bond_types(field), start=1)}
    angle_index = {(name, id(angle)): k for k, (name, angle) in enumerate(_angle_types(field), start=1)}
    bonds, angles = [], []
    for name, members in zip(topology.kind_m, topology.members_m, strict=True):
        molecule = field.molecules[name]
        for bond in molecule.bonds:
            kind = bond_index[name, id(bond)]
            bonds += [(kind, *(members[n] + 1 for n in pair)) for pair in bond.pairs]
        for angle in molecule.angles:
            kind = angle_index[name, id(angle)]
            angles += [(kind, *(members[n] + 1 for n in triple)) for triple in angle.triples]
    return bonds, angles


def zero_of_bonds_eV(field: ForceField, topology) -> float:
    """Return what our energy has more than LAMMPS': its Morse bond is 0 at rest, ours -D (0 far away)."""
    return -sum(
        bond.form.D * len(bond.pairs)
        for name in topology.kind_m
        for bond in field.molecules[name].bonds
        if bond.kind == "morse"
    )


def molecule_heading(field: ForceField) -> list[str]:
    """Return comments on what the molecules mean in LAMMPS."""
    if not field.molecules:
        return []
    names = ", ".join(molecule.formula() for molecule in field.molecules.values())
    lines = [f"# Molecules: {names}; K of bonds and angles is k/2."]
    if any(bond.kind == "morse" for _, bond in _bond_types(field)):
        lines.append("# LAMMPS counts a Morse bond from its minimum, simtools from free atoms: D less.")
    if any(molecule.is_rigid for molecule in field.molecules.values()):
        lines.append("# Rigid molecules need a fix rigid/small molecule of your own.")
    return lines


def _check_reach(molecule: Molecule):
    """Refuse a molecule in which atoms lie so far apart that special_bonds would not reach them."""
    partners: dict[int, set[int]] = {n: set() for n in range(molecule.n_atoms)}
    for i, j in molecule.bonded_pairs:
        partners[i].add(j)
        partners[j].add(i)
    for start in partners:
        near = {start}
        for _ in range(FARTHEST_SPECIAL):
            near |= {there for here in near for there in partners[here]}
        if len(near) < molecule.n_atoms:
            raise ConfigError(
                f"{molecule.name} has atoms more than {FARTHEST_SPECIAL} bonds apart, which LAMMPS' "
                "special_bonds does not keep from each other; it cannot be written"
            )
