"""One known walk written in every format, wrapped, unwrapped, with image flags and in a breathing cell.

The paths read back are held against the walk, to float64 or to the rounding that the source states; D from
any of them against D of the walk. Files are written by hand (foreign_files.py), by ASE or by MDAnalysis.
"""

import warnings

import h5py
import numpy as np
import pytest
from MDAnalysis.lib.formats.libdcd import DCDFile

from simtools.core.errors import ConfigError
from simtools.md.h5md import read_trajectory
from simtools.md.protocols import Stage, run_stages
from simtools.md.readers import load_trajectory, open_trajectory
from tests.simtools.md import foreign_files as files
from tests.simtools.md.md_toys import LaggingLennardJones, argon

PS = files.INTERVAL_PS
NAMED = {"species": files.SPECIES.tolist()}
UNTIMED = {"frame_interval_ps": PS}

DOUBLE = {
    "dump-x": (lambda p, w: files.write_dump(p, w, "x"), {}),
    "dump-xs": (lambda p, w: files.write_dump(p, w, "xs"), {}),
    "dump-xu": (lambda p, w: files.write_dump(p, w, "xu"), {}),
    "dump-xsu": (lambda p, w: files.write_dump(p, w, "xsu"), {}),
    "dump-images": (lambda p, w: files.write_dump(p, w, "x+i"), {}),
    "dump-gz.gz": (lambda p, w: files.write_dump(p, w, "x"), {}),
    "dump-types": (
        lambda p, w: files.write_dump(p, w, "x", element=False, units=False),
        {"species": {1: "Li", 2: "O"}, **UNTIMED},
    ),
    "XDATCAR": (files.write_xdatcar, UNTIMED),
    "vasprun.xml": (files.write_vasprun, {}),
    "a.extxyz": (files.write_extxyz, UNTIMED),
    "a.xyz.gz": (files.write_extxyz, UNTIMED),
    "HISTORY": (files.write_history, {}),
    "XDATCAR.gz": (files.gzipped(files.write_xdatcar), UNTIMED),
    "vasprun.xml.gz": (files.gzipped(files.write_vasprun), {}),
    "HISTORY.gz": (files.gzipped(files.write_history), {}),
    "a.traj": (files.write_traj, UNTIMED),
    "a.h5md": (files.write_h5md, {}),
    "images.h5md": (lambda p, w: files.write_h5md(p, w, images=True), {}),
}
ROUNDED = {
    "a.xtc": (files.write_xtc, NAMED, 0.005),
    "a.trr": (lambda p, w: files.write_xtc(p, w, "TRR"), NAMED, 1e-6),
    "a.dcd": (files.write_dcd, {**NAMED, **UNTIMED}, 1e-6),
    "short.dump": (lambda p, w: files.write_dump(p, w, "x", number=lambda x: f"{x:.6g}"), {}, 1e-4),
}


def diffusivity(paths_A):
    """Slope of the mean squared displacement of the walkers over six, Å²/ps."""
    lags = np.arange(1, 12)
    lithium = paths_A[:, files.SPECIES == "Li"]
    msd = [np.mean(np.sum((lithium[k:] - lithium[:-k]) ** 2, axis=-1)) for k in lags]
    return np.polyfit(lags * PS, msd, 1)[0] / 6


@pytest.mark.parametrize("breathing", [0.0, 0.01], ids=["NVT", "NPT"])
@pytest.mark.parametrize("name", DOUBLE)
def test_float64_formats_give_the_walk(tmp_path, name, breathing):
    writer, options = DOUBLE[name]
    truth = files.walk(breathing=breathing)
    found = load_trajectory(writer(tmp_path / name, truth), **options)
    assert found.species.tolist() == files.SPECIES.tolist()
    assert found.frame_interval_ps == pytest.approx(PS, rel=1e-12)
    assert found.metadata["rounding_A"] < 1e-12
    assert not found.metadata["warnings"]
    np.testing.assert_allclose(found.cells_A, truth.cells_A if breathing else files.CELL_A, atol=1e-12)
    exact = truth.paths_A
    np.testing.assert_allclose(found.positions_A - found.positions_A[0], exact - exact[0], atol=1e-10)
    assert diffusivity(found.positions_A) == pytest.approx(diffusivity(exact), rel=1e-9)


