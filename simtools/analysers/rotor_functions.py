"""Rotor functions of order 3 and 4: reorientation and order of tetrahedra and octahedra, symmetry and all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from simtools.analysers.orientations import Orientations
from simtools.analysers.relaxation_fits import (
    check_alike,
    fit_relaxation,
    lag_count,
    left_out_means,
    plateau_estimate,
    shown_lags,
    time_estimate,
    unit_correlations,
)
from simtools.core.errors import ConfigError, ShapeError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate, Result, quantity

__all__ = [
    "FUNCTION_NAMES",
    "RotorFunctions",
    "cubic_harmonics",
    "functions_vanish",
    "rotor_correlation",
    "rotor_functions",
]

FUNCTION_NAMES = {
    3: ("A2u", "T1u x", "T1u y", "T1u z", "T2u x", "T2u y", "T2u z"),
    4: ("A1g", "Eg 3z2-r2", "Eg x2-y2", "T1g x", "T1g y", "T1g z", "T2g x", "T2g y", "T2g z"),
}
"""Irreducible representations of the cubic group m-3m that the functions of each order belong to."""

_VANISHES = 0.02


def cubic_harmonics(vectors, order: int) -> np.ndarray:
    r"""Return the cubic harmonics of order 3 or 4 of unit vectors, shape (..., 2 order + 1).

    .. math:: \sum_k K_k(\hat u) K_k(\hat v) = P_l(\hat u \cdot \hat v)

    Parameters
    ----------
    vectors
        Shape (..., 3), along the cubic axes.
    order
        3 or 4; functions as in `FUNCTION_NAMES`.

    Raises
    ------
    ConfigError
        For another order.
    """
    if order not in FUNCTION_NAMES:
        raise ConfigError(f"rotor functions are of order 3 or 4, got {order!r}")
    u = np.asarray(vectors, dtype=float)
    x, y, z = np.moveaxis(u, -1, 0)
    if order == 3:
        zonal = [2.5 * a**3 - 1.5 * a for a in (x, y, z)]
        twisted = [np.sqrt(3.75) * a * (b**2 - c**2) for a, b, c in ((x, y, z), (y, z, x), (z, x, y))]
        return np.stack([np.sqrt(15) * x * y * z, *zonal, *twisted], axis=-1)
    px, py, pz = ((35 * a**4 - 30 * a**2 + 3) / 8 for a in (x, y, z))
    pairs = ((y, z, x), (z, x, y), (x, y, z))
    return np.stack(
        [
            (px + py + pz) / np.sqrt(5.25),
            (2 * pz - px - py) / np.sqrt(3.75),
            (px - py) / np.sqrt(1.25),
            *(np.sqrt(35) / 2 * a * b * (a**2 - b**2) for a, b, _ in pairs),
            *(np.sqrt(5) / 2 * a * b * (7 * c**2 - 1) for a, b, c in pairs),
        ],
        axis=-1,
    )


def rotor_correlation(vectors, n_lags: int, *, order: int) -> np.ndarray:
    r"""Return the sum of correlations of one molecule's rotor functions, not normalised, shape (n_lags,).

    .. math:: \sum_k \langle T_k(0) T_k(t) \rangle =
        \sum_{ij} \langle P_l(\hat u_i(0) \cdot \hat u_j(t)) \rangle, \qquad T_k = \sum_i K_k(\hat u_i)

    Parameters
    ----------
    vectors
        Unit vectors of its bonds, shape (n_frames, n_bonds, 3).
    n_lags
        Lags 0 to n_lags - 1, at most n_frames. By FFT, one transform per function.
    order
        3 or 4.
    """
    functions = cubic_harmonics(vectors, order).sum(axis=1)
    length = next_fast_len(len(functions) + n_lags, real=True)
    spectrum = rfft(functions, length, axis=0)
    sums = irfft(np.sum(spectrum.real**2 + spectrum.imag**2, axis=1), length)[:n_lags]
    return sums / (len(functions) - np.arange(n_lags))


def functions_vanish(orientations: Sequence[Orientations], order: int) -> bool:
    """Return whether the bonds of molecules cancel in the functions of this order, in the first frames."""
    bonds = orientations[0].vectors[:1]
    size = np.square(cubic_harmonics(bonds, order).sum(axis=2)).sum(axis=-1).mean()
    return bool(size < _VANISHES * bonds.shape[2] ** 2)


@dataclass(frozen=True, eq=False, kw_only=True)
class RotorFunctions(Result):
    r"""Reorientation and order of a molecule as a body, whichever of its ligands is which.

    .. math:: C_l(t) = \frac{\sum_{ij} \langle P_l(\hat u_i(0) \cdot \hat u_j(t)) \rangle}
        {\sum_{ij} \langle P_l(\hat u_i(0) \cdot \hat u_j(0)) \rangle}

    A rotation that only permutes ligands leaves it at 1, where C_1 and C_2 of the bonds decay. For a
    tetrahedron l = 3 is the first that does not vanish, for an octahedron l = 4.

    Attributes
    ----------
    order : int
        l.
    c, c_stderr
        C_l over rotors, replicas and time.
    tau, plateau : Estimate
        Of a stretched exponential and its constant, as in `ReorientationResult`: the plateau is what is
        never forgotten of the orientation, permutations aside.
    relaxed : bool
        Whether the fit has come within a tenth of its amplitude of the plateau by the longest lag.
    functions : tuple of str
        See `FUNCTION_NAMES`.
    means
        Mean of each function over its largest possible root mean square, over rotors and time: for a
        tetrahedron with bonds along the body diagonals "A2u" is +1 or -1 (which of the two ways) and all
        others 0; for an octahedron along the axes "A1g" is 1. 0 for free rotors.
    mean_squares
        Mean square of each: they add up to 1; 1/(2 l + 1) each for free rotors.
    """

    name: str
    order: int
    n_rotors: int
    n_replicas: int
    n_units: int
    functions: tuple
    lag_times_ps: np.ndarray = quantity("ps", shape="(n_lags,)")
    c: np.ndarray = quantity("1", shape="(n_lags,)")
    c_stderr: np.ndarray = quantity("1", shape="(n_lags,)")
    tau: Estimate = quantity("ps")
    plateau: Estimate = quantity("1")
    relaxed: bool
    means: np.ndarray = quantity("1", shape="(n_functions,)")
    mean_squares: np.ndarray = quantity("1", shape="(n_functions,)")


def rotor_functions(
    orientations: Orientations | Sequence[Orientations],
    *,
    order: int,
    max_lag_ps: float | None = None,
    axes=None,
    seed: int = 0,
) -> RotorFunctions:
    """Return the rotor function of order 3 or 4 of one run or of replicas.

    Parameters
    ----------
    orientations
        From `orientations_of`; replicas add up.
    order
        3 for tetrahedra, 4 for octahedra too.
    max_lag_ps
        Longest lag, ps; by default a third of the shortest run.
    axes
        The cubic axes of the sites as orthonormal rows, shape (3, 3), for means; by default x, y and z.
    seed
        Of the groups that are left out in turn for errors, see `reorientation`.

    Returns
    -------
    RotorFunctions

    Raises
    ------
    ConfigError
        For another order, or where the functions vanish: order 3 of octahedra.
    ShapeError
        For axes that are not three orthonormal rows.

    Notes
    -----
    Limits: isotropic rotational diffusion gives exp(-l(l+1) D t); jumps to anywhere exp(-k t); jumps by 120
    degrees about a bond of a tetrahedron, or by 90 about one of an octahedron, 1. One ligand: C_l of its
    bond.

    References
    ----------
    .. [1] H. M. James and T. A. Keenan, J. Chem. Phys. 31, 12 (1959): tetrahedral rotor functions.
    .. [2] M. L. Klein, I. R. McDonald and Y. Ozaki, J. Chem. Phys. 79, 5579 (1983).
    """
    parts = (orientations,) if isinstance(orientations, Orientations) else tuple(orientations)
    check_alike(parts)
    if order not in FUNCTION_NAMES:
        raise ConfigError(f"rotor functions are of order 3 or 4, got {order!r}")
    axes = np.eye(3) if axes is None else np.asarray(axes, dtype=float)
    if axes.shape != (3, 3) or not np.allclose(axes @ axes.T, np.eye(3), atol=1e-6):
        raise ShapeError("axes", "three orthonormal rows", axes.shape)
    interval_ps = parts[0].frame_interval_ps
    n_lags = lag_count(parts, max_lag_ps)
    units, stretches = unit_correlations(
        parts, n_lags, lambda bonds, count: rotor_correlation(bonds, count, order=order)
    )
    size = float(units[:, 0].mean())
    n_bonds = parts[0].vectors.shape[2]
    if functions_vanish(parts, order):
        raise ConfigError(
            f"rotor functions of order {order} vanish for {parts[0].name}, whose {n_bonds} bonds cancel in "
            "them: expected 3 for tetrahedra, 4 for tetrahedra or octahedra"
        )
    units = units / size
    mean = units.mean(axis=0)
    stderr = units.std(axis=0, ddof=1) / np.sqrt(len(units)) if len(units) > 1 else np.full_like(mean, np.nan)
    fit = fit_relaxation(interval_ps, mean, units_uk=units)
    others = [
        fit_relaxation(interval_ps, sample, units_uk=units, like=fit)
        for sample in left_out_means(units, seed)
    ]
    method = f"jackknife over {len(units)} {'rotors' if stretches == 1 else 'stretches of rotors'}, Student"
    tau = time_estimate(fit, np.array([item.tau_ps for item in others]), len(units), method)
    values = [cubic_harmonics(part.vectors @ axes.T, order).sum(axis=2) / np.sqrt(size) for part in parts]
    weights = [value.shape[0] * value.shape[1] for value in values]
    means, squares = (
        np.average([(value**power).mean(axis=(0, 1)) for value in values], axis=0, weights=weights)
        for power in (1, 2)
    )
    lags = shown_lags(n_lags)
    return RotorFunctions(
        name=parts[0].name,
        order=order,
        n_rotors=sum(part.n_rotors for part in parts),
        n_replicas=len(parts),
        n_units=len(units),
        functions=FUNCTION_NAMES[order],
        lag_times_ps=interval_ps * lags,
        c=mean[lags],
        c_stderr=stderr[lags],
        tau=tau,
        plateau=plateau_estimate(fit, np.array([item.plateau for item in others]), len(units), method),
        relaxed=fit.relaxed(tau),
        means=means,
        mean_squares=squares,
        provenance=collect_provenance(
            order=order, max_lag_ps=float(interval_ps * (n_lags - 1)), axes=axes.tolist(), seed=seed
        ),
    )
