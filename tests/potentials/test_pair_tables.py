"""Pair tables against the forms they were made from, and turning points against the curves they sit on."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import erfc

from potentials.forms import Tabulated
from potentials.kernels import pair as kernels
from potentials.real_space import RealSpace
from potentials.schema import list_force_fields, load_force_field
from potentials.tables import build_tables, fit_tables, pair_ranges, turning_point_A
from simtools.core.units import COULOMB_EV_A

LI3OCL = "li3ocl_mouta_formal"


def energy_and_force(tables, type_a, type_b, r):
    """Return energy and dE/dr of two atoms at distance r, through the kernel."""
    r_xc = np.zeros((2, 4))
    r_xc[1, 0] = r
    n_types, n_bins = len(tables.top_tt), tables.coefficients_pbk.shape[1]
    first_it = np.zeros(2 * n_types + 1, dtype=np.int64)
    first_it[type_b + 1 :] = 1
    neighbour_k = np.array([1], dtype=np.int32)
    start_b, touched_bc = np.array([0, 2]), np.zeros((1, 4), dtype=np.int64)
    home_x = np.array([0, 1], dtype=np.int32)
    kernels.touched_atoms(start_b, first_it, neighbour_k, home_x, n_types, touched_bc)
    f_bi, energy_b = np.full((1, 8), np.nan), np.empty(1)
    kernels.table_forces(
        r_xc.reshape(-1),
        np.array([type_a, type_b]),
        first_it,
        neighbour_k,
        tables.coefficients_pbk.reshape(-1),
        n_bins,
        tables.index_tt,
        tables.top_tt,
        1.0 / tables.inner_A**2,
        tables.base,
        tables.shift_bits,
        4 * home_x.astype(np.uint32),
        start_b,
        touched_bc,
        None,
        np.zeros(1, dtype=np.int64),
        f_bi,
        energy_b,
    )
    return energy_b[0], f_bi[0, 0] * 2.0 / tables.inner_A**2


def expected_energy(field, a, b, r, *, alpha, coulomb_A):
    charge = COULOMB_EV_A * field.charges_e[a] * field.charges_e[b]
    energy = charge * erfc(alpha * r) / r if r < coulomb_A else 0.0
    return energy + (field.pair_energy(a, b, r) - field.shift(a, b) if r < field.cutoff_A else 0.0)


@pytest.mark.kernel
@pytest.mark.parametrize("coulomb_A", [7.0, 10.0, 12.0])
def test_tables_follow_the_forms_on_both_sides_of_every_cutoff(coulomb_A):
    field, alpha = load_force_field(LI3OCL), 3.2 / coulomb_A
    tables = build_tables(
        field, pair_ranges(field, coulomb_cutoff_A=coulomb_A), alpha=alpha, bins_per_octave=256
    )
    o, cl = field.species.index("O"), field.species.index("Cl")
    for r in (1.9, 3.3, 6.99999, 7.00001, 9.99999, 10.00001, 11.99999, 12.00001):
        made, _ = energy_and_force(tables, o, cl, r)
        assert made == pytest.approx(
            expected_energy(field, "O", "Cl", r, alpha=alpha, coulomb_A=coulomb_A), rel=1e-7, abs=1e-9
        )


@pytest.mark.kernel
def test_table_force_is_the_slope_of_the_table_energy():
    field = load_force_field(LI3OCL)
    tables = build_tables(field, pair_ranges(field, coulomb_cutoff_A=8.0), alpha=0.4, bins_per_octave=128)
    for r in np.random.default_rng(0).uniform(1.5, 7.9, 20):
        step = 1e-5
        low, high = (energy_and_force(tables, 0, 1, x)[0] for x in (r - step, r + step))
        assert energy_and_force(tables, 0, 1, r)[1] == pytest.approx(
            (high - low) / (2 * step), rel=1e-6, abs=1e-8
        )


@pytest.mark.parametrize("name", list_force_fields())
@pytest.mark.parametrize("wanted", [1e-5, 1e-8])
def test_tables_are_made_as_fine_as_the_error_asked_for(name, wanted):
    field = load_force_field(name)
    ranges = pair_ranges(field, coulomb_cutoff_A=8.0 if field.is_charged else 0.0)
    tables = fit_tables(field, ranges, alpha=0.4 if field.is_charged else 0.0, force_error_eV_per_A=wanted)
    assert tables.force_error_eV_per_A <= wanted


@pytest.mark.kernel
def test_distances_below_the_turning_point_give_nan():
    field = load_force_field(LI3OCL)
    tables = build_tables(field, pair_ranges(field, coulomb_cutoff_A=8.0), alpha=0.4, bins_per_octave=128)
    o = field.species.index("O")
    limit = turning_point_A(field, "O", "O")
    assert np.isnan(energy_and_force(tables, o, o, 0.99 * limit)[0])
    assert np.isnan(energy_and_force(tables, o, o, 0.0)[0])
    assert np.isfinite(energy_and_force(tables, o, o, 1.01 * limit)[0])


@pytest.mark.parametrize("pair", [("Li", "O"), ("O", "Cl"), ("Cl", "Cl"), ("O", "O")])
def test_a_turning_point_is_the_top_of_the_full_pair_energy(pair):
    field = load_force_field(LI3OCL)
    limit = turning_point_A(field, *pair)
    charge = COULOMB_EV_A * field.charges_e[pair[0]] * field.charges_e[pair[1]]
    below, top, above = (
        field.pair_energy(*pair, r) + charge / r for r in (0.95 * limit, limit, 1.05 * limit)
    )
    assert below < top > above


def test_pairs_that_repel_all_the_way_have_no_turning_point():
    field = load_force_field(LI3OCL)
    assert turning_point_A(field, "Li", "Li") == 0.0
    assert turning_point_A(load_force_field("lennard_jones"), "Ar", "Ar") == 0.0


def test_a_tabulated_pair_is_refused_before_its_first_point():
    field = load_force_field("lennard_jones")
    (term,) = field.pairs[("Ar", "Ar")]
    r = np.linspace(2.0, 9.0, 80)
    form = Tabulated(r=tuple(r), V=tuple(term.form.energy(r)))
    tabulated = replace(field, pairs={("Ar", "Ar"): (replace(term, kind="tabulated", form=form),)})
    ranges = pair_ranges(tabulated, coulomb_cutoff_A=0.0)
    assert ranges.floor_tt[0, 0] == pytest.approx(2.0)
    tables = build_tables(tabulated, ranges, alpha=0.0, bins_per_octave=256)
    made = [energy_and_force(tables, 0, 0, x)[0] for x in (3.5, 4.4, 8.0)]
    assert_allclose(made, [form.energy(x) - form.energy(8.5) for x in (3.5, 4.4, 8.0)], atol=1e-7)


def test_a_table_that_ends_at_its_cutoff_is_enough_beyond_the_coulomb_cutoff():
    field = load_force_field(LI3OCL)
    (term,) = field.pairs[("Cl", "O")]
    r = np.linspace(0.9, field.cutoff_A, 800)
    form = Tabulated(r=tuple(r), V=tuple(term.form.energy(r)))
    pairs = {**field.pairs, ("Cl", "O"): (replace(term, kind="tabulated", form=form),)}
    tabulated = replace(field, pairs=pairs)
    o, cl = field.species.index("O"), field.species.index("Cl")
    tables = [
        build_tables(f, pair_ranges(f, coulomb_cutoff_A=7.3), alpha=0.4, bins_per_octave=128)
        for f in (field, tabulated)
    ]
    for x in (2.5, 7.2, 9.9, 9.999):
        made, expected = (energy_and_force(table, o, cl, x)[0] for table in tables)
        assert made == pytest.approx(expected, abs=1e-5)


def test_weak_tails_beyond_the_coulomb_cutoff_are_left_out_only_when_allowed():
    field = load_force_field(LI3OCL)
    li, o, cl = (field.species.index(s) for s in ("Li", "O", "Cl"))
    full = pair_ranges(field, coulomb_cutoff_A=7.5)
    cut = pair_ranges(field, coulomb_cutoff_A=7.5, negligible_force_eV_per_A=1e-6)
    assert np.all(full.list_tt == 10.0)
    assert cut.list_tt[li, o] == 7.5
    assert cut.list_tt[o, cl] == 10.0


@pytest.mark.kernel
def test_tables_and_pair_by_pair_sums_agree_in_a_cell_smaller_than_the_cutoff():
    field = load_force_field("lennard_jones_binary")
    rng = np.random.default_rng(3)
    cell = np.array([[5.4, 0.3, 0], [0, 5.2, 0.4], [0.5, 0, 5.6]])
    positions_nc = (np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]) @ cell) + rng.normal(
        0, 0.1, (4, 3)
    )
    results = {}
    for method in ("tables", "exact"):
        part = RealSpace(
            field, [0, 1, 1, 0], alpha=0.0, coulomb_cutoff_A=0.0, skin_A=0.3, method=method,
            table_force_error_eV_per_A=1e-8,
        )  # fmt: skip
        for step in (0.0, 0.01):
            forces_nc = np.zeros((4, 3))
            energy, virial_cc = part.compute(
                positions_nc + step * np.arange(12).reshape(4, 3) / 12, cell, forces_nc
            )
        assert part.neighbours.n_builds == 1
        assert part.energies().sum() == pytest.approx(energy, rel=1e-12)
        results[method] = energy, forces_nc, virial_cc.copy(), part.energies()
    for made, expected in zip(*results.values(), strict=True):
        assert_allclose(made, expected, rtol=1e-6, atol=1e-8)