@pytest.mark.parametrize("breathing", [0.0, 0.01], ids=["NVT", "NPT"])
@pytest.mark.parametrize("name", ROUNDED)
def test_rounded_formats_give_the_walk_to_their_stated_rounding(tmp_path, name, breathing):
    writer, options, most = ROUNDED[name]
    truth = files.walk(breathing=breathing)
    found = load_trajectory(writer(tmp_path / name, truth), **options)
    rounding = found.metadata["rounding_A"]
    assert 1e-8 < rounding <= most
    # the cell of such files is rounded too: single precision of 12 Å over a few cells
    exact = truth.paths_A - truth.paths_A[0]
    np.testing.assert_allclose(found.positions_A - found.positions_A[0], exact, atol=2 * rounding + 1e-5)
    assert diffusivity(found.positions_A) == pytest.approx(
        diffusivity(truth.paths_A), rel=5 * rounding + 1e-5
    )
    if name in ("a.xtc", "short.dump"):
        (note,) = found.metadata["warnings"]
        assert f"rounded by up to {rounding:.1e} A" in note
        assert name not in note  # the same for all files, so that it is told once
    else:  # single precision moves nothing: stated, no warning
        assert found.metadata["warnings"] == []


@pytest.mark.parametrize(
    "name", ["XDATCAR", "vasprun.xml", "a.extxyz", "HISTORY", "a.traj", "a.h5md", *ROUNDED]
)
def test_unwrapped_positions_are_taken_as_they_are(tmp_path, name):
    """Steps of 5 Å, too long to be told from their images in this cell, are neither folded nor refused."""
    walk = files.walk(40, step_A=3.0, breathing=0.01, seed=4)
    writer, options, *_ = {**DOUBLE, **ROUNDED}[name]
    truth = files.UnfoldedWalk(walk.whole_s, walk.cells_A)
    options = {**options, "coordinates": "unwrapped", "hop_length_A": 2.8}
    found = load_trajectory(writer(tmp_path / name, truth), **options)
    rounding = found.metadata["rounding_A"]
    exact = truth.paths_A - truth.paths_A[0]
    np.testing.assert_allclose(
        found.positions_A - found.positions_A[0],
        exact,
        atol=1e-10 if rounding < 1e-12 else 2 * rounding + 1e-5,
    )
    assert np.linalg.norm(np.diff(exact, axis=0), axis=-1).max() > 7


def test_cp2k_gives_the_cells_of_an_npt_run_in_a_file_beside(tmp_path):
    truth = files.walk(breathing=0.01)
    path = files.write_cp2k(tmp_path / "pos-1.xyz", truth)
    cells = files.write_cells(tmp_path / "run-1.cell", truth)
    found = load_trajectory(path, cell_A=cells)
    exact = truth.paths_A - truth.paths_A[0]
    np.testing.assert_allclose(found.positions_A - found.positions_A[0], exact, atol=1e-10)
    np.testing.assert_allclose(found.cells_A, truth.cells_A, atol=1e-11)
    files.write_cells(cells, truth, every=2)
    with pytest.raises(ConfigError, match=r"pos-1.xyz, frame 1: expected a cell of step 1 in .*run-1.cell"):
        load_trajectory(path, cell_A=cells)
    lines = cells.read_text().splitlines(keepends=True)
    for damaged, message in (
        (lines[1:], "run-1.cell, frame 0: expected the heading of a CP2K cell file"),
        (
            [*lines[:4], lines[3], *lines[4:]],
            "run-1.cell, frame 3: expected every step once, 4 is there twice",
        ),
        (
            [*lines[:4], " ".join([*lines[4].split()[:10], "14.0", lines[4].split()[11]]) + "\n"],
            "frame 3: expected vectors of the volume beside",
        ),
        ([*lines[:4], lines[4][:60]], "run-1.cell, frame 3: expected a whole last line"),
    ):
        cells.write_text("".join(damaged))
        with pytest.raises(ConfigError, match=message):
            load_trajectory(path, cell_A=str(cells))


