"""Charge current from stored velocities, for files that hold these and no current."""

from dataclasses import replace

import numpy as np

from simtools.core.errors import ConfigError
from simtools.md.trajectory import Trajectory

__all__ = ["with_charge_current"]


def with_charge_current(trajectory: Trajectory) -> Trajectory:
    """Return the trajectory with the current of its formal charges, one sample per frame.

    A current that is there already is kept, for it is sampled more often.

    Parameters
    ----------
    trajectory
        With velocities and an integer formal charge of every species.

    Returns
    -------
    Trajectory
        Also with the momentum of each species where masses are known, which a charged cell needs.

    Raises
    ------
    ConfigError
        Without velocities, or where a charge is missing.

    Notes
    -----
    Limit: ions that all move alike carry the cell's net charge times their velocity.
    """
    if trajectory.charge_current_e_A_per_ps is not None:
        return trajectory
    if trajectory.velocities_A_per_ps is None:
        raise ConfigError("there are no velocities to make a charge current of")
    names = dict.fromkeys(trajectory.species.tolist())
    missing = [name for name in names if name not in trajectory.formal_charges_e]
    if missing:
        raise ConfigError(f"the formal charge of {missing[0]} is unknown, so there is no charge current")
    v_tnc = trajectory.velocities_A_per_ps
    charges = np.array([float(trajectory.formal_charges_e[name]) for name in trajectory.species.tolist()])
    momenta = {}
    if trajectory.masses_amu is not None:
        for name in names:
            ions = trajectory.indices_of(name)
            momenta[name] = np.einsum("n,tnc->tc", trajectory.masses_amu[ions], v_tnc[:, ions])
    return replace(
        trajectory,
        charge_current_e_A_per_ps=np.einsum("n,tnc->tc", charges, v_tnc),
        fine_interval_ps=trajectory.frame_interval_ps,
        species_momenta_amu_A_per_ps=momenta,
    )
