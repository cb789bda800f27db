"""Files from someone else: nothing runs, nothing outside changes, and the message names the file."""

import json
import os
import shutil
from itertools import islice

import h5py
import pytest

from simtools.core.errors import SimtoolsError
from simtools.md.h5md import read_trajectory
from simtools.md.readers import load_trajectory
from simtools.runs import load_run
from tests.workflows import hostile
from tests.workflows.conftest import ARGON, SMALL
from tests.workflows.hostile import one_line, unchanged
from workflows.report import render_report

#: Every so manyth file by default; all of them with ``-m physics``.
SHARE = pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.physics)])


@SHARE
def test_hostile_recipes_are_refused_or_harmless(simtools, tmp_path, outside, monkeypatch, every):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.toml").write_text(ARGON, encoding="utf-8")
    assert simtools("run", tmp_path / "good.toml", "-o", tmp_path / "out", "--plan")[0] == 0
    count = 0
    for name, text in islice(hostile.recipes(ARGON), 0, None, every):
        path = tmp_path / f"recipe{count}.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
        with hostile.watched(tmp_path / "out") as watch:
            status, out, err = simtools(
                "run", path, "-o", tmp_path / "out" / name[:40].replace("/", "-"), "--plan"
            )
        assert watch.seen == [], name
        assert status in (0, 2), (name, err[:300])
        if status == 2:
            one_line(err, path)
            table = name.rpartition("-")[0].rpartition(".")[2]
            if "." in name.rpartition("-")[0] and name.startswith(("md.", "structure.", "analysis.")):
                assert table in err or "not a TOML file" in err, (name, err[:300])
        assert "\x1b" not in out + err
        count += 1
    unchanged(outside)
    assert every * count >= 140


@SHARE
def test_hostile_segments_are_refused(good_run, tmp_path, outside, every):
    point = next((good_run / "points").iterdir())
    count = 0
    for name, change in islice(hostile.segments(tmp_path, outside / "secret.bin"), 0, None, every):
        copy = tmp_path / f"point{count}"
        shutil.copytree(point, copy)
        index = copy / "trajectory" / "index.json"
        record = json.loads(index.read_text())
        row = record["segments"][0]
        path = copy / "trajectory" / row["file"]
        with h5py.File(path, "r+") as file:
            change(file)
        row.pop("sha256")
        row["bytes"] = path.stat().st_size
        index.write_text(json.dumps(record))
        with hostile.watched() as watch, pytest.raises(SimtoolsError) as caught:
            read_trajectory(copy)
        assert watch.seen == [], name
        one_line(caught.value, path)
        shutil.rmtree(copy)
        count += 1
    unchanged(outside)
    assert every * count >= 40


def test_an_index_that_names_files_elsewhere_is_refused(good_run, tmp_path, outside):
    point = next((good_run / "points").iterdir())
    for k, name in enumerate(hostile.names()):
        copy = tmp_path / f"point{k}"
        shutil.copytree(point, copy)
        index = copy / "trajectory" / "index.json"
        record = json.loads(index.read_text())
        record["segments"][0]["file"] = name
        index.write_text(json.dumps(record))
        with hostile.watched() as watch, pytest.raises((SimtoolsError, OSError)) as caught:
            read_trajectory(copy)
        assert watch.seen == []
        if isinstance(caught.value, SimtoolsError):
            one_line(caught.value, index if len(name) < 300 else index.parent)
    unchanged(outside)


@SHARE
def test_hostile_frames_are_refused(tmp_path, outside, every):
    count = 0
    for name, content in islice(hostile.frames(), 0, None, every):
        path = tmp_path / f"frames{count}.xyz"
        path.write_bytes(content)
        with hostile.watched() as watch, pytest.raises(SimtoolsError) as caught:
            load_trajectory(path, temperature_K=300.0, formal_charges_e={"Li": 1}, frame_interval_ps=1.0)
        assert watch.seen == [], name
        one_line(caught.value, path)
        count += 1
    unchanged(outside)
    assert every * count >= 60


