"""Runs side by side: what is said follows from the numbers put in, and what cannot be compared is refused."""

import dataclasses
import json
import re

import pytest

from simtools.core.results import Estimate
from simtools.runs import load_run
from tests.synthetic_results import estimate, synthetic_run
from tests.workflows.conftest import summary_of
from tests.workflows.test_report import Page
from workflows.cli import main
from workflows.compare import StaticBinding, compare_runs, read_comparison
from workflows.compare_report import comparison_text, write_comparison
from workflows.forces import forces_of
from workflows.recipe import read_recipe, to_toml
from workflows.report_association import association_table
from workflows.report_defects import defects_made
from workflows.system_checks import check_recipe

TEMPERATURES = (900, 1000, 1150)
ALWAYS = Estimate(value=1.0, stderr=0.01, ci95=(0.97, 1.0), method="constant", n_eff=40)


def doped(directory, partner, *, conductivity=1.0, bound=1.0, fractions=None, **options):
    """A run whose conductivities and bound fractions are those of the synthetic run times a factor."""
    run = synthetic_run(directory, temperatures_K=TEMPERATURES, **options)
    transport = tuple(
        dataclasses.replace(
            item,
            ionic_conductivity_S_per_cm=item.ionic_conductivity_S_per_cm.scaled(conductivity),
            tracer_diffusivity_cm2_per_s=item.tracer_diffusivity_cm2_per_s.scaled(conductivity),
        )
        for item in run.transport
    )
    association = tuple(
        dataclasses.replace(
            item,
            partner=partner,
            partner_kind="dopant",
            bound_fraction=fractions or estimate(item.bound_fraction.value * bound, 0.02),
        )
        for item in run.association
    )
    return dataclasses.replace(run, transport=transport, association=association)


@pytest.fixture
def pair(tmp_path):
    return {
        "magnesium": doped(tmp_path / "mg", "Mg", conductivity=2.0),
        "fluoride": doped(tmp_path / "f", "F", bound=1.4),
    }


def verdicts(comparison):
    return {entry["question"]: entry for entry in comparison.verdicts}


def test_verdicts_follow_the_numbers(pair):
    comparison = compare_runs(pair)
    found = verdicts(comparison)
    assert found["which conducts better"]["answer"] == "magnesium"
    assert found["which conducts better"]["ionic_conductivity_ratio"].value == pytest.approx(2.0)
    assert found["which holds the vacancy more"]["answer"] == "fluoride"
    assert [entry["temperature_K"] for entry in comparison.binding] == list(TEMPERATURES)
    for entry, one, other in zip(
        comparison.binding, *(run.association for run in pair.values()), strict=True
    ):
        expected = one.binding_free_energy_eV.value - other.binding_free_energy_eV.value
        assert entry["binding_free_energy_difference_eV"].value == pytest.approx(expected)
        low, high = entry["bound_fraction_difference"].ci95
        assert low < one.bound_fraction.value - other.bound_fraction.value < high < 0


def test_equal_runs_cannot_be_told_apart(tmp_path):
    runs = {name: doped(tmp_path / name, name) for name in ("Mg", "F")}
    assert {entry["answer"] for entry in compare_runs(runs).verdicts} == {None}
    assert "the data cannot tell which holds" in comparison_text(compare_runs(runs))


@pytest.mark.parametrize("order", [("weak", "certain"), ("certain", "weak")])
def test_what_is_always_bound_holds_more_from_either_side(tmp_path, order):
    made = {
        "weak": doped(tmp_path / "weak", "Mg"),
        "certain": doped(tmp_path / "certain", "F", fractions=ALWAYS),
    }
    verdict = verdicts(compare_runs({name: made[name] for name in order}))["which holds the vacancy more"]
    assert verdict["answer"] == "certain"
    assert verdict["binding_free_energy_difference_eV"].upper_limit < 0


def test_what_hinders_the_comparison_is_said(tmp_path, pair):
    other = doped(tmp_path / "other", "F", partial=True)
    other = dataclasses.replace(
        other,
        association=tuple(dataclasses.replace(item, n_vacancies=9) for item in other.association),
        transport=tuple(dataclasses.replace(item, temperature_K=700.0) for item in other.transport),
    )
    other.summary["provenance"]["arguments"]["system"]["potential"] = {"name": "another", "sha256": "0"}
    text = "\n".join(compare_runs({"magnesium": pair["magnesium"], "other": other}).warnings)
    for words in ("other: unfinished", "different forces", "vacancy contents differ", "share no temperature"):
        assert words in text
    assert not compare_runs(pair).warnings


def test_page_summary_and_figures_stand_alone(tmp_path, pair):
    static = StaticBinding(
        associate="{Mg_Li. V_Li'}",
        partner="Mg",
        energy_eV=-0.573,
        distance_A=2.73,
        reference="relative to 13.4 Å",
        source="defects",
    )
    comparison = compare_runs(pair, static=[static])
    path = write_comparison(comparison, tmp_path / "out")
    page = Page(path.read_text(encoding="utf-8"))
    assert all(entry["text"] in page.text for entry in comparison.verdicts)
    assert "−0.573 relaxed pair at 2.73 Å" in page.text
    assert "Dawson 2018" in comparison_text(comparison)
    assert all(link.startswith("#") for link in page.links)
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(r"\b(nan|inf)\b", page.text)
    summary = json.loads((path.parent / "summary.json").read_text(encoding="utf-8"))
    assert summary["schema"] == 1
    assert len(summary["comparison"]) == 2 * len(TEMPERATURES)
    assert {"value", "stderr", "ci95", "method", "n_eff"} == set(
        summary["verdict"][0]["ionic_conductivity_ratio"]
    )
    names = {item.name for item in (path.parent / "figures").iterdir()}
    assert {"arrhenius.svg", "association.svg", "binding.png"} <= names


