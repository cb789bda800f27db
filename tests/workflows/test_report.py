"""A report stands alone, hides nothing and survives whatever a recipe or an unfinished run brings."""

import re
from html.parser import HTMLParser

import pytest

from potentials.schema import load_force_field
from simtools.plots import format_estimate
from tests.synthetic_results import synthetic_run
from workflows.report import render_report, write_report
from workflows.report_machinery import potential_block
from workflows.report_tables import grouped_warnings, why_no_arrhenius

TEMPERATURES = (700, 900, 1150)
NASTY_TITLE = "<script>alert('x')</script> & \"$\\frac$\" {{ 7 * 7 }}"


class Page(HTMLParser):
    """Tags, identifiers, links and visible text of a page; complains about tags that do not close."""

    VOID = frozenset({"meta", "br", "hr", "img", "link", "input"})

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.ids, self.links, self.stack, self.words = [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.stack, f"left open: {self.stack}"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            elif name in {"src", "href", "xlink:href", "data", "action"}:
                self.links.append(value)
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.stack.pop()

    def handle_endtag(self, tag):
        assert self.stack[-1:] == [tag], f"</{tag}> closes {self.stack[-1:]}"
        self.stack.pop()

    def handle_data(self, data):
        if not {"style", "svg"} & set(self.stack):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    notes = tuple(f"{t} K, Li: methods differ by {t / 300:.1f} sigma" for t in (700, 800, 900))
    directory = tmp_path_factory.mktemp("run")
    run = synthetic_run(
        directory, temperatures_K=TEMPERATURES, warnings=(*notes, "the host sublattice has melted")
    )
    path = write_report(run)
    return run, Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory):
    run = synthetic_run(
        tmp_path_factory.mktemp("run"),
        temperatures_K=(900,),
        partial=True,
        associated=False,
        title=NASTY_TITLE,
    )
    return Page(render_report(run))


def test_the_page_needs_no_other_file_and_runs_no_code(finished):
    run, page = finished
    assert not {"script", "img", "link", "iframe", "object"} & set(page.tags)
    assert all(link.startswith("#") for link in page.links)
    style = (run.directory / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"@import|url\((?!#)", style)


def test_identifiers_of_the_figures_do_not_clash(finished):
    _, page = finished
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links} <= set(page.ids)


def test_figures_are_kept_beside_the_page(finished):
    run, _ = finished
    names = {path.name for path in (run.directory / "figures").iterdir()}
    assert {"arrhenius.svg", "arrhenius.png", "msd.svg", "traces-700K.png", "association.svg"} <= names


def test_headline_numbers_carry_their_intervals(finished):
    run, page = finished
    for estimate, unit in (
        (run.arrhenius.activation_energy_eV, "eV"),
        (run.transport[0].ionic_conductivity_S_per_cm, ""),
    ):
        assert format_estimate(estimate, unit) in page.text
    assert "σ at 300 K, extrapolated" in page.text
    assert "3 replicas of 30 ps per temperature" in page.text


def test_binding_stands_beside_the_bound_fraction(finished):
    run, page = finished
    for result in run.association:
        assert format_estimate(result.bound_fraction) in page.text
        assert format_estimate(result.binding_free_energy_eV) in page.text
    (binding,) = run.binding
    assert f"V_Li, Cl vacancy {format_estimate(binding.enthalpy_eV, 'eV')}" in page.text
    assert {"figure-association", "figure-binding"} <= set(page.ids)


def test_every_parameter_appears_with_its_mark_and_source(finished):
    _, page = finished
    for row in load_force_field("li3ocl_mouta_formal").parameters_table():
        value = f"{row.value:.8g}".replace("-", "−")
        unit = row.unit.replace("^6", "⁶")
        assert f"{value} {unit} {row.confidence} {row.source}" in page.text, row
    assert "recalled or fitted" in page.text


