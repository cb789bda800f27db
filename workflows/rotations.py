"""Rotating anions and their coupling to hops, from trajectory files: ``simtools rotations``."""

from dataclasses import dataclass
from pathlib import Path

from simtools.analysers.replicas import default_host
from simtools.analysers.rotation import RotationAnalysis, analyse_rotation
from simtools.analysers.rotation_coupling import CouplingAnalysis, analyse_coupling
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.md.readers import load_trajectory
from simtools.plots import (
    format_estimate,
    format_number,
    plot_event_correlogram,
    plot_hazard_ratios,
    plot_orientation_map,
    plot_reorientation,
    plot_tilt_at_hops,
)
from workflows.report import render_page, write_page
from workflows.report_figures import single_figure
from workflows.report_tables import grouped_warnings
from workflows.source_checks import refuse_doubles
from workflows.statepoints import check_directory, write_json
from workflows.summary import SCHEMA, numbers_or_null

__all__ = ["FileRotations", "analyse_rotation_files", "rotations_text", "write_rotations"]


@dataclass(frozen=True, eq=False)
class FileRotations:
    """What came out of somebody's trajectories.

    Attributes
    ----------
    rotation
        `RotationAnalysis`.
    couplings
        One `CouplingAnalysis` for each mobile species.
    source
        {what: value} of the files, frames and choices.
    warnings
        What to distrust.
    """

    rotation: RotationAnalysis
    couplings: tuple[CouplingAnalysis, ...]
    source: dict
    warnings: tuple

    def to_summary(self):
        """Return what ``summary.json`` holds (schema 1)."""
        temperature_K, anion = self.source["temperature_K"], self.source["anion"]
        entries = {
            "schema": SCHEMA,
            "title": f"Rotation of {anion}",
            "provenance": collect_provenance(**self.source),
            "source": self.source,
            "transport": [],
            "arrhenius": {},
            "rotation": [self.rotation.to_summary(temperature_K=temperature_K)],
            "coupling": [item.to_summary(temperature_K=temperature_K) for item in self.couplings],
            "verdict": [
                item.verdict_summary(anion=anion, temperature_K=temperature_K) for item in self.couplings
            ],
            "warnings": list(self.warnings),
        }
        return numbers_or_null(entries)


def analyse_rotation_files(
    replicas,
    *,
    anion,
    mobile=(),
    temperature_K=None,
    host_species=None,
    cutoff_A=None,
    radius_A=None,
    site_symmetry="1",
    threshold_deg=45.0,
    n_shifts=1000,
    seed=0,
    **reading,
):
    """Read trajectory files and return the rotation of an anion, and how it goes with hopping ions.

    Parameters
    ----------
    replicas
        One list of files for each replica; files of one list follow one another.
    anion
        Formula with the central atom first, as ``"OH"``, ``"BH4"`` or ``"PS4"``.
    mobile
        Symbols of hopping ions; none: rotation only.
    temperature_K
        Temperature, K; written down, and for free energies of orientation.
    host_species
        Species in whose frame hops are seen; by default all but the mobile one and the ligands.
    cutoff_A, site_symmetry, threshold_deg
        As for `analyse_rotation`.
    radius_A, n_shifts, seed
        As for `analyse_coupling`.
    reading
        Options of `simtools.md.readers.open_trajectory`.

    Returns
    -------
    FileRotations

    Raises
    ------
    ConfigError
        As `open_trajectory`, `analyse_rotation` and `analyse_coupling` do; also for a file given twice.
    """
    refuse_doubles(replicas)
    trajectories = [_loaded(files, temperature_K, reading) for files in replicas]
    if temperature_K is None:
        temperature_K = trajectories[0].temperature_K
    rotation = analyse_rotation(
        trajectories,
        anion=anion,
        cutoff_A=cutoff_A,
        site_symmetry=site_symmetry,
        threshold_deg=threshold_deg,
        temperature_K=temperature_K,
    )
    first = trajectories[0]
    notes = [note for item in trajectories for note in item.metadata.get("warnings", ())]
    notes += rotation.warnings
    ligands = {str(first.species[atom]) for atom in rotation.molecules[0].ligands.ravel()}
    couplings, hosts = [], {}
    for species in mobile:
        host = tuple(
            host_species
            or [name for name in default_host(species, first.species.tolist(), {}) if name not in ligands]
        )
        if not host:
            raise ConfigError(f"nothing but {species} and ligands is there to be a host: expected --host")
        hosts[species] = list(host)
        coupling = analyse_coupling(
            [item.in_host_frame(host) for item in trajectories],
            rotation,
            mobile=species,
            radius_A=radius_A,
            n_shifts=n_shifts,
            seed=seed,
        )
        couplings.append(coupling)
        notes += coupling.warnings
    source = {
        "replicas": [[str(path) for path in files] for files in replicas],
        "format": first.metadata.get("format", "run of simtools"),
        "anion": anion,
        "temperature_K": None if temperature_K is None else float(temperature_K),
        "frames": [item.n_frames for item in trajectories],
        "frame_interval_ps": first.frame_interval_ps,
        "molecules": [item.n_molecules for item in rotation.molecules],
        "site_symmetry": site_symmetry,
        "threshold_deg": float(threshold_deg),
        "host": hosts,
        "n_shifts": n_shifts,
        "seed": seed,
    }
    return FileRotations(rotation, tuple(couplings), source, tuple(dict.fromkeys(notes)))


