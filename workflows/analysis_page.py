"""What `workflows.mechanisms` found as sections of a page, entries of ``summary.json``, files and text.

Nothing is computed here; figures are drawn by `simtools.plots`.
"""

import numpy as np

from simtools import plots
from simtools.analysers.density import free_energy_map
from simtools.analysers.density_files import write_chgcar, write_density_cube, write_vtk
from simtools.core.errors import ConfigError
from simtools.core.results import Estimate
from simtools.plots import format_estimate, format_number
from workflows.hop_tables import comparison_entry, hop_table, methods_table_of
from workflows.report_figures import single_figure

__all__ = ["check_density_file", "mechanism_text", "results_of", "sections_of", "summary_of", "write_density"]

_SIZE = {"width_in": 5.6, "height_in": 4.2}
_CHGCAR = ("chgcar",)
_TITLES = {
    "collective": "Collective transport of all species",
    "vibrations": "Vibrations",
    "structure": "Structure and displacements",
    "jumps": "Jumps between sites",
    "density": "Where the ions are",
    "methods": "Do the methods agree?",
    "plan": "How long to run",
}


def sections_of(found):
    """Return the sections of the page: id, title, rows, tables, figures and notes of each.

    Parameters
    ----------
    found
        `workflows.mechanisms.Mechanisms`.

    Returns
    -------
    list of dict
        Empty sections are left out.
    """
    parts = {
        "methods": _methods(found),
        "plan": {"notes": [_sentence(item) for item in found.plans]},
        "collective": _collective(found),
        "vibrations": _vibrations(found),
        "structure": _structure(found),
        "jumps": _jumps(found),
        "density": _density(found),
    }
    sections = []
    for name, part in parts.items():
        section = {
            "id": name,
            "title": _TITLES[name],
            "rows": part.get("rows", []),
            "tables": part.get("tables", []),
            "figures": part.get("figures", []),
            "notes": part.get("notes", []),
            "cautions": part.get("cautions", []),
            "absent": [text for topic, text in found.absent if topic == name],
        }
        if any(section[key] for key in ("rows", "tables", "figures", "notes", "absent")):
            sections.append(section)
    return sections


def _methods(found):
    if not found.comparisons:
        return {}
    said = [f"{item.species}: {text}" for item in found.comparisons for text in item.disagreements]
    return {
        "tables": [methods_table_of(found.comparisons)],
        "cautions": said,
        "notes": [] if said else ["No method contradicts another beyond what their errors explain."],
        "figures": [
            single_figure(
                f"methods-{kind}-{item.species}",
                f"{name} of {item.species} by different methods",
                "Top: the value reported, with its 95 % interval as a band. Bars are 95 % intervals, the "
                "triangle a 95 % upper limit. All come from the same run: a good method differs by less "
                "than the band.",
                plots.plot_methods,
                item,
                quantity,
                width_in=6.4,
                height_in=1.1 + 0.38 * len(item.of(quantity)),
            )
            for item in found.comparisons
            for kind, quantity, name in (
                ("tracer", "tracer_diffusivity_cm2_per_s", "D*"),
                ("conductivity", "ionic_conductivity_S_per_cm", "Conductivity"),
            )
            if len(item.of(quantity)) > 1
        ],
    }


def _sentence(plan):
    text = str(plan)
    return f"{text[0].upper()}{text[1:]}."


def _collective(found):
    tables, figures, rows, cautions = [], [], [], []
    matrix = found.onsager
    if matrix is not None:
        rows += [
            ("Ionic conductivity, all species", format_estimate(matrix.ionic_conductivity_S_per_cm, "S/cm")),
            (
                "Nernst–Einstein, all species",
                format_estimate(matrix.nernst_einstein_conductivity_S_per_cm, "S/cm"),
            ),
            ("Haven ratio, all species", format_estimate(matrix.haven_ratio)),
            (
                "Conductivity along x, y, z (S/cm)",
                "; ".join(format_estimate(item) for item in matrix.conductivity_per_axis_S_per_cm),
            ),
            ("Frame of coefficients and transport numbers", matrix.frame),
            (
                "Standard error of σ by bootstrap over time blocks",
                f"{format_number(matrix.bootstrap_stderr_S_per_cm)} S/cm",
            ),
        ]
        tables.append(_onsager_table(matrix))
        moving = np.isfinite(np.diag(matrix.correlation_coefficients())).sum()
        if moving > 1:
            figures.append(_onsager_figure(matrix))
    for tensor in found.tensors:
        tables.append(_tensor_table(tensor))
    green = found.green_kubo
    if green is not None:
        said = {True: "agree", False: "disagree", None: "cannot be compared"}[green.agrees]
        rows += [
            ("Green–Kubo conductivity", format_estimate(green.ionic_conductivity_S_per_cm, "S/cm")),
            (
                "Green–Kubo and Einstein–Helfand",
                f"{said}; current sampled every {1000 * green.interval_ps:g} fs",
            ),
        ]
        cautions += list(green.warnings)
        figures.append(
            single_figure(
                "green-kubo",
                "Conductivity spectrum",
                "Grey: periodogram of the charge current, mean over replicas and axes. The conductivity is "
                "its limit at zero frequency, from the shaded band by cepstral analysis (Green–Kubo); "
                "beside it the slope of the charge displacement (Einstein–Helfand). Bars are 95 % intervals.",
                plots.plot_green_kubo,
                green,
                **_SIZE,
            )
        )
    return {"rows": rows, "tables": tables, "figures": figures, "cautions": cautions}


