import json
import os
import re
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from simtools.core.errors import ConfigError
from workflows import sweep_campaign
from workflows.recipe import read_recipe
from workflows.statepoints import check_owner, production_point
from workflows.sweep import read_cases

TEST_POINTS = ("md.temperatures_K=[130]", "md.replicas=1", "md.production_ps=2")


@pytest.fixture
def recipe(argon):
    def write(more):
        path = argon.with_name("cases.toml")
        path.write_text(argon.read_text(encoding="utf-8") + more, encoding="utf-8")
        return path

    return write


def point(recipe):
    return production_point(recipe, 130.0, 1, potential={"name": "lj"}, lattice_parameter_A=5.8)


def test_a_recipe_without_lists_is_one_case_without_a_name(argon):
    title, (case,) = read_cases(argon)
    assert (title, case.name) == ("argon, very small", "")
    assert case.recipe == read_recipe(argon)


def test_lists_multiply_and_cases_say_what_goes_together(recipe):
    path = recipe(
        """
[[case]]
name = "dense"
md.lattice_parameter_A = 5.6
md.seed = 5
[[case]]
name = "loose"
"md.lattice_parameter_A" = 6.0
[sweep]
structure.supercell = [[2, 2, 2], [3, 3, 3]]
md.thermostat = ["bussi", "nose-hoover"]
"""
    )
    _, cases = read_cases(path, ["md.replicas=3"])
    assert [case.name for case in cases] == [
        f"{name}_supercell={n}_thermostat={thermostat}"
        for name in ("dense", "loose")
        for n in (1, 2)
        for thermostat in ("bussi", "nose-hoover")
    ]
    assert {case.recipe.md.replicas for case in cases} == {3}
    assert [case.recipe.md.lattice_parameter_A for case in cases] == [5.6] * 4 + [6.0] * 4
    assert [case.recipe.md.seed for case in cases] == [5] * 4 + [1] * 4
    assert cases[1].recipe.structure.supercell == (2, 2, 2)
    assert cases[1].settings["md.thermostat"] == "nose-hoover"


def test_the_points_of_a_case_are_those_of_the_plain_recipe(recipe, argon):
    _, cases = read_cases(recipe("[sweep]\nmd.seed = [1, 2]\n"))
    assert point(cases[0].recipe).name == point(read_recipe(argon)).name
    assert point(cases[1].recipe).name == point(read_recipe(argon, ["md.seed=2"])).name


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("[sweep]\nmd.temperatures_K = [[1], [2]]\n", "give all of them in [md] temperatures_K"),
        ("[sweep]\nmd.replicas = [1, 2]\n", "[md] replicas"),
        ("[sweep]\nmd.seed = 3\n", "[sweep] md.seed = 3: expected a list"),
        ("[sweep]\nmd.seed = []\n", "expected a list with something in it"),
        ("[sweep]\n", "[sweep] is empty"),
        ("[sweep]\nmd.sead = [1]\n", "did you mean 'seed'"),
        ("[sweep]\nmd.seed = [1, 1]\n", "two cases are called"),
        ("[sweep]\nmd.seed = [1, -1]\n", "md.seed = -1"),
        ('[[case]]\nname = "../up"\n', "[case.0] name = '../up'"),
        ('[[case]]\nname = ".."\n', "[case.0] name = '..'"),
        ('[[case]]\nname = "a"\n[[case]]\nname = "a"\n', "two [[case]] are called 'a'"),
        ('[[case]]\nname = "a"\n[[case]]\nname = "A"\n', "but for capitals"),
        ('[[case]]\ntitle = "a"\n', "[[case]] name"),
        ("case = 3\n", "double brackets"),
        ("sweep = 3\n", "expected a table [sweep]"),
        (
            "[sweep]\n" + "".join(f"md.key{k} = [{', '.join(map(str, range(99)))}]\n" for k in range(30)),
            "expected at most 10000",
        ),
    ],
)
def test_what_cannot_be_meant_is_named(argon, recipe, more, told):
    if more.startswith(("case", "sweep")):
        argon.write_text(more + argon.read_text(encoding="utf-8"), encoding="utf-8")
        more = ""
    with pytest.raises(ConfigError, match=r"cases\.toml") as caught:
        read_cases(recipe(more))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("no_figures")
