"""What every command shares: exit statuses, complaints on stderr, and the options that name a recipe."""

import sys

from workflows.safety import printable

__all__ = ["BAD_INPUT", "DONE", "FAILED", "STOPPED", "UsageError", "add_recipe", "complain"]

DONE, FAILED, BAD_INPUT, STOPPED = 0, 1, 2, 75


class UsageError(Exception):
    """The command line itself cannot be read."""


def complain(message, status):
    """Print `message` on stderr, safe to show; return `status`."""
    print(f"simtools: {printable(message)}", file=sys.stderr)
    return status


def add_recipe(parser):
    """Add the recipe and what replaces its values."""
    parser.add_argument("recipe", metavar="RECIPE", help="a TOML file, or the name of a shipped recipe")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="TABLE.KEY=VALUE",
        help="replace one value of the recipe, such as md.replicas=4; may be repeated",
    )
