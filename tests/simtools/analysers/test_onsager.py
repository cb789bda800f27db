"""Onsager coefficients and tensors held against walkers of built-in correlation and exact invariances."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simtools.analysers.bootstrap import bootstrap_covariance
from simtools.analysers.molecular_ions import bound_hydrogen, with_molecular_ions
from simtools.analysers.onsager import OnsagerResult, analyse_onsager, summed_displacements
from simtools.analysers.tracer_tensor import TracerTensorResult, analyse_tracer_tensor
from simtools.analysers.transport import analyse_transport
from simtools.core.errors import ConfigError
from simtools.core.units import conductivity_S_per_cm
from simtools.md.trajectory import Trajectory
from simtools.plots import format_estimate
from simtools.testing import correlated_species, lattice_walkers
from tests.crystal_walks import crystal_walk

SIGMA_UNIT = conductivity_S_per_cm(1e-4, number_density_per_A3=1 / 50**3, charge_e=1, temperature_K=1000)


def salt(n_replicas=4, seed=0, **options):
    return [correlated_species(300, 16, seed=100 * seed + r, **options) for r in range(n_replicas)]


def onsager(replicas, **options):
    return analyse_onsager(
        replicas, **{"mobile": "Li", "hop_length_A": 1.0, "host_species": (), "n_resamples": 50} | options
    )


def truth(correlation):
    """Return the Onsager matrix of (Cl, Li), sigma in the same unit and the transport number of Li."""
    d = np.array([0.008, 0.02])
    matrix = 16 * (correlation * np.sqrt(np.outer(d, d)) + (1 - correlation) * np.diag(d))
    z = np.array([-1, 1])
    return matrix, z @ matrix @ z, (matrix[1] @ z) / (z @ matrix @ z)


def test_intervals_cover_the_built_in_correlation():
    hits = np.zeros(6)
    matrix, sigma, number = truth(0.5)
    for seed in range(30):
        result = onsager(salt(seed=seed, correlation=0.5))
        low, high = result.ionic_conductivity_S_per_cm.ci95
        ratio, alone = result.haven_ratio, result.nernst_einstein_conductivity_S_per_cm
        share = result.transport_numbers["Li"]
        apart = np.abs(result.coefficients_A2_per_ps - matrix) < 2 * result.stderr_A2_per_ps
        hits += [
            low < sigma * SIGMA_UNIT < high,
            share.ci95[0] < number < share.ci95[1],
            apart[0, 1],
            apart[1, 1],
            ratio.ci95[0] < 16 * 0.028 / sigma < ratio.ci95[1],
            alone.ci95[0] < 16 * 0.028 * SIGMA_UNIT < alone.ci95[1],
        ]
    assert (hits >= 26).all(), hits


def test_sum_rules_hold_exactly():
    result = onsager(salt(correlation=-0.4))
    assert sum(item.value for item in result.transport_numbers.values()) == pytest.approx(1, rel=1e-12)
    z = np.array(result.charges_e)
    assert_allclose(
        z @ result.coefficients_A2_per_ps @ z * SIGMA_UNIT,
        result.ionic_conductivity_S_per_cm.value,
        rtol=1e-12,
    )
    mean = np.mean([item.value for item in result.conductivity_per_axis_S_per_cm])
    assert_allclose(mean, result.ionic_conductivity_S_per_cm.value, rtol=1e-12)


def test_the_conductivity_of_a_neutral_cell_does_not_see_a_common_drift():
    still = salt(2, correlation=0.3)
    t = np.arange(300)[:, None, None]
    rng = np.random.default_rng(5)
    drift = 0.3 * t + 5 * np.sin(0.1 * t) + np.cumsum(rng.normal(size=(300, 1, 3)), axis=0)
    moved = [replace(item, positions_A=item.positions_A + drift) for item in still]
    for host in ((), ("Cl",)):
        one, two = (onsager(item, host_species=host) for item in (still, moved))
        a, b = one.ionic_conductivity_S_per_cm, two.ionic_conductivity_S_per_cm
        assert b.value == pytest.approx(a.value, rel=1e-9)
        assert b.ci95 == pytest.approx(a.ci95, rel=1e-9)
    frames = [onsager(still, host_species=host).ionic_conductivity_S_per_cm.value for host in ((), ("Cl",))]
    assert frames[0] == pytest.approx(frames[1], rel=1e-9)


def test_pairs_that_move_as_one_carry_no_charge():
    result = onsager(salt(correlation=1.0, diffusivities_A2_per_ps=(0.02, 0.02)))
    assert result.haven_ratio.is_limit
    assert result.ionic_conductivity_S_per_cm.is_limit
    assert result.ionic_conductivity_S_per_cm.upper_limit < 1e-10


def test_one_mobile_species_has_the_haven_ratio_of_analyse_transport():
    walks = [lattice_walkers(400, 32, seed=seed, temperature_K=800) for seed in range(4)]
    still = np.zeros((400, 32, 3)) + 2.0 * np.arange(32)[:, None]
    cells = [
        replace(
            item,
            positions_A=np.concatenate([item.positions_A, still], axis=1),
            species=np.repeat(["Li", "Cl"], 32),
            formal_charges_e={"Li": 1, "Cl": -1},
        )
        for item in walks
    ]
    result = onsager(cells, host_species=None)
    alone = analyse_transport(cells, species="Li", hop_length_A=1.0)
    assert result.ionic_conductivity_S_per_cm.value == pytest.approx(
        alone.ionic_conductivity_S_per_cm.value, rel=1e-9
    )
    assert result.haven_ratio.value == pytest.approx(alone.haven_ratio.value, rel=1e-9)
    assert result.haven_ratio.stderr == pytest.approx(alone.haven_ratio.stderr, rel=0.1)
    assert result.transport_numbers["Li"].value == pytest.approx(1.0)


def test_where_nothing_hops_the_limits_are_those_of_unseen_hops():
    cells = salt(2)
    r_nc = cells[0].positions_A[:1]
    still = [replace(item, positions_A=np.repeat(r_nc, 300, axis=0)) for item in cells]
    observed_ps = 2 * 16 * (300 - 2.2 * 3)
    tensor = analyse_tracer_tensor(still, species="Li", hop_length_A=1.0, host_species=())
    limit = 2.9957 / observed_ps / 6 * 1e-4
    assert tensor.mean_cm2_per_s.upper_limit == pytest.approx(limit, rel=1e-3)
    assert tensor.components_cm2_per_s["xx"].upper_limit == pytest.approx(3 * limit, rel=1e-3)
    sigma = onsager(still).ionic_conductivity_S_per_cm
    assert sigma.upper_limit == pytest.approx(16 * limit * 1e4 * SIGMA_UNIT, rel=1e-3)


def hydroxide(n_frames=800, n=8, seed=0):
    """Return LiOH whose hydroxides diffuse and turn: atoms, unwrapped."""
    rng = np.random.default_rng(seed)
    base = correlated_species(n_frames, n, seed=seed, names=("Li", "X"), correlation=0.2)
    axis = rng.normal(size=(n_frames, n, 3))
    axis *= 0.97 / np.linalg.norm(axis, axis=-1, keepdims=True)
    lithium, centre = base.positions_A[:, :n], base.positions_A[:, n:]
    m_o, m_h = 15.999, 1.008
    oxygen, hydrogen = centre - axis * m_h / (m_o + m_h), centre + axis * m_o / (m_o + m_h)
    return Trajectory(
        positions_A=np.concatenate([lithium, oxygen, hydrogen + np.array([50.0, 0, 0])], axis=1),
        species=np.repeat(["Li", "O", "H"], n),
        masses_amu=np.repeat([6.94, m_o, m_h], n),
        cells_A=base.cells_A,
        frame_interval_ps=1.0,
        temperature_K=1000.0,
        formal_charges_e={"Li": 1, "O": -2, "H": 1},
    ), centre


def as_ions(trajectory):
    return with_molecular_ions(
        trajectory, name="OH", centre="O", ligand="H", n_ligands=1, bond_length_A=1.2, charge_e=-1
    )


def test_a_molecular_ion_moves_with_its_centre_of_mass():
    atoms, centre = hydroxide()
    ions = as_ions(atoms)
    assert ions.species.tolist() == ["Li"] * 8 + ["OH"] * 8
    assert ions.masses_amu[-1] == pytest.approx(17.007)
    assert_allclose(ions.positions_of("OH"), centre, atol=1e-10)


def test_hydroxide_whole_or_split_gives_one_slope():
    for seed in range(3):
        atoms = [hydroxide(seed=10 * seed + r)[0] for r in range(3)]
        ions = [as_ions(item) for item in atoms]
        charge_apart = summed_displacements(atoms[0], ("Li", "O", "H")).transpose(0, 2, 1) @ [1, -2, 1]
        charge_apart -= summed_displacements(ions[0], ("Li", "OH")).transpose(0, 2, 1) @ [1, -1]
        assert np.abs(charge_apart).max() < 8 * 2 * 0.97 * 2  # bounded: no slope
        split, whole = (onsager(item).ionic_conductivity_S_per_cm for item in (atoms, ions))
        assert abs(split.value - whole.value) < 2 * np.hypot(split.stderr, whole.stderr)


def test_split_molecules_are_told_and_hydride_ions_are_not():
    atoms = [hydroxide(seed=r)[0] for r in range(2)]
    assert bound_hydrogen(atoms[0]) == ("O",)
    assert any("hydrogen bound to O is counted as an ion" in note for note in onsager(atoms).warnings)
    whole = [as_ions(item) for item in atoms]
    apart = [replace(atoms[0], species=np.where(atoms[0].species == "O", "Na", atoms[0].species))]
    assert bound_hydrogen(whole[0]) == bound_hydrogen(apart[0]) == ()
    assert not any("hydrogen" in note for note in onsager(whole).warnings)


def test_molecules_that_are_not_whole_are_refused_by_name():
    atoms, _ = hydroxide()
    broken = atoms.positions_A.copy()
    broken[70:, 20] += 3.0
    with pytest.raises(ConfigError, match="breaks in frame 70"):
        as_ions(replace(atoms, positions_A=broken))
    with pytest.raises(ConfigError, match="frame 0, expected 1"):
        as_ions(replace(atoms, positions_A=atoms.positions_A + 3.0 * (np.arange(24) == 20)[:, None]))
    with pytest.raises(ConfigError, match="masses"):
        as_ions(replace(atoms, masses_amu=None))


def test_charges_must_be_known_and_a_charged_cell_needs_a_host():
    with pytest.raises(ConfigError, match="formal_charges_e has no entry for Cl"):
        onsager([replace(item, formal_charges_e={"Li": 1}) for item in salt(1)])
    with pytest.raises(ConfigError, match="name host_species"):
        onsager(salt(1, charges_e=(2, -1)))
    with pytest.raises(ConfigError, match="every formal charge is zero"):
        onsager(salt(1, charges_e=(0, 0)))


def test_the_bootstrap_of_independent_blocks_gives_the_error_of_their_mean():
    samples = np.random.default_rng(1).multivariate_normal([0, 0], [[1, 0.6], [0.6, 2]], size=(4, 200))
    covariance = bootstrap_covariance(samples, weights_r=np.full(4, 0.25), correlation=0.1, n_resamples=4000)
    assert_allclose(covariance * 800, [[1, 0.6], [0.6, 2]], rtol=0.2)


def test_the_tensor_agrees_with_the_scalar_and_turns_with_the_axes():
    replicas = [lattice_walkers(400, 32, seed=seed, temperature_K=800) for seed in range(3)]
    result = analyse_tracer_tensor(replicas, species="Li", hop_length_A=1.0)
    scalar = analyse_transport(replicas, species="Li", hop_length_A=1.0).tracer_diffusivity_cm2_per_s
    assert result.mean_cm2_per_s.value == pytest.approx(scalar.value, rel=1e-10)
    assert result.mean_cm2_per_s.ci95 == pytest.approx(scalar.ci95, rel=1e-10)
    assert result.isotropy_p_value > 1e-3
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    turned = [
        replace(item, positions_A=item.positions_A @ turn, cells_A=item.cells_A @ turn) for item in replicas
    ]
    other = analyse_tracer_tensor(turned, species="Li", hop_length_A=1.0)
    assert_allclose(other.principal_values_cm2_per_s, result.principal_values_cm2_per_s, rtol=1e-6)


def test_diffusion_in_a_plane_is_seen_as_such():
    replicas = [lattice_walkers(400, 32, seed=seed, temperature_K=800) for seed in range(3)]
    flat = [replace(item, positions_A=item.positions_A * [1, 1, 1e-3]) for item in replicas]
    result = analyse_tracer_tensor(flat, species="Li", hop_length_A=1.0)
    low, high = result.components_cm2_per_s["xx"].ci95
    assert low < 0.2 / 6 * 1e-4 < high
    assert result.principal_values_cm2_per_s[0] < 1e-5 * result.principal_values_cm2_per_s[1]
    assert abs(result.principal_axes[2, 0]) > 0.999


def test_results_survive_json():
    for result in (
        onsager(salt(1)),
        analyse_tracer_tensor(salt(1), species="Li", hop_length_A=1.0),
    ):
        kind = OnsagerResult if isinstance(result, OnsagerResult) else TracerTensorResult
        assert kind.from_json(result.to_json()).to_json() == result.to_json()


def test_species_that_only_vibrate_have_a_transport_number_of_zero_within_its_error():
    pulls = []
    for seed in range(10):
        walk = crystal_walk(200, seed=seed)
        result = analyse_onsager([walk], mobile="Li", hop_length_A=2.757, n_resamples=5)
        assert (np.diag(result.covariance) > 0).all()
        share = result.transport_numbers["O"]
        assert share.stderr < 0.2
        pulls.append(share.value / share.stderr)
    assert np.abs(pulls).max() < 2.5


def test_the_host_at_rest_in_its_own_frame_has_a_share_of_zero_and_no_digits_of_rounding():
    """Its summed displacement is what rounding leaves of zero: 3.8e-16 (-1.2 to 8.7) is no measurement."""
    walks = [replace(item, positions_A=item.positions_A + 0.1 / 3) for item in salt(correlation=0.0)]
    result = onsager(walks, host_species=("Cl",))
    share = result.transport_numbers["Cl"]
    assert (share.value, share.stderr, share.ci95) == (0.0, 0.0, (0.0, 0.0))
    assert format_estimate(share) == "0"
    assert result.transport_numbers["Li"].value == pytest.approx(1.0, rel=1e-12)


def slow_species(n_frames=500, n_slow=2, hops_per_frame=0.01, step_A=2.0, seed=0, continuous=False):
    """Return 24 fast Li and a slow O with a host at rest; O hops, or moves as a Brownian walker."""
    rng = np.random.default_rng(seed)
    fast = step_A * _hops(rng, 0.1, n_frames, 24)
    slow = step_A * _hops(rng, hops_per_frame, n_frames, n_slow)
    if continuous:
        slow = np.sqrt(hops_per_frame / 3) * step_A * rng.normal(size=slow.shape)
    moved = np.cumsum(np.concatenate([fast, slow, np.zeros((n_frames, 12, 3))], axis=1), axis=0)
    return Trajectory(
        positions_A=moved + rng.uniform(0, 14, (1, 36 + n_slow, 3)) + 0.1 * rng.normal(size=moved.shape),
        species=np.array(["Li"] * 24 + ["O"] * n_slow + ["Cl"] * 12),
        cells_A=14 * np.eye(3),
        frame_interval_ps=0.5,
        temperature_K=800,
        formal_charges_e={"Li": 1, "O": -2, "Cl": -1},
    )


def _hops(rng, rate, n_frames, n_ions):
    axes = rng.multinomial(rng.poisson(rate, (n_frames, n_ions)), np.full(6, 1 / 6))
    return axes[..., ::2] - axes[..., 1::2]


def test_a_species_that_hops_rarely_carries_the_noise_of_its_hops():
    pulls = []
    for seed in range(40):
        result = onsager([slow_species(seed=seed)], host_species=("Cl",), hop_length_A=2.0)
        apart = result.coefficients_A2_per_ps[2, 2] - 2 * 0.01 * 2.0**2 / 6 / 0.5
        pulls.append(apart / result.stderr_A2_per_ps[2, 2])
        error = result.ionic_conductivity_S_per_cm.stderr
        assert error < 0.2 * result.ionic_conductivity_S_per_cm.value
    assert np.sqrt(np.mean(np.square(pulls))) < 1.2


def test_slow_continuous_motion_has_no_noise_of_hops():
    error = {}
    for continuous in (False, True):
        errors = [
            result.stderr_A2_per_ps[2, 2]
            for result in (
                onsager(
                    [slow_species(seed=seed, continuous=continuous)], host_species=("Cl",), hop_length_A=2.0
                )
                for seed in range(10)
            )
        ]
        error[continuous] = np.mean(errors)
    assert error[False] > 2.1 * error[True]


def test_isotropic_walkers_are_seldom_called_anisotropic():
    chances = [
        analyse_tracer_tensor(
            [lattice_walkers(200, 16, seed=10 * seed + r, temperature_K=800) for r in range(2)],
            species="Li", hop_length_A=1.0,
        ).isotropy_p_value
        for seed in range(40)
    ]  # fmt: skip
    assert np.mean(np.array(chances) < 0.1) < 0.25


def test_one_run_of_few_long_windows_is_no_test_of_isotropy():
    result = analyse_tracer_tensor(
        [lattice_walkers(400, 32, seed=1, hops_per_frame=0.012)], species="Li", hop_length_A=1.0
    )
    assert np.isnan(result.isotropy_p_value)
