"""What `simtools barrier` prints, draws and writes of the paths that barriers.py found."""

from pathlib import Path

from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from simtools import plots
from simtools.core.provenance import collect_provenance
from simtools.plots.pathways import plot_path, plot_paths
from workflows.barriers import Barriers
from workflows.cost import engine_sentence
from workflows.report_figures import ReportFigure, save_figures, single_figure
from workflows.statepoints import write_json

__all__ = ["barrier_table", "moving_table", "summarise", "write_barriers"]

SCHEMA = 1
_MOST_TOGETHER = 6
_NORMAL_95 = 1.96


def write_barriers(barriers: Barriers, directory) -> dict:
    """Write ``summary.json``, ``figures/`` and the images of each path; return the summary.

    Parameters
    ----------
    barriers
        From `compute_barriers`.
    directory
        Exists.
    """
    directory = Path(directory)
    figures = []
    found = [outcome for outcome in barriers.outcomes if outcome.path is not None]
    for number, outcome in enumerate(barriers.outcomes, start=1):
        if outcome.path is None:
            continue
        write(directory / f"path-{number}.extxyz", _images(outcome.path), format="extxyz")
        figures.append(
            single_figure(
                f"path-{number}", outcome.hop.name, "Energy along the path.", plot_path, outcome.path
            )
        )
    for row in sorted({outcome.row for outcome in found}):
        paths = [outcome.path for outcome in found if outcome.row == row][:_MOST_TOGETHER]
        if len(paths) > 1:
            ax = plot_paths(paths, ax=plots.new_axes(width_in=7.2, height_in=5.4))
            figures.append(ReportFigure(f"paths-{row}", "Paths", "Energy along the paths.", ax.figure))
    save_figures(figures, directory / "figures")
    summary = summarise(barriers)
    write_json(directory / "summary.json", summary)
    return summary


def summarise(barriers: Barriers) -> dict:
    """Return what ``summary.json`` holds."""
    return {
        "schema": SCHEMA,
        "title": barriers.recipe.title,
        "provenance": collect_provenance(
            recipe=barriers.recipe.to_dict(),
            potential=barriers.force_identity,
            n_sites=barriers.n_sites,
            **({"calculator": barriers.force_facts} if barriers.force_facts else {}),
        ),
        "host": {
            "lattice_parameter": {"value": barriers.lattice_parameter_A, "unit": "Å"},
            "gain_when_displaced": {"value": barriers.host_gain_eV, "unit": "eV"},
        },
        "dumbbells": [
            {
                "hops_table": row,
                "start_direction": list(found.start_direction),
                "direction": list(found.direction),
                "site": found.site_index,
                "separation": {"value": found.separation_A, "unit": "Å"},
                "energy_above_lowest": {"value": found.energy_eV - relaxed[0].energy_eV, "unit": "eV"},
            }
            for row, relaxed in barriers.dumbbells.items()
            for found in relaxed
        ],
        "barriers": [_entry(number, outcome) for number, outcome in enumerate(barriers.outcomes, start=1)],
        "warnings": list(barriers.warnings),
    }


def barrier_table(barriers: Barriers) -> str:
    """Return the barriers as text, a line per hop, and what to know about them."""
    width = max(len(outcome.hop.name) for outcome in barriers.outcomes)
    lines = [
        f"{barriers.recipe.title}: {barriers.recipe.structure.formula}, {barriers.n_sites} sites, "
        f"a = {barriers.lattice_parameter_A:.4f} Å",
        *([f"forces: {engine_sentence(barriers.force_facts)}"] if barriers.force_facts else []),
        "",
    ]
    for row, relaxed in barriers.dumbbells.items():
        species = barriers.recipe.hops[row].species
        lines.append(f"dumbbells of {species} (start: relaxed axis, separation, energy above the lowest)")
        lines += [
            f"  {_axis(found.start_direction):>10}: [{', '.join(f'{x:.2f}' for x in found.direction)}]  "
            f"{found.separation_A:.3f} Å  {found.energy_eV - relaxed[0].energy_eV:.4f} eV"
            for found in relaxed
        ]
        lines.append("")
    lines.append(
        f"{'#':>2}  {'hop':<{width}}  {'ways':>4}  {'forward':>8}  {'backward':>8}  {'+-':>7}  {'ions':>4}  "
        f"{'force':>7}"
    )
    lines.append(f"{'':>2}  {'':<{width}}  {'':>4}  {'eV':>8}  {'eV':>8}  {'eV':>7}  {'':>4}  {'eV/Å':>7}")
    for number, outcome in enumerate(barriers.outcomes, start=1):
        start = f"{number:>2}  {outcome.hop.name:<{width}}  {outcome.hop.multiplicity:>4}"
        path = outcome.path
        if path is None:
            lines.append(
                f"{start}  {'no hop: ' + outcome.no_hop if outcome.no_hop else 'failed: ' + outcome.failed}"
            )
            continue
        lines.append(
            f"{start}  {path.barrier_forward_eV:8.4f}  {path.barrier_backward_eV:8.4f}  "
            f"{path.barrier_uncertainty_eV:7.4f}  {len(path.moving_ions):>4}  "
            f"{path.saddle_force_eV_per_A:7.4f}"
        )
    lines += _check_lines(barriers)
    lines += [f"note: {note}" for note in barriers.warnings]
    return "\n".join(lines)


