"""What fixes the result of a run: checked before it starts. Compared before it is continued: record.py."""

import difflib
import hashlib
import json
import math
from dataclasses import replace

import numpy as np
from ase.calculators.calculator import Calculator

from simtools.core.errors import ConfigError
from simtools.md.forces import ForceEvaluator

__all__ = ["check_info", "check_inputs", "describe_inputs", "plain", "refuse_charged_npt", "topology_arrays"]

TOPOLOGY_ARRAYS = ("molecule_id", "species_label")
_INFO_KEYS = ("formal_charges_e", "host_species")
_WITHOUT_BAROSTAT = {"pressure_GPa": 0.0, "barostat_tau_ps": 1.0}  # what files say where there is none


def check_inputs(atoms, stages, momenta):
    """Refuse what cannot be run, before a file is touched."""
    if not stages or len({stage.name for stage in stages}) < len(stages):
        raise ConfigError(f"stages need distinct names, got {[stage.name for stage in stages]}")
    if len(atoms) < 2:
        raise ConfigError(f"dynamics needs at least 2 atoms, got {len(atoms)}")
    if atoms.constraints:
        raise ConfigError("constraints on atoms are not supported in dynamics; remove them")
    if not atoms.cell.rank == 3:
        raise ConfigError("dynamics needs a three-dimensional cell")
    if momenta not in {"draw", "keep"}:
        raise ConfigError(f"momenta = {momenta!r}, expected 'draw' or 'keep'")
    for name, values in (("positions", atoms.positions), ("cell", np.array(atoms.cell))):
        if not np.isfinite(values).all():
            raise ConfigError(f"the {name} of atoms must be finite numbers")
    masses = atoms.get_masses()
    if not (np.isfinite(masses) & (masses > 0)).all():
        atom = int(np.flatnonzero(~(np.isfinite(masses) & (masses > 0)))[0])
        raise ConfigError(
            f"atom {atom} ({atoms.symbols[atom]}) has mass {masses[atom]:g} amu, expected a positive number"
        )
    if momenta == "keep":
        _check_kept_momenta(atoms, stages[0])


def _check_kept_momenta(atoms, first):
    momenta = atoms.get_momenta()
    if not np.isfinite(momenta).all():
        raise ConfigError("momenta = 'keep': the momenta of atoms must be finite numbers")
    drift = momenta.sum(axis=0) / atoms.get_masses().sum()
    at_rest = np.allclose(momenta, atoms.get_masses()[:, None] * drift, rtol=1e-12, atol=1e-12)
    if first.thermostat == "bussi" and at_rest:
        raise ConfigError(
            "momenta = 'keep', but the momenta of atoms are zero, and the Bussi thermostat can only rescale "
            "what moves; give atoms momenta or choose momenta = 'draw'"
        )


def check_info(atoms, info):
    """Refuse an `info` whose keys or species cannot be what was meant."""
    for key in sorted(set(map(str, info)) - set(_INFO_KEYS)):
        close = difflib.get_close_matches(key.lower(), _INFO_KEYS, n=1)
        if close:
            raise ConfigError(f"info has no meaning for {key!r}; did you mean {close[0]!r}?")
    host = info.get("host_species")
    if host is None:
        return
    if isinstance(host, str) or not isinstance(host, (list, tuple)):
        raise ConfigError(f"info host_species = {host!r}, expected a list of species such as ['O', 'Cl']")
    present = sorted(set(atoms.get_chemical_symbols()))
    unknown = [name for name in host if name not in present]
    if unknown:
        raise ConfigError(
            f"info host_species names {unknown[0]!r}, which is not there; available: {', '.join(present)}"
        )


