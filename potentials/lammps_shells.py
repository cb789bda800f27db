"""LAMMPS' words for cores and shells: their springs, and how the two of one ion are kept from each other.

The styles of LAMMPS' CORESHELL package add 1e-6 Å to the distance of a core and its own shell. Nothing is
added here: neighbour lists leave out the pair (``neigh_modify exclude molecule/intra``), so that no style
ever divides by its distance, which may be 0, and the bond takes back what the reciprocal sum holds of it.
That leaves out an ion's own images too, so cells not much longer than the cutoff need those styles.
"""

from __future__ import annotations

import numpy as np

from potentials.force_field import ForceField

__all__ = ["QQR2E_METAL_EV_A", "exact_coulomb", "images_apart", "shell_lines", "shell_number_check"]

QQR2E_METAL_EV_A = 14.399645
"""LAMMPS' own Coulomb constant in metal units, to take back exactly what its reciprocal sum holds."""
_SMOOTH_A2 = 1e-12
"""Added to r² in erf(alpha r)/r, which is smooth at 0: changes it by a part in 1e13, and 0/0 is gone."""
_ROOM = 1.1
"""Times the cutoff: how far images must be apart, so that a cell that shrinks does not bring them inside."""


def images_apart(cell, cutoff_A: float) -> bool:
    """Return whether no ion sees its own images within the cutoff and a tenth of it; `cell` is LAMMPS'."""
    return bool(np.diag(np.asarray(cell)).min() >= _ROOM * cutoff_A)


def shell_lines(field: ForceField, alpha_per_A: float | None, *, excluded: bool) -> list[str]:
    r"""Return the springs, the bond of a core and its shell, and what hides the two from each other.

    With charges, the reciprocal sum holds :math:`K q_c q_s\, \mathrm{erf}(\alpha r)/r` between the two, which
    the bond takes back: they act on each other by the spring alone.

    Parameters
    ----------
    field
        With shells.
    alpha_per_A
        Splitting of the Ewald sum, 1/Å, which ``kspace_modify gewald`` must set; None without charges.
    excluded
        Whether neighbour lists leave the pair out; else the pair styles end in ``/cs`` and correct for it.
    """
    lines = ["special_bonds lj/coul 0.0 0.0 0.0"]
    if excluded:
        lines.append(
            "neigh_modify exclude molecule/intra all  # a core and its shell share a molecule number"
        )
        lines.append("bond_style lepton no_offset")
    else:
        quartic = any(shell.quartic_spring_eV_per_A4 for shell in field.shells.values())
        lines.append(f"bond_style {'class2' if quartic else 'harmonic'}")
    for index, (symbol, shell) in enumerate(field.shells.items(), start=1):
        second, fourth = shell.spring_eV_per_A2 / 2.0, shell.quartic_spring_eV_per_A4 / 24.0
        if excluded:
            energy = f"{second!r}*r^2" + (f"+{fourth!r}*r^4" if fourth else "")
            if alpha_per_A is not None:
                product = QQR2E_METAL_EV_A * shell.charge_e * field.core_charge_e(symbol)
                energy += f"-({product!r})*erf({alpha_per_A!r}*s)/s;s=sqrt(r^2+{_SMOOTH_A2!r})"
            numbers = f'0.0 "{energy}"'
        else:
            numbers = f"0.0 {second!r} 0.0 {fourth!r}" if quartic else f"{second!r} 0.0"
        lines.append(f"bond_coeff {index} {numbers}  # {symbol} core-shell")
    return lines


def exact_coulomb(kspace: str, alpha_per_A: float, cutoff_A: float) -> tuple[str, str]:
    """Return pair style and coefficient of Coulomb terms with the library's erfc, for comparisons.

    Tables and polynomials for erfc are wrong by 1e-7 of a pair, and shells of -8 e on cores of 6 e make that
    1e-6 of a force.
    """
    formula = f'"qi*qj*erfc({alpha_per_A!r}*r)/r"'
    return f"lepton/coul {cutoff_A!r} {kspace}", f"lepton/coul {formula}"


def shell_number_check(field: ForceField, cutoff_A: float) -> list[str]:
    """Return lines that stop where somebody else's data file has too small a cell, or ions not numbered.

    LAMMPS has no command that fails with words of ours: the variable that does not exist is the message.
    """
    if not field.shells:
        return []
    shortest = f"{_ROOM * cutoff_A:g}"
    stop = "then \"print '$({0})'\""
    return [
        *(
            f'if "$({length}) < {shortest}" ' + stop.format(f"v_{length}_must_exceed_the_cutoff_by_a_tenth")
            for length in ("lx", "ly", "lz")
        ),
        "group unnumbered molecule 0",
        "group ion1 molecule 1",
        'if "$(count(unnumbered)) > 0 || $(count(ion1)) > 2" '
        + stop.format("v_every_ion_needs_its_own_molecule_number_shared_by_its_shell"),
        "group unnumbered delete",
        "group ion1 delete",
    ]
