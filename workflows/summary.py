"""From points to ``summary.json`` and ``results/``: which trajectories go together, what to warn of.

The estimates themselves are simtools.analysers' business.
"""

import logging
import warnings as python_warnings

from simtools.analysers.arrhenius import fit_arrhenius
from simtools.analysers.association import association_partners, bound_fraction
from simtools.analysers.binding import fit_binding
from simtools.analysers.transport import analyse_transport
from simtools.core.errors import SimtoolsError, SimtoolsWarning
from simtools.core.provenance import collect_provenance
from simtools.md.h5md import read_trajectory
from workflows.counterfactuals import counterfactuals_of
from workflows.failures import quarantined
from workflows.point import FORCE_FIELD_FILE
from workflows.run_mechanisms import named_results, summary_blocks, temperature_law, temperature_mechanisms
from workflows.run_rotation import (
    anions_of,
    rotation_blocks,
    rotation_lines,
    site_symmetry_of,
    temperature_rotations,
)
from workflows.statepoints import PROTOCOL, write_json

__all__ = ["SCHEMA", "analyse", "numbers_or_null"]

SCHEMA = 1

logger = logging.getLogger(__name__)


def analyse(campaign):
    """Analyse every temperature that has production frames; write ``results/`` and ``summary.json``.

    Parameters
    ----------
    campaign
        A `workflows.campaign.Campaign`; it may be unfinished: what is there is analysed, and said so.

    Returns
    -------
    dict
        What ``summary.json`` holds.

    Raises
    ------
    SimtoolsError
        If no point has production frames, or a file is damaged.
    """
    listed = campaign.points()
    notes = _state_warnings(campaign, listed)
    transports, associations, mechanisms, rotations = [], [], [], []
    anions = anions_of(campaign.recipe, campaign.forces)
    with python_warnings.catch_warnings(record=True) as caught:
        python_warnings.simplefilter("always", SimtoolsWarning)
        for temperature in sorted(campaign.recipe.md.temperatures_K):
            trajectories = _trajectories(listed, temperature, notes)
            if not trajectories:
                continue
            transports.append(_transport(campaign, temperature, trajectories))
            associations += _associations(campaign, trajectories, notes)
            mechanisms.append(
                temperature_mechanisms(
                    trajectories,
                    transports[-1],
                    hop_length_A=campaign.system["hop_length_A"],
                    host_species=tuple(campaign.system["host"]),
                    notes=notes,
                )
            )
        altered = counterfactuals_of(
            campaign.recipe,
            transports,
            trajectories_of=lambda temperature, label: _trajectories(listed, temperature, notes, label),
            transport_of=lambda temperature, found: _transport(campaign, temperature, found),
            notes=notes,
            outcomes_of=lambda temperature, label: [
                (job.spec.label, outcome)
                for job, outcome in listed
                if outcome
                and (job.spec.role, job.spec.temperature_K, job.spec.variant)
                == ("production", temperature, label)
            ],
        )
        for temperature in (item.temperature_K for item in transports if anions):
            rotations += temperature_rotations(
                _trajectories(listed, temperature, []),
                anions=anions,
                mobile=campaign.recipe.analysis.mobile,
                temperature_K=temperature,
                host_species=tuple(campaign.system["host"]),
                site_symmetry=site_symmetry_of(campaign.recipe),
                counterfactuals=altered.for_verdict(temperature),
                notes=notes,
            )
        arrhenius = _arrhenius(transports, notes)
        lines = rotation_lines(rotations, arrhenius, notes)
        law = temperature_law(transports, notes)
        bindings = _bindings(associations)
    notes += _unique(f"{item.message}" for item in caught if issubclass(item.category, SimtoolsWarning))
    for result in (*transports, *associations):
        where = f"{result.temperature_K:g} K"
        notes += [note if note.startswith(where) else f"{where}: {note}" for note in result.warnings]
    for result in (arrhenius, *bindings):
        notes += list(result.warnings) if result is not None else []
    notes += _point_warnings(listed)
    summary = {
        "schema": SCHEMA,
        "title": campaign.recipe.title,
        "provenance": _provenance(campaign, listed),
        "transport": [numbers_or_null(result.to_summary()) for result in transports],
        "arrhenius": numbers_or_null(arrhenius.to_summary()) if arrhenius is not None else {},
        "warnings": _unique(notes),
    }
    if associations:
        summary["association"] = [numbers_or_null(result.to_summary()) for result in associations]
        summary["binding"] = [numbers_or_null(result.to_summary()) for result in bindings]
    summary |= numbers_or_null(summary_blocks(mechanisms, law) | rotation_blocks(rotations, lines))
    if altered.results:
        summary["counterfactual"] = numbers_or_null(altered.summary())
    results = campaign.directory / "results"
    results.mkdir(exist_ok=True)
    for stale in results.glob("*.json"):
        stale.unlink()
    for result in transports:
        _write_result(results / f"transport-{result.temperature_K:g}K-{result.species}.json", result)
    for result in associations:
        name = f"association-{result.temperature_K:g}K-{result.species}-{result.partner}.json"
        _write_result(results / name, result)
    for result in bindings:
        _write_result(results / f"binding-{result.species}-{result.partner}.json", result)
    for name, result in (*named_results(mechanisms, law), *altered.named_results()):
        _write_result(results / name, result)
    for stem, result in [pair for study in rotations for pair in study.named_results()]:
        _write_result(results / f"{stem}.json", result)
    for line in lines:
        _write_result(results / f"rotation-arrhenius-{line.anion}.json", line)
    if arrhenius is not None:
        _write_result(results / "arrhenius.json", arrhenius)
    write_json(campaign.directory / "summary.json", summary)
    return summary


