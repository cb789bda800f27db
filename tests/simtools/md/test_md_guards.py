"""What goes wrong is told, with its place and time."""

import numpy as np
import pytest
from ase.io import read

from simtools.core.errors import RunFailedError, SimtoolsError
from simtools.md.averages import block_average, drift_rate
from simtools.md.guards import HostSublattice, host_species_of
from simtools.md.lock import directory_lock
from simtools.md.protocols import Stage, run_stages
from tests.simtools.md.md_toys import LaggingLennardJones, argon


class Broken(LaggingLennardJones):
    def __init__(self, breaks_after, how):
        super().__init__()
        self.breaks_after, self.how = breaks_after, how

    def calculate(self, *arguments):
        super().calculate(*arguments)
        if self.n_calls > self.breaks_after:
            self.how(self.results)


def run(directory, calculator, atoms=None):
    stage = Stage(
        name="production",
        ensemble="NVE",
        temperature_K=40,
        duration_ps=0.2,
        timestep_fs=2.0,
        current_every_fs=4.0,
        sample_every_fs=20.0,
        thermo_every_fs=10.0,
    )
    return run_stages(atoms or argon(), calculator, [stage], directory)


def become_nan(results):
    results["energy"] = results["free_energy"] = np.nan


def sink(results):
    results["energy"] = results["free_energy"] = results["energy"] - 30.0


def touch(results):
    raise _CloseContact("atoms 1 and 2 are too close")


class _CloseContact(SimtoolsError, RuntimeError):
    pass


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (become_nan, r"stage 'production', step 40 \(0\.08 ps\): the potential energy is nan"),
        (sink, r"step 40 .*the conserved energy has strayed by -0.9"),
        (touch, r"stage 'production', step 40 \(0\.08 ps\): atoms 1 and 2 are too close"),
    ],
)
def test_a_run_that_leaves_physics_stops_and_says_when(tmp_path, how, message):
    with pytest.raises(RunFailedError, match=message):
        run(tmp_path, Broken(40, how))
    assert len(read(tmp_path / "failure.xyz")) == 32
    assert len((tmp_path / "thermo.csv").read_text().splitlines()) > 5


def test_a_structure_far_from_rest_is_too_hot(tmp_path):
    atoms = argon()
    atoms.rattle(0.4, seed=1)
    with pytest.raises(RunFailedError, match=r"step \d+ .*the temperature is \d+ K, expected below 200 K"):
        run(tmp_path, LaggingLennardJones(), atoms)


def test_a_bug_in_a_calculator_keeps_its_own_name_and_learns_the_step(tmp_path):
    def bug(results):
        raise KeyError("surprise")

    with pytest.raises(KeyError, match="surprise") as caught:
        run(tmp_path, Broken(10, bug))
    assert "step 10" in caught.value.__notes__[0]


def test_a_thermostat_that_finds_everything_at_rest_says_so(tmp_path):
    common = {"temperature_K": 40, "duration_ps": 0.05, "timestep_fs": 2.0, "current_every_fs": 4.0}
    common["sample_every_fs"] = common["thermo_every_fs"] = 10.0
    stages = [
        Stage(name="still", ensemble="NVE", **common),
        Stage(name="production", ensemble="NVT", **common),
    ]

    class Calm(LaggingLennardJones):
        def calculate(self, *arguments):
            super().calculate(*arguments)
            self.results["forces"] *= 0.0

    with pytest.raises(RunFailedError, match="the momenta are all zero"):
        run_stages(argon(), Calm(), stages, tmp_path, momenta="keep")


def test_a_drifting_energy_is_reported(tmp_path):
    class Leaking(LaggingLennardJones):
        def calculate(self, *arguments):
            super().calculate(*arguments)
            self.results["free_energy"] += 2e-4 * self.n_calls

    outcome = run(tmp_path, Leaking())
    assert any("conserved energy drifts by" in text for text in outcome["warnings"])
    drift = outcome["stages"][0]["conserved_drift_eV_per_atom_per_ns"]
    assert drift["value"] == pytest.approx(2e-4 / 32 / 2e-6, rel=0.1)


