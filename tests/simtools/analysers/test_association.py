from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simtools.analysers.association import (
    AssociationResult,
    association_partners,
    bound_fraction,
)
from simtools.analysers.kernels import sites as kernels
from simtools.analysers.sites import site_occupation
from simtools.core.errors import ConfigError, UnknownSpeciesError
from simtools.defects import DefectRequest, build_defects
from simtools.md.trajectory import LatticeSites, Trajectory
from simtools.structures import build_antiperovskite, build_supercell
from simtools.testing import vacancy_walk
from tests.reference import sites as reference

CHARGES = {"Li": 1, "O": -2, "Cl": -1}
A = 3.9
SHEAR = np.array([[1.0, 0, 0], [0.4, 0.9, 0], [-0.3, 0.5, 1.1]])


def cell_with_pairs(placement="random", count=4, seed=0, repeats=(4, 4, 4), species=("Li", "Cl")):
    crystal = build_supercell(build_antiperovskite("Li3OCl", lattice_parameter_A=A), repeats)
    request = DefectRequest(kind="schottky", species=species, count=count, placement=placement)
    return build_defects(crystal, [request], formal_charges_e=CHARGES, seed=seed)


def trajectory_of(atoms, *, n_frames=1, rattle_A=0.0, drift_A=(0, 0, 0), seed=0, positions_A=None, **options):
    rng = np.random.default_rng(seed)
    base = atoms.positions[None] if positions_A is None else positions_A
    r_tnc = base + rng.normal(0, rattle_A, size=(n_frames, len(atoms), 3))
    r_tnc = r_tnc + np.linspace(0.3, 1.0, n_frames)[:, None, None] * np.asarray(drift_A)
    sites = atoms.info["lattice_sites"]
    return Trajectory(
        positions_A=r_tnc,
        species=np.array(atoms.get_chemical_symbols()),
        cells_A=atoms.cell.array,
        frame_interval_ps=0.1,
        lattice_sites=LatticeSites(sites["scaled_positions"], sites["species"]),
        defects=tuple(atoms.info["defects"]),
        **{"temperature_K": 800.0, **options},
    )


def planted(atoms, species):
    return sorted(d["site_index"] for d in atoms.info["defects"] if d["site_species"] == species)


@pytest.mark.kernel
@pytest.mark.parametrize("shear", [np.eye(3), SHEAR])
def test_kernels_match_the_definition(shear):
    rng = np.random.default_rng(5)
    cells = (np.diag([8.0, 9.0, 7.5]) @ shear)[None]
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3) / 3
    s_tnc = np.cumsum(rng.normal(0, 0.04, size=(12, 20, 3)), axis=0) + grid[rng.permutation(27)[:20]]
    inscribed = np.full(1, 0.5 * min(np.linalg.norm(cells[0], axis=1)) / 3 * 0.5)
    found = kernels.assign_sites(s_tnc, cells, grid, inscribed)
    assert np.array_equal(found, reference.nearest_sites(s_tnc, cells, grid))
    empty, excess = kernels.empty_sites(found, grid, cells)
    assert excess.max() > 0
    expected, expected_excess = reference.vacancies(found, grid, cells[0])
    assert np.array_equal(excess, expected_excess)
    assert empty.shape == expected.shape == (12, 7)
    if shear is not SHEAR:  # on a cube ties between empty sites are broken by order, alike in both
        assert np.array_equal(np.sort(empty), np.sort(expected))


@pytest.mark.parametrize("drift_A", [(0, 0, 0), (3.0, -1.0, 0.5), (-0.9, 0.9, 0.9)])
def test_vacancies_are_found_where_they_were_made_through_heat_and_drift(drift_A):
    atoms = cell_with_pairs(count=5, seed=2)
    trajectory = trajectory_of(atoms, n_frames=30, rattle_A=0.2, drift_A=drift_A)
    for species in ("Li", "Cl"):
        occupation = site_occupation(trajectory, species=species)
        found = occupation.site_indices[occupation.vacancies]
        assert (found == planted(atoms, species)).all()
        assert occupation.n_excess.max() == 0


