"""Any other ASE calculator by name; its package is imported only when a calculator is asked for.

Ours to add are the names, a clear word when something is not installed, and what was used; what each model
is worth, and its licence, are its authors' business.
"""

from __future__ import annotations

import difflib
import os
import sys
import warnings
from importlib import metadata

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.calculator import names as ase_names

from potentials.external_models import (
    KNOWN,
    CalculatorUnavailableError,
    ExternalCalculator,
    file_sha256,
    of_ase,
)
from simtools.core.errors import ConfigError, SimtoolsError

__all__ = [
    "CalculatorUnavailableError",
    "calculator_facts",
    "check_elements",
    "check_first_forces",
    "external_calculator",
    "list_external_calculators",
    "weights_sha256",
]


_FEW = 12
_SPACING_A = 2.5
"""Between the atoms of a trial: neighbours for every model, no overlap for any."""


def list_external_calculators() -> list[str]:
    """Return the names that `external_calculator` knows: our own list, and those that ASE gives."""
    return sorted({*KNOWN, *ase_names})


def external_calculator(name: str, *, model: str | None = None, options: dict | None = None) -> Calculator:
    """Return a new ASE calculator by name; machine-learned ones on the CPU, with one torch thread.

    Parameters
    ----------
    name
        One of `list_external_calculators`.
    model
        Path of the model file, where the calculator needs one. PyTorch models are pickles: loading one runs
        what its author put into it.
    options
        Keyword arguments of the calculator's own constructor, over our defaults (``device = "cpu"``);
        for "chgnet" also ``model_name``.

    Notes
    -----
    A calculator of ASE's that runs a program on files gets a folder ``NAME-PID`` of its own in the working
    directory, unless `options` says ``directory``: two processes in one folder read each other's answers.
    What a package prints and warns while its model is loaded goes to the log.

    Raises
    ------
    ConfigError
        If the name is unknown, a model file is missing or superfluous, or the calculator does not take an
        option.
    CalculatorUnavailableError
        If the package is not installed or configured, or its weights cannot be loaded.
    """
    entry = _entry(name)
    if entry.needs_model and model is None:
        raise ConfigError(f"calculator {name!r} needs the path of a model file (key model)")
    if model is not None and not entry.needs_model:
        raise ConfigError(
            f"calculator {name!r} brings its own model; remove model = {model!r}, or see its options"
        )
    try:
        calculator = entry.build(model, dict(options or {}))
    except SimtoolsError:
        raise
    except ImportError as error:
        raise CalculatorUnavailableError(
            f"calculator {name!r} is not installed ({error}); try: pip install {entry.package}"
        ) from error
    except (TypeError, ValueError, KeyError, AssertionError, AttributeError) as error:
        given = f"options = {options or {}!r}" + ("" if model is None else f" and model = {str(model)!r}")
        raise ConfigError(f"calculator {name!r} cannot be made with {given}: {_words(error)}") from error
    except Exception as error:  # whatever somebody else's constructor meets, in one line
        raise CalculatorUnavailableError(
            f"calculator {name!r}: its model or program cannot be loaded ({_words(error)})"
        ) from error
    if name not in KNOWN and hasattr(calculator, "directory") and "directory" not in (options or {}):
        calculator.directory = f"{name}-{os.getpid()}"
    return calculator


def weights_sha256(name: str, *, model: str | None = None, options: dict | None = None) -> str | None:
    """Return the SHA-256 of the weights behind a calculator, without importing its package.

    None where no file is known to hold them.

    Raises
    ------
    ConfigError
        If the name is unknown.
    CalculatorUnavailableError
        If the package is not installed, or the file is not there.
    """
    file = _entry(name).weights_file(model, dict(options or {}))
    if file is None:
        return None
    try:
        return file_sha256(file)
    except OSError as error:
        raise CalculatorUnavailableError(f"calculator {name!r}: {file}: {error.strerror}") from error


