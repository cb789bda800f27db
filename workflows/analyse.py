"""Transport from trajectory files of any program: ``simtools analyse``. Reading: simtools/md/readers.py."""

import json
import re
import warnings as python_warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simtools.analysers.replicas import default_host
from simtools.analysers.transport import analyse_transport
from simtools.core.errors import ConfigError, SimtoolsWarning
from simtools.core.files import read_text
from simtools.core.provenance import collect_provenance
from simtools.md.readers import load_trajectory
from simtools.md.step_limit import neighbour_distance_A
from simtools.plots import format_estimate
from simtools.runs import Run
from workflows.analysis_files import (
    check_density_file,
    mechanism_text,
    results_of,
    summary_of,
    write_density,
)
from workflows.analysis_inputs import parse_molecule, read_crystal, with_molecules, with_records
from workflows.analysis_page import sections_of
from workflows.consecutive_parts import START_FRAMES, consecutive_parts
from workflows.mechanisms import TOPICS, Mechanisms, explain
from workflows.report import render_page, write_page
from workflows.report_figures import displacement_figures
from workflows.report_tables import grouped_warnings, methods_table, sampling_table, transport_table
from workflows.source_checks import effects_text, host_drift_A, refuse_doubles, rounding_effects
from workflows.statepoints import check_directory, write_json
from workflows.summary import SCHEMA, numbers_or_null

__all__ = ["FileAnalysis", "analyse_files", "analysis_text", "check_output", "write_analysis"]

_RESULT_FILE = re.compile(r"[a-z-]+-[0-9.e+]+K(-\w+)*\.json")
_QUANTITIES = (
    ("D*", "tracer_diffusivity_cm2_per_s", "cm²/s"),
    ("D_σ", "charge_diffusivity_cm2_per_s", "cm²/s"),
    ("Haven ratio", "haven_ratio", ""),
    ("σ, Nernst–Einstein", "nernst_einstein_conductivity_S_per_cm", "S/cm"),
    ("σ, ionic", "ionic_conductivity_S_per_cm", "S/cm"),
)


@dataclass(frozen=True, eq=False)
class FileAnalysis:
    """What came out of somebody's trajectories.

    Attributes
    ----------
    transport
        One `TransportResult` for each mobile species.
    source
        {what: value} of the files, frames, hop length and host: everything that was chosen.
    warnings
        What to distrust.
    mechanisms
        How the ions move; empty where only transport was asked for.
    """

    transport: tuple
    source: dict
    warnings: tuple
    mechanisms: Mechanisms | None = None

    def to_summary(self):
        """Return what ``summary.json`` holds (schema 1)."""
        more = summary_of(self.mechanisms) if self.mechanisms is not None else {}
        return {
            "schema": SCHEMA,
            "title": f"Transport of {', '.join(result.species for result in self.transport)}",
            "provenance": collect_provenance(**self.source),
            "source": self.source,
            "transport": [numbers_or_null(result.to_summary()) for result in self.transport],
            "arrhenius": {},
            **numbers_or_null(more),
            "warnings": list(self.warnings),
        }