def refuse_charged_npt(atoms, stages, formal_charges_e, calculator):
    """Refuse constant pressure where the formal charges, or the calculator's, do not add up to zero."""
    if not any(stage.ensemble == "NPT" for stage in stages):
        return
    total = sum(formal_charges_e[name] for name in atoms.get_chemical_symbols()) if formal_charges_e else 0
    charge = f"net formal charge {total:+d} e" if total else None
    settings = getattr(calculator, "settings", None)
    if charge is None and callable(settings):
        chosen = settings(atoms)
        if isinstance(chosen, dict) and chosen.get("background"):
            charge = f"net charge {chosen.get('net_charge_e', math.nan):+g} e"
    if charge is not None:
        raise ConfigError(
            f"NPT of a cell with {charge} is refused: its pressure depends on the "
            "neutralising background; use the volume of a neutral cell"
        )


def describe_inputs(atoms, calculator, stages, info, momenta, rigid=None, restraint=None, held=None):
    """Return what fixes the result, in a form that can be compared; `checkpoint_every_ps` does not."""
    digest = hashlib.sha256()
    arrays = [atoms.numbers, atoms.positions, np.array(atoms.cell), atoms.pbc, atoms.get_masses()]
    if momenta == "keep":
        arrays.append(atoms.get_momenta())
    for values in arrays:
        digest.update(np.ascontiguousarray(values).tobytes())
    about = {name: plain(atoms.info.get(name)) for name in ("lattice_sites", "defects")}
    about |= {name: plain(values) for name, values in topology_arrays(atoms).items()}
    digest.update(json.dumps(about, sort_keys=True).encode())
    plain_stages = [replace(stage, checkpoint_every_ps=stage.duration_ps).to_dict() for stage in stages]
    for row in plain_stages:
        row.update({key: value for key, value in _WITHOUT_BAROSTAT.items() if row[key] is None})
    settings = _settings_of(calculator)
    bodies = {} if rigid is None else {"rigid_molecules": rigid.to_dict()}
    cone = {} if restraint is None else {"cone_restraint": restraint.to_dict()}
    still = {} if held is None else {"held_atoms": held.to_dict()}
    return {
        **bodies,
        **cone,
        **still,
        "atoms": digest.hexdigest(),
        "calculator": type(calculator).__name__,
        "force_field": getattr(getattr(calculator, "field", None), "sha256", None),
        "calculator_settings": settings,
        "calculator_answer": None if settings else _answer_of(calculator, atoms),
        "stages": plain_stages,
        "momenta": momenta,
        "info": plain(info),
    }


def topology_arrays(atoms):
    """Return the arrays that say which molecules the atoms form, by name; none where there are none."""
    return {name: atoms.arrays[name].copy() for name in TOPOLOGY_ARRAYS if name in atoms.arrays}


def _settings_of(calculator):
    """Return what a calculator says of itself as plain data, or {} where that does not fix its forces."""
    if callable(getattr(calculator, "fixed_settings", None)):
        return plain(calculator.fixed_settings())
    settings = getattr(calculator, "parameters", None)
    if not isinstance(calculator, Calculator) and callable(getattr(calculator, "todict", None)):
        settings = calculator.todict()
    try:
        return plain(dict(settings)) if isinstance(settings, dict) else {}
    except ConfigError:
        return {}


def _answer_of(calculator, atoms):
    """Return the energy and the forces of the start, for a calculator that says nothing of itself.

    A calculator that remembers its past gets that memory back.
    """
    copied = atoms.copy()
    evaluator = ForceEvaluator(copied, calculator)
    memory = calculator.get_state() if evaluator.has_state else None
    evaluator.evaluate()
    evaluator.release()
    if memory is not None:
        calculator.set_state(memory)
    forces = evaluator.forces_eV_A
    weights = np.cos(np.arange(forces.size)).reshape(forces.shape)
    return {
        "energy_eV_per_atom": evaluator.energy_eV / len(copied),
        "rms_force_eV_per_A": math.sqrt(float((forces * forces).mean())),
        "weighted_force_eV_per_A": float((weights * forces).mean()),
    }


def plain(value):
    """Return `value` as JSON gives it back; refuse what JSON cannot hold."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise ConfigError(f"info holds a {type(value).__name__}, expected plain data (text, numbers, lists)")