def test_cp2k_takes_its_times_from_the_comment_and_the_cell_from_the_user(tmp_path):
    truth = files.walk()
    path = files.write_cp2k(tmp_path / "pos-1.xyz", truth)
    with pytest.raises(ConfigError, match="expected a cell, the file has none"):
        open_trajectory(path)
    for kind in ("auto", "unwrapped"):
        found = load_trajectory(path, cell_A=files.CELL_A, coordinates=kind)
        np.testing.assert_allclose(
            found.positions_A - found.positions_A[0], truth.paths_A - truth.paths_A[0], atol=1e-10
        )
    assert found.frame_interval_ps == pytest.approx(PS)


class WalkWithoutCell(files.Walk):
    """The same positions, in a box of zeros."""

    def positions_A(self, fractions):
        return fractions @ files.CELL_A


def _without_cell(path, truth, kind):
    """The walk, wrapped, as XTC, TRR or DCD of a program that knows no cell."""
    bare = WalkWithoutCell(truth.whole_s, np.zeros_like(truth.cells_A))
    if kind in ("XTC", "TRR"):
        return files.write_xtc(path, bare, kind)
    with DCDFile(str(path), "w") as file:
        file.write_header("", len(files.SPECIES), 0, 1, 1.0, int(kind == "DCD with zeros"))
        for positions_A in bare.positions_A(bare.wrapped_s):
            file.write(positions_A.astype("f4"), np.zeros(6))
    return path


@pytest.mark.parametrize("kind", ["XTC", "TRR", "DCD", "DCD with zeros"])
def test_a_file_without_a_cell_takes_that_of_the_user(tmp_path, kind):
    truth = files.walk(40, step_A=0.3)
    path = _without_cell(tmp_path / "free.bin", truth, kind)
    interval = {"frame_interval_ps": files.INTERVAL_PS} if kind.startswith("DCD") else {}
    with pytest.raises(ConfigError, match=r"frame 0: expected a cell, the file has none: give cell_A"):
        load_trajectory(path, species=files.SPECIES, **interval)
    found = load_trajectory(path, species=files.SPECIES, cell_A=files.CELL_A, **interval)
    paths_A = truth.whole_s @ files.CELL_A
    np.testing.assert_array_equal(found.cells_A, files.CELL_A)
    np.testing.assert_allclose(
        found.positions_A - found.positions_A[0],
        paths_A - paths_A[0],
        atol=2.1 * found.metadata["rounding_A"] + 1e-6,
    )


def test_h5md_that_mdanalysis_wrote(tmp_path):
    import MDAnalysis
    from MDAnalysis.lib.mdamath import triclinic_box

    truth = files.walk(breathing=0.01)
    path = tmp_path / "theirs.h5md"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = MDAnalysis.Universe.empty(len(files.SPECIES), trajectory=True)
        wrapped = truth.positions_A(truth.wrapped_s)
        units = {"lengthunit": "Angstrom", "timeunit": "ps"}
        with MDAnalysis.Writer(str(path), n_atoms=16, n_frames=truth.n_frames, **units) as writer:
            for t in range(truth.n_frames):
                universe.atoms.positions = wrapped[t]
                universe.dimensions = triclinic_box(*truth.cells_A[t])
                universe.trajectory.ts.time = t * PS
                universe.trajectory.ts.frame = t
                writer.write(universe.atoms)
    found = load_trajectory(path, **NAMED, frame_interval_ps=PS)
    exact = truth.paths_A - truth.paths_A[0]
    np.testing.assert_allclose(found.positions_A - found.positions_A[0], exact, atol=3e-5)