def test_cases_run_together_grow_and_are_compared(recipe, simtools, tmp_path):
    directory = tmp_path / "run"
    options = [part for override in TEST_POINTS for part in ("--set", override)]
    options += ["-o", directory, "--executor", "inline"]
    path = recipe("[sweep]\nmd.lattice_parameter_A = [5.7, 5.9]\n")
    status, out, err = simtools("run", path, *options, "--plan")
    assert (status, directory.exists()) == (0, False)
    assert "2 of 2 points to run, 1.2e+03 steps" in out
    status, _, err = simtools("run", path, *options)
    assert status == 0, err
    assert "planned: 2 of 2 points" in err
    assert "core-hours" in err
    done = {file: file.stat().st_mtime_ns for file in directory.glob("cases/*/points/*/done.json")}
    assert len(done) == 2
    more = recipe("[sweep]\nmd.lattice_parameter_A = [5.7, 5.9, 6.1]\n")
    status, _, err = simtools("run", more, *options, "--set", "md.replicas=2")
    assert status == 0, err
    assert "4 of 6 points to run" in err
    assert all(file.stat().st_mtime_ns == when for file, when in done.items())
    assert len(list(directory.glob("cases/*/points/*/done.json"))) == 6
    summary = json.loads((directory / "summary.json").read_text(encoding="utf-8"))
    assert [case["settings"]["md.lattice_parameter_A"] for case in summary["cases"]] == [5.7, 5.9, 6.1]
    assert all(case["transport"][0]["n_replicas"] == 2 for case in summary["cases"])
    assert "lattice_parameter_A=6.1" in (directory / "report.html").read_text(encoding="utf-8")
    assert (directory / "figures" / "cases.svg").exists()
    status, out, _ = simtools("status", directory, "--index", "--json")
    found = json.loads(out)
    assert (status, found["n_points"], found["n_done"], found["source"]) == (0, 6, 6, "index")
    assert len(found["points"]) == 6
    assert found["n_damaged_lines"] == 0
    assert json.loads(simtools("status", directory, "--check", "--json")[1])["n_done"] == 6
    assert simtools("report", directory)[0] == 0


@pytest.mark.usefixtures("no_figures")
def test_a_point_is_reproduced_bit_for_bit_and_a_changed_record_is_noticed(
    argon, run_inline, simtools, tmp_path
):
    directory = run_inline(argon, tmp_path / "run", *TEST_POINTS)
    status, out, err = simtools("reproduce", directory, "130K-r01")
    assert status == 0, err
    assert "reproduced bit for bit" in out
    assert simtools("reproduce", directory, "999K-r01")[0] == 2
    folder = next(directory.glob("points/*"))
    thermo = folder / "thermo.csv"
    thermo.write_text(
        thermo.read_text(encoding="utf-8").replace("production", "prodaction"), encoding="utf-8"
    )
    status, out, _ = simtools("reproduce", directory, "130K-r01")
    assert status == 1
    assert "NOT reproduced: the bits differ although nothing here differs" in out
    record = json.loads((folder / "done.json").read_text(encoding="utf-8"))
    for part in record["provenance"]["arguments"]["parts"]:
        part["processor"] = "an abacus"
    (folder / "done.json").write_text(json.dumps(record), encoding="utf-8")
    status, out, _ = simtools("reproduce", directory, "130K-r01")
    assert status == 0
    assert "differs here: processor" in out
    assert "reproduced statistically" in out


@pytest.mark.usefixtures("no_figures")
def test_every_result_says_where_it_is_from(argon, run_inline, tmp_path):
    directory = run_inline(argon, tmp_path / "run", *TEST_POINTS)
    folder = next(directory.glob("points/*"))
    record = json.loads((folder / "done.json").read_text(encoding="utf-8"))["provenance"]
    assert all(record[name] for name in ("processor", "host", "platform"))
    assert {"python", "numpy", "ase", "numba"} <= record["versions"].keys()
    arguments = record["arguments"]
    assert Path(folder).name.endswith(arguments["spec_sha256"][:10])
    assert len(arguments["potential"]["sha256"]) == 64
    assert arguments["seeds"]
    assert [part["processor"] for part in arguments["parts"]] == [record["processor"]]


