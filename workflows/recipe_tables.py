"""The tables of a recipe: their keys, and which of them go together. How recipes are read: recipe.py."""

import copy
from dataclasses import dataclass, fields

from simtools.core.errors import ConfigError
from simtools.defects.requests import COMPENSATIONS, DIRECTIONS, KINDS, PLACEMENTS, DefectRequest
from simtools.structures.molecular import ORIENTATIONS
from simtools.structures.prototypes import PROTOTYPES
from workflows import values as v

__all__ = [
    "AnalysisTable",
    "DefectTable",
    "MDTable",
    "PotentialTable",
    "StructureTable",
    "check_analysis",
    "check_defect",
    "check_potential",
    "resolved_md",
    "table_to_dict",
]

MIN_FRAMES = 10
MAX_CURRENT_INTERVAL_FS = 5.0


@dataclass(frozen=True, kw_only=True)
class StructureTable:
    """[structure]: the perfect crystal, `supercell` conventional cells along each axis."""

    formula: str = v.key(v.text(100))
    prototype: str = v.key(v.choice(*PROTOTYPES, "lioh"), default="cubic")
    supercell: tuple[int, int, int] = v.key(v.three_whole_numbers(1, 100))
    anion_centre: str | None = v.key(v.species(), default=None)
    orientations: str | None = v.key(v.choice(*ORIENTATIONS), default=None)


@dataclass(frozen=True, kw_only=True)
class DefectTable:
    """[[defects]]: one kind of imperfection; the keys are those of `simtools.defects.DefectRequest`."""

    kind: str = v.key(v.choice(*KINDS))
    species: tuple[str, ...] | None = v.key(v.ion_list(), default=None)
    fraction: float | None = v.key(v.number(0, 0.5, above=True), default=None)
    count: int | None = v.key(v.whole(1, 1_000_000), default=None)
    placement: str = v.key(v.choice(*PLACEMENTS), default="random")
    on: str | None = v.key(v.species(), default=None)
    formula: str | None = v.key(v.text(100), default=None)
    direction: str | None = v.key(v.choice(*DIRECTIONS), default=None)
    separation_A: float | None = v.key(v.number(0, 10, "Å", above=True), default=None)
    compensation: str | None = v.key(v.choice(*COMPENSATIONS), default=None)
    compensating_species: str | None = v.key(v.species(), default=None)
    compensation_placement: str | int | None = v.key(
        v.choice_or_whole("random", "nearest", "separated", low=1, high=100), default=None
    )
    minimum_separation_A: float | None = v.key(v.number(0, 100, "Å"), default=None)
    interstitial_site: int | None = v.key(v.whole(0, 100), default=None)


@dataclass(frozen=True, kw_only=True)
class PotentialTable:
    """[potential]: a force field of ours by `name` (or a TOML file), or any ASE `calculator`."""

    name: str | None = v.key(v.text(), default=None)
    calculator: str | None = v.key(v.text(), default=None)
    model: str | None = v.key(v.text(), default=None)
    options: dict | None = v.key(v.options(), default=None)
    engine: str | None = v.key(v.choice("embedded", "lammps"), default=None)
    mpi_ranks: int | None = v.key(v.whole(1, 100_000), default=None)
    accuracy: float | None = v.key(v.number(1e-9, 1e-2), default=None)
    net_charge: str | None = v.key(v.choice("background"), default=None)
    formal_charges_e: dict | None = v.key(v.species_charges(), default=None)


