"""Bonds and vacancies, ligands that stay, and errors between replicas: limits with known answers."""

import numpy as np
import pytest

from simtools.analysers.ligand_transport import ligand_transport
from simtools.analysers.molecules import find_molecules
from simtools.analysers.orientations import Orientations, orientations_of
from simtools.analysers.reorientation import reorientation
from simtools.analysers.replica_scatter import with_replica_scatter
from simtools.analysers.rotation_arrhenius import fit_rotation_arrhenius
from simtools.analysers.vacancy_pointing import vacancy_pointing
from simtools.core.errors import ConfigError
from simtools.testing.rotor_crystals import hydroxide_crystal


def rotors(bonds):
    """Return hydroxides 4 Å apart with given bonds, (n_frames, n_rotors, 3)."""
    n_frames, n_rotors, _ = bonds.shape
    centres = np.zeros((n_frames, n_rotors, 3))
    centres[:, :, 0] = 4.0 * np.arange(n_rotors)
    return Orientations(
        name="OH",
        vectors=bonds[:, :, None],
        quaternions=None,
        reference_A=None,
        misfit_A=None,
        centres_A=centres,
        cells_A=np.diag([4.0 * n_rotors, 8.0, 8.0]),
        frame_interval_ps=0.1,
    )


def beside(orientations, direction):
    """Return a vacancy 2 Å from every rotor."""
    return orientations.centres_A + 2.0 * np.asarray(direction)


def test_bonds_that_point_to_their_vacancy_have_a_cosine_of_one():
    turned = rotors(np.broadcast_to([0.0, 1.0, 0.0], (50, 8, 3)))
    found = vacancy_pointing(turned, beside(turned, [0, 1, 0]), radius_A=2.5)
    assert found.cosine.value == pytest.approx(1.0)
    assert found.angle_deg.value == pytest.approx(0.0, abs=1e-6)
    assert found.pointing.value == 1.0
    assert found.covered == 1.0
    assert found.random_pointing == pytest.approx((1 - np.cos(np.pi / 4)) / 2, abs=0.02)


def test_random_bonds_are_covered_by_their_interval():
    held = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        bonds = rng.normal(size=(1, 24, 3)) + 0.3 * rng.normal(size=(40, 24, 3))
        turned = rotors(bonds / np.linalg.norm(bonds, axis=-1, keepdims=True))
        found = vacancy_pointing(turned, beside(turned, [0, 0, 1]), radius_A=2.5)
        held += found.cosine.ci95[0] < 0 < found.cosine.ci95[1]
        assert found.density.sum() * 0.1 == pytest.approx(1.0)
    assert held >= 52


def test_a_vacancy_must_be_near():
    turned = rotors(np.broadcast_to([0.0, 1.0, 0.0], (50, 8, 3)))
    with pytest.raises(ConfigError, match="0 rotors have a vacancy within 1 Å"):
        vacancy_pointing(turned, beside(turned, [0, 1, 0]), radius_A=1.0)


def test_replicas_that_differ_widen_the_interval():
    rng = np.random.default_rng(4)
    assert with_replica_scatter(rng.normal(size=6) * 0.1 / 5, 0.1, 20.0)[2] is False
    stderr, dof, widened = with_replica_scatter(rng.normal(size=6), 0.01, 20.0)
    assert widened
    assert dof == 5.0
    assert stderr > 0.3
    assert with_replica_scatter([1.0], 0.5, 3.0) == (0.5, 3.0, False)


def test_independent_parts_keep_their_error():
    widened = 0
    for seed in range(300):
        values = np.random.default_rng(seed).normal(size=(4, 25))
        stderr = values.std(ddof=1) / 10
        without = [np.delete(values, r, axis=0).mean() for r in range(4)]
        widened += with_replica_scatter(without, stderr, 99.0)[2]
    assert widened <= 9


def test_relaxation_times_of_unlike_replicas_are_wide():
    first, second, third, fourth = (
        orientations_of(
            find_molecules(
                hydroxide_crystal(600, seed=seed, turn_rate_per_ps=rate, hop_rate_per_ps=0.0),
                centre="O",
                ligands="H",
            )
        )
        for seed, rate in ((1, 1.5), (2, 1.5), (3, 0.15), (4, 0.15))
    )
    alike = reorientation([first, second])
    unlike = reorientation([first, second, third, fourth])
    assert "replicas, which differ" in unlike.tau1.method
    assert unlike.relaxed[0] == (unlike.tau1.ci95[1] < 100 * unlike.tau1.ci95[0])
    assert "rotors" in alike.tau1.method


def test_hydrogen_that_only_turns_has_a_limit_and_one_that_travels_does_not():
    crystal = hydroxide_crystal(800, seed=3, turn_rate_per_ps=1.0)
    molecules = find_molecules(crystal, centre="O", ligands="H")
    options = {"ligand": "H", "temperature_K": 600.0, "host_species": ("Cl",)}
    still = ligand_transport([crystal], [molecules], **options)
    assert still.tracer_diffusivity_cm2_per_s.is_limit
    assert still.n_hops == 0
    # 3 events would be the 95 % limit of none: D < 3 d² / (6 N t)
    bound = 3.0 * 3.9**2 / (6 * 27 * crystal.duration_ps) * 1e-4
    assert still.tracer_diffusivity_cm2_per_s.upper_limit == pytest.approx(bound, rel=0.2)
    with pytest.raises(ConfigError, match="no Cl is bound"):
        ligand_transport([crystal], [molecules], ligand="Cl", temperature_K=600.0, host_species=("Li",))


def test_numbers_of_temperatures_must_match():
    with pytest.raises(ConfigError, match="got 2 temperatures, 0 rates"):
        fit_rotation_arrhenius([600, 700], [], [])
