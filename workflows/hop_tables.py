"""Tables of jumps and of methods compared, for reports of runs and of foreign trajectories."""

from simtools.plots import format_estimate, format_number

__all__ = ["comparison_entry", "hop_table", "methods_table_of", "string_rows", "transport_number_table"]

_SHORT = {
    "tracer_diffusivity_cm2_per_s": "D* (cm²/s)",
    "charge_diffusivity_cm2_per_s": "D_σ (cm²/s)",
    "haven_ratio": "H_R",
    "ionic_conductivity_S_per_cm": "σ (S/cm)",
}


def hop_table(hops):
    """Return what the jumps of each species and temperature say.

    Parameters
    ----------
    hops
        `HopStatistics` each.
    """
    rows = [
        [
            "–" if item.temperature_K is None else f"{item.temperature_K:g}",
            item.species,
            item.n_jumps,
            item.n_recrossings,
            _known(item.rate_per_ion),
            _known(item.rate_per_vacancy),
            _known(item.mean_residence),
            _known(item.correlation_factor),
            _gas(item),
        ]
        for item in hops
    ]
    return {
        "columns": [
            "T (K)",
            "ion",
            "jumps",
            "recrossings removed",
            "per ion (1/ps)",
            "per vacancy (1/ps)",
            "residence (ps)",
            "correlation factor",
            "lattice gas (95 % range)",
        ],
        "rows": rows,
        "caption": "Lasting jumps between sites, over all replicas, with 95 % intervals (Poisson, widened "
        "where jumps come in bursts; “<” is a 95 % upper limit). Correlation factor: how far ions get over "
        "how far as many unrelated jumps would take them; beside it the mean and 95 % range of vacancies "
        "that know of each other by site exclusion only, on the same sites, at the same rate, for the same "
        "time.",
    }


def methods_table_of(comparisons):
    """Return every quantity by every method.

    Parameters
    ----------
    comparisons
        `MethodComparison` each.
    """
    rows = []
    for item in comparisons:
        for name in dict.fromkeys(item.quantities):
            rows += _methods_rows(item, name)
    return {
        "columns": ["T (K)", "quantity", "method", "value", "from the reported value"],
        "rows": rows,
        "caption": "The first line of each quantity is the value reported; values with 95 % intervals. All "
        "come from the same run, so methods that are both right differ by less than their intervals.",
    }


def comparison_entry(item):
    """Return the entry of a `MethodComparison` in ``summary.json``."""
    return {
        "temperature_K": item.temperature_K,
        "species": item.species,
        "agree": item.agree,
        "disagreements": list(item.disagreements),
        "estimates": [
            {"quantity": name, "by": method, **estimate.to_dict()}
            for name, method, estimate in zip(item.quantities, item.methods, item.estimates, strict=True)
        ],
    }


def transport_number_table(matrices):
    """Return transport numbers and Onsager coefficients, one row per temperature and species.

    Parameters
    ----------
    matrices
        `OnsagerResult` each, of the same species.
    """
    rows = []
    for item in matrices:
        for k, name in enumerate(item.species):
            pairs = zip(item.coefficients_A2_per_ps[k], item.stderr_A2_per_ps[k], strict=True)
            rows.append(
                [
                    f"{item.temperature_K:g}",
                    f"{name} ({item.charges_e[k]:+d})".replace("-", "−"),
                    item.n_ions[k],
                    _known(item.transport_numbers.get(name)),
                    *(f"{format_number(value)} ± {format_number(error)}" for value, error in pairs),
                ]
            )
    return {
        "columns": [
            "T (K)",
            "species",
            "ions",
            "transport number",
            *(f"Λ with {name}" for name in matrices[0].species),
        ],
        "rows": rows,
        "caption": "Transport numbers (95 % intervals) and Onsager coefficients Λ = L V kT in Å²/ps (± one "
        f"standard error) in the frame of the {matrices[0].frame}. Where ions of a species do not hop, its "
        "small number is the polarisation of its sublattice within the window; it vanishes at long times.",
    }


def string_rows(strings):
    """Return (name, text) of how many jumps go in strings, beside the null.

    Parameters
    ----------
    strings
        `ConcertedJumps` each.
    """
    return [
        (
            f"Jumps of {item.species} in strings within {item.window_ps:g} ps",
            f"{item.concerted_fraction:.0%}; independent ({item.null}) {item.null_fraction:.0%}, 95 % range "
            f"{item.null_fraction_range[0]:.0%} to {item.null_fraction_range[1]:.0%}; p = {item.p_value:.2g}",
        )
        for item in strings
    ]


def _methods_rows(item, name):
    rows, main = [], None
    for method, estimate in item.of(name).items():
        apart = "–"
        if main is None:
            main = estimate
        elif not (main.is_limit or estimate.is_limit):
            share = round(100 * (estimate.value / main.value - 1))
            apart = "0 %" if share == 0 else f"{share:+d} %".replace("-", "−")
        head = [f"{item.temperature_K:g}", f"{_SHORT.get(name, name)}, {item.species}"]
        rows.append([*(head if not rows else ["", ""]), method, format_estimate(estimate), apart])
    return rows


def _known(estimate):
    return "–" if estimate is None else format_estimate(estimate)


def _gas(item):
    if item.lattice_gas_factor is None:
        return "–"
    low, high = item.lattice_gas_range
    return f"{item.lattice_gas_factor.value:.3f} ({low:.2f} to {high:.2f}), p = {item.p_value:.2g}"