def test_h5md_with_three_constant_edges_and_image_flags(tmp_path):
    """As ESPResSo writes it: an orthorhombic box as one vector, folded positions, image flags."""
    edges = np.diag(files.CELL_A)
    walk = files.walk(30, step_A=3.0)
    truth = files.Walk(walk.paths_A / edges, np.broadcast_to(np.diag(edges), (30, 3, 3)))
    path = files.write_h5md(tmp_path / "a.h5md", truth, images=True)
    with h5py.File(path, "r+") as file:
        box = file["particles/all/box"]
        del box["edges"]
        box["edges"] = edges
    found = load_trajectory(path, hop_length_A=2.8)
    exact = truth.paths_A - truth.paths_A[0]
    np.testing.assert_allclose(found.positions_A - found.positions_A[0], exact, atol=1e-10)


@pytest.mark.parametrize("kind", ["i4", "f8"])
def test_h5md_with_numbers_for_species_calls_them_by_the_whole_number(tmp_path, kind):
    path = files.write_h5md(tmp_path / "a.h5md", files.walk(4))
    with h5py.File(path, "r+") as file:
        group = file["particles/all"]
        del group["species"]
        group["species"] = np.where(files.SPECIES == "O", 29, 3).astype(kind)
    with pytest.raises(
        ConfigError, match=r"'29' is no element \(the atoms are called 29, 3\): .*--species 29=ELEMENT"
    ):
        open_trajectory(path)
    with pytest.raises(ConfigError, match=r"species names '8', .* has 29, 3"):
        open_trajectory(path, species={"8": "O"})
    found = open_trajectory(path, species={"3": "Li", "29": "O"})
    assert found.species.tolist() == files.SPECIES.tolist()


def test_our_own_run_is_streamed_as_it_is_read(tmp_path):
    stage = Stage(
        name="production",
        ensemble="NVE",
        duration_ps=0.2,
        temperature_K=40.0,
        timestep_fs=2.0,
        sample_every_fs=20.0,
        current_every_fs=4.0,
        write_trajectory=True,
        velocities=True,
        checkpoint_every_ps=0.1,
    )
    run_stages(argon(), LaggingLennardJones(), [stage], tmp_path, info={"formal_charges_e": {"Ar": 1}})
    exact = read_trajectory(tmp_path)
    source = open_trajectory(tmp_path)
    chunks = list(source.chunks(4))
    assert source.n_frames == exact.n_frames == 11
    assert source.frame_interval_ps == pytest.approx(exact.frame_interval_ps, rel=1e-9)
    assert source.rounding_A == pytest.approx(exact.metadata["rounding_A"])
    np.testing.assert_array_equal(source.masses_amu, exact.masses_amu)
    joined = np.concatenate([chunk.positions_A for chunk in chunks])
    np.testing.assert_allclose(joined, exact.positions_A, atol=1e-12)
    velocities = np.concatenate([chunk.velocities_A_per_ps for chunk in chunks])
    np.testing.assert_array_equal(velocities, exact.velocities_A_per_ps)
    assert load_trajectory(tmp_path, temperature_K=50.0).formal_charges_e == {"Ar": 1}
    assert load_trajectory([tmp_path], stride=2).formal_charges_e == {"Ar": 1}
    assert load_trajectory([tmp_path], stride=2, formal_charges_e={"Ar": 2}).formal_charges_e == {"Ar": 2}


@pytest.mark.parametrize(
    ("writer", "name", "kind"),
    [
        (files.write_xdatcar, "XDATCAR", "vasp-xdatcar"),
        (files.write_extxyz, "a.extxyz", "extxyz"),
        (files.write_dump, "a.dump", "lammps-dump-text"),
    ],
)
def test_the_files_written_here_are_what_ase_takes_them_for(tmp_path, writer, name, kind):
    """Otherwise writer and reader could share a misunderstanding of the format."""
    from ase.io import read

    truth = files.walk(5, breathing=0.01)
    images = read(writer(tmp_path / name, truth), index=":", format=kind)
    assert len(images) == 5
    for t, atoms in enumerate(images):
        assert atoms.get_chemical_symbols() == files.SPECIES.tolist()
        np.testing.assert_allclose(atoms.cell.array, truth.cells_A[t], atol=1e-9)
        shift = truth.positions_A(truth.whole_s)[t] - atoms.positions
        shift = (shift - shift[0]) @ np.linalg.inv(truth.cells_A[t])
        np.testing.assert_allclose(shift, np.round(shift), atol=1e-9)


