"""LAMMPS' words for a cell and a force field, shells included. Writing files and running them: lammps.py."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from ase import units

from potentials.describe import weak_parameters
from potentials.force_field import ForceField
from potentials.lammps_molecules import data_lists, molecule_heading, molecule_lines, type_counts
from potentials.lammps_pairs import hybrid_lines, pair_lines
from potentials.lammps_shells import exact_coulomb, shell_lines
from potentials.shells import particle_field, shell_name
from potentials.topology import find_topology
from simtools.core.errors import ShapeError

DEFAULT_ACCURACY = 1e-5
FINE_COULOMB_TABLE = "pair_modify table 16 tabinner 0.5"
SHELL_MASS_SHARE = 0.1
"""Part of an ion's mass that LAMMPS puts on its shell, as P. J. Mitchell and D. Fincham propose: only LAMMPS'
own dynamics feels it. J. Phys.: Condens. Matter 5, 1031 (1993). doi:10.1088/0953-8984/5/8/006
"""


@dataclass(frozen=True)
class Frame:
    """LAMMPS' lower triangular cell and the rotation into it: ``vectors_lammps = vectors @ rotation``."""

    cell: np.ndarray
    rotation: np.ndarray


@dataclass(frozen=True)
class Particles:
    """What LAMMPS calls atoms: rigid ions and cores in the order of the ions, then shells.

    `field` acts between them and has their masses; `molecule_p` numbers what belongs together (an ion with
    its shell, or a molecule), from 1; `bonds_kb` lists bond type and two particles (core and shell, or atoms
    of a molecule), `angles_ka` angle type and three, all counted from 1; `velocities_pc` in Å/ps, or None.
    """

    field: ForceField
    names: list[str]
    positions_pc: np.ndarray
    velocities_pc: np.ndarray | None
    molecule_p: np.ndarray
    bonds_kb: list[tuple[int, ...]]
    angles_ka: list[tuple[int, ...]]


def lammps_frame(cell) -> Frame:
    """Return the lower triangular cell of the same lattice, tilts at most half, and the rotation into it.

    A left-handed cell needs an improper rotation; energies do not notice and forces rotate back alike.
    """
    reduced = np.array(cell, dtype=float)
    if reduced.shape != (3, 3):
        raise ShapeError("cell", "(3, 3)", reduced.shape)
    for row, other in ((1, 0), (2, 1), (2, 0)):
        lower = np.linalg.cholesky(reduced @ reduced.T)
        reduced[row] -= np.round(lower[row, other] / lower[other, other]) * reduced[other]
    lower = np.linalg.cholesky(reduced @ reduced.T)
    return Frame(cell=lower, rotation=np.linalg.solve(reduced, lower))


def typed_field(force_field) -> ForceField:
    """Return the force field between LAMMPS' types: itself, or that of cores and shells with their masses."""
    if not force_field.shells:
        return force_field
    masses = dict(force_field.masses_amu)
    for symbol in force_field.shells:
        whole = force_field.masses_amu[symbol]
        masses[shell_name(symbol)] = SHELL_MASS_SHARE * whole
        masses[symbol] = whole - SHELL_MASS_SHARE * whole
    return replace(particle_field(force_field), masses_amu=masses)


def particles_of(force_field, atoms, displacements_nc) -> Particles:
    """Return cores and shells of `atoms`; `displacements_nc` (Å, shape (n_atoms, 3)) places the shells."""
    topology = find_topology(force_field, atoms) if force_field.has_topology else None
    symbols = atoms.get_chemical_symbols() if topology is None else topology.labels(force_field)
    velocities = atoms.get_velocities() * (1000.0 * units.fs) if atoms.has("momenta") else None
    shelled = np.flatnonzero([symbol in force_field.shells for symbol in symbols]).astype(int)
    ion_p = np.concatenate([np.arange(len(atoms)), shelled])
    kinds = list(force_field.shells)
    positions = atoms.positions[ion_p].copy()
    if len(shelled):
        positions[len(atoms) :] += displacements_nc[shelled]
    bonds = [(kinds.index(symbols[n]) + 1, n + 1, len(atoms) + k + 1) for k, n in enumerate(shelled)]
    molecule_p, angles = ion_p + 1, []
    if topology is not None:
        bonds, angles = data_lists(force_field, topology)
        alone = topology.molecule_n < 0
        molecule_p = np.where(alone, len(topology.kind_m) + np.cumsum(alone), topology.molecule_n + 1)
    return Particles(
        field=typed_field(force_field),
        names=[*symbols, *(shell_name(symbols[n]) for n in shelled)],
        positions_pc=positions,
        velocities_pc=None if velocities is None else velocities[ion_p],
        molecule_p=molecule_p,
        bonds_kb=bonds,
        angles_ka=angles,
    )


