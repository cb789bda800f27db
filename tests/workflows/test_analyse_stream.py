"""One pass over files against the same files in memory; killed and resumed; changed files refused."""

import json

import pytest
from numpy.testing import assert_allclose

from simtools.core.errors import ConfigError
from simtools.md.frames import FrameSource
from tests.simtools.md import foreign_files as files
from workflows import analyse_stream
from workflows.analyse import analyse_files
from workflows.analyse_stream import open_large, stream_files
from workflows.cli import main
from workflows.cli_base import BAD_INPUT, DONE

COMMON = [
    "--mobile",
    "Li",
    "--charge",
    "Li=1",
    "--charge",
    "O=-2",
    "--temperature",
    "600",
    "--allow-long-steps",
]
ASKED = {
    "mobile": ["Li"],
    "temperature_K": 600.0,
    "charges_e": {"Li": 1, "O": -2},
    "allow_long_steps": True,
}
ESTIMATES = (
    "tracer_diffusivity_cm2_per_s",
    "charge_diffusivity_cm2_per_s",
    "haven_ratio",
    "nernst_einstein_conductivity_S_per_cm",
    "ionic_conductivity_S_per_cm",
)


@pytest.fixture(scope="module")
def dumps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dumps")
    # half of 256 frames is a lag of the stream, up to which it takes every origin
    return [
        files.write_dump(folder / f"{seed}.dump", files.walk(256, seed=seed, breathing=0.005))
        for seed in (1, 2)
    ]


def same_numbers(mine, theirs):
    assert_allclose(mine.lag_times_ps, theirs.lag_times_ps, rtol=1e-12)
    for name in ("msd_A2", "charge_msd_A2", "local_exponent"):
        assert_allclose(getattr(mine, name), getattr(theirs, name), rtol=1e-9, err_msg=name)
    for name in ESTIMATES:
        a, b = getattr(mine, name), getattr(theirs, name)
        assert_allclose([a.value, a.stderr, *a.ci95], [b.value, b.stderr, *b.ci95], rtol=1e-9, err_msg=name)
    assert mine.n_hops == theirs.n_hops
    assert mine.warnings == theirs.warnings


def without_provenance(result):
    return {name: value for name, value in result.to_dict().items() if name != "provenance"}


@pytest.mark.parametrize("options", [{}, {"skip_ps": 12.8, "stride": 2}, {"host_species": ["O"]}])
def test_the_stream_gives_the_numbers_of_the_same_replicas_in_memory(tmp_path, dumps, options):
    replicas = [[path] for path in dumps]
    whole = analyse_files(replicas, **ASKED, **options)
    mine = stream_files(replicas, **ASKED, directory=tmp_path, frames_per_chunk=37, **options)
    same_numbers(mine.transport[0], whole.transport[0])
    for name in ("ions", "frames", "hop_length_A", "hop_length_from", "host", "cell", "formal_charges_e"):
        assert mine.source[name] == whole.source[name], name
    assert mine.source["mean_volume_A3"] == pytest.approx(whole.source["mean_volume_A3"], rel=1e-12)
    assert not list(tmp_path.glob("stream/*"))


def test_parts_of_one_trajectory_stream_as_one_replica(tmp_path):
    walk, parts = files.walk(256, seed=3), []
    for start, stop in ((0, 100), (100, 256)):
        piece = files.Walk(walk.whole_s[start:stop], walk.cells_A[start:stop])
        steps = [100 * t for t in range(start, stop)]
        parts.append(files.write_dump(tmp_path / f"{start}.dump", piece, units=False, steps=steps))
    reading = {"frame_interval_ps": files.INTERVAL_PS}
    mine = stream_files([parts], **ASKED, directory=tmp_path, **reading)
    assert mine.source["frames"] == [256]
    same_numbers(mine.transport[0], analyse_files([parts], **ASKED, **reading).transport[0])


def test_decimated_lags_change_the_numbers_by_little_beside_their_errors(tmp_path):
    path = files.write_dcd(tmp_path / "a.dcd", files.walk(2000, seed=4, step_A=0.3))
    reading = {"species": files.SPECIES.tolist(), "frame_interval_ps": files.INTERVAL_PS}
    whole = analyse_files([[path]], **ASKED, hop_length_A=1.5, **reading).transport[0]
    mine = stream_files([[path]], **ASKED, hop_length_A=1.5, directory=tmp_path, **reading).transport[0]
    for name in ESTIMATES:
        a, b = getattr(mine, name), getattr(whole, name)
        assert abs(a.value - b.value) < 0.3 * b.stderr, name
    assert mine.n_hops == whole.n_hops


def killed(monkeypatch, at_frame, n_before=0):
    """Let the pass that sums (not that which measures the hop length) die at a frame of a replica."""
    whole, passes = FrameSource.chunks, []

    def chunks(self, frames_per_chunk):
        passes.append(self.paths)
        summing = passes.count(self.paths) == (2 if self.paths == passes[0] else 1)
        for chunk in whole(self, frames_per_chunk):
            if summing and len(set(passes)) == n_before + 1 and chunk.first_frame >= at_frame:
                raise KeyboardInterrupt
            yield chunk

    monkeypatch.setattr(FrameSource, "chunks", chunks)