def calculator_facts(
    name: str,
    calculator: Calculator | None = None,
    *,
    model: str | None = None,
    options: dict | None = None,
) -> dict:
    """Return what a calculator is made of, JSON-able: package and version, weights, device, precision.

    Without a `calculator` one is made, if there is anything to be asked of it. Keys that are not known are
    left out: of ASE's calculators only name and package are.
    """
    entry = _entry(name)
    facts = {"calculator": name}
    if name not in KNOWN:
        return {**facts, "package": f"ase {metadata.version('ase')}"}
    calculator = calculator or external_calculator(name, model=model, options=options)
    facts["package"] = f"{entry.package} {entry.version}"
    file = entry.weights_file(model, dict(options or {}))
    if file is not None:
        facts.update(weights=file.name, weights_sha256=file_sha256(file))
    device = getattr(calculator, "device", None)
    torch_models = [m for m in (getattr(calculator, "model", None), *_list_of(calculator)) if _is_torch(m)]
    if torch_models:
        import torch

        facts["torch"] = torch.__version__
        facts["precision"] = str(next(torch_models[0].parameters()).dtype).removeprefix("torch.")
        facts["threads"] = torch.get_num_threads()
        facts["device"] = str(device or next(torch_models[0].parameters()).device)
        if facts["device"].startswith("cuda"):
            facts["device"] += f" ({torch.cuda.get_device_name(facts['device'])})"
    elif device is not None:
        facts["device"] = str(device)
    elif name == "nep":
        facts["device"] = "cpu"
    return facts


def check_elements(name: str, calculator: Calculator, symbols) -> None:
    """Refuse elements that a calculator was not made for, and a model that fails as soon as it is used.

    A few atoms are evaluated, one of each element. ASE's calculators are not tried (a density functional
    takes its time) and say what they miss when they are asked.

    Raises
    ------
    ConfigError
        Naming the elements, or what the calculator said.
    """
    entry = _entry(name)
    symbols = sorted(set(symbols))
    if entry.elements is not None:
        known = entry.elements(calculator)
        missing = sorted(set(symbols) - known)
        if missing:
            listed = ", ".join(sorted(known)) if len(known) <= _FEW else f"{len(known)} elements"
            raise ConfigError(f"calculator {name!r} does not cover {', '.join(missing)}; it covers {listed}")
    if name not in KNOWN:
        return
    row = Atoms(
        symbols,
        positions=[(_SPACING_A * i, 0.0, 0.0) for i in range(len(symbols))],
        cell=(_SPACING_A * len(symbols), _SPACING_A, _SPACING_A),
        pbc=True,
    )
    row.calc = calculator
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            forces = row.get_forces()
    except Exception as error:  # whatever somebody else's model meets, in one line
        raise ConfigError(
            f"calculator {name!r} fails on {', '.join(symbols)}: {type(error).__name__}: {_words(error)}"
        ) from error
    if not np.all(np.isfinite(forces)):
        raise ConfigError(f"calculator {name!r} gives no finite forces on {', '.join(symbols)}")


def check_first_forces(name: str, atoms: Atoms) -> None:
    """Compute the forces of `atoms`, whose calculator is `name`, for the first time.

    Raises
    ------
    CalculatorUnavailableError
        In one line, if that fails in any way: a program that is not there, an element it does not know.
    """
    try:
        atoms.get_forces()
    except SimtoolsError:
        raise
    except Exception as error:  # every program fails in its own way
        raise CalculatorUnavailableError(
            f"calculator {name!r} does not compute the first cell ({_words(error)}); check its program and "
            "options in [potential]"
        ) from error


def _is_torch(model):
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def _list_of(calculator):
    models = getattr(calculator, "models", None)
    return models if isinstance(models, (list, tuple)) else []


def _entry(name):
    if name in KNOWN:
        return KNOWN[name]
    if name in ase_names:
        return ExternalCalculator(name, name, of_ase(name), f"ASE's calculator {name}")
    close = difflib.get_close_matches(str(name), list_external_calculators(), n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ConfigError(f"no calculator {name!r}{hint}; known: {', '.join(list_external_calculators())}")


def _words(error):
    return " ".join(str(error).split()) or type(error).__name__
