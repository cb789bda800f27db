"""Molecular ions as one ion each: hydroxide, amide, borohydride by their centres of mass."""

from dataclasses import replace

import numpy as np

from simtools.core.errors import ConfigError
from simtools.core.periodic import minimum_image

__all__ = ["bound_hydrogen", "host_with_molecules", "with_molecular_ions", "with_whole_molecules"]

_BOND_A = {"B": 1.5, "C": 1.4, "N": 1.35, "O": 1.3, "P": 1.7, "S": 1.65, "Al": 1.9}


def bound_hydrogen(trajectory):
    """Return the species that hydrogen is bound to, in the first and the last frame, by the same bonds.

    Parameters
    ----------
    trajectory
        Unwrapped.

    Returns
    -------
    tuple of str
        Such as ``("O",)`` for hydroxide whose atoms are ions of their own; empty for hydride ions, whose
        neighbours are farther than 1.3 Å (O) to 1.9 Å (Al).
    """
    hydrogen = np.flatnonzero(np.isin(trajectory.species, ("H", "D")))
    found = []
    for name in dict.fromkeys(trajectory.species.tolist()):
        if name not in _BOND_A or not len(hydrogen):
            continue
        centres = trajectory.indices_of(name)
        bonds = []
        for frame in (0, -1):
            positions_A = trajectory.positions_A[frame]
            cell = trajectory.cells_A if trajectory.cells_A.ndim == 2 else trajectory.cells_A[frame]
            gaps = minimum_image(positions_A[hydrogen][:, None] - positions_A[centres][None], cell)
            bonds.append(np.linalg.norm(gaps, axis=-1) <= _BOND_A[name])
        if (bonds[0] & bonds[1]).any():
            found.append(name)
    return tuple(found)


def with_molecular_ions(trajectory, *, name, centre, ligand, n_ligands, bond_length_A, charge_e):
    """Return the trajectory with every molecule replaced by one ion at its centre of mass.

    Parameters
    ----------
    trajectory
        Unwrapped, with masses.
    name
        Species of the new ions, for example ``"OH"``.
    centre, ligand
        Symbols of the central atom and of those bound to it, for example ``"O"`` and ``"H"``.
    n_ligands
        Ligands of each molecule. Every ligand must belong to one molecule; central atoms without any stay
        atoms (oxide beside hydroxide).
    bond_length_A
        Longest bond, Å, in the first frame; in later frames up to half as long again.
    charge_e
        Integer formal charge of the molecule, e.

    Returns
    -------
    Trajectory
        Other atoms first, in their order, then the molecules in the order of their central atoms. Charge
        current and momenta of the atoms are left as they are: splitting a molecule's charge adds a bounded
        term to its displacement, which no slope contains.

    Raises
    ------
    ConfigError
        Without masses; where an atom has another number of ligands, a ligand none or two centres, or a bond
        breaks, naming the frame.
    UnknownSpeciesError
        If there is no such atom.

    Notes
    -----
    Limit: a molecule that only rotates has a centre that does not move.
    """
    if trajectory.masses_amu is None:
        raise ConfigError("with_molecular_ions needs masses_amu for the centre of mass, got none")
    centres, ligands = trajectory.indices_of(centre), trajectory.indices_of(ligand)
    r_tnc, cells = trajectory.positions_A, trajectory.cells_A
    first_cell = cells if cells.ndim == 2 else cells[0]
    gaps = minimum_image(r_tnc[0, ligands][:, None] - r_tnc[0, centres][None], first_cell)
    bound = np.linalg.norm(gaps, axis=-1) <= bond_length_A
    for index in np.flatnonzero(bound.sum(axis=1) != 1)[:1]:
        raise ConfigError(
            f"{ligand} atom {ligands[index]} has {bound[index].sum()} {centre} within {bond_length_A} A in "
            "frame 0, expected 1: change bond_length_A"
        )
    members = [np.flatnonzero(column) for column in bound.T]
    for atom, found in zip(centres, members, strict=True):
        if len(found) not in (0, n_ligands):
            raise ConfigError(
                f"{centre} atom {atom} has {len(found)} {ligand} within {bond_length_A} A in frame 0, "
                f"expected 0 or {n_ligands}"
            )
    kept = [i for i, found in enumerate(members) if len(found)]
    weights = trajectory.masses_amu
    moved = np.zeros((len(r_tnc), len(kept), 3))
    velocities = None if trajectory.velocities_A_per_ps is None else np.zeros_like(moved)
    masses = np.zeros(len(kept))
    gone = [*centres[kept].tolist()]
    for j, i in enumerate(kept):
        core = r_tnc[:, centres[i]]
        masses[j] = weights[centres[i]] + weights[ligands[members[i]]].sum()
        for k in members[i]:
            # the image that was bound in frame 0, carried along by the unwrapped displacements
            bond = gaps[k, i] + (r_tnc[:, ligands[k]] - r_tnc[0, ligands[k]]) - (core - core[0])
            _check_bond(bond, name, (centres[i], ligands[k]), 1.5 * bond_length_A)
            moved[:, j] += weights[ligands[k]] / masses[j] * bond
            gone.append(int(ligands[k]))
        moved[:, j] += core
        if velocities is not None:
            atoms = [centres[i], *ligands[members[i]]]
            velocities[:, j] = np.einsum(
                "n,tnc->tc", weights[atoms], trajectory.velocities_A_per_ps[:, atoms]
            )
            velocities[:, j] /= masses[j]
    rest = np.setdiff1d(np.arange(len(trajectory.species)), gone)
    return replace(
        trajectory,
        positions_A=np.concatenate([r_tnc[:, rest], moved], axis=1),
        velocities_A_per_ps=None
        if velocities is None
        else np.concatenate([trajectory.velocities_A_per_ps[:, rest], velocities], axis=1),
        species=np.concatenate([trajectory.species[rest], np.full(len(kept), name)]),
        masses_amu=np.concatenate([weights[rest], masses]),
        formal_charges_e={**trajectory.formal_charges_e, name: charge_e},
        molecule_id=None,
    )


