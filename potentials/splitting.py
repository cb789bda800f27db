"""Where to split the Coulomb sum, how far to sum pairs and how fine a mesh: one accuracy, least work."""

import logging
import math
from dataclasses import dataclass

import numpy as np

from potentials.ewald_sum import EwaldSum, checked_cell, checked_charges
from potentials.kernels import mesh as kernels
from potentials.mesh import ORDERS, ParticleMesh, alias_sums, compact_basis
from simtools.core.errors import ConfigError, ShapeError
from simtools.core.units import BOLTZMANN_EV_PER_K, COULOMB_EV_A

__all__ = [
    "MeshError",
    "Splitting",
    "choose_splitting",
    "measure_mesh_error",
    "predict_mesh_error_eV_per_A",
    "predict_real_error_eV_per_A",
    "thermal_force_eV_per_A",
]

logger = logging.getLogger(__name__)

FLOOR_TEMPERATURE_K = 600.0
_CUTOFFS_A = tuple(np.arange(8.0, 14.01, 0.5).tolist())  # the short-range terms reach about 8 Å anyway
_REAL_SHARE = 0.6  # of the allowed error, in quadrature
_REAL_SAFETY = 1.3  # the estimate for random ions is low by up to this in ordered crystals
_RATTLE_A = 0.1  # displacement on which the mesh is measured, RMS per Cartesian axis
_MESH_SAFETY = 1.3  # the force of an ion on itself through the mesh adds to the estimate for random pairs
_MEASURED_SAFETY = 1.4  # other positions differ; and the errors of pairs and mesh are somewhat in phase
_PIECE = 20  # mesh points per axis on which the estimate is worked out
_LARGEST_OVER_RMS = 6.0  # a single ion's error may exceed the RMS by this before the mesh is refined

# Nanoseconds on one core; only their ratios matter.
_PAIR_NS = 3.0
_LIST_SKIN_A = 0.8
_POINT_NS = 8.0
_ATOM_NS, _ATOM_ORDER2_NS = 50.0, 1.6


@dataclass(frozen=True)
class Splitting:
    """One way to share the Coulomb sum between pairs and mesh.

    `alpha` in 1/Å; `cutoff_A` of the pair half; `mesh_shape` points along each vector of
    `potentials.mesh.compact_basis`; spline `order`. The two errors are RMS force errors divided by
    `rms_force_eV_per_A`; the mesh's is measured where positions were given (`mesh_error_is_measured`).
    """

    alpha: float
    cutoff_A: float
    mesh_shape: tuple[int, int, int]
    order: int
    predicted_real_error: float
    predicted_mesh_error: float
    rms_force_eV_per_A: float
    mesh_error_is_measured: bool = False

    @property
    def predicted_error(self):
        """Return both errors together, relative to the RMS force."""
        return math.hypot(self.predicted_real_error, self.predicted_mesh_error)


@dataclass(frozen=True)
class MeshError:
    """Force error of a mesh against the exact reciprocal sum, eV/Å: RMS over atoms, and the largest."""

    rms_eV_per_A: float
    max_eV_per_A: float


def thermal_force_eV_per_A(charges_n, volume_A3, *, temperature_K=FLOOR_TEMPERATURE_K):
    """Return the RMS force on an ion of a thermally vibrating ionic crystal, eV/Å.

    An Einstein crystal has ``<F^2> = 3 k_B T K``. Its stiffness K is of the size of the Coulomb curvature
    that repulsion has to balance, here ``(2 pi / 3) k_e n <q^2>``, n being the number density. On the low
    side, so that errors relative to it are on the safe side: short dynamics of Li3OCl with formal charges
    gave 1.00 and 1.31 eV/Å at 600 and 1000 K (here 0.79 and 1.03), of Na3OCl with two thirds of them 0.73
    and 1.00 (here 0.42 and 0.55).
    """
    stiffness = 2.0 * math.pi / 3.0 * COULOMB_EV_A * float(np.sum(charges_n**2)) / volume_A3
    return math.sqrt(3.0 * BOLTZMANN_EV_PER_K * temperature_K * stiffness)


