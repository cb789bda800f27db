"""What a run directory says about its run: compared, read back, and never begun again over what is lost."""

import hashlib
import json
from pathlib import Path

from simtools.core.errors import ConfigError
from simtools.md.checkpoint import CHECKPOINT_NAMES, load_checkpoint, replace_file
from simtools.md.thermo import NAME as THERMO
from simtools.md.trajectory_index import FOLDER

__all__ = ["compare_inputs", "digest_of", "read_outcome", "refuse_lost_checkpoints", "write_inputs"]

INPUTS = "inputs.json"
OUTCOME = "outcome.json"
_OPTIONAL = ("rigid_molecules", "cone_restraint", "held_atoms")  # recorded only where the run has them
_ANSWER_RTOL = 1e-4
_ANSWER_ATOL = 1e-5  # eV and eV/Å: far above single-precision noise


def write_inputs(directory, inputs, *, fence=None):
    """Record `inputs` in a directory that holds no run yet."""
    traces = [name for name in (*CHECKPOINT_NAMES, OUTCOME) if (directory / name).exists()]
    traces += _segments(directory)
    if traces:
        raise ConfigError(
            f"{directory / INPUTS} is missing beside {traces[0]}, expected the inputs of the run that wrote "
            "it; put it back or choose a new directory"
        )
    text = json.dumps(inputs, indent=1).encode()
    replace_file(directory / INPUTS, lambda stream: stream.write(text), fence=fence)


def compare_inputs(directory, inputs):
    """Refuse a directory whose recorded inputs are not `inputs`, naming what differs.

    Of runs made before a calculator's settings were recorded, those that its checkpointed state repeats are
    compared.
    """
    stored = _read_object(directory / INPUTS, "the inputs of this run")
    if "stages" not in stored or "atoms" not in stored:
        raise ConfigError(f"{directory / INPUTS} is damaged; expected the inputs of this run")
    if "calculator_settings" not in stored:
        stored["calculator_settings"] = _remembered_settings(directory, inputs["calculator_settings"])
    different = []
    for key, value in inputs.items():
        if key == "calculator_settings":
            different += _different_settings(stored[key], value)
        elif key == "calculator_answer":
            different += _different_answer(stored.get(key), value)
        elif stored.get(key) != value:
            different.append(key)
    different += [key for key in _OPTIONAL if key in stored and key not in inputs]
    if different:
        raise ConfigError(
            f"{directory} holds a run with other inputs ({', '.join(sorted(different))} differ); "
            "choose a new directory"
        )


def digest_of(inputs):
    """Return the SHA-256 of `inputs`, without the answers that may differ by rounding."""
    kept = {key: inputs[key] for key in inputs if key != "calculator_answer"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def read_outcome(directory):
    """Return the outcome of a finished run, or None."""
    path = directory / OUTCOME
    if not path.exists():
        return None
    outcome = _read_object(path, "the outcome of a finished run: remove it to have it written again")
    if not isinstance(outcome.get("stages"), list):
        raise ConfigError(
            f"{path} is damaged; expected the outcome of a finished run: remove it to have it written again"
        )
    return outcome


def refuse_lost_checkpoints(directory):
    """Refuse to begin where a run has been: its checkpoints are gone and its samples would be deleted."""
    segments = _segments(directory)
    log = directory / THERMO
    rows = log.read_bytes().count(b"\n") - 1 if log.exists() else 0
    if segments or rows > 1:
        left = segments[0] if segments else THERMO
        raise ConfigError(
            f"{directory} holds {left} but no checkpoint, expected {' or '.join(CHECKPOINT_NAMES)}; put "
            "one back, or choose a new directory to start again"
        )


def _segments(directory):
    return [f"{FOLDER}/{path.name}" for path in sorted((directory / FOLDER).glob("*.h5md"))]


def _read_object(path, expected):
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} is damaged ({error}); expected {expected}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds a {type(content).__name__}; expected {expected}")
    return content


def _remembered_settings(directory, settings):
    """Return `settings` as the checkpoint of an earlier version's run holds them."""
    state, _ = load_checkpoint(directory)
    if state is None and not (directory / OUTCOME).exists():
        return settings
    memory = {} if state is None else state["evaluator"].get("calculator", {})
    missing = sorted(set(settings) - set(memory)) or ([] if settings else ["any"])
    if missing:
        raise ConfigError(
            f"{directory} was made by an earlier version, which did not record {', '.join(missing)} of the "
            "calculator's settings, so it cannot be told to be the same run; choose a new directory"
        )
    return {key: memory[key] for key in settings}


def _different_settings(stored, settings):
    if not isinstance(stored, dict):
        return ["calculator_settings"]
    missing = object()
    names = sorted({*stored, *settings})
    return [
        f"calculator setting {key}" for key in names if stored.get(key, missing) != settings.get(key, missing)
    ]


def _different_answer(stored, answer):
    if stored is None or answer is None:
        return [] if stored is answer else ["calculator_answer"]
    return [
        f"{key} of the start"
        for key, value in answer.items()
        if not abs(stored.get(key, float("nan")) - value) <= _ANSWER_ATOL + _ANSWER_RTOL * abs(value)
    ]