def write_run(run):
    """Leave a run's results on disk as a campaign does."""
    (run.directory / "recipe.toml").write_text(to_toml(run.recipe), encoding="utf-8")
    (run.directory / "summary.json").write_text(json.dumps({"transport": []}), encoding="utf-8")
    (run.directory / "results").mkdir(exist_ok=True)
    for result in run.transport:
        path = run.directory / "results" / f"transport-{result.temperature_K:g}K-{result.species}.json"
        path.write_text(result.to_json(), encoding="utf-8")
    for result in run.association:
        path = run.directory / "results" / f"association-{result.temperature_K:g}K-{result.partner}.json"
        path.write_text(result.to_json(), encoding="utf-8")
    return str(run.directory)


def test_command_prints_the_table_and_writes_the_page(tmp_path, pair, capsys):
    directories = [write_run(run) for run in pair.values()]
    assert main(["compare", *directories, "-o", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "mg conducts better (conductivity of mg over that of f: 2.00" in printed
    assert (tmp_path / "out" / "report.html").is_file()


def test_energies_at_rest_stand_beside(tmp_path, pair, simtools):
    pairs = [
        {"kind": "pair", "associate": name, "distance_A": 2.73, "far_distance_A": 13.39}
        | {"binding_energy_eV": {"value": energy}}
        for name, energy in (("{Mg_Li. V_Li'}", -0.5729), ("{V_Cl. V_Li'}", -0.31), ("{F_O. V_Li'}", -0.9312))
    ]
    defects = tmp_path / "at-rest"
    defects.mkdir()
    (defects / "summary.json").write_text(json.dumps({"defects": [{"kind": "defect"}, *pairs]}))
    runs = [write_run(run) for run in pair.values()]
    comparison = read_comparison([*runs, defects])
    assert [(item.partner, item.energy_eV) for item in comparison.static] == [
        ("Mg", -0.5729),
        ("F", -0.9312),
    ]
    status, printed, _ = simtools("compare", *runs, defects)
    assert status == 0
    assert "−0.573  relaxed pair at 2.73 Å, relative to the pair 13.39 Å apart" in printed


def test_what_cannot_be_compared_exits_2_in_one_line(tmp_path, pair, capsys):
    finished = write_run(pair["magnesium"])
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "recipe.toml").write_text("", encoding="utf-8")
    other = write_run(pair["fluoride"])
    (tmp_path / "hops" / "paths").mkdir(parents=True)
    for arguments, words in (
        ([finished, other, "-o", other], "holds a run; choose another -o DIR"),
        ([finished, other, "-o", str(tmp_path / "hops")], "simtools barrier wrote"),
        ([finished], "two run directories or more, got 1"),
        ([finished, finished], "given twice"),
        ([finished, str(tmp_path / "nowhere")], "not a run directory"),
        ([finished, str(empty)], "nothing analysed yet"),
    ):
        assert main(["compare", *arguments]) == 2
        complaint = capsys.readouterr().err
        assert words in complaint
        assert complaint.count("\n") == 1


@pytest.mark.parametrize("name", ["li3ocl-mg-doped", "li3ocl-f-doped"])
def test_shipped_recipes_hold_equal_vacancies(name):
    recipe = read_recipe(name)
    forces = forces_of(recipe.to_dict()["potential"])
    labels = [row["label"] for row in check_recipe(recipe, forces).info["defects"]]
    assert labels.count("V_Li'") == 4
    assert len(labels) == 8


def test_doped_cells_from_recipe_to_comparison(tmp_path, run_inline, simtools, no_figures):
    small = (
        "structure.supercell=[3, 3, 3]",
        "defects.0.count=2",
        "md.temperatures_K=[1000]",
        "md.replicas=1",
        "md.equilibration_ps=0",
        "md.production_ps=0.5",
        "md.npt_ps=0.5",
        "md.npt_equilibration_ps=0",
    )
    runs = [run_inline(f"li3ocl-{name}-doped", tmp_path / name, *small) for name in ("mg", "f")]
    for directory, partner in zip(runs, ("Mg", "F"), strict=True):
        (entry,) = summary_of(directory)["association"]
        assert (entry["partner"], entry["partner_kind"], entry["n_vacancies"]) == (partner, "dopant", 2)
        assert "binding_free_energy_eV" in entry
        run = load_run(directory)
        assert association_table(run)["rows"][0][1] == f"V_Li, {partner} dopant"
        assert "2 V_Li′" in defects_made(run)
    status, printed, _ = simtools("compare", *runs)
    assert status == 0
    assert "Vacancies and what holds them" in printed