def predict_real_error_eV_per_A(charges_n, volume_A3, *, alpha, cutoff_A):
    """Return the RMS force error of cutting the pair half at `cutoff_A`, eV/Å.

    J. Kolafa, J. W. Perram, Mol. Simul. 9, 351 (1992), for uncorrelated ions. doi:10.1080/08927029208049126
    """
    squares = float(np.sum(charges_n**2))
    scale = 2.0 * COULOMB_EV_A * squares / math.sqrt(len(charges_n) * cutoff_A * volume_A3)
    return scale * math.exp(-((alpha * cutoff_A) ** 2))


def predict_mesh_error_eV_per_A(cell, charges_n, *, alpha, mesh_shape, order):
    """Return the RMS force error of the mesh for uncorrelated ions, eV/Å.

    The mean over random positions of the squared difference between the mesh's and the exact pair force,
    summed over pairs. Ions in a crystal, whose charges screen each other, do one and a half to
    four times better.

    V. Ballenegger, J. J. Cerdà, C. Holm, J. Chem. Theory Comput. 8, 936 (2012). doi:10.1021/ct2001792
    """
    cell = compact_basis(cell) @ np.asarray(cell, dtype=float)
    volume = abs(np.linalg.det(cell))
    # The error per volume depends on the mesh's spacing, not its size: a piece of the mesh is enough.
    piece = tuple(min(n_points, _PIECE - n_points % 2) for n_points in mesh_shape)
    piece_cell = cell * (np.array(piece) / np.array(mesh_shape))[:, None]
    piece_volume = abs(np.linalg.det(piece_cell))
    sums = np.zeros((3, 4, max(piece)))
    for axis, n_points in enumerate(piece):
        sums[axis, :, :n_points] = alias_sums(n_points, order)
    reciprocal_gc = np.ascontiguousarray(2.0 * math.pi * np.linalg.inv(piece_cell).T)
    squared = kernels.mean_squared_error(piece, reciprocal_gc, alpha, sums)
    squared = (squared + _tail(piece_cell, piece_volume, alpha, piece)) * volume / piece_volume
    mean_square = float(np.sum(charges_n**2)) / math.sqrt(len(charges_n))
    return 4.0 * math.pi * COULOMB_EV_A / volume * mean_square * math.sqrt(max(squared, 0.0))


def _tail(cell, volume, alpha, mesh_shape):
    """Return the sum of exp(-k^2 / 2 alpha^2) / k^2 over waves finer than the mesh, as an integral."""
    tail = 0.0
    for axis in range(3):
        nyquist = math.pi * mesh_shape[axis] / np.linalg.norm(cell[axis])
        tail += alpha**4 / nyquist**3 * math.exp(-(nyquist**2) / (2.0 * alpha**2))
    return tail * volume / (2.0 * math.pi**2)


def measure_mesh_error(positions_nc, cell, charges_n, *, alpha, mesh_shape, order, relative_accuracy=1e-8):
    """Return the `MeshError` at `positions_nc`, against every wave vector of the exact sum."""
    exact = EwaldSum(cell, charges_n, alpha, relative_accuracy=relative_accuracy)
    reference_nc = exact.compute(positions_nc, cell, stress=False)[2]
    return _mesh_error(reference_nc, positions_nc, cell, charges_n, alpha, mesh_shape, order)


def _mesh_error(reference_nc, positions_nc, cell, charges_n, alpha, mesh_shape, order):
    mesh = ParticleMesh(cell, charges_n, alpha, mesh_shape=mesh_shape, order=order)
    squared_n = np.sum((mesh.compute(positions_nc, cell, stress=False)[2] - reference_nc) ** 2, axis=1)
    return MeshError(math.sqrt(squared_n.mean()), math.sqrt(squared_n.max()))


def _fft_size(n_points):
    """Return the next number of points without a prime factor above 7."""
    while True:
        rest = n_points
        for factor in (2, 3, 5, 7):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return n_points
        n_points += 1


