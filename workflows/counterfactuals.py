"""Counterfactual runs of a campaign: transport by the analysis of the free runs, then what differs.

Which runs there are: counterfactual_tables.py. Statistics: simtools.analysers.counterfactuals.
"""

from dataclasses import dataclass

import numpy as np

from simtools.analysers.counterfactuals import (
    ActivationDifference,
    CounterfactualResult,
    activation_energy_difference,
    compare_counterfactual,
    counterfactuals_for_verdict,
)
from simtools.analysers.energy_shift import energy_difference
from simtools.analysers.inertia_law import InertiaExponent, inertia_exponent
from simtools.analysers.molecules import find_molecules
from simtools.analysers.orientations import orientations_of
from simtools.analysers.reorientation import legendre_correlations
from simtools.analysers.replica_ratios import mean_diffusivity
from simtools.core.errors import SimtoolsError
from workflows.counterfactual_tables import variants_of
from workflows.recipe import recipe_from_dict

__all__ = ["CounterfactualRuns", "counterfactuals_of", "n_altered_points", "reorientation_at"]

LONGEST_LAG_PS = 5.0
LAG_FRACTION = 0.25
CONE_DRIFT_EV_PER_ATOM_PER_NS = 0.01


@dataclass(frozen=True, eq=False, kw_only=True)
class CounterfactualRuns:
    """What the altered runs of a campaign say; empty where there are none.

    Attributes
    ----------
    results
        One `CounterfactualResult` per variant and temperature, references among them.
    differences
        One `ActivationDifference` per variant with two temperatures or more.
    exponents
        One `InertiaExponent` per temperature with heavy rotors.
    """

    results: tuple[CounterfactualResult, ...] = ()
    differences: tuple[ActivationDifference, ...] = ()
    exponents: tuple[InertiaExponent, ...] = ()

    def summary(self):
        """Return the ``counterfactual`` list of ``summary.json``."""
        return [item.to_summary() for item in (*self.results, *self.differences, *self.exponents)]

    def named_results(self):
        """Return (file name, Result) of what ``results/`` is to hold."""
        found = [(f"counterfactual-{r.temperature_K:g}K-{r.variant}.json", r) for r in self.results]
        found += [(f"counterfactual-activation-{r.variant}.json", r) for r in self.differences]
        return found + [(f"counterfactual-inertia-{r.temperature_K:g}K.json", r) for r in self.exponents]

    def for_verdict(self, temperature_K):
        """Return the `simtools.analysers.verdict.Counterfactuals` of a temperature (K), or None."""
        return counterfactuals_for_verdict(self.results, self.exponents, temperature_K=temperature_K)


def counterfactuals_of(
    recipe, transports, *, trajectories_of, transport_of, notes, anions=None, outcomes_of=None
):
    """Return the `CounterfactualRuns` of a campaign.

    Parameters
    ----------
    recipe
        A `Recipe`.
    transports
        `TransportResult` of the free runs, any temperatures.
    trajectories_of
        ``trajectories_of(temperature_K, variant label or None)``: production trajectories, may be none.
    transport_of
        ``transport_of(temperature_K, trajectories)``: their `TransportResult`, as for the free runs.
    notes
        List of warnings to extend.
    anions
        (centre, ligands, number of ligands) of the molecules whose C_l is told; by default those that
        ``molecule_id`` of the trajectories names.
    outcomes_of
        ``outcomes_of(temperature_K, variant label or None)``: (name, outcome) of finished points, for
        energies and their drift; by default nothing is said of these.
    """
    variants = variants_of(recipe)
    if not variants:
        return CounterfactualRuns()
    found = {(None, item.temperature_K): item for item in transports}
    turned, n_anions = {}, 0

    def energies(label, temperature):
        points = outcomes_of(temperature, label) if outcomes_of is not None else []
        means = [outcome["stages"][-1]["potential_energy_eV"] for _, outcome in points]
        return [(item["value"], item["stderr"]) for item in means if item is not None]

    def turn(label, temperature, trajectories):
        try:
            turned[label, temperature] = reorientation_at(trajectories, anions=anions)
        except SimtoolsError as error:
            turned[label, temperature] = None, {}
            notes.append(f"{temperature:g} K: {label or 'free'}: no reorientation functions: {error}")

    for label, temperature in [
        (item.label, temperature) for item in variants for temperature in item.temperatures_K
    ]:
        trajectories = trajectories_of(temperature, label)
        if not trajectories:
            notes.append(f"{temperature:g} K: no run of {label} yet; it is left out")
            continue
        try:
            found[label, temperature] = transport_of(temperature, trajectories)
        except SimtoolsError as error:
            notes.append(f"{temperature:g} K: {label} is not analysed: {error}")
            continue
        turn(label, temperature, trajectories)
        if trajectories[0].molecule_id is not None:
            n_anions = len(np.unique(trajectories[0].molecule_id[trajectories[0].molecule_id >= 0]))
        if (None, temperature) in found and (None, temperature) not in turned:
            turn(None, temperature, trajectories_of(temperature, None))
    results = []
    for item in variants:
        for temperature in item.temperatures_K:
            altered, reference = (
                found.get((item.label, temperature)),
                found.get((item.reference, temperature)),
            )
            if altered is None or reference is None:
                continue
            lag, values = turned[item.label, temperature]
            before_lag, before = turned[item.reference, temperature]
            both = energies(item.label, temperature), energies(item.reference, temperature)
            known = n_anions > 0 and all(both)
            results.append(
                compare_counterfactual(
                    altered,
                    reference,
                    variant=item.label,
                    kind=item.kind,
                    parameter=item.parameter,
                    reference_name=item.reference or "free",
                    turned=values,
                    reference_turned=before if before_lag == lag else None,
                    lag_ps=lag,
                    energy_difference_eV_per_anion=energy_difference(*both, n_anions=n_anions)
                    if known
                    else None,
                )
            )
            if item.kind == "cone_restraint" and outcomes_of is not None:
                notes += _cone_drifts(outcomes_of(temperature, item.label))
    for (label, temperature), item in found.items():
        if label is not None:
            notes += [_named(note, label, temperature) for note in item.warnings]
    exponents = tuple(_exponents(variants, found, notes))
    differences = tuple(_differences(variants, found))
    notes += [note for item in (*results, *differences, *exponents) for note in item.warnings]
    return CounterfactualRuns(
        results=tuple(sorted(results, key=lambda item: item.temperature_K)),
        differences=differences,
        exponents=exponents,
    )


