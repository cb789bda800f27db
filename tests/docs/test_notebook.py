"""The documentation is true: the notebook runs, the commands parse, the links lead somewhere."""

import re
import shlex
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from docs.lammps_dump import write_dump
from potentials.lammps_library import LammpsUnavailableError, import_lammps
from workflows.cli import main
from workflows.recipe import list_recipes, read_recipe

DOCS = Path(__file__).resolve().parents[2] / "docs"
COMMAND = re.compile(r"^simtools (.*?)(?:\s+#.*)?$", re.MULTILINE)


try:
    import_lammps()
    WHY_NOT = ""
except LammpsUnavailableError as error:
    WHY_NOT = str(error)


@pytest.fixture(scope="module")
def toy_run(tmp_path_factory):
    """A run directory of liquid argon, made by the command line in a few seconds."""
    directory = tmp_path_factory.mktemp("runs") / "argon"
    short = ["md.temperatures_K=[130, 180]", "md.replicas=2", "md.equilibration_ps=1", "md.production_ps=6"]
    options = [word for override in short for word in ("--set", override)]
    command = ["run", "lj-argon", "-o", str(directory), "--executor", "inline", "--quiet", *options]
    assert main(command) == 0
    return directory


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_notebook_runs_from_top_to_bottom(toy_run, monkeypatch):
    monkeypatch.setenv("SIMTOOLS_RUN", str(toy_run))
    monkeypatch.setenv("PYTHONPATH", str(DOCS.parent))
    notebook = nbformat.read(DOCS / "post-analysis.ipynb", as_version=4)
    client = NotebookClient(notebook, timeout=300, kernel_name="python3")
    client.execute(cwd=str(DOCS))
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= 4


def test_the_notebook_is_stored_without_outputs():
    notebook = nbformat.read(DOCS / "post-analysis.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)


@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_dump_that_lammps_wrote_becomes_the_figures(tmp_path, monkeypatch):
    """The notebook on somebody else's dump, run on two picoseconds of LAMMPS."""
    dump = tmp_path / "li3ocl.lammpstrj"
    assert write_dump(dump, duration_ps=2.0, equilibration_ps=0.5) == {"1": "Li", "2": "O", "3": "Cl"}
    monkeypatch.setenv("SIMTOOLS_DUMP", str(dump))
    monkeypatch.setenv("PYTHONPATH", str(DOCS.parent))
    notebook = nbformat.read(DOCS / "foreign-dump.ipynb", as_version=4)
    (tmp_path / "docs").mkdir()
    client = NotebookClient(notebook, timeout=300, kernel_name="python3")
    client.execute(cwd=str(tmp_path / "docs"))
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 6
    text = "".join(output.get("text", "") for output in outputs)
    assert "files: 1 replica, LAMMPS dump" in text
    assert "one every 0.016 ps" in text
    assert "folded into one of 4 x 4 x 4 equal cells" in text
    written = tmp_path / "runs" / "foreign-dump"
    assert (written / "report.html").exists()
    assert (written / "density.cube").exists()


def test_the_notebook_on_a_dump_is_stored_with_its_figures_in_at_most_ten_cells():
    path = DOCS / "foreign-dump.ipynb"
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) <= 10
    assert path.stat().st_size < 700_000
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 6


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.stem)
def test_links_between_the_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert re.match(r"https?://", target) or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", ["tutorial", "cluster", "results", "paddlewheel", "engines"])
def test_every_command_in_the_docs_is_understood(page, monkeypatch):
    """Each `simtools ...` line parses, and the recipes and force fields it names exist."""
    from workflows.cli import _parser

    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    names = {*list_recipes(), "my.toml", "NAME"}
    for line in COMMAND.findall(text):
        arguments = _parser().parse_args(shlex.split(line.split("&&")[0]))
        if hasattr(arguments, "recipe"):
            assert arguments.recipe in names, line


def test_the_tutorials_recipe_is_a_recipe(tmp_path):
    text = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    recipe = re.search(r"```toml\n(.*?)```", text, re.DOTALL)[1]
    path = tmp_path / "my.toml"
    path.write_text(recipe, encoding="utf-8")
    assert read_recipe(path, ["md.replicas=1", "md.production_ps=5"]).md.replicas == 1
    cell = tmp_path / "cell.cif"
    assert main(["build", str(path), "-o", str(cell)]) == 0
    assert cell.exists()


def test_potentials_are_shown_as_the_tutorial_says(capsys):
    assert main(["potentials", "li3ocl_mouta_formal"]) == 0
    shown = capsys.readouterr().out
    assert "433.2627" in shown
    assert "R, corroborated" in shown
