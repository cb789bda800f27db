"""Exact Ewald reciprocal sum: the reference every faster Coulomb sum is held against.

The real-space half (pairs, erfc) lives in calculator.py; the particle mesh in mesh.py.
"""

import math

import numpy as np

from potentials.kernels import ewald as kernels
from simtools.core.errors import ConfigError, ShapeError
from simtools.core.units import COULOMB_EV_A

__all__ = ["EwaldSum", "background_energy_eV", "checked_cell", "checked_charges", "self_energies_eV"]


def checked_cell(cell):
    """Return `cell` as a contiguous float (3, 3) array with a volume, or say what is wrong with it."""
    cell = np.ascontiguousarray(cell, dtype=float)
    if cell.shape != (3, 3):
        raise ShapeError("cell", "(3, 3)", cell.shape)
    if not abs(np.linalg.det(cell)) > 1e-9 * np.abs(cell).max() ** 3:
        raise ConfigError(
            f"a periodic Coulomb sum needs three independent lattice vectors, got {cell.tolist()}"
        )
    return cell


def checked_charges(charges_n):
    """Return `charges_n` as a contiguous, read-only float array of shape (n_atoms,)."""
    charges_n = np.array(charges_n, dtype=float)
    if charges_n.ndim != 1:
        raise ShapeError("charges_n", "(n_atoms,)", charges_n.shape)
    charges_n.flags.writeable = False
    return charges_n


def self_energies_eV(charges_n, alpha):
    """Return -k_e alpha q^2 / sqrt(pi) per charge, eV: the reciprocal energy of an ion with itself."""
    return -COULOMB_EV_A * alpha / math.sqrt(math.pi) * charges_n**2


def background_energy_eV(total_charge_e, volume_A3, alpha):
    """Return the energy of the uniform background that neutralises `total_charge_e`, eV.

    Together with the omitted k = 0 term this makes a charged cell's energy independent of `alpha`:
    ``-pi k_e Q^2 / (2 V alpha^2)``. Its derivative by an isotropic strain is minus itself.
    """
    return -math.pi * COULOMB_EV_A * total_charge_e**2 / (2.0 * volume_A3 * alpha**2)


class EwaldSum:
    r"""Reciprocal-space Coulomb energy of point charges, term by term.

    .. math:: E = \frac{2\pi k_e}{V} \sum_{0 < k \le k_c} \frac{e^{-k^2/4\alpha^2}}{k^2} |S(\mathbf k)|^2
        - \frac{k_e \alpha}{\sqrt\pi} \sum_n q_n^2 - \frac{\pi k_e Q^2}{2 V \alpha^2}

    Parameters
    ----------
    cell
        Lattice vectors as rows, shape (3, 3), Å; any shape of cell.
    charges_n
        Charges, shape (n_atoms,), e. A net charge Q is neutralised by a uniform background.
    alpha
        Splitting: the real-space half is ``erfc(alpha r)/r``, 1/Å.
    relative_accuracy
        Size of the largest Gaussian factor left out; sets `k_cut` when that is not given.
    k_cut
        Largest wave vector of the sum, 1/Å.

    Notes
    -----
    Limits: rock salt, caesium chloride and zinc blende give their Madelung constants; the total with the
    real-space half does not depend on `alpha`, charged or not. Costs atoms times wave vectors.

    References
    ----------
    .. [1] P. P. Ewald, Ann. Phys. 369, 253 (1921). doi:10.1002/andp.19213690304
    .. [2] S. W. de Leeuw, J. W. Perram, E. R. Smith, Proc. R. Soc. A 373, 27 (1980).
           doi:10.1098/rspa.1980.0135
    """

    def __init__(self, cell, charges_n, alpha, *, relative_accuracy=1e-12, k_cut=None):
        checked_cell(cell)
        self.charges_n = checked_charges(charges_n)
        self.alpha = float(alpha)
        if not self.alpha > 0:
            raise ConfigError(f"alpha must be positive (1/Å), got {alpha}")
        if k_cut is None:
            if not 0 < relative_accuracy < 1:
                raise ConfigError(f"relative_accuracy must lie between 0 and 1, got {relative_accuracy}")
            k_cut = 2.0 * self.alpha * (math.sqrt(-math.log(relative_accuracy)) + 0.4)
        self.k_cut = float(k_cut)
        self._self_energies_n = self_energies_eV(self.charges_n, self.alpha)
        self._total_charge = float(self.charges_n.sum())

    def compute(self, positions_nc, cell, *, stress=True):
        """Return the reciprocal, self and background parts of energy, forces and virial.

        Parameters
        ----------
        positions_nc
            Positions, shape (n_atoms, 3), Å; wrapped or not.
        cell
            Lattice vectors as rows, shape (3, 3), Å.
        stress
            Whether the virial is wanted.

        Returns
        -------
        energy_eV : float
        energies_n : ndarray
            Share of each atom, shape (n_atoms,), eV; they sum to the energy.
        forces_nc : ndarray
            Shape (n_atoms, 3), eV/Å.
        virial_cc : ndarray or None
            dE/dstrain, shape (3, 3), eV, symmetric; divided by the volume it is the stress in ASE's sign.
        """
        cell = checked_cell(cell)
        if np.shape(positions_nc) != (len(self.charges_n), 3):
            raise ShapeError("positions_nc", f"({len(self.charges_n)}, 3)", np.shape(positions_nc))
        inverse = np.linalg.inv(cell)
        volume = abs(np.linalg.det(cell))
        reciprocal_gc = np.ascontiguousarray(2.0 * math.pi * inverse.T)
        fractions_nc = np.asarray(positions_nc, dtype=float) @ inverse
        largest_m = np.floor(self.k_cut * np.linalg.norm(cell, axis=1) / (2.0 * math.pi)).astype(np.int64)
        columns, n_rows = kernels.reciprocal_columns(reciprocal_gc, largest_m, self.k_cut)
        products = kernels.structure_products(fractions_nc, self.charges_n, columns, n_rows, largest_m)
        prefactor = 4.0 * math.pi * COULOMB_EV_A / volume
        _, virial_cc, fields = kernels.reciprocal_weights(
            products, columns, reciprocal_gc, self.k_cut, self.alpha, prefactor
        )
        background = background_energy_eV(self._total_charge, volume, self.alpha)
        energies_n = self._self_energies_n + self.charges_n * (
            -math.pi * COULOMB_EV_A * self._total_charge / (2.0 * volume * self.alpha**2)
        )
        forces_nc = np.zeros((len(self.charges_n), 3))
        kernels.reciprocal_forces(
            fractions_nc, self.charges_n, columns, largest_m, fields, reciprocal_gc, energies_n, forces_nc
        )
        if not stress:
            return float(energies_n.sum()), energies_n, forces_nc, None
        virial_cc[np.diag_indices(3)] -= background
        return float(energies_n.sum()), energies_n, forces_nc, virial_cc