def _named(note, label, temperature_K):
    where = f"{temperature_K:g} K: "
    return f"{where}{label}: {note.removeprefix(where)}"


def _differences(variants, found):
    for item in variants:
        pairs = {
            temperature: (
                mean_diffusivity(found[item.label, temperature]),
                mean_diffusivity(found[item.reference, temperature]),
            )
            for temperature in item.temperatures_K
            if (item.label, temperature) in found and (item.reference, temperature) in found
        }
        result = activation_energy_difference(
            pairs, variant=item.label, kind=item.kind, reference=item.reference or "free"
        )
        if result is not None:
            yield result


def _cone_drifts(points):
    """Return a line for each point in a cone whose energy drifts; long runs have told it themselves."""
    found = []
    for name, outcome in points:
        stage = outcome["stages"][-1]
        drift = stage["conserved_drift_eV_per_atom_per_ns"]
        if drift is None or any("drifts by" in text for text in stage["warnings"]):
            continue
        low, high = drift["ci95"]
        if abs(drift["value"]) > CONE_DRIFT_EV_PER_ATOM_PER_NS and not low <= 0 <= high:
            found.append(
                f"{name}: the conserved energy drifts by {drift['value']:.2g} eV/atom/ns, more than "
                f"{CONE_DRIFT_EV_PER_ATOM_PER_NS:g}: molecules bounce off the edge of the cone; "
                "halve timestep_fs"
            )
    return found


def _exponents(variants, found, notes):
    heavy = [item for item in variants if item.kind == "heavy_rotor"]
    for temperature in sorted({t for item in heavy for t in item.temperatures_K}):
        at = {
            item.parameter: mean_diffusivity(found[item.label, temperature])
            for item in heavy
            if (item.label, temperature) in found
        }
        reference = heavy[0].reference
        if (reference, temperature) in found:
            at[1.0] = mean_diffusivity(found[reference, temperature])
        result = inertia_exponent(at, temperature_K=temperature)
        if result is not None:
            yield result
            continue
        still = [f"{scale:g}" for scale in sorted(at) if at[scale].upper_limit is not None]
        if still:
            notes.append(
                f"{temperature:g} K: no exponent of inertia: ions did not diffuse measurably at inertia x "
                f"{', '.join(still)}"
            )


def reorientation_at(trajectories, *, anions=None):
    """Return what is left of orientations after a while: the lag (ps) and {anion: (C_1, C_2)} at it.

    Parameters
    ----------
    trajectories
        Replicas of one kind of run.
    anions
        (centre, ligands, number of ligands) of each kind; by default those that ``molecule_id`` names.

    Returns
    -------
    tuple
        The lag is a quarter of the shortest run, at most 5 ps, whole frames; None and {} without molecules.
        Averages over bonds, rotors, origins and replicas.
    """
    anions = _anions(trajectories[0]) if anions is None else anions
    if not anions:
        return None, {}
    interval = trajectories[0].frame_interval_ps
    shortest = min(item.n_frames for item in trajectories)
    steps = max(1, min(int(LAG_FRACTION * (shortest - 1)), round(LONGEST_LAG_PS / interval)))
    values = {}
    for centre, ligands, n_ligands in anions:
        sums, name = [], ""
        for trajectory in trajectories:
            turned = orientations_of(
                find_molecules(trajectory, centre=centre, ligands=ligands, n_ligands=n_ligands)
            )
            name = turned.name
            sums += [
                legendre_correlations(turned.vectors[:, rotor], steps + 1)[:, steps]
                for rotor in range(turned.n_rotors)
            ]
        values[name] = tuple(np.mean(sums, axis=0).tolist())
    return steps * interval, values


def _anions(trajectory):
    """Return (centre, ligands, number) of each kind of molecule that the trajectory names."""
    identity = trajectory.molecule_id
    if identity is None:
        return []
    kinds = {}
    for molecule in np.unique(identity[identity >= 0]):
        symbols = trajectory.species[identity == molecule].tolist()
        kinds.setdefault(tuple(sorted(symbols)), symbols)
    found = []
    for symbols in kinds.values():
        counts = {name: symbols.count(name) for name in symbols}
        heavy = [name for name in counts if name != "H"]
        centre = min(heavy or counts, key=lambda name: (counts[name], symbols.index(name)))
        ligands = tuple(name for name in counts if name != centre)
        if ligands and counts[centre] == 1:
            found.append((centre, ligands, len(symbols) - 1))
    return found


def n_altered_points(record, source):
    """Return how many points a resolved recipe's counterfactual runs are."""
    if not record.get("counterfactual"):
        return 0
    recipe = recipe_from_dict(record, source=source)
    return recipe.md.replicas * sum(len(item.temperatures_K) for item in variants_of(recipe))
