import copy
import tempfile
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simtools.core.errors import ConfigError
from workflows.cli import main
from workflows.cli_base import STOPPED
from workflows.forces import forces_of
from workflows.recipe import recipe_from_dict, to_toml
from workflows.system_checks import check_recipe

GOOD = tomllib.loads(
    """
title = "good"
[structure]
prototype = "cubic"
formula = "Li3OCl"
supercell = [3, 3, 3]
[[defects]]
kind = "vacancy"
species = ["Li"]
count = 2
placement = "random"
[potential]
name = "li3ocl_mouta_formal"
net_charge = "background"
accuracy = 1e-4
[md]
temperatures_K = [800.0, 1000.0]
replicas = 2
ensemble = "NVT"
thermostat = "bussi"
thermostat_tau_ps = 1.0
timestep_fs = 1.0
equilibration_ps = 1.0
production_ps = 5.0
sample_every_fs = 50.0
volume_from = "perfect_crystal"
npt_ps = 2.0
pressure_GPa = 0.0
seed = 1
[analysis]
mobile = "Li"
"""
)
TABLES = ("structure", "defects", "potential", "md", "analysis")
WRONG_TYPES = st.one_of(
    st.booleans(),
    st.dictionaries(st.sampled_from("abc"), st.integers(), max_size=1),
    st.just([[1]]),
    st.just(float("nan")),
    st.just(float("inf")),
    st.just(-1),
    st.just(""),
    st.just("\u2603"),
    st.just([]),
)
ACCEPTS_LIST_OR_TABLE = {"formal_charges_e"}
KEYS = [(table, key) for table in TABLES for key in (GOOD[table][0] if table == "defects" else GOOD[table])]
WHOLE = [  # (table, key, value that has the right type and still cannot be, words of the message)
    ("structure", "formula", "Li3OX", ["formula", "Li3OX"]),
    ("structure", "formula", "Li2OCl", ["formula", "Li2OCl"]),
    ("structure", "formula", "LiCl", ["formula", "LiCl"]),
    ("structure", "formula", "Na3OCl", ["Na", "li3ocl_mouta_formal"]),
    ("structure", "formula", "lithium", ["lithium"]),
    ("structure", "prototype", "cubical", ["prototype", "cubical"]),
    ("structure", "supercell", [1, 1, 1], ["supercell", "Å"]),
    ("structure", "supercell", [3, 3, 2], ["supercell", "[3, 3, 2]"]),
    ("structure", "supercell", [3, 3, 0], ["supercell", "[3, 3, 0]"]),
    ("defects", "species", ["Na"], ["species", "Na"]),
    ("defects", "count", 1000, ["1000"]),
    ("defects", "kind", "vacuum", ["kind", "vacuum"]),
    ("defects", "kind", "schottky", ["[defects.0]", "species"]),
    ("defects", "placement", "associated", ["placement", "associated"]),
    ("potential", "name", "li3ocl_mouta_forma", ["li3ocl_mouta_forma", "did you mean"]),
    ("potential", "name", "nothing-like-it", ["nothing-like-it"]),
    ("potential", "name", "lennard_jones", ["net_charge"]),
    ("potential", "net_charge", "ignored", ["net_charge", "ignored"]),
    ("md", "volume_from", "cell", ["volume_from", "-2 e", "perfect_crystal"]),
    ("md", "timestep_fs", 0.3, ["timestep_fs"]),
    ("md", "timestep_fs", 1000, ["timestep_fs", "1000"]),
    ("md", "temperatures_K", [0.0], ["temperatures_K"]),
    ("md", "temperatures_K", [900, 900], ["temperatures_K"]),
    ("md", "temperatures_K", [1e9], ["temperatures_K"]),
    ("md", "ensemble", "NPT", ["ensemble", "NPT"]),
    ("md", "ensemble", "NVE", ["thermostat", "NVE"]),
    ("md", "production_ps", 0.01, ["production_ps"]),
    ("md", "thermostat_tau_ps", 0.01, ["thermostat_tau_ps"]),
    ("analysis", "mobile", "Na", ["mobile", "Na"]),
    ("analysis", "mobile", "li", ["mobile", "li"]),
]


def table_of(record, name):
    return record["defects"][0] if name == "defects" else record[name]