def _loaded(files, temperature_K, reading):
    """Return a trajectory; a run of ours is read whole, with its lattice sites."""
    used = {name: value for name, value in reading.items() if value not in (None, False, 0.0, 1, "auto")}
    if len(files) == 1 and Path(files[0]).is_dir() and not used:
        return load_trajectory(files[0], temperature_K=temperature_K)
    return load_trajectory(files, temperature_K=temperature_K, **reading)


def rotations_text(analysis):
    """Return the numbers, the verdict with its ladder, and the warnings as text."""
    lines = [f"{name}: {value}" for name, value in _source_rows(analysis.source)]
    lines += [""] + [f"  {name:<34} {value}" for name, value in _rotation_rows(analysis.rotation)]
    for coupling in analysis.couplings:
        verdict = coupling.verdict
        lines += [
            "",
            f"{analysis.source['anion']} and {coupling.mobile}: {verdict.verdict}",
            f"  {verdict.reason}",
        ]
        lines += [
            f"  {rung['question']:<42} {rung['answer']:<5} {rung['evidence']}" for rung in verdict.rungs
        ]
    if analysis.warnings:
        lines.append("")
    return "\n".join(lines + [f"warning: {group['text']}" for group in grouped_warnings(analysis.warnings)])


def write_rotations(analysis, directory):
    """Write ``summary.json``, ``results/``, ``figures/`` and ``report.html``; return the page's path.

    Raises
    ------
    ConfigError
        If `directory` holds a run, or cannot be written.
    """
    directory = Path(directory)
    if (directory / "recipe.toml").exists():
        raise ConfigError(f"{directory} holds a run; choose another -o DIR for the analysis")
    check_directory(directory / "results")
    for name, result in analysis.rotation.results.items():
        (directory / "results" / f"{name}.json").write_text(result.to_json(), encoding="utf-8")
    for coupling in analysis.couplings:
        for name, result in coupling.results.items():
            path = directory / "results" / f"{name}-{coupling.mobile}.json"
            path.write_text(result.to_json(), encoding="utf-8")
    summary = analysis.to_summary()
    write_json(directory / "summary.json", summary)
    figures = _figures(analysis)
    context = {
        "title": summary["title"],
        "source": _source_rows(analysis.source),
        "tables": [_rotation_table(analysis), *_coupling_tables(analysis)],
        "warnings": grouped_warnings(analysis.warnings),
        "figures": figures,
    }
    return write_page(render_page("rotations.html.j2", context), figures, directory)


def _source_rows(source):
    n = len(source["replicas"])
    frames = ", ".join(str(count) for count in source["frames"])
    rows = [
        ("files", f"{n} replica{'s' if n > 1 else ''}, {source['format']}"),
        ("molecules", f"{', '.join(str(count) for count in source['molecules'])} {source['anion']}"),
        ("frames", f"{frames}, one every {source['frame_interval_ps']:g} ps"),
        ("rotation", f"over {source['threshold_deg']:g} degrees"),
    ]
    if source["temperature_K"] is not None:
        rows.append(("temperature", f"{source['temperature_K']:g} K"))
    rows += [(f"host of {name}", ", ".join(host)) for name, host in source["host"].items()]
    return rows


