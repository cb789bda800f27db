"""Rotating anions and their coupling to hops, from trajectory files: ``simtools rotations``."""

from dataclasses import dataclass
from math import ceil
from pathlib import Path

from simtools.analysers.evidence_ladder import LEVEL
from simtools.analysers.rotation import parse_anion
from simtools.analysers.rotor_records import records_of
from simtools.analysers.rotor_study import study_rotors
from simtools.analysers.tilt_study import study_tilts
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.md.readers import load_trajectory
from workflows.report import render_page, write_page
from workflows.report_rotation import rotation_statements, rotation_tables, tables_of_tests
from workflows.report_rotation_figures import rotation_figures
from workflows.report_tables import grouped_warnings
from workflows.report_tilts import tilt_figures, tilt_tables
from workflows.run_rotation import rotation_blocks, rotation_lines
from workflows.source_checks import refuse_doubles
from workflows.statepoints import check_directory, write_json
from workflows.summary import SCHEMA, numbers_or_null

__all__ = ["FileRotations", "analyse_rotation_files", "rotations_text", "write_rotations"]

_USUAL_ORDER = ("B", "Si", "C", "P", "N", "Te", "Se", "S", "I", "Br", "Cl", "O", "F", "H")
"""Central atom of two first: by rising electronegativity as formulas are written, hydrogen always last."""


@dataclass(frozen=True, eq=False)
class FileRotations:
    """What came out of somebody's trajectories.

    Attributes
    ----------
    studies
        `RotorStudy` of each temperature; empty without an anion.
    lines
        `RotationArrhenius`, with two temperatures or more.
    tilts
        `TiltStudy` of each kind of octahedra and temperature.
    source
        {what: value} of the files, frames and choices.
    warnings
        What to distrust.
    """

    studies: tuple
    lines: tuple
    tilts: tuple
    source: dict
    warnings: tuple

    def named_results(self):
        """Return (file stem, Result) of all results."""
        found = [pair for item in (*self.studies, *self.tilts) for pair in item.named_results()]
        return found + [(f"rotation-arrhenius-{line.anion}", line) for line in self.lines]

    def to_summary(self):
        """Return what ``summary.json`` holds (schema 1)."""
        subject = self.source["anion"] or ", ".join(self.source["tilts"])
        entries = {
            "schema": SCHEMA,
            "title": f"{'Rotation' if self.source['anion'] else 'Tilts'} of {subject}",
            "provenance": collect_provenance(**self.source),
            "source": self.source,
            "transport": [],
            "arrhenius": {},
            "rotation": [],
            "coupling": [],
            "verdict": [],
            "warnings": list(self.warnings),
        }
        entries |= rotation_blocks(self.studies, self.lines)
        if self.tilts:
            entries["tilts"] = [item.to_summary() for item in self.tilts]
        return numbers_or_null(entries)


def analyse_rotation_files(
    groups, *, anion=None, tilts=(), mobile=(), host_species=None, cutoff_A=None, **options
):
    """Read trajectory files and return the rotation of an anion, and how it goes with hopping ions.

    Parameters
    ----------
    groups
        One (temperature in K or None, replicas) for each temperature; replicas are one list of files each,
        and files of one list follow one another.
    anion
        Formula with the central atom first, as ``"OH"``, ``"BH4"`` or ``"PS4"``; None for tilts alone. Two
        atoms the other way round (``"HO"``, ``"NC"``) are taken in the usual order, with a warning: the
        direction of the dipole depends on it.
    tilts
        Octahedra whose tilts to analyse, centre first, as ``"OLi6"``.
    mobile
        Symbols of hopping ions; none: rotation only.
    host_species, cutoff_A
        As for `study_rotors`.
    options
        ``radius_A``, ``site_symmetry``, ``threshold_deg``, ``n_shifts`` and ``seed`` as for `study_rotors`;
        all others are those of `simtools.md.readers.open_trajectory`.

    Returns
    -------
    FileRotations

    Raises
    ------
    ConfigError
        As `open_trajectory`, `study_rotors` and `study_tilts` do; also for a file given twice, a temperature
        given twice, several groups without temperatures, or nothing to analyse.
    """
    if anion is None and not tilts:
        raise ConfigError("nothing to analyse: expected an anion, or octahedra whose tilts are wanted")
    kelvins = [temperature for temperature, _ in groups]
    if len(groups) > 1 and (None in kelvins or len(set(kelvins)) < len(kelvins)):
        raise ConfigError(f"expected different temperatures of the groups of files, got {kelvins}")
    refuse_doubles([files for _, replicas in groups for files in replicas])
    names = ("radius_A", "site_symmetry", "threshold_deg", "n_shifts", "seed")
    study = {name: options.pop(name) for name in names if name in options}
    studies, tilted, notes, frames, about = [], [], [], [], {}
    if anion is not None:
        anion, said = _in_usual_order(anion)
        notes += said
    for temperature_K, replicas in sorted(groups, key=lambda group: group[0] or 0.0):
        trajectories = [_loaded(files, temperature_K, options) for files in replicas]
        first = trajectories[0]
        frames.append([item.n_frames for item in trajectories])
        about |= {
            "format": first.metadata.get("format", "run of simtools"),
            "frame_interval_ps": first.frame_interval_ps,
        }
        notes += [note for item in trajectories for note in item.metadata.get("warnings", ())]
        if anion is not None:
            studies.append(
                study_rotors(
                    trajectories,
                    anion=anion,
                    mobile=mobile,
                    temperature_K=temperature_K,
                    host_species=host_species,
                    cutoff_A=cutoff_A,
                    **study,
                )
            )
            notes += studies[-1].warnings
            for coupling in studies[-1].couplings:
                notes += _few_shifts(coupling.correlogram.n_shifts, len(coupling.verdict.tests))
        known_K = first.temperature_K if temperature_K is None else temperature_K
        tilted += [study_tilts(trajectories, octahedra=name, temperature_K=known_K) for name in tilts]
    lines = rotation_lines(studies, None, notes)
    kept = studies or tilted
    source = {
        "replicas": [[[str(path) for path in files] for files in replicas] for _, replicas in groups],
        "format": about["format"],
        "anion": anion,
        "tilts": list(tilts),
        "temperatures_K": [item.temperature_K for item in kept],
        "frames": frames,
        "frame_interval_ps": about["frame_interval_ps"],
        "molecules": [[item.n_molecules for item in one.rotation.molecules] for one in studies],
        "host": studies[0].hosts if studies else {},
        **study,
    }
    return FileRotations(tuple(studies), tuple(lines), tuple(tilted), source, tuple(dict.fromkeys(notes)))


