"""Squared displacements of one species while its frames arrive: what is kept does not grow with the run."""

from dataclasses import dataclass

import numpy as np

from simtools.analysers.kernels import streams as kernels
from simtools.core.errors import ConfigError

__all__ = ["DENSE_FRAMES", "HopCounter", "LagSums", "SquareSums", "geometric_lags"]

LAGS_PER_OCTAVE = 3
DENSE_FRAMES = 128
_FEWEST_DENSE_FRAMES = 64
_SEGMENTS = 4096


def geometric_lags(longest):
    """Return lags in frames, three per octave, from 1 to at most `longest`."""
    steps = np.arange(int(LAGS_PER_OCTAVE * np.log2(max(1, longest))) + 1) / LAGS_PER_OCTAVE
    return np.unique(np.rint(2.0**steps)).astype(np.int64)


@dataclass(frozen=True, eq=False)
class SquareSums:
    """Sums over ions and origins at one lag.

    Attributes
    ----------
    lag : int
        In frames.
    stride : int
        Every `stride`-th frame was an origin.
    n_starts : int
        Origins seen.
    length : int
        Origins in one segment.
    sums_sq : ndarray
        Shape (n_segments, 8): the square, its xx, yy, zz, yz, xz and xy parts (Å²) and the fourth power (Å⁴).
    """

    lag: int
    stride: int
    n_starts: int
    length: int
    sums_sq: np.ndarray

    @property
    def totals_q(self):
        """Sums over everything, shape (8,)."""
        return np.array([kernels.ordered_sum(np.ascontiguousarray(column)) for column in self.sums_sq.T])

    def block_sums(self, n_blocks):
        """Return sums and origins of the square displacement in equal blocks of time, each (n_blocks,).

        Where segments hold one origin, blocks are whole numbers of origins. Where they hold more, a segment
        that lies across two blocks is shared between them in proportion.
        """
        squares_s = np.ascontiguousarray(self.sums_sq[:, 0])
        edges = np.arange(n_blocks + 1)
        if self.length == 1:
            sums_b = np.empty(n_blocks)
            kernels.block_sums(squares_s, n_blocks, sums_b)
            return sums_b, np.diff(edges * self.n_starts // n_blocks)
        edges = edges * self.n_starts / n_blocks
        borders = np.minimum(np.arange(len(squares_s) + 1) * self.length, self.n_starts)
        running = np.concatenate([[0.0], np.cumsum(squares_s)])
        return np.diff(np.interp(edges, borders, running)), np.diff(edges)


class LagSums:
    """Squared displacements of one species over a geometric grid of lags, from frames in their order.

    Parameters
    ----------
    n_ions
        Number of ions.
    dense_frames
        Frames kept at full density, a power of two of at least 64. Every frame is an origin for lags up to
        it; from there on every second one up to twice that lag, every fourth up to four times, and so on:
        frames are left out, never averaged, and a lag has at least half as many origins as dense frames.
    start_frame
        Number of the first frame: that of a later piece of a trajectory, to be joined to the one before.

    Notes
    -----
    Kept are `dense_frames` positions for each doubling of the lag and 4096 sums over segments of origins for
    each lag. The order of each sum depends on frame numbers only, so chunks of any size give the same bits.
    """

    def __init__(self, n_ions, *, dense_frames=DENSE_FRAMES, start_frame=0):
        if dense_frames < _FEWEST_DENSE_FRAMES or dense_frames & (dense_frames - 1):
            raise ConfigError(
                f"dense_frames must be a power of two from {_FEWEST_DENSE_FRAMES} up, got {dense_frames!r}"
            )
        self.n_ions, self.dense_frames, self.start_frame = n_ions, dense_frames, start_frame
        self.n_frames = start_frame
        self._heads, self._rings, self._lags, self._sums, self._lengths, self._starts = [], [], [], [], [], []
        self._add_level()
        while start_frame > self._next_level_at:
            self._add_level()

    def update(self, r_tnc):
        """Take the next frames: positions, float64, shape (n, n_ions, 3), Å."""
        done, n = 0, len(r_tnc)
        while done < n:
            if self.n_frames == self._next_level_at:
                self._add_level()
                continue
            upto = min(n, done + self._next_level_at - self.n_frames)
            piece = r_tnc[done:upto]
            for level in range(len(self._rings)):
                kernels.advance_lags(
                    piece,
                    self.n_frames,
                    1 << level,
                    self._first_kept(level),
                    self._rings[level],
                    self._lags[level],
                    self._sums[level],
                    self._lengths[level],
                    self._starts[level],
                )
                self._keep_head(piece, level)
            self.n_frames += upto - done
            done = upto

    def join(self, other):
        """Append the sums of the next piece of the same trajectory, adding the pairs across the border.

        The frames that both keep are all that these pairs need: the sums are those of one pass, to the
        rounding of one segment of origins (the same bits while a segment holds one).
        """
        while len(self._rings) < len(other._rings):
            self._add_level()
        for level in range(len(other._rings)):
            first_u, n_ring = other._first_kept(level), self.dense_frames
            sums, lengths, starts = self._sums[level], self._lengths[level], self._starts[level]
            head_unc = other._heads[level]
            kernels.join_lags(
                head_unc,
                first_u,
                self._first_kept(level),
                self._rings[level],
                self._lags[level],
                sums,
                lengths,
                starts,
            )
            for j in np.flatnonzero(other._starts[level]):
                while lengths[j] < other._lengths[level][j]:
                    kernels.fold_segments(sums[j])
                    lengths[j] *= 2
                sums[j] += other._sums[level][j]
                starts[j] += other._starts[level][j]
            end_u = -(-other.n_frames >> level)
            slots = np.arange(max(first_u, end_u - n_ring), end_u) % n_ring
            self._rings[level][slots] = other._rings[level][slots]
        self.n_frames = other.n_frames

    def results(self):
        """Return one `SquareSums` for each lag that has been seen, shortest first."""
        return [
            SquareSums(
                lag=int(lag) << level,
                stride=1 << level,
                n_starts=int(starts),
                length=int(length),
                sums_sq=sums_sq[: -(-int(starts) // int(length))],
            )
            for level in range(len(self._rings))
            for lag, sums_sq, length, starts in zip(
                self._lags[level], self._sums[level], self._lengths[level], self._starts[level], strict=True
            )
            if starts
        ]

    def get_state(self):
        """Return everything that is kept, as {name: array}."""
        state = {"n_frames": np.array(self.n_frames), "n_levels": np.array(len(self._rings))}
        for level in range(len(self._rings)):
            # segments that were never reached are left out
            ends = self._first_kept(level) + self._starts[level]
            used = min(_SEGMENTS, int((-(-ends // self._lengths[level])).max(initial=0)))
            state[f"level{level}/ring"] = self._rings[level].copy()
            state[f"level{level}/sums"] = self._sums[level][:, :used].copy()
            state[f"level{level}/lengths"] = self._lengths[level].copy()
            state[f"level{level}/starts"] = self._starts[level].copy()
            state[f"level{level}/head"] = self._heads[level].copy()
        state["start_frame"] = np.array(self.start_frame)
        return state

    def set_state(self, state):
        """Go on from what `get_state` returned."""
        start_frame = int(state["start_frame"])
        self.__init__(self.n_ions, dense_frames=self.dense_frames, start_frame=start_frame)
        while len(self._rings) < int(state["n_levels"]):
            self._add_level()
        for level in range(len(self._rings)):
            sums = state[f"level{level}/sums"]
            self._rings[level][:] = state[f"level{level}/ring"]
            self._sums[level][:, : sums.shape[1]] = sums
            self._lengths[level][:] = state[f"level{level}/lengths"]
            self._starts[level][:] = state[f"level{level}/starts"]
            self._heads[level] = np.array(state[f"level{level}/head"])
        self.n_frames = int(state["n_frames"])

    @property
    def _next_level_at(self):
        return self.dense_frames << (len(self._rings) - 1)

    def _first_kept(self, level):
        """Return the number of the first frame of this piece at a level, in units of its stride."""
        return -(-self.start_frame >> level)

    def _keep_head(self, piece, level):
        """Keep the first frames of a later piece: the ends of pairs that begin before it."""
        missing = self.dense_frames - len(self._heads[level])
        if self.start_frame and missing:
            chosen = piece[-self.n_frames % (1 << level) :: 1 << level][:missing]
            self._heads[level] = np.concatenate([self._heads[level], chosen])

    def _add_level(self):
        """Begin to keep frames at half the density of the last level, from those it still has."""
        lags = geometric_lags(self.dense_frames)
        ring = np.zeros((self.dense_frames, self.n_ions, 3))
        head = np.zeros((0, self.n_ions, 3))
        if self._rings:
            lags = lags[lags > self.dense_frames // 2]
            ring[: self.dense_frames // 2] = self._rings[-1][::2]
            head = self._heads[-1][self._first_kept(len(self._rings) - 1) % 2 :: 2]
        self._heads.append(head)
        self._rings.append(ring)
        self._lags.append(lags)
        self._sums.append(np.zeros((len(lags), _SEGMENTS, kernels.N_SUMS)))
        self._lengths.append(np.ones(len(lags), dtype=np.int64))
        self._starts.append(np.zeros(len(lags), dtype=np.int64))


class HopCounter:
    """Lasting hops of one species while its frames arrive; the count goes on across the borders of chunks.

    Parameters
    ----------
    n_ions
        Number of ions.
    window
        Frames over which positions are averaged.
    threshold_A
        Distance that counts as a hop, Å.
    start_frame, first_homes_A
        For a later piece of a trajectory: the number of its first frame, so that windows lie where they do in
        the whole, and the homes at the trajectory's start, shape (n_ions, 3), Å.

    Attributes
    ----------
    hops_n : ndarray of int
        Hops of each ion, shape (n_ions,).
    reach_A2_n : ndarray
        Largest squared distance of a home from the first one, shape (n_ions,), Å².
    """

    def __init__(self, n_ions, *, window, threshold_A, start_frame=0, first_homes_A=None):
        self.window, self.threshold_A = window, threshold_A
        self._counters = np.zeros(2, dtype=np.int64)
        self._places = np.zeros((4, n_ions, 3))
        self._to_skip = -start_frame % window
        self._keep_first = first_homes_A is not None
        if self._keep_first:
            self._places[3] = first_homes_A
        self.hops_n = np.zeros(n_ions, dtype=np.int64)
        self.reach_A2_n = np.zeros(n_ions)

    def update(self, r_tnc):
        """Take the next frames: positions, float64, shape (n, n_ions, 3), Å."""
        skipped = min(self._to_skip, len(r_tnc))
        self._to_skip -= skipped
        kernels.advance_hops(
            r_tnc[skipped:],
            self.window,
            self.threshold_A,
            self._keep_first,
            self._counters,
            *self._places,
            self.hops_n,
            self.reach_A2_n,
        )

    @property
    def first_homes_A(self):
        """Homes at the start of the trajectory, shape (n_ions, 3), Å."""
        return self._places[3].copy()

    def join(self, other):
        """Append the count of the next piece of the same trajectory, which took its homes anew."""
        self._counters[:], self._places[:3] = other._counters, other._places[:3]
        self._to_skip = other._to_skip
        self.hops_n += other.hops_n
        np.maximum(self.reach_A2_n, other.reach_A2_n, out=self.reach_A2_n)

    def get_state(self):
        """Return everything that is kept, as {name: array}."""
        return {
            "counters": self._counters.copy(),
            "places": self._places.copy(),
            "to_skip": np.array(self._to_skip),
            "hops": self.hops_n.copy(),
            "reach": self.reach_A2_n.copy(),
        }

    def set_state(self, state):
        """Go on from what `get_state` returned."""
        self._counters[:], self._places[:] = state["counters"], state["places"]
        self._to_skip = int(state["to_skip"])
        self.hops_n[:], self.reach_A2_n[:] = state["hops"], state["reach"]
