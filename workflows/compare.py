"""Finished runs side by side: ``simtools compare DIR...``. What is shown of it: compare_report.py.

Nothing is analysed again: the numbers are those in the run directories. Differences and ratios are
`simtools.analysers.comparison`.
"""

import itertools
import json
import math
from dataclasses import dataclass
from pathlib import Path

from simtools.analysers.comparison import difference, ratio
from simtools.core.errors import ConfigError
from simtools.core.files import read_text
from simtools.core.provenance import collect_provenance
from simtools.core.results import Estimate
from simtools.defects.binding import pair_of
from simtools.runs import load_run
from workflows.report_tables import literature_of, state_of, system_of
from workflows.summary import numbers_or_null
from workflows.verdicts import conducting_verdicts, holding_verdicts

__all__ = ["Comparison", "Holder", "StaticBinding", "compare_runs", "read_comparison"]

_SAME_CONTENT = 0.02


@dataclass(frozen=True)
class Holder:
    """A kind of partner in one run, over temperature: what can hold a vacancy."""

    label: str
    partner: str
    results: tuple

    def at(self, temperature_K):
        """Return the `AssociationResult` of one temperature, or None."""
        return next((item for item in self.results if item.temperature_K == temperature_K), None)


@dataclass(frozen=True, kw_only=True)
class StaticBinding:
    """Binding energy of a relaxed pair at rest, from ``simtools defects``."""

    associate: str
    partner: str
    energy_eV: float
    distance_A: float
    reference: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Runs beside each other.

    Attributes
    ----------
    runs
        {label: `simtools.runs.Run`}.
    holders
        What can hold a vacancy in them.
    transport, binding
        One dict per pair of runs (of holders) and temperature: `first`, `second`, `temperature_K` and
        estimates.
    verdicts
        One dict per pair: `question`, `first`, `second`, `answer` (a label, or None where the data cannot
        tell), `text` and the estimate it rests on.
    literature
        What is measured and computed elsewhere on the compounds of the runs.
    static
        Binding energies at rest, where runs of ``simtools defects`` were given.
    warnings
        What stands in the way of comparing.
    """

    runs: dict
    holders: tuple
    transport: tuple
    binding: tuple
    verdicts: tuple
    literature: tuple
    static: tuple
    warnings: tuple

    def to_summary(self):
        """Return what ``summary.json`` holds."""
        return {
            "schema": 1,
            "title": "Comparison of " + ", ".join(self.runs),
            "provenance": collect_provenance(runs={k: str(run.directory) for k, run in self.runs.items()}),
            "runs": [
                {
                    "label": label,
                    "title": run.recipe.get("title"),
                    "formula": run.recipe.get("structure", {}).get("formula"),
                    "composition": system_of(run).get("composition"),
                }
                for label, run in self.runs.items()
            ],
            "comparison": [_plain(entry) for entry in (*self.transport, *self.binding)],
            "verdict": [_plain(entry) for entry in self.verdicts],
            "static_binding": [vars(item) for item in self.static],
            "literature": [vars(point) for point in self.literature],
            "warnings": list(self.warnings),
        }


def read_comparison(directories):
    """Read run directories and compare them.

    Parameters
    ----------
    directories
        Two run directories or more; directories of ``simtools defects`` may stand among them.

    Raises
    ------
    ConfigError
        If fewer than two are runs, one is given twice, holds no run, or is not analysed yet.
    """
    paths = [Path(directory) for directory in directories]
    if len({path.resolve() for path in paths}) < len(paths):
        raise ConfigError(f"the same directory is given twice: {', '.join(map(str, paths))}")
    at_rest = [path for path in paths if _is_at_rest(path)]
    runs = [load_run(path) for path in paths if path not in at_rest]
    if len(runs) < 2:
        raise ConfigError(f"a comparison needs two run directories or more, got {len(runs)}")
    for run in runs:
        if not run.transport:
            raise ConfigError(
                f"{run.directory}: nothing analysed yet; simtools report {run.directory} does it"
            )
    names = [run.directory.resolve().name for run in runs]
    labels = names if len(set(names)) == len(names) else [str(run.directory) for run in runs]
    static = [item for path in at_rest for item in _static_binding(path)]
    return compare_runs(dict(zip(labels, runs, strict=True)), static=static)


def compare_runs(runs, *, static=()):
    """Compare runs, each pair at the temperatures they share.

    Parameters
    ----------
    runs
        {label: `simtools.runs.Run`}.
    static
        `StaticBinding` of relaxed pairs; those of partners in the runs stand beside.

    Returns
    -------
    Comparison
    """
    holders = tuple(_holders(runs))
    partners = {holder.partner for holder in holders}
    transport = tuple(
        entry for pair in itertools.combinations(runs.items(), 2) for entry in _transport_entries(*pair)
    )
    binding = tuple(entry for pair in itertools.combinations(holders, 2) for entry in _binding_entries(*pair))
    literature = dict.fromkeys(point for run in runs.values() for point in literature_of(run))
    return Comparison(
        runs=dict(runs),
        holders=holders,
        transport=transport,
        binding=binding,
        verdicts=(*conducting_verdicts(transport), *holding_verdicts(holders)),
        literature=tuple(literature),
        static=tuple(item for item in static if item.partner in partners),
        warnings=tuple(_warnings(runs, transport)),
    )


def _holders(runs):
    for label, run in runs.items():
        partners = dict.fromkeys(result.partner for result in run.association)
        for partner in partners:
            results = tuple(item for item in run.association if item.partner == partner)
            yield Holder(label if len(partners) == 1 else f"{label}, {partner}", partner, results)


def _transport_entries(first, second):
    (a_label, a), (b_label, b) = first, second
    for one in a.transport:
        for other in b.transport:
            if (one.temperature_K, one.species) != (other.temperature_K, other.species):
                continue
            entry = {"kind": "transport", "first": a_label, "second": b_label, "species": one.species}
            entry["temperature_K"] = one.temperature_K
            for name in ("ionic_conductivity_S_per_cm", "tracer_diffusivity_cm2_per_s"):
                entry[f"{name.split('_S_')[0].split('_cm2')[0]}_ratio"] = ratio(
                    getattr(one, name), getattr(other, name)
                )
            yield entry


def _binding_entries(first, second):
    for one in first.results:
        other = second.at(one.temperature_K)
        if other is None:
            continue
        yield {
            "kind": "binding",
            "first": first.label,
            "second": second.label,
            "temperature_K": one.temperature_K,
            "bound_fraction_difference": difference(one.bound_fraction, other.bound_fraction),
            "binding_free_energy_difference_eV": difference(
                one.binding_free_energy_eV, other.binding_free_energy_eV
            ),
        }


def _warnings(runs, transport):
    for label, run in runs.items():
        state, partial = state_of(run)
        if partial:
            yield f"{label}: {state[0].lower()}{state[1:]}"
    fields = {label: _force_field(run) for label, run in runs.items()}
    if len(set(fields.values())) > 1:
        told = ", ".join(f"{label}: {name}" for label, (name, _) in fields.items())
        yield f"the runs used different forces ({told}): their differences are those of the forces too"
    contents = {label: content for label, run in runs.items() if (content := _vacancies_per_cell(run))}
    if contents and max(contents.values()) > (1 + _SAME_CONTENT) * min(contents.values()):
        told = ", ".join(f"{label}: {content:.4f}" for label, content in contents.items())
        yield f"the vacancy contents differ (per conventional cell; {told})"
    wanted = len(runs) * (len(runs) - 1) // 2
    if len({(entry["first"], entry["second"]) for entry in transport}) < wanted:
        yield "some of the runs share no temperature: there is nothing to compare between them"


def _force_field(run):
    potential = system_of(run).get("potential", {})
    return potential.get("name") or potential.get("calculator") or "unknown", potential.get("sha256")


def _vacancies_per_cell(run):
    supercell = run.recipe.get("structure", {}).get("supercell")
    if not run.association or not supercell:
        return None
    return run.association[0].n_vacancies / math.prod(supercell)


def _plain(entry):
    return {
        name: numbers_or_null(value.to_dict()) if isinstance(value, Estimate) else value
        for name, value in entry.items()
    }


def _is_at_rest(path):
    summary = path / "summary.json"
    if not summary.is_file():
        return False
    try:
        record = json.loads(read_text(summary))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{summary}: damaged, not a whole JSON file: {error}") from error
    return isinstance(record, dict) and "defects" in record and "transport" not in record


def _static_binding(path):
    """Yield the energies at rest of pairs of a cation vacancy and its partner."""
    record = json.loads(read_text(path / "summary.json"))
    for entry in record["defects"]:
        if entry.get("kind") != "pair":
            continue
        members = pair_of(entry["associate"])
        held = [member for member in members if member.is_vacancy and member.charge < 0]
        if len(held) != 1:
            continue
        (partner,) = (member for member in members if member is not held[0])
        yield StaticBinding(
            associate=entry["associate"],
            partner=partner.site if partner.is_vacancy else partner.species,
            energy_eV=entry["binding_energy_eV"]["value"],
            distance_A=entry["distance_A"],
            reference=f"relative to the pair {entry['far_distance_A']:.2f} Å apart",
            source=path.resolve().name,
        )
