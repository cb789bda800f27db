"""``simtools analyse`` for files of any size: one pass in bounded memory, resumed where a kill left it.

In memory: analyse.py. What is summed: simtools/analysers/displacement_accumulator.py.
"""

import warnings as python_warnings
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from simtools.analysers.displacement_accumulator import DisplacementAccumulator
from simtools.analysers.replica_sums import part_of_state
from simtools.analysers.replicas import FoldedSteps, default_host
from simtools.analysers.stream_transport import transport_of_stream
from simtools.core.errors import ConfigError, SimtoolsWarning
from simtools.md.frames import FrameChunk
from simtools.md.h5md import recorded_charges_e
from simtools.md.readers import is_run, open_trajectory
from simtools.md.step_limit import AVERAGED_PS, neighbour_distance_A
from simtools.md.trajectory import Trajectory
from workflows.analyse import FileAnalysis
from workflows.consecutive_parts import START_FRAMES, consecutive_parts
from workflows.source_checks import HostDrift, refuse_doubles, refuse_moving_host, rounding_effects
from workflows.statepoints import check_directory
from workflows.stream_checkpoint import StreamCheckpoint, fingerprint

__all__ = ["StreamedFiles", "open_large", "stream_files"]

_LARGEST_EXPANSION = 12
_VALUES_PER_CHUNK = 3_000_000
_SAVE_EVERY_S = 60.0


@dataclass(frozen=True, eq=False)
class StreamedFiles(FileAnalysis):
    """The `FileAnalysis` of a pass over files, with the states to take away once it is written."""

    checkpoint: StreamCheckpoint = field(kw_only=True)


def open_large(replicas, memory_MB, **reading):
    """Return one `FrameSource` for each replica where their positions would take over `memory_MB`, or None.

    Files are looked over only where twelve times their size is more than that: no format packs an atom
    of a frame (24 bytes in double precision) into fewer than two.
    """
    limit = memory_MB * 1e6
    sizes = [
        item.stat().st_size
        for files in replicas
        for path in map(Path, files)
        for item in (path.rglob("*") if path.is_dir() else [path])
        if item.is_file()
    ]
    if _LARGEST_EXPANSION * sum(sizes) <= limit:
        return None
    sources = [open_trajectory(files, **reading) for files in replicas]
    return sources if sum(24 * item.n_frames * item.n_atoms for item in sources) > limit else None


