"""``simtools rotations`` on toys written as other programs would write them."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from simtools.analysers.reorientation import ReorientationResult
from simtools.analysers.rotation import parse_anion
from simtools.analysers.verdict import VERDICTS, Verdict
from simtools.core.errors import ConfigError
from simtools.core.units import BOLTZMANN_EV_PER_K
from simtools.testing.rigid_rotors import rigid_rotors, rotor_quaternions
from simtools.testing.rotor_crystals import hydroxide_crystal
from workflows.cli import main
from workflows.cli_base import BAD_INPUT, DONE
from workflows.rotations import _few_shifts, _in_usual_order


def write_extxyz(path, trajectory):
    """Write a trajectory as ab initio programs' converters do: extended XYZ, one cell per frame."""
    images = [
        Atoms(trajectory.species, positions=r_nc, cell=trajectory.cells_A, pbc=True)
        for r_nc in trajectory.positions_A
    ]
    write(path, images, format="extxyz")
    return path


def rotations(tmp_path, name, *arguments):
    out = tmp_path / name
    assert main(["rotations", *map(str, arguments), "-o", str(out)]) == DONE
    return json.loads((out / "summary.json").read_text()), out


@pytest.mark.parametrize(("centre", "ligand", "bond_A"), [("P", "S", 2.05), ("B", "H", 1.2)])
def test_wrapped_and_unwrapped_coordinates_give_the_same_functions(tmp_path, centre, ligand, bond_A):
    quaternions = rotor_quaternions(400, 8, seed=3, rotational_diffusivity_per_ps=0.02)
    options = {"n_ligands": 4, "centre": centre, "ligand": ligand, "bond_A": bond_A, "spacing_A": 7.0}
    stored = []
    for wrapped, flag in ((False, ["--unwrapped"]), (True, [])):
        path = write_extxyz(
            tmp_path / f"{wrapped}.xyz", rigid_rotors(quaternions, **options, wrapped=wrapped)
        )
        _, out = rotations(
            tmp_path, f"out{wrapped}", path, "--anion", f"{centre}{ligand}4", "--frame-interval", 0.5, *flag
        )
        text = (out / "results" / f"rotation-{centre}{ligand}4-reorientation.json").read_text()
        stored.append(ReorientationResult.from_json(text))
    assert np.abs(stored[0].c1 - stored[1].c1).max() < 1e-6
    assert np.abs(stored[0].c2 - stored[1].c2).max() < 1e-6
    truth = np.exp(-2 * 0.02 * stored[0].lag_times_ps / 0.5)
    pull = (stored[0].c1 - truth)[1:] / stored[0].c1_stderr[1:]
    assert np.sqrt(np.mean(pull**2)) < 2.5


TRICLINIC = 1.2 * np.array([[7.6, 0.0, 0.0], [2.1, 7.4, 0.0], [-1.7, 2.3, 7.9]])


@pytest.mark.parametrize("breathing", [False, True])
@pytest.mark.parametrize(("centre", "ligand", "bond_A"), [("P", "S", 2.05), ("B", "H", 1.2)])
def test_molecules_across_the_faces_of_a_triclinic_cell_are_the_same(
    tmp_path, centre, ligand, bond_A, breathing
):
    """Two anions, one on a corner of the cell, whose atoms are folded into it one by one."""
    quaternions = rotor_quaternions(240, 2, seed=4, rotational_diffusivity_per_ps=0.03)
    turned = rigid_rotors(
        quaternions, n_ligands=4, centre=centre, ligand=ligand, bond_A=bond_A, spacing_A=9.0
    )
    bonds = turned.positions_A.reshape(240, 2, 5, 3)
    bonds = bonds - bonds[:, :, :1]
    strain = 0.03 * np.sin(np.arange(240) / 7)[:, None, None] if breathing else np.zeros((240, 1, 1))
    cells = TRICLINIC * (1 + strain)
    centres = np.einsum("mc,tcd->tmd", [[0.0, 0.0, 0.0], [0.5, 0.55, 0.45]], cells)
    whole = (centres[:, :, None] + bonds).reshape(240, -1, 3)
    scaled = np.einsum("tnc,tcd->tnd", whole, np.linalg.inv(cells))
    folded = np.einsum("tnc,tcd->tnd", scaled % 1.0, cells)
    assert np.abs(folded - whole).max() > 5.0
    stored = []
    for name, r_tnc, flag in (("whole", whole, ["--unwrapped"]), ("folded", folded, [])):
        path = tmp_path / f"{name}.xyz"
        images = [
            Atoms(turned.species, positions=r_nc, cell=cell, pbc=True)
            for r_nc, cell in zip(r_tnc, cells, strict=True)
        ]
        write(path, images, format="extxyz")
        command = [path, "--anion", f"{centre}{ligand}4", "--frame-interval", 0.5, *flag]
        _, out = rotations(tmp_path, f"out-{name}", *command)
        text = (out / "results" / f"rotation-{centre}{ligand}4-reorientation.json").read_text()
        stored.append(ReorientationResult.from_json(text))
    assert np.abs(stored[0].c1 - stored[1].c1).max() < 1e-6
    assert np.abs(stored[0].c2 - stored[1].c2).max() < 1e-6
    length = stored[0].lag_times_ps[1:4]
    direct = [legendre(bonds[:, :, 1:] / bond_A, round(t / 0.5)) for t in length]
    assert stored[1].c1[1:4] == pytest.approx(direct, abs=1e-5)


