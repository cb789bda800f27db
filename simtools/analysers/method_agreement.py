"""One transport number by several methods side by side, and where they disagree. Numbers: transport.py."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from simtools.analysers.bootstrap import bootstrap_means
from simtools.analysers.diffusion import fit_slopes
from simtools.analysers.displacements import blocked_displacements
from simtools.analysers.replicas import check_replicas
from simtools.analysers.uncertainty import covariance_of_means, log_interval
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity
from simtools.core.units import A2_PER_PS_TO_CM2_PER_S

__all__ = ["MethodComparison", "compare_methods"]

_SIGNIFICANCE = 0.003
_NOTABLE = 0.02
_ERRORS_APART = 2.0
_UNIT = A2_PER_PS_TO_CM2_PER_S / 6
_QUANTITIES = ("tracer_diffusivity_cm2_per_s", "charge_diffusivity_cm2_per_s", "haven_ratio")
_NAMES = {
    _QUANTITIES[0]: "D*",
    _QUANTITIES[1]: "D_sigma",
    _QUANTITIES[2]: "the Haven ratio",
    "ionic_conductivity_S_per_cm": "the conductivity",
}


@dataclass(frozen=True, eq=False, kw_only=True)
class MethodComparison(Result):
    """The same quantities by several methods, from the same trajectories.

    Attributes
    ----------
    quantities, methods : tuple of str
        One of each per row.
    estimates : tuple of Estimate
        What that method gives for that quantity.
    bootstrap_log_covariance
        Of (ln D*, ln D_sigma), resampled together; `TransportResult.log_covariance` is what intervals are
        made of.
    disagreements : tuple of str
        One sentence for each pair of methods that differ by more than chance; empty where all agree.
    """

    species: str
    temperature_K: float = quantity("K")
    n_replicas: int
    quantities: tuple
    methods: tuple
    estimates: tuple
    bootstrap_log_covariance: np.ndarray = quantity("1", shape="(2, 2)")
    disagreements: tuple

    @property
    def agree(self):
        """True where no method contradicts another."""
        return not self.disagreements

    def of(self, quantity_name):
        """Return {method: estimate} of one quantity."""
        return {
            method: estimate
            for name, method, estimate in zip(self.quantities, self.methods, self.estimates, strict=True)
            if name == quantity_name
        }


def compare_methods(trajectories, transport, *, green_kubo=None, n_resamples=1000, seed=0):
    r"""Hold the numbers of `transport` against other methods on the same trajectories.

    Parameters
    ----------
    trajectories
        Those that `transport` was made of.
    transport
        From `simtools.analysers.transport.analyse_transport`. Its numbers stay what they are.
    green_kubo
        From `analyse_green_kubo`, for the conductivity.
    n_resamples, seed
        Of the bootstrap.

    Returns
    -------
    MethodComparison
        Rows, as far as there is something to compare: the result's own; ordinary least squares in the same
        window; the first and the second half of the runs; the scatter of replicas alone (from three on); a
        moving-block bootstrap of D*, D_sigma and their ratio together; errors as if ions moved
        independently; Green-Kubo.

    Raises
    ------
    ConfigError
        If the trajectories are not those of `transport`.

    Notes
    -----
    Values are said to differ where the difference, whose own error is taken from its scatter over time
    blocks, has p < 0.003 and is over 2 %; errors where they are a factor of two apart and the scatter behind
    them does not explain it. Limits: independent walkers of steady rate give no disagreement (up to 5 % false
    alarms); rigid groups of g ions disagree with the error for independent ions by the root of g.
    """
    trajectories = tuple(trajectories)
    arguments = transport.provenance["arguments"]
    check_replicas(trajectories, transport.species)
    n_ions = trajectories[0].n_of(transport.species)
    if len(trajectories) != transport.n_replicas or n_ions != transport.n_ions:
        raise ConfigError(
            f"expected the {transport.n_replicas} trajectories with {transport.n_ions} {transport.species} "
            f"that the result was made of, got {len(trajectories)} with {n_ions}"
        )
    host, hop_length_A = tuple(arguments["host_species"]), arguments["hop_length_A"]
    framed = [item.in_host_frame(host) if host else item for item in trajectories]
    blocks = blocked_displacements(
        [item.positions_of(transport.species) for item in framed],
        frame_interval_ps=trajectories[0].frame_interval_ps,
        hop_length_A=hop_length_A,
    )
    slopes = fit_slopes(blocks, hop_length_A=hop_length_A)
    table = _Table()
    log_covariance = np.full((2, 2), np.nan)
    own = [getattr(transport, name) for name in _QUANTITIES]
    for name, estimate in zip(_QUANTITIES, own, strict=True):
        table.add(name, "result", estimate)
    if not own[0].is_limit:
        influence_rbq = _influence(blocks, slopes, both=not own[1].is_limit)
        correlation = float(slopes.correlation_blocks[: influence_rbq.shape[-1]].max())
        _ordinary(table, blocks, slopes, influence_rbq)
        _halves(table, blocks, influence_rbq, correlation)
        _replicas(table, blocks, influence_rbq, own)
        _independent(table, transport, own[0])
        log_covariance = _bootstrap(table, blocks, influence_rbq, correlation, own, n_resamples, seed)
    if green_kubo is not None:
        _green_kubo(table, transport, green_kubo)
    return MethodComparison(
        species=transport.species,
        temperature_K=transport.temperature_K,
        n_replicas=transport.n_replicas,
        quantities=tuple(row[0] for row in table.rows),
        methods=tuple(row[1] for row in table.rows),
        estimates=tuple(row[2] for row in table.rows),
        bootstrap_log_covariance=log_covariance,
        disagreements=tuple(table.disagreements),
        provenance=collect_provenance(n_resamples=n_resamples, seed=seed, transport=arguments),
    )


class _Table:
    def __init__(self):
        self.rows, self.disagreements = [], []

    def add(self, name, method, estimate):
        self.rows.append((name, method, estimate))

    def differ(self, name, one, other, sentence):
        self.disagreements.append(f"{_NAMES[name]}: {one} and {other} disagree: {sentence}")


def _influence(blocks, slopes, *, both):
    """Return the slopes of D* (and D_sigma) per replica and block, shape (n_replicas, n_blocks, 1 or 2)."""
    parts = [blocks.tracer_rbk @ slopes.weights_qk[0]]
    if both:
        parts.append(blocks.smooth_charge_rbk @ slopes.weights_qk[1])
    return np.stack(parts, axis=-1)


def _mean(influence_rb, weights_r, correlation):
    """Return mean, standard error and degrees of freedom of one slope."""
    measured = covariance_of_means(influence_rb[..., None], weights_r=weights_r, correlation=correlation)
    value = float(weights_r @ influence_rb.mean(axis=1))
    return value, float(np.sqrt(max(measured.covariance[0, 0], 0.0))), measured.dof


def _slope(value, error, dof, method, n_eff):
    low, high = log_interval(value, (error / value) ** 2, dof) if value > 0 else (-np.inf, np.inf)
    return Estimate(
        value=value, stderr=error, ci95=(low, high), method=method, n_eff=float(n_eff)
    ).scaled(_UNIT)  # fmt: skip


def _significant(difference, error, dof):
    return error > 0 and 2 * stats.t.sf(abs(difference) / error, dof) < _SIGNIFICANCE


def _ordinary(table, blocks, slopes, influence_rbq):
    """Compare with an unweighted line through the same lags."""
    times = blocks.lag_times_ps
    used = (times >= slopes.windows_ps[0, 0] * (1 - 1e-9)) & (times <= slopes.windows_ps[0, 1] * (1 + 1e-9))
    weights_k = np.zeros(len(times))
    centred = times[used] - times[used].mean()
    weights_k[used] = centred / (centred @ centred)
    ordinary_rb = blocks.tracer_rbk @ weights_k
    correlation = float(slopes.correlation_blocks[0])
    value, error, dof = _mean(ordinary_rb, blocks.weights_r, correlation)
    name, method = _QUANTITIES[0], "ordinary least squares"
    table.add(name, method, _slope(value, error, dof, "unweighted line in the same window", dof))
    apart, doubt, dof = _mean(ordinary_rb - influence_rbq[..., 0], blocks.weights_r, correlation)
    reference = value - apart
    if abs(apart) > _NOTABLE * abs(reference) and _significant(apart, doubt, dof):
        table.differ(
            name, method, "generalised least squares",
            f"{100 * apart / reference:+.0f} %, the MSD is no straight line in the window; run longer",
        )  # fmt: skip


def _halves(table, blocks, influence_rbq, correlation):
    """Compare the first with the second half of every run: a system that has settled does not change."""
    middle = blocks.n_blocks // 2
    if middle < 2:
        return
    for q, name in enumerate(_QUANTITIES[: influence_rbq.shape[-1]]):
        halves = [
            _mean(part, blocks.weights_r, correlation)
            for part in (influence_rbq[:, :middle, q], influence_rbq[:, -middle:, q])
        ]
        for (value, error, dof), method in zip(halves, ("first half", "second half"), strict=True):
            table.add(name, method, _slope(value, error, dof, f"{method} of every run", dof))
        (one, one_error, one_dof), (two, two_error, two_dof) = halves
        error = np.hypot(one_error, two_error)
        dof = error**4 / max(one_error**4 / one_dof + two_error**4 / two_dof, 1e-300)
        if abs(two - one) > _NOTABLE * abs(one + two) / 2 and _significant(two - one, error, dof):
            table.differ(
                name, "the first half", "the second half",
                f"{one * _UNIT:.3g} and {two * _UNIT:.3g} cm2/s, the system changes; skip more of the start",
            )  # fmt: skip


def _replicas(table, blocks, influence_rbq, own):
    """Compare errors with those of the replicas' own scatter."""
    n = blocks.n_replicas
    if n < 3:
        return
    per_replica_rq, method = influence_rbq.mean(axis=1), "scatter of replicas"
    means = blocks.weights_r @ per_replica_rq
    shares = blocks.weights_r[:, None] * (per_replica_rq - means)
    covariance = shares.T @ shares * n / (n - 1)
    for q, name in enumerate(_QUANTITIES[: len(means)]):
        error = float(np.sqrt(covariance[q, q]))
        table.add(name, method, _slope(float(means[q]), error, n - 1, f"{n} replicas", n))
        _errors(table, name, method, error * _UNIT, own[q], n - 1)
    if len(means) == 2 and (means > 0).all() and not own[2].is_limit:
        relative = covariance / np.outer(means, means)
        variance = relative[0, 0] + relative[1, 1] - 2 * relative[0, 1]
        value = float(means[0] / means[1])
        error = float(value * np.sqrt(variance))
        low, high = log_interval(value, variance, n - 1)
        table.add(
            _QUANTITIES[2], method,
            Estimate(value=value, stderr=error, ci95=(low, high), method=f"{n} replicas", n_eff=float(n)),
        )  # fmt: skip
        _errors(table, _QUANTITIES[2], method, error, own[2], n - 1)


