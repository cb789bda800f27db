"""A force field's pair energies as the engine reads them: turning points, and cubic tables in r².

The terms themselves are in forms.py; the loops over atoms in kernels/pair.py.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import erfc

from potentials.forms import Tabulated
from simtools.core.errors import ConfigError
from simtools.core.units import COULOMB_EV_A

OCTAVES = 13
"""The tables reach from the inner cutoff down to 2^(-OCTAVES / 2) of it; shorter distances are refused."""


def pair_charge_product(field, a, b):
    """Return k_e q_a q_b, eV Å."""
    return COULOMB_EV_A * field.charges_e[a] * field.charges_e[b]


def tabulated_range_A(field, a, b):
    """Return first and last distance that the tabulated terms of a pair know, Å; 0 and infinity if none."""
    tables = [term.form.r for term in field.terms(a, b) if isinstance(term.form, Tabulated)]
    return max((r[0] for r in tables), default=0.0), min((r[-1] for r in tables), default=np.inf)


def turning_point_A(field, a, b):
    """Return the distance below which two ions attract each other down to zero distance, Å; 0 if they do not.

    It is the first zero, from short distances outwards, of the slope of the full pair energy (pair terms plus
    bare Coulomb) where that slope starts positive: the maximum that stands before the Buckingham catastrophe.
    Pairs that attract at every distance have no such maximum and give 0; nor have tabulated pairs, whose
    table says itself how close the ions may come.
    """
    if tabulated_range_A(field, a, b)[0] > 0.0:
        return 0.0
    r = np.geomspace(0.01, field.cutoff_A, 20001)
    slope = field.pair_derivative(a, b, r) - pair_charge_product(field, a, b) / r**2
    if not slope[0] > 0.0:
        return 0.0
    turned = np.flatnonzero(slope <= 0.0)
    return float(r[turned[0]]) if len(turned) else 0.0


def negligible_beyond_A(field, a, b, force_eV_per_A):
    """Return the distance beyond which the pair terms pull with less than `force_eV_per_A`, Å."""
    if not field.terms(a, b):
        return 0.0
    r = np.linspace(max(0.2, tabulated_range_A(field, a, b)[0]), field.cutoff_A, 4001)
    strong = np.flatnonzero(np.abs(field.pair_derivative(a, b, r)) > force_eV_per_A)
    if len(strong) == 0:
        return float(r[0])
    return float(r[min(strong[-1] + 1, len(r) - 1)])


ORDINARY_FORCE_EV_PER_A = 20.0
"""Rigid ions that pull harder than this have come too close for the accuracy of their force to matter."""
COARSEST_BINS, FINEST_BINS = 128, 2048


@dataclass(frozen=True)
class PairRanges:
    """How far each pair of types interacts and how near it may come, Å; arrays are (n_types, n_types).

    `short_tt` is the cutoff of the pair terms, `coulomb_A` that of the real-space Coulomb half (0: no
    Coulomb), `list_tt` the larger of the two, `floor_tt` the closest distance allowed.
    """

    short_tt: np.ndarray
    coulomb_A: float
    list_tt: np.ndarray
    floor_tt: np.ndarray


def pair_ranges(field, *, coulomb_cutoff_A, negligible_force_eV_per_A=0.0, floor_tt=None):
    """Return the `PairRanges` of a force field.

    Parameters
    ----------
    field
        The force field; its `cutoff_A` bounds the pair terms.
    coulomb_cutoff_A
        Cutoff of the real-space Coulomb half, Å; 0 for a force field without charges.
    negligible_force_eV_per_A
        Pair terms weaker than this everywhere beyond the Coulomb cutoff are left out there; 0 keeps all.
    floor_tt
        Closest distances, Å, where they are not the turning points of this force field.
    """
    n_types = len(field.species)
    short_tt = np.zeros((n_types, n_types))
    list_tt = np.zeros((n_types, n_types))
    turning_tt = np.zeros((n_types, n_types))
    for i, a in enumerate(field.species):
        for j, b in enumerate(field.species):
            short = field.cutoff_A if field.terms(a, b) else 0.0
            if negligible_force_eV_per_A > 0.0 and coulomb_cutoff_A < short:
                if negligible_beyond_A(field, a, b, negligible_force_eV_per_A) <= coulomb_cutoff_A:
                    short = coulomb_cutoff_A
            charged = pair_charge_product(field, a, b) != 0.0
            short_tt[i, j] = short
            list_tt[i, j] = max(short, coulomb_cutoff_A if charged else 0.0)
            if floor_tt is None:
                turning_tt[i, j] = max(turning_point_A(field, a, b), tabulated_range_A(field, a, b)[0])
    floor_tt = turning_tt if floor_tt is None else floor_tt
    return PairRanges(short_tt=short_tt, coulomb_A=coulomb_cutoff_A, list_tt=list_tt, floor_tt=floor_tt)


def pair_energy_and_slope(field, a, b, r, *, short_A, coulomb_A, alpha):
    """Return energy (eV) and slope (eV/Å) of one pair of species at distances `r`, real-space half only.

    The cutoffs decide by `r` < cutoff; a shifted force field is shifted; Coulomb is ``erfc(alpha r)/r``.
    """
    energy, slope = np.zeros_like(r), np.zeros_like(r)
    inside = r < short_A
    if np.any(inside):
        energy[inside] += field.pair_energy(a, b, r[inside]) - field.shift(a, b)
        slope[inside] += field.pair_derivative(a, b, r[inside])
    product = pair_charge_product(field, a, b)
    inside = r < coulomb_A
    if product != 0.0 and np.any(inside):
        x = r[inside]
        screened = product * erfc(alpha * x) / x
        energy[inside] += screened
        slope[inside] -= (
            screened / x + product * 2.0 * alpha / np.sqrt(np.pi) * np.exp(-((alpha * x) ** 2)) / x
        )
    return energy, slope


def largest_jump_eV_per_A(field, ranges, alpha):
    """Return the largest jump that a pair force makes at a cutoff, eV/Å."""
    largest = 0.0
    for i, a in enumerate(field.species):
        for j, b in enumerate(field.species):
            short_A, coulomb_A = ranges.short_tt[i, j], ranges.coulomb_A
            for cutoff in {short_A, coulomb_A} - {0.0}:
                r = cutoff * np.array([1.0 - 1e-9, 1.0 + 1e-9])
                _, slope = pair_energy_and_slope(
                    field, a, b, r, short_A=short_A, coulomb_A=coulomb_A, alpha=alpha
                )
                largest = max(largest, abs(slope[1] - slope[0]))
    return float(largest)


@dataclass(frozen=True)
class PairTables:
    r"""Cubic Hermite tables of the pair energy in s = (r / `inner_A`)².

    A bin is found from the bits of s: `bins_per_octave` (a power of two) equal bins in each [2^k, 2^(k+1)).
    In a bin :math:`E = c_0 + v (c_1 + v (c_2 + v c_3))` with v the distance in s from its lower edge, and
    the force is the exact derivative of that energy. Bin 0 and bins below the closest allowed distance hold
    NaN; the last bin, where `top_tt` sends everything beyond the cutoff, holds zeros.
    """

    coefficients_pbk: np.ndarray  # (n_pairs of types, n_bins, 4)
    index_tt: np.ndarray  # first axis of `coefficients_pbk` for two types
    inner_A: float
    top_tt: np.ndarray  # cutoff of each pair in s
    bins_per_octave: int
    force_error_eV_per_A: float  # largest, at bin centres, among ordinary pair forces

    @property
    def shift_bits(self):
        """How far the bits of s are shifted to leave exponent and bin."""
        return 52 - int(np.log2(self.bins_per_octave))

    @property
    def base(self):
        """Shifted bits of the lower edge of bin 1, less 1."""
        return int((1023 - OCTAVES) << int(np.log2(self.bins_per_octave))) - 1


def fit_tables(
    field, ranges, *, alpha, force_error_eV_per_A, ordinary_force_eV_per_A=ORDINARY_FORCE_EV_PER_A
):
    """Return the coarsest `PairTables` whose pair forces are wrong by at most `force_error_eV_per_A`.

    That holds for pairs that pull with at most `ordinary_force_eV_per_A`; more comes from ions too close to
    matter. The finest tables tried have `FINEST_BINS` bins per octave: then the error is what `PairTables`
    says.
    """
    bins_per_octave = COARSEST_BINS
    while True:
        tables = build_tables(
            field,
            ranges,
            alpha=alpha,
            bins_per_octave=bins_per_octave,
            ordinary_force_eV_per_A=ordinary_force_eV_per_A,
        )
        if tables.force_error_eV_per_A <= force_error_eV_per_A or bins_per_octave >= FINEST_BINS:
            return tables
        bins_per_octave *= 2


def build_tables(field, ranges, *, alpha, bins_per_octave, ordinary_force_eV_per_A=ORDINARY_FORCE_EV_PER_A):
    """Return the `PairTables` of a force field for these `PairRanges` and Ewald splitting (1/Å)."""
    cutoffs = np.unique(np.append(ranges.short_tt, ranges.coulomb_A))
    cutoffs = cutoffs[cutoffs > 0.0]
    if len(cutoffs) > 2:
        raise ConfigError(f"tables join at most two cutoffs, got {cutoffs.tolist()} Å")
    n_types = len(field.species)
    inner, outer = (float(cutoffs[0]), float(cutoffs[-1])) if len(cutoffs) else (1.0, 1.0)
    octaves_above = max(1, int(np.ceil(2.0 * np.log2(outer / inner) + 1e-9)))
    exponents = np.arange(-OCTAVES, octaves_above)
    edges = (2.0 ** exponents[:, None] * (1.0 + np.arange(bins_per_octave) / bins_per_octave)).ravel()
    edges = np.append(edges, 2.0**octaves_above)
    low, high = edges[:-1], edges[1:]
    below = low < 1.0
    r_low, r_high = inner * np.sqrt(low), inner * np.sqrt(high)
    r_mid = inner * np.sqrt(0.5 * (low + high))
    n_bins = len(low)
    type_pairs = [(i, j) for i in range(n_types) for j in range(i, n_types)]
    index_tt = np.zeros((n_types, n_types), dtype=np.int64)
    coefficients = np.zeros((len(type_pairs), n_bins + 2, 4))
    worst = 0.0
    for p, (i, j) in enumerate(type_pairs):
        a, b = field.species[i], field.species[j]
        index_tt[i, j] = index_tt[j, i] = p
        entry = coefficients[p]
        entry[0] = np.nan
        if ranges.list_tt[i, j] == 0.0:
            entry[:] = 0.0
            continue
        allowed = (r_high > ranges.floor_tt[i, j]) & (low < (ranges.list_tt[i, j] / inner) ** 2)

        def evaluate(r, bins, a=a, b=b, short_A=ranges.short_tt[i, j]):
            energy, slope = np.zeros_like(r), np.zeros_like(r)
            for chosen, has_short, has_coulomb in (
                (below[bins], short_A >= inner, ranges.coulomb_A > 0.0),
                (~below[bins], short_A > inner, ranges.coulomb_A > inner),
            ):
                energy[chosen], slope[chosen] = _smooth_pair(
                    field, a, b, r[chosen], alpha=alpha, has_short=has_short, has_coulomb=has_coulomb
                )
            return energy, slope

        bins = np.flatnonzero(allowed)
        e0, d0 = evaluate(r_low[bins], bins)
        e1, d1 = evaluate(r_high[bins], bins)
        d0 = d0 * inner**2 / (2.0 * r_low[bins])
        d1 = d1 * inner**2 / (2.0 * r_high[bins])
        h = high[bins] - low[bins]
        mean = (e1 - e0) / h
        entry[1 : n_bins + 1] = np.where(r_high <= ranges.floor_tt[i, j], np.nan, 0.0)[:, None]
        entry[bins + 1, 0] = e0
        entry[bins + 1, 1] = d0
        entry[bins + 1, 2] = (3.0 * mean - 2.0 * d0 - d1) / h
        entry[bins + 1, 3] = (d0 + d1 - 2.0 * mean) / h**2
        _, exact = evaluate(r_mid[bins], bins)
        c, v = entry[bins + 1], 0.5 * h
        made = (c[:, 1] + v * (2.0 * c[:, 2] + v * 3.0 * c[:, 3])) * 2.0 * r_mid[bins] / inner**2
        ordinary = np.abs(exact) < ordinary_force_eV_per_A
        worst = max(worst, np.abs(made - exact)[ordinary].max(initial=0.0))
    return PairTables(
        coefficients_pbk=coefficients,
        index_tt=index_tt,
        inner_A=inner,
        top_tt=(ranges.list_tt / inner) ** 2,
        bins_per_octave=bins_per_octave,
        force_error_eV_per_A=float(worst),
    )


def _smooth_pair(field, a, b, r, *, alpha, has_short, has_coulomb):
    """Return energy and slope without cutoffs, straight on past the ends of a tabulated pair."""
    known = np.clip(r, *tabulated_range_A(field, a, b))
    energy, slope = pair_energy_and_slope(
        field,
        a,
        b,
        known,
        alpha=alpha,
        short_A=np.inf if has_short else 0.0,
        coulomb_A=np.inf if has_coulomb else 0.0,
    )
    return energy + slope * (r - known), slope
