"""A run that was killed and continued is the run that was not killed, bit for bit."""

import json
import os

import numpy as np
import pytest

import simtools.md.checkpoint as checkpoint
from simtools.core.errors import ConfigError, RunFailedError
from simtools.md.checkpoint import CheckpointError, load_checkpoint
from simtools.md.h5md import read_trajectory
from simtools.md.protocols import Stage, StoppedInTime, load_final_atoms, run_stages
from simtools.md.thermo import read_thermo
from simtools.md.trajectory_index import TrajectoryError
from tests.simtools.md.md_toys import Killed, LaggingLennardJones, argon

INFO = {"formal_charges_e": {"Ar": 0}}
CHECKPOINT_STEPS = 25


def stages(ensemble, thermostat=None, steps=100, checkpoint_steps=CHECKPOINT_STEPS):
    common = {
        "temperature_K": 40.0,
        "timestep_fs": 4.0,
        "sample_every_fs": 40.0,
        "current_every_fs": 4.0,
        "thermo_every_fs": 20.0,
        "checkpoint_every_ps": checkpoint_steps * 0.004,
    }
    first = Stage(name="warm-up", ensemble="NVT", thermostat="langevin", duration_ps=0.12, seed=5, **common)
    second = Stage(
        name="production",
        ensemble=ensemble,
        thermostat=thermostat,
        duration_ps=steps * 0.004,
        seed=6,
        write_trajectory=thermostat != "langevin",
        velocities=True,
        **common,
    )
    return [first, second]


def start(directory, calculator=None, which=None, **options):
    which = stages("NVT", "bussi") if which is None else which
    return run_stages(argon(), calculator or LaggingLennardJones(), which, directory, info=INFO, **options)


def record(directory, trajectory=True):
    """Everything that a run leaves behind, except how long it took and how it was cut up."""
    final = load_final_atoms(directory)
    kept = {
        "log": (directory / "thermo.csv").read_bytes(),
        "final": [final.positions.tobytes(), final.get_momenta().tobytes(), np.array(final.cell).tobytes()],
    }
    if trajectory:
        frames = read_trajectory(directory)
        kept["frames"] = [
            frames.positions_A.tobytes(),
            frames.velocities_A_per_ps.tobytes(),
            frames.cells_A.tobytes(),
            frames.charge_current_e_A_per_ps.tobytes(),
            frames.species_momenta_amu_A_per_ps["Ar"].tobytes(),
            frames.frame_interval_ps,
            frames.fine_interval_ps,
        ]
    outcome = json.loads((directory / "outcome.json").read_text())
    kept["outcome"] = {key: value for key, value in outcome.items() if key != "wall_s"}
    return kept


ENSEMBLES = [("NVE", None), ("NVT", "bussi"), ("NVT", "nose-hoover"), ("NVT", "langevin"), ("NPT", None)]


@pytest.mark.parametrize(("ensemble", "thermostat"), ENSEMBLES)
def test_killed_anywhere_and_continued_is_bit_identical(tmp_path, ensemble, thermostat):
    which = stages(ensemble, thermostat)
    whole = LaggingLennardJones()
    start(tmp_path / "whole", whole, which)
    for dies_after in (3, 31, 57, 80, 118):
        directory = tmp_path / f"killed-{dies_after}"
        with pytest.raises(Killed):
            start(directory, LaggingLennardJones(dies_after=dies_after), which)
        after = LaggingLennardJones()
        start(directory, after, which)
        assert dies_after + after.n_calls - whole.n_calls <= CHECKPOINT_STEPS
        wrote = which[1].write_trajectory
        assert record(directory, wrote) == record(tmp_path / "whole", wrote)


def test_killed_before_or_after_any_rename_loses_nothing(tmp_path, monkeypatch):
    which = stages("NVT", "nose-hoover", steps=60)
    start(tmp_path / "whole", which=which)
    replace, whole = os.replace, record(tmp_path / "whole")
    calls = []

    def count(*paths):
        calls.append(paths)
        replace(*paths)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", count)
        start(tmp_path / "counted", which=which)
    assert len(calls) > 12
    for number in range(len(calls)):
        for dies_first in (True, False):
            directory = tmp_path / f"{number}-{dies_first}"
            done = []

            def die(*paths, done=done, number=number, dies_first=dies_first):
                done.append(paths)
                if len(done) == number + 1 and dies_first:
                    raise Killed
                replace(*paths)
                if len(done) == number + 1:
                    raise Killed

            with monkeypatch.context() as patch:
                patch.setattr(os, "replace", die)
                with pytest.raises(Killed):
                    start(directory, which=which)
            start(directory, which=which)
            assert record(directory) == whole


def test_how_often_checkpoints_are_written_changes_nothing(tmp_path):
    for steps in (10, 50):
        start(tmp_path / str(steps), which=stages("NPT", checkpoint_steps=steps))
    assert record(tmp_path / "10") == record(tmp_path / "50")


def test_stopping_when_asked_writes_a_checkpoint_and_continues(tmp_path):
    seen = []

    def progress(done, total, temperature_K):
        seen.append((done, total))

    start(tmp_path / "whole")
    for stop_at in range(3, 26, 3):
        with pytest.raises(StoppedInTime, match="continues from there"):
            start(tmp_path / "cut", progress=progress, should_stop=lambda n=stop_at: len(seen) >= n)
    start(tmp_path / "cut", progress=progress)
    assert [done for done, _ in seen] == list(range(5, 131, 5))
    assert record(tmp_path / "cut") == record(tmp_path / "whole")