def replicas_of(directory):
    rows = json.loads((directory / "cases" / "seed=1" / "summary.json").read_text())["transport"]
    return [(row["temperature_K"], row["n_replicas"]) for row in rows]


@pytest.mark.usefixtures("no_figures")
def test_no_case_keeps_numbers_of_an_older_recipe_or_of_fewer_points(
    recipe, run_inline, tmp_path, monkeypatch
):
    path = recipe("[sweep]\nmd.seed = [1]\n")
    short = ("md.production_ps=2", "md.equilibration_ps=0.5")
    directory = run_inline(path, tmp_path / "run", *short, "md.temperatures_K=[130, 170]", "md.replicas=1")
    assert replicas_of(directory) == [(130, 1), (170, 1)]
    run_inline(path, directory, *short, "md.temperatures_K=[130]", "md.replicas=1")
    assert replicas_of(directory) == [(130, 1)]
    with monkeypatch.context() as killed:
        killed.setattr("workflows.sweep_campaign.collect", lambda campaign: None)
        run_inline(path, directory, *short, "md.temperatures_K=[130]", "md.replicas=2")
        notes = json.loads((directory / "summary.json").read_text())["warnings"]
        assert any("analysed before their last points were done" in note for note in notes)
    run_inline(path, directory, *short, "md.temperatures_K=[130]", "md.replicas=2")
    assert replicas_of(directory) == [(130, 2)]
    monkeypatch.setattr("workflows.sweep_campaign.collect", None)
    run_inline(path, directory, *short, "md.temperatures_K=[130]", "md.replicas=2")
    assert json.loads((directory / "summary.json").read_text())["warnings"] == []


@pytest.mark.usefixtures("no_figures")
def test_a_plain_recipe_does_not_write_over_a_campaign_of_cases(
    recipe, argon, simtools, run_inline, tmp_path
):
    directory = run_inline(recipe("[sweep]\nmd.seed = [1]\n"), tmp_path / "run", *TEST_POINTS)
    before = {path: path.read_bytes() for path in directory.iterdir() if path.is_file()}
    for more in ([], ["--plan"]):
        status, _, err = simtools("run", argon, "-o", directory, *more)
        assert status == 2
        assert "holds several cases" in err
    with pytest.raises(ConfigError, match="what simtools run wrote"):
        check_owner(directory, "defects")
    assert {path: path.read_bytes() for path in directory.iterdir() if path.is_file()} == before
    status, _, err = simtools("compare", directory)
    assert (status, "name a folder in its cases/" in err) == (2, True)
    plain = run_inline(argon, tmp_path / "plain", *TEST_POINTS)
    for more in ([], ["--plan"]):
        status, _, err = simtools("run", recipe("[sweep]\nmd.seed = [1]\n"), "-o", plain, *more)
        assert (status, "one recipe without lists" in err) == (2, True)


@pytest.mark.usefixtures("no_figures")
def test_a_plan_refuses_what_the_run_would_refuse(argon, simtools, run_inline, tmp_path):
    directory = run_inline(argon, tmp_path / "run", *TEST_POINTS)
    status, _, err = simtools("run", argon, "-o", directory, "--plan", "--set", "md.timestep_fs=4")
    assert status == 2
    assert "made from other inputs" in err


@pytest.mark.usefixtures("no_figures")
def test_an_earlier_reproduction_is_not_taken_for_a_new_one(argon, run_inline, simtools, tmp_path):
    directory = run_inline(argon, tmp_path / "run", *TEST_POINTS)
    assert "not now" not in simtools("reproduce", directory, "130K-r01")[1]
    status, out, _ = simtools("reproduce", directory, "130K-r01")
    assert status == 0
    assert "run again on 20" in out
    assert "not now" in out
    made = next((directory / "reproduced" / "points").glob("*/done.json"))
    record = json.loads(made.read_text(encoding="utf-8"))
    for part in record["provenance"]["arguments"]["parts"]:
        part["git_commit"] = "0123456"
    made.write_text(json.dumps(record), encoding="utf-8")
    status, _, err = simtools("reproduce", directory, "130K-r01")
    assert status == 2
    assert "git_commit" in err
    assert "remove it or choose another -o DIR" in err