def _rotation_rows(rotation):
    f, rates = rotation.functions, rotation.rates
    rows = [
        ("τ₁", format_estimate(f.tau1, "ps")),
        ("τ₂", format_estimate(f.tau2, "ps")),
        ("τ₁/τ₂ (3 small steps, 1 large jumps)", f"{format_estimate(f.ratio)}: {f.motion}"),
        ("order parameter S² (plateau of C₂)", format_estimate(f.plateau2)),
        (
            "reorientations",
            f"{rates.n_events}, {format_estimate(rates.rate_per_rotor, '1/ps')} per rotor; "
            f"{rates.n_recrossings} recrossings removed",
        ),
        ("static order, mean of rotors", format_number(f.static_order.mean())),
        ("preferred directions of bonds", str(len(rotation.basins))),
    ]
    if rotation.diffusion is not None:
        rows.append(("rotational diffusivity", format_estimate(rotation.diffusion.diffusivity, "rad²/ps")))
    if rotation.librations is not None:
        rows.append(("libration frequency", format_estimate(rotation.librations.mean_frequency_THz, "THz")))
    return rows


def _rotation_table(analysis):
    rows = [list(row) for row in _rotation_rows(analysis.rotation)]
    return {"columns": ["quantity", "value (95 % interval)"], "rows": rows, "caption": "Rotation."}


def _coupling_tables(analysis):
    tables = []
    for coupling in analysis.couplings:
        verdict = coupling.verdict
        tables.append(
            {
                "columns": ["step", "answer", "evidence"],
                "rows": [[rung["question"], rung["answer"], rung["evidence"]] for rung in verdict.rungs],
                "caption": f"{analysis.source['anion']} and {coupling.mobile}: {verdict.verdict}. "
                f"{verdict.reason[0].upper()}{verdict.reason[1:]}.",
            }
        )
        tables.append(
            {
                "columns": ["test", "estimate (95 % interval)", "without coupling", "null", "p", "q"],
                "rows": [_test_row(test) for test in verdict.tests],
                "caption": "All tests; q is corrected for their number (Benjamini–Hochberg).",
            }
        )
    return tables


def _test_row(test):
    estimate = test["estimate"]
    text = "–"
    if estimate is not None and isinstance(estimate["value"], float):
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


def _figures(analysis):
    rotation = analysis.rotation
    figures = [
        single_figure(
            "reorientation",
            "Reorientation functions",
            "C₁ and C₂ over bonds, rotors, replicas and time; bands are one standard error.",
            plot_reorientation,
            rotation.functions,
        ),
        single_figure(
            "orientations",
            "Where bonds point",
            "Density over that of free rotors; areas are true.",
            plot_orientation_map,
            rotation.density,
            width_in=6.8,
            height_in=3.8,
        ),
    ]
    for coupling in analysis.couplings:
        hazards = [item for item in (coupling.crude, coupling.adjusted, coupling.reverse) if item is not None]
        figures += [
            single_figure(
                f"correlogram-{coupling.mobile}",
                f"Hops of {coupling.mobile} about rotations",
                "Pairs over those of rotors shifted in time; the band holds 95 % of shifted copies at all "
                "lags at once. Right of zero the rotation came first.",
                plot_event_correlogram,
                coupling.correlogram,
            ),
            single_figure(
                f"hazard-{coupling.mobile}",
                "Hazard ratios",
                "Rate in the window after the other event over the rate otherwise, crude and at equal "
                "surroundings.",
                plot_hazard_ratios,
                hazards,
                height_in=2.8,
            ),
        ]
        if coupling.tilts is not None and coupling.tilts.excess is not None:
            figures.append(
                single_figure(
                    f"tilt-{coupling.mobile}",
                    "Tilts about hops",
                    "Rotations over 45 degrees are left out; the band holds 95 % of shifted rotors.",
                    plot_tilt_at_hops,
                    coupling.tilts,
                )
            )
    return figures
