"""Are these trajectories replicas of one system, fit to be analysed? What is measured: transport.py."""

import numpy as np
from scipy import stats

from simtools.analysers.kernels import msd as kernels
from simtools.core.errors import ConfigError
from simtools.core.periodic import cell_heights_A

__all__ = [
    "FoldedSteps",
    "check_drift",
    "check_replicas",
    "default_host",
    "few_replicas",
    "formal_charge_e",
    "hopping_hosts",
]

_VOLUME_TOLERANCE = 0.02
_FEWEST_REPLICAS = 4
_WRAPPED_SHARE = 0.2
_CHUNK_FRAMES = 256
_DRIFT_SEGMENTS = 10
_DRIFT_SIGNIFICANCE = 1e-6
_DRIFT_HOPS = 0.3


def default_host(species, symbols, formal_charges_e):
    """Return the species of the immobile sublattice: those of opposite charge to the mobile one.

    Parameters
    ----------
    species
        Symbol of the mobile ion.
    symbols
        All symbols present.
    formal_charges_e
        {symbol: integer charge}, e. Where the mobile ion's is zero or unknown, or none is of opposite sign,
        every species that is not known to carry a charge of the same sign counts.

    Returns
    -------
    tuple of str
        Sorted; empty where there is no host.
    """
    others = sorted({str(symbol) for symbol in symbols} - {species})
    charge = formal_charges_e.get(species, 0)
    opposite = tuple(name for name in others if charge * formal_charges_e.get(name, 0) < 0)
    return opposite or tuple(name for name in others if not charge * formal_charges_e.get(name, 0) > 0)


def few_replicas(n_replicas, collective):
    """Yield how little fewer than four replicas say of a collective quantity (`Estimate`)."""
    if n_replicas < _FEWEST_REPLICAS and not collective.is_limit:
        low, high = collective.ci95
        yield (
            f"{n_replicas} replica{'s' if n_replicas > 1 else ''}: the summed displacement is one walker in "
            f"each, so D_sigma, sigma and H_R are known within a factor of {high / low:.2g} (95 %), and "
            f"differences between runs hardly show; run {_FEWEST_REPLICAS} or more"
        )


def formal_charge_e(trajectory, species):
    """Return the integer formal charge of `species`, e, or None where the trajectory does not say.

    Raises
    ------
    ConfigError
        If it is not an integer: conductivities follow from integer charges whatever the force field has.
    """
    charge = trajectory.formal_charges_e.get(species)
    if charge is None:
        return None
    if not np.isfinite(charge) or charge != int(charge):
        raise ConfigError(
            f"formal_charges_e[{species!r}] must be an integer, got {charge!r}; give the formal charge, not "
            "the force field's"
        )
    return int(charge)


def check_replicas(trajectories, species):
    """Refuse trajectories that are not replicas of one system, or that are wrapped into the cell.

    Raises
    ------
    ConfigError
        Naming what differs: ions, frame interval, temperature, formal charges, or volume by over 2 %; or
        where an atom steps across more than half the cell between frames.
    UnknownSpeciesError
        If there is no such ion.
    """
    first = trajectories[0]
    for number, item in enumerate(trajectories):
        if item.n_of(species) != first.n_of(species):
            raise ConfigError(
                f"replica {number} has {item.n_of(species)} {species}, replica 0 has {first.n_of(species)}: "
                "analyse different systems apart"
            )
        for what, get in (
            ("ions", _composition),
            ("temperature_K", lambda x: x.temperature_K),
            ("formal_charges_e", lambda x: dict(x.formal_charges_e)),
        ):
            if get(item) != get(first):
                raise ConfigError(
                    f"replica {number} has {what} {get(item)}, replica 0 has {get(first)}: analyse "
                    "different systems apart"
                )
        if not np.isclose(item.frame_interval_ps, first.frame_interval_ps, rtol=1e-6):
            raise ConfigError(
                f"replica {number} has a frame every {item.frame_interval_ps} ps, replica 0 every "
                f"{first.frame_interval_ps} ps: replicas must be sampled alike"
            )
        if abs(item.mean_volume_A3 / first.mean_volume_A3 - 1) > _VOLUME_TOLERANCE:
            raise ConfigError(
                f"replica {number} has a mean volume of {item.mean_volume_A3:.6g} A^3, replica 0 of "
                f"{first.mean_volume_A3:.6g} A^3: analyse different systems apart"
            )
        _check_unwrapped(item, number)


