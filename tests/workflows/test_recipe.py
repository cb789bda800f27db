import tomllib
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simtools.core.errors import ConfigError
from workflows.cell_files import build_for_export
from workflows.recipe import list_recipes, read_recipe, recipe_from_dict, to_toml
from workflows.statics import read_static_recipe

RECIPE = """
title = "toy"
[structure]
formula = "Li3OCl"
supercell = [3, 3, 3]
[[defects]]
kind = "vacancy"
species = ["Li"]
count = 2
[potential]
name = "li3ocl_mouta_formal"
net_charge = "background"
[md]
temperatures_K = [800, 1000.5]
production_ps = 5
volume_from = "perfect_crystal"
[analysis]
mobile = "Li"
"""


@pytest.fixture
def recipe_file(tmp_path):
    path = tmp_path / "toy.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def complaint(path, *overrides):
    with pytest.raises(ConfigError) as caught:
        read_recipe(path, overrides)
    return str(caught.value)


def test_defaults_are_spelt_out_in_the_resolved_recipe(recipe_file):
    md = read_recipe(recipe_file).to_dict()["md"]
    assert md["thermostat"] == "bussi"
    assert md["thermostat_tau_ps"] == 1.0
    assert md["charge_current_every_fs"] == 5.0
    assert md["volume_from"] == "perfect_crystal"
    assert md["npt_ps"] == 10.0
    assert "lattice_parameter_A" not in md


def test_the_resolved_recipe_reads_back_as_itself(recipe_file, tmp_path):
    recipe = read_recipe(recipe_file)
    again = tmp_path / "again.toml"
    again.write_text(to_toml(recipe.to_dict()), encoding="utf-8")
    assert read_recipe(again).to_dict() == recipe.to_dict()


@given(title=st.text(min_size=1).filter(str.strip))
@settings(max_examples=50)
def test_any_title_survives_toml(title):
    record = tomllib.loads(RECIPE) | {"title": title}
    recipe = recipe_from_dict(record, source=Path("toy.toml"))
    assert tomllib.loads(to_toml(recipe.to_dict()))["title"] == title


def test_set_replaces_values_of_every_type(recipe_file):
    recipe = read_recipe(
        recipe_file,
        [
            "md.temperatures_K=[700, 900]",
            "md.replicas=3",
            "defects.0.count=4",
            "analysis.mobile=Li",
            "md.velocities=true",
            "defects.1.kind=vacancy",
            'defects.1.species=["Cl"]',
            "defects.1.fraction=0.1",
            "title=another",
        ],
    )
    assert recipe.md.temperatures_K == (700.0, 900.0)
    assert recipe.md.replicas == 3
    assert recipe.md.velocities is True
    assert [row.count for row in recipe.defects] == [4, None]
    assert recipe.title == "another"


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("md.timestepfs=1", ["--set", "[md]", "'timestepfs'", "did you mean 'timestep_fs'"]),
        ("md.timestep_fs=two", ["[md] timestep_fs = 'two'", "a number from 0.001 to 5 fs"]),
        ("md.timestep_fs=1000", ["timestep_fs = 1000", "from 0.001 to 5 fs"]),
        ("md.temperatures_K=[800, 800]", ["temperatures_K", "different"]),
        ("md.temperatures_K=[]", ["temperatures_K", "a list of different numbers"]),
        ("md.replicas=1.5", ["replicas = 1.5", "a whole number"]),
        ("md.replicas=true", ["replicas = True", "a whole number"]),
        ("md.thermostat=langevin", ["thermostat = 'langevin'", "'bussi' or 'nose-hoover'"]),
        ("md.thermostat_tau_ps=0.1", ["thermostat_tau_ps = 0.1", "from 0.5"]),
        ("md.charge_current_every_fs=20", ["charge_current_every_fs = 20", "at most 5 fs"]),
        ("md.sample_every_fs=50.5", ["sample_every_fs = 50.5", "multiple of timestep_fs"]),
        ("md.production_ps=0.2", ["production_ps = 0.2", "at least 10 sampled frames"]),
        ("md.production_ps=nan", ["production_ps = nan"]),
        ("md.lattice_parameter_A=3.9", ["volume_from has no effect when lattice_parameter_A"]),
        ("structure.supercell=[3, 3]", ["supercell = [3, 3]", "three whole numbers"]),
        ("structure.prototype=cubik", ["prototype = 'cubik'", "'cubic'"]),
        ("defects.0.fraction=0.1", ["[defects.0]", "either count or fraction"]),
        ("defects.0.kind=vacancies", ["kind = 'vacancies'", "'vacancy' or 'schottky'"]),
        ("defects.0.placement=associated", ["placement", "needs a partner"]),
        ("potential.engine=gulp", ["engine = 'gulp'", "'embedded' or 'lammps'"]),
        ("potential.mpi_ranks=2", ["mpi_ranks = 2", 'without engine = "lammps"']),
        ("potential.calculator=chgnet", ["either name", "or calculator"]),
        ("potential.net_charge=ignore", ["net_charge = 'ignore'", "'background'"]),
        ("analysis.mobile=lithium", ["mobile = 'lithium'", "a species"]),
        ('analysis.host=["Li", "O"]', ["host", "mobile 'Li'"]),
        ("titel=x", ["'titel'", "did you mean 'title'"]),
        ("md=3", ["md = 3", "expected a table"]),
        ("md.replicas", ["table.key=value"]),
        ("defects.7.count=1", ["'7'", "from 0 to 1"]),
        ("title.short=x", ["'title'", "not a table"]),
        ("md.replicas=1\nseed=2", ["one value"]),
        ("md.replicas=[1,", ["not TOML"]),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(recipe_file, override, parts):
    message = complaint(recipe_file, override)
    assert "\n" not in message.replace("\\n", "")
    for part in parts:
        assert part in message, message


