"""A run directory read back for a notebook: results, tables, plots. Nothing is computed here."""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from simtools.analysers.arrhenius import ArrheniusResult
from simtools.analysers.association import AssociationResult
from simtools.analysers.binding import BindingResult
from simtools.analysers.counterfactuals import (
    ActivationDifference,
    CounterfactualResult,
)
from simtools.analysers.green_kubo import GreenKuboResult
from simtools.analysers.hop_statistics import HopStatistics
from simtools.analysers.inertia_law import InertiaExponent
from simtools.analysers.method_agreement import MethodComparison
from simtools.analysers.onsager import OnsagerResult
from simtools.analysers.rotation_arrhenius import RotationArrhenius
from simtools.analysers.rotor_records import class_of_result, parse_stem, records_of
from simtools.analysers.temperature_laws import TemperatureLawResult
from simtools.analysers.transport import TransportResult
from simtools.core.errors import ConfigError
from simtools.core.results import Estimate
from simtools.md.h5md import read_trajectory
from simtools.md.thermo import read_thermo

__all__ = ["PointRecord", "Run", "load_run"]


@dataclass(frozen=True)
class PointRecord:
    """One state point on disk.

    Attributes
    ----------
    name
        Folder name: label and hash.
    directory
        Its folder.
    spec
        What it was asked to be (``spec.json``).
    outcome
        What came out (``done.json``), or None if it is unfinished.
    """

    name: str
    directory: Path
    spec: dict
    outcome: dict | None

    def trajectory(self):
        """Return the production stage as a `simtools.md.trajectory.Trajectory`."""
        return read_trajectory(self.directory)

    def thermo(self):
        """Return temperature, energies and volume against time, all stages (pandas), or None before any."""
        if not any(self.directory.glob("thermo*")):
            return None
        return read_thermo(self.directory)


@dataclass(frozen=True)
class Run:
    """Everything in a run directory.

    Attributes
    ----------
    directory
        Where it is.
    recipe
        The resolved recipe.
    summary
        What ``summary.json`` holds (empty before the first analysis).
    transport
        One `TransportResult` per temperature and species, by rising temperature.
    arrhenius
        `ArrheniusResult`, or None with fewer than two temperatures.
    association
        One result per temperature where vacancies can bind to each other; may be empty.
    points
        One `PointRecord` per state point of the recipe that has begun.
    warnings
        What to distrust.
    binding
        One `BindingResult` per kind of partner that vacancies can bind to; may be empty.
    hops
        `HopStatistics` of every species and temperature where sites are known.
    green_kubo, onsager, comparisons
        `GreenKuboResult`, `OnsagerResult` and `MethodComparison` of the temperatures that have one.
    temperature_laws
        `TemperatureLawResult`, or None with fewer than four temperatures.
    counterfactuals, activation_differences, inertia_exponents
        `CounterfactualResult`, `ActivationDifference` and `InertiaExponent` of altered runs; may be empty.
    rotors
        `RotorRecord` of every kind of anion and temperature: rotation, coupling to hops, verdict.
    rotation_arrhenius
        `RotationArrhenius` of every kind of anion that turned at two temperatures or more.
    """

    directory: Path
    recipe: dict
    summary: dict
    transport: tuple
    arrhenius: ArrheniusResult | None
    association: tuple
    points: tuple
    warnings: tuple
    binding: tuple = ()
    hops: tuple = ()
    green_kubo: tuple = ()
    onsager: tuple = ()
    comparisons: tuple = ()
    temperature_laws: TemperatureLawResult | None = None
    counterfactuals: tuple = ()
    activation_differences: tuple = ()
    inertia_exponents: tuple = ()
    rotors: tuple = ()
    rotation_arrhenius: tuple = ()

    def to_dataframe(self):
        """Return one row per temperature and species: each quantity, its stderr, interval and limit."""
        rows = []
        for result in self.transport:
            row = {"temperature_K": result.temperature_K, "species": result.species}
            row["n_replicas"] = result.n_replicas
            for name, value in vars(result).items():
                if isinstance(value, Estimate):
                    row |= _columns(name, value)
            rows.append(row)
        return pd.DataFrame(rows)

    def rotation_dataframe(self):
        """Return one row per anion and temperature: relaxation times, plateau, rate, verdicts."""
        rows = []
        for record in self.rotors:
            functions, rates = record.rotation["reorientation"], record.rotation["reorientation_rates"]
            row = {"anion": record.anion, "temperature_K": record.temperature_K, "motion": functions.motion}
            for name, value in (
                ("tau1_ps", functions.tau1),
                ("tau2_ps", functions.tau2),
                ("tau1_over_tau2", functions.ratio),
                ("order_parameter_squared", functions.plateau2),
                ("reorientation_rate_per_ps", rates.rate_per_rotor),
            ):
                row |= _columns(name, value)
            for mobile, results in record.couplings.items():
                row[f"verdict_{mobile}"] = results["verdict"].verdict
                row[f"excluded_coupled_fraction_{mobile}"] = results["verdict"].excluded_coupled_fraction
            rows.append(row)
        return pd.DataFrame(rows)

    def plot_arrhenius(self, ax=None, **options):
        """Draw conductivities against 1000/T; see `simtools.plots.plot_arrhenius`."""
        from simtools.plots import plot_arrhenius

        return plot_arrhenius(self.transport, self.arrhenius, ax=ax, **options)

    def plot_msd(self, temperature_K, ax=None, **options):
        """Draw the mean squared displacement at one temperature with the window used."""
        from simtools.plots import plot_msd

        return plot_msd(self.transport_at(temperature_K), ax=ax, **options)

    def plot_haven(self, ax=None, **options):
        """Draw the Haven ratio against temperature."""
        from simtools.plots import plot_haven_ratio

        return plot_haven_ratio(self.transport, ax=ax, **options)

    def plot_association(self, ax=None, **options):
        """Draw the fraction of bound vacancies against temperature."""
        from simtools.plots import plot_association

        return plot_association(self.association, ax=ax, **options)

    def plot_binding(self, ax=None, **options):
        """Draw the free energy that holds vacancies beside their partners against temperature."""
        from simtools.plots import plot_binding

        return plot_binding(self.association, ax=ax, **options)

    def plot_counterfactuals(self, ax=None, **options):
        """Draw D of altered runs over that of their references."""
        from simtools.plots import plot_counterfactual_ratios

        return plot_counterfactual_ratios(self.counterfactuals, ax=ax, **options)

    def transport_at(self, temperature_K, species=None):
        """Return the `TransportResult` of one temperature.

        Raises
        ------
        ConfigError
            If there is none; the message lists the temperatures that are there.
        """
        for result in self.transport:
            if result.temperature_K == temperature_K and species in (None, result.species):
                return result
        there = ", ".join(f"{result.temperature_K:g}" for result in self.transport) or "none"
        raise ConfigError(f"{self.directory}: no transport at {temperature_K:g} K; temperatures: {there}")


