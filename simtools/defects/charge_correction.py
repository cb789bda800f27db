"""From a charged defect in a periodic cell to the isolated one: the image term, and the limit of many sizes.

A charged cell carries a uniform background, and the mean electrostatic potential of every cell is zero.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import erfc
from scipy.stats import t as student

from simtools.core.errors import ConfigError, ShapeError
from simtools.core.results import Estimate, Result, quantity
from simtools.core.units import COULOMB_EV_A

__all__ = ["IsolatedLimit", "extrapolate_to_isolated", "image_potential_V_per_e", "isolated_correction_eV"]

_TAIL = 6.2
"""Both sums end where erfc or exp(-x^2) has fallen to 2e-18."""
_MOST_TERMS = 2_000_000


def image_potential_V_per_e(cell_A, dielectric_tensor) -> float:
    r"""Return the potential at a unit charge of its own images and their background, in a dielectric.

    .. math::
        v = k_e\Big[\sum_{\mathbf R\ne0}
        \frac{\operatorname{erfc}(\gamma\,s_{\mathbf R})}{\sqrt{\det\epsilon}\;s_{\mathbf R}}
        + \frac{4\pi}{V}\sum_{\mathbf G\ne0}\frac{e^{-\mathbf G\epsilon\mathbf G/4\gamma^2}}
        {\mathbf G\epsilon\mathbf G}
        - \frac{2\gamma}{\sqrt{\pi\det\epsilon}} - \frac{\pi}{V\gamma^2}\Big],
        \qquad s_{\mathbf R} = \sqrt{\mathbf R\,\epsilon^{-1}\mathbf R}

    Parameters
    ----------
    cell_A
        Lattice vectors as rows, shape (3, 3), Å.
    dielectric_tensor
        Shape (3, 3) (or a number: isotropic); symmetric, positive definite.

    Returns
    -------
    float
        V per e, negative. A simple cubic cell in vacuum gives -2.837297 x 14.3996/L (Madelung constant of a
        charge in a uniform background); an isotropic medium divides by epsilon; a diagonal tensor is the cell
        with edges L_i / sqrt(epsilon_i) in vacuum, divided by sqrt(det epsilon).

    Raises
    ------
    ConfigError
        If the tensor is not symmetric and positive definite, or the cell has no volume.

    Notes
    -----
    M. Leslie and M. J. Gillan, J. Phys. C 18, 973 (1985); G. Makov and M. C. Payne, Phys. Rev. B 51, 4014
    (1995); anisotropic media: S. T. Murphy and N. D. M. Hine, Phys. Rev. B 87, 094111 (2013).
    """
    cell, tensor = _checked_cell(cell_A), _checked_tensor(dielectric_tensor)
    # in coordinates x' = epsilon^(-1/2) x the medium is a vacuum and the cell another cell
    root = np.linalg.cholesky(tensor)
    stretched = np.linalg.solve(root, cell.T).T
    volume = abs(np.linalg.det(stretched))
    gamma = math.sqrt(math.pi) / volume ** (1 / 3)
    distances = np.sqrt(_squared_lengths(stretched, _TAIL / gamma))
    waves = _squared_lengths(2 * np.pi * np.linalg.inv(stretched).T, 2 * gamma * _TAIL)
    potential = (erfc(gamma * distances) / distances).sum()
    potential += 4 * math.pi / volume * (np.exp(-waves / (4 * gamma**2)) / waves).sum()
    potential -= 2 * gamma / math.sqrt(math.pi) + math.pi / (volume * gamma**2)
    return float(COULOMB_EV_A * potential / math.sqrt(np.linalg.det(tensor)))


def isolated_correction_eV(charge_e: float, cell_A, dielectric_tensor) -> float:
    r"""Return what to add to the energy of a charged defect's periodic cell for the isolated defect, eV.

    .. math:: \Delta E = -\tfrac12 q^2 v = \frac{\alpha\,k_e\,q^2}{2\epsilon L}\ \text{(simple cubic)} > 0

    This removes the term in 1/L. A rigid point charge in vacuum (unrelaxed rigid ions, epsilon = 1) has no
    other; relaxed ions leave terms in 1/V, see `extrapolate_to_isolated`.

    Parameters
    ----------
    charge_e
        Net charge of the cell, e: the effective charge of the defect, in the charges of the model.
    cell_A
        Lattice vectors as rows, shape (3, 3), Å.
    dielectric_tensor
        What the charge is screened by: static where ions relax, high-frequency where only shells or electrons
        do, 1 where nothing does.

    Raises
    ------
    ConfigError
        If the tensor or the cell is unphysical.
    """
    return -0.5 * float(charge_e) ** 2 * image_potential_V_per_e(cell_A, dielectric_tensor)


@dataclass(frozen=True, eq=False, kw_only=True)
class IsolatedLimit(Result):
    """Energies of one charged defect in cells of several sizes, and their limit.

    Attributes
    ----------
    volumes_A3
        Volumes of the cells.
    energies_eV
        As calculated.
    corrected_eV
        With `isolated_correction_eV` added, one by one.
    extrapolated_eV
        Limit of E = E_inf - s c(cell) + b/V, s free, where c is the correction: no dielectric constant
        enters.
    corrected_limit_eV
        Limit with s = 1: the correction is trusted, and only b/V is fitted.
    screening_ratio
        s of the first fit: the dielectric constant given over the one that the energies show; 1 if it fits.
    volume_term_eV_A3
        b of the second fit.
    charge_e
        Net charge of the cells.
    """

    volumes_A3: np.ndarray = quantity("Å^3", shape=("n",))
    energies_eV: np.ndarray = quantity("eV", shape=("n",))
    corrected_eV: np.ndarray = quantity("eV", shape=("n",))
    extrapolated_eV: Estimate = quantity("eV")
    corrected_limit_eV: Estimate = quantity("eV")
    screening_ratio: Estimate = quantity("1")
    volume_term_eV_A3: Estimate = quantity("eV Å^3")
    charge_e: float = quantity("e")


def extrapolate_to_isolated(cells_A, energies_eV, *, charge_e, dielectric_tensor) -> IsolatedLimit:
    r"""Return the energy of an isolated charged defect from cells of several sizes, in two ways.

    .. math:: E(\text{cell}) = E_\infty - s\,\Delta E(\text{cell}) + b/V

    Once s is free (extrapolation: the dielectric constant is not needed, only its anisotropy), once s = 1
    (correction). To second order in the displacements, the energy of a defect with all its images is a sum
    over the wave vectors G of the supercell of a function that goes as 1/(G eps G) for small G. Sum and
    integral differ by the image term, which this singularity makes, and by the term G = 0 that is left out,
    which is of order 1/V: the second moment of the screening charge and the elastic interaction of the images
    at constant volume. There is no term in 1/L^2; the next is 1/L^5 in a cubic crystal.

    Parameters
    ----------
    cells_A
        Lattice vectors of each cell, shape (n, 3, 3), Å, n >= 3 of different volume. Cells of one shape; b
        depends on the shape.
    energies_eV
        Energies of the charged defect relative to the perfect crystal, shape (n,), eV; constant volume, all
        relaxed or all unrelaxed.
    charge_e
        Net charge of the cells, e.
    dielectric_tensor
        Shape (3, 3) or a number, as for `isolated_correction_eV`.

    Returns
    -------
    IsolatedLimit
        Standard errors come from the scatter about the fit (Student's t with n - 3 and n - 2 degrees of
        freedom): they measure the terms left out, not the calculator's noise. With no degree of freedom left,
        the error is infinite.

    Raises
    ------
    ConfigError
        With fewer than three volumes, cells of several shapes, or no charge.
    """
    cells = np.asarray(cells_A, dtype=float)
    energies = np.asarray(energies_eV, dtype=float)
    if cells.ndim != 3 or cells.shape[1:] != (3, 3):
        raise ShapeError("cells_A", "(n, 3, 3)", cells.shape)
    if energies.shape != (len(cells),):
        raise ShapeError("energies_eV", f"({len(cells)},)", energies.shape)
    if not np.isfinite(energies).all():
        raise ConfigError(f"energies_eV must be finite, got {energies.tolist()}")
    if charge_e == 0:
        raise ConfigError("charge_e is 0: a neutral defect has no image term to extrapolate")
    volumes = np.array([abs(np.linalg.det(_checked_cell(cell))) for cell in cells])
    _check_sizes(cells, volumes)
    corrections = np.array([isolated_correction_eV(charge_e, cell, dielectric_tensor) for cell in cells])
    ones = np.ones_like(energies)
    free = _fit(
        np.column_stack([ones, -corrections, 1 / volumes]), energies, "E_inf - s correction + b/V, s free"
    )
    fixed = _fit(
        np.column_stack([ones, 1 / volumes]), energies + corrections, "corrected energies: E_inf + b/V"
    )
    return IsolatedLimit(
        volumes_A3=volumes,
        energies_eV=energies,
        corrected_eV=energies + corrections,
        extrapolated_eV=free[0],
        corrected_limit_eV=fixed[0],
        screening_ratio=free[1],
        volume_term_eV_A3=fixed[1],
        charge_e=float(charge_e),
        provenance={"dielectric_tensor": _checked_tensor(dielectric_tensor).tolist()},
    )


def _fit(design, values, method):
    """Return the least-squares coefficients as `Estimate`, with errors from the scatter."""
    scale = np.abs(design).max(axis=0)
    coefficients, *_ = np.linalg.lstsq(design / scale, values)
    freedom = len(values) - design.shape[1]
    errors = np.full(design.shape[1], math.inf)
    factor = math.inf
    if freedom > 0:
        residual = values - design / scale @ coefficients
        covariance = np.linalg.inv((design / scale).T @ (design / scale)) * (residual @ residual) / freedom
        errors, factor = np.sqrt(np.diag(covariance)), float(student.ppf(0.975, freedom))
    return [
        Estimate(
            value=float(value),
            stderr=float(error),
            ci95=(float(value - factor * error), float(value + factor * error)),
            method=f"least squares, {method}; {freedom} degrees of freedom",
            n_eff=float(freedom),
        )
        for value, error in zip(coefficients / scale, errors / scale, strict=True)
    ]


def _check_sizes(cells, volumes):
    if len(np.unique(volumes.round(6))) < 3:
        raise ConfigError(
            f"expected cells of at least three different volumes, got {volumes.round(3).tolist()} Å^3"
        )
    metrics = np.einsum("nij,nkj->nik", cells, cells) / (volumes ** (2 / 3))[:, None, None]
    if np.abs(metrics - metrics[0]).max() > 1e-3:
        raise ConfigError(
            "the cells have different shapes, so they have no common 1/V term: repeat the crystal equally "
            "often in proportion, such as 2x2x2, 3x3x3, 4x4x4"
        )


def _checked_cell(cell_A):
    cell = np.asarray(cell_A, dtype=float)
    if cell.shape != (3, 3):
        raise ShapeError("cell_A", "(3, 3)", cell.shape)
    if not np.isfinite(cell).all() or abs(np.linalg.det(cell)) < 1e-6:
        raise ConfigError(f"the cell must be finite and have a volume, got {cell.tolist()}")
    return cell


def _checked_tensor(dielectric_tensor):
    tensor = np.asarray(dielectric_tensor, dtype=float)
    if tensor.ndim == 0:
        tensor = np.eye(3) * tensor
    if tensor.shape != (3, 3):
        raise ShapeError("dielectric_tensor", "(3, 3)", tensor.shape)
    symmetric = np.isfinite(tensor).all() and np.abs(tensor - tensor.T).max() <= 1e-6 * np.abs(tensor).max()
    if not symmetric or np.linalg.eigvalsh(tensor)[0] <= 0:
        raise ConfigError(
            f"the dielectric tensor must be symmetric and positive definite, got {tensor.tolist()}"
        )
    return (tensor + tensor.T) / 2


def _squared_lengths(vectors, reach):
    """Return the squared lengths of all nonzero lattice vectors not longer than `reach`."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(vectors), axis=0)
    most = np.floor(reach / heights).astype(int)
    if np.prod(2 * most + 1.0) > _MOST_TERMS:
        raise ConfigError("the cell is too flat or too anisotropic a medium for the image sum")
    indices = np.indices(2 * most + 1).reshape(3, -1).T - most
    squared = ((indices @ vectors) ** 2).sum(axis=1)
    return squared[(squared > 0.0) & (squared <= reach**2)]
