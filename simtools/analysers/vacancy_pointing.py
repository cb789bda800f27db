"""Whether linear rotors point to the vacancies beside them, against random orientation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from simtools.analysers.orientations import Orientations
from simtools.analysers.replica_scatter import with_replica_scatter
from simtools.analysers.rotor_surroundings import directions_to_vacancies
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity

__all__ = ["VacancyPointing", "vacancy_pointing"]

_NEAR_DEG = 45.0
_N_COSINES = 20
_N_RANDOM = 16


@dataclass(frozen=True, eq=False, kw_only=True)
class VacancyPointing(Result):
    """Angle between the bond of linear rotors and the direction from their centre to a near vacancy.

    Attributes
    ----------
    covered : float
        Share of the rotors' time with a vacancy within `radius_A`; all else is about that time.
    angle_deg : Estimate
        Mean angle to the nearest vacancy; 90 for random orientation.
    cosine : Estimate
        Mean cosine of that angle; 0 for random orientation.
    p_value
        Two-sided, of the mean cosine against 0.
    pointing : Estimate
        Share of the time in which the bond is within 45 degrees of the direction to any near vacancy.
    random_pointing : float
        The same share for random orientation beside the same vacancies.
    cosine_edges, density, density_stderr
        Density of the cosine to the nearest vacancy; 0.5 everywhere for random orientation.
    """

    name: str
    n_rotors: int
    n_replicas: int
    radius_A: float = quantity("angstrom")
    covered: float = quantity("1")
    angle_deg: Estimate = quantity("degree")
    cosine: Estimate = quantity("1")
    p_value: float = quantity("1")
    pointing: Estimate = quantity("1")
    random_pointing: float = quantity("1")
    cosine_edges: np.ndarray = quantity("1", shape="(n_bins + 1,)")
    density: np.ndarray = quantity("1", shape="(n_bins,)")
    density_stderr: np.ndarray = quantity("1", shape="(n_bins,)")


def vacancy_pointing(
    orientations: Orientations | Sequence[Orientations],
    vacancies_A: np.ndarray | Sequence[np.ndarray],
    *,
    radius_A: float,
    seed: int = 0,
) -> VacancyPointing:
    """Return how often linear rotors point to a vacancy beside them, against random orientation.

    Unlike `dipole_to_vacancies`, whose null keeps which directions a rotor prefers, this asks where bonds
    are, not whether they know of the vacancy from moment to moment.

    Parameters
    ----------
    orientations
        Linear rotors, of one run or of each replica.
    vacancies_A
        From `simtools.analysers.rotor_surroundings.vacancy_positions`, of the same.
    radius_A
        Vacancies within this of a rotor's centre count, Å.
    seed
        Of the random orientations.

    Returns
    -------
    VacancyPointing
        Errors are the scatter between rotors, a jackknife over replicas where these differ by more than that
        explains. Rotors that turn in concert are not independent, so use replicas.

    Raises
    ------
    ConfigError
        For rotors that are not linear, or fewer than two rotors with a vacancy near.

    Notes
    -----
    Limits: bonds that always point to their only vacancy have a cosine of 1; random ones a mean cosine of 0
    and, with one vacancy near, are within 45 degrees of it in (1 - cos 45)/2 = 14.6 % of the time.
    """
    parts = (orientations,) if isinstance(orientations, Orientations) else tuple(orientations)
    places = (vacancies_A,) if isinstance(vacancies_A, np.ndarray) else tuple(vacancies_A)
    edges = np.linspace(-1, 1, _N_COSINES + 1)
    rng = np.random.default_rng(seed)
    sums, replica, kept = [], [], 0
    for number, (part, vacancies) in enumerate(zip(parts, places, strict=True)):
        found = _sums_by_rotor(part, vacancies, radius_A, edges, rng)
        kept += found.pop("n_frames") * part.n_rotors
        sums.append(found["sums"])
        replica += [number] * len(found["sums"])
    sums, replica = np.concatenate(sums), np.array(replica)
    used = sums[:, 0] > 0
    if used.sum() < 2:
        raise ConfigError(
            f"{used.sum()} rotors have a vacancy within {radius_A:g} Å: expected at least 2, so a larger "
            "radius_A or more vacancies"
        )
    sums, replica = sums[used], replica[used]
    cosine, angle, pointing = (_share(sums, column, replica) for column in (1, 2, 3))
    counts = sums[:, 5:]
    width = edges[1] - edges[0]
    density = counts.sum(axis=0) / (sums[:, 0].sum() * width)
    residual = counts / width - density * sums[:, :1]
    n = len(sums)
    error = np.sqrt(n / (n - 1) * np.square(residual).sum(axis=0)) / sums[:, 0].sum()
    pull = cosine[0].value / cosine[0].stderr if cosine[0].stderr > 0 else np.inf
    return VacancyPointing(
        name=parts[0].name,
        n_rotors=sum(part.n_rotors for part in parts),
        n_replicas=len(parts),
        radius_A=float(radius_A),
        covered=float(sums[:, 0].sum() / kept),
        angle_deg=angle[0],
        cosine=cosine[0],
        p_value=float(2 * stats.t.sf(abs(pull), cosine[1])),
        pointing=pointing[0],
        random_pointing=float(sums[:, 4].sum() / sums[:, 0].sum()),
        cosine_edges=edges,
        density=density,
        density_stderr=error,
        provenance=collect_provenance(radius_A=radius_A, seed=seed),
    )


def _sums_by_rotor(orientations, vacancies_A, radius_A, edges, rng):
    """Return sums of each rotor: moments with a vacancy, cosine, angle, pointing, by chance, histogram."""
    u, frames, rotors, directions, lengths = directions_to_vacancies(
        orientations, vacancies_A, radius_A=radius_A
    )
    n_rotors = orientations.n_rotors
    sums = np.zeros((n_rotors, 5 + len(edges) - 1))
    if len(frames) == 0:
        return {"sums": sums, "n_frames": len(u)}
    key = rotors * len(u) + frames
    moments, first = np.unique(key, return_index=True)
    group = np.searchsorted(moments, key)
    nearest = np.lexsort((lengths, group))
    nearest = nearest[np.unique(group[nearest], return_index=True)[1]]
    owner = rotors[first]
    cosine = np.einsum("pc,pc->p", u[frames, rotors], directions)
    limit = np.cos(np.radians(_NEAR_DEG))
    to_nearest = np.clip(cosine[nearest], -1, 1)
    rows = [
        np.ones(len(moments)),
        to_nearest,
        np.degrees(np.arccos(to_nearest)),
        np.maximum.reduceat(cosine, first) >= limit,
    ]
    chance = np.zeros(len(moments))
    for _ in range(_N_RANDOM):
        aim = rng.normal(size=(len(moments), 3))
        aim /= np.linalg.norm(aim, axis=1, keepdims=True)
        chance += np.maximum.reduceat(np.einsum("pc,pc->p", aim[group], directions), first) >= limit
    rows.append(chance / _N_RANDOM)
    for column, row in enumerate(rows):
        sums[:, column] = np.bincount(owner, weights=row, minlength=n_rotors)
    bins = np.clip(np.digitize(to_nearest, edges) - 1, 0, len(edges) - 2)
    np.add.at(sums, (owner, 5 + bins), 1.0)
    return {"sums": sums, "n_frames": len(u)}


def _share(sums, column, replica):
    """Return the mean over all moments with its interval from rotors or replicas, and degrees of freedom."""
    weight, total = sums[:, 0], sums[:, column]
    value = total.sum() / weight.sum()
    n = len(sums)
    error = float(np.sqrt(n / (n - 1) * np.square(total - value * weight).sum()) / weight.sum())
    runs = [replica != one for one in np.unique(replica)]
    left_out = [total[rest].sum() / weight[rest].sum() for rest in runs if rest.any()]
    error, dof, widened = with_replica_scatter(left_out, error, n - 1.0)
    half = stats.t.ppf(0.975, dof) * error
    estimate = Estimate(
        value=float(value),
        stderr=error,
        ci95=(float(value - half), float(value + half)),
        method="scatter between replicas, Student" if widened else "scatter between rotors, Student",
        n_eff=float(dof + 1),
    )
    return estimate, dof