@SHARE
@pytest.mark.parametrize("name", ["summary.json", "results/arrhenius.json", "system.json", "recipe.toml"])
def test_hostile_records_are_refused_or_escaped(good_run, monkeypatch, tmp_path, outside, name, every):
    for figures in ("displacement_figures", "trace_figures", "mechanism_figures", "association_figures"):
        monkeypatch.setattr(f"workflows.report.{figures}", lambda *_: [])
    monkeypatch.setattr("workflows.report._arrhenius_figure", lambda *_: None)
    for k, (what, text) in islice(enumerate(hostile.records()), 0, None, every):
        copy = tmp_path / f"run{k}"
        shutil.copytree(good_run, copy)
        (copy / name).write_text(text, encoding="utf-8")
        with hostile.watched(copy) as watch:
            try:
                page = render_report(load_run(copy))
            except SimtoolsError as error:
                one_line(error, copy / name)
            except (TypeError, AttributeError, ValueError, LookupError) as error:
                pytest.fail(f"{name} {what}: {error!r}")
            else:
                assert hostile.SCRIPT not in page
        assert watch.seen == [], what
    unchanged(outside)


def test_scripts_in_a_title_and_in_warnings_are_text_in_the_report(good_run, simtools, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(good_run, copy)
    attacks = [attack for attack in hostile.ATTACKS if len(attack) < 1000]
    summary = json.loads((copy / "summary.json").read_text())
    summary["warnings"] = attacks
    summary["provenance"] |= {"host": hostile.SCRIPT, "processor": hostile.SCRIPT}
    (copy / "summary.json").write_text(json.dumps(summary))
    recipe = (copy / "recipe.toml").read_text().splitlines()
    recipe[0] = f"title = {json.dumps('--><script>{{ 7 * 7 }}</script>')}"
    (copy / "recipe.toml").write_text("\n".join(recipe))
    page = render_report(load_run(copy))
    assert "<script" not in page
    assert "<img" not in page
    assert "<svg onload" not in page
    assert "--&gt;&lt;script&gt;{{ 7 * 7 }}" in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


LINKS = (
    "points",
    "results",
    "figures",
    "summary.json",
    "report.html.partial",
    ".lock",
    "index.log",
    "report.html",
)


@pytest.mark.parametrize(
    "where", [*LINKS, "log.txt", "thermo.csv", "trajectory", "lease", "progress.json.partial"]
)
def test_links_out_of_a_run_directory_are_not_written_through(
    argon, good_run, simtools, tmp_path, outside, where
):
    copy = tmp_path / "run"
    shutil.copytree(good_run, copy)
    folder = copy if where in LINKS else next((copy / "points").iterdir())
    path = folder / where
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    folders = ("points", "results", "figures", "trajectory", "lease")
    path.symlink_to(outside if where in folders else outside / "secret.txt")
    done = folder / "done.json"
    done.unlink(missing_ok=True)
    options = [part for override in SMALL for part in ("--set", override)]
    run = ["run", argon, "-o", copy, "--executor", "inline", "-q", *options]
    for command in (run, ["report", copy]):
        if command[0] == "report" and folder != copy:
            continue
        with hostile.watched(copy) as watch:
            status, _, err = simtools(*command)
        assert watch.seen == [], command[0]
        assert status in (1, 2), err
        assert str(path) in err
        assert "symbolic link" in err
    unchanged(outside)
    os.unlink(path)


@pytest.mark.parametrize("name", hostile.names())
def test_cases_named_elsewhere_are_refused(simtools, tmp_path, outside, name):
    directory = tmp_path / "run"
    directory.mkdir()
    record = {"title": "a", "cases": [{"name": name, "settings": {}}]}
    (directory / "campaign.json").write_text(json.dumps(record))
    for command in ("status", "report"):
        with hostile.watched(directory) as watch:
            status, _, err = simtools(command, directory)
        assert status == 2
        assert watch.seen == []
        assert "campaign.json" in err or name[:50] in err
    unchanged(outside)