def test_vacancies_are_found_in_a_breathing_skewed_cell():
    atoms = cell_with_pairs(count=3, seed=1, repeats=(3, 3, 3))
    atoms.set_cell(atoms.cell.array @ SHEAR, scale_atoms=True)
    breathing = 1 + 0.05 * np.sin(np.arange(20))
    cells = breathing[:, None, None] * atoms.cell.array
    trajectory = trajectory_of(
        atoms, positions_A=breathing[:, None, None] * atoms.positions, n_frames=20, rattle_A=0.1
    )
    trajectory = Trajectory(**{**vars(trajectory), "cells_A": cells})
    occupation = site_occupation(trajectory, species="Li")
    assert (occupation.site_indices[occupation.vacancies] == planted(atoms, "Li")).all()


def test_hopping_vacancies_are_followed_hop_by_hop():
    trajectory = vacancy_walk(
        400, seed=3, n_vacancies=4, supercell=(3, 3, 3), hop_rate_per_ps=0.02, rattle_A=0.15
    )
    occupation = site_occupation(trajectory, species="Li")
    moved = np.diff(trajectory.positions_A, axis=0)
    hops = np.linalg.norm(moved, axis=-1) > 1.6
    assert hops.sum() > 30
    assert np.array_equal(np.diff(occupation.sites, axis=0) != 0, hops)
    assert occupation.vacancies.shape == (400, 4)


def test_an_ion_halfway_through_a_hop_makes_no_second_vacancy():
    atoms = cell_with_pairs(count=1, seed=0)
    vacancy = np.array(atoms.info["defects"][0]["position_A"])
    ions = [atom.index for atom in atoms if atom.symbol == "Li"]
    vectors = atoms.positions[ions] - vacancy
    vectors -= atoms.cell.lengths() * np.round(vectors / atoms.cell.lengths())
    behind = np.linalg.norm(vectors, axis=1)
    first = ions[int(np.argmin(behind))]
    step = -vectors[int(np.argmin(behind))]
    # the next ion follows into the site that the first has not quite left
    r_nc = atoms.positions.copy()
    r_nc[first] += 0.45 * step
    follower = next(
        i for i in ions if i != first and np.isclose(atoms.get_distance(first, i, mic=True), A / np.sqrt(2))
    )
    r_nc[follower] += 0.55 * atoms.get_distance(follower, first, mic=True, vector=True)
    occupation = site_occupation(trajectory_of(atoms, positions_A=r_nc[None]), species="Li")
    assert occupation.n_excess.tolist() == [1]
    assert occupation.vacancies.shape == (1, 1)


def test_associated_pairs_are_bound_and_separated_ones_are_not():
    bound = bound_fraction(
        trajectory_of(cell_with_pairs("associated", count=3), n_frames=20, rattle_A=0.1),
        species="Li",
        partner="Cl",
    )
    assert bound.bound_fraction.value == 1.0
    assert bound.bound_fraction.ci95[1] == 1.0
    assert_allclose(bound.shell_distances_A[:2], [A / np.sqrt(2), A * np.sqrt(1.5)], rtol=1e-6)
    assert bound.warnings[0].startswith("the bound fraction stayed at 1")
    free = bound_fraction(trajectory_of(cell_with_pairs("separated", count=1)), species="Li", partner="Cl")
    assert free.bound_fraction.value == 0.0
    assert free.bound_fraction.ci95[0] == 0.0
    assert free.shell_fractions.sum() == 0.0


def test_random_placement_gives_the_random_expectation():
    replicas = [trajectory_of(cell_with_pairs(count=6, seed=seed), n_frames=2) for seed in range(150)]
    result = bound_fraction(replicas, species="Li", partner="Cl")
    assert result.n_replicas == 150
    estimate = result.bound_fraction
    assert estimate.ci95[0] < result.random_fraction < estimate.ci95[1]
    assert 0.01 < estimate.stderr < 0.03
    low, high = result.second_shell_fraction.ci95
    assert low < result.random_second_shell_fraction < high
    assert_allclose(result.shell_fractions, result.random_shell_fractions, atol=0.06)


