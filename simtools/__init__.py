"""The science: crystals, defects, dynamics, transport numbers and their pictures."""

__all__ = ["load_run"]


def __getattr__(name):
    """Give `load_run` when it is asked for: importing it brings in every analyser."""
    if name == "load_run":
        from simtools.runs import load_run

        return load_run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
