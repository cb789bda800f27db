"""Squared displacements at every lag, ours beside five other packages: time, memory, error.

    python -m benchmarks.analysis [--frames 2000] [--ions 100] [--repeats 5] [--large] [--output FILE]

One trajectory (walking, rattling ions; `--large` is 10⁴ frames of 1000) for all. Repeats are interleaved;
medians of processor time and their ratios to ours are printed. "FFTs alone" are the transforms that ours
needs, on memory that is ready. Errors are the largest relative deviation from sums over every pair of frames
at some lags from 1 to half of the run. Memory is the growth of the process's peak above the positions that it
was given, in copies of these (float64), from a process of its own. MDAnalysis (with tidynamics) and kinisi
take single precision from memory; kinisi does lags on a geometric grid, since all take it minutes. pymatgen
transforms every atom, then keeps at most 200 lags, tracer and collective; it and GEMDAT are timed with the
making of their input, which both need. GEMDAT has every lag of the tracer; its Haven ratio uses the last
frame only. Peers that are not installed are named and left out.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from scipy import fft

from simtools.analysers.full_lag import full_lag_sums
from simtools.analysers.lag_sums import LagSums, geometric_lags
from simtools.core.provenance import collect_provenance
from simtools.md.trajectory import Trajectory

N_HOST = 8
BOX_A = 200.0
WARM_FRAMES = 40
#: {package: module}
VERSIONS = {
    "numpy": "numpy",
    "scipy": "scipy",
    "MDAnalysis": "MDAnalysis",
    "tidynamics": "tidynamics",
    "kinisi": "kinisi",
    "pymatgen-analysis-diffusion": "pymatgen.analysis.diffusion",
    "gemdat": "gemdat",
}


def walk(n_frames, n_ions, *, seed=1):
    """Return unwrapped positions of ions that diffuse and rattle, Å."""
    rng = np.random.default_rng(seed)
    r_tnc = rng.normal(scale=0.1, size=(n_frames, n_ions, 3))
    np.cumsum(r_tnc, axis=0, out=r_tnc)
    r_tnc += rng.normal(scale=0.1, size=(n_frames, n_ions, 3))
    return r_tnc + 0.5 * BOX_A


def universe(r_tnc, n_host=0):
    """Return an MDAnalysis universe of lithium, followed by `n_host` oxygen atoms at rest."""
    import MDAnalysis

    host_tnc = np.full((len(r_tnc), n_host, 3), 0.4 * BOX_A)
    result = MDAnalysis.Universe.empty(r_tnc.shape[1] + n_host, trajectory=True)
    result.add_TopologyAttr("type", ["Li"] * r_tnc.shape[1] + ["O"] * n_host)
    result.load_new(np.concatenate([r_tnc, host_tnc], axis=1), dimensions=[BOX_A] * 3 + [90.0] * 3)
    return result


def ours(r_tnc):
    """Give every lag of both displacements by Fourier transform."""
    own_kc, collective_kc = full_lag_sums(r_tnc, workers=1)
    lags = np.arange(1, len(r_tnc) // 2 + 1)
    return lags, own_kc[lags].sum(axis=1), collective_kc[lags].sum(axis=1)


def transforms(r_tnc):
    """Do the transforms of `ours` and nothing else."""
    n_frames, n_ions, _ = r_tnc.shape
    n_fft = fft.next_fast_len(2 * n_frames - 1, real=True)
    x_cnt = np.zeros((3, 8, n_fft))
    x_cnt[..., :n_frames] = 1.0
    spectrum_cnf = np.empty((3, 8, n_fft // 2 + 1), dtype=complex)
    for first in range(0, n_ions, 8):
        n = min(8, n_ions - first)
        np.fft.rfft(x_cnt[:, :n], axis=-1, out=spectrum_cnf[:, :n])
    for _ in range(2):
        fft.irfft(spectrum_cnf[:, 0], n=n_fft, axis=-1)
    return None


def stream(r_tnc):
    """Feed chunks of 256 frames to the blocked sums."""
    sums = LagSums(r_tnc.shape[1])
    for first in range(0, len(r_tnc), 256):
        sums.update(r_tnc[first : first + 256])
    parts = [part for part in sums.results() if part.stride == 1]
    own = [part.totals_q[0] / (part.n_starts * r_tnc.shape[1]) for part in parts]
    return np.array([part.lag for part in parts]), np.array(own), None


def tidynamics_loop(r_tnc):
    """Call `tidynamics.msd` for each ion and for the sum."""
    import tidynamics

    own = sum(tidynamics.msd(r_tnc[:, n]) for n in range(r_tnc.shape[1])) / r_tnc.shape[1]
    collective = tidynamics.msd((r_tnc - r_tnc[0]).sum(axis=1)) / r_tnc.shape[1]
    lags = np.arange(1, len(r_tnc) // 2 + 1)
    return lags, own[lags], collective[lags]


def mdanalysis(r_tnc):
    """Run `EinsteinMSD(fft=True)`: no collective displacement."""
    from MDAnalysis.analysis.msd import EinsteinMSD

    result = EinsteinMSD(universe(r_tnc), fft=True).run().results.timeseries
    lags = np.arange(1, len(r_tnc) // 2 + 1)
    return lags, np.asarray(result)[lags], None


def kinisi(r_tnc):
    """Run `DiffusionAnalyzer.from_universe` on a geometric grid of lags."""
    import scipp
    from kinisi.analyze import DiffusionAnalyzer

    lags = geometric_lags(len(r_tnc) // 2)
    result = DiffusionAnalyzer.from_universe(
        universe(r_tnc, N_HOST),
        specie="Li",
        time_step=1.0 * scipp.Unit("ps"),
        step_skip=1 * scipp.Unit("dimensionless"),
        dt=scipp.array(dims=["time interval"], values=lags.astype(float), unit="ps"),
        progress=False,
    )
    return lags, result.msd.values, None


def pymatgen(r_tnc):
    """Run pymatgen's `DiffusionAnalyzer` (smoothed="max") as far as half of the run is concerned."""
    from benchmarks.peers import pymatgen_analyzer

    result = pymatgen_analyzer(trajectory_of(r_tnc))
    lags = np.round(result.dt / 1000).astype(int)
    kept = lags <= len(r_tnc) // 2
    return lags[kept], result.msd[kept], result.mscd[kept]


