"""The recipe tables of calculations at rest. How recipes are read: recipe.py and statics.py."""

from dataclasses import dataclass

from workflows import values as v

__all__ = ["EnergeticsTable"]


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
    binding_at: str = v.key(v.choice("volume", "pressure"), default="volume")
    pressure_GPa: float = v.key(v.number(-100, 100, "GPa"), default=0.0)
    temperatures_K: tuple[float, ...] = v.key(
        v.numbers(0, 10_000, "K", above=True), default=(300.0, 400.0, 500.0, 600.0, 800.0, 1000.0, 1200.0)
    )
    max_force_eV_per_A: float = v.key(v.number(1e-5, 0.1, "eV/Å"), default=0.005)