def analyse_files(
    replicas,
    *,
    mobile,
    temperature_K,
    charges_e,
    host_species=None,
    hop_length_A=None,
    molecules=(),
    sites=None,
    topics=TOPICS,
    **reading,
):
    """Read trajectory files and return the transport of their mobile ions, and how they move.

    Parameters
    ----------
    replicas
        One list of files for each replica; files of one list follow one another.
    mobile
        Symbols of the mobile species.
    temperature_K
        Temperature, K.
    charges_e
        {species: integer formal charge}, e; by default those that runs of ours recorded. Without one for a
        mobile species there is no conductivity.
    host_species
        Immobile species in whose frame displacements are measured; by default those of opposite charge.
    hop_length_A
        Distance between neighbouring sites of the mobile ions, Å; by default `neighbour_distance_A`. Wrapped
        positions that step farther than half of it between frames are refused.
    molecules
        Names such as ``"OH"`` of molecules that are one ion each; their charges by these names.
    sites
        File with the perfect crystal, whose atoms are the sites; by default those that runs of ours recorded,
        else peaks of the ions' density.
    topics
        Which of `workflows.mechanisms.TOPICS`; none for transport only.
    reading
        Options of `simtools.md.readers.open_trajectory`.

    Returns
    -------
    FileAnalysis

    Raises
    ------
    ConfigError
        As `open_trajectory` and `analyse_transport` do.
    """
    refuse_doubles(replicas)
    molecules = [parse_molecule(name) for name in molecules]
    crystal = None if sites is None else read_crystal(sites)
    trajectories = [
        load_trajectory(
            files,
            temperature_K=temperature_K,
            formal_charges_e=charges_e,
            hop_length_A=hop_length_A,
            hop_species=_atoms_of(mobile, molecules),
            **reading,
        )
        for files in replicas
    ]
    skip_ps = reading.get("skip_ps", 0.0)
    trajectories = [
        with_molecules(with_records(item, files, skip_ps=skip_ps), molecules)
        for item, files in zip(trajectories, replicas, strict=True)
    ]
    _refuse_copies(trajectories, replicas)
    first = trajectories[0]
    charges_e = first.formal_charges_e
    names, counts = np.unique(first.species, return_counts=True)
    unknown = sorted(set(charges_e) - set(names.tolist()))
    if unknown:
        raise ConfigError(f"--charge names {unknown[0]}, the trajectory has {', '.join(names.tolist())}")
    source = {
        "replicas": [[str(path) for path in files] for files in replicas],
        "format": first.metadata["format"],
        "ions": dict(zip(names.tolist(), counts.tolist(), strict=True)),
        "formal_charges_e": dict(charges_e),
        "temperature_K": float(temperature_K),
        "frames": [item.n_frames for item in trajectories],
        "frame_interval_ps": first.frame_interval_ps,
        "cell": "constant" if first.cells_A.ndim == 2 else "changing; displacements in its mean",
        "mean_volume_A3": first.mean_volume_A3,
        "rounding_A": max(item.metadata["rounding_A"] for item in trajectories),
        "hop_length_A": {},
        "hop_length_from": "given" if hop_length_A else "distance between neighbours in the first picosecond",
        "host": {},
        "host_drift_A": {},
        "rounding_effect_cm2_per_s": {},
    }
    found, notes = [], [note for item in trajectories for note in item.metadata["warnings"]]
    notes += consecutive_parts(
        [files[0] for files in replicas],
        [item.positions_A[:START_FRAMES] for item in trajectories],
        [item.positions_A[-1] for item in trajectories],
        [item.cells_A if item.cells_A.ndim == 2 else item.cells_A[0] for item in trajectories],
        [item.metadata.get("clock") for item in trajectories],
    )
    with python_warnings.catch_warnings(record=True) as caught:
        python_warnings.simplefilter("always", SimtoolsWarning)
        for species in mobile:
            hop_A = hop_length_A or neighbour_distance_A(first, species)
            host = tuple(host_species or default_host(species, first.species.tolist(), charges_e))
            source["host_drift_A"][species] = host_drift_A(trajectories, species, host, hop_A)
            found.append(
                analyse_transport(trajectories, species=species, hop_length_A=hop_A, host_species=host)
            )
            source["rounding_effect_cm2_per_s"][species] = rounding_effects(found[-1], source)
            source["hop_length_A"][species] = round(float(hop_A), 3)
            source["host"][species] = {name: first.n_of(name) for name in host}
        mechanisms = _mechanisms(trajectories, found, source, topics, crystal)
    if set(charges_e) == set(names.tolist()):
        net = sum(charges_e[name] * count for name, count in source["ions"].items())
        notes += [f"the formal charges of the cell sum to {net:+d} e, not to zero"] if net else []
    notes += [str(item.message) for item in caught if issubclass(item.category, SimtoolsWarning)]
    notes += [note for result in found for note in result.warnings]
    notes += mechanisms.warnings if mechanisms is not None else ()
    return FileAnalysis(tuple(found), source, tuple(dict.fromkeys(notes)), mechanisms)


def _refuse_copies(trajectories, replicas):
    """Refuse replicas with the same positions, of which one may be shorter: they would count twice."""
    for number, later in enumerate(trajectories):
        for other, earlier in enumerate(trajectories[:number]):
            last = min(later.n_frames, earlier.n_frames) - 1
            if np.array_equal(later.positions_A[last], earlier.positions_A[last]):
                raise ConfigError(
                    f"{replicas[number][0]} holds the same positions as {replicas[other][0]}: replicas must "
                    "be independent, expected every trajectory once"
                )


def _atoms_of(mobile, molecules):
    """Return the species of the atoms whose steps are looked at: of a molecule, its centre."""
    centres = {item.name: item.centre for item in molecules}
    return tuple(centres.get(name, name) for name in mobile)


def _mechanisms(trajectories, transports, source, topics, crystal):
    """Return how the ions move, or None where nothing but transport was asked for."""
    if not topics:
        return None
    return explain(
        trajectories,
        transports,
        hop_length_A=source["hop_length_A"],
        host_species=source["host"],
        topics=topics,
        crystal=crystal,
    )


