"""One pass over a trajectory that does not fit in memory: peak memory, time per frame, agreement.

    python -m benchmarks.streaming [--frames 1000000] [--ions 1000] [--output FILE] [--file PATH]

Walking ions come in chunks from a generator, so that no file is needed (10⁶ frames of 1000 ions would take 12
GB in single precision); making them is timed apart and subtracted. Their diffusivity is known: every frame
adds normal steps of 0.1 Å along each direction. Peak memory is that of the whole process, libraries and
generator included. Beside it stand 10⁴ frames of as many ions, once streamed and once in memory
(`analyse_transport`), each in a process of its own. With `--file` a DCD of 10⁴ frames is written there (by
MDAnalysis) and streamed as well, reading included.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.analysis import peak_bytes
from simtools.analysers.stream_transport import stream_transport
from simtools.analysers.transport import analyse_transport
from simtools.core.provenance import collect_provenance
from simtools.md.frames import FrameChunk
from simtools.md.readers import open_trajectory
from simtools.md.trajectory import Trajectory

STEP_A, INTERVAL_PS, HOP_A, CELL_A, TEMPERATURE_K = 0.1, 0.1, 2.0, 40.0, 1000.0
EXACT_CM2_PER_S = STEP_A**2 / (2 * INTERVAL_PS) * 1e-4
CHUNK, SHORT = 256, 10_000
MEASURES = ("stream", "memory", "generate", "file")


@dataclass
class Walk:
    """Independent walkers, made while they are read."""

    n_frames: int
    n_ions: int
    seed: int = 1
    frame_interval_ps: float = INTERVAL_PS
    masses_amu: np.ndarray | None = None

    @property
    def species(self):
        """Species of each ion, shape (n_ions,)."""
        return np.array(["Li"] * self.n_ions)

    def chunks(self, frames_per_chunk):
        """Yield `FrameChunk` of at most `frames_per_chunk` frames."""
        rng = np.random.default_rng(self.seed)
        place_nc = CELL_A * rng.random((self.n_ions, 3))
        for first in range(0, self.n_frames, frames_per_chunk):
            frames = np.arange(first, min(first + frames_per_chunk, self.n_frames))
            steps = rng.standard_normal((len(frames), self.n_ions, 3), dtype=np.float32)
            r_tnc = np.cumsum(steps, axis=0, dtype=float)
            r_tnc *= STEP_A
            r_tnc += place_nc
            place_nc = r_tnc[-1].copy()
            yield FrameChunk(
                first_frame=first,
                times_ps=frames * self.frame_interval_ps,
                positions_A=r_tnc,
                cells_A=np.broadcast_to(CELL_A * np.eye(3), (len(frames), 3, 3)),
            )


def transport_of(source):
    """Stream `source` and return its `TransportResult`."""
    return stream_transport(
        [source],
        mobile_species=("Li",),
        hop_length_A=HOP_A,
        temperature_K=TEMPERATURE_K,
        formal_charges_e={"Li": 1},
        frames_per_chunk=CHUNK,
    )["Li"]


def in_memory(walk):
    """Return the whole `Trajectory`."""
    positions = np.empty((walk.n_frames, walk.n_ions, 3))
    for chunk in walk.chunks(CHUNK):
        positions[chunk.first_frame : chunk.first_frame + chunk.n_frames] = chunk.positions_A
    return Trajectory(
        positions_A=positions,
        species=walk.species,
        cells_A=CELL_A * np.eye(3),
        frame_interval_ps=walk.frame_interval_ps,
        temperature_K=TEMPERATURE_K,
        formal_charges_e={"Li": 1},
    )


def write_dcd(walk, path):
    """Write `walk` in single precision and return how to open it again."""
    import MDAnalysis

    universe = MDAnalysis.Universe.empty(walk.n_ions, trajectory=True)
    universe.dimensions = [CELL_A] * 3 + [90.0] * 3
    with MDAnalysis.Writer(str(path), n_atoms=walk.n_ions, dt=INTERVAL_PS) as writer:
        for chunk in walk.chunks(CHUNK):
            for r_nc in chunk.positions_A:
                universe.atoms.positions = r_nc
                writer.write(universe.atoms)
    return {"species": ["Li"] * walk.n_ions, "frame_interval_ps": INTERVAL_PS, "coordinates": "unwrapped"}


def measure(kind, n_frames, n_ions, path=None):
    """Run one measurement in this process and return what it took and gave."""
    walk = Walk(n_frames, n_ions)
    transport_of(Walk(600, 20))
    result = None
    if kind == "file":
        options = write_dcd(walk, path)
    elif kind == "memory":
        trajectory = in_memory(walk)
        analyse_transport([in_memory(Walk(600, 20))], species="Li", hop_length_A=HOP_A)
    start = time.process_time()
    if kind == "generate":
        for _ in walk.chunks(CHUNK):
            pass
    elif kind == "stream":
        result = transport_of(walk)
    elif kind == "file":
        result = transport_of(open_trajectory(path, **options))
    else:
        result = analyse_transport([trajectory], species="Li", hop_length_A=HOP_A)
    row = {"kind": kind, "frames": n_frames, "ions": n_ions, "cpu_s": time.process_time() - start}
    row["peak_GB"] = peak_bytes() / 1e9
    if result is not None:
        row |= {
            name: {"value": item.value, "stderr": item.stderr, "ci95": list(item.ci95)}
            for name, item in (
                ("tracer_diffusivity_cm2_per_s", result.tracer_diffusivity_cm2_per_s),
                ("charge_diffusivity_cm2_per_s", result.charge_diffusivity_cm2_per_s),
                ("haven_ratio", result.haven_ratio),
                ("ionic_conductivity_S_per_cm", result.ionic_conductivity_S_per_cm),
            )
        }
    return row


def apart(kind, n_frames, n_ions, path=None):
    """Return `measure` of a process of its own."""
    command = [sys.executable, "-m", "benchmarks.streaming", "--measure", kind]
    command += ["--frames", str(n_frames), "--ions", str(n_ions)]
    command += ["--file", str(path)] if path is not None else []
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compared(streamed, whole):
    """Return the difference of two rows in standard errors, for each quantity."""
    names = [name for name in streamed if isinstance(streamed[name], dict)]
    return {name: (streamed[name]["value"] - whole[name]["value"]) / whole[name]["stderr"] for name in names}


def main():
    """Measure, print, write JSON if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--ions", type=int, default=1000)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--measure", choices=MEASURES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.frames, arguments.ions, arguments.file)))
        return
    short = min(SHORT, arguments.frames)
    rows = {
        "memory": apart("memory", short, arguments.ions),
        "short stream": apart("stream", short, arguments.ions),
        "short generator": apart("generate", short, arguments.ions),
        "stream": apart("stream", arguments.frames, arguments.ions),
        "generator": apart("generate", arguments.frames, arguments.ions),
    }
    if arguments.file is not None:
        rows["file"] = apart("file", short, arguments.ions, arguments.file)
    for name, less in (("short stream", "short generator"), ("stream", "generator")):
        rows[name]["own_ms_per_frame"] = (
            1e3 * (rows[name]["cpu_s"] - rows[less]["cpu_s"]) / rows[name]["frames"]
        )
    rows["memory"]["own_ms_per_frame"] = 1e3 * rows["memory"]["cpu_s"] / short
    summary = {
        "exact_diffusivity_cm2_per_s": EXACT_CM2_PER_S,
        "stream_over_memory_time_per_frame": rows["stream"]["own_ms_per_frame"]
        / rows["memory"]["own_ms_per_frame"],
        "short_stream_minus_memory_in_stderr": compared(rows["short stream"], rows["memory"]),
        "tracer_minus_exact_in_stderr": (
            rows["stream"]["tracer_diffusivity_cm2_per_s"]["value"] - EXACT_CM2_PER_S
        )
        / rows["stream"]["tracer_diffusivity_cm2_per_s"]["stderr"],
    }
    for name, row in rows.items():
        own = f"{row['own_ms_per_frame']:.3f} ms/frame" if "own_ms_per_frame" in row else ""
        size = f"{row['frames']:8d} x {row['ions']}"
        print(f"{name:16s} {size} {row['cpu_s']:8.1f} s {row['peak_GB']:.3f} GB {own}")
    print(json.dumps(summary, indent=1))
    if arguments.output is not None:
        provenance = collect_provenance(frames=arguments.frames, ions=arguments.ions)
        for key in ("host", "platform"):
            provenance.pop(key, None)
        document = {"provenance": provenance, "summary": summary, "results": rows}
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