@dataclass(frozen=True)
class _Problem:
    """What every candidate is judged for; errors in eV/Å."""

    cell: np.ndarray
    charges_n: np.ndarray
    volume: float
    allowed: float
    known_errors: dict

    def alpha(self, cutoff_A):
        """Return the splitting whose pair half, cut at `cutoff_A`, has its share of the error."""
        whole = predict_real_error_eV_per_A(self.charges_n, self.volume, alpha=0.0, cutoff_A=cutoff_A)
        share = _REAL_SHARE * self.allowed / _REAL_SAFETY
        return math.sqrt(max(math.log(whole / share), 1.0)) / cutoff_A

    @property
    def allowed_mesh(self):
        return math.sqrt(1.0 - _REAL_SHARE**2) * self.allowed

    def mesh_error(self, alpha, mesh_shape, order):
        key = alpha, mesh_shape, order
        if key not in self.known_errors:
            self.known_errors[key] = predict_mesh_error_eV_per_A(
                self.cell, self.charges_n, alpha=alpha, mesh_shape=mesh_shape, order=order
            )
        return self.known_errors[key]

    def cost_ns(self, cutoff_A, mesh_shape, order):
        n_atoms = len(self.charges_n)
        pairs = n_atoms**2 / self.volume * 2.0 * math.pi / 3.0 * (cutoff_A + _LIST_SKIN_A) ** 3
        return (
            _PAIR_NS * pairs
            + _POINT_NS * math.prod(mesh_shape)
            + n_atoms * (_ATOM_NS + _ATOM_ORDER2_NS * order**2)
        )

    def shapes(self, order):
        """Return mesh shapes from coarse to fine, sizes that the FFT likes, near-cubic mesh cells."""
        edges = np.linalg.norm(self.cell, axis=1)
        shapes = []
        for spacing in 2.5 * 0.96 ** np.arange(60):
            shape = tuple(_fft_size(max(math.ceil(edge / spacing), order)) for edge in edges)
            if not shapes or shape != shapes[-1]:
                shapes.append(shape)
        return shapes

    def cheapest(self, cutoffs_A, correlation):
        """Return (cost, cutoff, alpha, shape, order) of the cheapest candidate predicted to do.

        `correlation` is the mesh error of these ions over that of ions placed at random.
        """
        best = None
        for cutoff_A in cutoffs_A:
            alpha = self.alpha(cutoff_A)
            for order in ORDERS:
                shapes = self.shapes(order)
                low, high = 0, len(shapes) - 1
                while low < high:
                    middle = (low + high) // 2
                    if correlation * self.mesh_error(alpha, shapes[middle], order) <= self.allowed_mesh:
                        high = middle
                    else:
                        low = middle + 1
                if correlation * self.mesh_error(alpha, shapes[low], order) > self.allowed_mesh:
                    continue
                cost = self.cost_ns(cutoff_A, shapes[low], order)
                if best is None or cost < best[0]:
                    best = cost, cutoff_A, alpha, shapes[low], order
        if best is None:
            raise ConfigError(
                f"no mesh reaches a force error of {self.allowed:.3g} eV/Å; ask for a lower accuracy, "
                "or use the exact Ewald sum"
            )
        return best


