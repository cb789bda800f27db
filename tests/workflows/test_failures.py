import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from ase.calculators.calculator import Calculator

from potentials.lammps_library import LammpsEndedError, LammpsError
from simtools.core.errors import ConfigError, RunFailedError
from workflows import point
from workflows.failures import kind_of
from workflows.index import NAME
from workflows.reproduce import bits_of
from workflows.statepoints import DamagedFileError

ROOT = Path(__file__).parents[2]
ONE = ("md.temperatures_K=[130]", "md.replicas=2", "md.production_ps=4", "md.checkpoint_every_ps=0.5")


@pytest.fixture(autouse=True)
def no_analysis(monkeypatch):
    """Leave out what follows the points."""
    monkeypatch.setattr("workflows.campaign.collect", lambda campaign: None)


@pytest.fixture
def run(argon, simtools, tmp_path):
    """Run the two-point recipe in this process: ``status, err = run()``."""

    def call(*more, directory=None):
        options = [part for override in ONE for part in ("--set", override)]
        place = directory or tmp_path / "run"
        status, _, err = simtools("run", argon, "-o", place, "--executor", "inline", "-q", *options, *more)
        return status, err

    return call


def planted(monkeypatch, error, where="130K-r01", times=None):
    """Make `run_stages` raise `error` for a point, `times` times."""
    real, left = point.run_stages, [times]

    def sometimes(atoms, calculator, stages, directory, **options):
        if where in str(directory) and left[0] != 0:
            left[0] = None if left[0] is None else left[0] - 1
            raise error
        return real(atoms, calculator, stages, directory, **options)

    monkeypatch.setattr(point, "run_stages", sometimes)


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "full"), "disk"),
        (OSError(errno.EDQUOT, "quota"), "disk"),
        (OSError(errno.EROFS, "read-only"), "disk"),
        (caused(RunFailedError("cannot write"), OSError(errno.ENOSPC, "full")), "disk"),
        (caused(RunFailedError("cannot write"), OSError(errno.EIO, "gone")), "error"),
        (caused(RunFailedError("stage"), LammpsEndedError("killed")), "error"),
        (caused(RunFailedError("stage"), LammpsError("ERROR: Lost atoms")), "physics"),
        (RunFailedError("blew up"), "physics"),
        (ConfigError("wrong"), "input"),
        (DamagedFileError("torn"), "input"),
        (MemoryError(), "error"),
        (OSError(errno.ESTALE, "stale"), "error"),
    ],
)
def test_what_kind_of_failure_an_error_is(error, kind):
    assert kind_of(error) == kind