def test_the_net_charge_and_its_background_are_declared(finished):
    _, page = finished
    assert "net charge of −8 e" in page.text
    assert "uniform background" in page.text


def test_warnings_are_grouped_but_all_there(finished):
    run, page = finished
    assert "(3 times)" in page.text
    assert all(text in page.text for text in run.warnings)


def test_engine_error_cost_seeds_and_versions_are_there(finished):
    _, page = finished
    words = ("Measured relative RMS force error 6.40 × 10⁻⁵", "1.53", "defects 8, dynamics 42", "numpy")
    for word in (*words, "How forces were summed fast path: pair tables and particle mesh", "core-hours"):
        assert word in page.text


def test_a_title_is_text_and_nothing_else(unfinished):
    assert "script" not in unfinished.tags
    assert NASTY_TITLE in unfinished.text


def test_an_unfinished_run_says_so(unfinished):
    assert "Unfinished: 2 of 3 state points done" in unfinished.text
    assert "not finished" in unfinished.text


def test_one_temperature_has_no_activation_energy(unfinished):
    assert "One temperature: no activation energy can be given" in unfinished.text
    assert "Activation energy of σT" not in unfinished.text


def test_upper_limits_are_limits_everywhere(tmp_path):
    run = synthetic_run(tmp_path, temperatures_K=(700, 900), still_K=(700,), associated=False)
    page = Page(render_report(run))
    assert "< 2.0 × 10⁻⁹" in page.text
    assert "No long-range diffusion was resolved at 700 K" in page.text
    assert "not determined" in page.text
    assert not re.search(r"\b(nan|inf)\b", page.text)


def test_ions_without_charge_have_no_conductivity(tmp_path):
    run = synthetic_run(tmp_path, temperatures_K=(900,), charge_e=0, associated=False)
    page = Page(render_report(run))
    assert "carries no formal charge" in page.text
    assert "Tracer diffusivity against temperature" in page.text


def test_a_run_without_any_analysis_still_has_a_page(tmp_path):
    page = Page(render_report(synthetic_run(tmp_path, temperatures_K=(), associated=False)))
    assert "No temperature has been analysed yet" in page.text


def test_nothing_that_moved_leaves_no_activation_energy(tmp_path):
    run = synthetic_run(tmp_path, temperatures_K=(700, 800), still_K=(700, 800))
    assert "no activation energy can be given" in why_no_arrhenius(run)


def test_a_force_field_that_is_gone_does_not_take_the_report_with_it(tmp_path):
    run = synthetic_run(tmp_path, temperatures_K=(900,))
    run.recipe["potential"]["name"] = "gone.toml"
    assert "The force field cannot be shown" in potential_block(run)["problem"]


def test_only_what_acts_in_the_cell_is_listed(tmp_path):
    run = synthetic_run(tmp_path, temperatures_K=(900,))
    run.recipe["potential"]["name"] = "oxyhalide_doped_formal"
    run.summary["provenance"]["arguments"]["system"]["composition"] = {"Li": 184, "Mg": 4, "O": 64, "Cl": 64}
    block = potential_block(run)
    subjects = {row["cells"][0] for row in block["parameters"]}
    assert {"Mg-O", "Cl-Mg", "Li-O", "Mg"} <= subjects
    assert not any("F" in name.split("-") or "Ba" in name or "Na" in name for name in subjects)
    assert "Ba" not in block["low_confidence"]


def test_a_force_field_changed_since_is_pointed_out(tmp_path):
    run = synthetic_run(tmp_path, temperatures_K=(900,))
    for point in run.points:
        point.spec["inputs"]["potential"]["sha256"] = "0" * 64
    assert "The runs used another file" in potential_block(run)["problem"]


def test_warnings_group_by_all_but_their_numbers():
    groups = grouped_warnings(["a 1", "b", "a 2", "a 1"])
    assert groups[0] == {"text": "a 1", "count": 3, "others": ["a 2"]}
    assert groups[1] == {"text": "b", "count": 1, "others": []}
