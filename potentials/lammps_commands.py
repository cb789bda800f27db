"""The commands of one stage of dynamics in LAMMPS: ensemble and samples. Speaking them: lammps_stage.py.

A stage is anything with the attributes of `simtools.md.stages.Stage`.
"""

from __future__ import annotations

import math

from potentials.force_field import ForceField
from potentials.lammps_inertia import MOTION, alters_inertia
from potentials.lammps_pairs import has_tables
from potentials.lammps_rigid import HEAT, rigid_motion_lines
from potentials.lammps_text import (
    SHELL_MASS_SHARE,
    atom_style,
    interaction_lines,
    shell_groups,
    typed_field,
)
from potentials.shells import shell_name
from simtools.core.errors import ConfigError

__all__ = [
    "BAROSTAT_POSITION",
    "BAR_PER_GPA",
    "KINETIC_OF_ALL",
    "check_stage",
    "forces_lines",
    "group_lines",
    "held_group_lines",
    "log_columns",
    "longest_shell_timestep_fs",
    "mass_classes",
    "sample_lines",
    "stage_lines",
    "start_lines",
    "thermostat_words",
]

TABLE_FILE = "pairs.table"
FRAMES_FILE = "frames.bin"
FINE_FILE = "fine.txt"
_COLUMNS = ("step", "temp", "pe", "ke", "econserve", "vol", "press")
KINETIC_OF_ALL = "c_whole"
"""Of cores and shells alike: compute temp/cs leaves out how they move against each other."""
BAROSTAT_POSITION = "f_move[9]"
"""Of the first thermostat on the barostat. LAMMPS (22 Jul 2025) moves it for one degree of freedom with
``iso``, but counts its energy for three: two times kT times this position is too much in its conserved
quantity.
"""
BAR_PER_GPA = 1e4
_SKIN_A = 1.0
_MESH_ORDER = 7  # half the time of LAMMPS' own 5 for the mesh at the same accuracy (20480 ions, 1e-5)
_MOVERS = "movers"
_NUMBERS_PER_LINE = 500
_LARGEST_SEED = 900_000_000
_STEPS_PER_SHELL_PERIOD = 20
_AMU_A2_PER_PS2_PER_EV = 9648.53321
_WORDS = {
    "bussi": "Bussi, as fix temp/csvr",
    "nose-hoover": "Nose-Hoover chain of 3, as fix nvt",
    "langevin": "Langevin, as fix langevin",
    "npt": "Nose-Hoover chains and isotropic MTK barostat, as fix npt",
}


def thermostat_words(field: ForceField, stage) -> str | None:
    """Return how LAMMPS keeps the temperature of a stage, in words; None in NVE."""
    if stage.ensemble == "NVE":
        return None
    if stage.ensemble == "NPT":
        return _WORDS["npt"]
    return _WORDS[_thermostat(field, stage)]


def _thermostat(field, stage):
    """Return the thermostat that acts: Langevin noise would heat the springs of shells, so it is Bussi's."""
    return "bussi" if field.shells and stage.thermostat == "langevin" else stage.thermostat


def longest_shell_timestep_fs(field: ForceField) -> float | None:
    """Return the longest time step that follows the vibration of every shell, fs; None without shells.

    A twentieth of the period of a shell of a tenth of its ion's mass on its spring.
    """
    if not field.shells:
        return None
    periods = []
    for species, shell in field.shells.items():
        mass = SHELL_MASS_SHARE * (1.0 - SHELL_MASS_SHARE) * field.masses_amu[species]
        frequency = math.sqrt(shell.spring_eV_per_A2 * _AMU_A2_PER_PS2_PER_EV / mass)
        periods.append(2.0 * math.pi / frequency)
    return 1000.0 * min(periods) / _STEPS_PER_SHELL_PERIOD


def check_stage(field: ForceField, timestep_fs: float) -> None:
    """Refuse a force field whose shells a time step cannot follow.

    Raises
    ------
    ConfigError
        Naming the longest time step.
    """
    longest = longest_shell_timestep_fs(field)
    if longest is not None and timestep_fs > longest:
        raise ConfigError(
            f"timestep_fs = {timestep_fs:g}: the shells of {field.name} vibrate in LAMMPS, expected at most "
            f"{math.floor(100 * longest) / 100:g} fs (a twentieth of their period); shorten it, or leave "
            "engine out for the embedded engine, which relaxes them"
        )


def mass_classes(field: ForceField, elements: list[str]) -> list[tuple[str, float, tuple[str, ...]]]:
    """Return (element, mass of its ions in amu, species) for every mass of every element, elements in order.

    In a molecule an element may have another mass than by itself.
    """
    classes = []
    for element in elements:
        members = [name for name in field.species if field.element_of(name) == element]
        for mass in sorted({field.masses_amu[name] for name in members}):
            classes.append((element, mass, tuple(n for n in members if field.masses_amu[n] == mass)))
    return classes


def group_lines(field: ForceField, elements: list[str]) -> list[str]:
    """Return the groups: one per class of `mass_classes`, and those of cores and shells."""
    types = {name: index for index, name in enumerate(typed_field(field).species, start=1)}
    lines = shell_groups(field)
    for number, (_, _, names) in enumerate(mass_classes(field, elements)):
        members = [*names, *(shell_name(name) for name in names if name in field.shells)]
        lines.append(f"group element{number} type {' '.join(str(types[name]) for name in members)}")
    return lines


def start_lines(field: ForceField, data: str, more: str = "") -> list[str]:
    """Return units, kind of particles and the data file to begin from; `more` ends the line that reads it."""
    return ["units metal", f"atom_style {atom_style(field)}", "boundary p p p", f"read_data {data}{more}"]