def stream_files(
    replicas,
    *,
    mobile,
    temperature_K,
    charges_e,
    directory,
    host_species=None,
    hop_length_A=None,
    sources=None,
    save_every_s=_SAVE_EVERY_S,
    frames_per_chunk=None,
    **reading,
):
    """Read trajectory files once, in pieces, and return the transport of their mobile ions.

    Parameters
    ----------
    replicas, mobile, temperature_K, charges_e, host_species, hop_length_A, reading
        As for `workflows.analyse.analyse_files`.
    directory
        Where the state is kept, under ``stream``, so that the same call goes on after a kill.
    sources
        What `open_large` returned; opened anew without.
    save_every_s
        Time between saved states, s.
    frames_per_chunk
        Frames read at once; by default as many as hold a million atoms, at most 256. It changes no bit.

    Returns
    -------
    StreamedFiles

    Raises
    ------
    ConfigError
        As `analyse_files` does, and for a saved state of changed files or other settings.
    """
    refuse_doubles(replicas)
    if (Path(directory) / "recipe.toml").exists():
        raise ConfigError(f"{directory} holds a run; choose another -o DIR for the analysis")
    check_directory(directory)
    charges_e = _charges(charges_e, replicas)
    sources = sources or [
        open_trajectory(files, hop_length_A=hop_length_A, hop_species=tuple(mobile), **reading)
        for files in replicas
    ]
    _check_alike(sources, charges_e)
    first = sources[0]
    frames_per_chunk = frames_per_chunk or int(np.clip(_VALUES_PER_CHUNK // (3 * first.n_atoms), 1, 256))
    start = _first_picosecond(first, frames_per_chunk)
    plans = {
        species: {
            "mobile_species": (species,),
            "hop_length_A": float(hop_length_A or neighbour_distance_A(start, species)),
            "host_species": tuple(host_species or default_host(species, first.species.tolist(), charges_e)),
        }
        for species in mobile
    }
    files = fingerprint(path for item in sources for path in item.paths)
    _refuse_copies(files)
    checkpoint = StreamCheckpoint(
        directory,
        files,
        {
            "hop length or host": plans,
            "replicas": [list(item.paths) for item in sources],
            "reading options": _plain(reading),
        },
        save_every_s=save_every_s,
    )
    shortest = min(item.n_frames for item in sources)
    # before the passes below, of which the sources keep what they found
    n_start = min(START_FRAMES, max(frames_per_chunk, 2)) if len(sources) > 1 else 0
    starts_A = [np.array([frame[1] for frame in islice(item.reader(), n_start)]) for item in sources]
    followed = [
        _follow(source, number, plans, shortest, first, checkpoint, frames_per_chunk)
        for number, source in enumerate(sources)
    ]
    sums = followed[0][0]
    for other, _, _ in followed[1:]:
        for species, accumulator in other.items():
            sums[species].merge(accumulator)
    drifts_A = {name: max(drifts[name].farthest_A for _, drifts, _ in followed) for name in plans}
    parts = consecutive_parts(
        [files[0] for files in replicas],
        starts_A,
        [last for _, _, last in followed],
        [item.reference_cell_A for item in sources],
        [item.metadata["clock"] for item in sources],
    )
    return _analysis(
        sums, drifts_A, sources, plans, replicas, checkpoint, charges_e, temperature_K, hop_length_A, parts
    )


def _follow(source, number, plans, shortest, first, checkpoint, frames_per_chunk):
    """Return one replica's {species: `DisplacementAccumulator`}, {species: `HostDrift`} and last frame."""
    sums = {
        species: DisplacementAccumulator(
            species=source.species,
            frame_interval_ps=first.frame_interval_ps,
            masses_amu=source.masses_amu,
            n_frames=shortest,
            **plan,
        )
        for species, plan in plans.items()
    }
    drifts = {
        species: HostDrift(source.species, source.masses_amu, plan["host_species"])
        for species, plan in plans.items()
    }
    folded = FoldedSteps(source.reference_cell_A)
    state = checkpoint.load(number)
    if state is not None:
        folded.set_state(part_of_state(state, "folded/"))
        for species, item in sums.items():
            item.set_state(part_of_state(state, f"sums/{species}/"))
        for species, item in drifts.items():
            item.set_state(part_of_state(state, f"drift/{species}/"))
    done = next(iter(sums.values())).n_frames
    if done == source.n_frames:
        folded.check(number)
        return sums, drifts, folded.get_state()["last"]
    for chunk in source.chunks(frames_per_chunk):
        chunk = _from_frame(chunk, done)
        if chunk is None:
            continue
        folded.update(chunk.positions_A)
        for item in sums.values():
            item.update(chunk)
        for item in drifts.values():
            item.update(chunk.positions_A)
        if checkpoint.is_due:
            checkpoint.save(number, _state(folded, sums, drifts))
    folded.check(number)
    # a short analysis leaves nothing behind
    if checkpoint.is_due or checkpoint.folder.exists():
        checkpoint.save(number, _state(folded, sums, drifts))
    return sums, drifts, folded.get_state()["last"]


def _state(folded, sums, drifts):
    state = {f"folded/{name}": value for name, value in folded.get_state().items()}
    for species, item in sums.items():
        state |= {f"sums/{species}/{name}": value for name, value in item.get_state().items()}
    for species, item in drifts.items():
        state |= {f"drift/{species}/{name}": value for name, value in item.get_state().items()}
    return state


def _from_frame(chunk, first):
    """Return the part of a chunk from frame `first` on, None where nothing is left."""
    skip = max(0, first - chunk.first_frame)
    if skip >= chunk.n_frames:
        return None
    return FrameChunk(
        first_frame=chunk.first_frame + skip,
        times_ps=chunk.times_ps[skip:],
        positions_A=chunk.positions_A[skip:],
        cells_A=chunk.cells_A[skip:],
    )


def _first_picosecond(source, frames_per_chunk):
    """Return a `Trajectory` of one frame: positions averaged over the first picosecond."""
    n_frames = min(source.n_frames, 1 + int(AVERAGED_PS / source.frame_interval_ps))
    total, cell = np.zeros((source.n_atoms, 3)), np.zeros((3, 3))
    for chunk in source.chunks(frames_per_chunk):
        kept = min(chunk.n_frames, n_frames - chunk.first_frame)
        for positions_A, cell_A in zip(chunk.positions_A[:kept], chunk.cells_A[:kept], strict=True):
            total += positions_A
            cell += cell_A
        if chunk.first_frame + kept == n_frames:
            break
    return Trajectory(
        positions_A=total[None] / n_frames,
        species=source.species,
        cells_A=cell / n_frames,
        frame_interval_ps=source.frame_interval_ps,
    )


def _analysis(
    sums, drifts_A, sources, plans, replicas, checkpoint, charges_e, temperature_K, hop_length_A, parts
):
    first = sources[0]
    names, counts = np.unique(first.species, return_counts=True)
    ions = dict(zip(names.tolist(), counts.tolist(), strict=True))
    notes = [*(note for item in sources for note in item.notes()), *parts]
    notes.append("one pass in bounded memory gives transport only; more of the analyses need --memory")
    found, volumes_A3 = [], ()
    with python_warnings.catch_warnings(record=True) as caught:
        python_warnings.simplefilter("always", SimtoolsWarning)
        for species, plan in plans.items():
            streamed = sums[species].result()
            volumes_A3 = streamed.mean_volumes_A3
            n_host = {name: ions[name] * len(sources) for name in plan["host_species"]}
            refuse_moving_host(species, streamed.host_hops, n_host)
            found.append(
                transport_of_stream(
                    streamed,
                    species=species,
                    hop_length_A=plan["hop_length_A"],
                    temperature_K=temperature_K,
                    charge_e=charges_e.get(species),
                    host_species=plan["host_species"],
                )
            )
    if set(charges_e) == set(ions):
        net = sum(charges_e[name] * count for name, count in ions.items())
        notes += [f"the formal charges of the cell sum to {net:+d} e, not to zero"] if net else []
    notes += [str(item.message) for item in caught if issubclass(item.category, SimtoolsWarning)]
    notes += [note for result in found for note in result.warnings]
    varies = first.metadata["varying_cell"]
    source = {
        "replicas": [[str(path) for path in files] for files in replicas],
        "format": f"{first.format}, read in one pass",
        "ions": ions,
        "formal_charges_e": dict(charges_e),
        "temperature_K": float(temperature_K),
        "frames": [item.n_frames for item in sources],
        "frame_interval_ps": first.frame_interval_ps,
        "cell": "changing; displacements in its mean" if varies else "constant",
        "mean_volume_A3": volumes_A3[0],
        "rounding_A": max(item.rounding_A for item in sources),
        "hop_length_A": {species: round(plan["hop_length_A"], 3) for species, plan in plans.items()},
        "hop_length_from": "given" if hop_length_A else "distance between neighbours in the first picosecond",
        "host": {
            species: {name: ions[name] for name in plan["host_species"]} for species, plan in plans.items()
        },
        "host_drift_A": drifts_A,
    }
    source["rounding_effect_cm2_per_s"] = {
        result.species: rounding_effects(result, source) for result in found
    }
    return StreamedFiles(tuple(found), source, tuple(dict.fromkeys(notes)), checkpoint=checkpoint)


def _refuse_copies(files):
    """Refuse files of the same size, start and end: copies would count twice."""
    seen = {}
    for path, (size, _, digest) in files.items():
        if (size, digest) in seen:
            raise ConfigError(
                f"{path} holds the same bytes as {seen[size, digest]}: replicas must be independent, "
                "expected every trajectory once"
            )
        seen[size, digest] = path


def _charges(charges_e, replicas):
    if charges_e:
        return dict(charges_e)
    start = replicas[0][0]
    return recorded_charges_e(start) if is_run(start) else {}


def _check_alike(sources, charges_e):
    """Refuse replicas of different ions, orders of atoms or intervals, and charges of absent species."""
    first = sources[0]
    names = sorted(set(first.species.tolist()))
    unknown = sorted(set(charges_e) - set(names))
    if unknown:
        raise ConfigError(f"--charge names {unknown[0]}, the trajectory has {', '.join(names)}")
    for number, item in enumerate(sources):
        if sorted(item.species.tolist()) != sorted(first.species.tolist()):
            raise ConfigError(
                f"replica {number} has other ions than replica 0: analyse different systems apart"
            )
        if not np.array_equal(item.species, first.species):
            raise ConfigError(
                f"replica {number} lists its atoms in another order than replica 0, which one pass cannot "
                "combine: raise --memory, or reorder them"
            )
        if not np.isclose(item.frame_interval_ps, first.frame_interval_ps, rtol=1e-6):
            raise ConfigError(
                f"replica {number} has a frame every {item.frame_interval_ps} ps, replica 0 every "
                f"{first.frame_interval_ps} ps: replicas must be sampled alike"
            )


def _plain(reading):
    return {
        name: value if isinstance(value, (dict, float, int)) else str(value)
        for name, value in reading.items()
    }
