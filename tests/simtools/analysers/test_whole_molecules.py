"""Molecules of a topology as one ion each: what only turns carries no charge."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simtools.analysers.charge_current import with_charge_current
from simtools.analysers.green_kubo import analyse_green_kubo
from simtools.analysers.molecular_ions import (
    host_with_molecules,
    with_molecular_ions,
    with_whole_molecules,
)
from simtools.analysers.onsager import analyse_onsager, summed_displacements
from simtools.core.errors import ConfigError
from simtools.md.trajectory import Trajectory

M_O, M_H, N, STEP_PS = 15.999, 1.008, 8, 0.02


def hydroxides(seed=0, *, centre_step_A=0.0, n_frames=3000):
    """Return LiOH with rigid hydroxides that turn, bonds across faces: positions, velocities, current."""
    rng = np.random.default_rng(seed)
    turns = np.cumsum(rng.normal(scale=0.2, size=(n_frames, N, 2)), axis=0)
    axis = np.stack(
        [
            np.cos(turns[..., 0]) * np.sin(turns[..., 1]),
            np.sin(turns[..., 0]) * np.sin(turns[..., 1]),
            np.cos(turns[..., 1]),
        ],
        axis=-1,
    )
    centre = np.cumsum(centre_step_A * rng.normal(size=(n_frames, N, 3)), axis=0)
    centre[..., 0] += 4.0 * np.arange(N)
    lithium = np.cumsum(0.02 * rng.normal(size=(n_frames, N, 3)), axis=0)
    oxygen = centre - 0.97 * axis * M_H / (M_O + M_H)
    hydrogen = centre + 0.97 * axis * M_O / (M_O + M_H) + np.array([50.0, 0, 0])
    r_tnc = np.concatenate([lithium, oxygen, hydrogen], axis=1)
    return with_charge_current(
        Trajectory(
            positions_A=r_tnc,
            velocities_A_per_ps=np.gradient(r_tnc, STEP_PS, axis=0),
            species=np.repeat(["Li", "O", "H"], N),
            molecule_id=np.concatenate([np.full(N, -1), np.arange(N), np.arange(N)]),
            masses_amu=np.repeat([6.94, M_O, M_H], N),
            cells_A=np.eye(3) * 50.0,
            frame_interval_ps=STEP_PS,
            temperature_K=600.0,
            formal_charges_e={"Li": 1, "O": -2, "H": 1},
        )
    )


def charge_displacement(trajectory):
    names = list(dict.fromkeys(trajectory.species.tolist()))
    charges = [trajectory.formal_charges_e[name] for name in names]
    return summed_displacements(trajectory, names).transpose(0, 2, 1) @ charges


def spinning(seed=0):
    """Return hydroxides of which nothing moves but the orientations, lithium at rest too."""
    turning = hydroxides(seed)
    r_tnc, v_tnc = turning.positions_A.copy(), turning.velocities_A_per_ps.copy()
    r_tnc[:, :N], v_tnc[:, :N] = r_tnc[0, :N], 0.0
    return with_charge_current(
        replace(turning, positions_A=r_tnc, velocities_A_per_ps=v_tnc, charge_current_e_A_per_ps=None)
    )


def test_rotors_that_only_turn_carry_no_charge():
    atoms = [spinning(seed) for seed in (1, 2)]
    whole = [with_whole_molecules(item) for item in atoms]
    assert np.abs(charge_displacement(atoms[0])).max() > 3.0
    for item in whole:
        assert np.abs(charge_displacement(item)).max() < 1e-10
        assert np.abs(item.charge_current_e_A_per_ps).max() < 1e-9
    assert np.abs(atoms[0].charge_current_e_A_per_ps).max() > 1.0
    options = {"mobile": "Li", "hop_length_A": 1.0, "host_species": ("OH",)}
    matrix = analyse_onsager(whole, **options)
    assert matrix.ionic_conductivity_S_per_cm.is_limit
    assert np.abs(matrix.coefficients_A2_per_ps).max() < 1e-20
    assert matrix.species == ("Li", "OH")
    assert matrix.charges_e == (1, -1)
    assert not any("counted as an ion" in note for note in matrix.warnings)


def test_the_current_of_whole_molecules_is_that_of_their_centres():
    atoms = hydroxides(3, centre_step_A=0.01)
    whole = with_whole_molecules(atoms)
    velocity = np.gradient(whole.positions_A, STEP_PS, axis=0)
    charges = np.array([whole.formal_charges_e[name] for name in whole.species])
    assert_allclose(whole.charge_current_e_A_per_ps, np.einsum("n,tnc->tc", charges, velocity), atol=1e-8)
    assert_allclose(
        whole.species_momenta_amu_A_per_ps["OH"],
        (M_O + M_H) * velocity[:, N:].sum(axis=1),
        atol=1e-7,
    )
    found = with_molecular_ions(
        atoms, name="OH", centre="O", ligand="H", n_ligands=1, bond_length_A=1.2, charge_e=-1
    )
    assert_allclose(whole.positions_A, found.positions_A, atol=1e-10)
    assert whole.masses_amu == pytest.approx(found.masses_amu)


def test_turning_no_longer_adds_noise_to_green_kubo():
    atoms = [hydroxides(seed) for seed in (4, 5, 6, 7)]
    whole = [with_whole_molecules(item) for item in atoms]
    truth = 8 * 0.02**2 / STEP_PS / 2  # e^2 A^2/ps: slope of the summed charge displacement over 6
    split, ions = (analyse_green_kubo(item).ionic_conductivity_S_per_cm for item in (atoms, whole))
    unit = 1.602176634e-19**2 * 1e-20 / 1e-12 / (125000e-30 * 1.380649e-23 * 600) * 0.01
    assert ions.ci95[0] < truth * unit < ions.ci95[1]
    assert ions.stderr < split.stderr


def test_species_in_and_out_of_molecules_keep_the_current_of_atoms():
    atoms = hydroxides(8, n_frames=40)
    identity = atoms.molecule_id.copy()
    identity[[N, 2 * N]] = -1
    whole = with_whole_molecules(replace(atoms, molecule_id=identity))
    assert dict(zip(*np.unique(whole.species, return_counts=True), strict=True)) == {
        "H": 1, "Li": N, "O": 1, "OH": N - 1,
    }  # fmt: skip
    assert_allclose(whole.charge_current_e_A_per_ps, atoms.charge_current_e_A_per_ps)
    mixed = replace(atoms, molecule_id=identity)
    assert host_with_molecules(mixed, ("O",)) == ("O", "OH")
    assert host_with_molecules(atoms, ("O",)) == ("OH",)
    single = replace(atoms, molecule_id=None)
    assert with_whole_molecules(single) is single
    assert host_with_molecules(single, ("O",)) == ("O",)


def test_a_molecule_that_falls_apart_is_refused():
    atoms = hydroxides(9, n_frames=40)
    r_tnc = atoms.positions_A.copy()
    r_tnc[30:, 2 * N] += 3.0
    with pytest.raises(ConfigError, match="breaks in frame 30"):
        with_whole_molecules(replace(atoms, positions_A=r_tnc))
    with pytest.raises(ConfigError, match="masses_amu"):
        with_whole_molecules(replace(atoms, masses_amu=None))
