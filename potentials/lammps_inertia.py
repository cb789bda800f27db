"""Bodies in LAMMPS that are slower to turn than their atoms say, or do not turn at all.

``fix rigid/small`` reads mass, place, inertia and momenta of every body from a file, written anew at every
start from the atoms. A frozen orientation is an inertia that no torque moves. Temperatures and energies
that LAMMPS sums over atoms lack the share of a heavier rotation, which is added here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from potentials.topology import find_topology
from simtools.core.units import BOLTZMANN_EV_PER_K

__all__ = [
    "BODIES_FILE",
    "FORCE_UNIT",
    "MOTION",
    "BodyShapes",
    "HeavyNoise",
    "alters_inertia",
    "heavy_bussi_lines",
    "heavy_lines",
]

BODIES_FILE = "bodies.txt"
MOTION = "v_motion"
"""The kinetic energy with that of the scaled rotation, eV."""
FORCE_UNIT = "1.0364269e-4"
"""eV/Å in amu Å/ps², LAMMPS' own."""
_FROZEN = 1e18
"""Factor on the inertia of what shall not turn: under 1 eV/rad for 1 µs, by less than 1e-9 rad."""
_LINEAR = 1e-6


def alters_inertia(rigid) -> bool:
    """Return whether bodies turn otherwise than their atoms say; `rigid` may be None."""
    return rigid is not None and (rigid.frozen_orientation or rigid.inertia_scale != 1.0)


@dataclass(frozen=True)
class BodyShapes:
    """The bodies of a structure as ``fix rigid/small`` numbers them, from 1.

    `members_m` lists the atoms of each, `n_rotational` counts the ways in which all of them can turn (2 per
    linear molecule, 3 per other) and `n_units` bodies and free ions.
    """

    members_m: list
    n_rotational: int
    n_units: int

    @classmethod
    def of(cls, field, atoms):
        """Find them in `atoms`, whose molecules must be whole."""
        members_m = list(find_topology(field, atoms).members_m)
        masses, n_rotational = atoms.get_masses(), 0
        for members in members_m:
            members = np.asarray(members)
            inertia = _centred(masses[members], atoms.positions[members], atoms.positions[members])[2]
            moments = np.linalg.eigvalsh(inertia)
            n_rotational += 2 if moments[0] < _LINEAR * moments[2] else 3
        n_in_bodies = sum(len(members) for members in members_m)
        return cls(members_m, n_rotational, len(atoms) - n_in_bodies + len(members_m))

    @property
    def degrees_of_freedom(self):
        """Of units and rotation, less the three of the whole."""
        return 3 * self.n_units - 3 + self.n_rotational

    def file_text(self, masses_n, positions_nc, velocities_nc, rigid) -> str:
        """Return what ``infile`` reads: positions unwrapped (Å), velocities Å/ps, all in LAMMPS' frame."""
        scale = _FROZEN if rigid.frozen_orientation else rigid.inertia_scale
        lines = [str(len(self.members_m))]
        for number, members in enumerate(self.members_m, start=1):
            members = np.asarray(members)
            mass_a = masses_n[members]
            centre, velocity, inertia, spin = _centred(mass_a, positions_nc[members], velocities_nc[members])
            spin = np.zeros(3) if rigid.frozen_orientation else scale * spin
            tensor = scale * inertia
            values = [mass_a.sum(), *centre, *np.diag(tensor), tensor[0, 1], tensor[0, 2], tensor[1, 2]]
            values += [*velocity, *spin]
            lines.append(f"{number} {' '.join(repr(float(x)) for x in values)} 0 0 0")
        return "\n".join(lines) + "\n"


def _centred(mass_a, positions_ac, velocities_ac):
    """Return centre, its velocity, tensor of inertia and angular momentum about it."""
    share_a1 = (mass_a / mass_a.sum())[:, None]
    centre, velocity = (share_a1 * positions_ac).sum(axis=0), (share_a1 * velocities_ac).sum(axis=0)
    arms = positions_ac - centre
    squares = (mass_a * (arms**2).sum(axis=1)).sum()
    inertia = squares * np.eye(3) - (mass_a[:, None] * arms).T @ arms
    spin = (mass_a[:, None] * np.cross(arms, velocities_ac - velocity)).sum(axis=0)
    return centre, velocity, inertia, spin


