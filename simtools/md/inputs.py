"""What fixes the result of a run: checked before it starts. Compared before it is continued: record.py."""

import hashlib
import json
import math
from dataclasses import replace

import numpy as np
from ase.calculators.calculator import Calculator

from simtools.core.errors import ConfigError
from simtools.md.forces import ForceEvaluator

__all__ = ["check_inputs", "describe_inputs", "plain", "refuse_charged_npt"]


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


def refuse_charged_npt(atoms, stages, formal_charges_e):
    """Refuse constant pressure where the formal charges do not add up to zero."""
    if not formal_charges_e or not any(stage.ensemble == "NPT" for stage in stages):
        return
    total = sum(formal_charges_e[name] for name in atoms.get_chemical_symbols())
    if total:
        raise ConfigError(
            f"NPT of a cell with net formal charge {total:+d} e is refused: its pressure depends on the "
            "neutralising background; use the volume of a neutral cell"
        )


def describe_inputs(atoms, calculator, stages, info, momenta):
    """Return what fixes the result, in a form that can be compared; `checkpoint_every_ps` does not."""
    digest = hashlib.sha256()
    arrays = [atoms.numbers, atoms.positions, np.array(atoms.cell), atoms.pbc, atoms.get_masses()]
    if momenta == "keep":
        arrays.append(atoms.get_momenta())
    for values in arrays:
        digest.update(np.ascontiguousarray(values).tobytes())
    about = {name: plain(atoms.info.get(name)) for name in ("lattice_sites", "defects")}
    digest.update(json.dumps(about, sort_keys=True).encode())
    plain_stages = [replace(stage, checkpoint_every_ps=stage.duration_ps).to_dict() for stage in stages]
    settings = _settings_of(calculator)
    return {
        "atoms": digest.hexdigest(),
        "calculator": type(calculator).__name__,
        "force_field": getattr(getattr(calculator, "field", None), "sha256", None),
        "calculator_settings": settings,
        "calculator_answer": None if settings else _answer_of(calculator, atoms),
        "stages": plain_stages,
        "momenta": momenta,
        "info": plain(info),
    }


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
