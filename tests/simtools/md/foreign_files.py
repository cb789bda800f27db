"""Trajectory files as other programs write them, made here by hand from the formats' manuals."""

import gzip
from dataclasses import dataclass

import h5py
import numpy as np

INTERVAL_PS = 0.1
CELL_A = np.array([[11.0, 0.0, 0.0], [-2.0, 10.5, 0.0], [1.5, 2.5, 12.0]])
SPECIES = np.array(["Li"] * 12 + ["O"] * 4)


@dataclass(frozen=True)
class Walk:
    """One truth: fractions with all images counted, the cell of each frame, paths in the mean cell."""

    whole_s: np.ndarray
    cells_A: np.ndarray

    @property
    def n_frames(self):
        return len(self.whole_s)

    @property
    def paths_A(self):
        return self.whole_s @ self.cells_A.mean(axis=0)

    @property
    def wrapped_s(self):
        return self.whole_s - np.floor(self.whole_s)

    @property
    def images(self):
        return np.nan_to_num(np.floor(self.whole_s))

    def positions_A(self, fractions):
        return np.einsum("tni,tij->tnj", fractions, self.cells_A)


class UnfoldedWalk(Walk):
    """The same, but what writers take for wrapped is not."""

    @property
    def wrapped_s(self):
        return self.whole_s


def gzipped(writer):
    """Return a writer of the same file, packed."""

    def write(path, truth):
        writer(path, truth)
        path.write_bytes(gzip.compress(path.read_bytes()))
        return path

    return write


def walk(n_frames=60, *, breathing=0.0, seed=0, step_A=0.5):
    """Random walkers (Li) and rattlers (O) in a triclinic cell that breathes by `breathing`."""
    rng = np.random.default_rng(seed)
    lithium = SPECIES == "Li"
    steps = step_A * rng.standard_normal((n_frames, len(SPECIES), 3))
    paths = rng.uniform(0, 10, (len(SPECIES), 3)) + np.where(
        lithium[None, :, None], np.cumsum(steps, axis=0), 0.1 * steps
    )
    strain = breathing * np.sin(np.arange(n_frames) * 2 * np.pi / n_frames * 7)
    cells = CELL_A * (1 + strain - strain.mean())[:, None, None]
    return Walk(paths @ np.linalg.inv(CELL_A), cells)