def test_two_atoms_the_other_way_round_are_turned_with_a_line(tmp_path, following):
    files, wanted = [following, "--frame-interval", 0.05, "--temperature", 600], "HO is taken as OH"
    plain, _ = rotations(tmp_path, "plain", *files, "--anion", "OH")
    turned, _ = rotations(tmp_path, "turned", *files, "--anion", "HO")
    assert turned["rotation"] == plain["rotation"]
    assert turned["source"]["anion"] == "OH"
    assert any(wanted in line and "O being the central atom" in line for line in turned["warnings"])
    assert not any(wanted in line for line in plain["warnings"])
    assert [_in_usual_order(name)[0] for name in ("CN", "NC", "SH", "HS", "NO2", "BH4", "ClO", "OCl")] == [
        "CN", "CN", "SH", "SH", "NO2", "BH4", "ClO", "ClO",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="O is both the central atom and a ligand"):
        _in_usual_order("ONO")


def test_few_shifts_are_named_only_where_no_test_could_say_yes():
    assert _few_shifts(1000, 20) == []
    assert _few_shifts(399, 20) == []
    (line,) = _few_shifts(398, 20)
    assert "take --shifts 399 or more" in line
    assert "q below 1," in _few_shifts(9, 20)[0]


def legendre(u, lag):
    return np.einsum("tmbc,tmbc->tmb", u[:-lag], u[lag:]).mean()


@pytest.fixture(scope="module")
def following(tmp_path_factory):
    folder = tmp_path_factory.mktemp("following")
    crystal = hydroxide_crystal(1600, seed=5, motion="follow vacancies", hop_rate_per_ps=0.05, wrapped=True)
    return write_extxyz(folder / "following.xyz", crystal)


def test_hydroxides_that_follow_vacancies_are_called_co_triggered(tmp_path, following, capsys):
    arguments = ["--anion", "OH", "--mobile", "Li", "--frame-interval", 0.05, "--temperature", 600]
    summary, out = rotations(tmp_path, "a", following, *arguments, "--shifts", 199, "--site-symmetry", "m-3m")
    text = capsys.readouterr().out
    (entry,), (coupling,), (verdict,) = summary["rotation"], summary["coupling"], summary["verdict"]
    assert entry["anion"] == "OH"
    assert entry["n_rotors"] == 27
    assert entry["n_basins"] == 6
    assert entry["temperature_K"] == 600.0
    assert coupling["hazard_ratio_crude"]["value"] > coupling["hazard_ratio_adjusted"]["value"]
    assert coupling["dipole_to_vacancies_mean_cosine"] > 0.5
    pointing = coupling["vacancy_pointing"]
    assert pointing["angle_to_nearest_vacancy_deg"]["ci95"][1] < 60
    assert (
        pointing["within_45_deg_of_a_vacancy"]["ci95"][0] > 2 * pointing["within_45_deg_random_orientation"]
    )
    hydrogen = entry["ligand_tracer_diffusivity_cm2_per_s"]["H"]
    assert 0 < hydrogen["upper_limit"] < 1e-4
    assert entry["n_bond_changes"] == 0
    assert {test["name"] for test in coupling["tests"]} >= {"rotations lead hops", "dipole towards vacancies"}
    assert all(0 < test["p"] <= test["q"] <= 1 or test["p"] < 1e-9 for test in coupling["tests"])
    assert verdict["verdict"] == "co-triggered"
    assert verdict["ladder"][0]["answer"] == "yes"
    assert "OH and Li at 600 K: co-triggered" in text
    assert "sites of Li were taken from where its density peaks" in text
    n_tests = len(coupling["tests"])
    assert f"199 shifts are few for {n_tests} tests" in text
    assert f"--shifts {20 * n_tests - 1} or more" in text
    assert f"cannot have q below {n_tests / 200:.2g}" in text
    page = (out / "report.html").read_text()
    assert "co-triggered" in page
    assert "Do they come together beyond chance?" in page
    assert (out / "figures" / "correlogram-OH-Li.svg").exists()
    stored = Verdict.from_json((out / "results" / "coupling-600K-OH-Li-verdict.json").read_text())
    assert stored.verdict in VERDICTS


def test_independent_hydroxides_are_not_called_coupled(tmp_path):
    crystal = hydroxide_crystal(1600, seed=6, turn_rate_per_ps=0.06, hop_rate_per_ps=0.05)
    path = write_extxyz(tmp_path / "free.xyz", crystal)
    summary, _ = rotations(
        tmp_path, "b", path, "--anion", "OH", "--mobile", "Li", "--frame-interval", 0.05, "--shifts", 199
    )
    (verdict,) = summary["verdict"]
    assert verdict["verdict"] in ("uncoupled", "undetermined")
    assert 0 < verdict["excluded_coupled_fraction"] < 0.3


