"""A directory keeps its run: other inputs, lost checkpoints and damaged records are refused, never mixed."""

import json
import random
import re
import shutil

import numpy as np
import pytest
from ase.calculators.lj import LennardJones

from potentials.calculator import IonicCalculator
from potentials.check import prototype_cell
from simtools.core.errors import ConfigError
from simtools.md.checkpoint import load_checkpoint
from simtools.md.h5md import read_trajectory
from simtools.md.protocols import Stage, StoppedInTime, run_stages
from simtools.md.thermo import read_thermo
from simtools.md.trajectory_index import TrajectoryError
from tests.simtools.md.md_toys import Killed, LaggingLennardJones, argon

FORCE_FIELD = "li3ocl_mouta_formal"


def production(**changes):
    options = {
        "name": "production",
        "ensemble": "NVT",
        "temperature_K": 40.0,
        "duration_ps": 0.12,
        "timestep_fs": 2.0,
        "sample_every_fs": 20.0,
        "current_every_fs": 4.0,
        "thermo_every_fs": 20.0,
        "checkpoint_every_ps": 0.04,
        "write_trajectory": True,
    }
    return Stage(**{**options, **changes})


def start(directory, calculator=None, **options):
    return run_stages(argon(), calculator or LaggingLennardJones(), [production()], directory, **options)


def stop_after(polls):
    left = iter(range(polls))
    return lambda: next(left, None) is None


def halfway(directory, calculator=None, atoms=None):
    with pytest.raises(StoppedInTime):
        run_stages(
            atoms or argon(),
            calculator or LaggingLennardJones(),
            [production()],
            directory,
            should_stop=stop_after(4),
        )


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    directory = tmp_path_factory.mktemp("kept")
    halfway(directory / "halfway")
    start(directory / "done")
    return directory


def lithium():
    return prototype_cell("antiperovskite", "Li3OCl", 3.9).repeat(2)


class Nameless(LaggingLennardJones):
    """Says nothing of itself."""

    fixed_settings = None


CALCULATORS = {
    "of ours": (
        lithium,
        lambda: IonicCalculator(FORCE_FIELD, accuracy=1e-3),
        lambda: IonicCalculator(FORCE_FIELD, accuracy=1e-2),
        "calculator setting accuracy",
    ),
    "ASE's": (
        argon,
        lambda: LennardJones(sigma=3.4, epsilon=0.0104, rc=5.0, smooth=True),
        lambda: LennardJones(sigma=3.4, epsilon=0.104, rc=5.0, smooth=True),
        "calculator setting epsilon",
    ),
    "nameless": (argon, Nameless, lambda: Nameless(epsilon=0.0105), "energy_eV_per_atom of the start"),
}


@pytest.mark.parametrize("who", CALCULATORS)
@pytest.mark.parametrize("finished", [False, True])
def test_another_calculator_of_the_same_class_is_refused_by_what_differs(tmp_path, who, finished):
    atoms, mine, other, message = CALCULATORS[who]
    if finished:
        run_stages(atoms(), mine(), [production()], tmp_path)
    else:
        halfway(tmp_path, mine(), atoms())
    with pytest.raises(ConfigError, match=re.escape(message)):
        run_stages(atoms(), other(), [production()], tmp_path)
    assert run_stages(atoms(), mine(), [production()], tmp_path)["n_steps"] == 60


def test_asking_a_calculator_for_its_answer_does_not_change_the_run(tmp_path):
    start(tmp_path / "named")
    start(tmp_path / "nameless", Nameless())
    one, other = (read_trajectory(tmp_path / name).positions_A for name in ("named", "nameless"))
    assert one.tobytes() == other.tobytes()


def forget_settings(directory):
    """Make the inputs those of a version that did not record settings."""
    path = directory / "inputs.json"
    stored = json.loads(path.read_text())
    del stored["calculator_settings"], stored["calculator_answer"]
    path.write_text(json.dumps(stored))


