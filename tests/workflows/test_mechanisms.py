"""``simtools analyse`` says how ions move: walks in a crystal whose every jump is known, through files."""

import json
from dataclasses import replace

import numpy as np
import pytest
from ase.io import write as write_structure
from ase.io.cube import read_cube_data

from simtools.analysers.hop_statistics import HopStatistics
from simtools.analysers.jumps import find_jumps
from simtools.md.trajectory import Trajectory
from tests.crystal_walks import REPEATS, UNIT, A, crystal_walk
from workflows.analyse import analyse_files
from workflows.analysis_inputs import parse_molecule, with_molecules
from workflows.cli import main
from workflows.cli_base import BAD_INPUT, DONE
from workflows.mechanisms import explain

TYPES = ("Li", "O", "Cl")
HOP_A = A / 2**0.5
COMMON = ["--mobile", "Li", "--temperature", "900", "--frame-interval", "0.5", "--hop-length", f"{HOP_A}"]
COMMON += [word for k, name in enumerate(TYPES, 1) for word in ("--species", f"{k}={name}")]
COMMON += ["--charge", "Li=1", "--charge", "O=-2", "--charge", "Cl=-1"]


def write_dump(path, trajectory):
    """Write unwrapped positions by type, as a LAMMPS dump has them."""
    kinds = np.array([TYPES.index(name) + 1 for name in trajectory.species])
    edge = float(trajectory.cells_A[0, 0])
    with path.open("w", encoding="ascii") as file:
        for step, r_nc in enumerate(trajectory.positions_A):
            file.write(f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{len(r_nc)}\n")
            file.write("ITEM: BOX BOUNDS pp pp pp\n" + 3 * f"0 {edge!r}\n" + "ITEM: ATOMS id type xu yu zu\n")
            table = np.column_stack([np.arange(1, len(r_nc) + 1), kinds, r_nc])
            np.savetxt(file, table, fmt="%d %d %.7f %.7f %.7f")
    return path


@pytest.fixture(scope="module")
def walk():
    return crystal_walk(300)


@pytest.fixture(scope="module")
def dump(walk, tmp_path_factory):
    return write_dump(tmp_path_factory.mktemp("dump") / "walk.lammpstrj", walk)


@pytest.fixture(scope="module")
def analysed(dump, tmp_path_factory):
    out = tmp_path_factory.mktemp("analysis")
    cube = out / "li.cube"
    assert main(["analyse", str(dump), *COMMON, "--density", str(cube), "-o", str(out)]) == DONE
    return out, json.loads((out / "summary.json").read_text())


def test_every_block_carries_numbers_with_intervals(analysed, walk):
    out, summary = analysed
    known = find_jumps(walk, species="Li")
    lithium, *hosts = summary["jumps"]
    assert lithium["n_jumps"] == known.n_jumps
    assert lithium["n_vacancies"] == 6
    assert lithium["sites_from"].endswith("folded into one of 4 x 4 x 4 equal cells")
    low, high = lithium["correlation_factor"]["ci95"]
    assert low < 0.69 < high
    assert lithium["p_value"] > 0.01
    assert {row["species"] for row in hosts} == {"O", "Cl"}
    assert all("upper_limit" in row["rate_per_ion_per_ps"] for row in hosts)
    (matrix,) = summary["onsager"]
    assert matrix["transport_numbers"]["Li"]["value"] == pytest.approx(1, abs=0.05)
    (tensor,) = summary["tracer_tensor"]
    assert set(tensor["components_cm2_per_s"]) == {"xx", "yy", "zz", "yz", "xz", "xy"}
    (methods,) = summary["methods"]
    assert {"result", "ordinary least squares", "jumps between sites"} <= {
        row["by"] for row in methods["estimates"]
    }
    (plan,) = summary["plan"]
    assert plan["text"].startswith("for 10 % on H_R at 900 K run about")
    assert 0 < summary["concerted"][0]["p_value"] <= 1
    assert summary["percolation"][0]["species"] == "Li"
    assert any("no velocities" in text for text in summary["not_determined"])
    assert any("do not resolve the vibrations" in text for text in summary["not_determined"])
    stored = HopStatistics.from_json((out / "results" / "hops-900K-Li.json").read_text())
    assert stored.n_jumps == known.n_jumps


def test_the_page_shows_a_figure_for_what_was_found(analysed):
    out, _ = analysed
    page = (out / "report.html").read_text(encoding="utf-8")
    for section in ("methods", "plan", "collective", "structure", "jumps", "density"):
        assert f'<section id="{section}">' in page
    drawn = {path.stem for path in (out / "figures").glob("*.svg")}
    assert drawn >= {
        "msd",
        "methods-tracer-Li",
        "rdf",
        "van-hove-self-Li",
        "van-hove-distinct-Li",
        "non-gaussian",
        "stays-Li",
        "strings-Li",
        "lead-lag-Li",
        "free-energy-Li",
    }
    assert all(f'id="figure-{name}"' in page for name in drawn)
    assert "Not determined" in page


def test_the_density_is_written_where_asked(analysed):
    out, _ = analysed
    values, atoms = read_cube_data(str(out / "li.cube"))
    assert values.min() >= 0
    assert atoms.cell.lengths() == pytest.approx([A, A, A], rel=1e-6)
    voxel_bohr3 = atoms.get_volume() / 0.529177210903**3 / values.size
    assert values.sum() * voxel_bohr3 == pytest.approx(186 / 64, rel=1e-4)


def test_a_crystal_of_sites_gives_the_same_jumps_and_says_so(dump, walk, tmp_path, capsys):
    sites = tmp_path / "unit.cif"
    write_structure(sites, UNIT)
    arguments = [
        "analyse",
        str(dump),
        *COMMON,
        "--sites",
        str(sites),
        "--only",
        "jumps",
        "-o",
        str(tmp_path / "a"),
    ]
    assert main(arguments) == DONE
    assert "Jumps, sites from the crystal given with --sites" in capsys.readouterr().out
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert summary["jumps"][0]["n_jumps"] == find_jumps(walk, species="Li").n_jumps
    assert "onsager" not in summary
    assert "percolation" not in summary


def test_transport_alone_is_transport_alone(dump, tmp_path):
    assert main(["analyse", str(dump), *COMMON, "--only", "transport", "-o", str(tmp_path)]) == DONE
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert not {"jumps", "onsager", "methods", "plan"} & set(summary)
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["transport-900K-Li.json"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "jumps,rdf"], "--only rdf: expected some of transport, collective"),
        (["--density", "li.xsf"], "ends in .cube, .chgcar or .vtk"),
        (["--density", "li.cube", "--only", "jumps"], "--density needs density among --only"),
        (["--sites", "nowhere.cif"], "nowhere.cif: no such file"),
        (["--sites", "model.py"], "expected POSCAR or a file"),
        (["--molecule", "Li"], "central atom and its ligands"),
        (["--molecule", "OH"], "--molecule OH needs its charge"),
    ],
)
def test_bad_input_is_one_line(dump, tmp_path, capsys, arguments, message):
    assert main(["analyse", str(dump), *COMMON, *arguments, "-o", str(tmp_path)]) == BAD_INPUT
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_our_own_runs_bring_their_sites_and_their_current(run_inline, tmp_path):
    recipe = tmp_path / "salt.toml"
    recipe.write_text(
        """
        title = "Li3OCl, tiny"
        [structure]
        formula = "Li3OCl"
        supercell = [3, 3, 3]
        [[defects]]
        kind = "schottky"
        species = ["Li", "Cl"]
        count = 1
        [potential]
        name = "li3ocl_mouta_formal"
        [md]
        temperatures_K = [1100]
        replicas = 1
        lattice_parameter_A = 4.0
        equilibration_ps = 0.2
        production_ps = 2
        sample_every_fs = 10
        [analysis]
        mobile = "Li"
        """,
        encoding="utf-8",
    )
    run = run_inline(recipe, tmp_path / "run")
    summary = json.loads((run / "summary.json").read_text())
    assert {row["species"] for row in summary["jumps"]} == {"Li", "O", "Cl"}
    (green,) = summary["green_kubo"]
    assert green["ionic_conductivity_S_per_cm"]["value"] > 0
    assert summary["methods"][0]["species"] == "Li"
    page = (run / "report.html").read_text(encoding="utf-8")
    assert '<section id="mechanisms">' in page
    assert 'id="figure-jump-rates"' in page
    (point,) = (run / "points").glob("1100K-r01-*")
    analysis = analyse_files([[str(point)]], mobile=["Li"], temperature_K=1100, charges_e={})
    found = analysis.mechanisms
    assert found.choices["sites_from"] == "the crystal that the run was built from"
    assert found.green_kubo.interval_ps < 0.01
    assert found.vibrations[0].attempt_frequency_THz.value == pytest.approx(10, rel=0.5)
    other = analyse_files(
        [[str(point)]], mobile=["Li"], temperature_K=1100, charges_e={"Li": 1, "O": -1, "Cl": -1}
    )
    assert any("no velocities" in text for _, text in other.mechanisms.absent)


