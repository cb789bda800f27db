"""How far wrapped positions may step between two frames: half a hop, and never half the cell."""

import numpy as np

from simtools.core.errors import ConfigError
from simtools.core.periodic import minimum_image
from simtools.md.formats.raw import DamagedFileError

__all__ = ["AVERAGED_PS", "StepLimit", "neighbour_distance_A"]

AVERAGED_PS = 1.0
_BLOCK = 64


class StepLimit:
    """Refuses, or counts, the steps of wrapped positions that are long for what they are.

    Beyond half the shortest height of the cell a step has an image that is shorter: always refused. Beyond
    half a hop an ion is closer to a neighbour's place than to its own, and only the order of the list says
    that it is not the neighbour: refused, or counted where long steps are allowed.

    Parameters
    ----------
    half_height_A
        Half of the shortest height of the reduced cell, Å.
    hop_length_A
        Distance between neighbouring sites, Å: one number for all atoms, or {species: number} for those whose
        steps are looked at; None for none.
    allow
        Whether steps beyond half a hop are counted rather than refused.
    interval_ps
        Time between frames, ps.
    """

    def __init__(self, half_height_A, hop_length_A, *, allow, interval_ps):
        self.half_height_A, self.hop_length_A = half_height_A, hop_length_A
        self.allow, self.interval_ps = allow, interval_ps
        self.found, self._limits_A = {}, None

    def check(self, place, symbols, steps_A):
        """Hold the steps of one frame, shape (n_atoms,), against the limits; names file, frame and atom."""
        k = int(np.argmax(steps_A))
        if steps_A[k] > self.half_height_A:
            raise DamagedFileError(
                *place,
                f"{self._step(k, symbols, steps_A)}, expected at most half of the cell's shortest height, "
                f"{self.half_height_A:.3g} A: wrapped positions cannot tell it from its images; write "
                "unwrapped positions or image flags, or dump more often",
            )
        if self.hop_length_A is None:
            return
        if self._limits_A is None:
            hops = self.hop_length_A
            lengths = [
                hops.get(name, np.inf) if isinstance(hops, dict) else hops for name in symbols.tolist()
            ]
            self._limits_A = 0.5 * np.array(lengths, dtype=float)
        long = np.flatnonzero(steps_A > self._limits_A)
        if not len(long):
            return
        k = int(long[np.argmax(steps_A[long])])
        if not self.allow:
            raise DamagedFileError(
                *place,
                f"{self._step(k, symbols, steps_A)}, expected at most half of the hop length, "
                f"{self._limits_A[k]:.3g} A: too long for wrapped positions; write unwrapped positions or "
                "image flags (LAMMPS: xu yu zu, ix iy iz), dump more often, or take the shortest image on "
                "trust with allow_long_steps (--allow-long-steps)",
            )
        for name in sorted(set(symbols[long].tolist())):
            mine = long[symbols[long] == name]
            k = int(mine[np.argmax(steps_A[mine])])
            count, longest_A, where = self.found.get(name, (0, 0.0, None))
            if steps_A[k] > longest_A:
                longest_A, where = float(steps_A[k]), (*place, k + 1)
            self.found[name] = (count + len(mine), longest_A, where)

    def notes(self):
        """Return one warning for each species whose long steps were counted."""
        notes = []
        for name, (count, longest_A, (path, frame, atom)) in self.found.items():
            hop_A = self.hop_length_A[name] if isinstance(self.hop_length_A, dict) else self.hop_length_A
            steps = "1 step exceeds" if count == 1 else f"{count} steps exceed"
            notes.append(
                f"{name}, wrapped positions: {steps} half of the hop length ({0.5 * hop_A:.3g} A) in "
                f"{self.interval_ps:g} ps, at most {longest_A:.3g} A ({path}, frame {frame}, atom {atom}); "
                f"the shortest image was taken, half of the cell's height is {self.half_height_A:.3g} A"
            )
        return notes

    def _step(self, k, symbols, steps_A):
        return f"atom {k + 1} ({symbols[k]}) steps {steps_A[k]:.3g} A in {self.interval_ps:g} ps"


def neighbour_distance_A(trajectory, species):
    """Return the usual distance from an ion to its nearest neighbour of the same species, Å.

    The median over ions, with positions averaged over the first picosecond: the distance between sites where
    most of them are occupied, and too large where most are empty.

    Parameters
    ----------
    trajectory
        A `Trajectory`; its first picosecond is enough.
    species
        Symbol of the ions.

    Raises
    ------
    ConfigError
        For a single ion.
    """
    if trajectory.n_of(species) < 2:
        raise ConfigError(
            f"one ion {species} has no neighbour of its kind: give the hop length (--hop-length)"
        )
    n_frames = min(trajectory.n_frames, 1 + int(AVERAGED_PS / trajectory.frame_interval_ps))
    places = trajectory.positions_A[:n_frames, trajectory.indices_of(species)].mean(axis=0)
    cell = trajectory.cells_A if trajectory.cells_A.ndim == 2 else trajectory.cells_A[:n_frames].mean(axis=0)
    nearest = []
    for start in range(0, len(places), _BLOCK):
        block = places[start : start + _BLOCK]
        distances = np.linalg.norm(minimum_image(places[None] - block[:, None], cell), axis=-1)
        distances[np.arange(len(block)), start + np.arange(len(block))] = np.inf
        nearest += distances.min(axis=1).tolist()
    return float(np.median(nearest))
