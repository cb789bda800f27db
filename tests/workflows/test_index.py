import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from workflows.index import NAME, StatusIndex, read_index

ROOT = Path(__file__).parents[2]


def test_the_last_event_of_each_point_counts(tmp_path):
    index = StatusIndex(tmp_path)
    index.append(
        {"event": "plan", "n_points": 2},
        {"event": "known", "point": "a", "label": "300K-r01"},
        {"event": "known", "point": "b", "label": "300K-r02"},
    )
    index.append({"event": "started", "point": "b"})
    index.append({"event": "done", "point": "b", "temperature_K": 300.5})
    state = read_index(tmp_path)
    assert state.plan["n_points"] == 2
    assert list(state.points) == ["a", "b"]
    assert [item["event"] for item in state.points.values()] == ["known", "done"]
    assert state.points["b"]["label"] == "300K-r02"
    assert state.n_damaged == 0


def test_there_may_be_no_index(tmp_path):
    assert read_index(tmp_path) is None


@pytest.mark.parametrize("cut", range(1, 50, 7))
def test_a_line_torn_anywhere_is_skipped_and_hurts_no_other(tmp_path, cut):
    index = StatusIndex(tmp_path)
    index.append({"event": "known", "point": "a"})
    whole = (tmp_path / NAME).stat().st_size
    index.append({"event": "done", "point": "a"})
    os.truncate(tmp_path / NAME, whole + cut)
    assert read_index(tmp_path).points["a"]["event"] == "known"
    index.append({"event": "failed", "point": "a"})
    state = read_index(tmp_path)
    assert state.points["a"]["event"] == "failed"
    assert state.n_damaged == 1


@pytest.mark.parametrize(
    "line", [b"garbage", b"00000000 {}", b"\xff" * 30, b"[" * 5000, b"00000000 " + b"[" * 100_000, b" " * 9]
)
def test_lines_that_are_no_events_are_counted(tmp_path, line):
    (tmp_path / NAME).write_bytes(line + b"\n")
    assert read_index(tmp_path).n_damaged == 1


def test_processes_that_append_at_once_lose_nothing_and_a_killed_one_tears_at_most_its_line(tmp_path):
    code = (
        "import sys, itertools; from workflows.index import StatusIndex\n"
        "index = StatusIndex(sys.argv[1])\n"
        "for k in itertools.count() if sys.argv[3] == 'on' else range(300):\n"
        "    index.append({'event': 'done', 'point': sys.argv[2] + str(k), 'pad': 'x' * 3000})\n"
    )

    def writer(name, mode):
        return subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name, mode], cwd=ROOT)

    endless = writer("k", "on")
    others = [writer("a", "off"), writer("b", "off")]
    deadline = time.monotonic() + 60
    while not (tmp_path / NAME).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    endless.send_signal(signal.SIGKILL)
    endless.wait()
    assert [process.wait(timeout=60) for process in others] == [0, 0]
    state = read_index(tmp_path)
    assert state.n_damaged <= 1
    for name in ("a", "b"):
        assert all(f"{name}{k}" in state.points for k in range(300))


def test_an_event_is_one_line_of_json_with_a_checksum(tmp_path):
    StatusIndex(tmp_path).append({"event": "failed", "point": "a", "message": "two\nlines"})
    (line,) = (tmp_path / NAME).read_bytes().splitlines()
    assert json.loads(line[9:])["message"] == "two\nlines"