def test_the_history_written_here_is_what_mdanalysis_takes_it_for(tmp_path):
    """ASE seeks by a fixed record length, which Fortran's but not these lines have."""
    from MDAnalysis.coordinates.DLPoly import HistoryReader

    truth = files.walk(5)
    expected = truth.positions_A(truth.wrapped_s - 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reader = HistoryReader(str(files.write_history(tmp_path / "HISTORY", truth)))
        found = [step.positions.copy() for step in reader]
        reader.close()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["gro", "CONFIG", "xyz", "data"])
def test_topologies_name_the_atoms(tmp_path, kind):
    truth = files.walk(20)
    path = files.write_dcd(tmp_path / "a.dcd", truth)
    options = dict(UNTIMED)
    if kind == "gro":
        topology = files.write_gro(tmp_path / "a.gro")
        options["species"] = {"LI": "Li"}
    elif kind == "CONFIG":
        topology = files.write_config(tmp_path / "CONFIG")
    elif kind == "xyz":
        topology = files.write_extxyz(tmp_path / "a.xyz", files.walk(1))
    else:
        topology = _write_data(tmp_path / "a.data", 6.94, 15.999)
    assert open_trajectory(path, topology=topology, **options).species.tolist() == files.SPECIES.tolist()


def _write_data(path, *masses_amu):
    """A LAMMPS data file of the atoms of the walk."""
    atoms = "".join(
        f"{k + 1} {1 + int(name == 'O')} 0.0 {0.1 * k} 0.0\n" for k, name in enumerate(files.SPECIES)
    )
    masses = "".join(f"{k + 1} {mass}\n" for k, mass in enumerate(masses_amu))
    path.write_text(
        "title\n\n16 atoms\n2 atom types\n\n0 11 xlo xhi\n0 11 ylo yhi\n0 11 zlo zhi\n\n"
        f"Masses\n\n{masses}\nAtoms # atomic\n\n{atoms}"
    )
    return path


@pytest.mark.parametrize(
    ("masses_amu", "meant"),
    [
        ((1.0, 1.0), {"1": "Li", "2": "O"}),
        ((100.5, 250.0), {"1": "Li", "2": "O"}),
        ((6.9, 14.4), {"2": "O"}),  # the core of O, without its shell, is nearest to N
        ((7.016, 16), {}),
    ],
)
def test_types_of_a_mass_that_no_element_has_keep_their_number(tmp_path, masses_amu, meant):
    path = files.write_dcd(tmp_path / "a.dcd", files.walk(3))
    topology = _write_data(tmp_path / "a.data", *masses_amu)
    found = open_trajectory(path, topology=topology, species=meant or None, **UNTIMED)
    assert found.species.tolist() == files.SPECIES.tolist()
    if meant:
        first = min(meant)
        with pytest.raises(ConfigError, match=rf"'{first}' is no element .*.*--species {first}=ELEMENT"):
            open_trajectory(path, topology=topology, **UNTIMED)


def test_parts_follow_one_another_and_chunks_are_the_whole(tmp_path):
    truth = files.walk(40)
    first = files.write_dump(tmp_path / "1.dump", files.Walk(truth.whole_s[:25], truth.cells_A[:25]))
    second = tmp_path / "2.dump"
    files.write_dump(second, truth)
    frames = second.read_text().split("ITEM: TIME\n")
    second.write_text(frames[0] + "".join(f"ITEM: TIME\n{frame}" for frame in frames[26:]))
    source = open_trajectory([first, second])
    assert source.n_frames == 40
    chunks = list(source.chunks(7))
    assert [chunk.first_frame for chunk in chunks] == list(range(0, 40, 7))
    joined = np.concatenate([chunk.positions_A for chunk in chunks])
    np.testing.assert_allclose(joined - joined[0], truth.paths_A - truth.paths_A[0], atol=1e-10)
    whole = load_trajectory([first, second])
    assert np.array_equal(joined, whole.positions_A)
    again = np.concatenate([chunk.positions_A for chunk in whole.chunks(11)])
    assert np.array_equal(again, whole.positions_A)
    thinned = load_trajectory([first, second], skip_ps=0.5, stride=3)
    assert np.array_equal(thinned.positions_A, whole.positions_A[5::3])
    assert thinned.frame_interval_ps == pytest.approx(3 * PS)


