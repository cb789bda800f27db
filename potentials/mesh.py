"""Smooth particle mesh Ewald: the production reciprocal sum. Accuracy is chosen in splitting.py."""

import math
from functools import cache

import numpy as np
import scipy.fft

from potentials.ewald_sum import checked_cell, checked_charges, self_energies_eV
from potentials.kernels import mesh as kernels
from simtools.core.errors import ConfigError, ShapeError
from simtools.core.units import COULOMB_EV_A

__all__ = [
    "ORDERS",
    "ParticleMesh",
    "alias_sums",
    "compact_basis",
    "influence_corrections",
    "spline_polynomials",
]

ORDERS = (4, 5, 6, 7, 8)
_N_ALIASES = 3
_LEANING = 0.51
"""Up to here one lattice vector may lie along another, in lengths of the shorter: 0.5 in a reduced cell."""


def compact_basis(cell):
    """Return the whole numbers, shape (3, 3), that make short lattice vectors of the rows of `cell`.

    The mesh lies along ``compact_basis(cell) @ cell``: along long, leaning vectors it would need many more
    points, and its forces are wrong where its planes come closer than its points. The identity where no
    vector leans on another by more than half of it, so for every usual cell; else Minkowski's reduction.
    """
    cell = np.asarray(cell, dtype=float)
    products = np.abs(cell @ cell.T)
    squares = np.diag(products)
    leaning = products / np.minimum(squares[:, None], squares) - np.eye(3)
    if leaning.max() <= _LEANING:
        return np.eye(3, dtype=int)
    from ase.geometry import minkowski_reduce

    return np.asarray(minkowski_reduce(cell, pbc=True)[1], dtype=int)


def spline_polynomials(order):
    """Return the cardinal B-spline of `order` as polynomials, and their slopes.

    Returns
    -------
    values, slopes : ndarray
        ``values[power, point]``, shape (8, 8): the weight of mesh point ``point`` (counted from
        ``order - 1`` points before the particle) is the sum over powers of values times the fraction
        past the mesh point below it. Unused entries are zero.
    """
    pieces = [np.polynomial.Polynomial([1.0])]  # piece j: M_n(fraction + j) for fraction in [0, 1)
    for n in range(2, order + 1):
        x = np.polynomial.Polynomial([0.0, 1.0])
        zero = np.polynomial.Polynomial([0.0])
        padded = [zero, *pieces, zero]
        pieces = [((x + j) * padded[j + 1] + (n - j - x) * padded[j]) / (n - 1) for j in range(n)]
    values = np.zeros((kernels.LANES, kernels.LANES))
    slopes = np.zeros((kernels.LANES, kernels.LANES))
    for j, piece in enumerate(pieces):
        point = order - 1 - j
        values[: len(piece.coef), point] = piece.coef
        slope = piece.deriv().coef
        slopes[: len(slope), point] = slope
    return values, slopes


@cache
def alias_sums(n_points, order):
    """Return what a mesh of `n_points` makes of each wave along one axis.

    Returns
    -------
    ndarray
        Shape (4, n_points): squared transform of the spline at the wave itself, then the sums over its
        aliases m of that square, of m times it and of m^2 times it.
    """
    waves = np.fft.fftfreq(n_points, 1.0 / n_points)
    aliases = waves[:, None] + n_points * np.arange(-_N_ALIASES, _N_ALIASES + 1)
    squares = np.sinc(aliases / n_points) ** (2 * order)
    sums = np.array(
        [squares[:, _N_ALIASES], squares.sum(1), (aliases * squares).sum(1), (aliases**2 * squares).sum(1)]
    )
    sums.flags.writeable = False
    return sums