@st.composite
def malformed(draw):
    """Return (recipe record, words that the message must hold)."""
    record = copy.deepcopy(GOOD)
    kind = draw(st.sampled_from(["misspelt", "type", "missing", "value", "table", "charge", "both"]))
    if kind == "misspelt":
        table, key = draw(st.sampled_from(KEYS))
        place = draw(st.integers(0, len(key)))
        wrong = key[:place] + draw(st.sampled_from("xqz_")) + key[place:]
        content = table_of(record, table)
        content[wrong] = content.pop(key)
        return record, [wrong]
    if kind == "type":
        table, key = draw(st.sampled_from(KEYS))
        wrong = draw(WRONG_TYPES)
        if key in {"pressure_GPa", "seed"} and wrong == -1:
            wrong = "minus one"
        table_of(record, table)[key] = wrong
        return record, [key]
    if kind == "missing":
        table, key = draw(
            st.sampled_from(
                [
                    ("structure", "formula"),
                    ("structure", "supercell"),
                    ("defects", "kind"),
                    ("defects", "species"),
                    ("defects", "count"),
                    ("potential", "name"),
                    ("md", "temperatures_K"),
                    ("md", "production_ps"),
                    ("analysis", "mobile"),
                ]
            )
        )
        del table_of(record, table)[key]
        return record, [key]
    if kind == "table":
        table = draw(st.sampled_from(["structure", "potential", "md", "analysis"]))
        del record[table]
        return record, [f"[{table}]"]
    if kind == "charge":
        del record["potential"]["net_charge"]
        return record, ["-2 e", "net_charge"]
    if kind == "both":
        key, value = draw(
            st.sampled_from([("fraction", 0.01), ("lattice_parameter_A", 3.9), ("calculator", "chgnet")])
        )
        table = {"fraction": "defects", "lattice_parameter_A": "md", "calculator": "potential"}[key]
        table_of(record, table)[key] = value
        return record, [key]
    table, key, value, words = draw(st.sampled_from(WHOLE))
    table_of(record, table)[key] = value
    return record, words


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=malformed())
def test_a_malformed_recipe_exits_2_and_names_what_is_wrong(case, capsys):
    record, words = case
    with tempfile.TemporaryDirectory() as folder:
        path, directory = Path(folder) / "recipe.toml", Path(folder) / "run"
        path.write_text(to_toml(record), encoding="utf-8")
        status = main(["run", str(path), "-o", str(directory), "--executor", "inline"])
        err = capsys.readouterr().err
        assert status == 2, err
        assert 1 <= err.count("\n") <= 2, err
        assert "Traceback" not in err
        for word in words:
            assert word in err, (word, err)
        assert not directory.exists()


@settings(max_examples=150)
@given(
    table=st.sampled_from(TABLES),
    key=st.sampled_from([key for _, key in KEYS]),
    value=st.recursive(
        st.one_of(st.booleans(), st.integers(-5, 2000), st.floats(), st.text(max_size=8)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=2)
        ),
        max_leaves=6,
    ),
)
def test_any_value_anywhere_is_understood_or_refused_as_bad_input(table, key, value):
    record = copy.deepcopy(GOOD)
    table_of(record, table)[key] = value
    if key == "supercell" and isinstance(value, list) and any(isinstance(n, int) and n > 6 for n in value):
        return
    message = complaint_about(record)
    assert message is None or (message and "\n" not in message)


def complaint_about(record):
    try:
        recipe = recipe_from_dict(record, source=Path("toy.toml"))
        check_recipe(recipe, forces_of(recipe.to_dict()["potential"]))
    except ConfigError as error:
        return str(error)
    return None


