"""What `workflows.mechanisms` found as sections of a page. Files and text: analysis_files.py."""

import numpy as np

from simtools import plots
from simtools.analysers.density import free_energy_map
from simtools.plots import format_estimate, format_number
from workflows.hop_tables import hop_table, methods_table_of, string_rows, transport_number_table
from workflows.report_figures import single_figure

__all__ = ["sections_of"]

_SIZE = {"width_in": 5.6, "height_in": 4.2}
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
                f"{name} by different methods",
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
                ("tracer", "tracer_diffusivity_cm2_per_s", f"D* of {item.species}"),
                ("conductivity", "ionic_conductivity_S_per_cm", "Ionic conductivity"),
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
        tables.append(transport_number_table([matrix]))
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
        f"{verdict}.",
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
        "rows": [
            ("Sites", found.choices.get("sites_from", "unknown")),
            *lengths,
            *string_rows(found.strings),
        ],
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
                "is not the barrier of a single hop. Circles: the other ions, seen along c.",
                plots.plot_free_energy,
                item,
                free_energy_map(item),
                width_in=5.6,
                height_in=4.9,
            )
            for item in found.densities
            if item.temperature_K
        ],
    }
