"""Densities, free energies, sites and percolation of wells, channels, planes and networks made for it."""

from dataclasses import replace

import numpy as np
import pytest
from ase.calculators.vasp import VaspChargeDensity
from ase.io.cube import read_cube
from ase.units import Bohr

from simtools.analysers.density import IonDensity, find_sites, free_energy_map, ion_density
from simtools.analysers.density_files import write_chgcar, write_density_cube, write_vtk
from simtools.analysers.jumps import find_jumps
from simtools.analysers.percolation import Percolation, percolation
from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.units import BOLTZMANN_EV_PER_K
from simtools.md.trajectory import Trajectory
from simtools.testing import vacancy_walk

TRICLINIC = np.array([[6.0, 0.0, 0.0], [2.0, 5.0, 0.0], [1.0, -1.0, 7.0]])


def wells(n_frames=4000, width_A=0.3, cell=TRICLINIC):
    """Return two ions in harmonic wells, one of them around a corner of the cell, and a still host ion."""
    centres = np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.25, 0.75, 0.5]]) @ cell
    noise = width_A * np.random.default_rng(0).standard_normal((n_frames, 3, 3))
    noise[:, 2] = 0
    return Trajectory(
        positions_A=centres + noise,
        species=["Li", "Li", "O"],
        cells_A=cell,
        frame_interval_ps=1.0,
        temperature_K=600.0,
    )


def density_of(counts, *, temperature_K=1000.0):
    return IonDensity(
        species="Li",
        n_samples=1,
        temperature_K=temperature_K,
        cell_A=6 * np.eye(3),
        counts=np.asarray(counts),
        frame_species=np.array(["O"]),
        frame_scaled=np.zeros((1, 3)),
        provenance=collect_provenance(),
    )


def test_the_integral_is_the_number_of_ions_and_wells_are_paraboloids():
    density = ion_density(wells(40000), species="Li", spacing_A=0.3)
    assert density.density_per_A3.sum() * density.voxel_volume_A3 == pytest.approx(2)
    shape = np.array(density.counts.shape)
    middles = (np.argwhere(density.counts > 300) + 0.5) / shape
    offset = middles - np.where(np.abs(middles - 0.5) < 0.25, 0.5, np.round(middles))
    squared = np.square(offset @ TRICLINIC).sum(axis=1)
    free_energy = free_energy_map(density)[density.counts > 300]
    slope, _ = np.polyfit(squared, free_energy, 1)
    # kT/(2 u^2), with the voxels' own variance (edge^2/12 per axis) added to the wells'
    expected = BOLTZMANN_EV_PER_K * 600 / (2 * 0.3**2)
    assert slope == pytest.approx(expected, rel=0.1)
    assert np.isinf(free_energy_map(density)).any()


def test_folding_puts_equivalent_cells_on_top_of_each_other():
    walk = vacancy_walk(200, seed=1, rattle_A=0.2)
    whole = ion_density(walk, species="Li", spacing_A=0.26)
    folded = ion_density(walk, species="Li", spacing_A=0.26, repeats=(4, 4, 4))
    assert np.allclose(np.diag(folded.cell_A), 3.9)
    assert whole.counts.shape == (60, 60, 60)
    blocks = whole.counts.reshape(4, 15, 4, 15, 4, 15).sum(axis=(0, 2, 4))
    assert np.abs(blocks - folded.counts).sum() <= 4, "rounding may move an ion on a face, no more"
    assert folded.density_per_A3.mean() == pytest.approx(whole.density_per_A3.mean())


def test_sites_are_found_where_the_wells_are_and_carry_jumps():
    sites, occupations = find_sites(ion_density(wells(), species="Li", spacing_A=0.3))
    order = np.argsort(np.abs(sites.scaled_positions - 0.5).sum(axis=1))
    expected = np.array([[0.5, 0.5, 0.5], [0.0, 0.0, 0.0]])
    offset = sites.scaled_positions[order] - expected
    assert np.abs((offset - np.round(offset)) @ TRICLINIC).max() < 0.05
    assert occupations == pytest.approx([1, 1])
    walk = vacancy_walk(
        4000, seed=2, n_vacancies=8, rattle_A=0.2, hop_rate_per_ps=0.3, frame_interval_ps=0.05
    )
    found, _ = find_sites(ion_density(walk, species="Li", spacing_A=0.3))
    assert len(found.species) == 192
    known = find_jumps(walk, species="Li", shortest_stay_ps=0)
    again = find_jumps(replace(walk, lattice_sites=found), species="Li", shortest_stay_ps=0)
    assert again.n_jumps == pytest.approx(known.n_jumps, rel=0.03)
    assert again.n_vacancies == 8