def test_a_calculator_that_forgets_its_past_would_not_be_bit_identical(tmp_path):
    class Forgetful(LaggingLennardJones):
        get_state = set_state = property()

    start(tmp_path / "whole")
    with pytest.raises(Killed):
        start(tmp_path / "killed", Forgetful(dies_after=100))
    outcome = start(tmp_path / "killed", Forgetful())
    assert not outcome["bit_identical_restart"]
    assert record(tmp_path / "killed")["final"] != record(tmp_path / "whole")["final"]


def test_a_finished_run_is_read_back_without_a_step(tmp_path):
    outcome = start(tmp_path)
    assert start(tmp_path, LaggingLennardJones(dies_after=0)) == outcome


def test_other_inputs_are_refused_by_name(tmp_path):
    start(tmp_path)
    with pytest.raises(ConfigError, match=r"other inputs \(stages differ\)"):
        start(tmp_path, which=stages("NVE"))
    with pytest.raises(ConfigError, match=r"other inputs \(atoms differ\)"):
        run_stages(argon(lattice_A=5.5), LaggingLennardJones(), stages("NVT", "bussi"), tmp_path, info=INFO)


def interrupted(directory, dies_after=118):
    with pytest.raises(Killed):
        start(directory, LaggingLennardJones(dies_after=dies_after))


def truncate(path, share=0.6):
    os.truncate(path, int(share * path.stat().st_size))


def test_a_truncated_checkpoint_falls_back_to_the_one_before(tmp_path):
    start(tmp_path / "whole")
    for name in ("checkpoint-0.npz", "checkpoint-1.npz"):
        directory = tmp_path / name
        interrupted(directory)
        truncate(directory / name)
        outcome = start(directory)
        assert name in outcome["warnings"][0]
        assert "the checkpoint before it" in outcome["warnings"][0]
        one, other = record(directory), record(tmp_path / "whole")
        assert one["log"] == other["log"]
        assert one["frames"] == other["frames"]
        assert one["final"] == other["final"]


def test_two_truncated_checkpoints_are_refused_in_one_line(tmp_path):
    interrupted(tmp_path)
    for name in ("checkpoint-0.npz", "checkpoint-1.npz"):
        truncate(tmp_path / name)
    with pytest.raises(CheckpointError, match=r"checkpoint-0\.npz is damaged") as caught:
        start(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["truncated", "missing", "flipped"])
def test_a_damaged_segment_is_named(tmp_path, damage):
    start(tmp_path)
    path = tmp_path / "trajectory" / "production-000002.h5md"
    if damage == "truncated":
        truncate(path)
    elif damage == "missing":
        path.unlink()
    else:
        positions = read_trajectory(tmp_path).positions_A[3].astype("f4").tobytes()
        content = path.read_bytes()
        at = content.index(positions[:64])
        path.write_bytes(content[:at] + b"\x01\x02" + content[at + 2 :])
    with pytest.raises(TrajectoryError, match=r"production-000002\.h5md") as caught:
        read_trajectory(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_gap_between_segments_is_named(tmp_path):
    start(tmp_path)
    index = tmp_path / "trajectory" / "index.json"
    listed = json.loads(index.read_text())
    del listed["segments"][1]
    index.write_text(json.dumps(listed))
    with pytest.raises(TrajectoryError, match=r"production-000003\.h5md: step \d+ follows step \d+"):
        read_trajectory(tmp_path)


def test_a_shortened_log_is_refused(tmp_path):
    interrupted(tmp_path)
    truncate(tmp_path / "thermo.csv", 0.2)
    with pytest.raises(ConfigError, match=r"thermo\.csv has \d+ bytes, expected at least"):
        start(tmp_path)


def test_a_full_disk_is_told_in_one_line_and_the_last_checkpoint_survives(tmp_path, monkeypatch):
    start(tmp_path / "whole")
    fsync, count = os.fsync, []

    def fill(descriptor):
        count.append(descriptor)
        if len(count) > 16:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fill)
        with pytest.raises(RunFailedError, match="No space left on device") as caught:
            start(tmp_path / "full")
    assert "\n" not in str(caught.value)
    state, _ = load_checkpoint(tmp_path / "full")
    assert state["step"] > 0
    start(tmp_path / "full")
    assert record(tmp_path / "full") == record(tmp_path / "whole")


def test_an_unwritable_directory_is_bad_input(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="cannot write"):
        start(tmp_path / "file" / "run")


def test_the_caller_s_atoms_and_calculator_are_left_as_they_were(tmp_path):
    atoms, calculator = argon(), LaggingLennardJones()
    before = atoms.copy()
    atoms.calc = calculator
    energy = atoms.get_potential_energy()
    run_stages(atoms, calculator, stages("NVE"), tmp_path, info=INFO)
    assert np.array_equal(atoms.positions, before.positions)
    assert not atoms.has("momenta")
    assert atoms.get_potential_energy() == pytest.approx(energy, rel=1e-12)


def test_the_log_has_no_row_twice_or_missing(tmp_path):
    interrupted(tmp_path)
    start(tmp_path)
    table = read_thermo(tmp_path)
    assert table["time_ps"].tolist() == pytest.approx(
        [*(0.02 * np.arange(7)), *(0.12 + 0.02 * np.arange(21))]
    )
    assert set(table["stage"]) == {"warm-up", "production"}


def test_nothing_is_pickled(tmp_path):
    interrupted(tmp_path)
    for name in ("checkpoint-0.npz", "checkpoint-1.npz"):
        with np.load(tmp_path / name, allow_pickle=False) as archive:
            assert all(archive[key].dtype.kind in "iufb" for key in archive.files)
    assert checkpoint.load_checkpoint(tmp_path / "nowhere") == (None, ())
