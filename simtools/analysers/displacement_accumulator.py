"""Displacements from one pass over trajectories of any length: feed frames, merge replicas, read blocks."""

import copy
from dataclasses import dataclass

import numpy as np

from simtools.analysers.displacements import (
    HOP_FRACTION,
    DisplacementBlocks,
    charge_blocks,
    count_blocks,
    hop_window,
    observed_frames,
    smoothing_weights,
    travelled_A2,
)
from simtools.analysers.lag_sums import DENSE_FRAMES
from simtools.analysers.replica_sums import ReplicaSums, part_of_state
from simtools.core.errors import ConfigError, ShapeError, UnknownSpeciesError

__all__ = ["DisplacementAccumulator", "StreamedDisplacements", "stream_displacements"]

_SETTINGS = (
    "frame_interval_ps",
    "hop_length_A",
    "hop_window",
    "dense_frames",
    "mobile_species",
    "host_species",
    "species",
    "masses_amu",
)


@dataclass(frozen=True, eq=False)
class StreamedDisplacements:
    """What a `DisplacementAccumulator` knows about its replicas.

    Attributes
    ----------
    blocks : dict
        {mobile species: `DisplacementBlocks`}, for `simtools.analysers.diffusion.fit_slopes`.
    msd_tensor_A2 : dict
        {mobile species: mean of the products of displacements, shape (n_lags, 3, 3)}, Å², over ions, origins
        and replicas, at the lags of the blocks: the diagonal is the mean squared displacement along x, y, z.
    summed_A : dict
        {mobile species: one array per replica, shape (n_frames, 3)}, Å: the displacement since the first
        frame, in the frame of the host, summed over ions. Every collective quantity follows from it.
    reach_A2 : dict
        {mobile species: shape (n_replicas, n_ions)}: largest squared distance of an ion's home from its
        first one, Å².
    host_hops : dict
        {host species: lasting hops}, of those that made any.
    mean_volumes_A3 : tuple of float
        Mean volume of each replica's cell, Å³.
    """

    blocks: dict
    msd_tensor_A2: dict
    summed_A: dict
    reach_A2: dict
    host_hops: dict
    mean_volumes_A3: tuple