def choose_splitting(
    cell, charges_n, *, accuracy=1e-4, cutoff_A=None, rms_force_eV_per_A=None, positions_nc=None
):
    """Return the cheapest `Splitting` whose RMS force error is at most `accuracy` of the RMS force.

    Parameters
    ----------
    cell
        Lattice vectors as rows, shape (3, 3), Å.
    charges_n
        Charges, shape (n_atoms,), e.
    accuracy
        Largest relative RMS force error, pairs and mesh together.
    cutoff_A
        Cutoff of the pair half, Å; by default the one that makes pairs and mesh cheapest together.
    rms_force_eV_per_A
        The force that `accuracy` is relative to. By default, and at least, that of a crystal of these
        charges vibrating at 600 K (`thermal_force_eV_per_A`): in a perfect crystal forces vanish, and no
        error is small beside them.
    positions_nc
        Positions, shape (n_atoms, 3), Å. With them the mesh error is measured against the exact sum, on
        these positions plus fixed random displacements of 0.1 Å per axis; without them it is predicted
        for ions placed at random, which is safe and costs a finer mesh.

    Returns
    -------
    Splitting
        The same for the same arguments on the same kind of processor.

    Raises
    ------
    ConfigError
        If all charges are zero, or no mesh is fine enough.
    """
    cell, charges_n = checked_cell(cell), checked_charges(charges_n)
    cell = compact_basis(cell) @ cell
    if not np.any(charges_n):
        raise ConfigError("no ion carries a charge: there is no Coulomb sum to split")
    if not 0.0 < accuracy < 1.0:
        raise ConfigError(f"accuracy must lie between 0 and 1, got {accuracy}")
    if cutoff_A is not None and not cutoff_A > 0.0:
        raise ConfigError(f"cutoff_A must be positive, got {cutoff_A}")
    volume = abs(np.linalg.det(cell))
    force = max(thermal_force_eV_per_A(charges_n, volume), rms_force_eV_per_A or 0.0)
    problem = _Problem(cell, charges_n, volume, accuracy * force, {})
    cutoffs_A = _CUTOFFS_A if cutoff_A is None else (float(cutoff_A),)
    if positions_nc is None:
        _, cutoff, alpha, shape, order = problem.cheapest(cutoffs_A, _MESH_SAFETY)
        error, measured = _MESH_SAFETY * problem.mesh_error(alpha, shape, order), False
    else:
        cutoff, alpha, shape, order, error = _measured_choice(problem, cutoffs_A, positions_nc)
        measured = True
    real = predict_real_error_eV_per_A(charges_n, volume, alpha=alpha, cutoff_A=cutoff)
    splitting = Splitting(alpha, cutoff, shape, order, real / force, error / force, force, measured)
    logger.debug("choose_splitting: %s", splitting)
    return splitting


def _measured_choice(problem, cutoffs_A, positions_nc):
    """Return (cutoff, alpha, shape, order, RMS error) of the cheapest candidate measured to do."""
    positions_nc = np.asarray(positions_nc, dtype=float)
    if positions_nc.shape != (len(problem.charges_n), 3):
        raise ShapeError("positions_nc", f"({len(problem.charges_n)}, 3)", positions_nc.shape)
    rattled_nc = positions_nc + np.random.default_rng(0).normal(0.0, _RATTLE_A, positions_nc.shape)
    references = {}
    correlation, best, tried = 0.3, None, set()
    for _ in range(12):
        cost, cutoff, alpha, shape, order = problem.cheapest(cutoffs_A, correlation)
        if (cutoff, shape, order) in tried:
            break
        tried.add((cutoff, shape, order))
        if alpha not in references:
            exact = EwaldSum(problem.cell, problem.charges_n, alpha, relative_accuracy=1e-8)
            references[alpha] = exact.compute(rattled_nc, problem.cell, stress=False)[2]
        error = _mesh_error(
            references[alpha], rattled_nc, problem.cell, problem.charges_n, alpha, shape, order
        )
        worst = _MEASURED_SAFETY * max(error.rms_eV_per_A, error.max_eV_per_A / _LARGEST_OVER_RMS)
        fits = worst <= problem.allowed_mesh
        if fits and (best is None or cost < best[0]):
            best = cost, cutoff, alpha, shape, order, error.rms_eV_per_A
        measured = 1.05 * worst / problem.mesh_error(alpha, shape, order)
        correlation = measured if fits else max(measured, 1.1 * correlation)
    if best is None:
        raise ConfigError(
            f"no mesh was found whose measured force error is at most {problem.allowed_mesh:.3g} eV/Å; "
            "ask for a lower accuracy, or use the exact Ewald sum"
        )
    return best[1:]