def analysis_text(analysis):
    """Return the numbers, what they rest on and the warnings as text."""
    lines = [f"{name}: {value}" for name, value in _source_rows(analysis.source)]
    for result in analysis.transport:
        lines.append(f"\n{result.species} at {result.temperature_K:g} K, {result.n_hops} hops seen")
        lines += [
            f"  {name:<20} {format_estimate(getattr(result, key), unit)}".rstrip()
            for name, key, unit in _QUANTITIES
        ]
    if analysis.mechanisms is not None:
        lines.append(mechanism_text(analysis.mechanisms))
    if analysis.warnings:
        lines.append("")
    lines += [f"warning: {group['text']}" for group in grouped_warnings(analysis.warnings)]
    return "\n".join(lines)


def check_output(directory):
    """Return the folder for the results of an analysis, which can be written; a new one is not made yet.

    Raises
    ------
    ConfigError
        If it holds a run or the results of another command, or cannot be written.
    """
    directory = Path(directory)
    if (directory / "recipe.toml").exists():
        raise ConfigError(f"{directory} holds a run; choose another -o DIR for the analysis")
    summary = directory / "summary.json"
    if summary.is_file():
        try:
            found = json.loads(read_text(summary))
        except (OSError, ValueError, RecursionError):
            found = None
        if not (isinstance(found, dict) and "source" in found):
            raise ConfigError(
                f"{summary} is not that of an analysis of files, and is kept; choose another -o DIR"
            )
    new = not directory.exists()
    check_directory(directory)
    if new:
        directory.rmdir()
    return directory


def write_analysis(analysis, directory, *, density_files=()):
    """Write ``summary.json``, ``results/``, ``figures/`` and ``report.html``; return the page's path.

    Parameters
    ----------
    analysis
        From `analyse_files`.
    directory
        Where to write; results of an earlier analysis there are replaced.
    density_files
        Files (cube, CHGCAR, VTK by their names) for the density of the mobile ions.

    Raises
    ------
    ConfigError
        If `directory` holds a run, or cannot be written; for a density that is not there, or another kind of
        file.
    """
    directory, density_files = check_output(directory), [Path(path) for path in density_files]
    check_directory(directory / "results")
    found = analysis.mechanisms
    for path in density_files:
        check_density_file(path)
        if found is None or not found.densities:
            raise ConfigError(f"--density {path}: there is no density to write; leave density among --only")
    named = [
        (f"transport-{result.temperature_K:g}K-{result.species}.json", result)
        for result in analysis.transport
    ]
    named += results_of(found, analysis.transport[0].temperature_K) if found is not None else []
    for stale in (directory / "results").glob("*.json"):
        if _RESULT_FILE.fullmatch(stale.name):
            stale.unlink()
    for name, result in named:
        (directory / "results" / name).write_text(result.to_json(), encoding="utf-8")
    summary = analysis.to_summary()
    write_json(directory / "summary.json", summary)
    run = Run(directory, {}, summary, analysis.transport, None, (), (), analysis.warnings)
    displacements = displacement_figures(analysis.transport)
    if len(analysis.transport) == 1:
        displacements = [item for item in displacements if item.name != "haven-ratio"]
    sections = sections_of(found) if found is not None else []
    figures = [*displacements, *(item for section in sections for item in section["figures"])]
    context = {
        "title": summary["title"],
        "source": _source_rows(analysis.source),
        "tables": [transport_table(run), sampling_table(run), methods_table(run)],
        "warnings": grouped_warnings(analysis.warnings),
        "figures": displacements,
        "sections": sections,
    }
    page = write_page(render_page("analysis.html.j2", context), figures, directory)
    for path in density_files:
        write_density(found, path)
    return page


def _source_rows(source):
    """Return (name, text) of what was read and chosen."""

    def listed(counts):
        return ", ".join(f"{count} {name}" for name, count in counts.items())

    n = len(source["replicas"])
    frames = ", ".join(str(count) for count in source["frames"])
    hosts = "; ".join(f"{name}: {listed(host) or 'none'}" for name, host in source["host"].items())
    hops = ", ".join(f"{name} {length:g} Å" for name, length in source["hop_length_A"].items())
    drifts = ", ".join(f"{name} {drift:.2g} Å" for name, drift in source["host_drift_A"].items())
    charges = ", ".join(f"{name} {charge:+d}" for name, charge in source["formal_charges_e"].items())
    return [
        ("files", f"{n} replica{'s' if n > 1 else ''}, {source['format']}"),
        ("ions", listed(source["ions"])),
        ("formal charges (e)", charges or "not given"),
        ("frames", f"{frames}, one every {source['frame_interval_ps']:g} ps"),
        ("cell", f"{source['cell']}, {source['mean_volume_A3']:.6g} Å³"),
        ("rounding of positions", f"{source['rounding_A']:.1e} Å"),
        ("which moves at most (cm²/s)", effects_text(source)),
        ("hop length", f"{hops} ({source['hop_length_from']})"),
        ("host, whose drift is taken out", hosts),
        ("farthest drift of the host", drifts),
    ]
