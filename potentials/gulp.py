"""The same force field written for GULP: species, masses, pair terms, springs and molecules. Export only.

GULP is J. D. Gale and A. L. Rohl, Mol. Simul. 29, 291 (2003), doi:10.1080/0892702031000104887. Nothing here
runs it; the tests read the numbers back.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

from potentials.describe import weak_parameters
from potentials.force_field import ForceField
from potentials.forms import Tabulated
from simtools.core.errors import ConfigError

__all__ = ["gulp_labels", "gulp_text", "write_gulp"]


def write_gulp(force_field: ForceField, path) -> Path:
    """Write the force field as a GULP library file: ``library FILE`` in an input, or pasted into one.

    Energies in eV, lengths in Å. GULP keeps pair terms as they are at the cutoff: forces are those of our
    engine, energies differ by the shift that a comment names.

    Raises
    ------
    ConfigError
        For a tabulated pair, which is not written, or a file that cannot be.
    """
    path = Path(path)
    text = gulp_text(force_field)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot write the GULP file here ({error.strerror})") from error
    return path


def gulp_labels(force_field: ForceField) -> dict[str, str]:
    """Return GULP's name of each species: its element, numbered where several species share it.

    GULP takes an element without a number for all of its types.
    """
    elements = [force_field.element_of(name) for name in force_field.species]
    shared = {element for element, n in Counter(elements).items() if n > 1}
    seen: Counter = Counter()
    labels = {}
    for name, element in zip(force_field.species, elements, strict=True):
        seen[element] += 1
        labels[name] = f"{element}{seen[element]}" if element in shared else element
    return labels


def gulp_text(force_field: ForceField) -> str:
    """Return the text of `write_gulp`."""
    labels = gulp_labels(force_field)
    return (
        "\n".join(
            [
                *_heading(force_field, labels),
                "",
                *_species_lines(force_field, labels),
                *_pair_lines(force_field, labels),
                *_spring_lines(force_field, labels),
                *_molecule_lines(force_field, labels),
            ]
        )
        + "\n"
    )


def _heading(field, labels):
    lines = [
        f"# {field.name} {field.version} (sha256 {field.sha256[:16]}), for GULP",
        f"# {field.description}",
        *(f"# not verified: {line}" for line in weak_parameters(field)),
        "# Use: name this file in a GULP input with the option library, or paste it below the structure.",
    ]
    renamed = [f"{label} is {name}" for name, label in labels.items() if label != name]
    if renamed:
        lines.append(f"# Types: {', '.join(renamed)}; number the atoms of your structure accordingly.")
    if field.molecules:
        lines.append(
            "# Molecules: add the keyword molecule to the first line of the input, so that GULP leaves"
        )
        lines.append("# out the Coulomb interaction within them.")
        lines += [
            f"# {molecule.name} is rigid here: no bond or angle is written for it."
            for molecule in field.molecules.values()
            if molecule.is_rigid
        ]
    if field.cutoff_mode == "shifted":
        lines.append(
            f"# simtools shifts each pair term to 0 at {field.cutoff_A:g} Angstrom; here it is only cut:"
        )
        lines.append(
            "# forces agree, the energy of each pair of ions in reach differs by the term at the cutoff."
        )
    return lines


def _species_lines(field, labels):
    lines = ["species"]
    for name in field.species:
        lines.append(f"{labels[name]} core {round(field.core_charge_e(name), 12)!r}")
        if name in field.shells:
            lines.append(f"{labels[name]} shel {field.shells[name].charge_e!r}")
    masses = [f"mass {element} {mass!r}" for element, mass in field.element_masses_amu.items()]
    return [*lines, "element", *masses, "end"]


def _pair_lines(field, labels):
    rows: dict[str, list[str]] = {}
    reach = f"0.0 {field.cutoff_A!r}"
    for (a, b), terms in sorted(field.pairs.items()):
        pair = " ".join(f"{labels[name]} {'shel' if name in field.shells else 'core'}" for name in (a, b))
        for term in terms:
            for potential, numbers in _written(term, (a, b)):
                rows.setdefault(potential, []).append(f"{pair} {numbers} {reach}")
    inside = " inter" if field.molecules else ""
    return [line for name, body in rows.items() for line in (_worded(name, inside), *body)]


def _worded(potential, inside):
    name, *powers = potential.split()
    return " ".join([f"{name}{inside}", *powers])


def _written(term, pair):
    """Return (potential, numbers) of a pair term; a Born-Mayer-Huggins term takes two."""
    form = term.form
    if isinstance(form, Tabulated):
        raise ConfigError(
            f"{'-'.join(pair)}: a tabulated pair is not written for GULP; use --export lammps, or give "
            "the pair an analytic form"
        )
    if term.kind in ("buckingham", "born_mayer"):
        return [("buck", f"{form.A!r} {form.rho!r} {getattr(form, 'C', 0.0)!r}")]
    if term.kind == "born_mayer_huggins":
        terms = [("buck", f"{form.A * math.exp(form.sigma / form.rho)!r} {form.rho!r} {form.C!r}")]
        return [*terms, ("lennard 8 6", f"{-form.D!r} 0.0")] if form.D else terms
    if term.kind == "lennard_jones":
        sixth = 4.0 * form.epsilon * form.sigma**6
        return [("lennard 12 6", f"{sixth * form.sigma**6!r} {sixth!r}")]
    return [("morse", f"{form.D!r} {form.a!r} {form.r0!r} 0.0")]


def _spring_lines(field, labels):
    if not field.shells:
        return []
    lines = ["spring"]
    for name, shell in field.shells.items():
        quartic = f" {shell.quartic_spring_eV_per_A4!r}" if shell.quartic_spring_eV_per_A4 else ""
        lines.append(f"{labels[name]} {shell.spring_eV_per_A2!r}{quartic}")
    return lines


def _molecule_lines(field, labels):
    rows: dict[str, list[str]] = {}
    for molecule in field.molecules.values():
        names = [labels[name] for name in molecule.species]
        for bond in molecule.bonds:
            if bond.kind == "harmonic":
                potential, numbers = "harmonic intra bond", f"{bond.form.k!r} {bond.form.r0!r}"
            elif bond.kind == "morse":
                potential = "morse intra bond"
                numbers = f"{bond.form.D!r} {bond.form.a!r} {bond.form.r0!r}"
            else:
                continue
            for pair in dict.fromkeys(tuple(names[k] for k in pair) for pair in bond.pairs):
                ends = " ".join(f"{name} core" for name in pair)
                rows.setdefault(potential, []).append(f"{ends} {numbers}")
        for angle in molecule.angles:
            for i, centre, j in dict.fromkeys(tuple(names[k] for k in triple) for triple in angle.triples):
                ends = " ".join(f"{name} core" for name in (centre, i, j))
                numbers = f"{angle.form.k!r} {angle.form.theta0_deg!r}"
                rows.setdefault("three intra bond", []).append(f"{ends} {numbers}")
    return [line for name, body in rows.items() for line in (name, *body)]