def _errors(table, name, method, error, own, dof):
    """Say when a standard error is far from that of the result, beyond its own scatter."""
    ratio = error / own.stderr
    chance = 2 * min(stats.chi2.sf(dof * ratio**2, dof), stats.chi2.cdf(dof * ratio**2, dof))
    if not 1 / _ERRORS_APART < ratio < _ERRORS_APART and chance < _SIGNIFICANCE:
        table.differ(
            name, f"the error from the {method}", "that of the result", f"it is {ratio:.2g} times as large"
        )


def _independent(table, transport, own):
    """Compare with the error that ions which do not know of each other would have."""
    if not transport.effective_ions > 0:
        return
    name, method = _QUANTITIES[0], "independent ions"
    ratio = float(np.sqrt(transport.effective_ions / transport.n_ions))
    error = own.stderr * ratio
    dof = float(transport.log_dof[0])
    low, high = log_interval(own.value, (error / own.value) ** 2, 1e6)
    table.add(
        name, method,
        Estimate(value=own.value, stderr=error, ci95=(low, high),
                 method="closed-form generalised least squares, ions taken to be independent",
                 n_eff=float(transport.n_ions)),
    )  # fmt: skip
    if ratio < 1 / _ERRORS_APART and stats.chi2.sf(dof / ratio**2, dof) < _SIGNIFICANCE:
        table.differ(
            name, f"the error for {method}", "that of the result",
            f"it is {ratio:.2g} times as large, the ions move together (as {transport.effective_ions:.3g} "
            f"of {transport.n_ions})",
        )  # fmt: skip