def gemdat(r_tnc):
    """Run GEMDAT's `Trajectory.mean_squared_displacement`: no collective displacement."""
    from benchmarks.peers import gemdat_trajectory

    result = gemdat_trajectory(trajectory_of(r_tnc)).mean_squared_displacement().mean(axis=0)
    lags = np.arange(1, len(r_tnc) // 2 + 1)
    return lags, result[lags], None


def trajectory_of(r_tnc):
    """Return the positions as lithium of ours, a frame per ps."""
    return Trajectory(
        positions_A=r_tnc,
        species=np.full(r_tnc.shape[1], "Li"),
        cells_A=BOX_A * np.eye(3),
        frame_interval_ps=1.0,
        temperature_K=1000.0,
    )


CONTENDERS = {
    "ours, every lag, tracer and collective": (ours, ()),
    "FFTs alone": (transforms, ()),
    "ours, streamed": (stream, ()),
    "tidynamics, tracer and collective": (tidynamics_loop, ("tidynamics",)),
    "MDAnalysis EinsteinMSD(fft=True)": (mdanalysis, ("MDAnalysis", "tidynamics")),
    "pymatgen DiffusionAnalyzer, 200 lags, tracer and collective": (
        pymatgen,
        ("pymatgen.analysis.diffusion",),
    ),
    "GEMDAT mean_squared_displacement": (gemdat, ("gemdat",)),
    "kinisi DiffusionAnalyzer, geometric lags": (kinisi, ("kinisi", "MDAnalysis")),
}


def deviation(r_tnc, lags, values, *, collective=False):
    """Return the largest relative deviation from double sums at twelve of `lags` (three beyond 1 GB)."""
    if values is None:
        return None
    if collective:
        r_tnc = (r_tnc - r_tnc[0]).sum(axis=1, keepdims=True) / np.sqrt(r_tnc.shape[1])
    chosen = np.unique(np.linspace(0, len(lags) - 1, 12 if r_tnc.nbytes < 1e9 else 3).astype(int))
    exact = []
    for k in lags[chosen]:
        step = r_tnc[k:] - r_tnc[:-k]
        exact.append(np.vdot(step, step) / (step.shape[0] * step.shape[1]))
    return float(np.max(np.abs(values[chosen] / exact - 1)))


def _installed(package):
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def peak_copies(name, n_frames, n_ions):
    """Return the growth of peak memory while one contender runs, in copies of the positions."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.analysis",
        "--memory-of",
        name,
        "--frames",
        str(n_frames),
        "--ions",
        str(n_ions),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def memory_of(name, n_frames, n_ions):
    """Print what `peak_copies` reads."""
    warnings.simplefilter("ignore")
    run = CONTENDERS[name][0]
    r_tnc = walk(n_frames, n_ions)
    run(r_tnc[:WARM_FRAMES].copy())
    # the peak of making the trajectory must not hide that of the contender
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _resident_bytes()
    run(r_tnc)
    print((peak_bytes() - before) / r_tnc.nbytes)


def peak_bytes():
    """Return the largest resident memory of this process so far, bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _resident_bytes():
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def measure(n_frames, n_ions, repeats, leave_out=()):
    """Return one row for each contender that is installed, and the names of those that are not."""
    r_tnc = walk(n_frames, n_ions)
    missing = {
        name: [package for package in needs if package in leave_out or not _installed(package)]
        for name, (_, needs) in CONTENDERS.items()
    }
    names = [name for name in CONTENDERS if not missing[name]]
    samples, answers = {name: [] for name in names}, {}
    for name in names:
        CONTENDERS[name][0](r_tnc[:WARM_FRAMES].copy())
    for _ in range(repeats):
        for name in names:
            start = time.process_time()
            answers[name] = CONTENDERS[name][0](r_tnc)
            samples[name].append(time.process_time() - start)
    reference = names[0]
    rows = []
    for name in names:
        lags, own, collective = answers[name] or ((), None, None)
        ratios = [theirs / mine for theirs, mine in zip(samples[name], samples[reference], strict=True)]
        rows.append(
            {
                "method": name,
                "cpu_s": statistics.median(samples[name]),
                "cpu_s_samples": samples[name],
                "times_ours": statistics.median(ratios),
                "times_ours_range": [min(ratios), max(ratios)],
                "relative_deviation": deviation(r_tnc, lags, own),
                "relative_deviation_collective": deviation(r_tnc, lags, collective, collective=True),
                "extra_memory_copies": peak_copies(name, n_frames, n_ions),
            }
        )
    return rows, {name: packages for name, packages in missing.items() if packages}


def main():
    """Measure, print the table, write JSON if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--ions", type=int, default=100)
    parser.add_argument("--large", action="store_true", help="10 000 frames of 1000 ions")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--leave-out", nargs="*", default=[], help="packages, such as kinisi")
    parser.add_argument("--memory-of", choices=CONTENDERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    n_frames, n_ions = (10_000, 1000) if arguments.large else (arguments.frames, arguments.ions)
    if arguments.memory_of:
        memory_of(arguments.memory_of, n_frames, n_ions)
        return
    warnings.simplefilter("ignore")
    rows, missing = measure(n_frames, n_ions, arguments.repeats, arguments.leave_out)
    print(f"{n_frames} frames x {n_ions} ions, median of {arguments.repeats}")
    for row in rows:
        errors = [row["relative_deviation"], row["relative_deviation_collective"]]
        shown = ["      -" if error is None else f"{error:7.0e}" for error in errors]
        print(
            f"  {row['method']:60s} {row['cpu_s']:8.3f} s  {row['times_ours']:7.2f} x ours error {shown[0]} "
            f" collective {shown[1]} memory {row['extra_memory_copies']:.2f} copies"
        )
    for name, packages in missing.items():
        print(f"  {name}: not run, {', '.join(packages)} left out or not installed")
    if arguments.output is not None:
        provenance = collect_provenance(frames=n_frames, ions=n_ions, repeats=arguments.repeats)
        for key in ("host", "platform"):
            provenance.pop(key, None)
        versions = {
            package: importlib.metadata.version(package)
            for package, module in VERSIONS.items()
            if _installed(module)
        }
        document = {"provenance": provenance, "versions": versions, "results": rows, "not_run": missing}
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
