"""Rotation and its coupling to hops on a page, of our runs and of foreign trajectories: tables and figures.

Nothing is analysed here: see simtools.analysers.rotor_study.
"""

import numpy as np

from simtools.analysers.orientation_density import LEAST_BASIN, find_basins, smoothed_extremes
from simtools.plots import format_estimate, format_number

__all__ = [
    "by_anion",
    "column_of",
    "rotation_statements",
    "rotation_tables",
    "tables_of_tests",
]

_MOTION = {
    "small steps": "small steps",
    "large jumps": "large jumps",
    "between": "neither small steps (3) nor jumps to anywhere (1)",
    "wide wobble": "bonds wobble widely about a direction that turns slowly",
    "not relaxed": "not relaxed within the longest lag",
}


def column_of(record):
    """Return what a column of one temperature is headed by."""
    return "value" if record.temperature_K is None else f"{record.temperature_K:g} K"


def by_anion(records):
    """Return {anion: its records}."""
    found = {}
    for record in records:
        found.setdefault(record.anion, []).append(record)
    return found


def rotation_statements(records, lines=(), transports=()):
    """Return sentences: the verdict at each temperature with its numbers, and what the ligands do.

    Parameters
    ----------
    records
        `RotorRecord` of every anion and temperature.
    lines
        `RotationArrhenius` of each anion.
    transports
        `TransportResult` of the mobile ion, to say what moves while ligands do not.
    """
    said = []
    for record in records:
        at = "" if record.temperature_K is None else f" at {record.temperature_K:g} K"
        for mobile, results in record.couplings.items():
            verdict, c = results["verdict"], results["event_correlogram"]
            share = c.coupled_fraction
            seen = (
                ""
                if share.is_limit or not np.isfinite(share.value)
                else f" Beyond chance, {_percent(share.value)} ({_percent(share.ci95[0])} to "
                f"{_percent(share.ci95[1])}) of hops come within {c.window_ps:.2g} ps of a rotation."
            )
            said.append(
                f"{record.anion} and {mobile}{at}: {_word(verdict)}. "
                f"{verdict.reason[0].upper()}{verdict.reason[1:]}.{seen} The data exclude more than "
                f"{_percent(verdict.excluded_coupled_fraction)} (95 %)."
            )
    for anion, own in by_anion(records).items():
        words = {item.couplings[m]["verdict"].verdict for item in own for m in item.couplings}
        if len(words) > 1:
            said.append(
                f"{anion}: the verdict is not the same at all temperatures ({', '.join(sorted(words))}); "
                "take none of them as settled without counterfactual runs."
            )
        said += _still_ligands(own, transports)
    for line in lines:
        if line.difference_eV is not None:
            low, high = line.difference_eV.ci95
            side = "differ" if low > 0 or high < 0 else "are not told apart"
            said.append(
                f"Activation energies of rotation of {line.anion}, "
                f"{format_estimate(line.rate_activation_energy_eV, 'eV')}, and of diffusion, "
                f"{format_estimate(line.diffusion_activation_energy_eV, 'eV')}, {side}: the difference is "
                f"{format_estimate(line.difference_eV, 'eV')}. Alike or not, it says nothing about cause."
            )
    return said


def _word(verdict):
    unconfirmed = verdict.verdict == "paddlewheel" and not verdict.confirmed
    return f"{verdict.verdict}, not confirmed" if unconfirmed else verdict.verdict