def _in_usual_order(anion):
    """Return the formula with its central atom first, and a line where that was not so."""
    centre, ligands, n_ligands = parse_anion(anion)
    if centre in ligands:
        raise ConfigError(
            f"anion = {anion!r}: {centre} is both the central atom and a ligand; expected one central atom "
            "first, as OH, BH4 or PS4"
        )
    pair = (centre, *ligands)
    if n_ligands > 1 or not set(pair) <= set(_USUAL_ORDER):
        return anion, []
    usual = "".join(sorted(pair, key=_USUAL_ORDER.index))
    if usual == anion:
        return anion, []
    return usual, [f"{anion} is taken as {usual}, {min(pair, key=_USUAL_ORDER.index)} being the central atom"]


def _few_shifts(n_shifts, n_tests):
    """Return a line where no p of that many shifts alone can be told from chance among so many tests."""
    smallest = n_tests / (n_shifts + 1)
    if smallest <= LEVEL:
        return []
    return [
        f"{n_shifts} shifts are few for {n_tests} tests: a test that stands alone cannot have q below "
        f"{min(smallest, 1.0):.2g}, so nothing it finds reaches {LEVEL:g}; take --shifts "
        f"{ceil(n_tests / LEVEL) - 1} or more"
    ]


def _loaded(files, temperature_K, reading):
    """Return a trajectory; a run of ours is read whole, with its lattice sites."""
    used = {name: value for name, value in reading.items() if value not in (None, False, 0.0, 1, "auto")}
    if len(files) == 1 and Path(files[0]).is_dir() and not used:
        return load_trajectory(files[0], temperature_K=temperature_K)
    return load_trajectory(files, temperature_K=temperature_K, **reading)


def rotations_text(analysis):
    """Return the numbers, the verdicts with their ladder, and the warnings as text."""
    lines = [f"{name}: {value}" for name, value in _source_rows(analysis.source)]
    records = _records(analysis)
    lines += ["", *rotation_statements(records, analysis.lines)] if records else []
    for table in (*rotation_tables(records, analysis.lines), *tilt_tables(analysis.tilts)):
        lines += ["", " | ".join(table["columns"])]
        lines += [f"  {row[0]:<44} {' | '.join(row[1:])}" for row in table["rows"]]
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
    check_directory(directory)
    check_directory(directory / "results")
    for stem, result in analysis.named_results():
        (directory / "results" / f"{stem}.json").write_text(result.to_json(), encoding="utf-8")
    summary = analysis.to_summary()
    write_json(directory / "summary.json", summary)
    records = _records(analysis)
    figures = [*rotation_figures(records, analysis.lines), *tilt_figures(analysis.tilts)]
    context = {
        "title": summary["title"],
        "source": _source_rows(analysis.source),
        "statements": rotation_statements(records, analysis.lines),
        "tables": [*rotation_tables(records, analysis.lines), *tilt_tables(analysis.tilts)],
        "tests": tables_of_tests(records),
        "warnings": grouped_warnings(analysis.warnings),
        "figures": figures,
    }
    return write_page(render_page("rotations.html.j2", context), figures, directory)


def _records(analysis):
    return records_of(pair for study in analysis.studies for pair in study.named_results())


def _source_rows(source):
    counts = [len(replicas) for replicas in source["replicas"]]
    total = sum(counts)
    frames = "; ".join(", ".join(str(count) for count in group) for group in source["frames"])
    rows = [("files", f"{total} replica{'s' if total > 1 else ''}, {source['format']}")]
    if source["anion"]:
        molecules = "; ".join(", ".join(str(n) for n in group) for group in source["molecules"])
        rows.append(("molecules", f"{molecules} {source['anion']}"))
    if source["tilts"]:
        rows.append(("octahedra", ", ".join(source["tilts"])))
    rows.append(("frames", f"{frames}, one every {source['frame_interval_ps']:g} ps"))
    if source["anion"]:
        rows.append(("rotation", f"over {source.get('threshold_deg', 45.0):g} degrees"))
    kelvins = [item for item in source["temperatures_K"] if item is not None]
    if kelvins:
        rows.append(("temperature", ", ".join(f"{item:g} K" for item in dict.fromkeys(kelvins))))
    rows += [(f"host of {name}", ", ".join(host)) for name, host in source["host"].items()]
    return rows
