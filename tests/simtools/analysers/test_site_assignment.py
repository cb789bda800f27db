"""Three conventions of site assignment: where they agree, and the distortion that only one survives."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simtools.analysers.density import find_sites, ion_density
from simtools.analysers.jumps import find_jumps
from simtools.analysers.site_assignment import NOWHERE, assign_ions, dynamic_centres
from simtools.analysers.sites import ions_on_sites
from simtools.core.errors import ConfigError
from simtools.md.trajectory import LatticeSites, Trajectory
from simtools.structures.prototypes import build_prototype
from simtools.structures.supercells import build_supercell


def crystal(repeats=(3, 3, 3), *, n_frames=40, rattle_A=0.15, seed=0, turn=None):
    """Return Li3OCl at rest but for vibrations, with its sites."""
    atoms = build_supercell(build_prototype("cubic", "Li3OCl", lattice_parameter_A=3.9), repeats)
    rng = np.random.default_rng(seed)
    positions = atoms.positions + rattle_A * rng.standard_normal((n_frames, len(atoms), 3))
    cell = atoms.cell.array if turn is None else turn @ atoms.cell.array
    return Trajectory(
        positions_A=positions,
        species=atoms.get_chemical_symbols(),
        cells_A=cell,
        frame_interval_ps=0.1,
        temperature_K=600.0,
        lattice_sites=LatticeSites(atoms.positions @ np.linalg.inv(cell), atoms.get_chemical_symbols()),
    )


def with_wave(trajectory, amplitude_A):
    """Return the crystal under a standing wave that grows from frame to frame, ions and host alike."""
    edge = trajectory.cells_A[0, 0]
    wave = np.cos(2 * np.pi * trajectory.positions_A[0, :, 0] / edge)
    growth = np.linspace(0, 1, trajectory.n_frames)
    moved = np.array(trajectory.positions_A)
    moved[..., 1:] += (amplitude_A / np.sqrt(2) * growth[:, None] * wave)[..., None]
    return replace(trajectory, positions_A=moved)


@pytest.mark.parametrize(
    "turn", [None, np.array([[1, 0, 0], [4, 1, 0], [-5, 7, 1]])], ids=["cubic", "skewed"]
)
def test_on_a_crystal_at_rest_all_conventions_agree(turn):
    trajectory = crystal(turn=turn)
    every = {
        name: assign_ions(trajectory, species="Li", convention=name)
        for name in ("voronoi", "spherical", "dynamic")
    }
    for name, assignment in every.items():
        seen = assignment.sites != NOWHERE
        home = np.broadcast_to(np.arange(81), assignment.sites.shape)
        assert (assignment.sites == home)[seen].all(), name
        assert every["voronoi"].agreement(assignment) == 1.0
    assert every["voronoi"].unassigned_fraction == every["dynamic"].unassigned_fraction == 0.0
    assert every["spherical"].radius_A == pytest.approx(3.9 / np.sqrt(8))
    assert_allclose(every["voronoi"].mean_occupations, 1.0)


def test_spheres_leave_the_share_outside_that_maxwell_gives():
    trajectory = crystal(n_frames=400, rattle_A=0.4)
    radius = 0.8
    spherical = assign_ions(trajectory, species="Li", convention="spherical", radius_A=radius)
    from scipy.stats import chi2

    # the frame of the host wanders by 0.4 / sqrt(54) Å
    width = 0.4 * np.sqrt(1 + 1 / 54)
    assert spherical.unassigned_fraction == pytest.approx(chi2.sf((radius / width) ** 2, 3), abs=0.005)
    assert spherical.mean_occupations.sum() == pytest.approx(81 * (1 - spherical.unassigned_fraction))


def test_moving_centres_follow_a_distortion_that_fools_the_fixed_ones():
    distorted = with_wave(crystal((8, 2, 2), rattle_A=0.1), 1.8)
    home = np.arange(3 * 32)
    last = {
        name: assign_ions(distorted, species="Li", convention=name).sites[-1]
        for name in ("voronoi", "spherical", "dynamic")
    }
    assert (last["dynamic"] == home).all()
    assert (last["voronoi"] != home).mean() > 0.1
    assert (last["spherical"] != home).mean() > 0.1
    there_and_back = replace(
        distorted, positions_A=np.concatenate([distorted.positions_A] + [distorted.positions_A[-1:]] * 10)
    )
    fixed = find_jumps(there_and_back, species="Li", core_fraction=1.0)
    moving = find_jumps(there_and_back, species="Li", core_fraction=1.0, moving_sites=True)
    assert fixed.n_jumps > 5
    assert moving.n_jumps == moving.n_crossings == 0
    shift_tsc = dynamic_centres(distorted, species="Li")
    sited = ions_on_sites(distorted, species="Li")
    assert (shift_tsc @ sited.cells_A[0])[-1, :, 1].max() > 1.0


def test_the_centres_are_the_mean_of_the_shell_around_a_site():
    trajectory = crystal(n_frames=1, rattle_A=0.0)
    oxygen = int(np.flatnonzero(trajectory.species == "O")[0])
    moved = np.array(trajectory.positions_A)
    moved[0, oxygen, 2] += 0.6
    shift_sc = dynamic_centres(replace(trajectory, positions_A=moved), species="Li")[0]
    shift_sc = (shift_sc @ trajectory.cells_A)[:, 2]
    # six neighbours, 2 O and 4 Cl, and the frame follows the mean of 54 host ions
    near = shift_sc > shift_sc.max() - 1e-9
    assert near.sum() == 6
    assert_allclose(shift_sc[near], 0.6 / 6 - 0.6 / 54, atol=1e-9)
    assert_allclose(shift_sc[~near], -0.6 / 54, atol=1e-9)


def test_a_breathing_cell_and_sites_from_the_density_change_nothing():
    trajectory = crystal(n_frames=200)
    strain = 1 + 0.02 * np.sin(np.arange(200) / 7)
    breathing = replace(
        trajectory,
        positions_A=trajectory.positions_A * strain[:, None, None],
        cells_A=trajectory.cells_A * strain[:, None, None],
    )
    for name in ("voronoi", "spherical", "dynamic"):
        one = assign_ions(trajectory, species="Li", convention=name)
        other = assign_ions(breathing, species="Li", convention=name)
        assert one.agreement(other) == 1.0
    found, occupations = find_sites(ion_density(trajectory, species="Li", spacing_A=0.3))
    assert_allclose(occupations, 1.0, atol=0.05)
    from_density = replace(trajectory, lattice_sites=found)
    assignment = assign_ions(from_density, species="Li")
    assert (trajectory.species[assignment.atom_indices] == "Li").all()
    assert_allclose(assignment.mean_occupations, 1.0, atol=0.05)
    assert (assignment.sites == assignment.sites[0]).mean() > 0.99
    with pytest.raises(ConfigError, match="no host to follow"):
        assign_ions(from_density, species="Li", convention="dynamic")


def test_what_cannot_be_assigned_is_refused():
    trajectory = crystal(n_frames=2)
    with pytest.raises(ConfigError, match="convention must be one of voronoi, spherical, dynamic"):
        assign_ions(trajectory, species="Li", convention="nearest")
    with pytest.raises(ConfigError, match=r"at most 1\.38"):
        assign_ions(trajectory, species="Li", convention="spherical", radius_A=1.5)
    with pytest.raises(ConfigError, match="belongs to the convention"):
        assign_ions(trajectory, species="Li", radius_A=1.0)
    twice = LatticeSites(
        np.concatenate([trajectory.lattice_sites.scaled_positions] * 2), [*trajectory.species] * 2
    )
    with pytest.raises(ConfigError, match="two Li sites lie 0 Å apart"):
        assign_ions(replace(trajectory, lattice_sites=twice), species="Li")
    with pytest.raises(ConfigError, match="not finite, first at site 3"):
        LatticeSites(np.where(np.arange(15).reshape(5, 3) == 10, np.nan, 0.5), ["Li"] * 5)
    with pytest.raises(ConfigError, match="must span a volume"):
        replace(trajectory, cells_A=np.diag([1.0, 1.0, 0.0]))