def _still_ligands(records, transports):
    """Return what is known of long-range motion of ligands and of where they point, all temperatures."""
    said = []
    names = dict.fromkeys(n for item in records for n in item.rotation if n.startswith("transport_"))
    for name in names:
        found = [item.rotation[name] for item in records if name in item.rotation]
        limits = [item.tracer_diffusivity_cm2_per_s for item in found]
        symbol, anion = found[0].species, records[0].anion
        if all(item.is_limit for item in limits):
            tops = _range([item.upper_limit for item in limits], "cm²/s")
            text = f"{symbol} of {anion} shows no long-range diffusion: D* below {tops} (95 %)"
        else:
            moved = [item.value for item in limits if not item.is_limit]
            text = f"{symbol} of {anion} diffuses from molecule to molecule: D* {_range(moved, 'cm²/s')}"
        moving = [
            item.tracer_diffusivity_cm2_per_s
            for item in transports
            if item.temperature_K in _kelvins(records)
        ]
        moving = [item.value for item in moving if not item.is_limit]
        if moving:
            text += f", while {transports[0].species} moves with D* {_range(moving, 'cm²/s')}"
        said.append(text + ".")
    for mobile in dict.fromkeys(name for item in records for name in item.couplings):
        found = [item.couplings.get(mobile, {}).get("vacancy_pointing") for item in records]
        found = [item for item in found if item is not None]
        if found:
            angles = _range([item.angle_deg.value for item in found], "degrees")
            shares = _range([100 * item.pointing.value for item in found], "%")
            chance = _range([100 * item.random_pointing for item in found], "%")
            said.append(
                f"Bonds of {records[0].anion} are {angles} from the direction to the nearest vacancy of "
                f"{mobile} (random orientation: 90), and within 45 degrees of one in {shares} of the time "
                f"(random orientation: {chance}); intervals are in the table."
            )
    return said


def _kelvins(records):
    return {item.temperature_K for item in records}


def _range(values, unit):
    low, high = format_number(min(values)), format_number(max(values))
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"


def _percent(share):
    return f"{100 * share:.2g} %"


def _percent_of(estimate):
    low, high = estimate.ci95
    return f"{100 * estimate.value:.3g} % ({100 * low:.3g} to {100 * high:.3g} %)"


def rotation_tables(records, lines=()):
    """Return tables: rotation against temperature, and the ladder of each mobile ion."""
    tables = []
    for anion, own in by_anion(records).items():
        columns = [f"rotation of {anion}", *(column_of(item) for item in own)]
        tables.append(
            {
                "columns": columns,
                "rows": _rotation_rows(own),
                "caption": f"Rotation of {anion}: values with 95 % intervals over all replicas.",
            }
        )
        rows = [
            row
            for line in lines
            if line.anion == anion
            for row in (
                ["rate of rotation", format_estimate(line.rate_activation_energy_eV, "eV")],
                ["1/τ₁", format_estimate(line.relaxation_activation_energy_eV, "eV")],
                ["diffusion of the mobile ion", format_estimate(line.diffusion_activation_energy_eV, "eV")],
                ["rotation less diffusion", format_estimate(line.difference_eV, "eV")],
            )
        ]
        if rows:
            tables.append(
                {
                    "columns": ["activation energy of", "value (95 % interval)"],
                    "rows": rows,
                    "caption": f"Activation energies: rotation of {anion} beside diffusion.",
                }
            )
        for mobile in dict.fromkeys(name for item in own for name in item.couplings):
            tables.append(_ladder(anion, mobile, [item for item in own if mobile in item.couplings]))
    return tables


def _rotation_rows(records):
    def row(name, text):
        return [name, *(text(item.rotation) for item in records)]

    def rate(r):
        rates = r["reorientation_rates"]
        return (
            f"{format_estimate(rates.rate_per_rotor, '1/ps')}; {rates.n_events} seen, "
            f"{rates.n_recrossings} recrossings removed"
        )

    rows = [
        row(
            "rotors × replicas",
            lambda r: f"{r['reorientation'].n_rotors} in {r['reorientation'].n_replicas}",
        ),
        row("τ₁", lambda r: _time(r["reorientation"], 1)),
        row("τ₂", lambda r: _time(r["reorientation"], 2)),
        row(
            "τ₁/τ₂ (3 small steps, 1 large jumps)",
            lambda r: _ratio(r["reorientation"]),
        ),
        row("order parameter S² (plateau of C₂)", lambda r: format_estimate(r["reorientation"].plateau2)),
        row("rotations per rotor", rate),
        row("directions of bonds (1: as free rotors)", _landscape),
        row("static order, mean of rotors", lambda r: format_number(r["reorientation"].static_order.mean())),
    ]
    for name, label, value in (
        (
            "rotational_diffusion",
            "rotational diffusivity",
            lambda d: format_estimate(d.diffusivity, "rad²/ps"),
        ),
        ("librations", "libration frequency", lambda d: format_estimate(d.mean_frequency_THz, "THz")),
    ):
        if any(name in item.rotation for item in records):
            rows.append(row(label, lambda r, n=name, v=value: v(r[n]) if n in r else "not determined"))
    ligands = dict.fromkeys(
        name for item in records for name in item.rotation if name.startswith("transport_")
    )
    for name in ligands:
        symbol = name.removeprefix("transport_")
        rows.append(
            row(
                f"long-range D* of {symbol} (rotation left out)",
                lambda r, n=name: (
                    format_estimate(r[n].tracer_diffusivity_cm2_per_s, "cm²/s")
                    if n in r
                    else "not determined"
                ),
            )
        )
    return rows + _pointing_rows(records)


