"""A cone restraint on orientations in LAMMPS: the energy and forces of `simtools.md.restraints`, as formulas.

No fix of LAMMPS is a flat-bottom well on a molecule's orientation, and that of COLVARS fits without masses.
So sums over each molecule (``compute reduce/chunk``, on any number of ranks) and atom-style variables give
the forces, which ``fix addforce`` adds. What a step needs more than once is kept in per-molecule values.
"""

from __future__ import annotations

import math

import numpy as np

from potentials.topology import find_topology
from simtools.core.errors import ConfigError

__all__ = ["REFERENCE_FIX", "check_cone", "cone_data_section", "cone_lines"]

REFERENCE_FIX = "fix reference all property/atom d_cone_x d_cone_y d_cone_z d_cone_w d_cone_n"
"""Per atom: the axis of a linear molecule and mass times place along it, or mass times place (amu Å) of any
other; one over the number of atoms. LAMMPS' restart files hold them."""
_TINY = "1.0e-30"
_NUMBERS_PER_LINE = 500
_THIRD_TURN = 2.0 * math.pi / 3.0


def check_cone(field, atoms, molecules) -> None:
    """Refuse restrained molecules that are not those of the force field, which LAMMPS numbers.

    Parameters
    ----------
    field
        The force field.
    atoms
        The ions.
    molecules
        A `simtools.md.restraints.RestrainedMolecules`.
    """
    number_n = find_topology(field, atoms).molecule_n if field.molecules else np.full(len(atoms), -1)
    for group in molecules.groups:
        if number_n[group[0]] < 0 or np.any(number_n[group] != number_n[group[0]]):
            raise ConfigError(
                f"a cone restraint in LAMMPS acts on molecules that the force field names; {field.name} has "
                f"none of atoms {', '.join(map(str, group[:5].tolist()))}; leave engine out for the embedded "
                "engine"
            )


def cone_data_section(n_particles: int, molecules, rotation) -> str:
    """Return the section of a data file that holds the reference orientations, in LAMMPS' frame."""
    vectors_ac, weights_a = molecules.reference_by_atom()
    values = np.zeros((n_particles, 5))
    values[molecules.members, :3] = vectors_ac @ rotation
    values[molecules.members, 3] = weights_a
    for group in molecules.groups:
        values[group, 4] = 1.0 / len(group)
    rows = (f"{k} {' '.join(map(repr, row))}" for k, row in enumerate(values.tolist(), start=1))
    return "\nReference\n\n" + "\n".join(rows) + "\n"


def cone_lines(molecules) -> list[str]:
    """Return groups, sums, formulas and the fixes that add forces and energy to those of the force field."""
    lines = []
    for name, formulas, linear in (("conel", _linear_lines, True), ("cone", _other_lines, False)):
        chosen = [
            group for group, line in zip(molecules.groups, molecules.linear, strict=True) if line == linear
        ]
        if not chosen:
            continue
        numbers = [str(n + 1) for group in chosen for n in group.tolist()]
        for start in range(0, len(numbers), _NUMBERS_PER_LINE):
            lines.append(f"group {name} id {' '.join(numbers[start : start + _NUMBERS_PER_LINE])}")
        lines.append(f"compute {name}_at {name} property/atom xu yu zu")
        lines.append(f"compute {name}_id {name} chunk/atom molecule")
        lines += formulas(name, molecules.restraint)
        half = 0.5 * molecules.restraint.stiffness_eV_per_rad2
        lines.append(f"variable {name}_e atom {half!r}*{_over(name)}^2*d_cone_n")
        forces = " ".join(f"v_{name}_f{axis}" for axis in "xyz")
        lines.append(f"fix {name}_force {name} addforce {forces} energy v_{name}_e")
        lines.append(f"fix_modify {name}_force energy yes virial yes")
    return lines


def _over(name):
    return f"c_{name}_turn[1]"