def with_whole_molecules(trajectory):
    """Return the trajectory with every molecule of its topology as one ion at its centre of mass.

    Parameters
    ----------
    trajectory
        Unwrapped; with masses and ``molecule_id``. One without molecules is returned as it is.

    Returns
    -------
    Trajectory
        Ions by themselves first, in their order, then the molecules, named by their elements (``OH``,
        ``BH4``), with the sum of their atoms' formal charges. The charge current is that of these ions too,
        from the momenta of the species; where these do not say it (a species in two kinds of molecules or
        also by itself, or with two masses) it stays that of the atoms, of the same limit at zero frequency.
        Sites, defects and velocities, which name atoms, are left out.

    Raises
    ------
    ConfigError
        Without masses, or where a molecule falls apart.

    Notes
    -----
    Limit: molecules that only turn carry no charge.
    """
    kinds = _kinds_of_molecules(trajectory)
    if not kinds:
        return trajectory
    if trajectory.masses_amu is None:
        raise ConfigError("molecules as ions need masses_amu for the centre of mass, got none")
    r_tnc, weights_n = trajectory.positions_A, trajectory.masses_amu
    cell = trajectory.cells_A if trajectory.cells_A.ndim == 2 else trajectory.cells_A[0]
    charges_e = trajectory.formal_charges_e
    rest = np.setdiff1d(
        np.arange(len(trajectory.species)), np.concatenate([m.ravel() for m in kinds.values()])
    )
    left = set(trajectory.species[rest].tolist())
    positions, masses, species = [r_tnc[:, rest]], [weights_n[rest]], [trajectory.species[rest]]
    whole_e = {name: charge for name, charge in charges_e.items() if name in left}
    for name, members in kinds.items():
        gaps = minimum_image(r_tnc[0, members] - r_tnc[0, members[:, :1]], cell)
        share = weights_n[members] / weights_n[members].sum(axis=1, keepdims=True)
        first_mc = r_tnc[0, members[:, 0]] + np.einsum("mk,mkc->mc", share, gaps)
        moved = np.zeros((len(r_tnc), len(members), 3))
        for k, atoms in enumerate(members.T):
            step = r_tnc[:, atoms] - r_tnc[0, atoms]
            moved += share[:, k, None] * step
            bond = gaps[:, k] + step - (r_tnc[:, members[:, 0]] - r_tnc[0, members[:, 0]])
            reach = 1.5 * np.linalg.norm(gaps, axis=-1).max()
            for j in np.flatnonzero(np.linalg.norm(bond, axis=-1).max(axis=0) > reach)[:1]:
                _check_bond(bond[:, j], name, (members[j, 0], atoms[j]), reach)
        positions.append(first_mc + moved)
        masses.append(weights_n[members].sum(axis=1))
        species.append(np.full(len(members), name))
        elements = trajectory.species[members[0]].tolist()
        if all(charges_e.get(element) is not None for element in elements):
            whole_e[name] = sum(charges_e[element] for element in elements)
    whole = replace(
        trajectory,
        positions_A=np.concatenate(positions, axis=1),
        species=np.concatenate(species),
        masses_amu=np.concatenate(masses),
        formal_charges_e=whole_e,
        velocities_A_per_ps=None,
        lattice_sites=None,
        molecule_id=None,
        defects=(),
    )
    return _with_whole_current(whole, trajectory, kinds)