def test_a_bug_of_ours_exits_1_and_keeps_its_traceback(argon, simtools, tmp_path, monkeypatch):
    def broken(*arguments, **options):
        raise ValueError("operands could not be broadcast")

    monkeypatch.setattr("workflows.campaign.analyse", broken)
    directory = tmp_path / "run"
    status, _, err = simtools("run", argon, "-o", directory, "--executor", "inline", "-q")
    assert status == 1
    assert "Traceback" not in err
    assert err.count("\n") == 1
    log = Path(err.rsplit(" ", 1)[1].strip())
    assert log.parent == directory
    assert "operands could not be broadcast" in log.read_text()
    assert "Traceback" in log.read_text()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "COMMAND"),
        (["rum"], "rum"),
        (["run"], "RECIPE"),
        (["run", "nowhere.toml"], "nowhere.toml"),
        (["run", "lj-argon", "--workers", "two"], "two"),
        (["run", "lj-argon", "--workers", "0"], "--workers 0"),
        (["run", "lj-argon", "--executor", "locale"], "did you mean 'local'"),
        (["run", "lj-argon", "--executor", "inline", "--workers", "3"], "no effect"),
        (["status", "/nowhere"], "not a run directory"),
        (["report", "/nowhere"], "not a run directory"),
        (["potentials", "nothing"], "nothing"),
        (["potentials", "--check"], "NAME"),
        (["potentials", "lennard_jones", "--export", "dlpoly", "x"], "lammps or gulp"),
        (["potentials", "lennard_jones", "--check", "--export", "lammps", "x"], "one of them"),
        (["run", "x" * 5000], "too long"),
        (["defects", "lj-argon"], "[energetics] is missing"),
    ],
)
def test_a_command_line_that_cannot_be_meant_exits_2(arguments, part, simtools, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, err = simtools(*arguments)
    assert status == 2
    assert part in err
    assert err.count("\n") <= 2
    assert not list(tmp_path.iterdir())


def test_build_writes_the_cell_in_the_format_of_the_suffix(argon, simtools, tmp_path):
    from ase.io import read

    status, out, err = simtools("build", argon, "-o", tmp_path / "cell.extxyz")
    assert status == 0, err
    assert "32 ions" in out
    assert len(read(tmp_path / "cell.extxyz")) == 32
    status, _, err = simtools("build", argon, "-o", tmp_path / "cell.unknown")
    assert status == 2
    assert "cell.unknown" in err


def test_what_is_shipped_can_be_listed(simtools):
    status, out, _ = simtools("recipes")
    assert status == 0
    assert "li3ocl-demo" in out
    status, out, _ = simtools("potentials")
    assert status == 0
    assert "li3ocl_mouta_formal" in out
    status, out, _ = simtools("potentials", "li3ocl_mouta_formal")
    assert status == 0
    assert "Li-O" in out


def test_a_force_field_is_exported_and_checked(simtools, tmp_path):
    file = tmp_path / "argon.in"
    status, out, err = simtools("potentials", "lennard_jones", "--export", "lammps", file)
    assert status == 0, err
    assert str(file) in out
    assert file.is_file()
    status, out, err = simtools("potentials", "lennard_jones", "--check")
    assert status == 0, out + err


def test_help_names_the_exit_statuses(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    assert str(STOPPED) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("5.8", "9" * 400, "lattice_parameter_A"),
        ("5.8", "9" * 5000, "not a TOML file"),
        ("5.8", "[" * 3000 + "]" * 3000, "not a TOML file"),
        ("timestep_fs = 5", "timestep_fs = 1e-320", "timestep_fs"),
        ("timestep_fs = 5", "timestep_fs = 3e-9", "timestep_fs"),
        ("[130, 170]", "[1000.001, 1000.002]", "temperatures_K"),
        ("lennard_jones", "x" * 300, "File name too long"),
        ("lennard_jones", "x" * 3000, "name"),
        ('"Ar"\nsupercell', '"Ar' + "9" * 5000 + '"\nsupercell', "formula"),
    ],
)
def test_numbers_and_names_of_absurd_size_are_bad_input(argon, simtools, tmp_path, old, new, named):
    text = argon.read_text(encoding="utf-8")
    assert old in text
    argon.write_text(text.replace(old, new), encoding="utf-8")
    status, _, err = simtools("run", argon, "-o", tmp_path / "run", "--executor", "inline")
    assert status == 2
    assert named in err
    assert len(err) < 600
    assert not (tmp_path / "run").exists()


def test_a_recipe_saved_with_a_byte_order_mark_is_read(argon, simtools, tmp_path):
    argon.write_text("\ufeff" + argon.read_text(encoding="utf-8"), encoding="utf-8")
    status, _, err = simtools("build", argon, "-o", tmp_path / "cell.extxyz")
    assert status == 0, err


def test_a_set_value_that_is_not_utf_8_is_bad_input(argon, simtools, tmp_path):
    status, _, err = simtools("run", argon, "-o", tmp_path / "run", "--set", "title='\udcff'")
    assert status == 2
    assert "not UTF-8" in err


def test_a_format_that_cannot_hold_a_crystal_is_bad_input(argon, simtools, tmp_path):
    status, _, err = simtools("build", argon, "-o", tmp_path / "cell.data")
    assert status == 2
    assert "cell.data" in err