def test_a_run_of_an_earlier_version_is_continued_if_its_checkpoint_holds_the_settings(tmp_path):
    calculators = [IonicCalculator(FORCE_FIELD, accuracy=accuracy) for accuracy in (1e-3, 1e-2)]
    halfway(tmp_path, calculators[0], lithium())
    forget_settings(tmp_path)
    with pytest.raises(ConfigError, match="calculator setting accuracy"):
        run_stages(lithium(), calculators[1], [production()], tmp_path)
    assert run_stages(lithium(), calculators[0], [production()], tmp_path)["n_steps"] == 60


def test_a_run_of_an_earlier_version_without_settings_is_read_but_not_continued(kept, tmp_path):
    for name in ("halfway", "done"):
        directory = tmp_path / name
        shutil.copytree(kept / name, directory)
        forget_settings(directory)
        with pytest.raises(ConfigError, match="made by an earlier version"):
            start(directory)
        assert read_trajectory(directory).n_frames > 1


@pytest.mark.parametrize("name", ["halfway", "done"])
def test_lost_inputs_are_refused(kept, tmp_path, name):
    shutil.copytree(kept / name, tmp_path / "run")
    (tmp_path / "run" / "inputs.json").unlink()
    with pytest.raises(ConfigError, match=r"inputs\.json is missing beside checkpoint-0\.npz"):
        start(tmp_path / "run")
    assert not (tmp_path / "run" / "inputs.json").exists()


def test_lost_checkpoints_are_refused_and_the_segments_stay(kept, tmp_path):
    directory = tmp_path / "run"
    shutil.copytree(kept / "halfway", directory)
    for path in directory.glob("checkpoint-*"):
        path.unlink()
    before = {path.name: path.read_bytes() for path in (directory / "trajectory").iterdir()}
    with pytest.raises(ConfigError, match=r"production-000001\.h5md but no checkpoint"):
        start(directory)
    assert {path.name: path.read_bytes() for path in (directory / "trajectory").iterdir()} == before


def test_lost_checkpoints_of_a_run_without_frames_are_refused(tmp_path):
    stage = production(write_trajectory=False)
    with pytest.raises(Killed):
        run_stages(argon(), LaggingLennardJones(dies_after=50), [stage], tmp_path)
    for path in tmp_path.glob("checkpoint-*"):
        path.unlink()
    with pytest.raises(ConfigError, match=r"thermo\.csv but no checkpoint"):
        run_stages(argon(), LaggingLennardJones(), [stage], tmp_path)


def test_a_checkpoint_of_another_run_is_refused(kept, tmp_path):
    directory = tmp_path / "run"
    shutil.copytree(kept / "halfway", directory)
    halfway(tmp_path / "other", LaggingLennardJones(epsilon=0.011))
    for path in (tmp_path / "other").glob("checkpoint-*"):
        shutil.copy(path, directory)
    with pytest.raises(ConfigError, match="written with other inputs"):
        start(directory)