def test_one_lattice_parameter_for_each_temperature(recipe_file):
    recipe_file.write_text(
        RECIPE.replace('volume_from = "perfect_crystal"', "lattice_parameter_A = [3.9, 4.0]")
    )
    md = read_recipe(recipe_file).md
    assert [md.lattice_parameter_at(t) for t in md.temperatures_K] == [3.9, 4.0]
    assert "2, one per temperature" in complaint(recipe_file, "md.lattice_parameter_A=[3.9, 4.0, 4.1]")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[md", b"a = 1\na = 2", b""])
def test_a_file_that_is_no_recipe_is_named(tmp_path, content):
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    assert str(path) in complaint(path)


def test_an_unknown_recipe_gets_a_suggestion():
    assert "did you mean 'lj-argon'" in complaint("lj-argom")


@pytest.mark.parametrize("name", list_recipes())
def test_every_shipped_recipe_has_its_own_title(name):
    assert read_static_recipe(name).title != name


DOPED = """
title = "doped"
[structure]
formula = "Li3OCl"
supercell = [4, 4, 4]
[[defects]]
kind = "dopant"
species = ["Mg"]
on = "Li"
count = 3
compensation_placement = "nearest"
[[defects]]
kind = "composition"
formula = "Li2.96875OCl0.96875"
[potential]
name = "oxyhalide_doped_formal"
[md]
temperatures_K = [900]
production_ps = 5
[analysis]
mobile = "Li"
"""


def test_every_kind_of_defect_is_read_built_and_written_back(tmp_path):
    path = tmp_path / "doped.toml"
    path.write_text(DOPED)
    recipe = read_recipe(path)
    assert tomllib.loads(to_toml(recipe.to_dict()))["defects"] == recipe.to_dict()["defects"]
    cell = build_for_export(recipe)
    labels = Counter(row["label"] for row in cell.info["defects"])
    assert labels == {"Mg_Li.": 3, "V_Li'": 3 + 2, "V_Cl.": 2}
    assert cell.info["net_charge_e"] == 0


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["defects.0.species=['Zn']"], ["[defects.0]", "does not know Zn"]),
        (["defects.0.species=['OH']", "defects.0.on=O"], ["[defects.0]", "does not know H"]),
        (["defects.0.on=Na"], ["[defects.0] on = 'Na'", "no Na in Li3OCl"]),
        (["defects.0.compensating_species=K"], ["compensating_species = 'K'", "no K in Li3OCl"]),
        (
            ["defects.2.kind=vacancy", "defects.2.species=['O']", "defects.2.count=1"],
            ["[[defects]]", "+2 e", "1 x V_O.. = +2", "add 2 V_Li'"],
        ),
        (["defects.0.compensation_placement=far"], ["'nearest'", "a whole number from 1"]),
        (["defects.0.direction=210"], ["'100' or '110' or '111'"]),
        (["defects.1.formula=Li2.96OCl0.96"], ["whole ions", "4 x 5 x 5"]),
    ],
)
def test_defects_that_cannot_be_are_refused_before_anything_runs(overrides, parts, tmp_path):
    path = tmp_path / "doped.toml"
    path.write_text(DOPED)
    with pytest.raises(ConfigError) as caught:
        build_for_export(read_recipe(path, overrides))
    for part in parts:
        assert part in str(caught.value)