def _time(functions, order):
    """Return a relaxation time; where the run does not reach it, only the fit that is drawn on beyond it."""
    tau = getattr(functions, f"tau{order}")
    if functions.relaxed[order - 1]:
        return format_estimate(tau, "ps")
    longest = functions.lag_times_ps[-1]
    return f"not relaxed within {format_number(longest)} ps (extrapolated: {format_number(tau.value)} ps)"


def _ratio(functions):
    if not all(functions.relaxed):
        return _MOTION[functions.motion]
    return f"{format_estimate(functions.ratio)}: {_MOTION[functions.motion]}"


def _landscape(rotation):
    """Return how uneven directions are, and how many of them hold rotors."""
    if "orientation_density" not in rotation:
        return "not determined"
    density = rotation["orientation_density"]
    low, high = smoothed_extremes(density)
    count = len(find_basins(density))
    wells = f"{count} directions above {LEAST_BASIN:g}" if count else f"none above {LEAST_BASIN:g}"
    return f"density {low:.2f} to {high:.2f}; {wells}"


def _pointing_rows(records):
    mobiles = dict.fromkeys(m for item in records for m in item.couplings)
    rows = []
    for mobile in mobiles:
        found = [item.couplings.get(mobile, {}).get("vacancy_pointing") for item in records]
        if not any(found):
            continue
        rows += [
            [
                f"angle of the bond to the nearest {mobile} vacancy (random: 90)",
                *("–" if p is None else format_estimate(p.angle_deg, "degrees") for p in found),
            ],
            [
                f"time within 45 degrees of a {mobile} vacancy",
                *(
                    "–" if p is None else f"{_percent_of(p.pointing)}; random {_percent(p.random_pointing)}"
                    for p in found
                ),
            ],
        ]
    return rows


def _ladder(anion, mobile, records):
    verdicts = [item.verdict(mobile) for item in records]
    questions = dict.fromkeys(rung["question"] for verdict in verdicts for rung in verdict.rungs)
    rows = []
    for question in questions:
        cells = []
        for verdict in verdicts:
            rungs = {rung["question"]: f"{rung['answer']}: {rung['evidence']}" for rung in verdict.rungs}
            cells.append(rungs.get(question, "not reached"))
        rows.append([question, *cells])
    rows.append(["verdict", *(f"{_word(v)}: {v.reason}" for v in verdicts)])
    rows.append(
        [
            "share of hops with a rotation that the data exclude (95 %)",
            *(f"more than {_percent(v.excluded_coupled_fraction)}" for v in verdicts),
        ]
    )
    return {
        "columns": [f"{anion} and {mobile}", *(column_of(item) for item in records)],
        "rows": rows,
        "caption": "The ladder of evidence: each step is asked only where the ones before allow it.",
    }


def tables_of_tests(records):
    """Return one table of all tests for each anion, mobile ion and temperature."""
    tables = []
    for record in records:
        for mobile in record.couplings:
            at = "" if record.temperature_K is None else f" at {record.temperature_K:g} K"
            tables.append(
                {
                    "columns": ["test", "estimate (95 % interval)", "without coupling", "null", "p", "q"],
                    "rows": [_test_row(test) for test in record.verdict(mobile).tests],
                    "caption": f"{record.anion} and {mobile}{at}: all tests; q is corrected for their number "
                    "(Benjamini–Hochberg).",
                }
            )
    return tables


def _test_row(test):
    estimate = test["estimate"]
    text = "–"
    if estimate is not None and isinstance(estimate.get("value"), float):
        low, high = estimate["ci95"]
        text = f"{estimate['value']:.3g} ({_short(low)} to {_short(high)}) {test['unit']}".strip()
    return [
        test["name"],
        text,
        f"{test['null_value']:g}",
        test["null"],
        f"{test['p']:.2g}",
        f"{test['q']:.2g}",
    ]


def _short(number):
    return number if isinstance(number, str) else f"{number:.3g}"