def test_hydroxide_is_one_ion():
    rng = np.random.default_rng(4)
    n_frames, home = 40, np.array([[1.0, 1, 1], [5, 5, 5], [3, 3, 3]])
    bonds = rng.normal(size=(n_frames, 2, 3))
    bonds *= 0.97 / np.linalg.norm(bonds, axis=-1, keepdims=True)
    oxygen = np.broadcast_to(home, (n_frames, 3, 3))
    trajectory = Trajectory(
        positions_A=np.concatenate([oxygen, oxygen[:, :2] + bonds], axis=1),
        species=["O", "O", "O", "H", "H"],
        cells_A=9 * np.eye(3),
        frame_interval_ps=0.1,
        masses_amu=np.array([16.0, 16, 16, 1, 1]),
        formal_charges_e={"O": -2, "OH": -1},
    )
    whole = with_molecules(trajectory, [parse_molecule("OH")])
    assert whole.species.tolist() == ["O", "OH", "OH"]
    assert whole.formal_charges_e == {"O": -2, "OH": -1}
    none_left = replace(
        trajectory, positions_A=trajectory.positions_A[:, [0, 1, 3, 4]], species=["O", "O", "H", "H"],
        masses_amu=np.array([16.0, 16, 1, 1]),
    )  # fmt: skip
    assert with_molecules(none_left, [parse_molecule("OH")]).formal_charges_e == {"OH": -1}
    assert parse_molecule("BH4").n_ligands == 4


def test_a_part_that_fails_leaves_the_others(walk):
    from simtools.analysers.transport import analyse_transport

    short = replace(walk, positions_A=walk.positions_A[:40], formal_charges_e={})
    transport = analyse_transport([short], species="Li", hop_length_A=HOP_A, host_species=("O", "Cl"))
    found = explain([short], [transport], hop_length_A={"Li": HOP_A}, host_species={"Li": ("O", "Cl")})
    assert found.onsager is None
    assert ("collective", "no formal charges of the mobile ions, so no conductivity") in found.absent
    assert found.hops[0].n_jumps == find_jumps(short, species="Li").n_jumps
    assert found.choices["density"].startswith(
        f"1 of 1 replicas, cell folded {' x '.join(map(str, REPEATS))}"
    )


def test_the_command_line_knows_every_topic():
    from workflows import cli_analysis, mechanisms

    assert cli_analysis._TOPICS == mechanisms.TOPICS
