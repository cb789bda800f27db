"""Rigid molecules: where each is, how it is turned, and how it moves without forces. Ensembles: rigid.py.

Orientations are quaternions; angular momenta are held in the frame of each body's principal axes, where free
rotation is solved exactly for linear molecules and spherical tops and by a symplectic splitting otherwise.
"""

from dataclasses import dataclass

import numpy as np

from simtools.core.errors import ConfigError
from simtools.core.periodic import minimum_image

__all__ = ["RigidBodies", "RigidMolecules", "rotation_matrices"]

LINEAR, EQUAL = 1e-6, 1e-6
"""Relative moments of inertia below which a body counts as linear, and within which they count as equal."""


@dataclass(frozen=True, kw_only=True)
class RigidMolecules:
    """What `run_stages` does with the molecules that ``molecule_id`` names: they move as rigid bodies.

    Attributes
    ----------
    inertia_scale : float
        Factor on every moment of inertia. The configurational ensemble does not depend on it, so 4, 16 or 64
        slow the rotation down and change nothing else but dynamics; the total mass stays.
    frozen_orientation : bool
        No rotation at all: molecules are carried along as they are turned at the start.
    inertia_scale_from : str or None
        Stage from which `inertia_scale` holds; stages before it have the molecules' own inertia, so that
        heavy rotors come to equilibrium as fast as others. By default every stage.
    """

    inertia_scale: float = 1.0
    frozen_orientation: bool = False
    inertia_scale_from: str | None = None

    def __post_init__(self):
        scale = self.inertia_scale
        if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0.0 < scale < np.inf:
            raise ConfigError(f"inertia_scale must be a positive number, got {scale!r}")
        if self.frozen_orientation and scale != 1.0:
            raise ConfigError(
                f"inertia_scale = {scale:g} has no effect with frozen_orientation; leave one of them out"
            )

    def to_dict(self):
        """Return plain data."""
        late = {} if self.inertia_scale_from is None else {"inertia_scale_from": self.inertia_scale_from}
        return {
            "inertia_scale": float(self.inertia_scale),
            "frozen_orientation": self.frozen_orientation,
            **late,
        }

    def in_stage(self, number, names):
        """Return what holds in stage `number` of the stages called `names`.

        Raises
        ------
        ConfigError
            If no stage is called `inertia_scale_from`.
        """
        if self.inertia_scale_from is None:
            return self
        if self.inertia_scale_from not in names:
            raise ConfigError(
                f"inertia_scale_from = {self.inertia_scale_from!r}: no such stage; there are {list(names)}"
            )
        late = number >= list(names).index(self.inertia_scale_from)
        return RigidMolecules(
            inertia_scale=self.inertia_scale if late else 1.0, frozen_orientation=self.frozen_orientation
        )


