import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import erfc

from potentials.ewald_sum import EwaldSum
from simtools.core.errors import ConfigError, ShapeError
from simtools.core.units import COULOMB_EV_A
from tests.reference import ewald as reference

pytestmark = pytest.mark.kernel

TRICLINIC = np.array([[4.1, 0.0, 0.0], [1.6, 3.7, 0.0], [-1.2, 1.4, 4.4]])
ROCK_SALT = [
    [0, 0, 0],
    [0, 0.5, 0.5],
    [0.5, 0, 0.5],
    [0.5, 0.5, 0],
    [0.5, 0, 0],
    [0, 0.5, 0],
    [0, 0, 0.5],
    [0.5] * 3,
]
ZINC_BLENDE = [*ROCK_SALT[:4], *(np.array(ROCK_SALT[:4]) + 0.25)]


def ions(n, *, net=0.0, seed=3):
    """Return positions in the triclinic cell, some of them outside, and charges that sum to `net`."""
    rng = np.random.default_rng(seed)
    charges = rng.normal(0.0, 1.5, n)
    charges += (net - charges.sum()) / n
    return rng.uniform(-1.0, 2.0, (n, 3)) @ TRICLINIC, charges


def pairs(positions, cell, charges, alpha):
    """Return energy, forces and virial of the erfc half, to the last digit."""
    energy, forces, virial = 0.0, np.zeros_like(positions), np.zeros((3, 3))
    wrapped = np.linalg.solve(cell.T, positions.T).T % 1.0 @ cell
    for i, j, d in reference.neighbours(wrapped, cell, reference.TAIL / alpha):
        r = np.linalg.norm(d, axis=1)
        qq = COULOMB_EV_A * charges[i] * charges[j]
        gauss = 2 * alpha / np.sqrt(np.pi) * np.exp(-((alpha * r) ** 2))
        pull = (-qq * (erfc(alpha * r) / r + gauss) / r**2)[:, None] * d
        energy += 0.5 * np.sum(qq * erfc(alpha * r) / r)
        np.add.at(forces, i, pull)
        virial += 0.5 * np.einsum("pa,pb->ab", pull, d)
    return energy, forces, virial


def coulomb(positions, cell, charges, alpha):
    """Return the whole Coulomb energy, forces and virial."""
    energy, forces, virial = pairs(positions, cell, charges, alpha)
    summed = EwaldSum(cell, charges, alpha, relative_accuracy=1e-15).compute(positions, cell)
    return energy + summed[0], forces + summed[2], virial + summed[3]


@pytest.mark.parametrize(
    ("fractions", "charges", "nearest", "n_pairs", "madelung"),
    [
        (ROCK_SALT, [1] * 4 + [-1] * 4, 0.5, 4, 1.747564594633182),
        ([[0, 0, 0], [0.5, 0.5, 0.5]], [1, -1], np.sqrt(3) / 2, 1, 1.762674773070988),
        (ZINC_BLENDE, [1] * 4 + [-1] * 4, np.sqrt(3) / 4, 4, 1.638055053388789),
    ],
    ids=["rock salt", "caesium chloride", "zinc blende"],
)
def test_crystals_have_their_madelung_constants(fractions, charges, nearest, n_pairs, madelung):
    cell = 4.0 * np.eye(3)
    energy, forces, virial = coulomb(np.array(fractions) @ cell, cell, np.array(charges, float), 0.75)
    assert_allclose(energy, -madelung * n_pairs * COULOMB_EV_A / (4.0 * nearest), rtol=1e-12)
    assert_allclose(forces, 0.0, atol=1e-12)
    assert_allclose(virial, -energy / 3 * np.eye(3), atol=1e-11)


def test_a_lone_charge_in_its_background_has_the_cubic_lattice_energy():
    cell = 5.0 * np.eye(3)
    energy, _, virial = coulomb(np.array([[0.3, 1.1, 2.0]]), cell, np.array([2.0]), 0.6)
    assert_allclose(energy, -2.837297479480620 * 2.0**2 * COULOMB_EV_A / (2 * 5.0), rtol=1e-12)
    assert_allclose(virial, -energy / 3 * np.eye(3), atol=1e-11)


