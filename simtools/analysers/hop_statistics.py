"""The jumps of one species in numbers: rates, residence, correlation factor beside the lattice gas."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simtools.analysers.jump_rates import jump_rates
from simtools.analysers.jumps import Jumps
from simtools.analysers.lattice_gas import (
    TooFewJumpsError,
    independent_vacancies,
    site_network,
    tracer_correlation_factor,
)
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity
from simtools.core.units import A2_PER_PS_TO_CM2_PER_S

__all__ = ["HopStatistics", "hop_statistics"]

_NULL_JUMPS = 200_000
_FEWEST_GASES, _MOST_GASES = 20, 100
_LAG_JUMPS = 2.0
_NORMAL_95 = 1.96
_UNLIKELY = 0.05


@dataclass(frozen=True, eq=False, kw_only=True)
class HopStatistics(Result):
    """What the jumps of one species at one temperature say.

    Attributes
    ----------
    n_vacancies : int
        Sites less ions on the sublattice, per replica.
    hop_diffusivity_cm2_per_s
        From sites instead of positions: correlation factor times summed squared jump lengths over 6 N t. None
        where there is no factor.
    correlation_factor, lattice_gas_factor
        Tracer correlation factor of the run, and the mean of lattice gases as long as the run: vacancies that
        hop on the same sites at the same rate and know of each other by site exclusion only, at the same lag
        `lag_ps`. None where `note` says why.
    lattice_gas_range, p_value
        Where 95 % of those lattice gases lie, and the share of them (and of the run) that are at least as far
        from their mean as the run is.
    """

    species: str
    temperature_K: float | None = quantity("K")
    n_replicas: int
    n_ions: int
    n_vacancies: int
    n_jumps: int
    n_recrossings: int
    observed_ps: float = quantity("ps")
    dispersion: float = quantity("1")
    rate_per_ion: Estimate = quantity("1/ps")
    rate_per_vacancy: Estimate | None = quantity("1/ps")
    mean_residence: Estimate | None = quantity("ps")
    hop_diffusivity_cm2_per_s: Estimate | None = quantity("cm^2/s")
    correlation_factor: Estimate | None = quantity("1")
    lattice_gas_factor: Estimate | None = quantity("1")
    lattice_gas_range: np.ndarray | None = quantity("1", shape="(2,)")
    p_value: float | None = quantity("1")
    lag_ps: float = quantity("ps")
    note: str = ""

    @property
    def differs(self):
        """Whether the run differs from the lattice gas (p < 0.05); None where there is nothing to compare."""
        return None if self.p_value is None else self.p_value < _UNLIKELY

    def to_summary(self):
        """Return the entry of this temperature and species in ``summary.json``."""
        names = (
            "temperature_K",
            "species",
            "n_replicas",
            "n_jumps",
            "n_vacancies",
            "rate_per_ion",
            "rate_per_vacancy",
            "mean_residence",
            "hop_diffusivity_cm2_per_s",
            "correlation_factor",
            "lattice_gas_factor",
            "p_value",
        )
        units = {"rate_per_ion": "_per_ps", "rate_per_vacancy": "_per_ps", "mean_residence": "_ps"}
        found = {name + units.get(name, ""): getattr(self, name) for name in names}
        return {
            name: value.to_dict() if isinstance(value, Estimate) else value
            for name, value in found.items()
            if value is not None
        }


def hop_statistics(
    jumps: Jumps | Sequence[Jumps], *, temperature_K: float | None = None, seed: int = 0
) -> HopStatistics:
    """Return rates and correlation of the jumps of one run or of replicas.

    Parameters
    ----------
    jumps
        From `find_jumps`.
    temperature_K
        For the record, K.
    seed
        Seed of the lattice gas.

    Returns
    -------
    HopStatistics
        With fewer than 50 jumps, or without vacancies, there is no correlation factor, or none to compare
        with, and `note` says so.

    Raises
    ------
    ConfigError
        As `jump_rates`.

    Notes
    -----
    The correlation factor is read at the lag in which an ion makes two jumps, at most half of the observed
    time. Its standard error is that of a jackknife over ions or, where that is larger, the scatter of lattice
    gases of the same length: few vacancies move many ions, and the jackknife does not know.
    Limit: a lattice gas in place of the run differs from others with the probability that p says.
    """
    parts = (jumps,) if isinstance(jumps, Jumps) else tuple(jumps)
    rates = jump_rates(parts)
    factor = gas_factor = gas_range = p_value = diffusivity = None
    lag_ps, note = float("nan"), ""
    try:
        lag_ps = _lag_ps(parts, rates.n_jumps)
        factor = tracer_correlation_factor(parts, lag_ps=lag_ps)
    except TooFewJumpsError as error:
        note = str(error)
    if factor is not None:
        gases = np.empty(0)
        if any(part.n_vacancies == 0 for part in parts):
            note = "no vacancies on balance, so no lattice gas to compare with"
        elif any(part.n_jumps == 0 for part in parts):
            note = "a replica without jumps has no lattice gas to compare with"
        else:
            gases = _gases(parts, lag_ps, seed)
            if len(gases) < _FEWEST_GASES:
                note = f"{rates.n_jumps} jumps are too few for lattice gases of the same length"
        if not note:
            gas_factor, gas_range = _mean(gases), np.percentile(gases, [2.5, 97.5])
            further = np.abs(gases - gases.mean()) >= abs(factor.value - gases.mean())
            p_value = float((1 + further.sum()) / (1 + len(gases)))
            factor = _no_surer_than(factor, float(gases.std(ddof=1)))
        exposure_ps = sum(part.n_ions * part.duration_ps for part in parts)
        squares = sum(float(np.square(part.lengths_A).sum()) for part in parts)
        diffusivity = factor.scaled(squares / (6 * exposure_ps) * A2_PER_PS_TO_CM2_PER_S)
    return HopStatistics(
        species=rates.species,
        temperature_K=temperature_K,
        n_replicas=len(parts),
        n_ions=parts[0].n_ions,
        n_vacancies=parts[0].n_vacancies,
        n_jumps=rates.n_jumps,
        n_recrossings=rates.n_recrossings,
        observed_ps=float(sum(part.duration_ps for part in parts)),
        dispersion=rates.dispersion,
        rate_per_ion=rates.rate_per_ion,
        rate_per_vacancy=rates.rate_per_vacancy,
        mean_residence=rates.mean_residence,
        hop_diffusivity_cm2_per_s=diffusivity,
        correlation_factor=factor,
        lattice_gas_factor=gas_factor,
        lattice_gas_range=gas_range,
        p_value=p_value,
        lag_ps=lag_ps,
        note=note,
        provenance=collect_provenance(temperature_K=temperature_K, seed=seed),
    )


def _lag_ps(parts, n_jumps):
    if n_jumps == 0:
        raise TooFewJumpsError("a tracer correlation factor", 0, 50)
    exposure_ps = sum(part.n_ions * part.duration_ps for part in parts)
    return min(_LAG_JUMPS * exposure_ps / n_jumps, 0.5 * min(part.duration_ps for part in parts))


def _gases(parts, lag_ps, seed):
    """Return the correlation factors of lattice gases like the run, shape (n_gases,)."""
    n_jumps = sum(part.n_jumps for part in parts)
    repeats = int(np.clip(_NULL_JUMPS / n_jumps, _FEWEST_GASES, _MOST_GASES))
    seeds = iter(np.random.SeedSequence(seed).generate_state(repeats * len(parts)).tolist())
    networks = [site_network(part.sites_A, part.cell_A) for part in parts]
    found = []
    for _ in range(repeats):
        gas = [
            independent_vacancies(part, seed=next(seeds), network=network)
            for part, network in zip(parts, networks, strict=True)
        ]
        try:
            found.append(tracer_correlation_factor(gas, lag_ps=lag_ps).value)
        except TooFewJumpsError:
            continue  # a gas at the run's rate may have a few jumps less than the run
    return np.array(found)


def _mean(values):
    mean, stderr = float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
    return Estimate(
        value=mean,
        stderr=stderr,
        ci95=(mean - _NORMAL_95 * stderr, mean + _NORMAL_95 * stderr),
        method=f"mean of {len(values)} lattice gases as long as the run",
        n_eff=float(len(values)),
    )


def _no_surer_than(factor, scatter):
    """Return the factor with the scatter of lattice gases for its error where that is larger."""
    if factor.stderr >= scatter:
        return factor
    return Estimate(
        value=factor.value,
        stderr=scatter,
        ci95=(factor.value - _NORMAL_95 * scatter, factor.value + _NORMAL_95 * scatter),
        method=f"{factor.method.split(';')[0]}; scatter of lattice gases of the same length",
        n_eff=factor.n_eff,
    )
