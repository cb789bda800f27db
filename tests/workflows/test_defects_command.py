"""`simtools defects` at toy size: argon by hand-countable sums, resumption, workers, Li3OCl's bookkeeping,
and what it refuses."""

import json
import math
import shutil

import pytest

from simtools.core.errors import RunFailedError
from workflows import relaxation_jobs
from workflows.defect_energies import compute_defect_energies
from workflows.statepoints import locked
from workflows.statics import read_static_recipe

ARGON = """
title = "argon defects"
[structure]
prototype = "fcc"
formula = "Ar"
supercell = [2, 2, 2]
[potential]
name = "lennard_jones"
[energetics]
defects = ["V_Ar", "(Ar2)_Ar"]
supercells = [2, 3, 4]
binding = ["{V_Ar V_Ar}"]
binding_supercell = 3
max_force_eV_per_A = 0.001
[energetics.reactions]
"Schottky" = "Ar_Ar -> V_Ar + Ar"
"Frenkel" = "2 Ar_Ar -> V_Ar + (Ar2)_Ar"
"""

SALT = """
[structure]
formula = "Li3OCl"
supercell = [2, 2, 2]
[potential]
name = "li3ocl_mouta_formal"
net_charge = "background"
accuracy = 1e-4
[energetics]
defects = ["V_Li'", "V_Cl."]
supercells = [2, 3, 4]
temperatures_K = [500, 1000]
max_force_eV_per_A = 0.02
[energetics.phases]
LiCl = "rocksalt"
Li2O = "antifluorite"
[energetics.conditions]
"LiCl-rich" = "LiCl"
"LiCl-poor" = "Li2O"
[energetics.reactions]
"LiCl Schottky" = "Li_Li + Cl_Cl -> V_Li' + V_Cl. + LiCl"
"decomposition" = "Li3OCl -> LiCl + Li2O"
"""


