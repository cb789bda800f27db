"""A second core for one calculation. Compiled loops are in the kernels, worker processes in workflows.

Only parts that write to different arrays run at once, and their results are joined in one fixed order: a
result never depends on how many threads there were.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache

from simtools.core.accelerate import compute_threads

__all__ = ["at_once"]


def at_once(first, second, *, help_second=None, worth_it=True):
    """Run ``first()`` and ``second(prepared)``, at once where two threads are allowed and `worth_it`.

    Returns what `first` returned. When it is done, ``help_second()`` takes in this thread what it can of
    `second`, and once more after `second` has called ``prepared()``; if it returns True, `second` has nothing
    left to do and is not waited for. An exception of `first` comes before one of `second`, as if one had run
    after the other; neither is at work any more when this returns or raises. On a busy machine, where the
    second thread has not begun when `first` is done, both run in this one, and `prepared` is None. `second`
    must call it otherwise, whatever happens, and must not call `at_once`.
    """
    if not worth_it or compute_threads() < 2:
        found = first()
        second(None)
        return found
    prepared = threading.Event()
    beside = _second_thread(os.getpid()).submit(second, prepared.set)
    try:
        found = first()
    except BaseException:
        if not beside.cancel():
            wait((beside,))
        raise
    if beside.cancel():
        second(None)
        return found
    if help_second is not None:
        if help_second():
            return found
        prepared.wait()
        help_second()
    beside.result()
    return found


@cache
def _second_thread(process):
    """Return the thread of this process: one that was forked has none yet."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="simtools")