@dataclass(frozen=True, kw_only=True)
class MDTable:
    """[md]: temperatures, replicas and stages; every key left out takes the value in `resolved`."""

    temperatures_K: tuple[float, ...] = v.key(v.numbers(0, 10_000, "K", above=True))
    replicas: int = v.key(v.whole(1, 10_000), default=1)
    ensemble: str = v.key(v.choice("NVT", "NVE"), default="NVT")
    thermostat: str | None = v.key(v.choice("bussi", "nose-hoover"), default=None)
    thermostat_tau_ps: float | None = v.key(v.number(0.5, 1000, "ps"), default=None)
    timestep_fs: float = v.key(v.number(0.001, 5, "fs"), default=1.0)
    equilibration_ps: float = v.key(v.number(0, 1e6, "ps"), default=10.0)
    production_ps: float = v.key(v.number(0, 1e7, "ps", above=True))
    sample_every_fs: float = v.key(v.number(0, 1e6, "fs", above=True), default=50.0)
    charge_current_every_fs: float | None = v.key(
        v.number(0, MAX_CURRENT_INTERVAL_FS, "fs", above=True), default=None
    )
    checkpoint_every_ps: float = v.key(v.number(0, 1e6, "ps", above=True), default=2.0)
    velocities: bool = v.key(v.flag(), default=False)
    masses_amu: dict | None = v.key(v.species_masses(), default=None)
    rigid_molecules: bool | None = v.key(v.flag(), default=None)
    inertia_scale: float | None = v.key(v.number(0, 1e6, above=True), default=None)
    frozen_orientation: bool | None = v.key(v.flag(), default=None)
    cone_restraint_deg: float | None = v.key(v.number(0, 179, "degrees", above=True), default=None)
    cone_stiffness_eV_per_rad2: float | None = v.key(v.number(0, 1000, "eV/rad²", above=True), default=None)
    volume_from: str | None = v.key(v.choice("cell", "perfect_crystal"), default=None)
    lattice_parameter_A: float | tuple[float, ...] | None = v.key(
        v.number_or_numbers(1, 100, "Å"), default=None
    )
    npt_ps: float | None = v.key(v.number(0.5, 1e6, "ps"), default=None)
    npt_equilibration_ps: float | None = v.key(v.number(0, 1e6, "ps"), default=None)
    pressure_GPa: float | None = v.key(v.number(-100, 100, "GPa"), default=None)
    barostat_tau_ps: float | None = v.key(v.number(0.1, 1000, "ps"), default=None)
    seed: int = v.key(v.whole(0, 2**63 - 1), default=1)

    def lattice_parameter_at(self, temperature_K):
        """Return the lattice parameter asked for at `temperature_K`, Å, or None if it is to be found."""
        if isinstance(self.lattice_parameter_A, tuple):
            return self.lattice_parameter_A[self.temperatures_K.index(temperature_K)]
        return self.lattice_parameter_A


@dataclass(frozen=True, kw_only=True)
class AnalysisTable:
    """[analysis]: what is measured; the host species default to every species that is not mobile.

    `anions` are those whose rotation is analysed, by default the molecules in the formula.
    """

    mobile: str = v.key(v.species())
    host: tuple[str, ...] | None = v.key(v.species_list(), default=None)
    hop_length_A: float | None = v.key(v.number(0.1, 50, "Å"), default=None)
    anions: tuple[str, ...] | None = v.key(v.anion_list(), default=None)


def check_defect(defect, where):
    """Refuse a [[defects]] table whose keys do not fit together."""
    try:
        DefectRequest(**table_to_dict(defect))
    except ConfigError as error:
        raise ConfigError(f"{where} {error}") from error


def check_potential(potential, source):
    """Refuse a [potential] table whose keys do not fit together."""
    where = f"{source}: [potential]"
    if (potential.name is None) == (potential.calculator is None):
        raise ConfigError(f"{where} needs either name (a force field) or calculator, and not both")
    if potential.mpi_ranks is not None and potential.engine != "lammps":
        raise ConfigError(
            f'{where} mpi_ranks = {potential.mpi_ranks}: has no effect without engine = "lammps"; remove it'
        )
    if potential.calculator is not None:
        for name in ("engine", "accuracy"):
            if getattr(potential, name) is not None:
                raise ConfigError(
                    f"{where} {name} = {v.shown(getattr(potential, name))}: has no effect with calculator = "
                    f"{potential.calculator!r}; remove it"
                )
        if potential.formal_charges_e is None:
            raise ConfigError(
                f"{where} calculator = {potential.calculator!r} needs formal_charges_e, "
                "such as { Li = 1, O = -2, Cl = -1 }: the conductivity is computed from them"
            )
        return
    if potential.model is not None:
        raise ConfigError(f"{where} model: only a calculator reads a model file; remove it")
    if potential.options is not None:
        raise ConfigError(f"{where} options: only a calculator takes options; remove them")
    if potential.formal_charges_e is not None:
        raise ConfigError(
            f"{where} formal_charges_e: the force field {potential.name!r} brings its own; remove it"
        )


