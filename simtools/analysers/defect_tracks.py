"""Vacancies and dumbbells followed from birth to death. How they diffuse: defect_diffusion.py."""

from dataclasses import dataclass

import numpy as np

from simtools.analysers.defect_ledger import DUMBBELL, VACANCY, Ledger
from simtools.analysers.jumps import SHORTEST_STAY_PS
from simtools.analysers.kernels import jumps as kernels
from simtools.analysers.site_assignment import check_on_sites
from simtools.analysers.sites import ions_on_sites
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Result, quantity
from simtools.md.trajectory import Trajectory

__all__ = ["DUMBBELL", "VACANCY", "DefectTracks", "follow_defects"]

NEARER = 0.75
"""An ion goes over to another site once its distance to it is below this share of the distance to its own. An
ion of a dumbbell at rest, 0.35 spacings from its site, has 0.54; one halfway between two sites has 1."""


@dataclass(frozen=True, eq=False, kw_only=True)
class DefectTracks(Result):
    """Every vacancy and dumbbell of one sublattice, from birth to death.

    A dumbbell is two ions that share a site; three on one site count as two dumbbells. In every frame
    vacancies less dumbbells are sites less ions.

    Attributes
    ----------
    n_sites, n_ions : int
        Of the sublattice, foreign ions on it included.
    kinds : ndarray of str
        "vacancy" or "dumbbell", shape (n_defects,).
    first_sites : ndarray of int
        Where each defect began, index into `lattice_sites`.
    born_ps, gone_ps
        First and last time of each defect; a defect that was there from the start, or is at the end, has
        those of the trajectory.
    annihilated : ndarray of bool
        Whether it met its opposite: False for those that were there at the end.
    jump_defects, jump_ps, jump_from, jump_to, jump_vectors_A, jump_ions
        Every jump of a defect, in order of defect and time: which, when, sites, vector in the mean cell, and
        how many ions changed sites in it. The vector is that of the defect; a vacancy goes against its ion.
    times_ps, n_vacancies, n_dumbbells
        How many there were in each frame.
    n_pairs_created, n_pairs_annihilated : int
        Frenkel pairs that lived longer than `shortest_stay_ps`, and meetings of opposites.
    n_transient_pairs, n_concerted : int
        Pairs that came and went within `shortest_stay_ps`, which are no defects; and jumps in which two or
        more ions followed each other so fast that such a pair lay on the way.
    stay_defects, stay_ps, stay_axes, stay_separations_A, stay_alignments
        For each dumbbell and each stretch of time on one site: which one, first and last time, the mean axis
        between its ions (the direction with the largest mean squared cosine, which is the alignment: 1 for a
        fixed axis, 1/3 for one in all directions alike) and their mean distance.
    """

    species: str
    n_sites: int
    n_ions: int
    kinds: np.ndarray
    first_sites: np.ndarray = quantity("1", shape="(n_defects,)")
    born_ps: np.ndarray = quantity("ps", shape="(n_defects,)")
    gone_ps: np.ndarray = quantity("ps", shape="(n_defects,)")
    annihilated: np.ndarray = quantity("1", shape="(n_defects,)")
    jump_defects: np.ndarray = quantity("1", shape="(n_jumps,)")
    jump_ps: np.ndarray = quantity("ps", shape="(n_jumps,)")
    jump_from: np.ndarray = quantity("1", shape="(n_jumps,)")
    jump_to: np.ndarray = quantity("1", shape="(n_jumps,)")
    jump_vectors_A: np.ndarray = quantity("angstrom", shape="(n_jumps, 3)")
    jump_ions: np.ndarray = quantity("1", shape="(n_jumps,)")
    times_ps: np.ndarray = quantity("ps", shape="(n_frames,)")
    n_vacancies: np.ndarray = quantity("1", shape="(n_frames,)")
    n_dumbbells: np.ndarray = quantity("1", shape="(n_frames,)")
    n_pairs_created: int
    n_pairs_annihilated: int
    n_transient_pairs: int
    n_concerted: int
    stay_defects: np.ndarray = quantity("1", shape="(n_stays,)")
    stay_ps: np.ndarray = quantity("ps", shape="(n_stays, 2)")
    stay_axes: np.ndarray = quantity("1", shape="(n_stays, 3)")
    stay_separations_A: np.ndarray = quantity("angstrom", shape="(n_stays,)")
    stay_alignments: np.ndarray = quantity("1", shape="(n_stays,)")
    spacing_A: float = quantity("angstrom")
    shortest_stay_ps: float = quantity("ps")

    def of_kind(self, kind):
        """Return the indices of the defects of one kind."""
        if kind not in (VACANCY, DUMBBELL):
            raise ConfigError(f'kind must be "{VACANCY}" or "{DUMBBELL}", got {kind!r}')
        return np.flatnonzero(self.kinds == kind)

    def defect_time_ps(self, kind):
        """Return the life of all defects of one kind together, ps."""
        members = self.of_kind(kind)
        return float((self.gone_ps[members] - self.born_ps[members]).sum())

    def jumps_of(self, defect):
        """Return when one defect jumped, ps, and its vectors, Å, shape (n, 3)."""
        mine = self.jump_defects == defect
        return self.jump_ps[mine], self.jump_vectors_A[mine]


