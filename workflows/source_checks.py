"""What `simtools analyse` checks and tells of its source: the host, and the digits of the files."""

import os

import numpy as np

from simtools.analysers.displacements import HOP_FRACTION, hop_window
from simtools.analysers.replicas import hopping_hosts
from simtools.analysers.rounding import rounding_effect_cm2_per_s
from simtools.core.errors import ConfigError

__all__ = [
    "HostDrift",
    "effects_text",
    "host_drift_A",
    "refuse_doubles",
    "refuse_moving_host",
    "rounding_effects",
]

_MOST_HOST_HOPS = 0.5  # lasting hops of an ion of the host: more is a melt or a mobile species
_MOVED = (("tracer", "D*"), ("charge", "D_σ"))


def host_drift_A(trajectories, species, host, hop_A):
    """Return how far the host went in any replica, Å; refuse one that does not stay where it is."""
    if not host:
        return 0.0
    framed = [item.in_host_frame(host) for item in trajectories]
    window = hop_window(framed[0].frame_interval_ps, min(item.n_frames for item in framed))
    hops = hopping_hosts(framed, host, window=window, threshold_A=HOP_FRACTION * hop_A)
    refuse_moving_host(species, hops, {name: trajectories[0].n_of(name) * len(trajectories) for name in host})
    drifts = [
        np.linalg.norm(item.positions_A[:, 0] - moved.positions_A[:, 0], axis=-1).max()
        for item, moved in zip(trajectories, framed, strict=True)
    ]
    return float(max(drifts))


def refuse_doubles(replicas):
    """Refuse a file that is given twice, under whatever name; raises `ConfigError`."""
    seen = set()
    for path in (os.path.realpath(path) for files in replicas for path in files):
        if path in seen:
            raise ConfigError(
                f"{path} is given twice: replicas must be independent, expected every file once"
            )
        seen.add(path)


def refuse_moving_host(species, hops, n_ions):
    """Refuse a host whose ions do not stay.

    Parameters
    ----------
    species
        The mobile species that are seen from it.
    hops, n_ions
        {host species: lasting hops} and {host species: ions}, over all replicas.

    Raises
    ------
    ConfigError
        For more than one lasting hop of every second ion.
    """
    for name, count in hops.items():
        if count > _MOST_HOST_HOPS * n_ions[name]:
            raise ConfigError(
                f"host of {species}: {n_ions[name]} {name} made {count} lasting hops, expected ions that "
                "stay and define a frame (it has melted, or is mobile itself); name immobile species (--host)"
            )


class HostDrift:
    """How far the centre of mass of a host went from where it was in the first frame, frame by frame."""

    def __init__(self, species, masses_amu, host):
        self.indices = np.flatnonzero(np.isin(species, host))
        self.weights = np.ones(len(self.indices)) if masses_amu is None else masses_amu[self.indices]
        self.start_A, self.farthest_A = np.full(3, np.nan), 0.0

    def update(self, positions_A):
        """Take the next frames, shape (n_frames, n_atoms, 3), Å, unwrapped."""
        if not len(self.indices):
            return
        centre_tc = np.einsum("n,tnc->tc", self.weights, positions_A[:, self.indices]) / self.weights.sum()
        if np.isnan(self.start_A).any():
            self.start_A = centre_tc[0]
        gone_A = np.linalg.norm(centre_tc - self.start_A, axis=-1).max()
        self.farthest_A = max(self.farthest_A, float(gone_A))

    def get_state(self):
        """Return what `set_state` takes up again."""
        return {"start_A": self.start_A, "farthest_A": np.array(self.farthest_A)}

    def set_state(self, state):
        """Go on from a saved state."""
        self.start_A, self.farthest_A = np.array(state["start_A"]), float(state["farthest_A"])


def rounding_effects(result, source):
    """Return by how much the digits of the files move D* and D_sigma at most, cm²/s, or None for a limit."""
    effects = {}
    frames = sum(source["frames"])
    for name, estimate, msd_A2, window_ps, n_windows in (
        (
            "tracer",
            result.tracer_diffusivity_cm2_per_s,
            result.msd_A2,
            result.window_ps,
            frames * result.n_ions,
        ),
        (
            "charge",
            result.charge_diffusivity_cm2_per_s,
            result.charge_msd_A2,
            result.charge_window_ps,
            frames,
        ),
    ):
        if estimate.is_limit or not window_ps[1] > window_ps[0]:
            effects[name] = None
            continue
        end_A2 = float(np.interp(window_ps[1], result.lag_times_ps, msd_A2))
        effects[name] = rounding_effect_cm2_per_s(
            source["rounding_A"], msd_A2=end_A2, window_ps=window_ps, n_windows=n_windows
        )
    return effects


def effects_text(source):
    """Return the effects of rounding on every species as one line."""
    told = []
    for name, found in source["rounding_effect_cm2_per_s"].items():
        parts = [f"{label} by {found[key]:.1e}" for key, label in _MOVED if found[key] is not None]
        told += [f"{name}: {', '.join(parts)}"] if parts else []
    return "; ".join(told) or "only limits are given"
