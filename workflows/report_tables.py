"""What a report says about the system and its transport, from the `Run` it is about.

Forces, cost, seeds and versions are in report_machinery.py; layout is the template's business.
"""

import math
import re
from collections import Counter

from simtools.core.errors import ConfigError
from simtools.plots import format_estimate, format_number
from simtools.reference import literature_points
from workflows.counterfactuals import n_altered_points
from workflows.report_defects import defect_in_words, defects_made

__all__ = [
    "arrhenius_rows",
    "background_statement",
    "cautions",
    "grouped_warnings",
    "headline_cards",
    "lead",
    "literature_of",
    "literature_table",
    "methods_table",
    "sampling_table",
    "simulated_rows",
    "state_of",
    "system_of",
    "traces_of",
    "transport_table",
    "why_no_arrhenius",
]

_CONDUCTIVITY = "S cm⁻¹"
_FEW_REPLICAS = 4
_QUANTITIES = (
    ("tracer_diffusivity_cm2_per_s", "D* (cm² s⁻¹)"),
    ("charge_diffusivity_cm2_per_s", "D_σ (cm² s⁻¹)"),
    ("haven_ratio", "H_R = D*/D_σ"),
    ("nernst_einstein_conductivity_S_per_cm", "σ, Nernst–Einstein (S cm⁻¹)"),
    ("ionic_conductivity_S_per_cm", "σ, ionic (S cm⁻¹)"),
)
_NUMBER = re.compile(r"[-+−]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


def system_of(run):
    """Return what preparing the run found out about its system; empty before the first analysis."""
    return run.summary.get("provenance", {}).get("arguments", {}).get("system", {})


def lead(run):
    """Return the line under the title: formula, cell, defects, temperatures."""
    structure, md = run.recipe.get("structure", {}), run.recipe.get("md", {})
    parts = [f"{structure.get('formula', 'unknown formula')}, {_supercell(structure)} cells"]
    parts += [defect_in_words(defect) for defect in run.recipe.get("defects", ())]
    temperatures = md.get("temperatures_K", ())
    if temperatures:
        low, high = min(temperatures), max(temperatures)
        span = f"{low:g} K" if low == high else f"{len(temperatures)} temperatures, {low:g} to {high:g} K"
        parts.append(f"{span}, {_plural(md.get('replicas', 1), 'replica')} each")
    return "; ".join(parts)


def state_of(run):
    """Return the line about completeness, and whether anything is missing."""
    md = run.recipe.get("md", {})
    done = sum(bool(point.outcome) for point in run.points)
    per_temperature = md.get("replicas", 1) + ("lattice_parameter_A" not in md)
    free = len(md.get("temperatures_K", ())) * per_temperature
    wanted = max(free + n_altered_points(run.recipe, run.directory), len(run.points))
    if done < wanted:
        return f"Unfinished: {done} of {wanted} state points done; the numbers will change", True
    return f"Complete: {_plural(done, 'state point')}", False


def headline_cards(run):
    """Return the cards at the top: activation energy, conductivities, Haven ratio, with their basis."""
    if not run.transport:
        return []
    basis = _basis(run)
    cards = []
    fit = run.arrhenius
    if fit is not None:
        span = f"fit from {min(fit.temperatures_K):g} to {max(fit.temperatures_K):g} K"
        conducting = _has_value(fit.activation_energy_eV)
        if conducting:
            cards.append(_card("Activation energy of σT", fit.activation_energy_eV, "eV", f"{span}; {basis}"))
        if fit.tracer_activation_energy_eV is not None:
            cards.append(_card("Activation energy of D*", fit.tracer_activation_energy_eV, "eV", span))
        room = fit.conductivity_300K_S_per_cm
        if conducting:
            note = f"{span}; nothing was simulated at 300 K" if _has_value(room) else room.method
            cards.append(_card("σ at 300 K, extrapolated", room, _CONDUCTIVITY, note))
    charged = any(result.charge_e for result in run.transport)
    ends = {result.temperature_K: result for result in (run.transport[0], run.transport[-1])}
    for temperature, result in ends.items():
        if charged:
            estimate = result.ionic_conductivity_S_per_cm
            cards.append(_card(f"Ionic σ at {temperature:g} K", estimate, _CONDUCTIVITY, basis))
        else:
            estimate = result.tracer_diffusivity_cm2_per_s
            cards.append(_card(f"D* of {result.species} at {temperature:g} K", estimate, "cm² s⁻¹", basis))
    known = [result for result in run.transport if _has_value(result.haven_ratio)]
    if known and charged:
        best = min(known, key=lambda result: result.haven_ratio.stderr / result.haven_ratio.value)
        cards.append(_card(f"Haven ratio at {best.temperature_K:g} K", best.haven_ratio, "", basis))
    return cards


def cautions(run):
    """Return what must be read before the numbers are used."""
    texts = []
    charged = [result for result in run.transport if result.charge_e]
    fewest = min((result.n_replicas for result in charged), default=_FEW_REPLICAS)
    if fewest < _FEW_REPLICAS:
        texts.append(
            f"Collective quantities (σ, D_σ, H_R) rest on {_plural(fewest, 'replica')} at some temperatures: "
            "take their intervals, not their values, as the result."
        )
    still = [f"{result.temperature_K:g} K" for result in run.transport if _is_limit(result)]
    if still:
        where = ", ".join(still)
        texts.append(f"No long-range diffusion was resolved at {where}: the entries are 95 % upper limits.")
    return texts


def simulated_rows(run):
    """Return (name, text) about the system and the protocol."""
    recipe, system = run.recipe, system_of(run)
    structure, md = recipe.get("structure", {}), recipe.get("md", {})
    rows = [
        (
            "Crystal",
            f"{structure.get('formula', 'unknown')}, {structure.get('prototype', 'cubic')} prototype",
        ),
        ("Supercell", f"{_supercell(structure)} conventional cells"),
    ]
    composition = system.get("composition")
    if composition:
        listed = ", ".join(f"{count} {symbol}" for symbol, count in composition.items())
        rows.append(("Ions in the cell", f"{sum(composition.values())}: {listed}"))
    defects = [defect_in_words(defect) for defect in recipe.get("defects", ())]
    rows.append(("Defects", "; ".join(defects) if defects else "none: the perfect crystal"))
    made = defects_made(run) or (_plural(system["n_defects"], "defect") if system.get("n_defects") else "")
    if made:
        rows.append(("Defects in the cell", made))
    if "net_charge_e" in system:
        rows.append(("Net charge of the cell", _charge(system["net_charge_e"])))
    potential = recipe.get("potential", {})
    rows.append(("Potential", str(potential.get("name") or potential.get("calculator") or "unknown")))
    rows.append(("Volume", _volume_source(run)))
    rows += _protocol_rows(md)
    mobile = recipe.get("analysis", {}).get("mobile")
    if mobile:
        host = recipe.get("analysis", {}).get("host") or system.get("host")
        frame = f"; displacements relative to the centre of mass of {', '.join(host)}" if host else ""
        charge = system.get("formal_charges_e", {}).get(mobile)
        ion = mobile if charge is None else f"{mobile}, formal charge {_charge(charge)}"
        rows.append(("Mobile ion", f"{ion}{frame}"))
    return rows


def background_statement(run):
    """Return what a declared net charge means for this run, or None for a neutral cell."""
    charge = system_of(run).get("net_charge_e")
    if run.recipe.get("potential", {}).get("net_charge") != "background" or charge == 0:
        return None
    amount = f" of {_charge(charge)}" if charge is not None else ""
    return (
        f"The cell carries a net charge{amount}, compensated by a uniform background as the recipe declares. "
        "The background's energy and stress are included. NPT is refused for such a cell because its "
        "pressure depends on the background, and absolute energies depend on the size of the cell; forces "
        "do not feel a uniform background."
    )


def why_no_arrhenius(run):
    """Return why there is no activation energy, or None if there is one."""
    if run.arrhenius is not None or not run.transport:
        return None
    if not any(result.charge_e for result in run.transport):
        return "The mobile species carries no formal charge: there is no conductivity to fit."
    if len({result.temperature_K for result in run.transport}) == 1:
        return "One temperature: no activation energy can be given."
    return "Fewer than two temperatures with a measured conductivity: no activation energy can be given."


def arrhenius_rows(run):
    """Return (name, text) of the Arrhenius fit."""
    fit = run.arrhenius
    if fit is None:
        return []
    conducting = _has_value(fit.activation_energy_eV)
    rows = _conductivity_rows(fit) if conducting else []
    if fit.tracer_activation_energy_eV is not None:
        rows.append(("Activation energy of D*", format_estimate(fit.tracer_activation_energy_eV, "eV")))
    rows.append(
        ("Method", (fit.activation_energy_eV if conducting else fit.tracer_activation_energy_eV).method)
    )
    scatter = f"{100 * fit.excess_scatter:.0f} % of {'σT' if conducting else 'D*'} (posterior mean)"
    rows.append(("Scatter beyond the points' own errors", scatter))
    return rows


def _conductivity_rows(fit):
    return [
        ("Activation energy of σT", format_estimate(fit.activation_energy_eV, "eV")),
        ("ln of the prefactor of σT, S K cm⁻¹", format_estimate(fit.ln_prefactor)),
        ("σ at 300 K, extrapolated", format_estimate(fit.conductivity_300K_S_per_cm, _CONDUCTIVITY)),
    ]


def transport_table(run):
    """Return the transport numbers, one row for each temperature and species."""
    columns = ["T (K)", "ion", *(heading for _, heading in _QUANTITIES)]
    rows = [
        [
            f"{result.temperature_K:g}",
            result.species,
            *(format_estimate(getattr(result, name)) for name, _ in _QUANTITIES),
        ]
        for result in run.transport
    ]
    caption = "Values with 95 % intervals; “<” is a 95 % upper limit: no long-range diffusion resolved."
    return _table(columns, rows, caption)


def sampling_table(run):
    """Return what each row of the transport table rests on."""
    columns = [
        "T (K)",
        "replicas",
        "mobile ions",
        "effective ions",
        "hops",
        "volume (Å³)",
        "window of D* (ps)",
        "window of D_σ (ps)",
        "longest MSD (Å²)",
        "n_eff of D*",
        "n_eff of D_σ",
    ]
    rows = [
        [
            f"{result.temperature_K:g}",
            result.n_replicas,
            result.n_ions,
            format_number(result.effective_ions) if math.isfinite(result.effective_ions) else "–",
            result.n_hops,
            f"{result.volume_A3:.1f}",
            _window(result.window_ps, result.tracer_diffusivity_cm2_per_s),
            _window(result.charge_window_ps, result.charge_diffusivity_cm2_per_s),
            format_number(result.msd_A2[-1]),
            format_number(result.tracer_diffusivity_cm2_per_s.n_eff),
            format_number(result.charge_diffusivity_cm2_per_s.n_eff),
        ]
        for result in run.transport
    ]
    return _table(columns, rows, "What each temperature rests on (ions per replica; hops over all replicas).")


def methods_table(run):
    """Return the distinct methods behind each quantity."""
    rows = []
    for name, heading in _QUANTITIES:
        methods = Counter(getattr(result, name).method for result in run.transport)
        rows += [[heading.split(" (")[0], method] for method in methods]
    return _table(["quantity", "method"], rows)


def literature_of(run):
    """Return what the literature reports on transport in the compound that was simulated."""
    formula = run.recipe.get("structure", {}).get("formula", "")
    kinds = ("ionic_conductivity", "activation_energy", "migration_barrier")
    try:
        return tuple(point for point in literature_points(formula) if point.quantity in kinds)
    except ConfigError:
        return ()


def literature_table(points):
    """Return the literature's points as a table."""
    rows = []
    for point in points:
        value = format_number(point.value)
        if point.low is not None:
            value = f"{format_number(point.low)} to {format_number(point.high)}"
        temperature = "–" if point.temperature_K is None else f"{point.temperature_K:g}"
        source = point.citation + (f", as quoted by {point.read_in}" if point.read_in else "")
        rows.append(
            [
                point.quantity.replace("_", " "),
                f"{value} {point.unit}",
                "room" if point.at_room_temperature else temperature,
                point.method,
                point.confidence,
                source,
                point.note,
            ]
        )
    return _table(["quantity", "value", "T (K)", "method", "mark", "source", "remark"], rows)


def grouped_warnings(warnings):
    """Return warnings that differ only in their numbers as one group each, most frequent first.

    Returns
    -------
    list of dict
        `text` (the first of the group), `count`, and `others`: the further texts that differ from it.
    """
    groups = {}
    for text in map(str, warnings):
        groups.setdefault(_NUMBER.sub("#", text), []).append(text)
    found = []
    for texts in groups.values():
        distinct = list(dict.fromkeys(texts))
        found.append({"text": distinct[0], "count": len(texts), "others": distinct[1:]})
    return sorted(found, key=lambda group: -group["count"])


def traces_of(run):
    """Return [(temperature, [(label, thermo, number of ions)])] of the points that have a log."""
    found = {}
    for point in run.points:
        thermo = point.thermo()
        if thermo is None or not len(thermo):
            continue
        n_atoms = (point.outcome or {}).get("n_atoms") or system_of(run).get("n_atoms")
        records = found.setdefault(float(point.spec["temperature_K"]), [])
        records.append((point.name.rsplit("-", 1)[0], thermo, n_atoms))
    return sorted(found.items())


def _protocol_rows(md):
    if not md:
        return []
    ensemble = md.get("ensemble", "NVT")
    if md.get("thermostat"):
        ensemble += f", {md['thermostat']} thermostat, τ = {md.get('thermostat_tau_ps', math.nan):g} ps"
    lengths = (
        f"{md.get('equilibration_ps', 0):g} ps equilibration (Langevin), "
        f"{md.get('production_ps', 0):g} ps production per replica"
    )
    steps = f"step {md.get('timestep_fs', 0):g} fs, frames every {md.get('sample_every_fs', 0):g} fs"
    masses = ", ".join(f"{name} {mass:g} amu" for name, mass in md.get("masses_amu", {}).items())
    molecules = [("Molecules", "rigid")] if md.get("rigid_molecules") else []
    return [
        *molecules,
        *([("Masses changed by the recipe", masses)] if masses else []),
        ("Temperatures", ", ".join(f"{t:g}" for t in sorted(md.get("temperatures_K", ()))) + " K"),
        ("Replicas", f"{md.get('replicas', 1)} per temperature, each with its own seeds"),
        ("Ensemble in production", ensemble),
        ("Duration", f"{lengths}; {steps}"),
    ]


def _volume_source(run):
    md = run.recipe.get("md", {})
    given = md.get("lattice_parameter_A")
    if given is not None:
        values = given if isinstance(given, (list, tuple)) else [given]
        return f"lattice parameter given in the recipe: {', '.join(f'{a:g}' for a in values)} Å"
    length = f"{md.get('npt_ps', 0):g} ps at {md.get('pressure_GPa', 0):g} GPa"
    if md.get("volume_from") == "perfect_crystal":
        return (
            f"mean volume of one NPT stage per temperature ({length}) of the perfect, neutral crystal; the "
            "change of volume due to the defects is neglected"
        )
    return f"mean volume of one NPT stage per temperature ({length}) of the cell with its defects"


def _table(columns, rows, caption=None):
    return {"columns": columns, "rows": rows, "caption": caption}


def _card(name, estimate, unit, basis):
    text = format_estimate(estimate, unit)
    value, bracket, rest = text.partition(" (")
    if not bracket:
        note = "95 % upper limit" if estimate.is_limit and text.startswith("<") else ""
        return {"name": name, "value": text, "interval": note, "basis": basis}
    inside, _, tail = rest.partition(")")
    if inside == "interval unknown":
        return {"name": name, "value": value, "interval": inside, "basis": basis}
    return {"name": name, "value": f"{value}{tail}", "interval": f"95 %: {inside}{tail}", "basis": basis}


def _basis(run):
    counts = {result.n_replicas for result in run.transport}
    shown = f"{min(counts)} to {max(counts)} replicas" if len(counts) > 1 else _plural(min(counts), "replica")
    length = run.recipe.get("md", {}).get("production_ps")
    return f"{shown}{f' of {length:g} ps' if length else ''} per temperature"


def _has_value(estimate):
    return not estimate.is_limit and math.isfinite(estimate.value)


def _is_limit(result):
    return result.tracer_diffusivity_cm2_per_s.is_limit


def _supercell(structure):
    return " × ".join(str(n) for n in structure.get("supercell", ())) or "unknown"


def _charge(charge_e):
    return f"{charge_e:+g} e".replace("-", "−") if charge_e else "0 e (neutral)"


def _plural(count, noun):
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _window(window_ps, estimate):
    if estimate.is_limit or not all(math.isfinite(end) for end in window_ps):
        return "none"
    return f"{format_number(window_ps[0])} to {format_number(window_ps[1])}"