def load_run(directory):
    """Read a run directory made by ``simtools run``.

    Parameters
    ----------
    directory
        Holds ``recipe.toml`` and, once analysed, ``summary.json`` and ``results/``.

    Returns
    -------
    Run

    Raises
    ------
    ConfigError
        If it is not a run directory, or a file in it is damaged; the message names the file.
    """
    directory = Path(directory)
    recipe_file = directory / "recipe.toml"
    if not recipe_file.is_file() and (directory / "campaign.json").is_file():
        raise ConfigError(f"{directory} holds several cases, expected one run: name a folder in its cases/")
    if not recipe_file.is_file():
        raise ConfigError(f"{directory}: not a run directory (no recipe.toml in it)")
    try:
        recipe = tomllib.loads(recipe_file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{recipe_file}: damaged, not a TOML file: {error}") from error
    summary_file = directory / "summary.json"
    summary = _checked_summary(summary_file) if summary_file.exists() else {}
    results = directory / "results"
    arrhenius_file, laws_file = results / "arrhenius.json", results / "temperature-laws.json"
    return Run(
        directory=directory,
        recipe=recipe,
        summary=summary,
        transport=_read_results(TransportResult, results, "transport-*.json"),
        arrhenius=_read_result(ArrheniusResult, arrhenius_file) if arrhenius_file.exists() else None,
        association=_read_results(AssociationResult, results, "association-*.json"),
        binding=_read_results(BindingResult, results, "binding-*.json"),
        hops=_read_results(HopStatistics, results, "hops-*.json"),
        green_kubo=_read_results(GreenKuboResult, results, "green-kubo-*.json"),
        onsager=_read_results(OnsagerResult, results, "onsager-*.json"),
        comparisons=_read_results(MethodComparison, results, "methods-*.json"),
        counterfactuals=_in_order(
            _read_results(CounterfactualResult, results, "counterfactual-[0-9]*.json"), summary
        ),
        activation_differences=_read_results(
            ActivationDifference, results, "counterfactual-activation-*.json"
        ),
        inertia_exponents=_read_results(InertiaExponent, results, "counterfactual-inertia-*.json"),
        temperature_laws=_read_result(TemperatureLawResult, laws_file) if laws_file.exists() else None,
        rotors=_read_rotors(results),
        rotation_arrhenius=_read_results(RotationArrhenius, results, "rotation-arrhenius-*.json"),
        points=_read_points(directory, recipe, summary),
        warnings=tuple(summary.get("warnings", ())),
    )


def _checked_summary(path):
    """Return a summary whose blocks are of the kind that is read from them."""
    summary = _read_json(path)
    kinds = {"provenance": dict, "arrhenius": dict, "warnings": list, "transport": list, "title": str}
    wrong = [name for name, kind in kinds.items() if not isinstance(summary.get(name, kind()), kind)]
    if not wrong and not all(isinstance(text, str) for text in summary.get("warnings", ())):
        wrong = ["warnings"]
    arguments = {} if wrong else summary.get("provenance", {}).get("arguments", {})
    if not wrong and not isinstance(arguments, dict):
        wrong = ["provenance.arguments"]
    points = [] if wrong else arguments.get("points", [])
    if not isinstance(points, list) or not all(isinstance(row, dict) and "name" in row for row in points):
        wrong = ["provenance.arguments.points"]
    if wrong:
        raise ConfigError(
            f"{path}: damaged: {wrong[0]} is not what a summary holds; simtools report writes it"
        )
    return summary


def _read_points(directory, recipe, summary):
    """Return the begun points of the recipe: folders of other temperatures are left alone."""
    temperatures = recipe.get("md", {}).get("temperatures_K", ())
    replicas = recipe.get("md", {}).get("replicas", 1)
    current = {row["name"] for row in summary.get("provenance", {}).get("arguments", {}).get("points", ())}
    records = []
    for spec_file in sorted((directory / "points").glob("*/spec.json")):
        spec, folder = _read_json(spec_file, "role", "temperature_K", "replica"), spec_file.parent
        if spec["temperature_K"] not in temperatures or spec["replica"] > replicas:
            continue
        if current and folder.name not in current:
            continue
        done_file = folder / "done.json"
        outcome = _read_json(done_file, "outcome")["outcome"] if done_file.exists() else None
        records.append(PointRecord(folder.name, folder, spec, outcome))
    return tuple(sorted(records, key=lambda item: (item.spec["temperature_K"], item.spec["replica"])))


def _read_results(cls, folder, pattern):
    found = [_read_result(cls, path) for path in folder.glob(pattern)]
    return tuple(sorted(found, key=_place))


def _read_rotors(folder):
    found = []
    for path in sorted((*folder.glob("rotation-*.json"), *folder.glob("coupling-*.json"))):
        about = parse_stem(path.stem)
        if about is not None:
            found.append((path.stem, _read_result(class_of_result(about["name"]), path)))
    return records_of(found)


def _in_order(results, summary):
    """Return counterfactual results by temperature, then as the summary lists them: references first."""
    listed = [row["variant"] for row in summary.get("counterfactual", ())]
    order = {name: k for k, name in reversed(list(enumerate(listed)))}
    return tuple(
        sorted(
            results, key=lambda item: (item.temperature_K, order.get(item.variant, len(order)), item.variant)
        )
    )


def _place(result):
    return getattr(result, "temperature_K", 0.0), str(getattr(result, "species", ""))


def _read_result(cls, path):
    try:
        return cls.from_dict(_read_json(path))
    except ConfigError as error:
        raise error if str(path) in str(error) else ConfigError(f"{path}: {error}") from error
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(f"{path}: damaged, not a whole {cls.__name__}: {error!r}") from error


def _read_json(path, *keys):
    """Return the JSON object in `path`, which must have `keys`."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict) or not record.keys() >= set(keys):
            raise ValueError(f"expected an object with {', '.join(keys) or 'something in it'}")
    except (ValueError, OSError, RecursionError) as error:
        raise ConfigError(f"{path}: damaged, not a whole JSON file: {error}") from error
    return record


def _columns(name, estimate):
    if estimate.is_limit:
        return {name: float("nan"), f"{name}_upper_limit": estimate.upper_limit}
    return {
        name: estimate.value,
        f"{name}_stderr": estimate.stderr,
        f"{name}_ci95_low": estimate.ci95[0],
        f"{name}_ci95_high": estimate.ci95[1],
    }