@pytest.mark.parametrize("steps", ["counted", "none"])
def test_a_frame_that_a_restart_wrote_again_is_refused_with_the_remedy(tmp_path, steps):
    truth = files.walk(20, step_A=0.2)
    paths = []
    for k, (start, stop) in enumerate([(0, 11), (10, 20)]):
        piece = files.Walk(truth.whole_s[start:stop], truth.cells_A[start:stop])
        if steps == "none":
            paths.append(files.write_extxyz(tmp_path / f"{k}.xyz", piece))
        else:
            counts = [100 * t for t in range(start, stop)]
            paths.append(files.write_dump(tmp_path / f"{k}.dump", piece, units=False, steps=counts))
    with pytest.raises(
        ConfigError,
        match=r"/1\.\w+, frame 0: doubled frame: .*/0\.\w+ ends with it, and a restart writes it again: cut",
    ):
        load_trajectory(paths, **UNTIMED)


def test_a_second_run_of_vasp_counts_its_configurations_anew(tmp_path):
    truth = files.walk(40, step_A=0.2)
    parts = [
        files.write_xdatcar(tmp_path / f"XDATCAR.{k}", files.Walk(truth.whole_s[part], truth.cells_A[part]))
        for k, part in enumerate((slice(0, 25), slice(25, 32), slice(32, 40)))
    ]
    whole = load_trajectory(parts, frame_interval_ps=PS)
    np.testing.assert_allclose(
        whole.positions_A - whole.positions_A[0], truth.paths_A - truth.paths_A[0], atol=1e-10
    )
    lost = files.Walk(truth.whole_s[25:32], truth.cells_A[25:32])
    late = files.write_xdatcar(tmp_path / "late", lost, numbers=range(3, 10))
    with pytest.raises(ConfigError, match=r"late, frame 0: step goes back from 25 to 3"):
        open_trajectory([parts[0], late], frame_interval_ps=PS)


def test_h5md_times_without_a_unit_ask_for_the_interval_and_must_be_even(tmp_path):
    path = files.write_h5md(tmp_path / "a.h5md", files.walk(12))
    with h5py.File(path, "r+") as file:
        position = file["particles/all/position"]
        del position["time"]
        position["time"] = 0.3 * np.arange(12)
    with pytest.raises(ConfigError, match=r"holds no times in ps: give frame_interval_ps"):
        open_trajectory(path)
    assert open_trajectory(path, frame_interval_ps=PS).frame_interval_ps == PS
    with h5py.File(path, "r+") as file:
        position = file["particles/all/position"]
        position.pop("step", None)
        position["time"][8:] += 0.3
    with pytest.raises(ConfigError, match=r"frame 8: uneven frames"):
        open_trajectory(path, frame_interval_ps=PS)


def test_velocities_of_a_history(tmp_path):
    path = files.write_history(tmp_path / "HISTORY", files.walk(10), level=1)
    found = load_trajectory(path)
    np.testing.assert_allclose(found.velocities_A_per_ps[3, :, 0], 0.1 * np.arange(16))
    assert found.masses_amu[0] == 7.0


def test_no_times_ask_for_the_interval(tmp_path):
    path = files.write_xdatcar(tmp_path / "XDATCAR", files.walk(10))
    with pytest.raises(ConfigError, match=r"XDATCAR holds no times in ps: give frame_interval_ps"):
        open_trajectory(path)


def test_a_wrong_interval_is_refused(tmp_path):
    path = files.write_dump(tmp_path / "a.dump", files.walk(10))
    with pytest.raises(ConfigError, match=r"every 0\.1 ps, frame_interval_ps says 1 ps"):
        open_trajectory(path, frame_interval_ps=1.0)


