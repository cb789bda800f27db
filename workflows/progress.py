"""How far each point is: a small file per point, and its display as bars or plain lines."""

import json
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from simtools.core.files import read_text
from workflows.safety import printable

__all__ = ["PointProgress", "ProgressFile", "count_line", "progress_display"]

_FILE_INTERVAL_S = 0.5
_LINE_INTERVAL_S = 15.0


_LARGEST = 1 << 16


@dataclass(frozen=True)
class PointProgress:
    """Steps done and to do, the last temperature (K) and the rate (steps/s) of one point."""

    done_steps: int
    total_steps: int
    temperature_K: float
    steps_per_s: float

    @property
    def remaining_s(self):
        """Time left at the present rate, s, or None before there is one."""
        if self.steps_per_s <= 0:
            return None
        return (self.total_steps - self.done_steps) / self.steps_per_s

    @classmethod
    def read(cls, directory):
        """Return the progress noted in a point's folder, or None if there is none yet."""
        try:
            return cls(**json.loads(read_text(Path(directory) / "progress.json", most_bytes=_LARGEST)))
        except (OSError, ValueError, TypeError):
            return None


class ProgressFile:
    """The `progress` callable given to the dynamics: notes where a run stands, at most twice a second.

    `fence` is the point's lease: an owner that has lost it learns so here, and notes nothing.
    """

    def __init__(self, directory, *, on_write=None, fence=None):
        self.path = Path(directory) / "progress.json"
        self._fence = fence
        mark = "" if fence is None else fence.mark
        self._partial = self.path.with_name(f"progress.json{mark}.partial")
        self.on_write = on_write
        self._written = -float("inf")
        self._start = None

    def __call__(self, done_steps, total_steps, temperature_K):
        """Note the state; called after every few steps."""
        now = time.monotonic()
        if self._start is None:
            self._start = (now, done_steps)
        if now - self._written < _FILE_INTERVAL_S and done_steps < total_steps:
            return
        self._written = now
        elapsed, first = now - self._start[0], self._start[1]
        rate = (done_steps - first) / elapsed if elapsed > 0 else 0.0
        record = {
            "done_steps": int(done_steps),
            "total_steps": int(total_steps),
            "temperature_K": float(temperature_K),
            "steps_per_s": round(float(rate), 3),
        }
        self._partial.write_text(json.dumps(record), encoding="utf-8")
        if self._fence is not None:
            self._fence()
        self._partial.replace(self.path)
        if self.on_write is not None:
            self.on_write()


@contextmanager
def progress_display(*, quiet=False, stream=None):
    """Give a display for the executor: rich bars on a terminal, plain lines elsewhere."""
    stream = stream or sys.stderr
    if quiet:
        yield _Silent()
    elif stream.isatty():
        with _bars(stream) as display:
            yield display
    else:
        yield _Lines(stream)


@contextmanager
def count_line(*, quiet=False, stream=None):
    """Give a callable (stage, done, total): one line rewritten on a terminal, one per stage elsewhere."""
    stream = stream or sys.stderr

    def show(stage, done, total):
        if quiet:
            return
        if stream.isatty():
            stream.write(f"\r\x1b[K{stage}: {done} of {total}")
        elif done == total:
            stream.write(f"{stage}: {total} done\n")
        stream.flush()

    try:
        yield show
    finally:
        if not quiet and stream.isatty():
            stream.write("\r\x1b[K")
            stream.flush()


class _Silent:
    def note(self, message):
        """Ignore a message."""

    def update(self, running, n_done, n_known):
        """Ignore the state."""


class _Lines:
    """One line per message and per running point every quarter of a minute."""

    def __init__(self, stream):
        self.stream = stream
        self._last = time.monotonic()

    def note(self, message):
        """Write one line at once."""
        self.stream.write(printable(message) + "\n")
        self.stream.flush()

    def update(self, running, n_done, n_known):
        """Write where each running point stands, if it is time."""
        if time.monotonic() - self._last < _LINE_INTERVAL_S:
            return
        self._last = time.monotonic()
        for label, directory in running:
            state = PointProgress.read(directory)
            if state is not None:
                self.note(f"[{n_done}/{n_known}] {label}: {_sentence(state)}")


@contextmanager
def _bars(stream):
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[state]}"),
        console=Console(file=stream),
    )
    with progress:
        yield _Bars(progress)


class _Bars:
    def __init__(self, progress):
        self.progress = progress
        self.total = progress.add_task("all points", total=None, state="")
        self.tasks = {}

    def note(self, message):
        """Print one line above the bars."""
        self.progress.console.print(printable(message), highlight=False, markup=False)

    def update(self, running, n_done, n_known):
        """Redraw: one bar per running point and one for the whole."""
        labels = {label for label, _ in running}
        for label in [label for label in self.tasks if label not in labels]:
            self.progress.remove_task(self.tasks.pop(label))
        shares = 0.0
        for label, directory in running:
            if label not in self.tasks:
                self.tasks[label] = self.progress.add_task(label, total=1.0, state="starting")
            state = PointProgress.read(directory)
            if state is not None and state.total_steps > 0:
                share = state.done_steps / state.total_steps
                shares += share
                self.progress.update(self.tasks[label], completed=share, state=_sentence(state, share=False))
        self.progress.update(
            self.total, completed=n_done + shares, total=n_known, state=f"{n_done} of {n_known} points done"
        )


def _sentence(state, share=True):
    parts = [f"{100 * state.done_steps / max(state.total_steps, 1):.0f} %"] if share else []
    parts += [f"{state.temperature_K:.0f} K", f"{state.steps_per_s:.0f} steps/s"]
    if state.remaining_s is not None:
        minutes, seconds = divmod(round(state.remaining_s), 60)
        hours, minutes = divmod(minutes, 60)
        parts.append(f"{hours:d}:{minutes:02d}:{seconds:02d} left")
    return ", ".join(parts)
