"""How far altered runs lie from free ones in mean potential energy."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from simtools.core.errors import ConfigError
from simtools.core.results import Estimate

__all__ = ["energy_difference"]


def energy_difference(altered: Sequence[tuple], reference: Sequence[tuple], *, n_anions: int) -> Estimate:
    """Return the mean potential energy of altered runs less that of their reference, eV per anion.

    Parameters
    ----------
    altered, reference
        (mean, standard error) of each replica, eV per cell.
    n_anions
        Molecules in a cell.

    Returns
    -------
    Estimate
        A Student interval from the scatter of replicas with Welch's degrees of freedom; where either has one
        replica, a normal interval from the errors within runs.

    Raises
    ------
    ConfigError
        Without replicas or molecules.

    Notes
    -----
    Limit: equal ensembles give 0, for any rotor mass, because classical averages of the potential energy do
    not know masses.
    """
    if not altered or not reference or n_anions < 1:
        raise ConfigError(
            f"expected replicas of both and a molecule, got {len(altered)}, {len(reference)} and {n_anions}"
        )
    a, b = (np.asarray(item, dtype=float).reshape(-1, 2) for item in (altered, reference))
    value = (a[:, 0].mean() - b[:, 0].mean()) / n_anions
    if min(len(a), len(b)) > 1:
        parts = np.array([item[:, 0].var(ddof=1) / len(item) for item in (a, b)])
        spread = np.sum(parts**2 / [len(a) - 1, len(b) - 1])
        reach = stats.t.ppf(0.975, parts.sum() ** 2 / spread) if spread > 0 else 0.0
        method = f"difference of means, scatter of {len(a)} and {len(b)} replicas; Student, Welch"
    else:
        parts = np.array([np.sum(item[:, 1] ** 2) / len(item) ** 2 for item in (a, b)])
        reach = stats.norm.ppf(0.975)
        method = "difference of means, errors within runs, which replicas may exceed"
    stderr = float(np.sqrt(parts.sum())) / n_anions
    return Estimate(
        value=float(value),
        stderr=stderr,
        ci95=(float(value - reach * stderr), float(value + reach * stderr)),
        method=method,
        n_eff=float(min(len(a), len(b))),
    )
