"""Intervals of bound fractions against repeated experiments with a known truth."""

import numpy as np
import pytest

from simtools.analysers.fractions import average_fraction


def telegraph(rng, n_frames, n_vacancies, bind, free):
    """Vacancies that become bound and free at given chances per frame."""
    state, series = rng.random(n_vacancies) < bind / (bind + free), np.empty(n_frames)
    for t in range(n_frames):
        draw = rng.random(n_vacancies)
        state = np.where(state, draw > free, draw < bind)
        series[t] = state.mean()
    return series


def scored(series_of, truth, n_repeats=100):
    """Share of repeats whose interval holds the truth, mean width, spread of the values."""
    covered, widths, values = 0, [], []
    for _ in range(n_repeats):
        estimate = average_fraction(series_of(), 6, 1.0)[0]
        covered += estimate.ci95[0] <= truth <= estimate.ci95[1]
        widths.append(estimate.ci95[1] - estimate.ci95[0])
        values.append(estimate.value)
    return covered / n_repeats, np.mean(widths), np.std(values)


def test_interval_covers_the_truth_when_vacancies_come_and_go():
    rng = np.random.default_rng(8)
    covered, width, spread = scored(lambda: [telegraph(rng, 300, 6, 0.02, 0.08) for _ in range(4)], 0.2)
    assert covered >= 0.88
    assert width < 1.9 * 2 * 1.96 * spread  # Student's t of four replicas alone is 1.62


@pytest.mark.parametrize("n_replicas", [3, 4, 8])
def test_interval_covers_the_truth_when_frozen_arrangements_differ(n_replicas):
    rng, rates = np.random.default_rng(9), (0.2, 0.4, 0.8)
    truth = np.mean([rate / (rate + 0.1) for rate in rates])
    covered, width, spread = scored(
        lambda: [telegraph(rng, 200, 6, rng.choice(rates), 0.1) for _ in range(n_replicas)], truth
    )
    assert covered >= 0.87
    assert width < 3 * 2 * 1.96 * spread


def test_replicas_that_differ_are_pointed_out_and_counted_as_samples():
    rng = np.random.default_rng(1)
    series = [telegraph(rng, 2000, 6, bind, 0.2) for bind in (0.16, 0.2, 0.25)]
    estimate, _, notes = average_fraction(series, 6, 1.0)
    means = [one.mean() for one in series]
    assert estimate.stderr == pytest.approx(np.std(means, ddof=1) / np.sqrt(3))
    assert estimate.n_eff == 3
    assert any("differ by more than their own errors" in note for note in notes)
    alike = average_fraction([telegraph(rng, 500, 6, 0.2, 0.2) for _ in range(2)], 6, 1.0)
    assert not alike[2]