class Repelling(Calculator):
    """Pushes every atom away from the origin, the harder the farther."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        self.results = {
            "energy": -50.0 * float((atoms.positions**2).sum()),
            "forces": 100.0 * atoms.positions,
        }


def test_a_point_that_blows_up_is_set_aside_at_once_with_its_evidence_and_the_rest_goes_on(
    run, tmp_path, monkeypatch
):
    real = point.run_stages

    def sometimes(atoms, calculator, stages, directory, **options):
        chosen = Repelling() if "130K-r01" in str(directory) else calculator
        return real(atoms, chosen, stages, directory, **options)

    monkeypatch.setattr(point, "run_stages", sometimes)
    status, err = run()
    assert status == 1
    (line,) = [line for line in err.splitlines() if line.startswith("  130K-r0")]
    assert "130K-r01" in line
    assert len(err.splitlines()) == 3
    (folder,) = (tmp_path / "run" / "points").glob("130K-r01*")
    record = json.loads((folder / "quarantine.json").read_text())
    assert record["kind"] == "physics"
    assert len(record["tries"]) == 1
    assert {"failure.xyz", "log.txt", "thermo.csv"} <= set(record["evidence"])
    assert all((folder / name).exists() for name in record["evidence"])
    assert len(list(tmp_path.glob("run/points/*/done.json"))) == 1


def test_a_passing_error_is_tried_again_and_forgotten(run, tmp_path, monkeypatch):
    planted(monkeypatch, OSError(errno.ESTALE, "Stale file handle"), times=2)
    status, err = run()
    assert status == 0, err
    assert not list(tmp_path.glob("run/points/*/tries.json"))
    assert not list(tmp_path.glob("run/points/*/quarantine.json"))


def test_tries_are_limited_over_several_commands(run, tmp_path, monkeypatch):
    planted(monkeypatch, RuntimeError("odd"))
    assert run("--retries", "1")[0] == 1
    record = json.loads(next(tmp_path.glob("run/points/130K-r01*/quarantine.json")).read_text())
    assert [row["reason"] for row in record["tries"]] == ["RuntimeError: odd"] * 2


@pytest.mark.parametrize(
    ("number", "cure"), [(errno.ENOSPC, "make room"), (errno.EDQUOT, "quota"), (errno.EROFS, "writable")]
)
def test_a_disk_that_refuses_is_one_line_stops_the_rest_and_costs_no_try(
    run, tmp_path, monkeypatch, number, cure
):
    planted(monkeypatch, OSError(number, os.strerror(number)), where="130K", times=1)
    status, err = run()
    assert status == 1
    assert os.strerror(number) in err
    assert cure in err
    assert len(err.splitlines()) == 2
    assert not list(tmp_path.glob("run/points/*/done.json"))
    assert not list(tmp_path.glob("run/points/*/tries.json"))
    assert run()[0] == 0


def _contents(directory):
    return {folder.name: bits_of(folder) for folder in (Path(directory) / "points").iterdir()}


def _command(recipe, directory):
    command = [
        sys.executable,
        "-m",
        "workflows",
        "run",
        recipe,
        "-o",
        directory,
        "--executor",
        "inline",
        "-q",
    ]
    return [*map(str, command), *(part for override in ONE for part in ("--set", override))]


def _limited_run(recipe, directory, **options):
    return subprocess.run(_command(recipe, directory), cwd=ROOT, capture_output=True, text=True, **options)


@pytest.fixture
def small_disk(tmp_path):
    """A tmpfs of 300 kB, where this process may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", place], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"mounting a small disk needs root: {made.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_run_on_a_full_disk_goes_on_after_the_cure_with_the_same_bits(argon, small_disk, run, tmp_path):
    full = _limited_run(argon, small_disk / "run")
    assert full.returncode in (1, 2), full.stderr
    assert "No space left on device" in full.stderr
    assert "Traceback" not in full.stderr
    assert len(full.stderr.splitlines()) <= 2
    subprocess.run(["mount", "-o", "remount,size=20M", small_disk], check=True)
    assert run(directory=small_disk / "run")[0] == 0
    assert run(directory=tmp_path / "whole")[0] == 0
    assert _contents(small_disk / "run") == _contents(tmp_path / "whole")


def test_a_run_on_a_disk_made_read_only_goes_on_after_the_cure(argon, small_disk, run):
    subprocess.run(["mount", "-o", "remount,size=20M", small_disk], check=True)
    assert run("--set", "md.replicas=1", directory=small_disk / "run")[0] == 0
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    refused = _limited_run(argon, small_disk / "run")
    assert refused.returncode == 2
    assert "Read-only file system" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert run(directory=small_disk / "run")[0] == 0


def test_a_limit_on_file_sizes_is_told_and_cured(argon, run, tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    refused = _limited_run(argon, tmp_path / "run", preexec_fn=limit)
    assert refused.returncode == 1, refused.stderr
    assert "File too large" in refused.stderr
    assert "ulimit -f" in refused.stderr
    assert run()[0] == 0
    assert run(directory=tmp_path / "whole")[0] == 0
    assert _contents(tmp_path / "run") == _contents(tmp_path / "whole")


@pytest.mark.parametrize("name", ["tries.json", "quarantine.json", "parts.json"])
def test_a_half_written_record_is_named(run, tmp_path, monkeypatch, name):
    planted(monkeypatch, RuntimeError("odd"), times=3)
    run("--retries", "0")
    folder = next((tmp_path / "run" / "points").glob("130K-r01*"))
    record = folder / name
    record.write_bytes(b'{"half": ')
    status, err = run("--retry-quarantined") if name == "parts.json" else run()
    if name == "tries.json":
        assert status == 1
        return
    assert status == 1
    assert str(record) in err


def test_clocks_that_jump_do_not_matter(run, tmp_path, monkeypatch):
    import time

    now = [2e9]

    def jumping():
        now[0] = 4e9 - now[0] + 1.0
        return now[0]

    monkeypatch.setattr(time, "time", jumping)
    assert run()[0] == 0
    monkeypatch.undo()
    assert run()[0] == 0
    assert (tmp_path / "run" / NAME).exists()
