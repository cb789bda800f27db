"""How a run is asked to stop: by a signal, or by the clock shortly before a job's wall-time limit."""

import os
import signal
import time
from contextlib import contextmanager

__all__ = ["STOP_SIGNALS", "StopRequest", "seconds_left"]

STOP_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGUSR1})


class StopRequest:
    """Whether a clean stop was asked for; `listening` turns Ctrl-C, SIGTERM and SIGUSR1 into one.

    Parameters
    ----------
    after_s
        Ask for a stop by itself after so long, s, on a clock that nobody sets; None for never.

    Attributes
    ----------
    reason : str
        ``"SIGTERM"`` or another signal's name, ``"wall time"``, or empty.
    """

    def __init__(self, after_s=None):
        self.reason = ""
        self._requested = False
        self._deadline = None if after_s is None else time.monotonic() + after_s

    @property
    def requested(self):
        """Whether to stop."""
        if not self._requested and self._deadline is not None and time.monotonic() >= self._deadline:
            self._requested, self.reason = True, "wall time"
        return self._requested

    @requested.setter
    def requested(self, value):
        self._requested = value

    def __call__(self):
        """Return whether to stop: the form in which the dynamics ask."""
        return self.requested

    @contextmanager
    def listening(self):
        """Catch SIGINT, SIGTERM and SIGUSR1; a second Ctrl-C interrupts at once."""

        def on_signal(number, frame):
            if self._requested and number == signal.SIGINT:
                raise KeyboardInterrupt
            self._requested, self.reason = True, signal.Signals(number).name

        earlier = {number: signal.signal(number, on_signal) for number in STOP_SIGNALS}
        try:
            yield self
        finally:
            for number, handler in earlier.items():
                signal.signal(number, handler)


def seconds_left(time_limit_min, *, lead_s, environment=os.environ, now_s=None):
    """Return how long a job may compute from now on, s, so that `lead_s` remain for the checkpoint.

    Slurm's own word on when the job ends (``SLURM_JOB_END_TIME``) is taken where it has one; else the job
    has begun when its script noted it (``SIMTOOLS_JOB_START``), else now. A clock that puts the end further
    away than the limit, or in the past, is not believed: the whole limit is taken.

    Parameters
    ----------
    time_limit_min
        Wall-time limit, minutes.
    lead_s
        Time to keep back, s.
    environment
        Where the variables are looked up.
    now_s
        Seconds since the epoch; the system's clock by default.
    """
    now_s = time.time() if now_s is None else now_s
    limit_s = 60.0 * time_limit_min
    end_s = now_s + limit_s
    start, end = environment.get("SIMTOOLS_JOB_START", ""), environment.get("SLURM_JOB_END_TIME", "")
    if end.isdecimal():
        end_s = float(end)
    elif start.isdecimal():
        end_s = float(start) + limit_s
    left_s = end_s - now_s
    return max(0.0, (left_s if 0 < left_s <= limit_s else limit_s) - lead_s)