def host_with_molecules(trajectory, host_species):
    """Return the host in the names of `with_whole_molecules`, molecules with one of its elements included.

    Parameters
    ----------
    trajectory
        Of atoms, as given to `with_whole_molecules`.
    host_species
        Symbols of atoms.
    """
    kinds = _kinds_of_molecules(trajectory)
    inside = np.concatenate([m.ravel() for m in kinds.values()]) if kinds else np.zeros(0, dtype=int)
    alone = set(np.delete(trajectory.species, inside).tolist())
    own = [name for name in host_species if name in alone]
    held = [
        name for name, members in kinds.items() if set(trajectory.species[members[0]]) & set(host_species)
    ]
    return (*own, *held)


def _kinds_of_molecules(trajectory):
    """Return {name: atoms of each molecule, shape (n_molecules, n_atoms)}; empty where there are none."""
    identity = trajectory.molecule_id
    found = {}
    for molecule in np.unique(identity[identity >= 0]) if identity is not None else ():
        atoms = np.flatnonzero(identity == molecule)
        elements, counts = np.unique(trajectory.species[atoms], return_counts=True)
        n_of = dict(zip(elements.tolist(), counts.tolist(), strict=True))
        order = dict.fromkeys(trajectory.species[atoms].tolist())
        found.setdefault("".join(e + (str(n_of[e]) if n_of[e] > 1 else "") for e in order), []).append(atoms)
    return {name: np.array(atoms) for name, atoms in found.items()}


def _with_whole_current(whole, trajectory, kinds):
    """Return `whole` with the charge current and momenta of its ions, as far as the species' momenta tell."""
    momenta = trajectory.species_momenta_amu_A_per_ps
    parts = {name: sorted(set(trajectory.species[members[0]].tolist())) for name, members in kinds.items()}
    parts |= {name: [name] for name in set(whole.species.tolist()) - set(kinds)}
    used = [element for elements in parts.values() for element in elements]
    even = all(
        element in momenta and np.ptp(trajectory.masses_amu[trajectory.indices_of(element)]) == 0
        for element in used
    )
    known = all(name in whole.formal_charges_e for name in parts)
    if trajectory.charge_current_e_A_per_ps is None or len(set(used)) < len(used) or not even or not known:
        return whole
    total = {name: sum(momenta[element] for element in elements) for name, elements in parts.items()}
    mass = {name: whole.masses_amu[whole.indices_of(name)[0]] for name in parts}
    current = sum(whole.formal_charges_e[name] * total[name] / mass[name] for name in parts)
    return replace(whole, charge_current_e_A_per_ps=current, species_momenta_amu_A_per_ps=total)


def _check_bond(bond_tc, name, atoms, longest_A):
    length = np.linalg.norm(bond_tc, axis=1)
    if length.max() > longest_A:
        frame = int(np.argmax(length > longest_A))
        raise ConfigError(
            f"{name} of atoms {atoms[0]} and {atoms[1]} breaks in frame {frame} ({length[frame]:.3g} A): a "
            "molecule that falls apart is not one ion"
        )