def _trajectories(listed, temperature_K, notes, variant=None):
    """Return the trajectories of one temperature, free ones or a variant's; partial ones with a note."""
    found = []
    for job, outcome in listed:
        wanted = ("production", temperature_K, variant)
        if (job.spec.role, job.spec.temperature_K, job.spec.variant) != wanted:
            continue
        if outcome is None:
            trajectory = _partial_trajectory(job)
            if trajectory is None:
                continue
            notes.append(f"{job.spec.label} is unfinished: its first {trajectory.duration_ps:g} ps are used")
        else:
            trajectory = read_trajectory(job.directory)
        found.append(trajectory)
    return found


def _partial_trajectory(job):
    """Return what an unfinished point has sampled, or None if that is next to nothing."""
    folder = job.directory / "trajectory"
    if not folder.exists():
        return None
    try:
        trajectory = read_trajectory(job.directory)
    except SimtoolsError as error:
        logger.info("%s: nothing to analyse yet: %s", job.spec.label, error)
        return None
    return trajectory if len(trajectory.positions_A) >= 10 else None


def _transport(campaign, temperature_K, trajectories):
    host = tuple(campaign.system["host"]) or None
    return analyse_transport(
        trajectories,
        species=campaign.recipe.analysis.mobile,
        temperature_K=temperature_K,
        hop_length_A=campaign.system["hop_length_A"],
        host_species=host,
    )


def _associations(campaign, trajectories, notes):
    """Return how far the mobile species' vacancies are bound, for each kind of partner in the cell."""
    mobile = campaign.recipe.analysis.mobile
    found = []
    for partner in association_partners(trajectories[0], species=mobile):
        try:
            found.append(bound_fraction(trajectories, species=mobile, partner=partner))
        except SimtoolsError as error:
            notes.append(f"association of V_{mobile} with {partner} is not analysed: {error}")
    return found


def _bindings(associations):
    """Return the binding over temperature, one result for each kind of partner."""
    partners = dict.fromkeys(result.partner for result in associations)
    return [
        fit_binding([result for result in associations if result.partner == partner]) for partner in partners
    ]


def _arrhenius(transports, notes):
    if len(transports) < 2:
        return None
    try:
        return fit_arrhenius(transports)
    except SimtoolsError as error:
        notes.append(f"no Arrhenius fit: {error}")
        return None


def _state_warnings(campaign, listed):
    notes = []
    done = sum(outcome is not None for _, outcome in listed)
    if done < campaign.n_points:
        notes.append(f"partial results: {done} of {campaign.n_points} points are done")
    for job, outcome in listed:
        if outcome is None and (reason := quarantined(job.directory)) is not None:
            notes.append(f"{job.spec.label} is set aside and missing from the averages: {reason}")
    charge = campaign.system["net_charge_e"]
    if charge and campaign.forces.force_field is None:
        notes.append(
            f"the formal charges of the cell sum to {charge:+d} e (declared); the calculator does not "
            "know of them"
        )
    elif charge:
        notes.append(
            f"the cell carries {charge:+d} e, neutralised by a declared uniform background: absolute "
            "energies and pressures include the background"
        )
    devices = {(outcome or {}).get("engine", {}).get("device", "cpu") for _, outcome in listed}
    notes += [
        f"forces were computed on {device}: a GPU adds in no fixed order, so a repeated or continued run has "
        "other bits; compare runs by their statistics"
        for device in sorted(devices)
        if device != "cpu"
    ]
    if campaign.recipe.md.volume_from == "perfect_crystal" and campaign.recipe.defects:
        notes.append(
            "the volume is that of the perfect crystal at each temperature (NPT of the neutral host), not of "
            "the defective cell"
        )
    weak = campaign.system["potential"].get("low_confidence", [])
    parameters = [row for row in weak if row["confidence"] in ("R", "R, corroborated", "F")]
    if parameters:
        names = ", ".join(sorted({row["subject"] for row in parameters}))
        notes.append(
            f"force field {campaign.system['potential']['name']}: {len(parameters)} parameters are recalled "
            f"or fitted, not verified ({names})"
        )
    return notes


def _point_warnings(listed):
    return [
        f"{job.spec.label}: {note}"
        for job, outcome in listed
        if outcome
        for note in outcome.get("warnings", [])
    ]


def _provenance(campaign, listed):
    return collect_provenance(
        recipe=campaign.recipe.to_dict(),
        protocol=PROTOCOL,
        system=campaign.system,
        force_field_file=FORCE_FIELD_FILE if campaign.forces.force_field is not None else None,
        points=[
            {"name": job.spec.name, "done": outcome is not None, "seeds": job.spec.inputs["seeds"]}
            for job, outcome in listed
        ],
    )


def numbers_or_null(record):
    """Return a summary entry whose numbers are numbers, or null where JSON has no word (inf, nan)."""
    if isinstance(record, dict):
        return {name: numbers_or_null(value) for name, value in record.items()}
    if isinstance(record, (list, tuple)):
        return [numbers_or_null(value) for value in record]
    return None if record in ("inf", "-inf", "nan") else record


def _write_result(path, result):
    partial = path.with_suffix(".partial")
    partial.write_text(result.to_json(), encoding="utf-8")
    partial.replace(path)


def _unique(notes):
    return list(dict.fromkeys(notes))
