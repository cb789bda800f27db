"""What can go wrong, by name: bad input, a failed run, and nothing that hides a bug of ours."""


class SimtoolsError(Exception):
    """Base class: catch this to catch us and nobody else."""


class ConfigError(SimtoolsError, ValueError):
    """The user's input cannot be what they meant: the command line exits with status 2."""


class ShapeError(SimtoolsError, ValueError):
    """An array does not have its documented shape."""

    def __init__(self, name, expected, got):
        super().__init__(name, expected, got)
        self.name, self.expected, self.got = name, expected, got

    def __str__(self):
        return f"{self.name} must have shape {self.expected}, got {self.got}"


class UnknownSpeciesError(ConfigError):
    """A species was asked for that is not there."""

    def __init__(self, species, available):
        super().__init__(species, tuple(available))
        self.species, self.available = species, tuple(available)

    def __str__(self):
        return f"no species {self.species!r}; available: {', '.join(self.available)}"


class RunFailedError(SimtoolsError, RuntimeError):
    """A run stopped for a physical or technical reason: the command line exits with status 1."""


class LeaseLostError(RunFailedError):
    """Another process has taken over this run: nothing more may be written here, and nothing was."""


class SimtoolsWarning(UserWarning):
    """A result is usable but suspect."""