def _kept(name, what, mode, formulas):
    """Return lines that give every molecule the sum over its atoms, or their common value, of `formulas`."""
    lines = [f"variable {name}_{what}{k} atom {text}" for k, text in enumerate(formulas, start=1)]
    inputs = " ".join(f"v_{name}_{what}{k}" for k in range(1, len(formulas) + 1))
    columns = " ".join(f"c_{name}_{what}s[{k}]" for k in range(1, len(formulas) + 1))
    if len(formulas) == 1:
        columns = f"c_{name}_{what}s"
    lines.append(f"compute {name}_{what}s {name} reduce/chunk {name}_id {mode} {inputs}")
    lines.append(f"compute {name}_{what} {name} chunk/spread/atom {name}_id {columns}")
    return lines


def _beyond(angle, restraint):
    limit = math.radians(restraint.angle_deg)
    return f"({angle}>{limit!r})*({angle}-{limit!r})"


_E = ("d_cone_x", "d_cone_y", "d_cone_z")


def _linear_lines(name, restraint):
    """Return the formulas of theta = atan2(|v x e|, v.e): v the sum of m x s, e the axis of the reference."""
    lines = _kept(name, "v", "sum", [f"d_cone_w*c_{name}_at[{k}]" for k in (1, 2, 3)])
    v = [f"c_{name}_v[{k}]" for k in (1, 2, 3)]
    dot = "+".join(f"{a}*{b}" for a, b in zip(v, _E, strict=True))
    square = "+".join(f"{a}*{a}" for a in v)
    cross = "+".join(f"({v[i]}*{_E[j]}-{v[j]}*{_E[i]})^2" for i, j in ((1, 2), (2, 0), (0, 1)))
    lines.append(f"variable {name}_theta atom atan2(sqrt({cross}),{dot})")
    over = _beyond(f"v_{name}_theta", restraint)
    lines += _kept(name, "turn", "max", [over, f"({dot})/({square})", f"1.0/sqrt({cross}+{_TINY})"])
    slope = f"{-restraint.stiffness_eV_per_rad2!r}*{_over(name)}*c_{name}_turn[3]*d_cone_w"
    for k, axis in enumerate("xyz"):
        lines.append(f"variable {name}_f{axis} atom {slope}*(c_{name}_turn[2]*{v[k]}-{_E[k]})")
    return lines


