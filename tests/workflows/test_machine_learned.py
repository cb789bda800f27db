"""Real machine-learned models, where they are installed: CHGNet and SevenNet bring their weights.

``pip install antiperovskite-simtools[mlip]``; for a NEP file: calorine, and NEP_MODEL = its path.
"""

import importlib.util
import json
import os

import numpy as np
import pytest

from potentials.external import calculator_facts, check_elements, external_calculator, weights_sha256
from simtools import load_run
from simtools.core.errors import ConfigError
from simtools.structures import build_prototype
from workflows.cli import main
from workflows.cli_base import DONE
from workflows.report_machinery import potential_block

PBE_LATTICE_A = 3.886
"""Cubic Li3OCl at rest, plane waves and PBE."""

PACKAGES = {"chgnet": "chgnet", "7net-0": "sevenn", "nep": "calorine"}


@pytest.fixture(params=PACKAGES)
def model(request):
    """Return the name of a calculator and its other keys in [potential]; skip where it is not installed."""
    package = PACKAGES[request.param]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    if request.param != "nep":
        return request.param, {}
    if "NEP_MODEL" not in os.environ:
        pytest.skip("NEP_MODEL names no potential file with Li, O and Cl")
    return "nep", {"model": os.environ["NEP_MODEL"]}


@pytest.mark.filterwarnings("ignore")
def test_facts_elements_and_lattice_parameter(model):
    name, given = model
    calculator = external_calculator(name, **given)
    check_elements(name, calculator, ["Li", "O", "Cl"])
    with pytest.raises(ConfigError, match=f"'{name}' does not cover Lr"):
        check_elements(name, calculator, ["Li", "Lr"])
    facts = calculator_facts(name, calculator, **given)
    assert facts["weights_sha256"] == weights_sha256(name, **given)
    assert facts["package"].split()[1][0].isdigit()
    assert facts["device"] == "cpu"
    json.dumps(facts)

    a_A = np.linspace(3.7, 4.05, 8)
    energies = []
    for a in a_A:
        cell = build_prototype("cubic", "Li3OCl", lattice_parameter_A=float(a))
        cell.calc = calculator
        energies.append(float(cell.get_potential_energy()))
    curve = np.polynomial.Polynomial.fit(a_A, energies, 4)
    fine = np.linspace(3.75, 4.0, 2001)
    assert fine[np.argmin(curve(fine))] == pytest.approx(PBE_LATTICE_A, rel=0.025)


@pytest.mark.parametrize("name", ["chgnet", "7net-0"])
def test_options_that_would_do_nothing_are_refused(name):
    if importlib.util.find_spec(PACKAGES[name]) is None:
        pytest.skip(f"{PACKAGES[name]} is not installed")
    with pytest.raises(ConfigError, match=f"'{name}' has no option 'devise'; did you mean"):
        external_calculator(name, options={"devise": "cpu"})


@pytest.mark.physics
@pytest.mark.filterwarnings("ignore")
def test_dynamics_from_recipe_to_report(model, tmp_path, no_figures):
    name, given = model
    keys = f'calculator = "{name}"\n' + "".join(f'{key} = "{value}"\n' for key, value in given.items())
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f"""title = "Li3OCl by {name}"
[structure]
prototype = "cubic"
formula = "Li3OCl"
supercell = [3, 3, 3]
[[defects]]
kind = "vacancy"
species = ["Li"]
count = 1
[potential]
{keys}formal_charges_e = {{ Li = 1, O = -2, Cl = -1 }}
net_charge = "background"
[md]
temperatures_K = [1000]
lattice_parameter_A = 3.95
equilibration_ps = 0
production_ps = 0.012
sample_every_fs = 1
[analysis]
mobile = "Li"
""",
        encoding="utf-8",
    )
    folder = tmp_path / "run"
    assert main(["run", str(recipe), "-o", str(folder), "--executor", "inline", "-q"]) == DONE
    rows = dict(potential_block(load_run(folder))["rows"])
    assert rows["SHA-256 of the weights"] == weights_sha256(name, **given)
    assert "Li +1" in rows["Charges in the conductivity"]
    (entry,) = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["transport"]
    assert entry["temperature_K"] == 1000
