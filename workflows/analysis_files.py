"""Mechanisms that ``simtools analyse`` found, as files: summary, results, densities; and as text.

Nothing is computed here. The page: analysis_page.py.
"""

import numpy as np

from simtools.analysers.density import free_energy_map
from simtools.analysers.density_files import write_chgcar, write_density_cube, write_vtk
from simtools.core.errors import ConfigError
from simtools.core.results import Estimate
from simtools.plots import format_estimate
from workflows.hop_tables import comparison_entry, string_rows
from workflows.run_mechanisms import green_kubo_entry, onsager_entry, plain

__all__ = ["check_density_file", "mechanism_text", "results_of", "summary_of", "write_density"]


def summary_of(found):
    """Return the blocks of ``summary.json``: lists of entries, only those that are not empty."""
    blocks = {
        "onsager": [onsager_entry(found.onsager)] if found.onsager is not None else [],
        "tracer_tensor": [_tensor_entry(item) for item in found.tensors],
        "green_kubo": [green_kubo_entry(found.green_kubo)] if found.green_kubo is not None else [],
        "vibrations": [
            {
                "species": item.species,
                "attempt_frequency_THz": item.attempt_frequency_THz,
                "einstein_frequency_THz": item.einstein_frequency_THz,
            }
            for item in found.vibrations
        ],
        "non_gaussian": [_gaussian_entry(item) for item in found.gaussian],
        "jumps": [{**item.to_summary(), "sites_from": found.choices["sites_from"]} for item in found.hops],
        "concerted": [
            {
                "species": item.species,
                "window_ps": item.window_ps,
                "concerted_fraction": item.concerted_fraction,
                "null": item.null,
                "null_fraction": item.null_fraction,
                "null_fraction_range": item.null_fraction_range.tolist(),
                "p_value": item.p_value,
                "push_fraction": item.push_fraction,
            }
            for item in found.strings
        ],
        "percolation": [
            {"species": item.species, "dimension": item.dimension, "levels_eV": list(item.levels)}
            for item in found.percolations
        ],
        "methods": [comparison_entry(item) for item in found.comparisons],
        "plan": [{**vars(item), "text": str(item)} for item in found.plans],
        "not_determined": [f"{topic}: {text}" for topic, text in found.absent],
    }
    return {name: plain(entries) for name, entries in blocks.items() if entries}


def _tensor_entry(item):
    return {
        "temperature_K": item.temperature_K,
        "species": item.species,
        "components_cm2_per_s": dict(item.components_cm2_per_s),
        "mean_cm2_per_s": item.mean_cm2_per_s,
        "isotropy_p_value": None if np.isnan(item.isotropy_p_value) else item.isotropy_p_value,
    }


def _gaussian_entry(item):
    k = int(np.argmax(item.alpha_2))
    value, half = float(item.alpha_2[k]), float(item.alpha_2_half_width[k])
    peak = Estimate(
        value=value,
        stderr=half / 1.96,
        ci95=(value - half, value + half),
        method="largest value over lags; jackknife over ions",
        n_eff=float(item.n_ions),
    )
    return {"species": item.species, "alpha_2_maximum": peak, "at_ps": float(item.lag_times_ps[k])}


def results_of(found, temperature_K):
    """Return (file name, Result) of everything that ``results/`` is to hold."""
    end = f"{temperature_K:g}K"
    named = [("onsager", found.onsager, ""), ("green-kubo", found.green_kubo, "")]
    named += [("tracer-tensor", item, item.species) for item in found.tensors]
    named += [("vibrations", item, item.species) for item in found.vibrations]
    named += [("rdf", item, f"{item.centre}-{item.neighbour}") for item in found.radial]
    named += [("van-hove-self", item, item.species) for item in found.van_hove]
    named += [("van-hove-distinct", item, f"{item.centre}-{item.neighbour}") for item in found.distinct]
    named += [("non-gaussian", item, item.species) for item in found.gaussian]
    named += [("hops", item, item.species) for item in found.hops]
    named += [("jump-rates", item, item.species) for item in found.rates]
    named += [("strings", item, item.species) for item in found.strings]
    named += [("density", item, item.species) for item in found.densities]
    named += [("percolation", item, item.species) for item in found.percolations]
    named += [("methods", item, item.species) for item in found.comparisons]
    return [
        ("-".join(part for part in (kind, end, what) if part) + ".json", item)
        for kind, item, what in named
        if item is not None
    ]