def test_several_temperatures_give_the_activation_energy_of_rotation(tmp_path, capsys):
    energy_eV, at = 0.2, []
    for number, temperature_K in enumerate((600.0, 750.0, 1000.0)):
        rate = 0.3 * np.exp(-energy_eV / BOLTZMANN_EV_PER_K * (1 / temperature_K - 1 / 1000.0))
        files = []
        for replica in range(2):
            crystal = hydroxide_crystal(
                600,
                seed=10 * number + replica,
                turn_rate_per_ps=rate * 6 / 5,
                hop_rate_per_ps=0.0,
                frame_interval_ps=0.1,
            )
            files.append(write_extxyz(tmp_path / f"{number}-{replica}.xyz", crystal))
        at += ["--at", temperature_K, *files]
    summary, out = rotations(tmp_path, "d", "--anion", "OH", "--frame-interval", 0.1, *at)
    assert [entry["temperature_K"] for entry in summary["rotation"]] == [600.0, 750.0, 1000.0]
    assert all(entry["n_replicas"] == 2 for entry in summary["rotation"])
    (line,) = summary["rotation_arrhenius"]
    low, high = line["rate_activation_energy_eV"]["ci95"]
    assert low < energy_eV < high
    assert high - low < 0.15
    assert line["diffusion_activation_energy_eV"] is None
    assert (out / "figures" / "rotation-arrhenius-OH.svg").exists()
    assert "rate of rotation" in capsys.readouterr().out


def test_tilts_of_octahedra_from_files(tmp_path):
    crystal = hydroxide_crystal(60, seed=8, n_vacancies=1, hop_rate_per_ps=0.0, rattle_A=0.05)
    path = write_extxyz(tmp_path / "tilts.xyz", crystal)
    summary, out = rotations(tmp_path, "e", path, "--tilts", "OLi6", "--frame-interval", 0.05)
    (entry,) = summary["tilts"]
    assert summary["rotation"] == []
    assert entry["n_octahedra"] == 27
    assert all(0 < entry["rms_tilt_deg"][axis]["value"] < 5 for axis in "xyz")
    assert "root mean square tilt about x" in (out / "report.html").read_text()
    assert (out / "results" / "tilts-OLi6.json").exists()


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    crystal = hydroxide_crystal(220, seed=7, wrapped=True)
    return write_extxyz(tmp_path_factory.mktemp("short") / "short.xyz", crystal)


def test_without_a_mobile_ion_there_is_rotation_only(tmp_path, short):
    summary, out = rotations(tmp_path, "c", short, "--anion", "OH", "--frame-interval", 0.05)
    assert summary["coupling"] == summary["verdict"] == []
    assert len(summary["rotation"]) == 1
    assert (out / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--anion", "H2O"], "an anion is its central atom and its ligands"),
        (["--anion", "OX"], "no species 'X'"),
        ([], "give --anion FORMULA, --tilts BX6, or both"),
        (["--tilts", "OLi4"], "octahedra are a centre and six corners"),
        (["--anion", "OH", "--at", "600", "x.xyz"], "--at K FILE ... takes the place of TRAJECTORY"),
        (["--anion", "SH"], "no species 'S'"),
        (["--anion", "OH", "--bond", "-1"], "--bond must be positive"),
        (["--anion", "OH", "--site-symmetry", "cubic"], "no point group 'cubic'"),
        (["--anion", "OH", "--angle", "200"], "threshold_deg must lie between"),
        (["--anion", "OH", "--mobile", "Na"], "no species 'Na'"),
        (["--anion", "OH", "--mobile", "Li", "--radius", "30"], "at most half the smallest height"),
    ],
)
def test_bad_input_is_one_line(tmp_path, short, capsys, arguments, message):
    command = [
        "rotations",
        str(short),
        "--frame-interval",
        "0.05",
        *arguments,
        "-o",
        str(tmp_path / "bad"),
    ]
    assert main(command) == BAD_INPUT
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("at", "message"),
    [
        (["--at", "hot", "a.xyz"], "expected a temperature in K and at least one file"),
        (["--at", "600", "a.xyz", "--at", "600", "b.xyz"], "expected different temperatures"),
        (["--at", "600"], "expected a temperature in K and at least one file"),
    ],
)
def test_groups_that_make_no_sense_are_refused(tmp_path, capsys, at, message):
    assert main(["rotations", "--anion", "OH", *at, "-o", str(tmp_path / "bad")]) == BAD_INPUT
    assert message in capsys.readouterr().err


def test_anions_are_read_as_written():
    assert parse_anion("BH4") == ("B", ("H",), 4)
    assert parse_anion("CN") == ("C", ("N",), 1)
    assert parse_anion("PS3O") == ("P", ("S", "O"), 4)
    for text in ("", "O", "OH-", "H2O", "oh"):
        with pytest.raises(ConfigError):
            parse_anion(text)
