"""``simtools analyse`` on walkers of known diffusivity, written as other programs would write them."""

import json

import numpy as np
import pytest

from simtools.analysers.transport import TransportResult
from simtools.md.step_limit import neighbour_distance_A
from simtools.md.trajectory import Trajectory
from tests.simtools.md import foreign_files as files
from workflows.cli import main
from workflows.cli_base import BAD_INPUT, DONE

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
    first, out = _summary(tmp_path, "a", *dumps, "--hop-length", 2.0, "--allow-long-steps")
    text = capsys.readouterr().out
    assert "host, whose drift is taken out: Li: 4 O" in text
    assert "hop length: Li 2 Å (given)" in text
    assert "Li, wrapped positions: " in text
    assert "steps exceed half of the hop length (1 A) in 0.1 ps, at most" in text
    options = ["--frame-interval", files.INTERVAL_PS, "--allow-long-steps"]
    second, _ = _summary(tmp_path, "b", *posits, "--hop-length", 2.0, *options)
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
    time = ["--frame-interval", files.INTERVAL_PS, "--allow-long-steps"]
    summary, _ = _summary(tmp_path, "c", *parts, "--concatenate", *time)
    grouped, _ = _summary(tmp_path, "g", "--replica", *parts, *time)
    assert summary["source"]["frames"] == [400]
    assert summary["transport"] == grouped["transport"]
    assert summary["source"]["hop_length_from"].startswith("distance between neighbours")


@pytest.mark.parametrize("way", [[], ["--stream"], ["--stride", 3, "--skip", 0.5]])
@pytest.mark.parametrize("counts", ["on", "anew"])
def test_consecutive_parts_given_as_replicas_are_warned_of(tmp_path, walks, counts, way):
    """By the steps that go on, or where each part counts anew by dense frames; not so a run of its own."""
    truth, parts = walks[0], []
    for k, (start, stop) in enumerate([(0, 200), (200, 400)]):
        piece = files.Walk(truth.whole_s[start:stop], truth.cells_A[start:stop])
        steps = [100 * t for t in range(start if counts == "on" else 0, stop)][: stop - start]
        parts.append(files.write_dump(tmp_path / f"{k}.dump", piece, units=False, steps=steps))
    second = files.Walk(walks[1].whole_s[:200], walks[1].cells_A[:200])
    steps = [100 * t for t in range(200, 400)]
    own = files.write_dump(tmp_path / "own.dump", second, units=False, steps=steps)
    options = ["--frame-interval", files.INTERVAL_PS, "--allow-long-steps", "--hop-length", 2.0, *way]
    summary, _ = _summary(tmp_path, "p", *parts, own, *options)
    told = [note for note in summary["warnings"] if "consecutive parts" in note]
    if counts == "anew" and "--stride" in way:
        assert told == []  # what is left says nothing
        return
    (note,) = told
    assert note.startswith(f"{parts[0]} and {parts[1]} look like consecutive parts of one run")
    assert "--concatenate" in note
    assert any("steps exceed half of the hop length" in note for note in summary["warnings"])


