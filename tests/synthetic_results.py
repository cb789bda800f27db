"""Results and a run directory as a finished campaign would leave them, made up from an Arrhenius law."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from potentials.schema import load_force_field
from simtools.analysers.arrhenius import fit_arrhenius
from simtools.analysers.association import AssociationResult
from simtools.analysers.binding import fit_binding
from simtools.analysers.transport import TransportResult
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate
from simtools.core.units import BOLTZMANN_EV_PER_K, conductivity_S_per_cm
from simtools.runs import PointRecord, Run

ACTIVATION_ENERGY_EV = 0.29
METHOD = "generalised least squares, replicas"


def estimate(value, relative=0.1, n_eff=8.0):
    """A positive estimate with a logarithmic interval."""
    return Estimate(
        value=value,
        stderr=value * relative,
        ci95=(value * np.exp(-2.3 * relative), value * np.exp(2.3 * relative)),
        method=METHOD,
        n_eff=n_eff,
    )


def transport_result(temperature_K, *, moved=True, charge_e=1, species="Li", n_replicas=3, seed=0):
    """Transport at one temperature; with ``moved=False`` only limits, with ``charge_e=0`` no conductivity."""
    rng = np.random.default_rng([seed, int(temperature_K)])
    n_ions, volume_A3 = 184, 4000.0
    diffusivity = 9e-5 * np.exp(-ACTIVATION_ENERGY_EV / BOLTZMANN_EV_PER_K / temperature_K) if moved else 0.0
    lags = np.geomspace(0.05, 15, 40)
    cage = 0.25 * (1 - np.exp(-lags / 0.05))
    walk = 6e4 * diffusivity * lags * (1 - np.exp(-lags))
    replicas = (cage + walk) * np.exp(0.08 * rng.standard_normal((n_replicas, 1)))
    mean = replicas.mean(axis=0)
    conversion = conductivity_S_per_cm(
        1.0, number_density_per_A3=n_ions / volume_A3, charge_e=charge_e, temperature_K=temperature_K
    )
    if moved:
        haven = estimate(0.7 * np.exp(0.1 * rng.standard_normal()), 0.12)
        tracer, charge = estimate(diffusivity, 0.05, 120.0), estimate(diffusivity / haven.value, 0.15)
    else:
        tracer = charge = Estimate.limit(2e-9, method="0 hops, Poisson limit")
        haven = Estimate.limit(np.inf, method="no ratio: D* or D_sigma is a limit")
    conductivities = [item.scaled(conversion) for item in (tracer, charge)]
    if not charge_e:
        conductivities = [Estimate.limit(0.0, method="no formal charge")] * 2
    return TransportResult(
        species=species,
        temperature_K=float(temperature_K),
        n_replicas=n_replicas,
        n_ions=n_ions,
        charge_e=charge_e,
        volume_A3=volume_A3,
        n_hops=900 if moved else 0,
        tracer_diffusivity_cm2_per_s=tracer,
        charge_diffusivity_cm2_per_s=charge,
        haven_ratio=haven,
        nernst_einstein_conductivity_S_per_cm=conductivities[0],
        ionic_conductivity_S_per_cm=conductivities[1],
        lag_times_ps=lags,
        msd_A2=mean,
        msd_per_replica_A2=replicas,
        charge_msd_A2=mean / 0.7,
        local_exponent=np.gradient(np.log(mean), np.log(lags)),
        window_ps=np.array([1.5, 8.0]),
        charge_window_ps=np.array([0.5, 4.0]),
        log_covariance=np.diag([0.05**2, 0.15**2]),
        log_dof=np.array([20.0, 8.0]),
        provenance={},
    )


def association_result(temperature_K):
    """A bound fraction that falls with temperature."""
    bound = 0.9 - 6e-4 * temperature_K
    shells = np.array([bound, 0.2])
    return AssociationResult(
        temperature_K=float(temperature_K),
        species="Li",
        partner="Cl",
        partner_kind="vacancy",
        n_replicas=3,
        n_vacancies=8,
        n_partners=8,
        bound_fraction=estimate(bound, 0.05),
        second_shell_fraction=estimate(0.2, 0.1),
        random_fraction=0.22,
        random_second_shell_fraction=0.3,
        shell_distances_A=np.array([2.73, 4.73]),
        shell_fractions=shells,
        random_shell_fractions=np.array([0.22, 0.3]),
        bound_fraction_per_replica=np.full(3, bound),
        correlation_time_ps=2.5,
        excess_fraction=0.001,
        provenance={},
    )


def thermo_table(temperature_K, n_ions=312):
    """A log of 10 ps equilibration and 30 ps production."""
    rng = np.random.default_rng(int(temperature_K))
    time = np.arange(0, 40, 0.1)
    noise = rng.standard_normal((2, len(time)))
    equilibrating = time < 10
    return pd.DataFrame(
        {
            "stage": np.where(equilibrating, "equilibration", "production"),
            "time_ps": time,
            "temperature_K": temperature_K * (1 + noise[0] / np.sqrt(1.5 * n_ions)),
            "potential_energy_eV": -12000 + 1.3e-4 * n_ions * temperature_K + 0.8 * noise[1],
            "kinetic_energy_eV": 1.5 * n_ions * BOLTZMANN_EV_PER_K * temperature_K,
            "conserved_energy_eV": np.where(equilibrating, np.nan, -12000 + 1e-6 * time),
            "volume_A3": 4000.0,
            "pressure_GPa": 0.0,
        }
    )


class LoggedPoint(PointRecord):
    """A point whose log is made up instead of read."""

    def thermo(self):
        return thermo_table(self.spec["temperature_K"])


def synthetic_run(
    directory,
    *,
    temperatures_K=(700, 800, 900, 1000, 1150),
    still_K=(),
    title="Li3OCl with lithium vacancies",
    partial=False,
    charge_e=1,
    associated=True,
    warnings=(),
):
    """A `Run` whose numbers follow an Arrhenius law; ``still_K`` names temperatures without diffusion."""
    directory = Path(directory)
    field = load_force_field("li3ocl_mouta_formal")
    transport = tuple(transport_result(t, moved=t not in still_K, charge_e=charge_e) for t in temperatures_K)
    moving = [item for item in transport if not item.ionic_conductivity_S_per_cm.is_limit]
    points = []
    for temperature in temperatures_K:
        for replica in (1, 2, 3):
            points.append(_point(directory, temperature, replica, field.sha256, not partial or replica < 3))
    recipe = {
        "title": title,
        "structure": {"formula": "Li3OCl", "prototype": "cubic", "supercell": [4, 4, 4]},
        "defects": [{"kind": "vacancy", "species": ["Li"], "fraction": 0.04, "placement": "random"}],
        "potential": {"name": field.name, "net_charge": "background"},
        "md": {
            "temperatures_K": list(temperatures_K),
            "replicas": 3,
            "ensemble": "NVT",
            "thermostat": "bussi",
            "thermostat_tau_ps": 1.0,
            "timestep_fs": 1.0,
            "equilibration_ps": 10.0,
            "production_ps": 30.0,
            "sample_every_fs": 50.0,
            "lattice_parameter_A": 3.93,
            "seed": 1,
        },
        "analysis": {"mobile": "Li"},
    }
    system = {
        "composition": {"Cl": 64, "Li": 184, "O": 64},
        "n_atoms": 312,
        "n_defects": 8,
        "net_charge_e": -8,
        "formal_charges_e": field.formal_charges_e,
        "host": ["Cl", "O"],
    }
    return Run(
        directory=directory,
        recipe=recipe,
        summary={"provenance": collect_provenance(system=system)},
        transport=transport,
        arrhenius=fit_arrhenius(transport) if len(moving) > 1 else None,
        association=tuple(map(association_result, temperatures_K)) if associated else (),
        binding=(fit_binding(list(map(association_result, temperatures_K))),)
        if associated and temperatures_K
        else (),
        points=tuple(points),
        warnings=tuple(warnings),
    )


def _point(directory, temperature_K, replica, sha256, done):
    name = f"{temperature_K:g}K-r{replica:02d}-0a1b2c3d4e"
    folder = directory / "points" / name
    folder.mkdir(parents=True, exist_ok=True)
    drift = estimate(2e-5, 0.4).to_dict()
    last = {
        "temperature_K": estimate(temperature_K + 0.4, 0.001).to_dict(),
        "conserved_drift_eV_per_atom_per_ns": drift,
    }
    outcome = {"stages": [last], "n_steps": 40000, "wall_s": 61.2, "n_atoms": 312} if done else None
    if done:
        settings = {
            "force_field": "li3ocl_mouta_formal",
            "path": "fast path: pair tables and particle mesh",
            "threads": 2,
            "coulomb": "pme",
            "accuracy": 1e-4,
            "background": True,
            "skin_A": 1.0,
            "mesh_shape": [32, 32, 32],
            "closest_distance_A": {"O-O": 0.6},
            "self_check": {"relative_rms_force_error": 6.4e-5, "max_relative_force_error": 3.1e-4},
        }
        outcome["engine"] = settings
        record = {"outcome": outcome, "provenance": collect_provenance()}
        (folder / "done.json").write_text(json.dumps(record), encoding="utf-8")
    spec = {
        "role": "production",
        "temperature_K": float(temperature_K),
        "replica": replica,
        "inputs": {"seeds": {"defects": 7 + replica, "dynamics": 42}, "potential": {"sha256": sha256}},
    }
    return LoggedPoint(name, folder, spec, outcome)