def _one_long_step():
    """Walkers, of which atom 4 (Li) leaps by 1.7 Å into frame 12."""
    truth = files.walk(20, step_A=0.05)
    steps = truth.whole_s.copy()
    steps[12:, 3] += 1.7 / 11.0 * np.array([1.0, 0, 0])
    return files.Walk(steps, truth.cells_A)


def test_wrapped_steps_beyond_half_a_hop_are_refused(tmp_path):
    path = files.write_dump(tmp_path / "a.dump", _one_long_step(), "x")
    message = (
        r"a\.dump, frame 12: atom 4 \(Li\) steps 1\.\d+ A in 0\.1 ps, expected at most half of the hop "
        r"length, 1\.4 A: .*xu yu zu.*--allow-long-steps"
    )
    with pytest.raises(ConfigError, match=message):
        load_trajectory(path, hop_length_A=2.8)
    with pytest.raises(ConfigError, match=message):
        load_trajectory(path, hop_length_A=2.8, hop_species=["Li"])
    load_trajectory(path, hop_length_A=2.8, hop_species=["O"])
    load_trajectory(path, hop_length_A=3.6)


@pytest.mark.parametrize("kind", ["xu", "xsu", "x+i"])
def test_counted_images_leave_no_step_to_doubt(tmp_path, kind):
    path = files.write_dump(tmp_path / "b.dump", _one_long_step(), kind)
    assert not load_trajectory(path, hop_length_A=2.8, hop_species=["Li"]).metadata["warnings"]


def test_long_steps_that_are_allowed_are_counted_and_told(tmp_path):
    moved = _one_long_step()
    path = files.write_dump(tmp_path / "a.dump", moved, "x")
    found = load_trajectory(path, hop_length_A=2.8, allow_long_steps=True)
    (note,) = found.metadata["warnings"]
    assert note.startswith("Li, wrapped positions: 1 step exceeds half of the hop length (1.4 A) in 0.1 ps")
    assert "a.dump, frame 12, atom 4)" in note
    exact = moved.paths_A - moved.paths_A[0]
    np.testing.assert_allclose(found.positions_A - found.positions_A[0], exact, atol=1e-10)
    source = open_trajectory(path, hop_length_A=2.8, allow_long_steps=True)
    for _ in range(2):
        assert sum(chunk.n_frames for chunk in source.chunks(7)) == 20
        assert source.notes() == [note]  # a second pass counts afresh


def test_the_hop_length_is_that_of_the_first_picosecond_unless_given(tmp_path):
    """Ions on a simple cubic lattice of 2.8 Å: 1.3 Å is half a hop or less, 1.5 Å more."""
    grid = 2.8 * np.stack(np.meshgrid(*[np.arange(4)] * 3), axis=-1).reshape(-1, 3)
    paths = grid + 0.02 * np.random.default_rng(0).standard_normal((30, 64, 3))
    for step_A, refused in ((1.3, False), (1.5, True)):
        paths[20, 5] = grid[5] + [step_A, 0, 0]
        path = tmp_path / "a.xyz"
        with open(path, "w") as file:
            for frame in paths % 11.2:
                file.write('64\nLattice="11.2 0 0 0 11.2 0 0 0 11.2" Properties=species:S:1:pos:R:3\n')
                file.writelines(f"Li {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in frame)
        if refused:
            with pytest.raises(ConfigError, match=r"frame 20: atom 6 .* half of the hop length, 1\.(39|4) A"):
                load_trajectory(path, hop_species=["Li"], **UNTIMED)
        else:
            load_trajectory(path, hop_species=["Li"], **UNTIMED)


def test_a_walk_too_fast_for_its_cell_is_refused(tmp_path):
    path = files.write_xdatcar(tmp_path / "XDATCAR", files.walk(30, step_A=3.0))
    with pytest.raises(ConfigError, match="half of the cell's shortest height"):
        load_trajectory(path, **UNTIMED)
