"""One Slurm for all tests of a process; where `SIMTOOLS_SLURM_REQUIRED` is set its absence is a failure."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.slurm.campaigns import ROOT

HERE = Path(__file__).parent


def _cannot(reason):
    if os.environ.get("SIMTOOLS_SLURM_REQUIRED"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Start Slurm; give its folder, and the environment for its programs and ours."""
    script = HERE / "cluster.sh"
    installed = subprocess.run([script, "install"], capture_output=True, text=True, check=False, timeout=1000)
    if installed.returncode == 3:
        _cannot(installed.stderr.strip())
    assert installed.returncode == 0, installed.stderr
    try:
        import submitit  # noqa: F401
    except ImportError:
        _cannot("submitit is not installed: pip install '.[slurm]'")
    folder = tmp_path_factory.mktemp("cluster")
    began = time.monotonic()
    try:
        reason = _start(script, folder)
        if reason:  # somebody else may have been given one of its ports meanwhile
            subprocess.run([script, "stop", folder], check=True, timeout=120)
            reason = _start(script, folder)
        if reason:
            _cannot(reason)
        print(f"Slurm is up after {time.monotonic() - began:.1f} s")
        environment = {
            **os.environ,
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PYTHONPATH": f"{ROOT}:{HERE / 'slow_forces'}:{os.environ.get('PYTHONPATH', '')}".rstrip(":"),
            "TMPDIR": str(tmp_path_factory.mktemp("node")),
            "XDG_CONFIG_HOME": str(folder / "no-settings-of-the-user"),
        }
        yield folder, environment
    finally:
        subprocess.run([script, "stop", folder], check=True, timeout=120)


def _start(script, folder):
    """Start Slurm; return an empty text, or why that cannot be."""
    log = folder / "start.log"  # a pipe would stay open in the daemons
    with open(log, "w", encoding="utf-8") as stream:
        command = [script, "start", folder, str(os.getpid())]
        started = subprocess.run(command, stdout=stream, stderr=stream, check=False, timeout=120)
    said = log.read_text(encoding="utf-8").strip()
    assert started.returncode in (0, 3), said
    return said if started.returncode else ""