def forces_lines(field: ForceField, kspace_accuracy: float | None, *, small_cell: bool) -> list[str]:
    """Return everything that acts between the particles, and the neighbour list.

    `small_cell`: whether ions see their own images (`potentials.lammps_shells.images_apart`).
    """
    table = _Named(TABLE_FILE) if has_tables(field) else None
    return [
        *interaction_lines(field, table, None, kspace_accuracy, None, False, small_cell=small_cell),
        *([f"kspace_modify order {_MESH_ORDER}"] if kspace_accuracy is not None else []),
        f"neighbor {_SKIN_A!r} bin",
        "neigh_modify delay 0 every 1 check yes one 20000 page 400000",
    ]


class _Named:
    """A file as `interaction_lines` wants it: by its name."""

    def __init__(self, name):
        self.name = name


def held_group_lines(held_n) -> list[str]:
    """Return the group of the particles that move, with those left out that `held_n` (n_ions,) names.

    What is held takes momentum up: three degrees of freedom per particle that moves, none less.
    """
    numbers = [str(index + 1) for index, held in enumerate(held_n) if held]
    rows = [numbers[start : start + _NUMBERS_PER_LINE] for start in range(0, len(numbers), _NUMBERS_PER_LINE)]
    return [
        *(f"group held id {' '.join(row)}" for row in rows),
        f"group {_MOVERS} subtract all held",
        f"compute warmth {_MOVERS} temp",
        "compute_modify warmth extra/dof 0",
    ]


def stage_lines(
    field: ForceField, stage, seed: int, *, rigid=None, shapes=None, held: bool = False
) -> list[str]:
    """Return time step, temperature and the fixes that move the particles.

    `seed` is that of the thermostat's noise; LAMMPS takes 1 to 900000000. With `rigid` molecules are bodies
    (`rigid` and `shapes` as in `potentials.lammps_rigid.rigid_motion_lines`).
    """
    noise = seed % _LARGEST_SEED + 1
    lines = [f"timestep {stage.timestep_fs / 1000.0!r}"]
    if field.shells:
        lines.append("compute warmth all temp/cs cores shells")
    kelvin = f"{stage.temperature_K!r} {stage.temperature_K!r}"
    thermostat = _thermostat(field, stage)
    if rigid:
        return [*lines, *rigid_motion_lines(stage, thermostat, kelvin, noise, rigid=rigid, shapes=shapes)]
    who = _MOVERS if held else "all"
    if stage.ensemble == "NPT":
        bar = f"{stage.pressure_GPa * BAR_PER_GPA!r}"
        lines.append(
            f"fix move all npt temp {kelvin} {stage.tau_ps!r} iso {bar} {bar} {stage.barostat_tau_ps!r}"
        )
    elif thermostat == "nose-hoover":
        lines.append(f"fix move {who} nvt temp {kelvin} {stage.tau_ps!r}")
    else:
        lines.append(f"fix move {who} nve")
    if thermostat == "bussi":
        lines.append(f"fix warm {who} temp/csvr {kelvin} {stage.tau_ps!r} {noise}")
    elif thermostat == "langevin":
        at_rest = "no" if held else "yes"
        lines.append(f"fix warm {who} langevin {kelvin} {stage.tau_ps!r} {noise} zero {at_rest} tally yes")
    own_temperature = field.shells or (held and thermostat != "langevin")
    if own_temperature and stage.ensemble != "NVE":
        lines.append(f"fix_modify {'warm' if thermostat == 'bussi' else 'move'} temp warmth")
    return lines


def log_columns(field: ForceField, stage, *, rigid=None) -> tuple[str, ...]:
    """Return the columns of the log of a stage."""
    shells = (KINETIC_OF_ALL,) if field.shells else ()
    heat = (HEAT,) if rigid and stage.ensemble == "NVT" and stage.thermostat == "bussi" else ()
    heavy = (MOTION,) if alters_inertia(rigid) and not rigid.frozen_orientation else ()
    return (*_COLUMNS, *shells, *heat, *heavy, *((BAROSTAT_POSITION,) if stage.ensemble == "NPT" else ()))


def sample_lines(
    field: ForceField, stage, elements: list[str], *, rigid=None, held: bool = False
) -> list[str]:
    """Return what is written on the way: the log, frames of all ions, momenta of each element and mass.

    Momenta go to a file of ``fix ave/time`` (three columns per class of `mass_classes`, amu Å/ps), in stages
    that write a trajectory; frames to a binary dump, at every row of the log and every sample.
    """
    stride = stage.thermo_stride
    lines = [
        *(["compute whole all ke"] if field.shells else []),
        f"thermo_style custom {' '.join(log_columns(field, stage, rigid=rigid))}",
        f"thermo {stride}",
        "thermo_modify norm no lost error flush yes format float %.17g",
        *(["thermo_modify temp warmth"] if field.shells or held else []),
    ]
    frames = math.gcd(stride, stage.sample_stride) if stage.write_trajectory else stride
    what = "id xu yu zu vx vy vz" if stage.write_trajectory and stage.velocities else "id xu yu zu"
    lines += [f"dump frames ions custom {frames} {FRAMES_FILE} {what}"]
    if stage.write_trajectory:
        sums = []
        for number in range(len(mass_classes(field, elements))):
            for axis in "xyz":
                group = f"element{number}"
                lines.append(f"variable p{number}{axis} equal mass({group})*vcm({group},{axis})")
                sums.append(f"v_p{number}{axis}")
        every = stage.current_stride
        lines.append(
            f"fix fine all ave/time {every} 1 {every} {' '.join(sums)} file {FINE_FILE} format ' %.17g'"
        )
    return lines