def _other_lines(name, restraint):
    r"""Return the formulas of the best rotation R of :math:`M = \sum m\, s\, d^T` and its derivative.

    With the singular values :math:`\sigma` of M, the last with the sign of det M, their invariants
    :math:`i_1, i_2, i_3` and the cofactors of M, Cayley and Hamilton's theorem gives

    .. math:: R\,(i_1 i_2 - i_3) = i_1\,\mathrm{cof} M + (i_1^2 - i_2)\, M - M M^T M ,

    planar molecules (:math:`\sigma_3 = 0`) included, and with :math:`S = M R^T`, n the axis of R,

    .. math:: (\mathrm{tr} S - S)^{-1} n = (S^2 n + i_2 n)/(i_1 i_2 - i_3) .
    """
    m = [[f"c_{name}_m[{3 * a + b + 1}]" for b in range(3)] for a in range(3)]
    lines = _kept(name, "m", "sum", [f"c_{name}_at[{a + 1}]*{_E[b]}" for a in range(3) for b in range(3)])
    lines += _kept(name, "k", "max", [_cofactor(m, a, b) for a in range(3) for b in range(3)])
    k = [[f"c_{name}_k[{3 * a + b + 1}]" for b in range(3)] for a in range(3)]
    first = "+".join(f"{x}*{x}" for row in m for x in row)
    second = "+".join(f"{x}*{x}" for row in k for x in row)
    det = "+".join(f"{m[0][b]}*{k[0][b]}" for b in range(3))
    lines += _kept(name, "i", "max", [first, second, det])
    i1, i2, i3 = (f"c_{name}_i[{n}]" for n in (1, 2, 3))
    lines.append(f"variable {name}_d atom abs({i1}*{i1}-3.0*{i2})+{_TINY}")
    lines.append(
        f"variable {name}_r atom (2.0*{i1}^3-9.0*{i1}*{i2}+27.0*{i3}^2)/(2.0*v_{name}_d*sqrt(v_{name}_d))"
    )
    angle = f"acos(0.5*(abs(v_{name}_r+1.0)-abs(v_{name}_r-1.0)))/3.0"
    radius = f"2.0*sqrt(v_{name}_d)"
    singular = [f"sqrt(({i1}+{radius}*cos({angle}-{shift!r}))/3.0)" for shift in (0.0, _THIRD_TURN)]
    lines += _kept(name, "s", "max", singular)
    s1, s2 = f"c_{name}_s[1]", f"c_{name}_s[2]"
    s3 = f"{i3}/({s1}*{s2})"
    u1, u2 = f"({s1}+{s2}+{s3})", f"({s1}*{s2}+{s3}*({s1}+{s2}))"
    lines += _kept(name, "u", "max", [u1, u2, f"1.0/({u1}*{u2}-{i3})"])
    u1, u2, inverse = (f"c_{name}_u[{n}]" for n in (1, 2, 3))
    lines += _kept(
        name,
        "c",
        "max",
        [_dot([m[e][c] for e in range(3)], [m[e][b] for e in range(3)]) for c in range(3) for b in range(3)],
    )
    c = [[f"c_{name}_c[{3 * a + b + 1}]" for b in range(3)] for a in range(3)]
    turn = [
        f"{inverse}*({u1}*{k[a][b]}+({u1}*{u1}-{u2})*{m[a][b]}-({_dot(m[a], [c[e][b] for e in range(3)])}))"
        for a in range(3)
        for b in range(3)
    ]
    lines += _kept(name, "t", "max", turn)
    t = [[f"c_{name}_t[{3 * a + b + 1}]" for b in range(3)] for a in range(3)]
    v = [f"0.5*({t[2][1]}-{t[1][2]})", f"0.5*({t[0][2]}-{t[2][0]})", f"0.5*({t[1][0]}-{t[0][1]})"]
    lines.append(f"variable {name}_sine atom sqrt({'+'.join(f'({x})^2' for x in v)}+{_TINY})")
    cosine = f"0.5*({t[0][0]}+{t[1][1]}+{t[2][2]}-1.0)"
    lines.append(f"variable {name}_theta atom atan2(v_{name}_sine,{cosine})")
    over = _beyond(f"v_{name}_theta", restraint)
    lines += _kept(name, "turn", "max", [over, *(f"({x})/v_{name}_sine" for x in v)])
    n = [f"c_{name}_turn[{a}]" for a in (2, 3, 4)]
    lines += _kept(name, "y", "max", [_dot(m[a], n) for a in range(3)])
    y = [f"c_{name}_y[{a}]" for a in (1, 2, 3)]
    lines += _kept(name, "z", "max", [_dot([t[a][b] for a in range(3)], y) for b in range(3)])
    z = [f"c_{name}_z[{a}]" for a in (1, 2, 3)]
    slope = f"{-restraint.stiffness_eV_per_rad2!r}*{_over(name)}*{inverse}"
    lines += _kept(name, "a", "max", [f"{slope}*({_dot(m[a], z)}+{u2}*{n[a]})" for a in range(3)])
    alpha = [f"c_{name}_a[{a}]" for a in (1, 2, 3)]
    laid = [f"({_dot(t[a], _E)})" for a in range(3)]
    for axis, i, j in (("x", 1, 2), ("y", 2, 0), ("z", 0, 1)):
        lines.append(f"variable {name}_f{axis} atom {alpha[i]}*{laid[j]}-{alpha[j]}*{laid[i]}")
    return lines


def _dot(a, b):
    return "+".join(f"{x}*{y}" for x, y in zip(a, b, strict=True))


def _cofactor(m, a, b):
    i, j, k, n = (a + 1) % 3, (a + 2) % 3, (b + 1) % 3, (b + 2) % 3
    return f"{m[i][k]}*{m[j][n]}-{m[i][n]}*{m[j][k]}"
