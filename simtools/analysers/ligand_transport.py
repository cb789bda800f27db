"""How far ligands get, rotation left out: hydrogen stays with its oxygen, or it travels."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from simtools.analysers.molecules import Molecules
from simtools.analysers.transport import TransportResult, analyse_transport
from simtools.core.errors import ConfigError
from simtools.core.periodic import minimum_image
from simtools.md.trajectory import Trajectory

__all__ = ["ligand_transport"]


def ligand_transport(
    trajectories: Sequence[Trajectory],
    molecules: Sequence[Molecules],
    *,
    ligand: str,
    temperature_K: float,
    host_species: Sequence[str],
) -> TransportResult:
    """Return the long-range transport of ligands: hydrogen of hydroxide, from place to place of its oxygen.

    A ligand whose bond stays whole has the displacement of its centre, without the rotation, whose square is
    bounded and which no slope contains. One that changes its centre or comes off has its own.

    Parameters
    ----------
    trajectories
        Replicas, unwrapped.
    molecules
        From `find_molecules` of each, those that break among them.
    ligand
        Symbol of the ligand, for example ``"H"``.
    temperature_K
        Temperature, K.
    host_species
        Symbols in whose frame ligands move, for example ``("O", "Cl")``.

    Returns
    -------
    TransportResult
        Its tracer diffusivity is a 95 % upper limit where fewer than five lasting hops to the place of
        another centre were seen. Hops are as long as the usual distance between centres.

    Raises
    ------
    ConfigError
        As `analyse_transport` does; also for a ligand that is in no molecule, or a single centre.

    Notes
    -----
    Limit: molecules that rotate on their sites give a limit, however fast they do.
    """
    carried = [
        _carried(trajectory, found, ligand) for trajectory, found in zip(trajectories, molecules, strict=True)
    ]
    return analyse_transport(
        carried,
        species=ligand,
        hop_length_A=_between_centres_A(trajectories[0], molecules[0]),
        temperature_K=temperature_K,
        host_species=tuple(host_species),
    )


def _carried(trajectory, molecules, ligand):
    """Return the trajectory with every ligand that stays bound at the place of its centre."""
    bound = molecules.ligands[trajectory.species[molecules.ligands] == ligand]
    if len(bound) == 0:
        raise ConfigError(f"no {ligand} is bound in {molecules.name}")
    broken = {change.ligand for change in molecules.changes}
    positions = trajectory.positions_A.copy()
    centres = np.repeat(molecules.centres, molecules.n_ligands)
    for centre, atom in zip(centres, molecules.ligands.ravel(), strict=True):
        if atom not in broken:
            positions[:, atom] = trajectory.positions_A[:, centre]
    return replace(trajectory, positions_A=positions, lattice_sites=None, formal_charges_e={})


def _between_centres_A(trajectory, molecules):
    """Return the usual distance from a centre to the nearest other one of its element, first frame, Å."""
    symbol = trajectory.species[molecules.centres[0]]
    places = trajectory.positions_A[0, trajectory.indices_of(symbol)]
    if len(places) < 2:
        raise ConfigError(f"a single {symbol} leaves no place to hop to")
    cell = trajectory.cells_A if trajectory.cells_A.ndim == 2 else trajectory.cells_A[0]
    lengths = np.linalg.norm(minimum_image(places[:, None] - places[None], cell), axis=-1)
    np.fill_diagonal(lengths, np.inf)
    return float(np.median(lengths.min(axis=1)))
