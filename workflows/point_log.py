"""The log of one point: what the packages say while it runs."""

import logging
import sys
from contextlib import contextmanager

__all__ = ["logging_to"]

_LOGGERS = ("simtools", "potentials", "workflows")


class _PointLog(logging.FileHandler):
    """A log that gives way on a full disk: the point's own failure is what gets told."""

    def handleError(self, record):
        """Drop a line that the disk has no room for."""
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)


@contextmanager
def logging_to(path):
    """Append what is logged meanwhile to the file `path`."""
    handler = _PointLog(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [item.level for item in loggers]
    for item in loggers:
        item.addHandler(handler)
        item.setLevel(logging.INFO)
    try:
        yield
    finally:
        for item, level in zip(loggers, levels, strict=True):
            item.removeHandler(handler)
            item.setLevel(level)
        handler.close()
