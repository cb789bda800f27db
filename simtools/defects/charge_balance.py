"""Does the charge close? If not: which defect carries what, and what would close it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from simtools.core.errors import ConfigError
from simtools.defects.kroger_vink import KrogerVink


class ChargeBalanceError(ConfigError):
    """The cell would carry a net charge that nobody declared.

    Attributes
    ----------
    balance
        Tuple of (label, how many, effective charge of one in e).
    total_e
        Net charge of the cell, e.
    remedies
        Texts, each a change that would close the balance.
    requests
        Texts: what was asked for, where it is known.
    """

    def __init__(self, balance, total_e, remedies, requests=()):
        super().__init__(tuple(balance), total_e, tuple(remedies), tuple(requests))
        self.balance, self.total_e, self.remedies = tuple(balance), total_e, tuple(remedies)
        self.requests = tuple(requests)

    def __str__(self):
        terms = ", ".join(f"{n} x {label} = {n * charge:+d}" for label, n, charge in self.balance)
        asked = f" of {'; '.join(self.requests)}" if self.requests else ""
        return (
            f"the defects{asked} leave a net charge of {self.total_e:+d} e ({terms}); to close it "
            + ", or ".join(self.remedies)
        )


def net_charge_e(defects: Iterable[KrogerVink]) -> int:
    """Return the sum of the effective charges, e."""
    return sum(defect.charge for defect in defects)


def check_balance(
    defects: Sequence[KrogerVink],
    *,
    host_counts: Mapping[str, int],
    formal_charges_e: Mapping[str, int],
    net_charge: str | None,
    requests: Sequence[str] = (),
) -> int:
    """Return the net charge of the defective cell, e, or refuse it.

    Parameters
    ----------
    defects
        Every defect in the cell.
    host_counts
        Ions of each species in the perfect crystal, which must be neutral itself.
    formal_charges_e
        Integer formal charge of each species, e.
    net_charge
        ``"background"`` allows a net charge (a uniform background compensates it); None does not.
    requests
        What was asked for, in words, for the message.

    Raises
    ------
    ChargeBalanceError
        If the defects do not compensate each other and no background is declared.
    ConfigError
        If the perfect crystal is not neutral, or `net_charge` is something else.
    """
    if net_charge not in (None, "background"):
        raise ConfigError(f'net_charge must be "background" or absent, got {net_charge!r}')
    host = sum(formal_charges_e[species] * n for species, n in host_counts.items())
    if host:
        terms = ", ".join(f"{n} {name} at {formal_charges_e[name]:+d}" for name, n in host_counts.items())
        raise ConfigError(f"the perfect crystal carries {host:+d} e ({terms}); check its formal charges")
    total = net_charge_e(defects)
    if total and net_charge is None:
        counts = Counter(defects)
        balance = [(str(defect), n, defect.charge) for defect, n in counts.items()]
        raise ChargeBalanceError(balance, total, _remedies(total, host_counts, formal_charges_e), requests)
    return total


def _remedies(total, host_counts, formal_charges_e):
    remedies = []
    for species in host_counts:
        vacancy = KrogerVink.from_charges("V", species, formal_charges_e)
        if vacancy.charge * total < 0 and total % vacancy.charge == 0:
            n = abs(total // vacancy.charge)
            remedies.append(f'add {n} {vacancy} (kind = "vacancy", species = ["{species}"], count = {n})')
    for species in host_counts:
        charge = formal_charges_e[species]
        if charge > 0 and total < 0 and total % charge == 0:
            n = -total // charge
            dumbbell = KrogerVink(f"{species}2", species, charge)
            remedies.append(f'add {n} {dumbbell} (kind = "dumbbell", species = ["{species}"], count = {n})')
    remedies.append('declare net_charge = "background"')
    return remedies