@pytest.mark.parametrize("name", ["inputs.json", "outcome.json"])
@pytest.mark.parametrize("content", ["", "[]", "null", "{}", '"text"', '{"stages": 1}'])
def test_a_damaged_record_is_named(kept, tmp_path, name, content):
    shutil.copytree(kept / "done", tmp_path / "run")
    (tmp_path / "run" / name).write_text(content)
    with pytest.raises(ConfigError, match=name) as caught:
        start(tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_a_removed_outcome_is_written_again(kept, tmp_path):
    shutil.copytree(kept / "done", tmp_path / "run")
    written = json.loads((tmp_path / "run" / "outcome.json").read_text())
    (tmp_path / "run" / "outcome.json").unlink()
    assert start(tmp_path / "run", LaggingLennardJones(dies_after=0))["stages"] == written["stages"]


INDEXES = ["", "{}", "[]", "null", '{"segments": null}', '{"segments": [1], "complete": []}']
INDEXES += ['{"segments": [{"stage": "production"}], "complete": []}']


@pytest.mark.parametrize("content", INDEXES)
def test_a_damaged_index_is_named_on_reading_and_on_continuing(kept, tmp_path, content):
    directory = tmp_path / "run"
    shutil.copytree(kept / "halfway", directory)
    (directory / "trajectory" / "index.json").write_text(content)
    for use in (read_trajectory, start):
        with pytest.raises(
            TrajectoryError, match=r"index\.json is damaged \(.*\); expected the list"
        ) as caught:
            use(directory)
        assert "\n" not in str(caught.value)


def flipped(content, rng):
    damaged = bytearray(content)
    damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def test_any_flipped_bit_of_a_segment_is_found(kept, tmp_path):
    directory = tmp_path / "run"
    shutil.copytree(kept / "done", directory)
    path = directory / "trajectory" / "production-000001.h5md"
    content, rng = path.read_bytes(), random.Random(0)
    for _ in range(40):
        path.write_bytes(flipped(content, rng))
        with pytest.raises(TrajectoryError, match=r"production-000001\.h5md is damaged; expected"):
            read_trajectory(directory)


def test_a_flipped_bit_of_an_earlier_segment_is_found_before_the_run_goes_on(kept, tmp_path):
    directory = tmp_path / "run"
    shutil.copytree(kept / "halfway", directory)
    path = directory / "trajectory" / "production-000001.h5md"
    path.write_bytes(flipped(path.read_bytes(), random.Random(1)))
    with pytest.raises(TrajectoryError, match=r"production-000001\.h5md is damaged"):
        start(directory)


def test_an_index_without_hashes_is_read(kept, tmp_path):
    directory = tmp_path / "run"
    shutil.copytree(kept / "halfway", directory)
    path = directory / "trajectory" / "index.json"
    index = json.loads(path.read_text())
    for row in index["segments"]:
        del row["sha256"]
    path.write_text(json.dumps(index))
    expected = read_trajectory(kept / "halfway").positions_A
    assert read_trajectory(directory).positions_A.tobytes() == expected.tobytes()
    start(directory)
    assert read_trajectory(directory).n_frames == 7


def test_any_flipped_bit_of_a_checkpoint_is_found_or_harmless(kept, tmp_path):
    names = ("checkpoint-0.npz", "checkpoint-1.npz")
    states = {}
    for name in names:
        (tmp_path / "alone" / name).parent.mkdir(exist_ok=True)
        shutil.copy(kept / "halfway" / name, tmp_path / "alone" / name)
        states[name] = load_checkpoint(tmp_path / "alone")[0]
        (tmp_path / "alone" / name).unlink()
    newest = max(names, key=lambda name: states[name]["count"])
    older = min(names, key=lambda name: states[name]["count"])
    shutil.copy(kept / "halfway" / older, tmp_path / older)
    content, rng = (kept / "halfway" / newest).read_bytes(), random.Random(2)
    fell_back = 0
    for _ in range(400):
        (tmp_path / newest).write_bytes(flipped(content, rng))
        state, warnings = load_checkpoint(tmp_path)
        name = older if warnings else newest
        fell_back += bool(warnings)
        for key in ("positions", "momenta"):
            assert state[key].tobytes() == states[name][key].tobytes()
        assert state["count"] == states[name]["count"]
    assert fell_back > 100


@pytest.mark.parametrize("error", [NotImplementedError, RuntimeError, MemoryError, TypeError])
def test_whatever_a_damaged_checkpoint_raises_the_older_one_is_taken(kept, monkeypatch, error):
    real, calls = np.load, []

    def load(*arguments, **options):
        calls.append(1)
        if len(calls) == 1:
            raise error("compression\nmethod")
        return real(*arguments, **options)

    monkeypatch.setattr(np, "load", load)
    state, warnings = load_checkpoint(kept / "halfway")
    assert state is not None
    assert "checkpoint-0.npz is damaged" in warnings[0]
    assert "\n" not in warnings[0]


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "torn", "\x00"])
def test_a_damaged_log_is_named(kept, tmp_path, content):
    shutil.copytree(kept / "done", tmp_path / "run")
    path = tmp_path / "run" / "thermo.csv"
    for text in (content, path.read_text()[:-20]):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"thermo\.csv is damaged") as caught:
            read_thermo(tmp_path / "run")
        assert "\n" not in str(caught.value)