def atom_style(force_field) -> str:
    """Return the atom style that holds what the force field needs."""
    if force_field.shells or force_field.molecules:
        return "full" if force_field.is_charged else "molecular"
    return "charge" if force_field.is_charged else "atomic"


def data_text(force_field, atoms, frame, particles) -> str:
    """Return the data file: cell, masses, particles, velocities and bonds."""
    field = particles.field
    types = {name: index + 1 for index, name in enumerate(field.species)}
    scaled = np.linalg.solve(atoms.cell[:].T, particles.positions_pc.T).T
    lattice_change = np.linalg.solve(atoms.cell[:].T, (frame.cell @ frame.rotation.T).T).T
    scaled = scaled @ np.linalg.inv(lattice_change)
    whole = np.floor(scaled).astype(int)
    positions = (scaled - whole) @ frame.cell
    (lx, _, _), (xy, ly, _), (xz, yz, lz) = frame.cell.tolist()
    bonds, angles = particles.bonds_kb, particles.angles_ka
    shell_types = [f"{len(force_field.shells)} bond types"] if force_field.shells else []
    lines = [
        f"{force_field.name} {force_field.version}, written by antiperovskite-simtools (units metal)",
        "",
        f"{len(positions)} atoms",
        f"{len(types)} atom types",
        *([f"{len(bonds)} bonds"] if bonds else []),
        *([f"{len(angles)} angles"] if angles else []),
        *(shell_types or type_counts(force_field)),
        "",
        *(f"0.0 {length!r} {axis}lo {axis}hi" for length, axis in ((lx, "x"), (ly, "y"), (lz, "z"))),
    ]
    if any((xy, xz, yz)):
        lines.append(f"{xy!r} {xz!r} {yz!r} xy xz yz")
    lines += ["", "Masses", ""]
    lines += [f"{index} {field.masses_amu[name]!r}  # {name}" for name, index in types.items()]
    style = atom_style(force_field)
    lines += ["", f"Atoms  # {style}", ""]
    first = _first_of(particles.molecule_p)
    across = np.rint(scaled - scaled[first]).astype(int)  # what was given in pieces is made whole
    images = (whole - whole[first] - across).tolist()
    rows = zip(particles.names, positions.tolist(), images, particles.molecule_p.tolist(), strict=True)
    for number, (name, (x, y, z), image, together) in enumerate(rows, start=1):
        molecule = f"{together} " if style in ("full", "molecular") else ""
        charge = f"{field.charges_e[name]!r} " if force_field.is_charged else ""
        flags = " ".join(map(str, image))
        lines.append(f"{number} {molecule}{types[name]} {charge}{x!r} {y!r} {z!r} {flags}")
    if particles.velocities_pc is not None:
        lines += ["", "Velocities", ""]
        for number, (vx, vy, vz) in enumerate((particles.velocities_pc @ frame.rotation).tolist(), start=1):
            lines.append(f"{number} {vx!r} {vy!r} {vz!r}")
    if bonds:
        lines += ["", "Bonds", ""]
        lines += [f"{k} {kind} {i} {j}" for k, (kind, i, j) in enumerate(bonds, start=1)]
    if angles:
        lines += ["", "Angles", ""]
        lines += [f"{n} {kind} {i} {j} {k}" for n, (kind, i, j, k) in enumerate(angles, start=1)]
    return "\n".join(lines) + "\n"


def _first_of(molecule_p):
    """Return for every particle the first one of its molecule: image flags count cells from there."""
    _, first, of = np.unique(molecule_p, return_index=True, return_inverse=True)
    return first[of]


def heading(force_field) -> list[str]:
    """Return comments: which force field, which types, what is not verified, what its shells mean."""
    lines = [
        f"# {force_field.name} {force_field.version} (sha256 {force_field.sha256[:16]})",
        f"# {force_field.description}",
        f"# types: {', '.join(f'{k + 1} {name}' for k, name in enumerate(typed_field(force_field).species))}",
        *(f"# not verified: {line}" for line in weak_parameters(force_field)),
        *molecule_heading(force_field),
    ]
    if force_field.shells:
        lines += [
            "# Shells are bonded to their cores and carry a tenth of the ions' masses. With bond_style",
            "# lepton a core and its shell are not in neighbour lists, and their bond takes back what the",
            "# reciprocal sum holds of the pair: the splitting (kspace_modify gewald) must stay as it is.",
            "# LAMMPS' own dynamics lets them vibrate, see its Howto coreshell: a time step of about 0.2 fs,",
            "# comm_modify vel yes, and compute temp/cs of the groups cores and shells.",
        ]
    return lines


