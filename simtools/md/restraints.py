"""A flat-bottom cone that keeps molecules from turning far from where they were. Rigid bodies: rigid.py.

Librations inside the cone feel nothing; beyond it a spring turns the molecule back. The forces are the exact
gradient, for rigid and for flexible molecules, and neither push a molecule nor change an isotropic pressure.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from scipy.spatial.transform import Rotation

from simtools.core.errors import ConfigError
from simtools.core.periodic import cell_heights_A, minimum_image

__all__ = ["ConeRestraint", "RestrainedCalculator", "RestrainedMolecules"]

LINEAR = 0.01
"""Smallest over largest moment of inertia below which a molecule has an axis only, no turn about it."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ConeRestraint:
    r"""What `run_stages` does to the orientation of molecules: large turns are held back, librations kept.

    Each molecule that has turned by :math:`\theta > \theta_c` has
    :math:`U = \tfrac12 k (\theta - \theta_c)^2`, any other nothing.

    Attributes
    ----------
    angle_deg : float
        :math:`\theta_c`, above 0 and below 180.
    stiffness_eV_per_rad2 : float
        k. Angles beyond the cone are Boltzmann distributed: about :math:`\sqrt{kT/k}` beyond it is common,
        five times that is not, unless the crystal pulls outwards.
    reference_positions_A : ndarray or None
        Positions of all atoms, shape (n_atoms, 3), that hold the reference orientations, such as averages of
        a run; by default the start. Only directions seen from each molecule's centre of mass count.
    """

    angle_deg: float
    stiffness_eV_per_rad2: float = 5.0
    reference_positions_A: np.ndarray | None = None

    def __post_init__(self):
        for name, top in (("angle_deg", 180.0), ("stiffness_eV_per_rad2", np.inf)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 < value < top:
                limit = f" below {top:g}" if np.isfinite(top) else ""
                raise ConfigError(f"{name} must be a positive number{limit}, got {value!r}")
        if self.reference_positions_A is not None:
            given = np.array(self.reference_positions_A, dtype=float)
            if given.ndim != 2 or given.shape[1] != 3 or not np.isfinite(given).all():
                raise ConfigError(
                    f"reference_positions_A must be finite numbers of shape (n_atoms, 3), got {given.shape}"
                )
            given.setflags(write=False)
            object.__setattr__(self, "reference_positions_A", given)

    def to_dict(self):
        """Return plain data; reference positions as their digest."""
        given = self.reference_positions_A
        return {
            "angle_deg": float(self.angle_deg),
            "stiffness_eV_per_rad2": float(self.stiffness_eV_per_rad2),
            "reference": "start" if given is None else hashlib.sha256(given.tobytes()).hexdigest(),
        }


class RestrainedMolecules:
    r"""The molecules of a structure with their reference orientations.

    A linear molecule has turned by the angle :math:`\theta` between its axis
    :math:`\hat u \propto \sum_i m_i x_i \mathbf s_i` and that of the reference, where :math:`\mathbf s_i` is
    seen from the centre of mass and :math:`x_i` along the reference's axis: the bond of a pair. Any other has
    turned by the angle of the rotation R that best lays the reference :math:`\mathbf d_i` onto it,
    maximising :math:`\sum_i m_i \mathbf s_i \cdot R \mathbf d_i`. With
    :math:`S = \sum_i m_i \mathbf s_i (R \mathbf d_i)^T`, a displacement turns R by :math:`\delta\omega`,

    .. math:: (\mathrm{tr} S - S)\, \delta\omega = \sum_i m_i (R\mathbf d_i) \times \delta\mathbf s_i ,

    so :math:`\nabla_i \theta = m_i\, \alpha \times R\mathbf d_i`, :math:`(\mathrm{tr} S - S) \alpha = n` with
    n the axis of R. On an undeformed molecule :math:`\mathrm{tr} S - S` is the tensor of inertia. Turning a
    molecule as it is, deformed or not, meets the torque :math:`-k(\theta-\theta_c) n`. Atoms are told apart:
    a tetrahedron turned onto itself counts as turned.

    Parameters
    ----------
    atoms
        With ``molecule_id`` (equal numbers make one molecule) and masses.
    restraint
        A `ConeRestraint`.

    References
    ----------
    .. [1] W. Kabsch, Acta Cryst. A32, 922 (1976). doi:10.1107/S0567739476001873
    .. [2] B. K. P. Horn, J. Opt. Soc. Am. A 4, 629 (1987). doi:10.1364/JOSAA.4.000629
    """

    def __init__(self, atoms, restraint):
        if "molecule_id" not in atoms.arrays or not np.any(atoms.arrays["molecule_id"] >= 0):
            raise ConfigError(
                "a cone restraint needs the array molecule_id on the atoms (-1 for atoms by themselves), and "
                "at least one molecule; builders and force fields write it"
            )
        given = restraint.reference_positions_A
        if given is not None and len(given) != len(atoms):
            raise ConfigError(f"reference_positions_A holds {len(given)} atoms, expected {len(atoms)}")
        identity = np.asarray(atoms.arrays["molecule_id"])
        groups = [np.flatnonzero(identity == k) for k in np.unique(identity[identity >= 0])]
        for group in groups:
            if len(group) < 2:
                raise ConfigError(f"molecule {identity[group[0]]} has one atom, which has no orientation")
        self.restraint = restraint
        self.groups = groups
        self.members = np.concatenate(groups)
        sizes = np.array([len(group) for group in groups])
        self._starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        self._body_a = np.repeat(np.arange(len(groups)), sizes)
        self._masses_a1 = atoms.get_masses()[self.members, None]
        self._total_b1 = self._sum(self._masses_a1)
        cell = np.array(atoms.cell)
        self.reference_ac = self._arms(atoms.positions if given is None else given, cell)
        self._find_axes()

    def _sum(self, values_a):
        return np.add.reduceat(values_a, self._starts, axis=0)

    def _arms(self, positions_nc, cell):
        """Return the atoms of molecules seen from the centre of mass of each, Å."""
        place_ac = positions_nc[self.members]
        arms_ac = place_ac - place_ac[self._starts][self._body_a]
        if np.max(np.sum(arms_ac**2, axis=1)) >= (0.5 * np.min(cell_heights_A(cell))) ** 2:
            arms_ac = minimum_image(arms_ac, cell)
        centre_bc = self._sum(self._masses_a1 * arms_ac) / self._total_b1
        return arms_ac - centre_bc[self._body_a]

    def _moments(self, a_ac, b_ac):
        return self._sum(self._masses_a1[:, :, None] * a_ac[:, :, None] * b_ac[:, None, :])

    def _find_axes(self):
        spread, axes = np.linalg.eigh(self._moments(self.reference_ac, self.reference_ac))
        self.linear = spread[:, 0] + spread[:, 1] < LINEAR * (spread[:, 2] + spread[:, 1])
        axis_bc = axes[:, :, 2]
        self._along_a1 = np.sum(self.reference_ac * axis_bc[self._body_a], axis=1, keepdims=True)
        self._axis_bc = axis_bc

    def reference_by_atom(self):
        """Return what fixes the angle by atom, in the order of `members`: vectors (n, 3) and weights (n,).

        Of a linear molecule the axis of the reference, and mass times place along it (amu Å); of any other
        mass times place seen from the centre of mass (amu Å), and 0.
        """
        linear_a1 = self.linear[self._body_a, None]
        weights_a1 = self._masses_a1 * self._along_a1
        vectors_ac = np.where(linear_a1, self._axis_bc[self._body_a], self._masses_a1 * self.reference_ac)
        return vectors_ac, np.where(linear_a1, weights_a1, 0.0)[:, 0]

    def angles_deg(self, positions_nc, cell):
        """Return by how much every molecule has turned from its reference, degrees, shape (n_molecules,)."""
        return np.degrees(self._angles_and_gradient(self._arms(positions_nc, cell))[0])

    def energy_forces_and_virial(self, positions_nc, cell):
        """Return energy (eV), forces (n_atoms, 3) (eV/Å) and dE/dstrain (3, 3), symmetric, traceless (eV)."""
        arms_ac = self._arms(positions_nc, cell)
        theta_b, gradient_ac = self._angles_and_gradient(arms_ac)
        beyond_b = np.maximum(theta_b - np.radians(self.restraint.angle_deg), 0.0)
        stiffness = self.restraint.stiffness_eV_per_rad2
        slope_ac = stiffness * beyond_b[self._body_a, None] * gradient_ac
        forces_nc = np.zeros_like(positions_nc)
        forces_nc[self.members] = -slope_ac
        virial_cc = slope_ac.T @ arms_ac
        return 0.5 * stiffness * float(beyond_b @ beyond_b), forces_nc, 0.5 * (virial_cc + virial_cc.T)

    def _angles_and_gradient(self, arms_ac):
        theta_b, gradient_ac = self._about_axes(arms_ac)
        if not np.all(self.linear):
            turned_b, other_ac = self._about_fits(arms_ac)
            theta_b = np.where(self.linear, theta_b, turned_b)
            gradient_ac = np.where(self.linear[self._body_a, None], gradient_ac, other_ac)
        return theta_b, gradient_ac

    def _about_axes(self, arms_ac):
        weights_a1 = self._masses_a1 * self._along_a1
        vector_bc = self._sum(weights_a1 * arms_ac)
        length_b1 = np.linalg.norm(vector_bc, axis=1, keepdims=True)
        u_bc = vector_bc / length_b1
        cosine_b1 = np.sum(u_bc * self._axis_bc, axis=1, keepdims=True)
        away_bc = cosine_b1 * u_bc - self._axis_bc  # grows along the turn; as long as the sine of the angle
        sine_b1 = np.linalg.norm(away_bc, axis=1, keepdims=True)
        unit_bc = np.divide(away_bc, sine_b1, out=np.zeros_like(away_bc), where=sine_b1 > 0.0)
        theta_b = np.arctan2(sine_b1, cosine_b1)[:, 0]
        return theta_b, weights_a1 * (unit_bc / length_b1)[self._body_a]

    def _about_fits(self, arms_ac):
        left, size, right = np.linalg.svd(self._moments(arms_ac, self.reference_ac))
        sign_b = np.sign(np.linalg.det(left @ right))  # -1 where a mirror image would fit better
        size[:, 2] *= sign_b
        turn = np.concatenate([left[:, :, :2], left[:, :, 2:] * sign_b[:, None, None]], axis=2) @ right
        vector_bc = Rotation.from_matrix(turn).as_rotvec()
        theta_b = np.linalg.norm(vector_bc, axis=1)
        n_bc = np.divide(
            vector_bc, theta_b[:, None], out=np.zeros_like(vector_bc), where=theta_b[:, None] > 0
        )
        resistance_bc = size.sum(axis=1, keepdims=True) - size
        local_bc = np.einsum("bji,bj->bi", left, n_bc)
        local_bc = np.divide(
            local_bc, resistance_bc, out=np.zeros_like(local_bc), where=~self.linear[:, None]
        )
        alpha_bc = np.einsum("bij,bj->bi", left, local_bc)
        laid_ac = np.einsum("aij,aj->ai", turn[self._body_a], self.reference_ac)
        return theta_b, self._masses_a1 * np.cross(alpha_bc[self._body_a], laid_ac)


class RestrainedCalculator(Calculator):
    """Any ASE calculator with a cone restraint on its molecules: energies, forces and stress hold both.

    Parameters
    ----------
    calculator
        Any ASE calculator. What it offers beyond ASE's interface (``get_state``, ``settings`` and the like)
        is passed on.
    atoms
        With ``molecule_id``, masses and, unless the restraint brings its own, the reference orientations.
    restraint
        A `ConeRestraint`.
    """

    def __init__(self, calculator, atoms, restraint):
        super().__init__()
        self.inner = calculator
        self.molecules = RestrainedMolecules(atoms, restraint)
        offered = getattr(calculator, "implemented_properties", ("energy", "forces"))
        ours = ("energy", "free_energy", "forces", "stress")
        self.implemented_properties = [name for name in ours if name in offered]

    def __getattr__(self, name):
        if name.startswith("__") or name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """Compute the wrapped calculator's answer and add the restraint's, into `results`."""
        super().calculate(atoms, properties, system_changes)
        stress = "stress" in properties
        inner = self._answer_of_inner(self.atoms if atoms is None else atoms, stress, system_changes)
        positions_nc, cell = np.asarray(self.atoms.positions, dtype=float), np.array(self.atoms.cell)
        energy, forces_nc, virial_cc = self.molecules.energy_forces_and_virial(positions_nc, cell)
        results = {name: inner[name] + energy for name in ("energy", "free_energy") if name in inner}
        results["forces"] = inner["forces"] + forces_nc
        if stress:
            voigt = virial_cc[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
            results["stress"] = inner["stress"] + voigt / abs(np.linalg.det(cell))
        self.results = results

    def _answer_of_inner(self, atoms, stress, system_changes):
        if isinstance(self.inner, Calculator):
            properties = ["energy", "forces", "stress"] if stress else ["energy", "forces"]
            self.inner.results = {}
            self.inner.calculate(atoms, properties, list(system_changes))
            return self.inner.results
        bare = atoms.copy()
        bare.calc = self.inner
        answer = {"forces": bare.get_forces(), "energy": bare.get_potential_energy()}
        if "free_energy" in self.implemented_properties:
            answer["free_energy"] = bare.get_potential_energy(force_consistent=True)
        if stress:
            answer["stress"] = bare.get_stress()
        return answer

    def reset(self):
        """Forget the last answer, here and in the wrapped calculator."""
        super().reset()
        inner = self.__dict__.get("inner")
        if hasattr(inner, "reset"):
            inner.reset()