def _onsager_figure(matrix):
    return single_figure(
        "onsager",
        "Correlated motion of the species",
        "Diagonal: Onsager coefficients Λ = L V kT in Å²/ps. Elsewhere: correlation of the summed "
        "displacements of two species, −1 to 1; a dash where one of them is at rest within its error.",
        plots.plot_onsager_matrix,
        matrix,
        width_in=4.6,
        height_in=4.2,
    )


def _onsager_table(matrix):
    rows = []
    for k, (name, charge, count) in enumerate(
        zip(matrix.species, matrix.charges_e, matrix.n_ions, strict=True)
    ):
        coefficients = [
            f"{format_number(value)} ± {format_number(error)}"
            for value, error in zip(matrix.coefficients_A2_per_ps[k], matrix.stderr_A2_per_ps[k], strict=True)
        ]
        share = matrix.transport_numbers.get(name)
        rows.append([name, f"{charge:+d}", count, format_estimate(share), *coefficients])
    return {
        "columns": [
            "species",
            "charge (e)",
            "ions",
            "transport number",
            *(f"Λ with {n}" for n in matrix.species),
        ],
        "rows": rows,
        "caption": "Transport numbers (95 % intervals) and Onsager coefficients Λ = L V kT in Å²/ps (± one "
        "standard error) in the frame named above. Where ions of a species do not hop, its small number is "
        "the polarisation of its sublattice within the window; it vanishes at long times.",
    }


def _tensor_table(tensor):
    labels = ["xx", "yy", "zz", "yz", "xz", "xy"]
    chance = tensor.isotropy_p_value
    verdict = (
        "too few independent blocks to test whether it is isotropic"
        if not np.isfinite(chance)
        else f"p = {chance:.2g} for an isotropic tensor"
    )
    return {
        "columns": [f"D {label} (cm²/s)" for label in labels],
        "rows": [[format_estimate(tensor.components_cm2_per_s[label]) for label in labels]],
        "caption": f"Tracer diffusion tensor of {tensor.species} in Cartesian axes, 95 % intervals; "
        "{verdict}.",
    }


def _vibrations(found):
    if not found.vibrations:
        return {}
    return {
        "rows": [
            (
                f"Attempt frequency of {item.species}",
                f"{format_estimate(item.attempt_frequency_THz, 'THz')}; {item.source}",
            )
            for item in found.vibrations
        ],
        "figures": [
            single_figure(
                "vibrations",
                "Vibrational density of states",
                "From the velocity autocorrelation; the band is ± one standard error over time segments. "
                "Dashed: mean frequency, the attempt frequency of hopping models. The value at zero "
                "frequency is proportional to D*.",
                plots.plot_vibrations,
                found.vibrations,
                **_SIZE,
            )
        ],
    }


def _structure(found):
    figures = []
    if found.radial:
        figures.append(
            single_figure(
                "rdf",
                "Radial distribution functions",
                "Density of the second species at distance r from the first, over its mean; bands are 95 % "
                "intervals from ten time blocks (often narrower than the line).",
                plots.plot_radial_distribution,
                found.radial,
                **_SIZE,
            )
        )
    for item in found.van_hove:
        figures.append(
            single_figure(
                f"van-hove-self-{item.species}",
                f"Self part of the van Hove function of {item.species}",
                "Probability density of an ion's displacement after each time. Peaks at the distances of "
                "sites are ions that have hopped; the first peak is vibration.",
                plots.plot_self_van_hove,
                item,
                **_SIZE,
            )
        )
    for item in found.distinct:
        figures.append(
            single_figure(
                f"van-hove-distinct-{item.centre}",
                f"Distinct part of the van Hove function of {item.centre}",
                "Density of other ions at distance r from where an ion was a time ago, over the mean. What "
                "grows at r = 0 are ions in places that others have left.",
                plots.plot_distinct_van_hove,
                item,
                **_SIZE,
            )
        )
    if found.gaussian:
        figures.append(
            single_figure(
                "non-gaussian",
                "Non-Gaussian parameter",
                "Zero for Brownian motion and for vibration; its maximum marks the time at which few ions "
                "have hopped. Bands are 95 % intervals from a jackknife over ions, too narrow where ions "
                "move together.",
                plots.plot_non_gaussian_parameter,
                found.gaussian,
                **_SIZE,
            )
        )
    return {"figures": figures}