@pytest.mark.parametrize(("replica", "at_frame"), [(0, 100), (1, 40), (1, 250)])
def test_a_killed_pass_goes_on_where_it_was_with_the_same_bits(
    tmp_path, dumps, monkeypatch, replica, at_frame
):
    replicas = [[path] for path in dumps]
    asked = ASKED | {"directory": tmp_path, "save_every_s": 0.0}
    undisturbed = stream_files(replicas, **asked | {"directory": tmp_path / "whole"}, frames_per_chunk=19)
    with monkeypatch.context() as patch:
        killed(patch, at_frame, replica)
        with pytest.raises(KeyboardInterrupt):
            stream_files(replicas, **asked, frames_per_chunk=10)
    assert sorted(path.name for path in (tmp_path / "stream").iterdir()) == [
        "analysis.json",
        *(f"replica-{number}.npz" for number in range(replica + 1)),
    ]
    seen = []
    update = analyse_stream.DisplacementAccumulator.update

    def recorded(self, chunk):
        seen.append(chunk.first_frame)
        update(self, chunk)

    monkeypatch.setattr(analyse_stream.DisplacementAccumulator, "update", recorded)
    resumed = stream_files(replicas, **asked, frames_per_chunk=33)
    assert seen[0] == at_frame
    assert without_provenance(resumed.transport[0]) == without_provenance(undisturbed.transport[0])
    resumed.checkpoint.clear()
    assert not (tmp_path / "stream").exists()


def test_a_changed_file_or_another_question_is_refused_in_one_line(tmp_path, dumps):
    path = tmp_path / "a.dump"
    path.write_bytes(dumps[0].read_bytes())
    asked = {"directory": tmp_path / "out", "save_every_s": 0.0}
    stream_files([[path]], **ASKED, **asked)
    for changed, message in (
        ({"hop_length_A": 2.0}, "with other hop length or host"),
        ({"skip_ps": 1.0}, "with other .*reading options"),
    ):
        with pytest.raises(ConfigError, match=message) as caught:
            stream_files([[path]], **ASKED, **asked, **changed)
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="with other files"):
        stream_files([[path], [dumps[1]]], **ASKED, **asked)
    text = path.read_text()
    path.write_text(text[:40000] + text[40000:].replace("7", "8", 1))
    with pytest.raises(ConfigError, match=r"a\.dump has changed since .* expected the same file"):
        stream_files([[path]], **ASKED, **asked)


def test_a_damaged_state_is_refused_in_one_line(tmp_path, dumps):
    asked = ASKED | {"directory": tmp_path, "save_every_s": 0.0}
    stream_files([dumps[:1]], **asked)
    place = tmp_path / "stream" / "replica-0.npz"
    place.write_bytes(place.read_bytes()[:1000])
    with pytest.raises(ConfigError, match=r"replica-0\.npz is damaged: delete .*stream to begin anew"):
        stream_files([dumps[:1]], **asked)
    (tmp_path / "stream" / "analysis.json").write_text("{")
    with pytest.raises(ConfigError, match=r"analysis\.json is damaged"):
        stream_files([dumps[:1]], **asked)


def test_size_decides_and_both_ways_write_the_same_summary(tmp_path, dumps, capsys):
    # 2 x 256 frames of 16 atoms are 0.197 MB
    assert [item.n_frames for item in open_large([[dumps[0]], [dumps[1]]], 0.19)] == [256, 256]
    assert open_large([[dumps[0]], [dumps[1]]], 0.2) is None
    rows = []
    for name, options in (("memory", []), ("stream", ["--memory", "0.1"])):
        out = tmp_path / name
        assert main(["analyse", *map(str, dumps), *COMMON, *options, "-o", str(out)]) == DONE
        summary = json.loads((out / "summary.json").read_text())
        assert ("one pass" in summary["source"]["format"]) == (name != "memory")
        assert (out / "report.html").exists()
        assert not (out / "stream").exists()
        rows.append(summary["transport"][0])
    for name in ESTIMATES:
        assert rows[1][name]["value"] == pytest.approx(rows[0][name]["value"], rel=1e-9)
    capsys.readouterr()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--charge", "F=-1"], "--charge names F"),
        (["--host", "Cl"], "no species 'Cl'"),
        (["--memory", "0"], "--memory must be positive"),
    ],
)
def test_what_cannot_be_streamed_is_refused_in_one_line(tmp_path, dumps, capsys, options, message):
    assert (
        main(["analyse", str(dumps[0]), *COMMON, "--stream", *options, "-o", str(tmp_path / "o")])
        == BAD_INPUT
    )
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_replicas_in_another_order_of_atoms_are_refused(tmp_path):
    names = files.SPECIES.tolist()
    reading = {"frame_interval_ps": files.INTERVAL_PS}
    first = files.write_extxyz(tmp_path / "a.xyz", files.walk(40, seed=2), time_key="time")
    text = first.read_text().splitlines(keepends=True)
    block = len(names) + 2
    for start in range(0, len(text), block):
        text[start + 2], text[start + block - 1] = text[start + block - 1], text[start + 2]
    second = tmp_path / "b.xyz"
    second.write_text("".join(text))
    with pytest.raises(ConfigError, match="replica 1 lists its atoms in another order"):
        stream_files([[first], [second]], **ASKED, directory=tmp_path / "o", **reading)
