import pytest

from simtools.core.errors import ConfigError
from workflows.cli import main
from workflows.quick import take_quick
from workflows.recipe import read_recipe

RECIPE = """
title = "toy"
[structure]
formula = "Li3OCl"
supercell = [3, 3, 3]
[[defects]]
kind = "schottky"
species = ["Li", "Cl"]
count = 2
[potential]
name = "li3ocl_mouta_formal"
[md]
temperatures_K = [800, 1000]
production_ps = 50
seed = 7
[analysis]
mobile = "Li"
"""
QUICK = """
[quick.md]
temperatures_K = [1000]
production_ps = 5
[[quick.defects]]
kind = "schottky"
species = ["Li", "Cl"]
count = 1
"""


def recipe_file(tmp_path, more=QUICK):
    path = tmp_path / "toy.toml"
    path.write_text(RECIPE + more, encoding="utf-8")
    return path


def test_the_short_form_changes_the_keys_it_names_and_keeps_the_others(tmp_path):
    path = recipe_file(tmp_path)
    full, quick = read_recipe(path), read_recipe(path, quick=True)
    assert full.to_dict() == read_recipe(recipe_file(tmp_path, more="")).to_dict()
    assert quick.md.temperatures_K == (1000.0,)
    assert (quick.md.production_ps, quick.md.seed) == (5.0, 7)
    assert [row.count for row in quick.defects] == [1]
    assert quick.structure == full.structure
    assert quick.title == "toy (quick)"


def test_values_of_the_command_line_come_after_the_short_form(tmp_path):
    recipe = read_recipe(recipe_file(tmp_path), ("md.production_ps=3",), quick=True)
    assert recipe.md.production_ps == 3.0
    assert recipe.md.temperatures_K == (1000.0,)


def test_a_recipe_without_a_short_form_is_refused_in_one_line(tmp_path, capsys):
    assert main(["run", str(recipe_file(tmp_path, more="")), "--quick", "-o", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert "no table [quick]" in message
    assert message.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("quick", [3, {}, {"md": 5}, {"quick": {"md": {}}}, {"defects": [1]}])
@pytest.mark.parametrize("wanted", [True, False])
def test_a_short_form_of_anything_but_tables_is_refused(quick, wanted):
    with pytest.raises(ConfigError, match=r"toy\.toml: quick"):
        take_quick({"md": {}, "quick": quick}, source="toy.toml", wanted=wanted)


def test_a_misspelt_key_of_the_short_form_is_named(tmp_path):
    path = recipe_file(tmp_path, more="[quick.md]\nproduktion_ps = 1\n")
    with pytest.raises(ConfigError, match="produktion_ps"):
        read_recipe(path, quick=True)