def follow_defects(
    trajectory: Trajectory, *, species: str, shortest_stay_ps: float = SHORTEST_STAY_PS
) -> DefectTracks:
    """Follow every vacancy and every dumbbell of a sublattice through its jumps.

    Each ion belongs to a site until it is clearly nearer to another one (0.75 times as far); a return within
    `shortest_stay_ps` undoes the change. An ion that leaves for a vacant site moves the vacancy; one that
    leaves a dumbbell for an occupied site moves the dumbbell, although three ions shift (the one that goes,
    the one that stays and the one that makes room); one that leaves a lone site for an occupied one creates
    a Frenkel pair; one that leaves a dumbbell for a vacant site ends both.

    Parameters
    ----------
    trajectory
        Unwrapped, with `lattice_sites`. There may be more ions than sites.
    species
        The species that belongs on the sites.
    shortest_stay_ps
        Time within which a return undoes a jump, and within which a pair that comes and goes is no pair, ps.

    Returns
    -------
    DefectTracks

    Raises
    ------
    UnknownSpeciesError
        If no site belongs to `species`.
    ConfigError
        If the trajectory carries no sites, or its ions are not on them.

    Notes
    -----
    Limits: vacancies less dumbbells are sites less ions in every frame; a lone vacancy makes one jump for
    each jump of an ion, in the opposite direction. Ions in interstitial positions count as in excess of the
    site they are nearest to: the tracks tell nothing about where in its cell an ion is, the axis and the
    distance of a stay do.
    """
    if not shortest_stay_ps >= 0:
        raise ConfigError(f"shortest_stay_ps must be 0 or more, got {shortest_stay_ps!r}")
    sited = ions_on_sites(trajectory, species=species)
    if len(sited.atom_indices) == 0:
        raise ConfigError(f"there are {len(sited.site_indices)} {species} sites and no ion on them to follow")
    check_on_sites(sited)
    interval_ps, n_frames = trajectory.frame_interval_ps, trajectory.n_frames
    short = shortest_stay_ps / interval_ps - 1e-9
    visits = kernels.settled_visits(
        sited.scaled_positions, sited.cells_A, sited.scaled_sites, sited.sites, NEARER
    )
    visits, _ = kernels.lasting_visits(visits, short)
    n_sites = len(sited.site_indices)
    cell = sited.cells_A.mean(axis=0)
    start = visits[visits[:, kernels.FIRST] == 0]
    ledger = Ledger(np.bincount(start[:, kernels.SITE], minlength=n_sites), short)
    for frame, jumps in _by_frame(visits, sited.scaled_sites, cell):
        ledger.jumps_of_frame(frame, jumps)
    records = ledger.records
    gone = np.array([n_frames - 1 if item.died is None else item.died for item in records], dtype=np.int64)
    born = np.array([item.born for item in records], dtype=np.int64)
    kinds = np.array([item.kind for item in records], dtype=str)
    dead = np.array([item.died is not None for item in records], dtype=bool)
    moves = [(number, *move) for number, item in enumerate(records) for move in item.moves]
    which, frames, left, entered, ions = (
        np.array([move[column] for move in moves], dtype=np.int64) for column in (0, 1, 2, 3, 5)
    )
    return DefectTracks(
        species=species,
        n_sites=n_sites,
        n_ions=len(sited.atom_indices),
        kinds=kinds,
        first_sites=sited.site_indices[np.array([item.first_site for item in records], dtype=np.int64)],
        born_ps=born * interval_ps,
        gone_ps=gone * interval_ps,
        annihilated=dead,
        jump_defects=which,
        jump_ps=frames * interval_ps,
        jump_from=sited.site_indices[left],
        jump_to=sited.site_indices[entered],
        jump_vectors_A=np.array([move[4] for move in moves]).reshape(-1, 3),
        jump_ions=ions,
        times_ps=np.arange(n_frames) * interval_ps,
        n_vacancies=_count(born, gone, dead, kinds == VACANCY, n_frames),
        n_dumbbells=_count(born, gone, dead, kinds == DUMBBELL, n_frames),
        n_pairs_created=int(((born > 0) & (kinds == VACANCY)).sum()),
        n_pairs_annihilated=int((dead & (kinds == VACANCY)).sum()),
        n_transient_pairs=ledger.n_transient,
        n_concerted=ledger.n_concerted,
        **_stays(records, visits, sited, n_frames, interval_ps),
        spacing_A=float(2 * sited.inscribed_A.mean()),
        shortest_stay_ps=float(shortest_stay_ps),
        provenance=collect_provenance(species=species, shortest_stay_ps=shortest_stay_ps),
    )


