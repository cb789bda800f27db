"""A second core for one calculation. Compiled loops are in the kernels, worker processes in workflows.

Only parts that write to different arrays run at once, and their results are joined in one fixed order: a
result never depends on how many threads there were.
"""

import os
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache

from simtools.core.accelerate import compute_threads

__all__ = ["at_once"]


def at_once(first, second, *, worth_it=True):
    """Return ``(first(), second())``, at the same time where two threads are allowed and `worth_it`.

    An exception of `first` comes before one of `second`, as if one had run after the other; neither is at
    work any more when this returns or raises. On a busy machine, where the second thread has not begun when
    `first` is done, both run in this one. `second` must not call `at_once`.
    """
    if not worth_it or compute_threads() < 2:
        return first(), second()
    beside = _second_thread(os.getpid()).submit(second)
    try:
        found = first()
    except BaseException:
        if not beside.cancel():
            wait((beside,))
        raise
    return found, second() if beside.cancel() else beside.result()


@cache
def _second_thread(process):
    """Return the thread of this process: one that was forked has none yet."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="simtools")
