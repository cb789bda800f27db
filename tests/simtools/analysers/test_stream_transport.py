"""Transport of a stream against that of the same trajectories in memory, and what it refuses."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from simtools.analysers.replicas import FoldedSteps
from simtools.analysers.stream_transport import stream_transport
from simtools.analysers.transport import analyse_transport
from simtools.core.errors import ConfigError
from simtools.md.frames import FrameChunk
from simtools.testing.walkers import lattice_walkers


@dataclass
class Source:
    trajectory: object
    species: np.ndarray
    drift_A: float = 0.0

    @property
    def n_frames(self):
        return self.trajectory.n_frames

    @property
    def frame_interval_ps(self):
        return self.trajectory.frame_interval_ps

    masses_amu = None

    def chunks(self, n):
        for first in range(0, self.n_frames, n):
            frames = np.arange(first, min(first + n, self.n_frames))
            yield FrameChunk(
                first_frame=first,
                times_ps=frames * self.frame_interval_ps,
                positions_A=self.trajectory.positions_A[frames] + self.drift_A * frames[:, None, None],
                cells_A=np.broadcast_to(self.trajectory.cells_A, (len(frames), 3, 3)),
            )


def walks(n_replicas, n_frames=2048):
    return [
        lattice_walkers(n_frames, 12, seed=seed, frame_interval_ps=0.1, temperature_K=700.0, volume_A3=500.0)
        for seed in range(n_replicas)
    ]


def sources_of(items, **options):
    return [Source(item, item.species, **options) for item in items]


def test_a_stream_gives_the_transport_of_the_trajectories_in_memory():
    items = walks(3)
    whole = analyse_transport(items, species="Li", hop_length_A=1.0)
    options = {"hop_length_A": 1.0, "temperature_K": 700.0, "formal_charges_e": {"Li": 1}}
    mine = stream_transport(
        sources_of(items), mobile_species=("Li",), dense_frames=1024, frames_per_chunk=100, **options
    )["Li"]
    for name in ("tracer_diffusivity_cm2_per_s", "haven_ratio", "ionic_conductivity_S_per_cm"):
        assert_allclose(getattr(mine, name).value, getattr(whole, name).value, rtol=1e-12)
        assert_allclose(getattr(mine, name).ci95, getattr(whole, name).ci95, rtol=1e-12)
    assert mine.n_hops == whole.n_hops
    assert mine.warnings == whole.warnings
    coarse = stream_transport(sources_of(items), mobile_species=("Li",), dense_frames=64, **options)["Li"]
    assert_allclose(
        coarse.tracer_diffusivity_cm2_per_s.value, whole.tracer_diffusivity_cm2_per_s.value, rtol=0.02
    )


def test_what_cannot_be_analysed_is_refused():
    items = walks(1, 400)
    options = {"mobile_species": ("Li",), "hop_length_A": 1.0}
    with pytest.raises(ConfigError, match="drift steadily"):
        stream_transport(sources_of(items, drift_A=0.2), temperature_K=700.0, **options)
    with pytest.raises(ConfigError, match="must be an integer"):
        stream_transport(sources_of(items), temperature_K=700.0, formal_charges_e={"Li": 0.9}, **options)
    with pytest.raises(ConfigError, match="temperature_K"):
        stream_transport(sources_of(items), temperature_K=0.0, **options)
    with pytest.raises(ConfigError, match="at least one source"):
        stream_transport([], temperature_K=700.0, **options)


def test_wrapped_positions_are_told_by_their_steps_in_any_cut_and_from_a_saved_state():
    rng = np.random.default_rng(0)
    whole = np.cumsum(rng.normal(scale=0.8, size=(300, 20, 3)), axis=0)
    cell = np.diag([9.0, 10.0, 11.0])
    wrapped = whole % np.diag(cell)
    counted = FoldedSteps(cell)
    counted.update(wrapped)
    pieces = FoldedSteps(cell)
    for first, last in ((0, 1), (1, 90), (90, 300)):
        resumed = FoldedSteps(cell)
        resumed.set_state(pieces.get_state())
        resumed.update(wrapped[first:last])
        pieces = resumed
    assert_array_equal(pieces.counts, counted.counts)
    crossed = np.flatnonzero((np.abs(np.diff(wrapped, axis=0)) > 5.0).any(axis=(1, 2)))
    assert counted.counts[3] == crossed[0]
    with pytest.raises(ConfigError, match=rf"in replica 2 an atom .* \(first after frame {crossed[0]}\)"):
        pieces.check(2)
    unwrapped = FoldedSteps(cell)
    unwrapped.update(whole)
    unwrapped.check(2)
