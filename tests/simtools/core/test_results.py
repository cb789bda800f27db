import pickle
from dataclasses import dataclass

import numpy as np
import pytest

from simtools.core.errors import ShapeError, UnknownSpeciesError
from simtools.core.results import Estimate, Result, UnitMismatchError, quantity


@dataclass(frozen=True, eq=False, kw_only=True)
class Toy(Result):
    """A result with one of everything."""

    species: str
    lag_times_ps: np.ndarray = quantity("ps", shape="(n,)")
    msd_A2: np.ndarray = quantity("angstrom^2", shape="(n,)")
    diffusivity_cm2_per_s: Estimate = quantity("cm2/s")
    window_ps: tuple = quantity("ps")
    names: np.ndarray = quantity("1", shape="(n,)")


def toy():
    return Toy(
        provenance={"seed": 1},
        species="Li",
        lag_times_ps=np.array([0.1, 0.2, 1 / 3]),
        msd_A2=np.array([np.nan, np.inf, -1e-300]),
        diffusivity_cm2_per_s=Estimate(value=1 / 7, stderr=0.1, ci95=(0.0, np.inf), method="m", n_eff=3),
        window_ps=(1.0, 2.5),
        names=np.array(["a", "b", "c"]),
    )


def test_json_is_bit_exact_even_for_nan_and_infinity():
    first = toy()
    again = Toy.from_json(first.to_json())
    np.testing.assert_array_equal(again.lag_times_ps, first.lag_times_ps)
    np.testing.assert_array_equal(again.msd_A2, first.msd_A2)
    assert again.diffusivity_cm2_per_s == first.diffusivity_cm2_per_s
    assert again.window_ps == first.window_ps
    assert again.names.tolist() == ["a", "b", "c"]
    assert again.to_json() == first.to_json()


def test_another_unit_is_refused():
    record = toy().to_dict()
    record["lag_times_ps"]["unit"] = "fs"
    with pytest.raises(UnitMismatchError, match="'fs', but this version declares 'ps'"):
        Toy.from_dict(record)


def test_a_missing_quantity_is_refused():
    record = toy().to_dict()
    del record["msd_A2"]
    with pytest.raises(UnitMismatchError, match="msd_A2"):
        Toy.from_dict(record)


def test_arrays_cannot_be_changed_and_do_not_follow_their_source():
    source = np.arange(3.0)
    result = Toy(**{**vars(toy()), "lag_times_ps": source})
    source[0] = 99
    assert result.lag_times_ps[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        result.lag_times_ps[0] = 1


def test_dataframe_holds_the_one_dimensional_quantities():
    assert list(toy().to_dataframe().columns) == ["lag_times_ps", "msd_A2", "names"]


def test_a_limit_has_no_value_to_quote():
    limit = Estimate.limit(3e-9, method="Poisson", n_eff=0)
    assert limit.is_limit
    assert limit.to_dict() == {"upper_limit": 3e-9, "method": "Poisson", "n_eff": 0.0}
    assert Estimate.from_dict(limit.to_dict()) == limit
    assert limit.scaled(2.0).upper_limit == 6e-9


def test_scaling_keeps_the_relative_error():
    estimate = Estimate(value=2.0, stderr=0.5, ci95=(1.0, 4.0), method="m", n_eff=7)
    assert estimate.scaled(10.0) == Estimate(value=20.0, stderr=5.0, ci95=(10.0, 40.0), method="m", n_eff=7)


@pytest.mark.parametrize("error", [ShapeError("x", "(3,)", (2,)), UnknownSpeciesError("Na", ["Li"])])
def test_errors_cross_a_process_pool(error):
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
