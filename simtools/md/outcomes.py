"""A finished stage in numbers: means, drift and warnings, all read back from its log."""

import numpy as np

from simtools.md.averages import block_average, drift_rate
from simtools.md.thermo import read_thermo

__all__ = ["stage_outcome"]

_NPT_DISCARD = 0.25
_FEWEST_FOR_DRIFT = 8
_TEMPERATURE_LIMIT = 0.02


def stage_outcome(stage, directory, atoms, host, guards):
    """Return the JSON-able outcome of one stage; see `simtools.md.protocols.run_stages`.

    Means leave out the starting point, and in NPT the first quarter, while the volume settles.
    """
    table = read_thermo(directory)
    rows = table[table["stage"] == stage.name].iloc[1:]
    discard = _NPT_DISCARD if stage.ensemble == "NPT" else 0.0
    outcome = {
        "name": stage.name,
        "ensemble": stage.ensemble,
        "target_temperature_K": stage.temperature_K,
    }
    for name in ("temperature_K", "potential_energy_eV", "volume_A3", "pressure_GPa"):
        outcome[name] = _mean(rows[name].to_numpy(), discard)
    outcome["mean_cell_A"] = _mean_cell(stage, atoms, outcome["volume_A3"])
    warnings = [
        *_temperature(outcome, stage),
        *_host(outcome, rows, host),
        *_drift(outcome, rows, stage, len(atoms), guards),
    ]
    outcome["warnings"] = [f"stage {stage.name!r}: {text}" for text in warnings]
    outcome["n_steps"] = stage.n_steps
    return outcome


def _mean(values, discard):
    if len(values) < 4 or not np.isfinite(values).all():
        return None
    return block_average(values, discard_fraction=discard).to_dict()


def _mean_cell(stage, atoms, volume):
    cell = np.array(atoms.cell)
    if stage.ensemble == "NPT" and volume is not None:
        cell = cell * (volume["value"] / atoms.cell.volume) ** (1 / 3)
    return cell.tolist()


def _temperature(outcome, stage):
    mean = outcome["temperature_K"]
    if mean is None or not stage.write_trajectory:
        return ()
    off = mean["value"] - stage.temperature_K
    if abs(off) <= max(_TEMPERATURE_LIMIT * stage.temperature_K, 3 * mean["stderr"]):
        return ()
    return (
        f"the mean temperature is {mean['value']:.1f} ± {mean['stderr']:.1f} K, not the "
        f"{stage.temperature_K:g} K that the analysis will use",
    )


def _drift(outcome, rows, stage, n_atoms, guards):
    outcome["conserved_drift_eV_per_atom_per_ns"] = None
    if len(rows) < _FEWEST_FOR_DRIFT:
        return ()
    per_atom = rows["conserved_energy_eV"].to_numpy() / n_atoms
    drift = drift_rate(rows["time_ps"].to_numpy() / 1000, per_atom)
    outcome["conserved_drift_eV_per_atom_per_ns"] = drift.to_dict()
    return guards.drift_warnings(drift, stage.duration_ps)


def _host(outcome, rows, host):
    late = rows.iloc[len(rows) // 2 :]
    outcome["host_displacement_A"] = outcome["host_displaced_fraction"] = None
    if len(late) == 0 or not np.isfinite(late["host_displacement_A"]).all():
        return ()
    displacement = float(late["host_displacement_A"].mean())
    fraction = float(late["host_displaced_fraction"].mean())
    outcome["host_displacement_A"], outcome["host_displaced_fraction"] = displacement, fraction
    outcome["host_spacing_A"] = host.spacing_A
    return host.warnings(displacement, fraction)