def test_core_hours_count_every_rank_of_a_point(argon, monkeypatch, tmp_path):
    from workflows import plan, planned_cost

    monkeypatch.setattr(planned_cost, "_rate_so_far", lambda campaign: (3.6, "from its own points"))
    (case,) = read_cases(argon, TEST_POINTS)[1]
    one, _ = plan.plan_of([case], tmp_path)
    ranks = replace(case.recipe, potential=replace(case.recipe.potential, mpi_ranks=4))
    four, _ = plan.plan_of([replace(case, recipe=ranks)], tmp_path)
    assert one.core_hours == pytest.approx(one.n_steps_left * 1e-6)
    assert four.core_hours == pytest.approx(4 * one.core_hours)
    assert four.ms_per_step == one.ms_per_step
    monkeypatch.setattr(planned_cost, "_rate_so_far", lambda campaign: (None, ""))
    monkeypatch.setattr(planned_cost, "_measured_ms", lambda campaign: 3.6)
    forces, _ = plan.plan_of([replace(case, recipe=ranks)], tmp_path)
    assert forces.core_hours == pytest.approx(one.core_hours)


@pytest.mark.usefixtures("no_figures")
def test_the_page_of_cases_shows_what_was_left_as_it_was_and_counts_warnings(recipe, run_inline, tmp_path):
    more = '[[case]]\nname = "a"\nmd.seed = 3\n[[case]]\nname = "b"\nmd.lattice_parameter_A = 5.9\n'
    directory = run_inline(recipe(more), tmp_path / "run", *TEST_POINTS)
    page = (directory / "report.html").read_text(encoding="utf-8")
    rows = re.findall(r"<td[^>]*>\s*(.*?)\s*</td>", page.partition('id="cases"')[2], re.DOTALL)
    assert rows == ["a", "3", "5.8", "b", "1", "5.9"]
    n_warnings = len(json.loads((directory / "cases" / "a" / "summary.json").read_text())["warnings"])
    assert n_warnings > 1
    assert f"a</a> ({n_warnings} warnings)" in page


def test_many_cases_are_drawn_in_figures_that_can_be_saved(monkeypatch):
    parts = []

    def plot(cases):
        parts.append(list(cases))
        return [SimpleNamespace(figure=None)]

    monkeypatch.setattr(sweep_campaign.plots, "plot_cases", plot)
    names = [str(number) for number in range(150)]
    figures = sweep_campaign._figures(dict.fromkeys(names))
    assert [name for part in parts for name in part] == names
    assert max(map(len, parts)) <= 60
    assert [figure.name for figure in figures] == ["cases", "cases-61", "cases-121"]
    assert figures[1].title.endswith(": 61 to 120 of 150")


@pytest.mark.usefixtures("no_figures")
def test_a_signal_between_two_analyses_stops_in_time(recipe, simtools, tmp_path, monkeypatch):
    collect = sweep_campaign.collect

    def interrupted(campaign):
        os.kill(os.getpid(), signal.SIGTERM)
        return collect(campaign)

    options = [part for override in TEST_POINTS for part in ("--set", override)]
    command = ["run", recipe("[sweep]\nmd.seed = [1, 2]\n"), "-o", tmp_path, "--executor", "inline", *options]
    with monkeypatch.context() as patch:
        patch.setattr(sweep_campaign, "collect", interrupted)
        status, _, err = simtools(*command)
    assert (status, "2 of 2 points done" in err) == (75, True)
    assert len(list(tmp_path.glob("cases/*/summary.json"))) == 1
    assert simtools(*command)[0] == 0
    assert len(list(tmp_path.glob("cases/*/summary.json"))) == 2
