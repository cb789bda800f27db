"""How ions move in our own runs, cheaply: jumps on the known sites, Green–Kubo, methods and laws compared."""

from dataclasses import dataclass

import numpy as np

from simtools.analysers.green_kubo import analyse_green_kubo
from simtools.analysers.molecular_ions import host_with_molecules, with_whole_molecules
from simtools.analysers.onsager import analyse_onsager
from simtools.analysers.temperature_laws import compare_temperature_laws
from simtools.core.errors import SimtoolsError
from simtools.core.results import Estimate
from workflows.hop_tables import comparison_entry
from workflows.mechanisms import compared, hops_of

__all__ = ["RunMechanisms", "named_results", "summary_blocks", "temperature_law", "temperature_mechanisms"]

_FEWEST_TEMPERATURES = 4
_ROTATING = ("H", "D")


@dataclass(frozen=True, eq=False)
class RunMechanisms:
    """What one temperature of a run shows beside transport; what is not possible is None or empty."""

    green_kubo: object = None
    onsager: object = None
    hops: tuple = ()
    comparison: object = None


def temperature_mechanisms(trajectories, transport, *, hop_length_A, host_species, notes):
    """Return the `RunMechanisms` of one temperature; what failed unexpectedly is added to `notes`.

    Parameters
    ----------
    trajectories
        Production trajectories of the replicas.
    transport
        Their `TransportResult`.
    hop_length_A, host_species
        As for `analyse_transport`.
    notes
        List of warnings to extend.

    Notes
    -----
    Jumps need the crystal's sites and a host that carries them. The Onsager matrix is given where something
    besides the mobile ion may conduct: another ion of the same sign, or a host that hops.
    """

    def attempt(what, function):
        try:
            return function()
        except SimtoolsError as error:
            notes.append(f"{transport.temperature_K:g} K: no {what}: {error}")
            return None

    first = trajectories[0]
    hops = []
    if host_species and first.lattice_sites is not None:
        for name in _hopping_species(first, transport.species):
            found = attempt(
                f"jumps of {name}",
                lambda a=name: hops_of(trajectories, a, temperature_K=transport.temperature_K),
            )
            hops += [found[1]] if found is not None else []
    green_kubo = onsager = None
    if transport.charge_e:
        ions = attempt("collective transport", lambda: [with_whole_molecules(item) for item in trajectories])
    if transport.charge_e and ions is not None:
        host = host_with_molecules(first, host_species)
        if all(item.charge_current_e_A_per_ps is not None for item in trajectories):
            green_kubo = attempt(
                "Green–Kubo conductivity",
                lambda: analyse_green_kubo(
                    ions,
                    temperature_K=transport.temperature_K,
                    einstein_helfand=transport.ionic_conductivity_S_per_cm,
                    host_species=host,
                ).coarse(),
            )
        if _others_conduct(first, transport, hops):
            onsager = attempt(
                "Onsager matrix",
                lambda: analyse_onsager(
                    ions,
                    mobile=transport.species,
                    hop_length_A=hop_length_A,
                    temperature_K=transport.temperature_K,
                    host_species=host or None,
                ),
            )
    own = next((item for item in hops if item.species == transport.species), None)
    comparison = attempt(
        "comparison of methods",
        lambda: compared(trajectories, transport, green_kubo=green_kubo, onsager=onsager, hops=own),
    )
    notes += [note for item in (green_kubo, onsager) if item is not None for note in item.warnings]
    if comparison is not None:
        said = [text for text in comparison.disagreements if "Green-Kubo" not in text]
        notes += [f"{transport.temperature_K:g} K: {text}" for text in said]
    return RunMechanisms(green_kubo, onsager, tuple(hops), comparison)


def _hopping_species(trajectory, mobile):
    sites = set(trajectory.lattice_sites.species.tolist())
    return [
        name
        for name in dict.fromkeys([mobile, *trajectory.species.tolist()])
        if name in sites and name not in _ROTATING
    ]


def _others_conduct(trajectory, transport, hops):
    charges_e = trajectory.formal_charges_e
    names = set(trajectory.species.tolist()) - {transport.species, *_ROTATING}
    if not all(charges_e.get(name) is not None for name in trajectory.species.tolist()):
        return False
    same_sign = any(charges_e[name] * transport.charge_e > 0 for name in names)
    return same_sign or any(item.n_jumps for item in hops if item.species != transport.species)


