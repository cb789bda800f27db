"""Strings of jumps: independent vacancies are no more concerted than chance, pairs that hop as one are."""

from dataclasses import replace

import numpy as np
import pytest

from simtools.analysers.concerted import ConcertedJumps, concerted_jumps
from simtools.analysers.jumps import find_jumps
from simtools.analysers.lattice_gas import (
    TooFewJumpsError,
    independent_vacancies,
    site_network,
    vacancy_lattice_gas,
)
from simtools.core.errors import ConfigError
from simtools.testing import vacancy_walk
from simtools.testing.walkers import x3_sublattice

SITES, _, _ = x3_sublattice((4, 4, 4))
NETWORK = site_network(3.9 * SITES, 15.6 * np.eye(3))


def gas(seed=0, *, n_vacancies=4, duration_ps=100.0, rate=0.1):
    return vacancy_lattice_gas(
        NETWORK, n_vacancies=n_vacancies, jump_rate_per_ps=rate, duration_ps=duration_ps, seed=seed
    )


def row(n_pairs=30, *, delay_ps=0.05, push=False, n_vacancies=0):
    """Return pairs of jumps 1 -> 2 and 0 -> 1 (the site the first one left), 10 ps apart."""
    lead = 10.0 * np.arange(1, n_pairs + 1)
    times = np.column_stack([lead, lead + (-delay_ps if push else delay_ps)])
    ions = np.column_stack([2 * np.arange(n_pairs), 2 * np.arange(n_pairs) + 1])
    initial, final = np.tile([1, 0], (n_pairs, 1)), np.tile([2, 1], (n_pairs, 1))
    order = np.argsort(times.ravel())
    return replace(
        gas(),
        ions=ions.ravel()[order],
        initial_sites=initial.ravel()[order],
        final_sites=final.ravel()[order],
        first_ps=times.ravel()[order],
        last_ps=times.ravel()[order],
        vectors_A=np.zeros((2 * n_pairs, 3)),
        n_ions=2 * n_pairs,
        n_vacancies=n_vacancies,
        observed_ps=np.array([0.0, lead[-1] + 10]),
    )


def test_independent_vacancies_are_no_more_concerted_than_their_null():
    p_values = [
        concerted_jumps(gas(seed), n_repeats=19, seed=seed + 1000, window_ps=0.3).p_value
        for seed in range(12)
    ]
    assert 0.25 < np.mean(p_values) < 0.75


def test_vacancies_seen_through_frames_are_no_more_concerted_than_their_null():
    # returns within 0.2 ps are taken out of the run, so the null must lose them too
    p_values, left = [], []
    for seed in range(30):
        walk = vacancy_walk(
            1200, seed=seed, n_vacancies=4, hop_rate_per_ps=0.1, frame_interval_ps=0.05, rattle_A=0.15
        )
        jumps = find_jumps(walk, species="Li")
        p_values.append(concerted_jumps(jumps, n_repeats=19, seed=seed, window_ps=0.3).p_value)
        left.append(independent_vacancies(jumps, seed=seed).n_jumps / jumps.n_jumps)
    assert 0.42 < np.mean(p_values) < 0.68
    assert np.mean(left) == pytest.approx(1.0, abs=0.04)


@pytest.mark.parametrize("push", [False, True])
def test_pairs_that_hop_as_one_are_strings_of_two_with_the_right_leader(push):
    result = concerted_jumps(row(push=push), window_ps=0.5, n_repeats=50)
    assert result.null == "shifted"
    assert result.concerted_fraction == 1.0
    assert result.counts[:2].tolist() == [0, 30]
    assert result.p_value == pytest.approx(1 / 51)
    assert result.null_fraction < 0.3
    assert result.push_fraction == (1.0 if push else 0.0)
    assert result.delay_counts.sum() == 30
    assert result.delays_ps @ result.delay_counts / 30 == pytest.approx(-0.05 if push else 0.05, abs=0.026)
    assert ConcertedJumps.from_json(result.to_json()).to_json() == result.to_json()


def test_pairs_exceed_the_lattice_gas_and_distance_in_time_breaks_them():
    close = concerted_jumps(row(n_vacancies=2), window_ps=0.5, n_repeats=50)
    assert close.null == "lattice gas"
    assert close.p_value < 0.05
    far = concerted_jumps(row(delay_ps=0.6), window_ps=0.5, n_repeats=5)
    assert far.concerted_fraction == 0
    assert far.push_fraction is None


def test_a_vacancy_is_filled_behind_the_ion_that_left():
    result = concerted_jumps([gas(3, duration_ps=400), gas(4, duration_ps=400)], window_ps=0.4, n_repeats=20)
    assert result.push_fraction < 0.02
    # after a jump the vacancy moves on within 0.4 ps at 8 x 0.1 /ps, one time in eight backwards
    expected = (1 - np.exp(-0.8 * 0.4)) * 7 / 8
    linked = result.delay_counts.sum() / result.n_jumps
    assert linked == pytest.approx(expected, rel=0.12)


def test_what_cannot_be_asked_is_refused_in_one_line():
    with pytest.raises(TooFewJumpsError, match="at least 20"):
        concerted_jumps(gas(duration_ps=1.0))
    with pytest.raises(ConfigError, match="null must be one of"):
        concerted_jumps(gas(), null="magic")
    with pytest.raises(ConfigError, match="needs vacancies"):
        concerted_jumps(row(), null="lattice gas")
    with pytest.raises(ConfigError, match="window_ps"):
        concerted_jumps(gas(), window_ps=0.0)