@pytest.mark.parametrize("net", [0.0, 1.5])
def test_nothing_depends_on_where_the_sum_is_split(net):
    positions, charges = ions(6, net=net)
    wide, narrow = (coulomb(positions, TRICLINIC, charges, alpha) for alpha in (0.65, 0.95))
    for left, right in zip(wide, narrow, strict=True):
        assert_allclose(left, right, rtol=1e-12, atol=1e-12 * np.abs(right).max())


def test_the_sum_matches_the_formula_term_by_term():
    positions, charges = ions(7, net=-0.7)
    volume, alpha = abs(np.linalg.det(TRICLINIC)), 0.8
    energy, energies, forces, virial = EwaldSum(TRICLINIC, charges, alpha, relative_accuracy=1e-16).compute(
        positions, TRICLINIC
    )
    parts = [
        part(charges, positions, TRICLINIC, volume, alpha)
        for part in (reference.reciprocal, reference.self_energy, reference.background)
    ]
    assert_allclose(energies, sum(part[0] for part in parts), rtol=1e-12)
    assert_allclose(forces, sum(part[1] for part in parts), rtol=0, atol=1e-11)
    assert_allclose(virial, sum(part[2] for part in parts), rtol=0, atol=1e-11)
    assert energy == pytest.approx(energies.sum(), rel=1e-14)


def test_forces_and_virial_are_derivatives_of_the_energy():
    positions, charges = ions(4, net=0.5)
    ewald = EwaldSum(TRICLINIC, charges, 0.6, relative_accuracy=1e-15)
    _, _, forces, virial = ewald.compute(positions, TRICLINIC)
    h = 1e-4
    for n, c in [(0, 0), (1, 1), (3, 2)]:
        step = np.zeros_like(positions)
        step[n, c] = h
        up, down = (ewald.compute(positions + sign * step, TRICLINIC)[0] for sign in (1, -1))
        assert forces[n, c] == pytest.approx(-(up - down) / (2 * h), rel=1e-6)
    for a, b in [(0, 0), (1, 2), (2, 0)]:
        strain = np.zeros((3, 3))
        strain[a, b] += h / 2
        strain[b, a] += h / 2
        up, down = (
            ewald.compute(positions @ (np.eye(3) + sign * strain), TRICLINIC @ (np.eye(3) + sign * strain))[0]
            for sign in (1, -1)
        )
        assert virial[a, b] == pytest.approx((up - down) / (2 * h), rel=1e-6)
    assert_allclose(virial, virial.T, rtol=0, atol=1e-13)


def test_more_atoms_than_one_block_add_up():
    positions, charges = ions(70, seed=8)
    _, energies, forces, virial = EwaldSum(TRICLINIC, charges, 0.35, relative_accuracy=1e-16).compute(
        positions, TRICLINIC
    )
    expected = reference.reciprocal(charges, positions, TRICLINIC, abs(np.linalg.det(TRICLINIC)), 0.35)
    expected_self = reference.self_energy(charges, positions, TRICLINIC, 1.0, 0.35)[0]
    assert_allclose(energies, expected[0] + expected_self, rtol=1e-11)
    assert_allclose(forces, expected[1], rtol=0, atol=1e-10)
    assert_allclose(virial, expected[2], rtol=0, atol=1e-10)


def test_bad_input_is_named():
    with pytest.raises(ConfigError, match="independent lattice vectors"):
        EwaldSum(np.ones((3, 3)), [1.0], 0.3)
    with pytest.raises(ConfigError, match="alpha must be positive"):
        EwaldSum(np.eye(3), [1.0], 0.0)
    with pytest.raises(ConfigError, match="relative_accuracy"):
        EwaldSum(np.eye(3), [1.0], 0.3, relative_accuracy=1.0)
    with pytest.raises(ShapeError, match="positions_nc"):
        EwaldSum(4 * np.eye(3), [1.0, -1.0], 0.3).compute(np.zeros((3, 3)), 4 * np.eye(3))
    with pytest.raises(ShapeError, match="charges_n"):
        EwaldSum(np.eye(3), [[1.0]], 0.3)
    with pytest.raises(ShapeError, match="cell"):
        EwaldSum(np.eye(2), [1.0], 0.3)
