"""One run while its frames arrive: checks, frame of the host, and the sums of each species."""

from dataclasses import replace

import numpy as np

from simtools.analysers.kernels.streams import weighted_sums
from simtools.analysers.lag_sums import HopCounter, LagSums
from simtools.core.errors import ConfigError, ShapeError

__all__ = ["ReplicaSums", "part_of_state"]

_TIME_TOLERANCE = 0.01
_SINGLE_PRECISION = 2.0**-22
_FEW_PIECES = 4096


class ReplicaSums:
    """The sums of one run, in the frame of its host; frames are taken in their order, each once.

    Parameters
    ----------
    indices
        {species: atom indices} of the mobile and the host species.
    mobile, host
        Symbols.
    masses_amu
        Shape (n_atoms,), amu.
    frame_interval_ps
        Time between frames, ps.
    window, threshold_A
        As for `HopCounter`.
    dense_frames
        As for `LagSums`.
    start_frame, opening
        For a later piece of a run: the number of its first frame, and a chunk with at least the first
        `window` frames of the run, from which displacements count.
    """

    def __init__(
        self,
        indices,
        mobile,
        host,
        masses_amu,
        *,
        frame_interval_ps,
        window,
        threshold_A,
        dense_frames,
        start_frame=0,
        opening=None,
    ):
        self.indices, self.mobile = indices, mobile
        self.n_atoms, self.frame_interval_ps = len(masses_amu), frame_interval_ps
        self.host = np.concatenate([indices[name] for name in host]) if host else np.zeros(0, dtype=int)
        self.host_weights = masses_amu[self.host] / masses_amu[self.host].sum() if host else np.zeros(0)
        self.start_frame = self.n_frames = start_frame
        self.first_time_ps, self.last_time_ps, self.volume_sum, self.first_A = 0.0, 0.0, 0.0, None
        self.borders = []
        self.lags = {
            name: LagSums(len(indices[name]), dense_frames=dense_frames, start_frame=start_frame)
            for name in mobile
        }
        hopping = {"window": window, "threshold_A": threshold_A}
        self.hops = {name: HopCounter(len(items), **hopping) for name, items in indices.items()}
        self.summed = {name: [] for name in mobile}
        if start_frame:
            begun = ReplicaSums(
                indices,
                mobile,
                host,
                masses_amu,
                frame_interval_ps=frame_interval_ps,
                dense_frames=dense_frames,
                **hopping,
            )
            begun.update(_first_frames(opening, window))
            self.first_A = begun.first_A
            hopping["start_frame"] = start_frame
            self.hops = {
                name: HopCounter(len(items), first_homes_A=begun.hops[name].first_homes_A, **hopping)
                for name, items in indices.items()
            }

    @property
    def piece_lengths(self):
        """Frames of each piece in which hops were counted on their own."""
        return np.diff([self.start_frame, *self.borders, self.n_frames]).tolist()

    def update(self, chunk):
        """Take the next chunk; nothing of one that does not fit is taken."""
        positions = np.asarray(chunk.positions_A, dtype=float)
        times = np.asarray(chunk.times_ps, dtype=float)
        self._check(chunk.first_frame, positions, times)
        if len(positions) == 0:
            return
        if self.first_A is None:
            self.first_A = positions[0].copy()
        if self.n_frames == self.start_frame:
            self.first_time_ps = float(times[0])
        volumes = np.abs(np.linalg.det(np.asarray(chunk.cells_A, dtype=float)))
        self.volume_sum = float(np.cumsum(np.append(self.volume_sum, volumes))[-1])
        drift_tc = np.zeros((len(positions), 3))
        if len(self.host):
            weighted_sums(
                np.ascontiguousarray(positions[:, self.host]),
                self.first_A[self.host],
                self.host_weights,
                drift_tc,
            )
        for name, indices in self.indices.items():
            r_tnc = np.ascontiguousarray(positions[:, indices])
            r_tnc -= drift_tc[:, None, :]
            self.hops[name].update(r_tnc)
            if name in self.mobile:
                self.lags[name].update(r_tnc)
                summed_tc = np.empty_like(drift_tc)
                weighted_sums(r_tnc, self.first_A[indices], np.ones(len(indices)), summed_tc)
                self.summed[name].append(summed_tc)
                if len(self.summed[name]) > _FEW_PIECES:
                    self.summed[name] = [np.concatenate(self.summed[name])]
        self.n_frames += len(positions)
        self.last_time_ps = float(times[-1])

    def join(self, other):
        """Append the next piece of the same run.

        Raises
        ------
        ConfigError
            If it does not begin where this one ends; nothing of it has been taken then.
        """
        if self.start_frame or other.start_frame != self.n_frames:
            raise ConfigError(
                f"pieces must be joined in their order onto the one that begins with frame 0: frame "
                f"{self.n_frames} comes next, got a piece from frame {other.start_frame}"
            )
        if other.n_frames == other.start_frame:
            return
        if not np.array_equal(self.first_A, other.first_A):
            raise ConfigError("cannot join pieces of different runs: their first frames differ")
        gap_ps = other.first_time_ps - self.last_time_ps
        tolerance_ps = _TIME_TOLERANCE * self.frame_interval_ps + _SINGLE_PRECISION * abs(self.last_time_ps)
        if not abs(gap_ps - self.frame_interval_ps) <= tolerance_ps:
            raise ConfigError(
                f"a piece from {other.first_time_ps:g} ps on follows {self.last_time_ps:g} ps, expected a "
                f"frame every {self.frame_interval_ps:g} ps"
            )
        self.borders += [self.n_frames, *other.borders]
        for name in self.hops:
            self.hops[name].join(other.hops[name])
        for name in self.lags:
            self.lags[name].join(other.lags[name])
            self.summed[name] = [*self.summed[name], *other.summed[name]]
        self.volume_sum += other.volume_sum
        self.n_frames, self.last_time_ps = other.n_frames, other.last_time_ps

    def get_state(self):
        """Return everything that is kept, as {name: array}."""
        state = {
            "start_frame": np.array(self.start_frame),
            "borders": np.array(self.borders, dtype=np.int64),
            "first_time_ps": np.array(self.first_time_ps),
            "n_frames": np.array(self.n_frames),
            "last_time_ps": np.array(self.last_time_ps),
            "volume_sum": np.array(self.volume_sum),
            "first_A": np.zeros((0, 3)) if self.first_A is None else self.first_A.copy(),
        }
        for name, item in self.hops.items():
            state |= {f"{name}/hops/{key}": value for key, value in item.get_state().items()}
        for name, item in self.lags.items():
            state |= {f"{name}/lags/{key}": value for key, value in item.get_state().items()}
            state[f"{name}/summed"] = np.concatenate([np.zeros((0, 3)), *self.summed[name]])
        return state

    def set_state(self, state):
        """Go on from what `get_state` returned."""
        self.n_frames, self.volume_sum = int(state["n_frames"]), float(state["volume_sum"])
        self.start_frame, self.borders = int(state["start_frame"]), state["borders"].tolist()
        self.first_time_ps, self.last_time_ps = float(state["first_time_ps"]), float(state["last_time_ps"])
        self.first_A = np.array(state["first_A"]) if len(state["first_A"]) else None
        for name, item in self.hops.items():
            item.set_state(part_of_state(state, f"{name}/hops/"))
        for name, item in self.lags.items():
            item.set_state(part_of_state(state, f"{name}/lags/"))
            self.summed[name] = [np.array(state[f"{name}/summed"])]

    def _check(self, first_frame, positions, times):
        if first_frame != self.n_frames:
            raise ConfigError(
                f"chunk begins with frame {first_frame}, but frame {self.n_frames} comes next: feed chunks "
                "in order, each once"
            )
        if positions.shape[1:] != (self.n_atoms, 3) or len(times) != len(positions):
            raise ShapeError("positions_A", f"({len(times)}, {self.n_atoms}, 3)", positions.shape)
        begins = self.n_frames == self.start_frame
        before = times[:1] - self.frame_interval_ps if begins else [self.last_time_ps]
        expected = np.concatenate([before, times])[:-1] + self.frame_interval_ps
        tolerance_ps = _TIME_TOLERANCE * self.frame_interval_ps + _SINGLE_PRECISION * np.abs(times)
        wrong = np.flatnonzero(~(np.abs(times - expected) <= tolerance_ps))
        if len(wrong):
            t = int(wrong[0])
            raise ConfigError(
                f"frame {first_frame + t} has the time {times[t]:g} ps, expected {expected[t]:g} ps for a "
                f"frame every {self.frame_interval_ps:g} ps: frames must be evenly spaced"
            )
        if not np.isfinite(positions).all():
            t = int(np.argwhere(~np.isfinite(positions))[0, 0])
            raise ConfigError(f"frame {first_frame + t} holds a position that is not finite")


def _first_frames(opening, n_frames):
    """Return the part of a chunk that hops take their first homes from."""
    if opening is None or opening.first_frame or len(opening.positions_A) < n_frames:
        raise ConfigError(
            f"a piece that begins later needs the opening of its run: at least {n_frames} frames from frame 0"
        )
    return replace(
        opening,
        times_ps=opening.times_ps[:n_frames],
        positions_A=opening.positions_A[:n_frames],
        cells_A=opening.cells_A[:n_frames],
    )


def part_of_state(state, prefix):
    """Return the entries of a saved state whose names begin with `prefix`, without it."""
    return {name[len(prefix) :]: state[name] for name in state if name.startswith(prefix)}
