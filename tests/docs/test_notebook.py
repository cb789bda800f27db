"""The documentation is true: the notebook runs, the commands parse, the links lead somewhere."""

import re
import shlex
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from workflows.cli import main
from workflows.recipe import list_recipes, read_recipe

DOCS = Path(__file__).resolve().parents[2] / "docs"
COMMAND = re.compile(r"^simtools (.*?)(?:\s+#.*)?$", re.MULTILINE)


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


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.stem)
def test_links_between_the_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert re.match(r"https?://", target) or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", ["tutorial", "cluster", "results", "paddlewheel"])
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
