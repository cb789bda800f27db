"""Concerted jumps: strings of ions that follow each other, held against ions that hop independently."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from simtools.analysers.jumps import Jumps
from simtools.analysers.kernels import strings as kernels
from simtools.analysers.lattice_gas import TooFewJumpsError, independent_vacancies, site_network
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Result, quantity

__all__ = ["ConcertedJumps", "concerted_jumps"]

_FEWEST_JUMPS = 20
_NULLS = ("lattice gas", "shifted")


@dataclass(frozen=True, eq=False, kw_only=True)
class ConcertedJumps(Result):
    """Strings of jumps, with what independent jumps give.

    Attributes
    ----------
    window_ps
        Two jumps are linked when one ion enters the site that another left, at most this far apart in time.
    null : str
        Where the comparison comes from: vacancies that hop independently, or jumps of each ion shifted in
        time.
    lengths, counts
        Number of jumps in a string (1: alone) and how many strings of that length there were, all runs.
    null_counts, null_low, null_high
        Mean of the same over repeats of the null, and the range of 95 % of them.
    concerted_fraction, null_fraction, null_fraction_range
        Share of jumps in strings of two or more, here, on average in the null, and 95 % of the null.
    p_value
        Share of repeats of the null (and of this one) that are at least as concerted as the run.
    delays_ps, delay_counts, null_delay_counts
        When the site was filled after it was left, in bins: positive where the leaver went first and the
        other followed into the gap (vacancy), negative where the newcomer came first (interstitialcy).
    push_fraction
        Share of linked pairs in which the newcomer entered before the other had gone; None without pairs.
    """

    species: str
    n_jumps: int
    n_repeats: int
    null: str
    window_ps: float = quantity("ps")
    lengths: np.ndarray = quantity("1", shape="(n_lengths,)")
    counts: np.ndarray = quantity("1", shape="(n_lengths,)")
    null_counts: np.ndarray = quantity("1", shape="(n_lengths,)")
    null_low: np.ndarray = quantity("1", shape="(n_lengths,)")
    null_high: np.ndarray = quantity("1", shape="(n_lengths,)")
    concerted_fraction: float = quantity("1")
    null_fraction: float = quantity("1")
    null_fraction_range: np.ndarray = quantity("1", shape="(2,)")
    p_value: float = quantity("1")
    delays_ps: np.ndarray = quantity("ps", shape="(n_bins,)")
    delay_counts: np.ndarray = quantity("1", shape="(n_bins,)")
    null_delay_counts: np.ndarray = quantity("1", shape="(n_bins,)")
    push_fraction: float | None = quantity("1")


def concerted_jumps(
    jumps: Jumps | Sequence[Jumps],
    *,
    window_ps: float = 0.5,
    n_repeats: int = 200,
    seed: int = 0,
    null: str | None = None,
) -> ConcertedJumps:
    """Return strings of jumps in which ions replace each other, and whether they exceed chance.

    Parameters
    ----------
    jumps
        From `find_jumps`: one run, or replicas.
    window_ps
        Longest time between two jumps of a string, ps: about the time of one jump.
    n_repeats
        Repeats of the null; the smallest p that can be found is 1/(n_repeats + 1).
    seed
        Seed of the null.
    null
        "lattice gas": independent vacancies on the same sites, as many, at the measured rate, seen with the
        same time resolution (default where there are vacancies). "shifted": the jumps of each ion, all
        shifted by one random time around the run (default otherwise); it keeps no site exclusion, and a
        vacancy's successive jumps are chains in the run but not in it.

    Returns
    -------
    ConcertedJumps

    Raises
    ------
    TooFewJumpsError
        With fewer than 20 jumps.
    ConfigError
        If the null does not fit, or replicas are of different species.

    Notes
    -----
    Limit: a lattice gas held against itself gives p-values evenly spread over (0, 1); pairs that always hop
    as one have a concerted fraction of 1. Strings by replacement: C. Donati, J. F. Douglas, W. Kob, S. J.
    Plimpton, P. H. Poole and S. C. Glotzer, Phys. Rev. Lett. 80, 2338 (1998).
    Hops of the lattice gas take no time, while ions in transit block each other for one or two tenths of a
    ps: short windows find fewer strings than the null where nothing is concerted. Vacancies that are trapped
    and released jump in bursts (`JumpRates.dispersion` above 1) and exceed the null without moving together:
    ions that do so have delays within the time of one jump.
    """
    parts = (jumps,) if isinstance(jumps, Jumps) else tuple(jumps)
    species = {part.species for part in parts}
    if len(species) != 1:
        raise ConfigError(f"expected jumps of one species, got {', '.join(sorted(species)) or 'none'}")
    n_jumps = sum(part.n_jumps for part in parts)
    if n_jumps < _FEWEST_JUMPS:
        raise TooFewJumpsError("strings of jumps", n_jumps, _FEWEST_JUMPS)
    if not window_ps > 0:
        raise ConfigError(f"window_ps must be positive, got {window_ps!r}")
    if null is None:
        null = _NULLS[0] if all(part.n_vacancies for part in parts) else _NULLS[1]
    if null not in _NULLS:
        raise ConfigError(f"null must be one of {', '.join(_NULLS)}; got {null!r}")
    if null == _NULLS[0] and not all(part.n_vacancies for part in parts):
        raise ConfigError('a lattice gas needs vacancies and there are none: use null="shifted"')
    edges_ps = _delay_edges_ps(window_ps, max(part.frame_interval_ps for part in parts))
    seen = _strings(parts, window_ps, edges_ps)
    rng = np.random.default_rng(seed)
    draw = _gas_like if null == _NULLS[0] else _shifted
    networks = [site_network(part.sites_A, part.cell_A) if null == _NULLS[0] else None for part in parts]
    pairs = list(zip(parts, networks, strict=True))
    repeats = [
        _strings([draw(part, network, rng) for part, network in pairs], window_ps, edges_ps)
        for _ in range(n_repeats)
    ]
    longest = max(len(item.counts) for item in (seen, *repeats))
    null_counts = np.array([np.pad(item.counts, (0, longest - len(item.counts))) for item in repeats])
    low, high = np.percentile(null_counts, [2.5, 97.5], axis=0)
    fractions = np.array([item.fraction for item in repeats])
    return ConcertedJumps(
        species=species.pop(),
        n_jumps=n_jumps,
        n_repeats=n_repeats,
        null=null,
        window_ps=float(window_ps),
        lengths=np.arange(1, longest + 1),
        counts=np.pad(seen.counts, (0, longest - len(seen.counts))),
        null_counts=null_counts.mean(axis=0),
        null_low=low,
        null_high=high,
        concerted_fraction=seen.fraction,
        null_fraction=float(fractions.mean()),
        null_fraction_range=np.percentile(fractions, [2.5, 97.5]),
        p_value=float((1 + (fractions >= seen.fraction).sum()) / (n_repeats + 1)),
        delays_ps=0.5 * (edges_ps[1:] + edges_ps[:-1]),
        delay_counts=seen.delay_counts,
        null_delay_counts=np.mean([item.delay_counts for item in repeats], axis=0),
        push_fraction=seen.push_fraction,
        provenance=collect_provenance(window_ps=window_ps, n_repeats=n_repeats, seed=seed, null=null),
    )


@dataclass(frozen=True, eq=False)
class _Strings:
    counts: np.ndarray
    fraction: float
    delay_counts: np.ndarray
    push_fraction: float | None


def _strings(parts, window_ps, edges_ps):
    sizes, delays = [], []
    for part in parts:
        pairs = kernels.replacements(
            part.times_ps,
            np.asarray(part.ions),
            np.asarray(part.initial_sites),
            np.asarray(part.final_sites),
            window_ps * (1 + 1e-9),
        )
        shape = (part.n_jumps, part.n_jumps)
        links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=shape)
        _, label = connected_components(links, directed=False)
        sizes.append(np.bincount(label) if part.n_jumps else np.zeros(0, dtype=np.int64))
        delays.append(part.times_ps[pairs[:, 1]] - part.times_ps[pairs[:, 0]])
    sizes, delays = np.concatenate(sizes), np.concatenate(delays)
    return _Strings(
        counts=np.bincount(sizes)[1:],
        fraction=float(sizes[sizes > 1].sum() / max(1, sizes.sum())),
        delay_counts=np.histogram(delays, edges_ps)[0],
        push_fraction=float((delays < 0).mean()) if len(delays) else None,
    )


def _delay_edges_ps(window_ps, interval_ps):
    """Return bins of delays, symmetric about one that is centred on zero.

    Delays are multiples of half a frame; bins an odd number of these wide have none on their edges.
    """
    width = window_ps / 10
    if interval_ps > 0:
        width = 0.5 * interval_ps * (2 * int(width / interval_ps) + 1)
    half = np.ceil(window_ps / width - 0.5 - 1e-9) + 0.5
    return width * np.arange(-half, half + 1)


def _gas_like(part, network, rng):
    gas = independent_vacancies(part, seed=int(rng.integers(2**63)), network=network)
    if part.frame_interval_ps == 0:
        return gas
    # the run's times are middles of frames where jumps take less than one, else of frames or on them alike
    step_ps = part.frame_interval_ps
    middles = (np.rint(2 * part.times_ps / step_ps) % 2 == 1).mean()
    on_middle = rng.random(gas.n_jumps) < middles
    times_ps = np.where(on_middle, np.floor(gas.times_ps / step_ps) + 0.5, np.rint(gas.times_ps / step_ps))
    times_ps *= step_ps
    order = np.argsort(times_ps, kind="stable")
    columns = ("ions", "initial_sites", "final_sites", "vectors_A")
    moved = {name: getattr(gas, name)[order] for name in columns}
    return replace(gas, last_ps=times_ps[order], first_ps=times_ps[order], **moved)


def _shifted(part, _, rng):
    atoms, ions = np.unique(part.ions, return_inverse=True)
    start = part.observed_ps[0]
    shift = rng.uniform(0, part.duration_ps, size=len(atoms))
    if part.frame_interval_ps > 0:
        shift = np.round(shift / part.frame_interval_ps) * part.frame_interval_ps
    moved = start + (part.times_ps - start + shift[ions]) % part.duration_ps
    order = np.argsort(moved, kind="stable")
    return replace(
        part,
        ions=part.ions[order],
        initial_sites=part.initial_sites[order],
        final_sites=part.final_sites[order],
        vectors_A=part.vectors_A[order],
        last_ps=moved[order],
        first_ps=moved[order],
    )
