import numpy as np
import pytest

from simtools.analysers.charge_current import with_charge_current
from simtools.core.errors import ConfigError
from simtools.md.trajectory import Trajectory

VELOCITY = np.array([1.0, -2.0, 0.5])


def drifting(charges_e, **options):
    shape = (5, 3, 3)
    return Trajectory(
        positions_A=np.zeros(shape),
        species=["Li", "Li", "O"],
        cells_A=10 * np.eye(3),
        frame_interval_ps=0.01,
        formal_charges_e=charges_e,
        masses_amu=np.array([7.0, 7.0, 16.0]),
        **{"velocities_A_per_ps": np.broadcast_to(VELOCITY, shape), **options},
    )


def test_a_common_flight_carries_the_net_charge():
    charged = with_charge_current(drifting({"Li": 1, "O": -1}))
    np.testing.assert_allclose(charged.charge_current_e_A_per_ps, np.broadcast_to(VELOCITY, (5, 3)))
    neutral = with_charge_current(drifting({"Li": 1, "O": -2}))
    np.testing.assert_allclose(neutral.charge_current_e_A_per_ps, 0, atol=1e-15)
    np.testing.assert_allclose(neutral.species_momenta_amu_A_per_ps["Li"][0], 14 * VELOCITY)
    assert neutral.fine_interval_ps == 0.01


def test_a_current_that_was_stored_is_kept():
    stored = drifting({}, charge_current_e_A_per_ps=np.ones((40, 3)), fine_interval_ps=0.001)
    assert with_charge_current(stored) is stored


def test_what_is_missing_is_named():
    with pytest.raises(ConfigError, match="no velocities"):
        with_charge_current(drifting({"Li": 1, "O": -2}, velocities_A_per_ps=None))
    with pytest.raises(ConfigError, match="charge of O is unknown"):
        with_charge_current(drifting({"Li": 1}))
