"""The table [quick] of a recipe: what ``simtools run RECIPE --quick`` changes to be done in minutes."""

from copy import deepcopy

from simtools.core.errors import ConfigError
from workflows.values import shown

__all__ = ["take_quick"]


def take_quick(record, *, source, wanted):
    """Return parsed TOML without its [quick] table, whose values replace the recipe's if `wanted`.

    The table holds the recipe's own tables, as ``[quick.md]`` with ``production_ps = 5``. Of a table the keys
    given are replaced and the others kept; a list of tables, such as ``[[quick.defects]]``, replaces the
    recipe's list.

    Parameters
    ----------
    record
        Parsed TOML; left as it is.
    source
        Its file, for messages.
    wanted
        Whether the short form is asked for.

    Returns
    -------
    dict
        The title of a short form ends in ``(quick)``.

    Raises
    ------
    ConfigError
        If the short form is wanted and there is none, or if [quick] holds something else than tables.
    """
    full = {name: deepcopy(value) for name, value in record.items() if name != "quick"}
    changes = record.get("quick")
    if changes is None:
        if wanted:
            raise ConfigError(
                f"{source}: has no table [quick], which says what --quick changes, such as [quick.md] with "
                "production_ps = 5; shorten it by --set md.production_ps=5, or leave --quick out"
            )
        return full
    if not isinstance(changes, dict) or not changes:
        raise ConfigError(f"{source}: quick = {shown(changes)}: expected tables, such as [quick.md]")
    for name, change in changes.items():
        rows = isinstance(change, list) and all(isinstance(row, dict) for row in change)
        if name == "quick" or not (isinstance(change, dict) or rows):
            raise ConfigError(
                f"{source}: quick.{name} = {shown(change)}: expected a table of a recipe, such as [quick.md]"
            )
    if not wanted:
        return full
    for name, change in changes.items():
        held = full.get(name)
        if isinstance(change, dict) and isinstance(held, dict):
            held.update(deepcopy(change))
        else:
            full[name] = deepcopy(change)
    if isinstance(full.get("title"), str):
        full["title"] = f"{full['title']} (quick)"
    return full