def resolved_md(md, given, source):
    """Check the [md] keys against each other and return the table with every default filled in."""
    where = f"{source}: [md]"
    changes = {}
    labels = [f"{temperature:g}" for temperature in md.temperatures_K]
    if len(set(labels)) < len(labels):
        raise ConfigError(
            f"{where} temperatures_K = {v.shown(list(md.temperatures_K))}: expected temperatures that differ "
            "in their first six digits"
        )
    if md.ensemble == "NVE":
        for name in ("thermostat", "thermostat_tau_ps"):
            if name in given:
                raise ConfigError(f'{where} {name} has no effect with ensemble = "NVE"; remove one of them')
    else:
        changes["thermostat"] = md.thermostat or "bussi"
        changes["thermostat_tau_ps"] = md.thermostat_tau_ps or 1.0
    npt_keys = ("volume_from", "npt_ps", "npt_equilibration_ps", "pressure_GPa", "barostat_tau_ps")
    if md.lattice_parameter_A is not None:
        for name in npt_keys:
            if name in given:
                raise ConfigError(
                    f"{where} {name} has no effect when lattice_parameter_A is given; remove one of them"
                )
        if isinstance(md.lattice_parameter_A, tuple) and len(md.lattice_parameter_A) != len(
            md.temperatures_K
        ):
            raise ConfigError(
                f"{where} lattice_parameter_A has {len(md.lattice_parameter_A)} values: expected one number, "
                f"or {len(md.temperatures_K)}, one per temperature"
            )
    else:
        changes["volume_from"] = md.volume_from or "cell"
        changes["npt_ps"] = md.npt_ps or 10.0
        changes["npt_equilibration_ps"] = 2.0 if md.npt_equilibration_ps is None else md.npt_equilibration_ps
        changes["pressure_GPa"] = md.pressure_GPa or 0.0
        changes["barostat_tau_ps"] = md.barostat_tau_ps or 1.0
    _check_rigid(md, where)
    if md.charge_current_every_fs is None:
        steps = max(1, int(MAX_CURRENT_INTERVAL_FS / md.timestep_fs + 1e-9))
        sample_steps = max(1, round(md.sample_every_fs / md.timestep_fs))
        while sample_steps % steps:
            steps -= 1
        changes["charge_current_every_fs"] = steps * md.timestep_fs
    md = type(md)(**{**_fields(md), **changes})
    for name in ("sample_every_fs", "charge_current_every_fs"):
        interval = getattr(md, name)
        _check_multiple(interval, md.timestep_fs, f"{where} {name} = {interval:g}", "timestep_fs")
    _check_multiple(
        md.sample_every_fs,
        md.charge_current_every_fs,
        f"{where} sample_every_fs = {md.sample_every_fs:g}",
        "charge_current_every_fs",
    )
    for name in ("equilibration_ps", "npt_ps", "npt_equilibration_ps"):
        duration = getattr(md, name)
        if duration:
            _check_multiple(
                1000 * duration, md.timestep_fs, f"{where} {name} = {duration:g} ps", "timestep_fs"
            )
    _check_multiple(
        1000 * md.production_ps,
        md.sample_every_fs,
        f"{where} production_ps = {md.production_ps:g} ps",
        "sample_every_fs",
    )
    if md.production_ps * 1000 < (1 - 1e-9) * MIN_FRAMES * md.sample_every_fs:
        raise ConfigError(
            f"{where} production_ps = {md.production_ps:g}: expected at least {MIN_FRAMES} sampled frames, "
            f"{MIN_FRAMES * md.sample_every_fs / 1000:g} ps at sample_every_fs = {md.sample_every_fs:g}"
        )
    return md


def _check_rigid(md, where):
    for name in ("inertia_scale", "frozen_orientation"):
        if getattr(md, name) is not None and not md.rigid_molecules:
            raise ConfigError(f"{where} {name} has no effect without rigid_molecules = true")
    if md.frozen_orientation and md.inertia_scale is not None:
        raise ConfigError(
            f"{where} inertia_scale has no effect with frozen_orientation = true; remove one of them"
        )
    if md.frozen_orientation and md.cone_restraint_deg is not None:
        raise ConfigError(
            f"{where} cone_restraint_deg has no effect with frozen_orientation = true; remove one of them"
        )
    if md.cone_stiffness_eV_per_rad2 is not None and md.cone_restraint_deg is None:
        raise ConfigError(f"{where} cone_stiffness_eV_per_rad2 has no effect without cone_restraint_deg")


def _check_multiple(interval_fs, step_fs, where, step_name):
    ratio = interval_fs / step_fs
    if round(ratio) < 1 or abs(ratio - round(ratio)) > 1e-6:
        raise ConfigError(f"{where}: expected a whole multiple of {step_name} = {step_fs:g} fs")


def check_analysis(analysis, source):
    """Refuse an [analysis] table whose keys do not fit together."""
    if analysis.host is not None and analysis.mobile in analysis.host:
        raise ConfigError(
            f"{source}: [analysis] host = {list(analysis.host)} contains the mobile {analysis.mobile!r}"
        )


def _fields(table):
    return {item.name: getattr(table, item.name) for item in fields(table)}


def table_to_dict(table):
    """Return the keys of a recipe table that have a value, as TOML-able data."""
    found = {}
    for item in fields(table):
        value = getattr(table, item.name)
        if value is not None:
            found[item.name] = list(value) if isinstance(value, tuple) else copy.copy(value)
    return found
