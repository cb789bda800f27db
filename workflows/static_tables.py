"""The recipe tables of calculations at rest. How recipes are read: recipe.py and statics.py."""

from dataclasses import dataclass

from simtools.core.errors import ConfigError
from simtools.defects.kroger_vink import KrogerVink
from workflows import values as v

__all__ = ["EnergeticsTable", "HopTable", "check_hop"]


@dataclass(frozen=True, kw_only=True)
class EnergeticsTable:
    """[energetics]: which defects, reactions and binding energies, in which cells.

    Attributes
    ----------
    defects
        Kröger-Vink labels; those that the reactions and associates need are added.
    reactions
        Name -> reaction between defects, lattice ions and `phases`.
    phases
        Formula of a binary phase -> its prototype: what a reaction may take from and give to.
    binding
        Associates of two defects, such as ``{Mg_Li. V_Li'}``: energy against distance.
    conditions
        Name -> the binary phase with which the crystal is in equilibrium there.
    supercells
        Cells along each axis of the cells that the isolated defect is extrapolated from.
    binding_supercell
        The same for the pairs.
    binding_per_shell
        At most this many inequivalent pairs at each distance beyond the nearest.
    binding_at
        ``"volume"``: the pairs relax in the perfect crystal's cell; ``"pressure"``: the cell relaxes too.
    pressure_GPa
        Of the perfect crystal and of the binary phases.
    temperatures_K
        Of the equilibrium concentrations.
    max_force_eV_per_A
        Tolerance of every relaxation.
    """

    defects: tuple[str, ...] = v.key(v.texts())
    reactions: dict = v.key(v.named_texts(), default=None)
    phases: dict = v.key(v.named_texts(), default=None)
    binding: tuple[str, ...] | None = v.key(v.texts(), default=None)
    conditions: dict | None = v.key(v.named_texts(), default=None)
    supercells: tuple[int, ...] = v.key(v.whole_numbers(2, 20), default=(4, 5, 6))
    binding_supercell: int = v.key(v.whole(2, 20), default=4)
    binding_per_shell: int = v.key(v.whole(1, 1000), default=4)
    binding_at: str = v.key(v.choice("volume", "pressure"), default="volume")
    pressure_GPa: float = v.key(v.number(-100, 100, "GPa"), default=0.0)
    temperatures_K: tuple[float, ...] = v.key(
        v.numbers(1, 10_000, "K"), default=(300.0, 400.0, 500.0, 600.0, 800.0, 1000.0, 1200.0)
    )
    max_force_eV_per_A: float = v.key(v.number(1e-5, 0.1, "eV/Å"), default=0.005)


@dataclass(frozen=True, kw_only=True)
class HopTable:
    """[[hops]]: one kind of hop; every symmetry-distinct one of its kind is computed.

    Attributes
    ----------
    kind
        ``"vacancy"``: an ion of `species` changes places with a vacancy. ``"dumbbell"``: two ions of
        `species` share a site, in the orientation with the lowest energy, and hop to the next or turn.
    species
        The ion that moves.
    beside
        Only for a vacancy: Kröger-Vink label of a substituted ion near which it hops, such as ``"Mg_Li."``.
    longest_A
        Longest hop; by default the nearest neighbours.
    only
        Numbers of the hops to compute, as their names give them; by default all.
    images
        Images between the two ends of a path.
    max_force_eV_per_A
        Tolerance of the band; a tenth of it holds at the ends.
    max_steps
        Steps of the band before it is given up.
    interpolation
        First guess of the path: ``"linear"`` or ``"idpp"``.
    rattle_A
        Random displacement of ends and images before they relax.
    """

    kind: str = v.key(v.choice("vacancy", "dumbbell"))
    species: str = v.key(v.species())
    beside: str | None = v.key(v.text(50), default=None)
    longest_A: float | None = v.key(v.number(0.1, 50, "Å"), default=None)
    only: tuple[int, ...] | None = v.key(v.whole_numbers(1, 10_000), default=None)
    images: int = v.key(v.whole(1, 99), default=7)
    max_force_eV_per_A: float = v.key(v.number(1e-4, 0.2, "eV/Å"), default=0.02)
    max_steps: int = v.key(v.whole(1, 1_000_000), default=1000)
    interpolation: str = v.key(v.choice("linear", "idpp"), default="linear")
    rattle_A: float = v.key(v.number(0, 0.05, "Å"), default=0.01)


def check_hop(hop, where):
    """Refuse keys of a [[hops]] row that contradict each other.

    Raises
    ------
    ConfigError
        For `beside` with a dumbbell, or a label that names no substituted ion.
    """
    if hop.beside is None:
        return
    if hop.kind != "vacancy":
        raise ConfigError(f'{where} beside = {hop.beside!r}: only kind = "vacancy" hops beside a dopant')
    try:
        label = KrogerVink.parse(hop.beside)
    except ConfigError as error:
        raise ConfigError(f"{where} beside = {hop.beside!r}: {error}") from error
    if label.is_vacancy or label.is_interstitial or label.n_ions != 1 or label.is_regular:
        raise ConfigError(
            f"{where} beside = {hop.beside!r}: expected one substituted ion, such as Mg_Li. or F_O."
        )
