"""Binding free energies against a lattice gas of known energy; foreign ions of every kind on their sites."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from simtools.analysers.association import association_partners, bound_fraction
from simtools.analysers.binding import BindingResult, binding_free_energy, fit_binding
from simtools.analysers.sites import site_occupation, sublattice_of_atoms
from simtools.core.errors import ConfigError
from simtools.core.results import Estimate
from simtools.core.units import BOLTZMANN_EV_PER_K
from simtools.defects.insertion import PlacedDefect, insert_defects
from simtools.defects.kroger_vink import KrogerVink
from simtools.md.trajectory import LatticeSites, Trajectory
from simtools.structures import build_antiperovskite, build_supercell

CHARGES = {"Li": 1, "O": -2, "Cl": -1, "Mg": 2, "F": -1, "Br": -1, "H": 1}
A = 3.9
CRYSTAL = build_supercell(build_antiperovskite("Li3OCl", lattice_parameter_A=A), 4)
SYMBOLS = np.array(CRYSTAL.get_chemical_symbols())


def cell(*labels, net_charge=None, **options):
    """The crystal with defects given as (label, site index)."""
    placed = [
        PlacedDefect(label=KrogerVink.parse(label), site_index=site, **options.get(label, {}))
        for label, site in labels
    ]
    return insert_defects(CRYSTAL, placed, formal_charges_e=CHARGES, net_charge=net_charge)


def trajectory_of(atoms, positions_A=None, temperature_K=1000.0):
    sites = atoms.info["lattice_sites"]
    return Trajectory(
        positions_A=atoms.positions[None] if positions_A is None else positions_A,
        species=np.array(atoms.get_chemical_symbols()),
        cells_A=atoms.cell.array,
        frame_interval_ps=0.1,
        lattice_sites=LatticeSites(sites["scaled_positions"], sites["species"]),
        defects=tuple(atoms.info["defects"]),
        temperature_K=temperature_K,
    )


def lattice_gas(dopant, host, energy_eV, temperature_K, *, n_frames=400, seed=0):
    """One dopant at rest; one lithium vacancy redrawn in each frame with a Boltzmann weight in its shell."""
    rng = np.random.default_rng(seed)
    site = int(np.flatnonzero(SYMBOLS == host)[0])
    free = np.flatnonzero((SYMBOLS == "Li") & (np.arange(len(SYMBOLS)) != site))
    distance = CRYSTAL.get_distances(site, free, mic=True)
    weight = np.where(
        distance < distance.min() + 0.1, np.exp(-energy_eV / BOLTZMANN_EV_PER_K / temperature_K), 1.0
    )
    atoms = cell((f"{dopant}_{host}.", site), ("V_Li'", int(free[0])))
    lithium = [atom.index for atom in atoms if atom.symbol == "Li"]
    frames = np.repeat(atoms.positions[None], n_frames, axis=0)
    for frame in frames:
        vacancy = rng.choice(free, p=weight / weight.sum())
        frame[lithium] = CRYSTAL.positions[free[free != vacancy]]
    frames += rng.normal(0, 0.1, frames.shape)
    return trajectory_of(atoms, frames, temperature_K)


@pytest.mark.parametrize(("dopant", "host", "n_bound"), [("Mg", "Li", 8), ("F", "O", 6)])
def test_lattice_gas_gives_the_energy_that_was_put_in(dopant, host, n_bound):
    replicas = [lattice_gas(dopant, host, -0.3, 1000.0, seed=seed) for seed in range(2)]
    result = bound_fraction(replicas, species="Li", partner=dopant)
    n_sites = 191 if host == "Li" else 192
    assert_allclose(result.random_fraction, n_bound / n_sites, rtol=1e-12)
    energy = result.binding_free_energy_eV
    assert energy.ci95[0] < -0.3 < energy.ci95[1]
    assert 0.003 < energy.stderr < 0.02
    assert_allclose(energy.ci95[1] - energy.ci95[0], 2 * 1.96 * energy.stderr, rtol=0.2)


def test_shells_of_a_dopant_on_either_sublattice():
    magnesium = bound_fraction(lattice_gas("Mg", "Li", -0.3, 1000.0, n_frames=2), species="Li", partner="Mg")
    assert_allclose(magnesium.shell_distances_A[:2], [A / np.sqrt(2), A], rtol=1e-6)
    fluoride = bound_fraction(lattice_gas("F", "O", -0.3, 1000.0, n_frames=2), species="Li", partner="F")
    assert_allclose(fluoride.shell_distances_A[:2], [A / 2, A * np.sqrt(5) / 2], rtol=1e-6)


def fraction(value, stderr=0.01, ci95=None):
    ci95 = (value - 2 * stderr, value + 2 * stderr) if ci95 is None else ci95
    return Estimate(value=value, stderr=stderr, ci95=ci95, method="made up", n_eff=50)


def test_random_odds_are_no_binding_and_certainty_is_a_limit():
    assert binding_free_energy(fraction(0.16), 0.16, 900).value == pytest.approx(0.0, abs=1e-15)
    limit = binding_free_energy(fraction(1.0, ci95=(0.98, 1.0)), 0.2, 1000)
    expected = -BOLTZMANN_EV_PER_K * 1000 * np.log(0.98 / 0.02 / 0.25)
    assert limit.upper_limit == pytest.approx(expected, rel=1e-12)
    assert binding_free_energy(fraction(0.0, ci95=(0.0, 0.02)), 0.2, 1000).upper_limit == np.inf
    open_ended = binding_free_energy(fraction(0.99, ci95=(0.95, 1.0)), 0.2, 1000)
    assert open_ended.ci95[0] == -np.inf
    with pytest.raises(ConfigError, match="between 0 and 1"):
        binding_free_energy(fraction(0.5), 1.0, 900)


class Association:
    species, partner, partner_kind = "Li", "Mg", "dopant"

    def __init__(self, temperature_K, energy_eV, stderr_eV=0.005):
        self.temperature_K = temperature_K
        self.binding_free_energy_eV = fraction(energy_eV, stderr_eV)


def test_line_gives_enthalpy_and_entropy_with_their_intervals():
    rng, covered = np.random.default_rng(3), 0
    temperatures = (900.0, 1000.0, 1150.0)
    exact = fit_binding([Association(t, -0.6 + BOLTZMANN_EV_PER_K * t) for t in temperatures])
    assert exact.enthalpy_eV.value == pytest.approx(-0.6, abs=1e-12)
    assert exact.entropy_kB.value == pytest.approx(-1.0, abs=1e-9)
    for _ in range(300):
        noisy = [Association(t, -0.6 + BOLTZMANN_EV_PER_K * t + rng.normal(0, 0.005)) for t in temperatures]
        line = fit_binding(noisy).enthalpy_eV
        covered += line is None or line.ci95[0] < -0.6 < line.ci95[1]
    assert 275 <= covered <= 297


def test_no_line_through_two_temperatures_nor_through_points_that_reject_it():
    assert fit_binding([Association(900.0, -0.5), Association(1000.0, -0.4)]).enthalpy_eV is None
    bent = fit_binding([Association(900.0, -0.5), Association(1000.0, -0.4), Association(1100.0, -0.5)])
    assert bent.enthalpy_eV is None
    assert "do not lie on a straight line" in bent.warnings[0]
    assert "enthalpy_eV" not in bent.to_summary()
    back = BindingResult.from_json(bent.to_json())
    assert back.free_energies_eV == bent.free_energies_eV


def test_antisite_and_dopant_sit_on_the_sublattice_they_took():
    oxygen, chlorine, lithium = (int(np.flatnonzero(SYMBOLS == name)[0]) for name in ("O", "Cl", "Li"))
    vacancies = np.flatnonzero(SYMBOLS == "Li")[[20, 21]]
    atoms = cell(
        ("O_Cl'", chlorine),
        ("F_O.", oxygen),
        ("Mg_Li.", lithium),
        ("V_Li'", int(vacancies[0])),
        net_charge="background",
    )
    home = sublattice_of_atoms(trajectory_of(atoms))
    assert [home[i] for i in (chlorine, oxygen, lithium)] == ["Cl", "O", "Li"]
    assert association_partners(trajectory_of(atoms), species="Li") == ("Mg", "F")
    assert site_occupation(trajectory_of(atoms), species="Cl").vacancies.shape == (1, 0)


def test_a_moved_dopant_still_belongs_where_it_was_put():
    oxygen = int(np.flatnonzero(SYMBOLS == "O")[0])
    atoms = cell(("F_O.", oxygen), ("V_Li'", int(np.flatnonzero(SYMBOLS == "Li")[40])))
    chlorine = CRYSTAL.positions[SYMBOLS == "Cl"]
    away = chlorine[np.linalg.norm(chlorine - CRYSTAL.positions[oxygen], axis=1).argmin()]
    frames = atoms.positions[None].copy()
    frames[0, oxygen] += 0.6 * (away - frames[0, oxygen])
    assert sublattice_of_atoms(trajectory_of(atoms, frames))[oxygen] == "O"


def test_hydroxide_counts_once_and_its_hydrogen_not_at_all():
    oxygen = int(np.flatnonzero(SYMBOLS == "O")[0])
    atoms = cell(
        ("(OH)_O.", oxygen),
        ("V_Li'", int(np.flatnonzero(SYMBOLS == "Li")[5])),
        **{"(OH)_O.": {"direction": (1.0, 0.0, 0.0)}},
    )
    trajectory = trajectory_of(atoms)
    assert association_partners(trajectory, species="Li") == ()
    assert site_occupation(trajectory, species="O").vacancies.shape == (1, 0)
    with pytest.raises(ConfigError, match="part of a molecule"):
        bound_fraction(trajectory, species="Li", partner="H")


def test_more_ions_than_sites_are_refused_in_one_line():
    lithium = int(np.flatnonzero(SYMBOLS == "Li")[3])
    dumbbell = {"(Li2)_Li.": {"direction": (1.0, 0.0, 0.0), "separation_A": 1.8}}
    atoms = cell(("(Li2)_Li.", lithium), net_charge="background", **dumbbell)
    trajectory = trajectory_of(atoms)
    assert association_partners(trajectory, species="Li") == ()
    with pytest.raises(ConfigError, match=r"193 ions for 192 Li sites.*interstitials or dumbbells") as caught:
        site_occupation(trajectory, species="Li")
    assert "\n" not in str(caught.value)