def temperature_law(transports, notes):
    """Return the temperature laws of the conductivity (times T), or of D* without charges, compared; or None.

    A break needs two points on either side, so fewer than four temperatures are not compared.
    """
    charged = any(item.charge_e for item in transports)
    points = []
    for item in transports:
        estimate = item.ionic_conductivity_S_per_cm if charged else item.tracer_diffusivity_cm2_per_s
        if not estimate.is_limit and estimate.value > 0 and np.isfinite(estimate.stderr):
            ln_value = np.log(estimate.value * (item.temperature_K if charged else 1.0))
            points.append((item.temperature_K, ln_value, estimate.stderr / estimate.value))
    if len({point[0] for point in points}) < _FEWEST_TEMPERATURES:
        return None
    try:
        return compare_temperature_laws(*(np.array(column) for column in zip(*points, strict=True)))
    except SimtoolsError as error:
        notes.append(f"temperature laws are not compared: {error}")
        return None


def summary_blocks(mechanisms, law):
    """Return the blocks of ``summary.json``, only those that are not empty.

    Parameters
    ----------
    mechanisms
        `RunMechanisms` of every temperature.
    law
        `TemperatureLawResult` or None.
    """
    blocks = {
        "jumps": [hop.to_summary() for item in mechanisms for hop in item.hops],
        "green_kubo": [
            green_kubo_entry(item.green_kubo) for item in mechanisms if item.green_kubo is not None
        ],
        "onsager": [onsager_entry(item.onsager) for item in mechanisms if item.onsager is not None],
        "methods": [comparison_entry(item.comparison) for item in mechanisms if item.comparison is not None],
        "temperature_laws": [law_entry(law)] if law is not None else [],
    }
    return {name: plain(entries) for name, entries in blocks.items() if entries}


def onsager_entry(item):
    """Return the entry of an `OnsagerResult`."""
    return {
        "temperature_K": item.temperature_K,
        "species": list(item.species),
        "charges_e": list(item.charges_e),
        "frame": item.frame,
        "coefficients_A2_per_ps": item.coefficients_A2_per_ps.tolist(),
        "stderr_A2_per_ps": item.stderr_A2_per_ps.tolist(),
        "transport_numbers": dict(item.transport_numbers),
        "ionic_conductivity_S_per_cm": item.ionic_conductivity_S_per_cm,
        "conductivity_per_axis_S_per_cm": list(item.conductivity_per_axis_S_per_cm),
        "nernst_einstein_conductivity_S_per_cm": item.nernst_einstein_conductivity_S_per_cm,
        "haven_ratio": item.haven_ratio,
    }


def green_kubo_entry(item):
    """Return the entry of a `GreenKuboResult`."""
    return {
        "temperature_K": item.temperature_K,
        "ionic_conductivity_S_per_cm": item.ionic_conductivity_S_per_cm,
        "einstein_helfand_S_per_cm": item.einstein_helfand_S_per_cm,
        "agrees": item.agrees,
        "sampled_every_ps": item.interval_ps,
    }


def law_entry(law):
    """Return the entry of a `TemperatureLawResult`."""
    return {
        "preferred": law.preferred,
        "probabilities": dict(law.probabilities),
        "odds_against_arrhenius": law.odds_against_arrhenius,
        "break_temperature_K": law.break_temperature_K,
        "activation_energies_eV": dict(law.activation_energies_eV),
    }


def plain(value):
    """Return a summary entry with every `Estimate` as the dict of its numbers."""
    if isinstance(value, Estimate):
        return value.to_dict()
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def named_results(mechanisms, law):
    """Return (file name, Result) of what ``results/`` is to hold."""
    found = []
    for item in mechanisms:
        parts = [(f"hops-{{}}-{hop.species}", hop) for hop in item.hops]
        parts += [("green-kubo-{}", item.green_kubo), ("onsager-{}", item.onsager)]
        parts += [("methods-{}", item.comparison)]
        found += [
            (f"{name.format(f'{result.temperature_K:g}K')}.json", result)
            for name, result in parts
            if result is not None
        ]
    return found + ([("temperature-laws.json", law)] if law is not None else [])
