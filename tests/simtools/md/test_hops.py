"""Hops of vacancies and dumbbells counted in crystals where the count is known by hand."""

import numpy as np
import pytest
from ase.calculators.calculator import Calculator, all_changes

from simtools.core.errors import ConfigError
from simtools.defects.insertion import PlacedDefect, insert_defects
from simtools.defects.kroger_vink import KrogerVink
from simtools.md.dumbbells import NoDumbbellError, RelaxedDumbbell, dumbbell_hops, relax_dumbbells
from simtools.md.hops import vacancy_hops
from simtools.structures import build_antiperovskite, build_supercell

CHARGES = {"Li": 1, "O": -2, "Cl": -1, "Mg": 2, "F": -1, "Br": -1}
A = 3.9
CRYSTAL = build_supercell(build_antiperovskite("Li3OCl", lattice_parameter_A=A), 3)


def first(symbol):
    return CRYSTAL.get_chemical_symbols().index(symbol)


def hops_of(crystal, **options):
    return vacancy_hops(crystal, "Li", formal_charges_e=CHARGES, net_charge="background", **options)


def test_cubic_crystal_has_one_vacancy_hop_to_eight_neighbours():
    (hop,) = hops_of(CRYSTAL)
    assert hop.length_A == pytest.approx(A / np.sqrt(2))
    assert hop.multiplicity == 8
    assert hop.equivalent_ends
    assert [len(end) for end in (hop.initial, hop.final)] == [134, 134]
    assert hop.initial.info["defects"][0]["label"] == "V_Li'"


def test_longer_hops_come_when_asked_for():
    hops = hops_of(CRYSTAL, longest_A=1.01 * A)
    assert [round(hop.length_A / A, 3) for hop in hops] == [0.707, 1.0, 1.0]
    assert hops[0].multiplicity == 8
    assert sorted(hop.multiplicity for hop in hops[1:]) == [2, 4]


def test_tetragonal_distortion_splits_sites_and_hops():
    distorted = CRYSTAL.copy()
    distorted.set_cell(distorted.cell * np.array([[1.0], [1.0], [1.04]]), scale_atoms=True)
    hops = hops_of(distorted)
    assert len(hops) == 2
    assert [hop.equivalent_ends for hop in hops] == [True, False]


def test_mixed_crystal_has_forward_and_backward_hops_of_their_own():
    mixed = CRYSTAL.copy()
    mixed.symbols[first("Cl")] = "Br"
    hops = hops_of(mixed)
    assert len(hops) > 5
    assert any(not hop.equivalent_ends for hop in hops)
    assert hops[0].initial.symbols.count("Br") == 1


def test_hops_next_to_a_dopant_start_at_its_side():
    magnesium = PlacedDefect(label=KrogerVink.parse("Mg_Li."), site_index=first("Li"))
    hops = hops_of(CRYSTAL, others=[magnesium])
    assert len(hops) == 5
    assert sum(hop.multiplicity for hop in hops) == 7
    assert [hop.equivalent_ends for hop in hops].count(True) == 1
    for hop in hops:
        assert {row["label"] for row in hop.initial.info["defects"]} == {"Mg_Li.", "V_Li'"}
        assert hop.initial.info["net_charge_e"] == 0
        assert "from Mg_Li." in hop.name


def test_dopant_on_the_anion_site():
    fluoride = PlacedDefect(label=KrogerVink.parse("F_O."), site_index=first("O"))
    hops = hops_of(CRYSTAL, others=[fluoride])
    assert [(hop.multiplicity, hop.equivalent_ends) for hop in hops] == [(4, True), (4, False)]


def dumbbell(axis=(0, 0, 1)):
    site = first("Li")
    placed = PlacedDefect(
        label=KrogerVink.parse("(Li2)_Li."), site_index=site, direction=axis, separation_A=A / 2
    )
    atoms = insert_defects(CRYSTAL, [placed], formal_charges_e=CHARGES, net_charge="background")
    return RelaxedDumbbell(
        atoms=atoms,
        energy_eV=0.0,
        site_index=site,
        direction=axis,
        separation_A=A / 2,
        start_direction=axis,
        n_steps=0,
    )


