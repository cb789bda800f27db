"""The command line ``simtools``: a thin layer over functions that a notebook can call too.

Exit status: 0 done; 1 the run failed (or a bug of ours: its traceback is in the log named on stderr); 2 bad
input; 75 stopped in time by Ctrl-C, SIGTERM or SIGUSR1: the same command continues.
"""

import argparse
import errno
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

from simtools.core.errors import ConfigError, SimtoolsError
from workflows.cli_analysis import add_analyse, add_rotations
from workflows.cli_base import BAD_INPUT, DONE, FAILED, STOPPED, UsageError, complain
from workflows.cli_cluster import add_export, add_point
from workflows.cli_runs import add_compare, add_report, add_reproduce, add_run, add_status
from workflows.cli_shipped import add_potentials, add_recipes
from workflows.cli_statics import add_barrier, add_build, add_defects

__all__ = ["main"]

_DISK_ERRORS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENAMETOOLONG,
    errno.ELOOP,
)


def main(argv=None):
    """Run the command line; return its exit status."""
    arguments = None
    try:
        arguments = _parser().parse_args(argv)
        return arguments.command(arguments)
    except (UsageError, ConfigError) as error:
        return complain(str(error), BAD_INPUT)
    except SimtoolsError as error:
        return complain(str(error), FAILED)
    except KeyboardInterrupt:
        return complain("interrupted; what was checkpointed is kept; the same command continues", STOPPED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            place = error.filename or getattr(arguments, "directory", None) or "disk"
            return complain(f"{place}: {error.strerror}; what was written is kept", BAD_INPUT)
        log = _write_traceback(getattr(arguments, "directory", None))
        return complain(f"{type(error).__name__} inside simtools: {_line(error)}; traceback in {log}", FAILED)


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise UsageError(f"{message} (see {self.prog} --help)")


def _parser():
    parser = _Parser(
        prog="simtools",
        description="Simulation and transport analysis of anti-perovskite solid electrolytes.",
        epilog="Exit status: 0 done, 1 failed, 2 bad input, 75 stopped in time (the same command continues).",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (
        add_run,
        add_status,
        add_report,
        add_reproduce,
        add_compare,
        add_defects,
        add_analyse,
        add_rotations,
        add_build,
        add_barrier,
        add_potentials,
        add_export,
        add_point,
        add_recipes,
    ):
        add(commands)
    return parser


def _line(error):
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:196] + " ..."


def _write_traceback(directory):
    """Write the present traceback where it can be found; return the place."""
    name = f"simtools-error-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    text = f"{sys.argv}\n{traceback.format_exc()}"
    for folder in (directory, Path(tempfile.gettempdir())):
        if folder is None:
            continue
        path = Path(folder) / name
        try:
            path.write_text(text, encoding="utf-8")
        except OSError:
            continue
        return path
    sys.stderr.write(text)
    return "the lines above"


if __name__ == "__main__":
    sys.exit(main())