def test_a_production_at_another_temperature_is_reported(tmp_path):
    stage = Stage(
        name="production",
        ensemble="NVE",
        temperature_K=40,
        duration_ps=0.5,
        timestep_fs=5.0,
        sample_every_fs=50.0,
        write_trajectory=True,
    )
    outcome = run_stages(argon(), LaggingLennardJones(), [stage], tmp_path)
    assert any("the mean temperature is" in text for text in outcome["warnings"])


def test_a_calm_crystal_gives_no_warning(tmp_path):
    assert run(tmp_path, LaggingLennardJones())["warnings"] == []


def test_a_molten_host_is_reported_and_a_mobile_ion_is_not():
    atoms = argon()
    atoms.symbols[0] = "Li"
    host = HostSublattice(atoms, ("Ar",))
    assert host.spacing_A == pytest.approx(5.4 / np.sqrt(2))
    rng = np.random.default_rng(1)
    mobile = atoms.positions.copy()
    mobile[0] += 7.0
    assert host.displacement(mobile + 3.0, atoms.cell) == pytest.approx((0.0, 0.0), abs=1e-9)
    assert host.warnings(0.3, 0.0) == ()
    molten = atoms.positions + rng.normal(scale=2.5, size=(32, 3))
    displacement, fraction = host.displacement(molten, atoms.cell)
    assert fraction > 0.5
    assert "may be melting" in host.warnings(displacement, fraction)[0]


def test_the_host_follows_an_expanding_cell():
    atoms = argon()
    host = HostSublattice(atoms, ("Ar",))
    assert host.displacement(atoms.positions * 1.1, atoms.cell * 1.1) == pytest.approx((0.0, 0.0), abs=1e-9)


def test_the_host_is_the_anions_unless_said():
    charges = {"Li": 1, "O": -2, "Cl": -1}
    assert host_species_of(charges, {}) == ("Cl", "O")
    assert host_species_of(charges, {"host_species": ["O"]}) == ("O",)
    assert host_species_of({}, {}) == ()


def test_a_second_process_is_kept_out(tmp_path):
    import subprocess
    import sys

    code = f"from simtools.md.lock import directory_lock\nwith directory_lock({str(tmp_path)!r}): pass"
    with directory_lock(tmp_path):
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert second.returncode != 0
    assert "is being run by another process (pid" in second.stderr
    subprocess.run([sys.executable, "-c", code], check=True)


def correlated(n, rng, memory=0.9):
    noise = rng.normal(size=n) * np.sqrt(1 - memory**2)
    series = np.empty(n)
    series[0] = rng.normal()
    for t in range(1, n):
        series[t] = memory * series[t - 1] + noise[t]
    return series


def test_blocking_covers_the_mean_of_a_correlated_series():
    rng = np.random.default_rng(2)
    estimates = [block_average(5 + correlated(2000, rng)) for _ in range(200)]
    covered = np.mean([one.ci95[0] <= 5 <= one.ci95[1] for one in estimates])
    assert 0.90 <= covered <= 1.0
    true_error = np.sqrt(1.9 / 0.1 / 2000)
    assert np.mean([one.stderr for one in estimates]) == pytest.approx(true_error, rel=0.35)


def test_blocking_leaves_out_what_it_is_told_to():
    samples = np.r_[np.full(50, 100.0), np.random.default_rng(0).normal(size=150)]
    assert abs(block_average(samples, discard_fraction=0.25).value) < 0.5


def test_a_drift_is_found_and_a_noise_is_not():
    rng = np.random.default_rng(3)
    times = np.arange(1000) * 0.05
    pulls = []
    for _ in range(100):
        drift = drift_rate(times, 0.01 * times + 0.1 * correlated(1000, rng))
        pulls.append((drift.value - 0.01) / drift.stderr)
    assert 0.6 < np.std(pulls) < 1.4
