"""Run directories from someone else: links that lead out, pipes that wait, records of another kind."""

import json
import os
import shutil
import signal
import zipfile
from contextlib import contextmanager

import h5py
import pytest

from simtools.core.errors import ConfigError, SimtoolsError
from simtools.md.readers import load_trajectory
from simtools.runs import load_run
from tests.workflows import hostile
from tests.workflows.conftest import SMALL
from tests.workflows.hostile import one_line, unchanged
from workflows.index import StatusIndex
from workflows.report import render_report, write_report
from workflows.slurm_folder import SlurmFolder


@contextmanager
def within(seconds):
    """Fail instead of waiting for ever."""

    def give_up(number, frame):
        raise TimeoutError(f"still waiting after {seconds} s")

    earlier = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, earlier)


@pytest.fixture
def copy(good_run, tmp_path):
    return shutil.copytree(good_run, tmp_path / "run")


@pytest.fixture
def plain_pages(monkeypatch):
    """Leave the figures out."""
    for figures in ("displacement_figures", "trace_figures", "mechanism_figures", "association_figures"):
        monkeypatch.setattr(f"workflows.report.{figures}", lambda *_: [])
    monkeypatch.setattr("workflows.report._arrhenius_figure", lambda *_: None)


def point_of(directory):
    return next((directory / "points").iterdir())


@pytest.mark.parametrize("command", [("status",), ("status", "--index"), ("status", "--check"), ("report",)])
def test_no_lock_is_taken_through_a_link(simtools, copy, outside, command):
    (copy / ".lock").unlink()
    (copy / ".lock").symlink_to(outside / "secret.txt")
    with hostile.watched(copy) as watch:
        status, _, err = simtools(command[0], copy, *command[1:])
    assert watch.seen == []
    assert status == 0 if command[0] == "status" else "symbolic link" in err
    unchanged(outside)


def test_status_leaves_a_directory_as_it_is(simtools, copy):
    (copy / ".lock").unlink()
    with hostile.watched() as watch:
        assert simtools("status", copy)[0] == 0
    assert watch.seen == []
    assert not (copy / ".lock").exists()


@pytest.mark.parametrize("where", ["reproduced", "reproduced/points", "reproduced/force_field.toml"])
def test_a_point_is_not_reproduced_through_a_link(simtools, copy, outside, where):
    (copy / where).parent.mkdir(exist_ok=True)
    (copy / where).symlink_to(outside / "secret.txt" if where.endswith("toml") else outside)
    status, _, err = simtools("reproduce", copy, "130K-r01")
    assert status == 2
    assert "symbolic link" in err
    unchanged(outside)


@pytest.mark.parametrize("command", ["compare", "analyse", "defects"])
def test_no_other_command_writes_through_a_link(simtools, good_run, copy, tmp_path, outside, command):
    output = tmp_path / "output"
    (output / "results").mkdir(parents=True)
    (output / "results" / "a.json").symlink_to(outside / "secret.txt")
    calls = {
        "compare": ("compare", good_run, copy),
        "analyse": ("analyse", point_of(copy), "--mobile", "Ar", "--charge", "Ar=0", "--temperature", 130),
        "defects": ("defects", "li3ocl-defects", "--workers", 1, "-q"),
    }
    with hostile.watched(output) as watch:
        status, _, err = simtools(*calls[command], "-o", output)
    assert watch.seen == []
    assert status == 2
    assert "symbolic link" in err
    unchanged(outside)


def test_a_submission_cannot_name_a_folder_to_be_removed(copy):
    notes = copy / ".slurm" / "submissions"
    notes.mkdir(parents=True)
    for folder in (notes, notes.parent):
        folder.chmod(0o700)
    (notes / "...json").write_text('{"points": ["x"]}', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"\.\.\.json: not the name of a submission"):
        SlurmFolder(copy).submissions()
    assert (copy / "recipe.toml").exists()


PIPES = "summary.json system.json recipe.toml index.log force_field.toml .lock results points".split()
OF_A_POINT = "spec.json done.json thermo.csv progress.json quarantine.json inputs.json lease".split()
OF_A_POINT += ["trajectory/index.json", "trajectory/production-000001.h5md", "checkpoint-0.npz", "log.txt"]


@pytest.mark.parametrize("name", [*PIPES, *OF_A_POINT])
def test_nothing_waits_on_a_pipe(simtools, argon, copy, plain_pages, monkeypatch, name):
    monkeypatch.setattr("workflows.campaign.collect", lambda campaign: None)
    folder = copy if name in PIPES else point_of(copy)
    path = folder / name
    if folder != copy and name != "done.json":
        (folder / "done.json").unlink()
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    os.mkfifo(path)
    options = [part for override in SMALL for part in ("--set", override)]
    with within(60):
        for command in (("status", copy), ("run", argon, "-o", copy, "--executor", "inline", "-q", *options)):
            status, _, err = simtools(*command)
            assert status in (0, 1, 2)
            assert "inside simtools" not in err
        assert status != 0
        assert path.name in err or copy.name in err
        try:
            render_report(load_run(copy))
        except SimtoolsError as error:
            one_line(error, path)


@pytest.mark.parametrize("name", ["summary.json", "results/methods-130K.json", "recipe.toml"])
def test_no_device_is_read_as_a_record(copy, name):
    (copy / name).unlink()
    (copy / name).symlink_to("/dev/zero")
    with within(30), pytest.raises(ConfigError) as caught:
        load_run(copy)
    assert name in str(caught.value) or "not a run directory" in str(caught.value)


def read_all(directory):
    run = load_run(directory)
    render_report(run)
    run.points[0].trajectory()