def test_random_expectation_is_the_count_of_partner_sites():
    # one Cl vacancy: a Li site has 4 of the 64 Cl sites in its first shell and 8 in its second
    result = bound_fraction(trajectory_of(cell_with_pairs(count=1)), species="Li", partner="Cl")
    assert_allclose(result.random_fraction, 4 / 64, rtol=1e-12)
    assert_allclose(result.random_second_shell_fraction, 8 / 64, rtol=1e-12)


def test_a_run_shorter_than_its_memory_says_so():
    frozen = [trajectory_of(cell_with_pairs(count=3, seed=seed), n_frames=40) for seed in range(12)]
    result = bound_fraction(frozen, species="Li", partner="Cl")
    assert any("still remembers how the defects were placed" in note for note in result.warnings)
    assert result.bound_fraction.n_eff < 13


def test_dopants_are_partners_too():
    crystal = build_supercell(build_antiperovskite("Li3OCl", lattice_parameter_A=A), 4)
    dopant, vacancy = 0, 1
    assert_allclose(crystal.get_distance(dopant, vacancy, mic=True), A / np.sqrt(2))
    atoms = crystal.copy()
    atoms.info["defects"] = []
    atoms.info["lattice_sites"] = {
        "species": crystal.get_chemical_symbols(),
        "scaled_positions": crystal.get_scaled_positions(),
    }
    atoms.symbols[dopant] = "Mg"
    del atoms[vacancy]
    trajectory = trajectory_of(atoms, n_frames=5, rattle_A=0.1)
    assert association_partners(trajectory, species="Li") == ("Mg",)
    result = bound_fraction(trajectory, species="Li", partner="Mg")
    assert (result.partner_kind, result.n_vacancies, result.n_partners) == ("dopant", 1, 1)
    assert result.bound_fraction.value == 1.0
    assert_allclose(result.random_fraction, 8 / 191, rtol=1e-12)


def test_isolated_vacancies_have_no_partner():
    trajectory = vacancy_walk(10, seed=0)
    assert association_partners(trajectory, species="Li") == ()
    with pytest.raises(UnknownSpeciesError, match="available: Li"):
        bound_fraction(trajectory, species="Li", partner="Cl")
    neutral = trajectory_of(cell_with_pairs(count=2))
    assert association_partners(neutral, species="Li") == ("Cl",)
    assert association_partners(neutral, species="O") == ()
    with pytest.raises(ConfigError, match="2 and 0"):
        bound_fraction(neutral, species="Li", partner="O")


def test_what_cannot_be_averaged_is_refused():
    one = trajectory_of(cell_with_pairs(count=2))
    other = trajectory_of(cell_with_pairs(count=2), temperature_K=900.0)
    with pytest.raises(ConfigError, match=r"800\.0 and 900\.0 K"):
        bound_fraction([one, other], species="Li", partner="Cl")
    with pytest.raises(ConfigError, match="same composition"):
        bound_fraction([one, trajectory_of(cell_with_pairs(count=3))], species="Li", partner="Cl")
    with pytest.raises(ConfigError, match="at least one trajectory"):
        bound_fraction([], species="Li", partner="Cl")
    bare = Trajectory(**{**vars(one), "lattice_sites": None})
    with pytest.raises(ConfigError, match="carries no lattice_sites"):
        bound_fraction(bare, species="Li", partner="Cl")


def test_result_survives_the_disk_and_fills_the_summary():
    result = bound_fraction(
        [trajectory_of(cell_with_pairs(count=2, seed=seed), n_frames=3) for seed in range(4)],
        species="Li",
        partner="Cl",
    )
    back = AssociationResult.from_json(result.to_json())
    assert back.bound_fraction == result.bound_fraction
    assert np.array_equal(back.shell_fractions, result.shell_fractions)
    entry = SimpleNamespace(**result.to_summary())
    assert entry.temperature_K == 800.0
    assert set(entry.bound_fraction) == {"value", "stderr", "ci95", "method", "n_eff"}