def interaction_lines(
    force_field, table, kspace, accuracy, coulomb_cutoff_A, exact_erfc, *, small_cell=False
) -> list[str]:
    """Return springs, pair terms, cutoffs and the reciprocal sum.

    `small_cell`: where ions see their own images; with shells that takes other styles (lammps_shells.py).
    """
    field = typed_field(force_field)
    shells, charged = bool(force_field.shells), force_field.is_charged
    alpha = splitting_per_A(force_field, accuracy, coulomb_cutoff_A) if charged else None
    excluded = shells and not small_cell
    cutoff = coulomb_cutoff_A or field.cutoff_A
    lines = shell_lines(force_field, alpha, excluded=excluded) if shells else molecule_lines(force_field)
    if exact_erfc and excluded:
        lines += hybrid_lines(field, table, exact_coulomb(kspace or "pppm", alpha, cutoff))
    else:
        lines += pair_lines(field, table, cutoff, "/cs" if shells and small_cell else "")
    if force_field.cutoff_mode == "shifted":
        lines.append("pair_modify shift yes")
        if exact_erfc and excluded:
            lines.append("pair_modify pair lepton/coul shift no")
    if charged:
        if exact_erfc and not excluded:
            # the polynomial for erfc is wrong by 1e-7, tables by less, but shells are too close for those
            lines.append("pair_modify table 0" if shells else FINE_COULOMB_TABLE)
        lines.append(f"kspace_style {kspace or 'pppm'} {accuracy or DEFAULT_ACCURACY:.3g}")
        if excluded:
            lines.append(f"kspace_modify gewald {alpha!r}  # the bonds of shells hold this number")
    return lines


def splitting_per_A(force_field, accuracy, coulomb_cutoff_A) -> float:
    """Return alpha, 1/Å, at which erfc(alpha r) has fallen to about `accuracy` at the real-space cutoff."""
    exponent = -math.log(accuracy or DEFAULT_ACCURACY)
    return math.sqrt(exponent) / (coulomb_cutoff_A or force_field.cutoff_A)


def whole_ewald_lines(cell, alpha_per_A) -> list[str]:
    """Return the wave vectors for LAMMPS' Ewald sum in a triclinic `cell`, rows in Å: see `write_lammps`.

    Every k with exp(-k^2 / (4 alpha^2)) above 1e-14 is in them, and the third index reaches as far as any.
    """
    if np.allclose(cell, np.diag(np.diag(cell)), rtol=0, atol=1e-12):
        return []
    longest = 2.0 * alpha_per_A * math.sqrt(-math.log(1e-14))
    counts = np.ceil(longest * np.linalg.norm(cell, axis=1) / (2.0 * math.pi)).astype(int)
    counts[2] = counts.max()
    return [f"kspace_modify gewald {alpha_per_A!r} kmax/ewald {counts[0]} {counts[1]} {counts[2]}"]


def shell_groups(force_field) -> list[str]:
    """Return the groups that LAMMPS' compute temp/cs needs."""
    if not force_field.shells:
        return []
    types = {name: index + 1 for index, name in enumerate(typed_field(force_field).species)}
    return [
        f"group cores type {' '.join(str(types[symbol]) for symbol in force_field.shells)}",
        f"group shells type {' '.join(str(types[shell_name(symbol)]) for symbol in force_field.shells)}",
        "comm_modify vel yes",
    ]


def input_text(
    force_field,
    files,
    *,
    kspace,
    accuracy,
    coulomb_cutoff_A,
    exact_erfc,
    wave_vectors,
    net_charge_e,
    small_cell=False,
) -> str:
    """Return the input file: reads the data, sets everything that acts, and runs no step."""
    lines = heading(force_field)
    if net_charge_e != 0.0:
        lines += [
            f"# net charge {net_charge_e:+g} e: LAMMPS adds the energy of a uniform background but not its",
            "# stress, so pressures of this cell are wrong and it must not be run at constant pressure",
        ]
    lines += [
        "units metal",
        f"atom_style {atom_style(force_field)}",
        "boundary p p p",
        "box tilt large",
        f"read_data {files.data.name}",
        *shell_groups(force_field),
        "",
        *interaction_lines(
            force_field,
            files.table,
            kspace,
            accuracy,
            coulomb_cutoff_A,
            exact_erfc,
            small_cell=small_cell,
        ),
        *wave_vectors,
        "",
        "neighbor 2.0 bin",
        "neigh_modify delay 0 every 1 check yes one 20000 page 400000",
        "thermo_style custom step temp pe ke etotal press pxx pyy pzz pyz pxz pxy vol",
        "thermo_modify norm no format float %.15g",
        "run 0",
    ]
    return "\n".join(lines) + "\n"