def test_replicas_of_a_crystal_that_hardly_moves_are_no_parts(tmp_path):
    """All ions about their sites: every frame of one is as far from the other as from its own."""
    rng = np.random.default_rng(5)
    sites = files.walk(1).whole_s[0]
    paths = []
    for k in range(3):
        shaken = sites + 0.01 * rng.standard_normal((100, *sites.shape))
        walk = files.Walk(shaken, np.repeat(files.CELL_A[None], 100, axis=0))
        paths.append(files.write_extxyz(tmp_path / f"{k}.xyz", walk))
    options = ["--frame-interval", files.INTERVAL_PS, "--hop-length", 2.0]
    summary, _ = _summary(tmp_path, "r", *paths, *options)
    assert not [note for note in summary["warnings"] if "consecutive" in note]


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
        (["{dump}", "{copy}", "--mobile", "Li", "--temperature", "600"], "holds the same positions as"),
        (["{dump}", "{copy}", "--mobile", "Li", "--temperature", "600", "--stream"], "holds the same bytes"),
        (
            ["{dump}", "--mobile", "Li", "--mobile", "Li", "--temperature", "600"],
            "--mobile Li is given twice",
        ),
        (
            ["{dump}", "--mobile", "Li", "--temperature", "600", "--charge", "Li=1", "--charge", "Li=2"],
            "--charge Li is given twice",
        ),
        (["{dump}", "--mobile", "Li", "--temperature", "6", "--charge", f"Li={10**25}"], "at most 99 e"),
        (["{dump}", "--mobile", "Li", "--temperature", "6", "--frame-interval", "1e300"], "must be positive"),
        (["{dump}", "--mobile", "Li", "--temperature", "600", "--cell", "9,9,9"], "a cell of its own"),
        (["{cut}", "--mobile", "Li", "--temperature", "600"], "cut.dump, frame 11: expected"),
        (["{dump}", "--mobile", "Li", "--temperature", "600", "--cell", "1,2"], "3 or 9 numbers"),
        (["{loop}", "--mobile", "Li", "--temperature", "600"], "there is no such file"),
        (["x" * 400, "--mobile", "Li", "--temperature", "600"], "File name too long"),
        (["{dump}", "--mobile", "Li", "--temperature", "600", "-o", "x" * 400], "File name too long"),
        (["{long}", "--mobile", "Li", "--temperature", "600"], "or take the shortest image on trust with"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, arguments, message):
    dump = files.write_dump(tmp_path / "a.dump", files.walk(12, step_A=0.1))
    long = files.write_dump(tmp_path / "long.dump", files.walk(12))
    cut = tmp_path / "cut.dump"
    cut.write_text(dump.read_text()[:-20])
    copy = tmp_path / "copy.dump"
    copy.write_bytes(dump.read_bytes())
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    words = [word.format(dump=dump, copy=copy, cut=cut, long=long, loop=loop) for word in arguments]
    assert main(["analyse", "-o", str(tmp_path / "out"), *words]) == BAD_INPUT
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_the_host_is_chosen_shown_and_must_stay(tmp_path, capsys):
    """A drift of 0.05 Å a frame of everything: taken out with the host, and said."""
    walk = files.walk(400, step_A=0.3, seed=3)
    drift = 0.05 * np.arange(400)[:, None, None] * np.array([1.0, 0, 0]) @ np.linalg.inv(files.CELL_A)
    still = files.write_dump(tmp_path / "still.dump", walk, "xu")
    moving = files.write_dump(tmp_path / "moving.dump", files.Walk(walk.whole_s + drift, walk.cells_A), "xu")
    common = ["--hop-length", 2.0]
    first, _ = _summary(tmp_path, "a", still, *common)
    second, out = _summary(tmp_path, "b", moving, *common, "--host", "O")
    (row,), (other,) = first["transport"], second["transport"]
    for quantity in ("tracer_diffusivity_cm2_per_s", "charge_diffusivity_cm2_per_s"):
        assert row[quantity]["value"] == pytest.approx(other[quantity]["value"], rel=1e-6)
    assert second["source"]["host"] == {"Li": {"O": 4}}
    assert second["source"]["host_drift_A"]["Li"] == pytest.approx(0.05 * 399, abs=0.3)
    text = capsys.readouterr().out
    assert "host, whose drift is taken out: Li: 4 O" in text
    assert "farthest drift of the host: Li 20 Å" in text
    assert "farthest drift of the host" in (out / "report.html").read_text()
    words = [
        "analyse",
        str(still),
        *COMMON[:2],
        *COMMON[-2:],
        "--hop-length",
        "2.0",
        "-o",
        str(tmp_path / "c"),
    ]
    words[words.index("Li")] = "O"
    assert main(words) == BAD_INPUT
    said = capsys.readouterr().err
    assert "host of O: 12 Li made" in said
    assert "expected ions that stay and define a frame" in said
    assert said.count("\n") == 1


def test_the_rounding_of_the_file_is_told_as_what_it_does_to_the_diffusivity(tmp_path, capsys):
    walk = files.walk(400, step_A=0.3, seed=5)
    exact, _ = _summary(tmp_path, "a", files.write_dump(tmp_path / "a.dump", walk, "xu"), "--hop-length", 2.0)
    assert exact["source"]["rounding_effect_cm2_per_s"]["Li"]["tracer"] < 1e-15
    topology = tmp_path / "top.xyz"
    topology.write_text("16\n\n" + "".join(f"{name} 0 0 0\n" for name in files.SPECIES))
    path = files.write_xtc(tmp_path / "a.xtc", walk)
    options = ["--topology", topology, "--hop-length", 2.0, "--allow-long-steps"]
    rounded, _ = _summary(tmp_path, "b", path, *options)
    told = rounded["source"]["rounding_effect_cm2_per_s"]["Li"]
    for key, short in (
        ("tracer_diffusivity_cm2_per_s", "tracer"),
        ("charge_diffusivity_cm2_per_s", "charge"),
    ):
        change = rounded["transport"][0][key]["value"] - exact["transport"][0][key]["value"]
        assert 0 < abs(change) < told[short] < 1e-2 * exact["transport"][0][key]["value"]
    assert "which moves at most (cm²/s): Li: D* by " in capsys.readouterr().out


def test_what_the_output_folder_holds_is_kept_and_known_before_anything_is_read(tmp_path, capsys):
    dump = files.write_dump(tmp_path / "a.dump", files.walk(12, step_A=0.1))
    out = tmp_path / "out"
    (out / "results").mkdir(parents=True)
    mine, stale = out / "results" / "mine.json", out / "results" / "transport-300K-Na.json"
    mine.write_text("{}")
    stale.write_text("{}")
    _summary(tmp_path, "out", dump)
    assert mine.exists()
    assert not stale.exists()
    _summary(tmp_path, "out", dump)
    capsys.readouterr()
    (out / "summary.json").write_text('{"title": "defects"}')
    absent = str(tmp_path / "absent.dump")
    assert main(["analyse", absent, *COMMON, "-o", str(out)]) == BAD_INPUT
    assert "is not that of an analysis of files, and is kept" in capsys.readouterr().err
    assert main(["analyse", absent, *COMMON, "-o", str(dump / "x")]) == BAD_INPUT
    assert "cannot be written" in capsys.readouterr().err
    nowhere = str(tmp_path / "nowhere" / "li.cube")
    new = str(tmp_path / "new")
    assert main(["analyse", absent, *COMMON, "--density", nowhere, "-o", new]) == BAD_INPUT
    assert "there is no folder" in capsys.readouterr().err
    assert main(["analyse", absent, *COMMON, "-o", new]) == BAD_INPUT
    assert "no such file" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