def _composition(trajectory):
    names, counts = np.unique(trajectory.species, return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


class FoldedSteps:
    """Counts steps of more than half a cell, frame after frame, that all but vanish when folded back.

    Parameters
    ----------
    cell_A
        Mean lattice vectors as rows, shape (3, 3), Å.

    Attributes
    ----------
    counts : ndarray of int
        Frames seen, long steps, those that all but vanish when folded, and the frame before the first.
    longest_A : float
        The longest step, Å.
    """

    def __init__(self, cell_A):
        self._cell, self._inverse = cell_A, np.linalg.inv(cell_A)
        self._height_A = float(cell_heights_A(cell_A).min())
        self.counts, self.longest_A = np.zeros(4, dtype=np.int64), 0.0
        self._last = None

    def update(self, positions_A):
        """Take the next frames, shape (n, n_atoms, 3), Å."""
        if self._last is not None:
            positions_A = np.concatenate([self._last[None], positions_A])
        steps = np.diff(positions_A, axis=0)
        length = np.linalg.norm(steps, axis=-1)
        long = length > 0.5 * self._height_A
        if long.any():
            if not self.counts[1]:
                before = 0 if self._last is None else 1
                self.counts[3] = self.counts[0] - before + int(np.argmax(long.any(axis=1)))
            self.longest_A = max(self.longest_A, float(length.max()))
            fractions = steps[long] @ self._inverse
            folded_A = np.linalg.norm((fractions - np.round(fractions)) @ self._cell, axis=-1)
            self.counts[1] += len(folded_A)
            self.counts[2] += int((folded_A < _WRAPPED_SHARE * self._height_A).sum())
        self.counts[0] += len(steps) + (self._last is None)
        self._last = positions_A[-1].copy()

    def check(self, number):
        """Refuse replica `number` if most of its long steps vanish when folded back.

        Raises
        ------
        ConfigError
            If they do: the positions are wrapped into the cell.
        """
        if 2 * self.counts[2] > self.counts[1]:
            raise ConfigError(
                f"positions look wrapped into the cell: in replica {number} an atom steps "
                f"{self.longest_A:.3g} A between frames (first after frame {self.counts[3]}), over half the "
                f"cell's height of {self._height_A:.3g} A; give unwrapped positions"
            )

    def get_state(self):
        """Return everything that is kept, as {name: array}."""
        last = np.zeros((0, 3)) if self._last is None else self._last
        return {"counts": self.counts.copy(), "longest_A": np.array(self.longest_A), "last": last}

    def set_state(self, state):
        """Go on from what `get_state` returned."""
        self.counts, self.longest_A = np.array(state["counts"]), float(state["longest_A"])
        self._last = np.array(state["last"]) if self.counts[0] else None


def _check_unwrapped(trajectory, number):
    cells = trajectory.cells_A
    steps = FoldedSteps(cells if cells.ndim == 2 else cells.mean(axis=0))
    for start in range(0, trajectory.n_frames, _CHUNK_FRAMES):
        steps.update(trajectory.positions_A[start : start + _CHUNK_FRAMES])
    steps.check(number)


def check_drift(positions, hop_length_A):
    """Refuse mobile ions that drift as one where no host tells the drift from diffusion.

    Parameters
    ----------
    positions
        One array per replica, (n_frames, n_ions, 3), Å.
    hop_length_A
        Distance between sites, Å: a drift of less than 0.3 of it does no harm.

    Raises
    ------
    ConfigError
        If the mean step of the centre of mass over tenths of a run is far from zero beside the scatter of
        these steps (Student's t, one in a million): its displacement grows with time, not with its root.
    """
    for number, r_tnc in enumerate(positions):
        if len(r_tnc) < 4 * _DRIFT_SEGMENTS:
            continue
        ends = np.linspace(0, len(r_tnc) - 1, _DRIFT_SEGMENTS + 1).astype(int)
        steps = np.diff(r_tnc[ends].mean(axis=1), axis=0)
        drift_A = float(np.linalg.norm(steps.sum(axis=0)))
        if drift_A < _DRIFT_HOPS * hop_length_A:
            continue
        error = np.maximum(steps.std(axis=0, ddof=1), 1e-300) / np.sqrt(_DRIFT_SEGMENTS)
        chance = 2 * stats.t.sf(np.abs(steps.mean(axis=0)) / error, _DRIFT_SEGMENTS - 1)
        if chance.min() < _DRIFT_SIGNIFICANCE:
            raise ConfigError(
                f"the mobile ions of replica {number} drift steadily, by {drift_A:.3g} A in all, and there "
                "is no host to measure against (collective exponent 2: flight, not diffusion); name "
                "host_species or remove the drift"
            )


def hopping_hosts(trajectories, host_species, *, window, threshold_A):
    """Return {host species: lasting hops} of the host species that hop; positions in the host's frame.

    Parameters
    ----------
    trajectories
        Replicas, already in the frame of the host.
    host_species
        Symbols.
    window, threshold_A
        Frames averaged over and distance that counts, Å, as for the mobile ions.
    """
    hops = {}
    for name in host_species:
        count = sum(
            int(kernels.count_hops(item.positions_of(name), window, threshold_A)[0].sum())
            for item in trajectories
        )
        if count:
            hops[name] = count
    return hops