def heavy_lines(shapes: BodyShapes, rigid, fix: str) -> list[str]:
    """Return what comes after the fix of the bodies: degrees of freedom, and the energy of the rotation."""
    if rigid.frozen_orientation:
        return [f"compute_modify thermo_temp extra/dof {3 + shapes.n_rotational}"]
    return [
        f"compute spin all erotate/rigid {fix}",
        "compute kinetic all ke",
        f"variable motion equal c_kinetic+c_spin*{1.0 - 1.0 / rigid.inertia_scale!r}",
    ]


def heavy_bussi_lines(stage, rigid, bodies: str, free: str) -> list[str]:
    """Return the thermostat of Bussi, Donadio and Parrinello for bodies of scaled inertia, and for ions.

    ``fix temp/csvr`` would draw its factor from the kinetic energy of atoms. Here it follows from equation A7
    of [1]_ with the numbers of `HeavyNoise`, and acts one step late as in `potentials.lammps_rigid`: by a
    force m v (alpha - 1)/dt, in which the velocity of an atom seen from its body's centre counts with the
    scale, so that angular momenta scale too.

    References
    ----------
    .. [1] G. Bussi, D. Donadio, M. Parrinello, J. Chem. Phys. 126, 014101 (2007). doi:10.1063/1.2408420
    """
    kept = math.exp(-stage.timestep_fs / 1000.0 / stage.tau_ps)
    bath = 0.5 * BOLTZMANN_EV_PER_K * stage.temperature_K * (1.0 - kept)
    scale = float(rigid.inertia_scale)
    velocities = [
        f"({scale!r}*v{axis}+{1.0 - scale!r}*c_drift[{k}])" for k, axis in enumerate("xyz", start=1)
    ]
    return [
        "variable power atom fx*vx+fy*vy+fz*vz",
        "compute power all reduce sum v_power",
        "variable pulled equal f_pull",
        "variable work equal v_pulled*dt*(2.0*v_motion-0.5*dt*c_power)",
        "fix work all ave/time 1 1 1 v_work ave running",
        "variable counted equal f_work*(step-v_first+1)",
        "variable nth equal step-v_base+1",
        f"variable bath equal {bath!r}/v_motion",
        f"variable kept equal {kept!r}",
        "variable alpha equal sqrt(v_kept+v_bath*v_squares[v_nth]+2.0*v_normal[v_nth]*sqrt(v_kept*v_bath))",
        "variable pull equal (step>v_first)*(v_alpha-1.0)/dt",
        "fix pull all ave/time 1 1 1 v_pull",
        f"compute whose {bodies} chunk/atom molecule",
        f"compute drifts {bodies} vcm/chunk whose",
        f"compute drift {bodies} chunk/spread/atom whose c_drifts[1] c_drifts[2] c_drifts[3]",
        *(f"variable push{axis} atom v_pulled*mass*v{axis}*{FORCE_UNIT}" for axis in "xyz"),
        *(f"variable twist{k} atom v_pulled*mass*{v}*{FORCE_UNIT}" for k, v in enumerate(velocities)),
        f"fix push {free} addforce v_pushx v_pushy v_pushz",
        f"fix twist {bodies} addforce v_twist0 v_twist1 v_twist2",
    ]


class HeavyNoise:
    """The random numbers of `heavy_bussi_lines`, in order of the steps however these are cut into runs.

    Parameters
    ----------
    shapes
        Of the bodies.
    seed, step
        Of the thermostat, and where this start of LAMMPS begins.
    """

    def __init__(self, shapes: BodyShapes, seed: int, step: int):
        self._others = shapes.degrees_of_freedom - 1
        self._random = np.random.default_rng([seed, step])
        self._step = step

    def lines(self, n_steps: int) -> list[str]:
        """Return what gives LAMMPS the numbers of the next `n_steps`; the first of each list is not used."""
        normal, squares = [0.0], [1.0]
        for _ in range(n_steps):
            normal.append(float(self._random.standard_normal()))
            squares.append(normal[-1] ** 2 + float(self._random.chisquare(self._others)))
        base, self._step = self._step, self._step + n_steps
        return [
            f"variable base equal {base}",
            f"variable normal vector [{','.join(map(repr, normal))}]",
            f"variable squares vector [{','.join(map(repr, squares))}]",
        ]