WRONG = {
    "summary.json": (
        ("provenance.arguments.points.0.name", {}),
        ("provenance.arguments.system", 3),
        ("provenance.arguments.system.host", -1),
        ("provenance.arguments.system.formal_charges_e.Ar", [1]),
        ("provenance.arguments.system.potential.sha256", [1, 2]),
        ("warnings", [{}]),
    ),
    "system.json": (("host", 3), ("potential", 3), ("hop_length_A", []), ("n_atoms", "x"), ("prototype", 9)),
    "results/transport-130K-Ar.json": (
        ("temperature_K.value", {}),
        ("volume_A3.value", []),
        ("tracer_diffusivity_cm2_per_s.value", "text"),
    ),
    "results/methods-130K.json": (("methods", 0),),
    "points/*/done.json": (
        ("outcome.engine.threads", {}),
        ("outcome.defects", [1]),
        ("provenance", 9),
        ("outcome.n_steps", "many"),
    ),
    "points/*/spec.json": (
        ("inputs.potential", []),
        ("inputs.md", [1]),
        ("replica", []),
        ("temperature_K", "x"),
    ),
    "points/*/trajectory/index.json": (("segments.0.sha256", {}), ("segments.0.file", "x" * 300)),
}


@pytest.mark.parametrize(
    ("pattern", "key", "value"), [(name, *rest) for name, rows in WRONG.items() for rest in rows]
)
def test_a_value_of_another_kind_is_named(simtools, copy, plain_pages, pattern, key, value):
    (path,) = copy.glob(pattern)
    record = json.loads(path.read_text(encoding="utf-8"))
    *way, last = (int(part) if part.isdecimal() else part for part in key.split("."))
    place = record
    for part in way:
        place = place[part]
    place[last] = value
    path.write_text(json.dumps(record), encoding="utf-8")
    if pattern == "system.json":
        status, _, err = simtools("status", copy)
        assert status == 2
        one_line(err, path)
    else:
        with pytest.raises(SimtoolsError) as caught:
            read_all(copy)
        err = str(caught.value)
        one_line(err, path)
    assert any(word in err for word in key.split(".") if not word.isdecimal() and word != "value")


def test_numbers_beyond_double_precision_are_no_progress(simtools, copy):
    name, huge = point_of(copy).name, 10**400
    StatusIndex(copy).append(
        {"event": "plan", "n_points": 1},
        {"event": "done", "point": name, "label": "\u202ea\x1b]0;x\x07", "temperature_K": huge},
        {"event": "stopped", "point": "b/../../c", "label": ["b"], "done_steps": huge, "total_steps": huge},
    )
    status, out, _ = simtools("status", copy, "--index")
    assert status == 0
    assert "\x1b" not in out
    assert "\u202e" not in out
    StatusIndex(copy).append({"event": "plan", "n_points": huge})
    status, _, err = simtools("status", copy, "--index")
    assert status == 2
    assert "index.log" in err


def test_deep_toml_in_a_run_directory_is_refused(simtools, copy):
    recipe = copy / "recipe.toml"
    text = recipe.read_text(encoding="utf-8")
    for value in ("[" * 5000 + "]" * 5000, "{a = " * 200 + "1" + "}" * 200):
        recipe.write_text(text.replace("replicas = 1", f"replicas = {value}"), encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            load_run(copy)
        one_line(caught.value, recipe)
        assert simtools("status", copy)[0] == 2


def test_text_that_turns_or_breaks_a_page_is_shown_as_a_code(copy, plain_pages):
    summary = json.loads((copy / "summary.json").read_text(encoding="utf-8"))
    summary["warnings"] = ["fdp\u202eexe", "\ud800", "a\x1b[31m", "isolated\u2066"]
    (copy / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    recipe = copy / "recipe.toml"
    lines = recipe.read_text(encoding="utf-8").splitlines()
    recipe.write_text("\n".join(['title = "safe\\u202Egpj.exe"', *lines[1:]]), encoding="utf-8")
    page = write_report(load_run(copy)).read_text(encoding="utf-8")
    assert not set(page) & set("\u202e\u2066\x1b")
    assert "safe\\u202egpj.exe" in page
    assert "\\ud800" in page


def test_links_through_links_are_not_followed(copy, tmp_path):
    """Twenty names, each a link of twenty names: 20^20 steps, were they followed."""
    path = tmp_path / "links.h5md"
    shutil.copyfile(next(point_of(copy).glob("trajectory/*.h5md")), path)
    with h5py.File(path, "r+") as file:
        del file["particles/trajectory/position"]
        file["particles/trajectory/position"] = h5py.SoftLink("/" + "/".join(["z"] * 20))
        file["z"] = h5py.SoftLink("/" + "/".join(["y"] * 20))
        file["y"] = h5py.SoftLink("/z")
    with within(30), pytest.raises(ConfigError, match="links through links"):
        load_trajectory(path, formal_charges_e={"Ar": 0})


def test_a_checkpoint_that_claims_the_memory_is_damaged(simtools, argon, copy, outside):
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    header = header.ljust(117) + b"\n"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    folder = point_of(copy)
    (folder / "done.json").unlink()
    for name in ("checkpoint-0.npz", "checkpoint-1.npz"):
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.writestr("tree.npy", array)
            archive.writestr("../../canary.npy", array)
    options = [part for override in SMALL for part in ("--set", override)]
    with within(60), hostile.watched(copy) as watch:
        status, _, err = simtools("run", argon, "-o", copy, "--executor", "inline", "-q", *options)
    assert watch.seen == []
    assert status in (1, 2)
    assert "checkpoint-0.npz is damaged" in err
    unchanged(outside)