def _bootstrap(table, blocks, influence_rbq, correlation, own, n_resamples, seed):
    """Resample D*, D_sigma and their ratio together; return the covariance of the logarithms."""
    log_covariance = np.full((2, 2), np.nan)
    if blocks.n_replicas * blocks.n_blocks < 2:
        return log_covariance
    means = bootstrap_means(
        influence_rbq,
        weights_r=blocks.weights_r,
        correlation=correlation,
        n_resamples=n_resamples,
        seed=seed,
    )
    values = blocks.weights_r @ influence_rbq.mean(axis=1)
    draws = [means[:, q] * _UNIT for q in range(len(values))]
    centres = [float(value * _UNIT) for value in values]
    positive = (means > 0).all(axis=1)
    n = len(values)
    if positive.mean() > 0.9:
        log_covariance[:n, :n] = np.atleast_2d(np.cov(np.log(means[positive]).T))
        if n == 2 and (values > 0).all():
            draws.append(means[positive, 0] / means[positive, 1])
            centres.append(float(values[0] / values[1]))
    pieces = blocks.n_replicas * blocks.n_blocks / max(1.0, 2 * correlation)
    for name, centre, draw, estimate in zip(_QUANTITIES, centres, draws, own, strict=False):
        low, high = np.percentile(draw, [2.5, 97.5])
        table.add(
            name, "block bootstrap",
            Estimate(value=centre, stderr=float(draw.std(ddof=1)), ci95=(float(low), float(high)),
                     method=f"moving-block bootstrap, {n_resamples} draws, percentiles", n_eff=float(pieces)),
        )  # fmt: skip
        if not estimate.is_limit:
            _errors(table, name, "block bootstrap", float(draw.std(ddof=1)), estimate, max(1.0, pieces - 1))
    return log_covariance


def _green_kubo(table, transport, green_kubo):
    name = "ionic_conductivity_S_per_cm"
    helfand, current = transport.ionic_conductivity_S_per_cm, green_kubo.ionic_conductivity_S_per_cm
    table.add(name, "Einstein-Helfand", helfand)
    table.add(name, "Green-Kubo", current)
    if current.is_limit:
        return
    if helfand.is_limit:
        if current.ci95[0] > helfand.upper_limit:
            table.differ(
                name, "Green-Kubo", "the limit from displacements",
                f"{current.value:.3g} and below {helfand.upper_limit:.3g} S/cm",
            )  # fmt: skip
        return
    error = max(current.stderr / current.value, helfand.stderr / helfand.value)
    if abs(np.log(current.value / helfand.value)) > stats.norm.isf(0.025) * error:
        table.differ(
            name, "Green-Kubo", "Einstein-Helfand",
            f"{current.value:.3g} and {helfand.value:.3g} S/cm; one of the windows is not diffusive, or "
            "the run is too short",
        )  # fmt: skip