def moving_table(barriers: Barriers) -> str:
    """Return the displacement tables as text: which ions moved, from which site to which, how far."""
    lines = [
        "ions that move more than 0.5 Å: sites of the perfect crystal before and after, displacement from",
        "end to end, farthest from the start, length of the way",
        " #       ion    from      to  displacement  farthest  length",
        "                site    site             Å         Å       Å",
    ]
    for number, outcome in enumerate(barriers.outcomes, start=1):
        for ion in outcome.path.moving_ions if outcome.path is not None else ():
            lines.append(
                f"{number:>2}  {ion['species'] + ' ' + str(ion['index']):>8}  {_site(ion['from_site']):>6}  "
                f"{_site(ion['to_site']):>6}  {ion['displacement_A']:12.3f}  "
                f"{ion['max_displacement_A']:8.3f}  {ion['path_length_A']:6.3f}"
            )
    return "\n".join(lines)


def _entry(number, outcome):
    entry = {
        "number": number,
        "hops_table": outcome.row,
        "name": outcome.hop.name,
        "length": {"value": outcome.hop.length_A, "unit": "Å"},
        "ways": outcome.hop.multiplicity,
        "equivalent_ends": outcome.hop.equivalent_ends,
        "status": "path" if outcome.path is not None else "no hop" if outcome.no_hop else "failed",
    }
    if outcome.path is None:
        return {**entry, "reason": outcome.no_hop or outcome.failed}
    entry |= outcome.path.to_summary()
    half = outcome.path.barrier_uncertainty_eV
    for name in ("barrier_forward_eV", "barrier_backward_eV"):
        value = entry[name]["value"]
        entry[name] |= {
            "stderr": half / _NORMAL_95,
            "ci95": [value - half, value + half],
            "method": "climbing image; the interval is numerical, of the forces left, in this cell",
            "n_eff": 1.0,
        }
    if outcome.checks:
        entry["lammps"] = [
            {
                "image": check.image,
                "energy": {"value": check.ours_eV, "unit": "eV"},
                "energy_lammps": {"value": check.theirs_eV, "unit": "eV"},
                "largest_force_difference": {
                    "value": check.largest_force_difference_eV_per_A,
                    "unit": "eV/Å",
                },
            }
            for check in outcome.checks
        ]
    return entry


def _check_lines(barriers):
    checked = [(n, outcome) for n, outcome in enumerate(barriers.outcomes, start=1) if outcome.checks]
    if not checked:
        return []
    lines = [
        "",
        "in LAMMPS: forward barrier; largest differences of energies relative to the first end, of total",
        "energies, and of forces",
        " #        eV       eV       eV     eV/Å",
    ]
    for number, outcome in checked:
        first, saddle, _ = outcome.checks
        offsets = [check.ours_eV - check.theirs_eV for check in outcome.checks]
        relative = max(abs(offset - offsets[0]) for offset in offsets)
        force = max(check.largest_force_difference_eV_per_A for check in outcome.checks)
        lines.append(
            f"{number:>2}  {saddle.theirs_eV - first.theirs_eV:8.4f}  {relative:7.1e}  "
            f"{max(map(abs, offsets)):7.1e}  {force:7.1e}"
        )
    return [*lines, ""]


def _images(path):
    images = path.images
    for image, energy, coordinate in zip(images, path.energies_eV, path.reaction_coordinate_A, strict=True):
        image.calc = SinglePointCalculator(image, energy=path.initial_energy_eV + float(energy))
        image.info["reaction_coordinate_A"] = float(coordinate)
    return images


def _axis(axis):
    return "[" + " ".join(str(x) for x in axis) + "]"


def _site(site):
    return "-" if site is None else str(site)
