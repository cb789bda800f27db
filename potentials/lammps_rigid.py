"""Rigid molecules in LAMMPS: which particles are bodies, and one thermostat for them and the free ions.

``fix temp/csvr`` scales velocities of atoms, which bodies do not take over, and ``fix rigid/nvt/small`` is a
second thermostat: it would not keep the total momentum. So ``fix temp/csvr`` draws its factor for a group
without atoms from the kinetic energy of all, and a force along every momentum applies that factor to all
particles alike in the next step: bodies scale with their linear and angular momenta, and the forces sum to
zero.
"""

from __future__ import annotations

from potentials.force_field import ForceField
from potentials.lammps_inertia import BODIES_FILE, alters_inertia, heavy_bussi_lines, heavy_lines
from potentials.topology import find_topology
from simtools.core.errors import ConfigError

__all__ = ["BODIES", "HEAT", "check_rigid_stage", "needs_noise", "rigid_group_lines", "rigid_motion_lines"]

BODIES = "bodies"
HEAT = "v_counted"
"""What the thermostat of bodies gave, twice: as ``fix temp/csvr`` believes, less, and as the force did."""
_FREE = "free"
_NOBODY = "nobody"


def check_rigid_stage(field: ForceField, atoms, stage) -> None:
    """Refuse a stage of rigid molecules that LAMMPS is not asked to run.

    Raises
    ------
    ConfigError
        For shells, atoms without molecules of the force field, NPT and Nose-Hoover.
    """
    if field.shells:
        raise ConfigError("rigid molecules beside shells are not available in LAMMPS; leave engine out")
    if not field.molecules or not find_topology(field, atoms).kind_m:
        raise ConfigError(
            f"rigid molecules in LAMMPS are those that the force field names, but {field.name} finds none; "
            "leave engine out for the embedded engine"
        )
    if stage.ensemble == "NPT":
        raise ConfigError(
            f"stage {stage.name!r}: NPT of rigid molecules beside free ions is not available in LAMMPS; give "
            "lattice_parameter_A, or leave engine out for the embedded engine"
        )
    if stage.ensemble == "NVT" and stage.thermostat == "nose-hoover":
        raise ConfigError(
            "thermostat = 'nose-hoover': in LAMMPS bodies and ions would have one chain each, which do not "
            "keep the total momentum; expected 'bussi' with rigid molecules"
        )


def rigid_group_lines(field: ForceField, atoms) -> list[str]:
    """Return the groups of bodies and of free ions; LAMMPS' molecules are numbered bodies first."""
    n_bodies = len(find_topology(field, atoms).kind_m)
    return [f"group {BODIES} molecule <= {n_bodies}", f"group {_FREE} subtract all {BODIES}"]


def needs_noise(stage, rigid) -> bool:
    """Return whether the thermostat's random numbers are given (`potentials.lammps_inertia.HeavyNoise`)."""
    return _is_heavy(rigid) and stage.ensemble == "NVT" and stage.thermostat == "bussi"


def _is_heavy(rigid):
    return alters_inertia(rigid) and not rigid.frozen_orientation


def rigid_motion_lines(stage, thermostat: str, kelvin: str, noise: int, *, rigid, shapes=None) -> list[str]:
    """Return the fixes that move bodies and free ions in NVE or NVT.

    Parameters
    ----------
    stage
        With the attributes of `simtools.md.stages.Stage`.
    thermostat
        "bussi" or "langevin"; without effect in NVE.
    kelvin
        Temperature at the start and at the end, as LAMMPS reads them.
    noise
        Seed of the thermostat.
    rigid
        With the attributes of `simtools.md.rigid_bodies.RigidMolecules`.
    shapes
        `potentials.lammps_inertia.BodyShapes`, needed where `rigid` alters how bodies turn.

    Notes
    -----
    With the velocities v of the half step and the factor alpha of the step before, the added force is
    m v (alpha - 1)/dt: a leapfrog step scales every momentum by alpha. The factor is that of G. Bussi,
    D. Donadio and M. Parrinello, J. Chem. Phys. 126, 014101 (2007), doi:10.1063/1.2408420, taken back from
    the heat that ``fix temp/csvr`` counts. The work of that force, force times the velocity of the full step,
    is summed at every step. Langevin's friction and noise on the atoms of a body are friction
    and noise on its linear and angular momentum, with the same damping.
    """
    altered = alters_inertia(rigid)
    lines = []
    if needs_noise(stage, rigid):
        lines += heavy_bussi_lines(stage, rigid, BODIES, _FREE)
    elif stage.ensemble != "NVE":
        lines += _LANGEVIN if thermostat == "langevin" else _BUSSI
        lines = [
            line.format(kelvin=kelvin, tau=repr(stage.tau_ps), noise=noise, nobody=_NOBODY) for line in lines
        ]
    return [
        *lines,
        f"fix turn {BODIES} rigid/nve/small molecule{f' infile {BODIES_FILE}' if altered else ''}",
        f"fix move {_FREE} nve",
        *(heavy_lines(shapes, rigid, "turn") if altered else []),
    ]


_LANGEVIN = ["fix warm all langevin {kelvin} {tau} {noise} zero yes tally yes"]
_BUSSI = [
    "group {nobody} empty",
    "compute motion all ke",
    "fix warm {nobody} temp/csvr {kelvin} {tau} {noise}",
    "fix_modify warm temp thermo_temp",
    "variable power atom fx*vx+fy*vy+fz*vz",
    "compute power all reduce sum v_power",
    "variable pulled equal f_pull",
    "variable work equal v_pulled*dt*(2.0*c_motion-0.5*dt*c_power)",
    "fix work all ave/time 1 1 1 v_work ave running",
    "variable counted equal f_warm+f_work*(step-v_first+1)",
    "variable alpha equal sqrt(1.0-(step>v_first)*(f_warm-f_before)/c_motion)",
    "variable pull equal (v_alpha-1.0)/dt",
    "fix pull all ave/time 1 1 1 v_pull",
    "fix before all ave/time 1 1 1 f_warm",
    *(f"variable push{axis} atom v_pulled*mass*v{axis}*1.0364269e-4" for axis in "xyz"),
    "fix push all addforce v_pushx v_pushy v_pushz",
]
