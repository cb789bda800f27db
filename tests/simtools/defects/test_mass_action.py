"""What is used and what stays regular add up to what there is, for any weights; and closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtools.defects.mass_action import EquilibriumError, MassAction


@given(data=st.data(), n=st.integers(1, 6))
def test_conditions_hold_for_any_weights(data, n):
    counts = np.zeros((3, n))
    counts[:2] = data.draw(
        st.lists(st.lists(st.integers(0, 2), min_size=n, max_size=n), min_size=2, max_size=2)
    )
    counts[0] += counts[:2].sum(axis=0) == 0
    counts[2, 0] = 1
    totals = np.array(
        [data.draw(st.floats(0.5, 12)), data.draw(st.floats(0.5, 12)), data.draw(st.floats(1e-9, 0.2))]
    )
    ln_weights = np.array(data.draw(st.lists(st.floats(-300, 60), min_size=n, max_size=n)))
    ln_c, multipliers = MassAction(counts, totals, [True, True, False]).solve(ln_weights)
    np.testing.assert_allclose(ln_c, ln_weights + multipliers @ counts, atol=1e-9)
    used = counts @ np.exp(ln_c)
    np.testing.assert_allclose(used[:2] + totals[:2] * np.exp(multipliers[:2]), totals[:2], rtol=1e-9)
    assert used[2] == pytest.approx(totals[2], rel=1e-9)


@given(x=st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=5))
def test_defects_on_one_kind_of_site_share_it_as_molecules_a_surface(x):
    ln_c, multipliers = MassAction(np.ones((1, len(x))), [1.0], [True]).solve(np.log(x))
    np.testing.assert_allclose(np.exp(ln_c), np.array(x) / (1 + sum(x)), rtol=1e-9)
    assert np.exp(multipliers[0]) == pytest.approx(1 / (1 + sum(x)), rel=1e-9)


def test_concentrations_too_small_for_a_number_are_right_in_their_logarithm():
    ln_c, _ = MassAction([[1.0, 1.0]], [3.0], [True]).solve(np.array([-5000.0, -900.0]))
    np.testing.assert_allclose(ln_c, [-5000.0, -900.0], rtol=1e-12)


def test_more_dopant_than_sites_does_not_pass_for_a_solution():
    with pytest.raises(EquilibriumError, match="unsettled"):
        MassAction([[1.0], [1.0]], [1.0, 2.0], [True, False]).solve(np.zeros(1))