class DisplacementAccumulator:
    """Squared displacements of mobile species from frames in their order, in bounded memory.

    Parameters
    ----------
    species
        Species of each atom, shape (n_atoms,).
    frame_interval_ps
        Time between frames, ps.
    mobile_species
        Symbols of the species to follow.
    hop_length_A
        Distance between neighbouring sites, Å: what counts as a hop.
    host_species
        Symbols of the immobile sublattice, in whose frame displacements are measured; none leaves positions
        as they are.
    masses_amu
        Shape (n_atoms,), amu; without them all host atoms weigh the same.
    n_frames
        Frames of the shortest replica where known: hops are then averaged over the same window as
        `blocked_displacements` takes, which is shorter than half a picosecond in a run of less than 10 ps.
    dense_frames
        Frames kept at full density: see `simtools.analysers.lag_sums.LagSums`. Lags up to it use every
        origin; with half of the trajectory or more, all of them.
    start_frame, opening
        For a later piece of a trajectory, summed in another process and then given to `join`: the number of
        its first frame, and the trajectory's first chunk (`FrameChunk`), at least a hop window long.

    Raises
    ------
    ConfigError
        For a frame interval or a hop length that is not positive, no mobile species, or a later piece
        without an opening.
    UnknownSpeciesError
        For a species that is not there.

    Notes
    -----
    A thousand ions need 3 MB of positions for each doubling of the run beyond `dense_frames` (40 MB for 10⁶
    frames), about 20 MB of sums, and 24 bytes per frame and mobile species for the summed displacement. Lags
    shared with `blocked_displacements` give the same numbers: the same bits for up to 4096 origins.
    """

    def __init__(
        self,
        *,
        species,
        frame_interval_ps,
        mobile_species,
        hop_length_A,
        host_species=(),
        masses_amu=None,
        n_frames=None,
        dense_frames=DENSE_FRAMES,
        start_frame=0,
        opening=None,
    ):
        for name, value in (("frame_interval_ps", frame_interval_ps), ("hop_length_A", hop_length_A)):
            if not value > 0:
                raise ConfigError(f"{name} must be positive, got {value!r}")
        self.species = np.asarray(species, dtype=str)
        self.frame_interval_ps = float(frame_interval_ps)
        self.mobile_species, self.host_species = tuple(mobile_species), tuple(host_species)
        if not self.mobile_species:
            raise ConfigError("mobile_species must name at least one species, got none")
        self.hop_length_A, self.dense_frames = float(hop_length_A), int(dense_frames)
        self.hop_window = hop_window(self.frame_interval_ps, n_frames)
        self.masses_amu = np.ones(len(self.species)) if masses_amu is None else np.asarray(masses_amu, float)
        if self.masses_amu.shape != self.species.shape:
            raise ShapeError("masses_amu", f"({len(self.species)},)", self.masses_amu.shape)
        self._indices = {name: self._find(name) for name in (*self.mobile_species, *self.host_species)}
        self._replicas = [self._new_replica(start_frame=int(start_frame), opening=opening)]

    @property
    def n_frames(self):
        """Frames taken so far of this accumulator's own replica."""
        return self._replicas[0].n_frames

    @property
    def n_replicas(self):
        """Replicas held: its own and those merged into it."""
        return len(self._replicas)

    def update(self, chunk):
        """Take the next frames.

        Parameters
        ----------
        chunk
            With `first_frame`, `times_ps` (n,), unwrapped `positions_A` (n, n_atoms, 3) and `cells_A`
            (n, 3, 3) (`simtools.md.frames.FrameChunk`).

        Raises
        ------
        ConfigError
            If it does not begin with the frame that comes next, its times are not evenly spaced, or a
            position is not finite; nothing of it has been taken then.
        ShapeError
            If it has other atoms.
        """
        self._replicas[0].update(chunk)

    def extend(self, chunks):
        """Take contiguous chunks in turn: any cut of a trajectory gives the same bits."""
        for chunk in chunks:
            self.update(chunk)

    def join(self, other):
        """Append the next piece of the same trajectory, summed elsewhere, with the pairs across the border.

        Everything but hops is as from one pass, to rounding. Hops are counted within pieces, so that one
        under way at a border is missed; the time in which hops are sure to be seen is counted alike.

        Raises
        ------
        ConfigError
            If it was made with other settings, holds replicas, or is not the piece that comes next.
        """
        self._check_settings(other, "join")
        if other.n_replicas > 1 or self.n_replicas > 1:
            raise ConfigError("cannot join replicas: join the pieces of each, then merge")
        self._replicas[0].join(copy.deepcopy(other._replicas[0]))

    def merge(self, other):
        """Add the replicas of another accumulator, from another run or process.

        Raises
        ------
        ConfigError
            If it was made with other settings: they are named.
        """
        self._check_settings(other, "merge")
        self._replicas.extend(copy.deepcopy(other._replicas))

    def result(self):
        """Return `StreamedDisplacements` of all replicas so far; more frames may follow.

        Raises
        ------
        ConfigError
            For fewer than eight frames in a replica, or a later piece that was not joined to the first.
        """
        late = [item.start_frame for item in self._replicas if item.start_frame]
        if late:
            raise ConfigError(f"a piece from frame {late[0]} has no result of its own: join it to the first")
        frames = np.array([item.n_frames for item in self._replicas], dtype=float)
        blocks, tensors, summed, reach = {}, {}, {}, {}
        for name in self.mobile_species:
            summed[name] = tuple(np.concatenate([*item.summed[name]]) for item in self._replicas)
            blocks[name], tensors[name] = self._blocks(name, frames, summed[name])
            reach[name] = np.array([item.hops[name].reach_A2_n for item in self._replicas])
        hops = {
            name: sum(int(item.hops[name].hops_n.sum()) for item in self._replicas)
            for name in self.host_species
        }
        return StreamedDisplacements(
            blocks=blocks,
            msd_tensor_A2=tensors,
            summed_A=summed,
            reach_A2=reach,
            host_hops={name: count for name, count in hops.items() if count},
            mean_volumes_A3=tuple(item.volume_sum / item.n_frames for item in self._replicas),
        )

    def get_state(self):
        """Return everything that is kept as {name: array}, fit for an npz or HDF5 file."""
        state = {name: np.asarray(getattr(self, name)) for name in _SETTINGS}
        state["n_replicas"] = np.array(self.n_replicas)
        for number, item in enumerate(self._replicas):
            state |= {f"replica{number}/{name}": value for name, value in item.get_state().items()}
        return state

    def set_state(self, state):
        """Go on from what `get_state` returned.

        Raises
        ------
        ConfigError
            If it comes from an accumulator with other settings: they are named.
        """
        for name in _SETTINGS:
            mine, theirs = np.asarray(getattr(self, name)), np.asarray(state[name])
            # an empty tuple of names has no type of its own
            if mine.size + theirs.size and not np.array_equal(mine, theirs):
                raise ConfigError(f"the saved state has another {name}: {theirs}, not {mine}")
        self._replicas = []
        for number in range(int(state["n_replicas"])):
            item = self._new_replica()
            item.set_state(part_of_state(state, f"replica{number}/"))
            self._replicas.append(item)

    def _check_settings(self, other, what):
        for name in _SETTINGS:
            mine, theirs = getattr(self, name), getattr(other, name)
            if not np.array_equal(mine, theirs):
                raise ConfigError(f"cannot {what} accumulators with different {name}: {mine} and {theirs}")

    def _find(self, name):
        indices = np.flatnonzero(self.species == name)
        if len(indices) == 0:
            raise UnknownSpeciesError(name, sorted(set(self.species.tolist())))
        return indices

    def _new_replica(self, **piece):
        return ReplicaSums(
            self._indices,
            self.mobile_species,
            self.host_species,
            self.masses_amu,
            frame_interval_ps=self.frame_interval_ps,
            window=self.hop_window,
            threshold_A=HOP_FRACTION * self.hop_length_A,
            dense_frames=self.dense_frames,
            **piece,
        )

    def _blocks(self, name, frames, summed):
        """Return (`DisplacementBlocks`, tensor) of one species."""
        shortest, n_ions = int(frames.min()), len(self._indices[name])
        n_blocks = count_blocks(shortest)
        smoothing = smoothing_weights(self.frame_interval_ps, shortest)
        tracer, charge, smooth, quartic, tensor = [], [], [], [], []
        for item, summed_tc in zip(self._replicas, summed, strict=True):
            results = [part for part in item.lags[name].results() if 2 * part.lag <= shortest]
            lags = np.array([part.lag for part in results])
            tracer.append(np.array([_block_means(part, n_blocks, n_ions) for part in results]).T)
            totals_kq = np.array([part.totals_q / (part.n_starts * n_ions) for part in results])
            tensor.append(totals_kq[:, [[1, 6, 5], [6, 2, 4], [5, 4, 3]]])
            quartic.append(totals_kq[:, 7])
            charge_bk, smooth_bk = charge_blocks(summed_tc, n_ions, lags, n_blocks, smoothing)
            charge.append(charge_bk)
            smooth.append(smooth_bk)
        hops = [item.hops[name] for item in self._replicas]
        blocks = DisplacementBlocks(
            lags=lags,
            frame_interval_ps=self.frame_interval_ps,
            n_frames=tuple(int(count) for count in frames),
            n_ions=n_ions,
            tracer_rbk=np.array(tracer),
            charge_rbk=np.array(charge),
            smooth_charge_rbk=np.array(smooth),
            smoothing=smoothing,
            quartic_k=frames @ np.array(quartic) / frames.sum(),
            n_hops=sum(int(item.hops_n.sum()) for item in hops),
            n_travelled=sum(int((item.reach_A2_n > travelled_A2(self.hop_length_A)).sum()) for item in hops),
            hop_window=self.hop_window,
            observed_frames=sum(
                observed_frames(item.piece_lengths, self.hop_window) for item in self._replicas
            ),
        )
        return blocks, np.tensordot(frames, np.array(tensor), axes=1) / frames.sum()