def test_dumbbell_across_the_axis_has_four_hops():
    """Site (0, 1/2, 1/2), O-Li-O along x, dumbbell along z: eight neighbours with two axes each, a turn."""
    hops = dumbbell_hops(CRYSTAL, dumbbell())
    assert sorted((round(hop.length_A / A, 3), hop.multiplicity) for hop in hops) == [
        (0.0, 1),
        (0.707, 4),
        (0.707, 4),
        (0.707, 8),
    ]
    assert all(hop.equivalent_ends for hop in hops)
    shortest = next(hop for hop in hops if hop.length_A > 0)
    row = shortest.final.info["defects"][0]
    assert row["site_index"] != first("Li")
    assert abs(row["direction"][2]) < 1e-9
    assert np.linalg.norm(CRYSTAL.positions[row["site_index"]] - row["position_A"]) < 1e-9


def test_final_end_is_an_image_of_the_initial_one():
    for hop in dumbbell_hops(CRYSTAL, dumbbell()):
        distances = [np.sort(end.get_all_distances(mic=True).ravel()) for end in (hop.initial, hop.final)]
        assert distances[0] == pytest.approx(distances[1], abs=1e-8)


def test_dumbbell_along_the_axis_is_not_the_same_as_across():
    oxygen = CRYSTAL.positions[CRYSTAL.symbols == "O"] - CRYSTAL.positions[first("Li")]
    site_axis = oxygen[np.argmin(np.linalg.norm(oxygen, axis=1))] / (A / 2)
    hops = dumbbell_hops(CRYSTAL, dumbbell(tuple(site_axis)))
    assert all(hop.length_A > 1 for hop in hops)
    assert sum(hop.multiplicity for hop in hops) == 8


class Tethered(Calculator):
    """Springs of each ion to its nearest lattice point; a pair on one of them also repels along x only."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, sites, lowest_axis):
        super().__init__()
        self.sites, self.axis = sites, np.array(lowest_axis, dtype=float)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        offsets = atoms.positions[:, None] - self.sites
        offsets -= atoms.cell.lengths() * np.round(offsets / atoms.cell.lengths())
        nearest = np.argmin((offsets**2).sum(-1), axis=1)
        vectors = offsets[np.arange(len(atoms)), nearest]
        forces, energy = -2.0 * vectors, float((vectors**2).sum())
        pairs = np.flatnonzero(np.bincount(nearest, minlength=len(self.sites)) == 2)
        for site in pairs:
            i, j = np.flatnonzero(nearest == site)
            gap = vectors[i] - vectors[j]
            length = np.linalg.norm(gap)
            unit = gap / length
            along = unit @ self.axis
            energy += 4 * (length - 1.8) ** 2 + 2 * (1 - along**2)
            force = -8 * (length - 1.8) * unit + 4 * along * (self.axis - along * unit) / length
            forces[i] += force
            forces[j] -= force
        self.results = {"energy": energy, "forces": forces}


def test_lowest_orientation_is_found_from_every_start():
    found = relax_dumbbells(
        CRYSTAL,
        "Li",
        lambda: Tethered(CRYSTAL.positions, (0, 0, 1)),
        formal_charges_e=CHARGES,
        net_charge="background",
    )
    assert len(found) == 5
    assert all(abs(row.direction[2]) == pytest.approx(1, abs=1e-3) for row in found)
    assert found[0].separation_A == pytest.approx(1.8 * 8 / 9, abs=0.01)
    assert found[0].energy_eV <= found[-1].energy_eV


def test_pair_that_falls_apart_is_no_dumbbell():
    offset = np.array([0.4 * A, 0.0, 0.0])
    sites = np.vstack([CRYSTAL.positions[1:], CRYSTAL.positions[0] + offset, CRYSTAL.positions[0] - offset])
    with pytest.raises(NoDumbbellError, match="interstitial"):
        relax_dumbbells(
            CRYSTAL,
            "Li",
            lambda: Tethered(sites, (1, 0, 0)),
            formal_charges_e=CHARGES,
            net_charge="background",
        )


def test_what_cannot_hop_is_named():
    with pytest.raises(ConfigError, match="no species 'Na'"):
        vacancy_hops(CRYSTAL, "Na", formal_charges_e={**CHARGES, "Na": 1})
    pair = PlacedDefect(
        label=KrogerVink.parse("(Li2)_Li."), site_index=0, direction=(1, 0, 0), separation_A=2.0
    )
    with pytest.raises(ConfigError, match="cannot accompany"):
        hops_of(CRYSTAL, others=[pair])
    with pytest.raises(ConfigError, match="net"):
        vacancy_hops(CRYSTAL, "Li", formal_charges_e=CHARGES)