def write_dump(path, truth, kind="x", *, seed=1, element=True, units=True, number=repr, steps=None):
    """LAMMPS dump, atoms in changing order; kind: x, xs, xu, xsu or x+i."""
    rng = np.random.default_rng(seed)
    fractions = truth.whole_s if kind in ("xu", "xsu") else truth.wrapped_s
    values = fractions if kind in ("xs", "xsu") else truth.positions_A(fractions)
    suffix = {"x": "", "x+i": "", "xs": "s", "xu": "u", "xsu": "su"}[kind]
    columns = [f"{axis}{suffix}" for axis in "xyz"]
    flags = ["ix", "iy", "iz"] if kind == "x+i" else []
    origin = np.zeros(3) if "s" in kind else np.array([-3.0, 1.0, 0.5])
    opener = gzip.open if str(path).endswith(".gz") else open
    with opener(path, "wt") as file:
        for t in range(truth.n_frames):
            h = truth.cells_A[t]
            xy, xz, yz = h[1, 0], h[2, 0], h[2, 1]
            low, high = origin, origin + np.diag(h)
            if units:
                if t == 0:
                    file.write("ITEM: UNITS\nmetal\n")
                file.write(f"ITEM: TIME\n{t * INTERVAL_PS!r}\n")
            step = 100 * t if steps is None else steps[t]
            file.write(f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{len(SPECIES)}\n")
            file.write("ITEM: BOX BOUNDS xy xz yz pp pp pp\n")
            bounds = [
                (low[0] + min(0, xy, xz, xy + xz), high[0] + max(0, xy, xz, xy + xz), xy),
                (low[1] + min(0, yz), high[1] + max(0, yz), xz),
                (low[2], high[2], yz),
            ]
            file.writelines(" ".join(repr(float(x)) for x in row) + "\n" for row in bounds)
            names = ["id", "element" if element else "type", *columns, *flags]
            file.write(f"ITEM: ATOMS {' '.join(names)}\n")
            for k in rng.permutation(len(SPECIES)):
                shift = origin if suffix in ("", "u") else np.zeros(3)
                words = [str(k + 1), SPECIES[k] if element else str(1 + int(SPECIES[k] == "O"))]
                words += [number(float(x)) for x in values[t, k] + shift]
                words += [str(int(x)) for x in truth.images[t, k]] if flags else []
                file.write(" ".join(words) + "\n")
    return path


def write_xdatcar(path, truth, *, numbers=None):
    with open(path, "w") as file:
        varies = len(np.unique(truth.cells_A[:, 0, 0])) > 1
        for t in range(truth.n_frames):
            if t == 0 or varies:
                file.write("somebody's run\n 1.0\n")
                file.writelines(" ".join(repr(float(x)) for x in row) + "\n" for row in truth.cells_A[t])
                file.write("Li O\n12 4\n")
            file.write(f"Direct configuration= {t + 1 if numbers is None else numbers[t]:5d}\n")
            file.writelines(" ".join(repr(float(x)) for x in row) + "\n" for row in truth.wrapped_s[t])
    return path


def write_vasprun(path, truth):
    def rows(values):
        return "".join(f"<v>{' '.join(repr(float(x)) for x in row)}</v>\n" for row in values)

    with open(path, "w") as file:
        file.write('<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n<parameters>\n')
        file.write(
            f'<i type="int" name="IBRION">0</i><i name="POTIM">{INTERVAL_PS * 1000}</i>\n</parameters>\n'
        )
        atoms = "".join(f"<rc><c>{name}</c><c>1</c></rc>" for name in SPECIES)
        file.write(f'<atominfo><array name="atoms"><set>{atoms}</set></array></atominfo>\n')
        for t in range(truth.n_frames):
            file.write('<calculation><structure><crystal><varray name="basis">\n')
            file.write(f"{rows(truth.cells_A[t])}</varray></crystal>")
            file.write(
                f'<varray name="positions">{rows(truth.wrapped_s[t])}</varray></structure></calculation>\n'
            )
        file.write("</modeling>\n")
    return path


def write_extxyz(path, truth, *, time_key=None):
    positions = truth.positions_A(truth.wrapped_s)
    opener = gzip.open if str(path).endswith(".gz") else open
    with opener(path, "wt") as file:
        for t in range(truth.n_frames):
            lattice = " ".join(repr(float(x)) for x in truth.cells_A[t].ravel())
            time = "" if time_key is None else f" {time_key}={t * INTERVAL_PS!r}"
            file.write(
                f'{len(SPECIES)}\nLattice="{lattice}" Properties=species:S:1:pos:R:3{time} pbc="T T T"\n'
            )
            for name, row in zip(SPECIES, positions[t], strict=True):
                file.write(f"{name} {' '.join(repr(float(x)) for x in row)}\n")
    return path


def write_cp2k(path, truth):
    positions = truth.positions_A(truth.whole_s)
    with open(path, "w") as file:
        for t in range(truth.n_frames):
            file.write(f"{len(SPECIES):8d}\n i = {t:8d}, time = {t * INTERVAL_PS * 1000:12.3f}, E = -1.0\n")
            for name, row in zip(SPECIES, positions[t], strict=True):
                file.write(f"{name:>3s} {row[0]:24.14f} {row[1]:24.14f} {row[2]:24.14f}\n")
    return path


def write_cells(path, truth, *, every=1):
    """CP2K's .cell file, at this stride."""
    names = "".join(f"{vector}{axis} [Angstrom]".rjust(20) for vector in "ABC" for axis in "xyz")
    with open(path, "w") as file:
        file.write(f"#   Step   Time [fs]{names}      Volume [Angstrom^3]\n")
        for t in range(0, truth.n_frames, every):
            row = "".join(f"{x:20.12f}" for x in truth.cells_A[t].ravel())
            volume = np.linalg.det(truth.cells_A[t])
            file.write(f"{t:8d}{t * INTERVAL_PS * 1000:12.3f}{row}{volume:25.10f}\n")
    return path


def write_history(path, truth, *, level=0):
    positions = truth.positions_A(truth.wrapped_s - 0.5)
    with open(path, "w") as file:
        file.write(f"a title\n{level:10d}{3:10d}{len(SPECIES):10d}{truth.n_frames:21d}{0:21d}\n")
        for t in range(truth.n_frames):
            head = f"{100 * t:10d}{len(SPECIES):10d}{level:10d}{3:10d}{0.001:20.8f}{t * INTERVAL_PS:20.8f}"
            file.write(f"timestep{head}\n")
            file.writelines("".join(f"{x:24.14f}" for x in row) + "\n" for row in truth.cells_A[t])
            for k, (name, row) in enumerate(zip(SPECIES, positions[t], strict=True)):
                file.write(
                    f"{name:8s}{k + 1:10d}{7.0 if name == 'Li' else 16.0:12.6f}{0.0:12.6f}{0.0:12.6f}\n"
                )
                file.write("".join(f"{x:24.14f}" for x in row) + "\n")
                if level:
                    file.write(f"{0.1 * k:20.10f}{-1.0:20.10f}{2.0:20.10f}\n")
    return path


def write_config(path):
    with open(path, "w") as file:
        file.write(f"title\n{0:10d}{3:10d}{len(SPECIES):10d}\n")
        file.writelines("".join(f"{x:20.10f}" for x in row) + "\n" for row in CELL_A)
        for k, name in enumerate(SPECIES):
            file.write(f"{name:8s}{k + 1:10d}\n{0.0:20.10f}{0.1 * k:20.10f}{0.0:20.10f}\n")
    return path


def write_gro(path):
    with open(path, "w") as file:
        file.write(f"title\n{len(SPECIES)}\n")
        for k, name in enumerate(SPECIES):
            file.write(
                f"{1:5d}{'ION':5s}{name.upper() + '1':>5s}{k + 1:5d}{0.1:8.3f}{0.1 * k:8.3f}{0.3:8.3f}\n"
            )
        file.write("1.1 1.05 1.2 0.0 0.0 -0.2 0.0 0.15 0.25\n")
    return path


def write_traj(path, truth, *, sodium_frame=None):
    from ase import Atoms
    from ase.io.trajectory import Trajectory

    with Trajectory(path, "w") as file:
        for t, positions in enumerate(truth.positions_A(truth.wrapped_s)):
            species = ["Na", *SPECIES[1:]] if t == sodium_frame else SPECIES
            file.write(Atoms(species, positions=positions, cell=truth.cells_A[t], pbc=True))
    return path


def write_xtc(path, truth, kind="XTC"):
    from MDAnalysis.lib.formats.libmdaxdr import TRRFile, XTCFile

    positions = truth.positions_A(truth.wrapped_s) / 10
    with (XTCFile if kind == "XTC" else TRRFile)(str(path), "w") as file:
        for t in range(truth.n_frames):
            box, x = (truth.cells_A[t] / 10).astype("f4"), positions[t].astype("f4")
            if kind == "XTC":
                file.write(x, box, 100 * t, t * INTERVAL_PS, 1000.0)
            else:
                file.write(x, None, None, box, 100 * t, t * INTERVAL_PS, 0.0, len(SPECIES))
    return path


def write_dcd(path, truth):
    """Cell as LAMMPS writes it: A, cos gamma, B, cos beta, cos alpha, C."""
    from MDAnalysis.lib.formats.libdcd import DCDFile

    with DCDFile(str(path), "w") as file:
        file.write_header(remarks="x", natoms=len(SPECIES), istart=0, nsavc=100, delta=0.001, is_periodic=1)
        for cell, positions in zip(truth.cells_A, truth.positions_A(truth.wrapped_s), strict=True):
            file.write(positions.astype("f4"), _dcd_cell(cell))
    return path


def _dcd_cell(cell):
    lengths = np.linalg.norm(cell, axis=1)
    cosines = (cell / lengths[:, None]) @ (cell / lengths[:, None]).T
    return np.array([lengths[0], cosines[0, 1], lengths[1], cosines[0, 2], cosines[1, 2], lengths[2]])


def write_h5md(path, truth, *, images=False):
    with h5py.File(path, "w") as file:
        file.create_group("h5md").attrs["version"] = [1, 1]
        group = file.create_group("particles/all")
        codes = h5py.enum_dtype({"Li": 0, "O": 1}, basetype="i4")
        group.create_dataset("species", data=(SPECIES == "O").astype("i4"), dtype=codes)
        times = np.arange(truth.n_frames) * INTERVAL_PS
        for name, values, unit in (
            ("position", truth.positions_A(truth.wrapped_s), "Angstrom"),
            ("box/edges", truth.cells_A, "Angstrom"),
            *([("image", truth.images.astype("i4"), None)] if images else []),
        ):
            element = group.create_group(name)
            element["step"] = np.arange(truth.n_frames) * 100
            element["time"] = times
            element["time"].attrs["unit"] = "ps"
            element["value"] = values
            if unit:
                element["value"].attrs["unit"] = unit
        group["box"].attrs["boundary"] = np.array(["periodic"] * 3, dtype="S")
    return path