def _jumps(found):
    if not found.hops:
        return {}
    figures = []
    for item in found.rates:
        figures += _rate_figures(item)
    for item in found.strings:
        figures += _string_figures(item)
    lengths = [
        (
            f"Jump lengths of {item.species}",
            "; ".join(
                f"{length:.2f} Å: {count}"
                for length, count in zip(item.lengths_A, item.length_counts, strict=True)
            )
            or "no jumps",
        )
        for item in found.rates
    ]
    return {
        "rows": [("Sites", found.choices.get("sites_from", "unknown")), *lengths, *_string_rows(found)],
        "tables": [hop_table(found.hops)],
        "figures": figures,
    }


def _rate_figures(item):
    figures = []
    if len(item.lengths_A) > 1:
        figures.append(
            single_figure(
                f"jump-lengths-{item.species}",
                f"Jump lengths of {item.species}",
                "Rate of each class of jumps against its length, with 95 % Poisson intervals and counts.",
                plots.plot_jump_lengths,
                item,
                **_SIZE,
            )
        )
    if item.n_jumps:
        figures.append(
            single_figure(
                f"stays-{item.species}",
                f"Time that {item.species} stays after a jump",
                "Share of stays that last longer than a time (Kaplan–Meier, so stays that the run cut off "
                "are no bias); dotted: one rate for all ions at all times. A steep beginning is ions that "
                "jump back.",
                plots.plot_stays,
                item,
                **_SIZE,
            )
        )
    return figures


def _string_figures(item):
    null = {
        "lattice gas": "a lattice gas of independent vacancies at the same rate on the same sites",
        "shifted": "the jumps of each ion shifted in time",
    }[item.null]
    return [
        single_figure(
            f"strings-{item.species}",
            f"Strings of jumps of {item.species}",
            f"Ions that take each other's sites within {item.window_ps:g} ps; squares and bars: mean and 95 "
            f"% range of {item.n_repeats} repeats of {null}.",
            plots.plot_strings,
            item,
            **_SIZE,
        ),
        single_figure(
            f"lead-lag-{item.species}",
            f"Who moves first, {item.species}",
            "Time between one ion leaving a site and another entering it. Right of zero: into the gap, as "
            "vacancies do; left of zero: a push, as interstitialcies do. Line: the same null, whose hops "
            "take no time, so that it has more at the shortest delays.",
            plots.plot_lead_and_lag,
            item,
            **_SIZE,
        ),
    ]


def _string_rows(found):
    return [
        (
            f"Jumps of {item.species} in strings within {item.window_ps:g} ps",
            f"{item.concerted_fraction:.0%}; independent ({item.null}) {item.null_fraction:.0%}, 95 % range "
            f"{item.null_fraction_range[0]:.0%} to {item.null_fraction_range[1]:.0%}; p = {item.p_value:.2g}",
        )
        for item in found.strings
    ]


def _density(found):
    if not found.densities:
        return {}
    rows = [("Density", found.choices.get("density", ""))]
    for item in found.percolations:
        levels = "; ".join(
            f"{k + 1}D from {format_estimate(level, 'eV')}" for k, level in enumerate(item.levels)
        )
        rows.append(
            (f"Percolation of {item.species}", levels or "visited voxels do not connect across the cell")
        )
    return {
        "rows": rows,
        "figures": [
            single_figure(
                f"free-energy-{item.species}",
                f"Free-energy map of {item.species}",
                "−kT ln of the density over its maximum, the lowest value along c. A passage costs what the "
                "map shows: for vacancies this holds the free energy of having one next to the ion, so it "
                "is not the barrier of a single hop.",
                plots.plot_free_energy,
                item,
                free_energy_map(item),
                width_in=5.6,
                height_in=4.6,
            )
            for item in found.densities
            if item.temperature_K
        ],
    }


def summary_of(found):
    """Return the blocks of ``summary.json``: lists of entries, only those that are not empty."""
    blocks = {
        "onsager": [_onsager_entry(found.onsager)] if found.onsager is not None else [],
        "tracer_tensor": [_tensor_entry(item) for item in found.tensors],
        "green_kubo": [_green_kubo_entry(found.green_kubo)] if found.green_kubo is not None else [],
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
    return {name: _plain(entries) for name, entries in blocks.items() if entries}


def _onsager_entry(item):
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


def _tensor_entry(item):
    return {
        "temperature_K": item.temperature_K,
        "species": item.species,
        "components_cm2_per_s": dict(item.components_cm2_per_s),
        "mean_cm2_per_s": item.mean_cm2_per_s,
        "isotropy_p_value": None if np.isnan(item.isotropy_p_value) else item.isotropy_p_value,
    }


def _green_kubo_entry(item):
    return {
        "temperature_K": item.temperature_K,
        "ionic_conductivity_S_per_cm": item.ionic_conductivity_S_per_cm,
        "einstein_helfand_S_per_cm": item.einstein_helfand_S_per_cm,
        "agrees": item.agrees,
        "sampled_every_ps": item.interval_ps,
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


def _plain(value):
    if isinstance(value, Estimate):
        return value.to_dict()
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


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
    for name, text in _string_rows(found):
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
    if suffix in _CHGCAR or name.startswith(_CHGCAR):
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
