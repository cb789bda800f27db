"""What can go wrong while forces are evaluated. Bad force-field files: see schema.py."""

from simtools.core.errors import ConfigError, SimtoolsError


class NetChargeError(ConfigError):
    """The cell carries a net charge and no background was declared."""

    def __init__(self, net_charge_e, balance):
        super().__init__(net_charge_e, balance)
        self.net_charge_e, self.balance = net_charge_e, balance

    def __str__(self):
        return (
            f"the cell carries a net charge of {self.net_charge_e:+.6g} e ({self.balance}), expected 0: "
            'make the defects neutral, or declare net_charge = "background" to add a uniform background'
        )


class CloseContactError(SimtoolsError, RuntimeError):
    """Two ions came closer than the distance below which their potential is no longer physical.

    For Buckingham terms that is the turning point, the maximum of the pair energy with its Coulomb part, from
    which the ions would fall into each other (the Buckingham catastrophe). Whoever moves the atoms may say
    when it happened in `when`.
    """

    def __init__(self, atoms, species, distance_A, limit_A, when=None):
        super().__init__(atoms, species, distance_A, limit_A, when)
        self.atoms, self.species = tuple(atoms), tuple(species)
        self.distance_A, self.limit_A, self.when = distance_A, limit_A, when

    def __str__(self):
        (i, j), (a, b) = self.atoms, self.species
        when = "" if self.when is None else f" at {self.when}"
        return (
            f"atoms {i} ({a}) and {j} ({b}) are {self.distance_A:.4f} Å apart{when}, closer than the "
            f"{self.limit_A:.4f} Å down to which their potential is meaningful (a Buckingham potential pulls "
            "ions together below that); shorten the time step, equilibrate more gently, lower the "
            "temperature, or check the starting positions and the pair term"
        )


class PolarizationCatastropheError(SimtoolsError, RuntimeError):
    """A shell runs away from its core, or the shells rest on a maximum of the energy."""

    def __init__(self, atom, species, displacement_A, when=None):
        super().__init__(atom, species, displacement_A, when)
        self.atom, self.species, self.displacement_A, self.when = atom, species, displacement_A, when

    def __str__(self):
        when = "" if self.when is None else f" at {self.when}"
        return (
            f"the shells have no stable rest{when} (polarisation catastrophe): that of atom {self.atom} "
            f"({self.species}) is {self.displacement_A:.3f} Å from its core and the energy still falls; the "
            "springs are too soft for these shell charges, or ions came too close: check positions and shells"
        )


class ShellsNotRelaxedError(SimtoolsError, RuntimeError):
    """The shells did not come to rest within the iterations allowed."""

    def __init__(self, iterations, force_eV_per_A, tolerance_eV_per_A, when=None):
        super().__init__(iterations, force_eV_per_A, tolerance_eV_per_A, when)
        self.iterations, self.force_eV_per_A = iterations, force_eV_per_A
        self.tolerance_eV_per_A, self.when = tolerance_eV_per_A, when

    def __str__(self):
        when = "" if self.when is None else f" at {self.when}"
        return (
            f"after {self.iterations} iterations{when} a shell still feels {self.force_eV_per_A:.3g} eV/Å, "
            f"asked for {self.tolerance_eV_per_A:.3g}: raise shell_tolerance_eV_per_A, or ask for a higher "
            "accuracy if the tolerance is far below what the sums resolve"
        )


class NonFiniteError(SimtoolsError, RuntimeError):
    """A position or a force is NaN or infinite."""

    def __init__(self, what, atom, when=None):
        super().__init__(what, atom, when)
        self.what, self.atom, self.when = what, atom, when

    def __str__(self):
        when = "" if self.when is None else f" at {self.when}"
        return (
            f"the {self.what} of atom {self.atom} is not a finite number{when}; the run went unstable before "
            "this step: shorten the time step or look at the last frames for ions that came too close"
        )


class TopologyError(ConfigError):
    """The atoms are not the molecules and ions that the force field knows."""


class BrokenMoleculeError(SimtoolsError, RuntimeError):
    """A bond of a molecule is longer than the force field allows, so that the molecule fell apart.

    `molecule` is its name or its number on the atoms; `partner` may be None where none is near.
    """

    def __init__(self, atom, symbol, molecule, partner, distance_A, longest_A, when=None):
        super().__init__(atom, symbol, molecule, partner, distance_A, longest_A, when)
        self.atom, self.symbol, self.molecule, self.partner = atom, symbol, molecule, partner
        self.distance_A, self.longest_A, self.when = distance_A, longest_A, when

    def __str__(self):
        when = "" if self.when is None else f" at {self.when}"
        partner = (
            "no partner is near"
            if self.partner is None
            else (f"its partner, atom {self.partner}, is {self.distance_A:.3f} Å away")
        )
        return (
            f"molecule {self.molecule} is broken{when}: for atom {self.atom} ({self.symbol}) {partner}, "
            f"expected at most {self.longest_A:g} Å; shorten the time step, lower the temperature, or check "
            "the starting positions (these force fields do not describe reactions)"
        )