@pytest.mark.parametrize(
    ("region", "dimension", "winding"),
    [
        (np.s_[:, 4, 4], 1, [1, 0, 0]),
        (np.s_[:, :, 4], 2, None),
        (np.s_[2:7, 4, 4], 0, None),
        (np.s_[:, 3:6, 3:6], 1, [1, 0, 0]),
    ],
)
def test_channels_planes_and_cages(region, dimension, winding):
    counts = np.zeros((9, 10, 11), dtype=int)
    counts[region] = 7
    result = percolation(density_of(counts))
    assert result.dimension == dimension
    if winding:
        assert np.abs(result.windings[0]).tolist() == winding
    assert all(level.value == 0 for level in result.levels)


def test_networks_connect_in_three_directions_at_their_bottlenecks():
    counts = np.zeros((9, 9, 9), dtype=int)
    counts[:, 4, 4], counts[4, :, 4], counts[4, 4, :] = 1000, 1000, 1000
    counts[0, 4, 4], counts[4, 0, 4], counts[4, 4, 0] = 500, 100, 20
    result = percolation(density_of(counts))
    assert result.dimension == 3
    kT = BOLTZMANN_EV_PER_K * 1000
    assert [level.value for level in result.levels] == pytest.approx(kT * np.log([2, 10, 50]))
    assert np.abs(result.windings).tolist() == np.eye(3).tolist()
    low, high = result.levels[2].ci95
    assert low < result.levels[2].value < high
    assert Percolation.from_json(result.to_json()).to_json() == result.to_json()


def test_a_helix_winds_once_for_each_turn_and_diagonals_do_not_touch():
    counts = np.zeros((8, 8, 8), dtype=int)
    for z in range(8):
        counts[z, 4, z] = 5
    assert percolation(density_of(counts)).dimension == 0
    for z in range(8):
        counts[(z + 1) % 8, 4, z] = 5
    result = percolation(density_of(counts))
    assert result.dimension == 1
    assert np.abs(result.windings[0]).tolist() == [1, 0, 1]


def test_two_channels_that_never_meet_are_one_dimensional():
    counts = np.zeros((8, 8, 8), dtype=int)
    counts[:, 2, 2] = 5
    counts[5, :, 5] = 5
    assert percolation(density_of(counts)).dimension == 1


def rank_of_walks(filled, reach=3):
    """Return how many independent translations walks on filled voxels make, at most `reach` cells out."""
    size, best = np.array(filled.shape), 0
    for start in np.argwhere(filled):
        seen, front, loops = {tuple(start)}, [tuple(start)], []
        while front:
            here = front.pop()
            for axis in range(3):
                for sign in (-1, 1):
                    there = list(here)
                    there[axis] += sign
                    cell = np.floor_divide(there, size)
                    if tuple(there) in seen or np.abs(cell).max() > reach or not filled[tuple(there % size)]:
                        continue
                    seen.add(tuple(there))
                    front.append(tuple(there))
                    if (there % size == start).all():
                        loops.append(cell)
        best = max(best, np.linalg.matrix_rank(np.array(loops)) if loops else 0)
        if best == 3:
            break
    return best


@pytest.mark.parametrize("seed", range(12))
def test_random_clusters_against_walks_in_the_infinite_crystal(seed):
    rng = np.random.default_rng(seed)
    filled = rng.random((4, 3, 3)) < rng.choice([0.3, 0.4, 0.5])
    filled[0, 0, 0] = True
    assert percolation(density_of(filled.astype(int))).dimension == rank_of_walks(filled)


