"""Compiled loops of the dynamics' side; see `simtools.core.accelerate`."""
