"""Where a number came from: versions, commit, host, time and the arguments that made it."""

import platform
import socket
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

__all__ = ["collect_provenance", "library_versions"]

_DISTRIBUTION = "antiperovskite-simtools"
_LIBRARIES = ("ase", "numpy", "scipy", "numba", "MDAnalysis", "h5py", "matplotlib")


@cache
def library_versions():
    """Return {library: version} of this package and of what its numbers depend on."""
    versions = {}
    for name in (_DISTRIBUTION, *_LIBRARIES):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {"python": platform.python_version(), **versions}


@cache
def _git_commit():
    """Return the commit of the source tree, marked when it has changes, or None outside a checkout."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None
    try:
        commit = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return commit.stdout.strip()


def collect_provenance(**arguments):
    """Return a JSON-able record of versions, git commit, host, time and `arguments`."""
    return {
        "versions": library_versions(),
        "git_commit": _git_commit(),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "processor": _processor(),
        "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "arguments": arguments,
    }


@cache
def _processor():
    """Return the processor's name: results are bit-identical only on the same kind."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
