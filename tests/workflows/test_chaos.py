"""A campaign that is disturbed all the time ends as one that is left alone."""

import pytest

from benchmarks.chaos import is_good, trial


def test_a_disturbed_campaign_is_the_undisturbed_one_bit_for_bit(tmp_path):
    result = trial(
        tmp_path,
        duration_s=8,
        production_ps=2,
        checkpoint_ps=0.5,
        seed=3,
        pause_s=(1.0, 2.0),
        n_temperatures=4,
        least=3,
    )
    assert sum(result["done_to_it"].values()) >= 3, result
    assert result["points"] == 8
    assert is_good(result), result


@pytest.mark.physics
def test_a_campaign_disturbed_for_ten_minutes_is_the_undisturbed_one(tmp_path):
    result = trial(
        tmp_path, duration_s=600, production_ps=150, checkpoint_ps=5, seed=1, pause_s=(0.5, 10), cells=3
    )
    assert is_good(result), result