def mechanism_text(found):
    """Return what was found as lines of text, short."""
    lines = []
    matrix = found.onsager
    if matrix is not None:
        lines.append("\nAll species together")
        lines.append(
            f"  {'σ, Einstein–Helfand':<22} {format_estimate(matrix.ionic_conductivity_S_per_cm, 'S/cm')}"
        )
        lines.append(f"  {'Haven ratio':<22} {format_estimate(matrix.haven_ratio)}")
        for name, share in matrix.transport_numbers.items():
            lines.append(f"  {'transport number ' + name:<22} {format_estimate(share)}")
    green = found.green_kubo
    if green is not None:
        said = {True: "agrees", False: "DISAGREES", None: "nothing to compare"}[green.agrees]
        value = format_estimate(green.ionic_conductivity_S_per_cm, "S/cm")
        lines.append(f"  {'σ, Green–Kubo':<22} {value}: {said}")
    for item in found.vibrations:
        value = format_estimate(item.attempt_frequency_THz, "THz")
        lines.append(f"  {'attempt frequency ' + item.species:<22} {value}")
    if found.hops:
        lines.append(f"\nJumps, sites from {found.choices['sites_from']}")
    for item in found.hops:
        lines.append(
            f"  {item.species}: {item.n_jumps} jumps, {format_estimate(item.rate_per_ion, '1/ps')} per ion"
        )
        if item.correlation_factor is not None:
            beside = (
                ""
                if item.lattice_gas_factor is None
                else (f"; lattice gas {format_estimate(item.lattice_gas_factor)}, p = {item.p_value:.2g}")
            )
            lines.append(f"    correlation factor {format_estimate(item.correlation_factor)}{beside}")
    for name, text in string_rows(found.strings):
        lines.append(f"  {name}: {text}")
    for item in found.percolations:
        level = f" from {format_estimate(item.levels[-1], 'eV')}" if item.levels else ""
        lines.append(f"  density of {item.species} connects in {item.dimension} directions{level}")
    for item in found.comparisons:
        lines.append(f"\nMethods compared, {item.species}")
        lines += [f"  DISAGREE: {text}" for text in item.disagreements] or ["  no disagreement"]
    lines += [f"\nPlan: {item}" for item in found.plans]
    if found.absent:
        lines.append("\nNot determined")
        lines += [f"  {topic}: {text}" for topic, text in found.absent]
    return "\n".join(lines)


def check_density_file(path):
    """Return the writer of a density file, by its name.

    Raises
    ------
    ConfigError
        For a name that is not ``*.cube``, ``*.vtk``, ``*.chgcar`` or ``CHGCAR*``.
    """
    suffix, name = path.suffix.lower().lstrip("."), path.name.lower()
    if suffix == "cube":
        return write_density_cube
    if suffix == "vtk":
        return _write_vtk
    if suffix == "chgcar" or name.startswith("chgcar"):
        return write_chgcar
    raise ConfigError(f"--density {path}: expected a name that ends in .cube, .chgcar or .vtk")


def _write_vtk(density, path):
    fields = {"free_energy_eV": free_energy_map(density)} if density.temperature_K else None
    return write_vtk(density, path, fields=fields)


def write_density(found, path):
    """Write the density of the mobile ions; with several species the symbol goes before the suffix.

    Returns
    -------
    list of Path
    """
    writer = check_density_file(path)
    several = len(found.densities) > 1
    return [
        writer(item, path.with_name(f"{path.stem}-{item.species}{path.suffix}") if several else path)
        for item in found.densities
    ]