@pytest.fixture
def recipe(tmp_path):
    """Return a function that writes a recipe and gives its path."""

    def write(text, name="defects.toml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="module")
def argon(tmp_path_factory):
    """The toy run of argon and its results."""
    folder = tmp_path_factory.mktemp("argon")
    path = folder / "argon.toml"
    path.write_text(ARGON, encoding="utf-8")
    read = read_static_recipe(path)
    return read, folder / "run", compute_defect_energies(read, folder / "run")


def test_schottky_energy_of_argon_is_a_vacancy_and_an_atom_put_back(argon):
    _, _, result = argon
    vacancy = result.row("V_Ar").energy
    schottky = result.reactions[0].energy_eV.value
    assert schottky == pytest.approx(vacancy.energy_eV.value + result.host.crystal.energy_eV)
    assert schottky == pytest.approx(-result.host.crystal.energy_eV, rel=0.03)
    frenkel = result.reactions[1].energy_eV.value
    assert frenkel == pytest.approx(vacancy.energy_eV.value + result.row("(Ar2)_Ar").energy.energy_eV.value)
    assert frenkel > 2 * schottky


def test_two_vacancies_of_argon_bind_by_the_bond_they_share(argon):
    _, _, result = argon
    curve = result.binding[0]
    bond = -result.host.crystal.energy_eV / 6
    assert curve.nearest.distance_A == pytest.approx(result.host.crystal.atoms.cell.lengths()[0] / 2**0.5)
    assert -1.5 * bond < curve.relative_to_isolated_eV(curve.nearest) < -0.5 * bond


def test_dumbbell_of_argon_is_the_hundred(argon):
    _, _, result = argon
    assert "<100>" in result.row("(Ar2)_Ar").description
    assert result.row("(Ar2)_Ar").per_formula_unit == 3
    assert result.row("V_Ar").per_formula_unit == 1


def test_what_is_there_is_not_computed_again(argon, monkeypatch):
    read, directory, result = argon

    def refuse(*arguments):
        raise AssertionError("relaxed again")

    monkeypatch.setattr(relaxation_jobs, "_relax", refuse)
    again = compute_defect_energies(read, directory)
    assert [row.energy for row in again.defects] == [row.energy for row in result.defects]


def test_a_changed_cell_is_not_believed(argon, tmp_path, recipe, simtools):
    _, directory, _ = argon
    shutil.copytree(directory, tmp_path / "out")
    cell = next((tmp_path / "out" / "cells").glob("V_Ar-2-*.json"))
    record = json.loads(cell.read_text())
    cell.write_text(json.dumps({**record, "energy_eV": 2 * record["energy_eV"]}))
    status, _, err = simtools("defects", recipe(ARGON), "-o", tmp_path / "out", "-q", "--workers", "1")
    assert status == 1
    assert cell.name in err
    assert "remove it to recompute" in err


@pytest.mark.parametrize(("there", "owner"), [("system.json", "run"), ("paths", "barrier")])
def test_directory_of_another_command_is_left_alone(there, owner, recipe, simtools, tmp_path):
    folder = tmp_path / "out"
    (folder / there).mkdir(parents=True)
    status, _, err = simtools("defects", recipe(SALT), "-o", folder)
    assert status == 2
    assert f"simtools {owner}" in err
    assert [path.name for path in folder.iterdir()] == [there]


@pytest.mark.parametrize("command", ["run", "barrier"])
def test_no_other_command_writes_into_a_directory_of_defects(command, recipe, simtools, tmp_path):
    folder = tmp_path / "out"
    (folder / "cells").mkdir(parents=True)
    text = SALT.split("[energetics]")[0]
    tables = {
        "run": '[md]\ntemperatures_K = [900]\nproduction_ps = 1\n[analysis]\nmobile = "Li"\n',
        "barrier": '[[hops]]\nkind = "vacancy"\nspecies = "Li"\n',
    }
    status, _, err = simtools(command, recipe(text + tables[command]), "-o", folder)
    assert status == 2
    assert "simtools defects" in err
    assert [path.name for path in folder.iterdir()] == ["cells"]


def test_two_processes_do_not_share_a_directory(recipe, simtools, tmp_path):
    (tmp_path / "out").mkdir()
    with locked(tmp_path / "out"):
        status, _, err = simtools("defects", recipe(ARGON), "-o", tmp_path / "out")
    assert status == 2
    assert "another simtools run" in err


def test_stopped_run_continues_to_the_same_numbers(argon, tmp_path):
    read, _, result = argon
    asked = iter([False, False, False])
    with pytest.raises(KeyboardInterrupt):
        compute_defect_energies(read, tmp_path, stop=lambda: next(asked, True))
    assert len(list((tmp_path / "cells").glob("*.json"))) == 3
    again = compute_defect_energies(read, tmp_path)
    assert [row.energy for row in again.defects] == [row.energy for row in result.defects]


def test_workers_change_nothing(argon, tmp_path):
    read, directory, result = argon
    other = compute_defect_energies(read, tmp_path, workers=2)
    assert [row.energy for row in other.defects] == [row.energy for row in result.defects]
    assert [curve.states for curve in other.binding] == [curve.states for curve in result.binding]
    names = [{path.name for path in (folder / "cells").glob("*.json")} for folder in (directory, tmp_path)]
    assert names[0] == names[1]


def test_command_prints_tables_and_writes_everything(recipe, simtools, tmp_path):
    status, out, err = simtools("defects", recipe(SALT), "-o", tmp_path / "out", "--workers", "1")
    assert status == 0, err
    for part in ("V_Li′", "LiCl Schottky", "dielectric constant 6.30", "LiCl-poor, 1000 K"):
        assert part in out
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    kinds = [entry["kind"] for entry in summary["defects"]]
    assert kinds == ["defect"] * 2 + ["reaction"] * 2 + ["equilibrium"] * 4
    vacancy, chloride, schottky, decomposition = summary["defects"][:4]
    assert vacancy["charge_e"] == -1
    lichloride = summary["host"]["phases"]["LiCl"]["energy_eV"]
    total = vacancy["energy_eV"]["value"] + chloride["energy_eV"]["value"] + lichloride
    assert schottky["energy_eV"]["value"] == pytest.approx(total)
    assert schottky["energy_eV"]["value"] == pytest.approx(2.63, abs=0.05)
    assert decomposition["energy_eV"]["value"] == pytest.approx(0.404, abs=0.002)
    assert decomposition["per_defect_eV"] is None
    assert set(schottky["energy_eV"]) == {"value", "stderr", "ci95", "method", "n_eff"}
    for row in summary["defects"][4:]:
        amounts = {label: item["value"] for label, item in row["per_formula_unit"].items()}
        assert amounts["V_Li'"] == pytest.approx(amounts["V_Cl."])
    for name in ("recipe.toml", "report.html", "figures/reactions.svg", "figures/equilibrium-1.svg"):
        assert (tmp_path / "out" / name).stat().st_size > 0
    assert (
        read_static_recipe(tmp_path / "out" / "recipe.toml").to_dict()
        == summary["provenance"]["arguments"]["recipe"]
    )


def test_schottky_pair_under_pressure_pays_for_the_volume_of_the_salt(recipe, tmp_path):
    text = SALT.replace("[energetics]", "[energetics]\npressure_GPa = 5.0")
    result = compute_defect_energies(read_static_recipe(recipe(text)), tmp_path / "out")
    salt = result.host.phases["LiCl"]
    energies = [result.row(label).energy.energy_eV.value for label in ("V_Li'", "V_Cl.")]
    work_eV = 5.0 / 160.21766 * salt.atoms.get_volume() / 4
    assert work_eV > 0.9
    expected = sum(energies) + salt.energy_eV + work_eV
    assert result.reactions[0].energy_eV.value == pytest.approx(expected, abs=1e-6)
    assert any("enthalpies" in note for note in result.warnings)


def test_like_charges_do_not_bind_to_isolated_defects(recipe, tmp_path):
    text = SALT.replace(
        "supercells = [2, 3, 4]",
        """supercells = [2, 3, 4]
binding = ["{V_Cl. V_Cl.}", "{V_Cl. V_Li'}"]
binding_supercell = 2
binding_per_shell = 1""",
    )
    result = compute_defect_energies(read_static_recipe(recipe(text)), tmp_path / "out")
    same, opposite = result.binding
    nearest = opposite.nearest
    assert abs(same.relative_to_isolated_eV(same.nearest)) < same.isolated_half_width_eV < 0.4
    assert opposite.relative_to_isolated_eV(nearest) < 0
    assert abs(opposite.relative_to_isolated_eV(nearest) - -0.63) < opposite.isolated_half_width_eV < 0.3


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ('energetics.defects=["V_Na\'"]', "Na"),
        ('energetics.defects=["V_Li."]', "V_Li'"),
        ('energetics.defects=["vacancy"]', "Kröger-Vink"),
        ('energetics.defects=["Li_Li"]', "no defect"),
        ('energetics.defects=["(Li3)_Li.."]', "two ions"),
        ('energetics.defects=["V_Br."]', "[energetics] V_Br."),
        ("energetics.temperatures_K=[1e-300]", "from 1"),
        ("energetics.supercells=[3, 4]", "three sizes"),
        ('energetics.phases={ LiCl = "salt" }', "no prototype"),
        ('energetics.reactions={ a = "Li_Li -> V_Li\' + V_Cl." }', "does not balance"),
        ('energetics.reactions={ a = "LiF + Cl_Cl -> F_Cl + LiCl" }', "F"),
        ("energetics.binding=[\"{V_Li' V_Li' V_Cl.}\"]", "two"),
        ('energetics.conditions={ rich = "MgO" }', "MgO"),
        ("energetics.defect=3", "did you mean 'defects'"),
        ('energetics.binding_at="volumes"', "volume"),
    ],
)
def test_bad_energetics_are_refused_before_anything_is_computed(override, part, recipe, simtools, tmp_path):
    path = recipe(SALT)
    status, _, err = simtools("defects", path, "-o", tmp_path / "out", "--set", override)
    assert status == 2, err
    assert part in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_charged_cells_need_a_declared_background(recipe, simtools, tmp_path):
    text = SALT.replace('net_charge = "background"\n', "")
    status, _, err = simtools("defects", recipe(text), "-o", tmp_path / "out")
    assert status == 2
    assert 'net_charge = "background"' in err


def test_a_start_that_breaks_down_does_not_end_the_others(tmp_path, monkeypatch):
    def break_down(job, path):
        raise RunFailedError("the shells ran away")

    monkeypatch.setattr(relaxation_jobs, "_relax", break_down)
    path = tmp_path / "cell.json"
    relaxation_jobs._relax_and_keep(None, path)
    kept = relaxation_jobs._read(path)
    assert kept.failed == "the shells ran away"
    assert math.isnan(kept.energy_eV)
