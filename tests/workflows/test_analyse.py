"""``simtools analyse`` on walkers of known diffusivity, written as other programs would write them."""

import json

import numpy as np
import pytest

from simtools.analysers.transport import TransportResult
from simtools.md.trajectory import Trajectory
from tests.simtools.md import foreign_files as files
from workflows.analyse import neighbour_distance_A
from workflows.cli import BAD_INPUT, DONE, main

STEP_A = 0.5
TRUE_D_CM2_PER_S = STEP_A**2 / 2 / files.INTERVAL_PS * 1e-4
COMMON = ["--mobile", "Li", "--charge", "Li=1", "--charge", "O=-2", "--temperature", "600"]


def _summary(tmp_path, name, *arguments):
    out = tmp_path / name
    options = [*COMMON, "--only", "transport", "-o", str(out)]
    assert main(["analyse", *map(str, arguments), *options]) == DONE
    return json.loads((out / "summary.json").read_text()), out


@pytest.fixture(scope="module")
def walks():
    return [files.walk(400, seed=seed, step_A=STEP_A, breathing=0.005) for seed in (1, 2)]


def test_dump_and_xdatcar_give_the_diffusivity_of_the_walk(tmp_path, walks, capsys):
    dumps = [files.write_dump(tmp_path / f"{k}.dump", walk) for k, walk in enumerate(walks)]
    posits = [files.write_xdatcar(tmp_path / f"XDATCAR{k}", walk) for k, walk in enumerate(walks)]
    first, out = _summary(tmp_path, "a", *dumps, "--hop-length", 2.0)
    text = capsys.readouterr().out
    assert "host, whose drift is taken out: Li: 4 O" in text
    assert "hop length: Li 2 Å (given)" in text
    second, _ = _summary(tmp_path, "b", *posits, "--hop-length", 2.0, "--frame-interval", files.INTERVAL_PS)
    (row,), (other,) = first["transport"], second["transport"]
    low, high = row["tracer_diffusivity_cm2_per_s"]["ci95"]
    assert low < TRUE_D_CM2_PER_S < high
    assert row["n_replicas"] == 2
    for quantity in ("tracer_diffusivity_cm2_per_s", "charge_diffusivity_cm2_per_s"):
        assert row[quantity]["value"] == pytest.approx(other[quantity]["value"], rel=1e-6)
    stored = TransportResult.from_json((out / "results" / "transport-600K-Li.json").read_text())
    assert stored.tracer_diffusivity_cm2_per_s.value == row["tracer_diffusivity_cm2_per_s"]["value"]
    assert (out / "figures" / "msd.svg").exists()
    assert "What was analysed" in (out / "report.html").read_text()
    assert first["schema"] == 1
    assert first["source"]["cell"].startswith("changing")


def test_parts_are_one_replica_and_the_hop_length_is_measured(tmp_path, walks):
    walk = walks[0]
    parts = []
    for k, (start, stop) in enumerate([(0, 150), (150, 400)]):
        piece = files.Walk(walk.whole_s[start:stop], walk.cells_A[start:stop])
        steps = [100 * t for t in range(start, stop)]
        parts.append(files.write_dump(tmp_path / f"{k}.dump", piece, units=False, steps=steps))
    time = ["--frame-interval", files.INTERVAL_PS]
    summary, _ = _summary(tmp_path, "c", *parts, "--concatenate", *time)
    grouped, _ = _summary(tmp_path, "g", "--replica", *parts, *time)
    assert summary["source"]["frames"] == [400]
    assert summary["transport"] == grouped["transport"]
    assert summary["source"]["hop_length_from"].startswith("distance between neighbours")


def test_neighbour_distance_of_a_lattice():
    grid = 2.8 * np.stack(np.meshgrid(*[np.arange(4)] * 3), axis=-1).reshape(-1, 3)
    trajectory = Trajectory(
        positions_A=np.array([grid, grid]),
        species=np.full(64, "Li"),
        cells_A=11.2 * np.eye(3),
        frame_interval_ps=1.0,
    )
    assert neighbour_distance_A(trajectory, "Li") == pytest.approx(2.8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{dump}", "--mobile", "Li", "--temperature", "600", "--charge", "Li=0.7"], "must be an integer"),
        (["{dump}", "--mobile", "Na", "--temperature", "600"], "no species 'Na'; available: Li, O"),
        (["{dump}", "--mobile", "Li", "--temperature", "600", "--charge", "F=-1"], "--charge names F"),
        (["--mobile", "Li", "--temperature", "600"], "either TRAJECTORY files or --replica"),
        (["{dump}", "{dump}", "--mobile", "Li", "--temperature", "600"], "given twice"),
        (["{dump}", "--mobile", "Li", "--temperature", "600", "--host", "Cl"], "no species 'Cl'"),
        (["{dump}", "--mobile", "Li", "--temperature", "-3"], "--temperature must be positive"),
        (["{cut}", "--mobile", "Li", "--temperature", "600"], "cut.dump, frame 11: expected"),
        (["{dump}", "--mobile", "Li", "--temperature", "600", "--cell", "1,2"], "3 or 9 numbers"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, arguments, message):
    dump = files.write_dump(tmp_path / "a.dump", files.walk(12))
    cut = tmp_path / "cut.dump"
    cut.write_text(dump.read_text()[:-20])
    words = [word.format(dump=dump, cut=cut) for word in arguments]
    assert main(["analyse", *words, "-o", str(tmp_path / "out")]) == BAD_INPUT
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
