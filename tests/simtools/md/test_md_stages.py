"""What a stage may ask for."""

import pickle

import pytest

from simtools.core.errors import ConfigError
from simtools.md.stages import Stage


def stage(**changes):
    options = {"name": "production", "ensemble": "NVT", "temperature_K": 300.0, "duration_ps": 1.0}
    return Stage(**{**options, **changes})


def test_thermostats_are_chosen_by_ensemble():
    assert stage().thermostat == "bussi"
    assert stage(ensemble="NPT").thermostat == "nose-hoover"
    assert stage(ensemble="NVE").thermostat is None
    assert stage(ensemble="NVE").tau_ps is None
    assert stage().tau_ps == 0.5
    assert stage(thermostat="langevin").tau_ps == 0.1


def test_only_constant_pressure_has_a_pressure():
    assert (stage(ensemble="NPT").pressure_GPa, stage(ensemble="NPT").barostat_tau_ps) == (0.0, 1.0)
    assert (stage().pressure_GPa, stage().barostat_tau_ps) == (None, None)


@pytest.mark.parametrize("ensemble", ["NVE", "NVT", "NPT"])
def test_a_stage_is_made_again_from_its_plain_data(ensemble):
    assert Stage(**stage(ensemble=ensemble).to_dict()) == stage(ensemble=ensemble)


def test_strides_count_steps():
    sampled = stage(timestep_fs=0.5, sample_every_fs=20, current_every_fs=4, checkpoint_every_ps=0.25)
    strides = (sampled.sample_stride, sampled.current_stride, sampled.checkpoint_stride, sampled.n_steps)
    assert strides == (40, 8, 500, 2000)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"write_trajectory": True, "thermostat": "langevin"}, "Langevin friction changes D"),
        ({"write_trajectory": True, "tau_ps": 0.1}, "tau_ps = 0.1, expected at least 0.5"),
        ({"write_trajectory": True, "current_every_fs": 10}, "current_every_fs = 10, expected at most 5"),
        ({"write_trajectory": True, "sample_every_fs": 300}, "a multiple of sample_every_fs"),
        ({"write_trajectory": True, "ensemble": "NPT", "tau_ps": 0.1}, "tau_ps = 0.1, expected at least 0.5"),
        ({"ensemble": "NVE", "tau_ps": 1.0}, "tau_ps = 1.0, expected none in NVE"),
        ({"ensemble": "NVE", "pressure_GPa": 0.0}, "pressure_GPa = 0.0, expected none in NVE"),
        ({"pressure_GPa": 5.0}, "pressure_GPa = 5.0, expected none in NVT"),
        ({"barostat_tau_ps": 1.0}, "barostat_tau_ps = 1.0, expected none in NVT"),
        ({"ensemble": "NPT", "pressure_GPa": float("nan")}, "pressure_GPa = nan, expected a number"),
        ({"ensemble": "NPT", "barostat_tau_ps": 0.0}, "barostat_tau_ps = 0.0, expected a positive number"),
        ({"temperature_K": float("inf")}, "temperature_K = inf, expected a positive number"),
        ({"temperature_K": "300"}, "temperature_K = '300', expected a positive number"),
        ({"duration_ps": float("inf")}, "duration_ps = inf, expected a positive number"),
        ({"sample_every_fs": float("inf")}, "sample_every_fs = inf, expected a positive number"),
        ({"checkpoint_every_ps": float("nan")}, "checkpoint_every_ps = nan, expected a positive number"),
        ({"tau_ps": -1.0}, "tau_ps = -1.0, expected a positive number"),
        ({"ensemble": "NVP"}, "ensemble = 'NVP', expected 'NVE', 'NVT' or 'NPT'"),
        ({"ensemble": "NPT", "thermostat": "bussi"}, "thermostat = 'bussi', expected 'nose-hoover' in NPT"),
        ({"ensemble": "NVE", "thermostat": "bussi"}, "expected none in NVE"),
        ({"thermostat": "andersen"}, "expected 'bussi' or 'langevin' or 'nose-hoover'"),
        ({"temperature_K": -1}, "temperature_K = -1, expected a positive number"),
        ({"temperature_K": float("nan")}, "temperature_K"),
        ({"duration_ps": 0.0015}, "duration_ps = 0.0015, expected a whole number of time steps"),
        ({"timestep_fs": 2.0, "current_every_fs": 5.0}, "current_every_fs = 5.0, expected a whole number"),
        ({"seed": 1.5}, "seed = 1.5"),
        ({"tau_ps": 0.001}, "at least 5 time steps"),
        ({"name": "a/b"}, "stage name 'a/b'"),
    ],
)
def test_what_cannot_be_run_is_refused_by_name(changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        stage(**changes)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