def test_files_are_read_back_by_others(tmp_path):
    density = ion_density(wells(), species="Li", spacing_A=0.5)
    with write_density_cube(density, tmp_path / "li.cube").open() as file:
        cube = read_cube(file)
    assert np.allclose(cube["data"] / Bohr**3, density.density_per_A3, atol=1e-5)
    assert np.allclose(cube["atoms"].cell.array, TRICLINIC, atol=1e-4)
    assert cube["atoms"].get_chemical_symbols() == ["O"]
    theirs = VaspChargeDensity(str(write_chgcar(density, tmp_path / "CHGCAR")))
    assert np.allclose(theirs.chg[0], density.density_per_A3, atol=1e-6)
    free_energy = free_energy_map(density)
    lines = write_vtk(density, tmp_path / "li.vtk", fields={"F_eV": free_energy}).read_text().splitlines()
    n = density.counts.size
    assert lines[0] == "# vtk DataFile Version 3.0"
    assert lines[4] == "DIMENSIONS {} {} {}".format(*density.counts.shape)
    first = np.array(lines[6].split(), dtype=float)
    assert np.allclose(first, 0.5 / np.array(density.counts.shape) @ TRICLINIC, atol=1e-4)
    at = lines.index("SCALARS density_per_A3 float 1") + 2
    values = np.array(lines[at : at + n], dtype=float).reshape(density.counts.shape[::-1]).T
    assert np.allclose(values, density.density_per_A3, rtol=1e-5)
    at = lines.index("SCALARS F_eV float 1") + 2
    assert max(map(float, lines[at:])) == pytest.approx(free_energy[np.isfinite(free_energy)].max(), rel=1e-5)


def test_what_cannot_be_asked_is_refused_in_one_line(tmp_path):
    with pytest.raises(ConfigError, match="three whole numbers"):
        ion_density(wells(3), species="Li", repeats=(0, 1, 1))
    with pytest.raises(ConfigError, match="raise spacing_A"):
        ion_density(wells(3), species="Li", spacing_A=0.005)
    with pytest.raises(ConfigError, match="temperature"):
        percolation(density_of(np.ones((2, 2, 2), dtype=int), temperature_K=None))
    with pytest.raises(ConfigError, match="expected a name without spaces"):
        write_vtk(density_of(np.ones((2, 2, 2), dtype=int)), tmp_path / "a.vtk", fields={"F": np.ones(3)})


def channel(seed, *, visit_frames=1, n_parts=1, saddle_eV=0.2):
    """Return densities of ions in a channel along x, each visit to a voxel `visit_frames` long."""
    kT = BOLTZMANN_EV_PER_K * 700
    free = np.full((12, 5, 5), 0.9)
    free[:, 2, 2] = 0.5 * saddle_eV * (1 - np.cos(2 * np.pi * np.arange(12) / 6))
    share = np.exp(-free / kT) / np.exp(-free / kT).sum()
    rng = np.random.default_rng(seed)
    return [
        IonDensity(
            species="Li",
            n_samples=100,
            temperature_K=700.0,
            cell_A=np.diag([3.0, 2.0, 2.0]),
            counts=visit_frames * rng.poisson(20000 / n_parts / visit_frames * share),
            frame_species=np.array(["O"]),
            frame_scaled=np.zeros((1, 3)),
            provenance={"arguments": {}},
        )
        for _ in range(n_parts)
    ]


def test_the_interval_of_a_percolation_level_covers_where_visits_last_several_frames():
    single, parts = 0, 0
    for seed in range(60):
        densities = channel(seed, visit_frames=8, n_parts=12)
        whole = replace(densities[0], counts=sum(item.counts for item in densities), n_samples=1200)
        for data, which in ((whole, "single"), (densities, "parts")):
            level = percolation(data).levels[0]
            covered = level.ci95[0] < 0.2 < level.ci95[1]
            single += covered and which == "single"
            parts += covered and which == "parts"
    assert single < 42
    assert parts > 50
    (plain,) = channel(1)
    assert percolation(plain).levels[0].ci95 == percolation([plain]).levels[0].ci95
    with pytest.raises(ConfigError, match="one species on one grid"):
        percolation([plain, replace(plain, species="Na")])