def influence_corrections(n_points, order):
    """Return one axis' factor of the influence function, shape (n_points,), zero at the Nyquist index.

    Each axis contributes ``U^2 / (sum over aliases of U^2)^2``, the choice with the least mean squared
    error of the energy; the forces' error is within a percent of its own optimum, a quarter less than with
    Essmann's interpolating factor. It depends on the mesh alone, so the virial stays exact.
    """
    main, total, _, _ = alias_sums(n_points, order)
    corrections = main / total**2
    if n_points % 2 == 0:
        corrections[n_points // 2] = 0.0
    return corrections


class ParticleMesh:
    """Reciprocal-space Coulomb energy on a mesh: smooth particle mesh Ewald.

    Parameters
    ----------
    cell
        Lattice vectors as rows, shape (3, 3), Å; any shape of cell.
    charges_n
        Charges, shape (n_atoms,), e. A net charge is neutralised by a uniform background.
    alpha
        Splitting: the real-space half is ``erfc(alpha r)/r``, 1/Å.
    mesh_shape
        Points along each vector of ``compact_basis(cell) @ cell``, that is along each lattice vector unless
        one leans far on another; at least `order` each.
    order
        Number of mesh points along each axis that a charge is spread over, 4 to 8.

    Attributes
    ----------
    last_net_force
        Sum of the forces before it was removed, shape (3,), eV/Å: an error of the mesh, because
        the derivative of the interpolated energy does not conserve momentum.

    Notes
    -----
    Limits: tends to `EwaldSum` as the mesh is refined, the faster the higher the order. A call depends on
    its arguments only, never on earlier calls.

    References
    ----------
    .. [1] U. Essmann et al., J. Chem. Phys. 103, 8577 (1995). doi:10.1063/1.470117
    .. [2] V. Ballenegger, J. J. Cerdà, C. Holm, J. Chem. Theory Comput. 8, 936 (2012). doi:10.1021/ct2001792
    """

    def __init__(self, cell, charges_n, alpha, *, mesh_shape, order):
        self.charges_n = checked_charges(charges_n)
        self.alpha = float(alpha)
        if not self.alpha > 0:
            raise ConfigError(f"alpha must be positive (1/Å), got {alpha}")
        if order not in ORDERS:
            raise ConfigError(f"order must be one of {ORDERS}, got {order}")
        self.order = int(order)
        self.mesh_shape = tuple(int(n) for n in mesh_shape)
        if len(self.mesh_shape) != 3 or min(self.mesh_shape) < self.order:
            raise ConfigError(f"mesh_shape needs three numbers of at least order = {order}, got {mesh_shape}")
        n1, n2, n3 = self.mesh_shape
        n_atoms = len(self.charges_n)
        self._values, self._slopes = spline_polynomials(self.order)
        self._corrections = np.zeros((3, max(self.mesh_shape)))
        for axis, n_points in enumerate(self.mesh_shape):
            self._corrections[axis, :n_points] = influence_corrections(n_points, self.order)
        self._mesh = np.zeros((n1, n2, n3 + kernels.LANES - 1))
        self._factors = np.zeros((n1, n2, n3 // 2 + 1))
        self._waves = np.zeros((n1, n2, n3 // 2 + 1), dtype=complex)
        self._starts_nc = np.zeros((n_atoms, 3), dtype=np.int64)
        self._weights_ngl = np.zeros((n_atoms, 3, kernels.LANES))
        self._slopes_ngl = np.zeros((n_atoms, 3, kernels.LANES))
        self._self_energies_n = self_energies_eV(self.charges_n, self.alpha)
        self._total_charge = float(self.charges_n.sum())
        self._cell = None
        self.last_net_force = np.zeros(3)
        cell = checked_cell(cell)
        self._basis = compact_basis(cell)
        self._set_cell(cell)

    def _set_cell(self, cell):
        """Recompute everything that depends on the cell alone."""
        self._cell = cell.tobytes()
        if not np.array_equal(self._basis, np.eye(3)):
            cell = self._basis @ cell
        self._volume = abs(np.linalg.det(cell))
        self._inverse_gc = np.ascontiguousarray(np.linalg.inv(cell).T)
        self._reciprocal_gc = 2.0 * math.pi * self._inverse_gc
        prefactor = 4.0 * math.pi * COULOMB_EV_A / self._volume
        kernels.influence(
            self.mesh_shape, self._reciprocal_gc, self.alpha, prefactor, self._corrections, self._factors
        )
        per_charge = -math.pi * COULOMB_EV_A * self._total_charge / (2.0 * self._volume * self.alpha**2)
        self._background = per_charge * self._total_charge
        self._constant_energies_n = self._self_energies_n + per_charge * self.charges_n

    def compute(self, positions_nc, cell, *, stress=True):
        """Return the reciprocal, self and background parts of energy, forces and virial.

        Parameters
        ----------
        positions_nc
            Positions, shape (n_atoms, 3), Å; wrapped or not.
        cell
            Lattice vectors as rows, shape (3, 3), Å; may differ from call to call.
        stress
            Whether the virial is wanted.

        Returns
        -------
        energy_eV : float
        energies_n : ndarray
            Share of each atom, shape (n_atoms,), eV; they sum to the energy.
        forces_nc : ndarray
            Shape (n_atoms, 3), eV/Å; their sum, kept in `last_net_force`, is removed evenly.
        virial_cc : ndarray or None
            dE/dstrain, shape (3, 3), eV, symmetric; divided by the volume it is the stress in ASE's sign.
        """
        cell = np.ascontiguousarray(cell, dtype=float)
        if cell.tobytes() != self._cell:
            self._set_cell(checked_cell(cell))
        positions_nc = np.ascontiguousarray(positions_nc, dtype=float)
        n_atoms = len(self.charges_n)
        if positions_nc.shape != (n_atoms, 3):
            raise ShapeError("positions_nc", f"({n_atoms}, 3)", positions_nc.shape)
        n3 = self.mesh_shape[2]
        kernels.spread(
            positions_nc,
            self.charges_n,
            self._inverse_gc,
            self.order,
            self._values,
            self._slopes,
            self._starts_nc,
            self._weights_ngl,
            self._slopes_ngl,
            self._mesh,
        )
        kernels.fold(self._mesh)
        points = self._mesh[:, :, :n3]
        np.fft.rfft(points, axis=2, out=self._waves)
        waves = scipy.fft.fftn(self._waves, axes=(0, 1), workers=1, overwrite_x=True)
        virial_cc = None
        if stress:
            virial_cc = np.empty((3, 3))
            kernels.multiply_with_virial(waves, self._factors, self._reciprocal_gc, self.alpha, n3, virial_cc)
            virial_cc[0, 0] -= self._background
            virial_cc[1, 1] -= self._background
            virial_cc[2, 2] -= self._background
        else:
            kernels.multiply(waves, self._factors)
        waves = scipy.fft.ifftn(waves, axes=(0, 1), workers=1, overwrite_x=True, norm="forward")
        np.fft.irfft(waves, n3, axis=2, norm="forward", out=points)
        energies_n, forces_nc = np.empty(n_atoms), np.empty((n_atoms, 3))
        self.last_net_force = np.empty(3)
        energy = kernels.gather_at_rest(
            self._constant_energies_n,
            (
                self._mesh,
                self.charges_n,
                self._inverse_gc,
                self.order,
                self._starts_nc,
                self._weights_ngl,
                self._slopes_ngl,
                energies_n,
                forces_nc,
            ),
            self.last_net_force,
        )
        return energy, energies_n, forces_nc, virial_cc