def stream_displacements(
    sources, *, mobile_species, hop_length_A, host_species=(), frames_per_chunk=256, dense_frames=DENSE_FRAMES
):
    """Return `StreamedDisplacements` of replicas, each read once in chunks.

    Parameters
    ----------
    sources
        One per replica, with `species`, `frame_interval_ps`, `masses_amu`, `n_frames` (None where unknown)
        and `chunks(n)` (`simtools.md.frames.FrameSource` or a `Trajectory`).
    mobile_species, hop_length_A, host_species, dense_frames
        As for `DisplacementAccumulator`.
    frames_per_chunk
        Frames read at once.

    Raises
    ------
    ConfigError
        For no source, sources of different ions or frame intervals, or frames that do not follow each other.
    """
    sources = tuple(sources)
    if not sources:
        raise ConfigError("stream_displacements needs at least one source, got none")
    counts = [item.n_frames for item in sources]
    merged = None
    for source in sources:
        accumulator = DisplacementAccumulator(
            species=source.species,
            # file formats round the interval: replicas that agree to 1e-6 count as sampled alike
            frame_interval_ps=_same_interval(source.frame_interval_ps, sources[0].frame_interval_ps),
            mobile_species=mobile_species,
            hop_length_A=hop_length_A,
            host_species=host_species,
            masses_amu=source.masses_amu,
            n_frames=None if None in counts else min(counts),
            dense_frames=dense_frames,
        )
        accumulator.extend(source.chunks(frames_per_chunk))
        if merged is None:
            merged = accumulator
        else:
            merged.merge(accumulator)
    return merged.result()


def _same_interval(interval_ps, first_ps):
    return first_ps if np.isclose(interval_ps, first_ps, rtol=1e-6, atol=0) else interval_ps


def _block_means(part, n_blocks, n_ions):
    sums_b, starts_b = part.block_sums(n_blocks)
    return sums_b / (starts_b * n_ions)