class RigidBodies:
    """The units that move: atoms by themselves, then molecules, whose shape is that of the start.

    Parameters
    ----------
    atoms
        With ``molecule_id`` (equal numbers make one molecule), masses and momenta. Molecules are made whole:
        their atoms move by lattice vectors to the first atom of each.
    rigid
        A `RigidMolecules`.
    held_n
        Which atoms never move, shape (n_atoms,), or None. A held atom of a molecule holds its centre of mass.

    Attributes
    ----------
    centres_uc, momenta_uc, masses_u1
        Centre of mass (Å), momentum (ASE units) and mass (amu) of every unit; molecules come last.
    quaternions_bk
        Orientation of every molecule, from its principal axes to the laboratory: (w, x, y, z).
    angular_bc
        Angular momentum of every molecule in its principal axes, ASE units, scaled inertia included.
    inertia_bc
        Principal moments of inertia, amu Å², scaled; 0 about the axis of a linear molecule.
    """

    def __init__(self, atoms, rigid, held_n=None):
        if "molecule_id" not in atoms.arrays or not np.any(atoms.arrays["molecule_id"] >= 0):
            raise ConfigError(
                "rigid molecules need the array molecule_id on the atoms (-1 for atoms by themselves), and "
                "at least one molecule; builders and force fields write it"
            )
        identity = np.asarray(atoms.arrays["molecule_id"])
        self.rigid = rigid
        self.singles = np.flatnonzero(identity < 0)
        groups = [np.flatnonzero(identity == k) for k in np.unique(identity[identity >= 0])]
        for group in groups:
            if len(group) < 2:
                raise ConfigError(
                    f"molecule {identity[group[0]]} has one atom; a rigid body needs at least two"
                )
        self.members = np.concatenate(groups)
        self.sizes = np.array([len(group) for group in groups])
        self._starts = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])
        self._body_a = np.repeat(np.arange(len(groups)), self.sizes)
        self.masses_n1 = atoms.get_masses()[:, None]
        masses_a1 = self.masses_n1[self.members]
        body_masses = np.add.reduceat(masses_a1, self._starts, axis=0)
        self.masses_u1 = np.concatenate([self.masses_n1[self.singles], body_masses])
        self.n_singles, self.n_bodies = len(self.singles), len(groups)
        self._make_whole(atoms)
        positions, momenta = atoms.arrays["positions"], atoms.arrays["momenta"]
        weighted = self._sum(masses_a1 * positions[self.members]) / body_masses
        self.centres_uc = np.concatenate([positions[self.singles], weighted])
        self.momenta_uc = np.concatenate([momenta[self.singles], self._sum(momenta[self.members])])
        self._find_shapes(positions, masses_a1)
        self._take_rotation(momenta, masses_a1)
        self.held_u = None
        if held_n is not None:
            of_bodies = np.logical_or.reduceat(held_n[self.members], self._starts)
            self.held_u = np.concatenate([held_n[self.singles], of_bodies])
            self.momenta_uc[self.held_u] = 0.0

    def _make_whole(self, atoms):
        positions = atoms.arrays["positions"]
        first_a = self.members[self._starts][self._body_a]
        gap = minimum_image(positions[self.members] - positions[first_a], np.array(atoms.cell))
        positions[self.members] = positions[first_a] + gap

    def _sum(self, values_a):
        return np.add.reduceat(values_a, self._starts, axis=0)

    def _find_shapes(self, positions, masses_a1):
        arms_ac = positions[self.members] - self.centres_uc[self.n_singles :][self._body_a]
        squares = (arms_ac**2).sum(axis=1)[:, None, None] * np.eye(3)
        tensors = self._sum(masses_a1[:, :, None] * (squares - arms_ac[:, :, None] * arms_ac[:, None, :]))
        moments, axes = np.linalg.eigh(tensors)  # ascending; axes are columns
        axes = axes[:, :, ::-1].copy()  # the axis of a linear molecule comes last
        moments = moments[:, ::-1].copy()
        axes[:, :, 2] *= np.sign(np.linalg.det(axes))[:, None]
        linear = moments[:, 2] < LINEAR * moments[:, 0]
        moments[linear, 2] = 0.0
        active = np.where(linear[:, None], [True, True, False], True)
        mean = np.where(active, moments, 0.0).sum(axis=1) / active.sum(axis=1)
        even = np.all(np.abs(np.where(active, moments - mean[:, None], 0.0)) < EQUAL * mean[:, None], axis=1)
        even |= linear
        moments[even] = np.where(active[even], mean[even, None], 0.0)
        self.even, self.linear = even, linear
        self.inertia_bc = self.rigid.inertia_scale * moments
        self._inverse_bc = np.divide(1.0, self.inertia_bc, out=np.zeros_like(moments), where=active)
        self.quaternions_bk = _quaternions(axes)
        self.shape_ac = np.einsum("aji,aj->ai", axes[self._body_a], arms_ac)
        self.n_rotational = 0 if self.rigid.frozen_orientation else int(active.sum())

    def _take_rotation(self, momenta, masses_a1):
        """Give every body the angular velocity that its atoms have, whatever its inertia is scaled to."""
        velocity_ac = (self.momenta_uc / self.masses_u1)[self.n_singles :][self._body_a]
        own_ac = momenta[self.members] - masses_a1 * velocity_ac
        turned = rotation_matrices(self.quaternions_bk)
        arms_ac = np.einsum("aij,aj->ai", turned[self._body_a], self.shape_ac)
        spin_bc = np.einsum("bji,bj->bi", turned, self._sum(np.cross(arms_ac, own_ac)))
        self.angular_bc = self.rigid.inertia_scale * np.where(self.inertia_bc > 0.0, spin_bc, 0.0)
        if self.rigid.frozen_orientation:
            self.angular_bc[:] = 0.0

    def make_rotation_thermal(self):
        """Turn the rotation of freshly drawn atoms into a thermal one of the scaled inertia."""
        self.angular_bc /= np.sqrt(self.rigid.inertia_scale)

    @property
    def n_translational(self):
        """Degrees of freedom of the centres of mass: 3 per unit less 3, or 3 per unit that is not held."""
        if self.held_u is None:
            return 3 * len(self.masses_u1) - 3
        return 3 * int(np.count_nonzero(~self.held_u))

    @property
    def degrees_of_freedom(self):
        """Those of all units less the three of the whole: 5 per linear, 6 per other molecule, 3 per atom."""
        return self.n_translational + self.n_rotational

    def translational_energy_eV(self):
        """Return the kinetic energy of the centres of mass, eV."""
        return float((self.momenta_uc**2 / (2.0 * self.masses_u1)).sum())

    def rotational_energy_eV(self):
        """Return the kinetic energy of the rotation, eV."""
        return float((0.5 * self.angular_bc**2 * self._inverse_bc).sum())

    def scale(self, factor):
        """Multiply all momenta, linear and angular."""
        self.momenta_uc *= factor
        self.angular_bc *= factor

    def forces_and_torques(self, forces_nc):
        """Return the force on every unit, and the torque on every body in its principal axes."""
        forces_ac = forces_nc[self.members]
        forces_uc = np.concatenate([forces_nc[self.singles], self._sum(forces_ac)])
        if self.held_u is not None:
            forces_uc[self.held_u] = 0.0
        if self.rigid.frozen_orientation:
            return forces_uc, np.zeros_like(self.angular_bc)
        turned = rotation_matrices(self.quaternions_bk)
        local_ac = np.einsum("aji,aj->ai", turned[self._body_a], forces_ac)
        torques_bc = self._sum(np.cross(self.shape_ac, local_ac))
        return forces_uc, np.where(self.inertia_bc > 0.0, torques_bc, 0.0)

    def inner_virial_eV(self, forces_nc):
        """Return the sum of force times arm over the atoms of molecules: atomic less molecular virial, eV."""
        turned = rotation_matrices(self.quaternions_bk)
        arms_ac = np.einsum("aij,aj->ai", turned[self._body_a], self.shape_ac)
        return float((forces_nc[self.members] * arms_ac).sum())

    def rotate(self, interval):
        """Turn every body freely for `interval`, ASE time units."""
        if self.rigid.frozen_orientation:
            return
        even = self.even
        if np.any(even):
            turn_bc = self.angular_bc[even] * self._inverse_bc[even] * interval
            self.quaternions_bk[even] = _turned(self.quaternions_bk[even], turn_bc)
        if not np.all(even):
            odd = ~even
            q, angular, inverse = self.quaternions_bk[odd], self.angular_bc[odd], self._inverse_bc[odd]
            for axis, share in ((0, 0.5), (1, 0.5), (2, 1.0), (1, 0.5), (0, 0.5)):
                angle = share * interval * angular[:, axis] * inverse[:, axis]
                turn = np.zeros((len(angle), 3))
                turn[:, axis] = angle
                q = _turned(q, turn)
                j, k = (axis + 1) % 3, (axis + 2) % 3
                cosine, sine = np.cos(angle), np.sin(angle)
                before = angular[:, j].copy()
                angular[:, j] = cosine * before + sine * angular[:, k]
                angular[:, k] = cosine * angular[:, k] - sine * before
            self.quaternions_bk[odd], self.angular_bc[odd] = q, angular

    def place(self, positions_nc):
        """Write the positions of all atoms, Å."""
        turned = rotation_matrices(self.quaternions_bk)
        positions_nc[self.singles] = self.centres_uc[: self.n_singles]
        arms_ac = np.einsum("aij,aj->ai", turned[self._body_a], self.shape_ac)
        positions_nc[self.members] = self.centres_uc[self.n_singles :][self._body_a] + arms_ac

    def write_momenta(self, momenta_nc):
        """Write mass times velocity of all atoms, ASE units."""
        velocities_uc = self.momenta_uc / self.masses_u1
        momenta_nc[self.singles] = self.momenta_uc[: self.n_singles]
        spin_bc = self.angular_bc * self._inverse_bc
        turned = rotation_matrices(self.quaternions_bk)
        swing_ac = np.einsum(
            "aij,aj->ai", turned[self._body_a], np.cross(spin_bc[self._body_a], self.shape_ac)
        )
        momenta_nc[self.members] = self.masses_n1[self.members] * (
            velocities_uc[self.n_singles :][self._body_a] + swing_ac
        )

    def get_state(self):
        """Return everything that the next step depends on, bit for bit."""
        return {
            "centres_A": self.centres_uc.copy(),
            "momenta": self.momenta_uc.copy(),
            "quaternions": self.quaternions_bk.copy(),
            "angular": self.angular_bc.copy(),
            "inertia": self.inertia_bc.copy(),
            "shape_A": self.shape_ac.copy(),
            "even": self.even.copy(),
        }

    def set_state(self, state):
        """Take back what `get_state` gave."""
        self.centres_uc = np.array(state["centres_A"])
        self.momenta_uc = np.array(state["momenta"])
        self.quaternions_bk = np.array(state["quaternions"])
        self.angular_bc = np.array(state["angular"])
        self.inertia_bc = np.array(state["inertia"])
        self.shape_ac = np.array(state["shape_A"])
        self.even = np.array(state["even"])
        active = self.inertia_bc > 0.0
        self._inverse_bc = np.divide(1.0, self.inertia_bc, out=np.zeros_like(self.inertia_bc), where=active)


def rotation_matrices(quaternions_bk):
    """Return the rotations of unit quaternions (w, x, y, z), shape (n, 3, 3): ``lab = R @ body``."""
    w, x, y, z = quaternions_bk.T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def _quaternions(matrices):
    """Return unit quaternions of rotation matrices, shape (n, 4), w first."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(matrices).as_quat()[:, [3, 0, 1, 2]]


def _turned(quaternions_bk, turn_bc):
    """Return the quaternions after a turn about body axes: angle times axis, rad."""
    angle = np.sqrt((turn_bc**2).sum(axis=1))
    half = 0.5 * angle
    factor = 0.5 * np.sinc(half / np.pi)  # sin(half)/angle, 1/2 at rest
    c, (x, y, z) = np.cos(half), (factor[:, None] * turn_bc).T
    w0, x0, y0, z0 = quaternions_bk.T
    turned = np.stack(
        [
            w0 * c - x0 * x - y0 * y - z0 * z,
            w0 * x + x0 * c + y0 * z - z0 * y,
            w0 * y - x0 * z + y0 * c + z0 * x,
            w0 * z + x0 * y - y0 * x + z0 * c,
        ],
        axis=1,
    )
    return turned / np.sqrt((turned**2).sum(axis=1))[:, None]