def _by_frame(visits, scaled_sites, cell):
    """Yield (frame, [(initial site, final site, vector in Å)]) in order of time."""
    follows = np.flatnonzero(visits[1:, kernels.ION] == visits[:-1, kernels.ION])
    order = follows[np.argsort(visits[follows + 1, kernels.FIRST], kind="stable")]
    before, after = visits[order], visits[order + 1]
    images = after[:, kernels.IMAGE : kernels.FIRST] - before[:, kernels.IMAGE : kernels.FIRST]
    a, b = before[:, kernels.SITE], after[:, kernels.SITE]
    vectors = (scaled_sites[b] - scaled_sites[a] + images) @ cell
    frames, starts = np.unique(after[:, kernels.FIRST], return_index=True)
    for frame, first, last in zip(frames.tolist(), starts, np.append(starts, len(order))[1:], strict=True):
        yield (
            frame,
            list(zip(a[first:last].tolist(), b[first:last].tolist(), vectors[first:last], strict=True)),
        )


def _count(born, gone, dead, members, n_frames):
    change = np.bincount(born[members], minlength=n_frames + 1)
    change -= np.bincount(gone[members & dead], minlength=n_frames + 1)
    return np.cumsum(change)[:n_frames]


def _stays(records, visits, sited, n_frames, interval_ps):
    """Return axis and separation of every stay of every dumbbell on a site."""
    by_site = np.argsort(visits[:, kernels.SITE], kind="stable")
    first_of = np.searchsorted(visits[by_site, kernels.SITE], np.arange(len(sited.scaled_sites) + 1))
    rows = []
    for number, record in enumerate(records):
        if record.kind != DUMBBELL:
            continue
        gone = n_frames if record.died is None else record.died
        starts = [record.born, *(move[0] for move in record.moves)]
        places = [record.first_site, *(move[2] for move in record.moves)]
        for site, first, last in zip(places, starts, [*starts[1:], gone], strict=True):
            here = visits[by_site[first_of[site] : first_of[site + 1]]]
            here = here[(here[:, kernels.FIRST] <= first) & (here[:, kernels.LAST] >= last - 1)]
            if last <= first or len(here) < 2:
                continue
            one, two = (
                sited.scaled_positions[first:last, visit[kernels.ION]] - visit[kernels.IMAGE : kernels.FIRST]
                for visit in here[:2]
            )
            cells = sited.cells_A if len(sited.cells_A) == 1 else sited.cells_A[first:last]
            apart = ((two - one)[:, None, :] @ cells)[:, 0]
            length = np.linalg.norm(apart, axis=1)
            if not (length > 0).all():
                continue
            unit = apart / length[:, None]
            squares, axes = np.linalg.eigh(unit.T @ unit / len(unit))
            rows.append((number, first, last - 1, axes[:, -1], length.mean(), squares[-1]))
    return {
        "stay_defects": np.array([row[0] for row in rows], dtype=np.int64),
        "stay_ps": np.array([row[1:3] for row in rows], dtype=float).reshape(-1, 2) * interval_ps,
        "stay_axes": np.array([_upright(row[3]) for row in rows]).reshape(-1, 3),
        "stay_separations_A": np.array([row[4] for row in rows], dtype=float),
        "stay_alignments": np.array([row[5] for row in rows], dtype=float),
    }


def _upright(axis):
    """Return the axis or its opposite, whichever has its largest component positive."""
    return axis * np.sign(axis[np.argmax(np.abs(axis))])
