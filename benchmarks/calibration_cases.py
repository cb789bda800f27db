"""Synthetic systems with known transport on which the error bars are tried. Scores: calibration.py.

Every transport case has a `name`, its `truth` ({quantity: value}), `trajectories(seed)` (the replicas of one
repeat, for any analysis) and `analyse(seed)` ({quantity: Estimate} of ours).
"""

from dataclasses import dataclass

import numpy as np

from simtools.analysers.arrhenius import fit_arrhenius
from simtools.analysers.onsager import analyse_onsager
from simtools.analysers.transport import analyse_transport
from simtools.core.units import BOLTZMANN_EV_PER_K, conductivity_S_per_cm
from simtools.testing import caged_hoppers, correlated_species, lattice_walkers, vacancy_walk

LATTICE_PARAMETER_A = 3.9
HOP_LENGTH_A = LATTICE_PARAMETER_A / np.sqrt(2)
N_SITES = 192
#: H_R of 1, 2 and 6 vacancies on 192 sites: slope of the MSD beyond 32 vacancy hops in 12 runs of 10 000
#: vacancy hop times each (standard error 0.002); the lone vacancy in an infinite crystal has 0.6935.
VACANCY_HAVEN_RATIO = {1: 0.694, 2: 0.699, 6: 0.706}
ACTIVATION_ENERGY_EV = 0.30
TEMPERATURE_K = 800.0


class TransportCase:
    """One species in several replicas, analysed by `analyse_transport`."""

    def true_transport(self, tracer, charge, trajectory):
        """Return {quantity: truth} from D* and D_sigma, cm²/s, and any trajectory of the case."""
        density = trajectory.positions_A.shape[1] / trajectory.mean_volume_A3
        factor = conductivity_S_per_cm(
            1.0, number_density_per_A3=density, charge_e=1, temperature_K=trajectory.temperature_K
        )
        return {"D*": tracer, "D_sigma": charge, "sigma": charge * factor, "H_R": tracer / charge}

    def analyse(self, seed):
        """Return {quantity: Estimate} of one repeat."""
        result = analyse_transport(self.trajectories(seed), species="Li", hop_length_A=self.hop_length_A)
        return {
            "D*": result.tracer_diffusivity_cm2_per_s,
            "D_sigma": result.charge_diffusivity_cm2_per_s,
            "sigma": result.ionic_conductivity_S_per_cm,
            "H_R": result.haven_ratio,
        }


@dataclass(frozen=True)
class WalkerCase(TransportCase):
    """Rigid groups of `group_size` ions that hop together."""

    group_size: int
    n_replicas: int = 4
    n_ions: int = 96
    n_frames: int = 400
    hops_per_frame: float = 0.1
    rattle_A: float = 0.05
    hop_length_A: float = 1.0

    @property
    def name(self):
        """Label in the table."""
        return f"walkers in groups of {self.group_size}, {self.n_replicas} x {self.n_ions} x {self.n_frames}"

    @property
    def truth(self):
        """{quantity: true value}."""
        tracer = self.hops_per_frame * self.hop_length_A**2 / 6 * 1e-4
        return self.true_transport(tracer, self.group_size * tracer, self._replica(0, 0, n_frames=2))

    def trajectories(self, seed):
        """Return the replicas of one repeat."""
        return [self._replica(seed, replica) for replica in range(self.n_replicas)]

    def _replica(self, seed, replica, n_frames=None):
        return lattice_walkers(
            self.n_frames if n_frames is None else n_frames,
            self.n_ions,
            seed=np.random.SeedSequence([seed, replica]),
            group_size=self.group_size,
            hops_per_frame=self.hops_per_frame,
            hop_length_A=self.hop_length_A,
            rattle_A=self.rattle_A,
            temperature_K=TEMPERATURE_K,
        )


@dataclass(frozen=True)
class VacancyCase(TransportCase):
    """Vacancies on the cation sublattice, with rattling ions; 80 hops per vacancy by default."""

    n_vacancies: int
    n_replicas: int = 4
    n_frames: int = 500
    frame_interval_ps: float = 0.2
    hop_rate_per_ps: float = 0.1
    rattle_A: float = 0.15
    temperature_K: float = TEMPERATURE_K
    hop_length_A: float = HOP_LENGTH_A

    @property
    def name(self):
        """Label in the table."""
        hops = 8 * self.hop_rate_per_ps * self.n_frames * self.frame_interval_ps
        vacancies = "1 vacancy" if self.n_vacancies == 1 else f"{self.n_vacancies} vacancies"
        return f"{vacancies} on {N_SITES} sites, {hops:.0f} hops each, {self.n_replicas} x {self.n_frames}"

    @property
    def truth(self):
        """{quantity: true value}."""
        n = self.n_vacancies
        open_share = 1 - (n - 1) / (N_SITES - 1)
        charge = 8 * self.hop_rate_per_ps * HOP_LENGTH_A**2 / 6 * n / (N_SITES - n) * open_share * 1e-4
        return self.true_transport(VACANCY_HAVEN_RATIO[n] * charge, charge, self._replica(0, 0, n_frames=2))

    def trajectories(self, seed):
        """Return the replicas of one repeat."""
        return [self._replica(seed, replica) for replica in range(self.n_replicas)]

    def _replica(self, seed, replica, n_frames=None):
        return vacancy_walk(
            self.n_frames if n_frames is None else n_frames,
            seed=np.random.SeedSequence([seed, replica]),
            n_vacancies=self.n_vacancies,
            lattice_parameter_A=LATTICE_PARAMETER_A,
            hop_rate_per_ps=self.hop_rate_per_ps,
            rattle_A=self.rattle_A,
            frame_interval_ps=self.frame_interval_ps,
            temperature_K=self.temperature_K,
        )


@dataclass(frozen=True)
class CageCase(TransportCase):
    """Ions with inertia in cages that hop now and then, in frames close enough to see them fly."""

    group_size: int = 1
    n_replicas: int = 4
    n_ions: int = 48
    n_frames: int = 1500
    hop_rate_per_ps: float = 0.2
    frame_interval_ps: float = 0.02
    hop_length_A: float = HOP_LENGTH_A

    @property
    def name(self):
        """Label in the table."""
        hops = self.hop_rate_per_ps * self.n_frames * self.frame_interval_ps
        return (
            f"caged ions in groups of {self.group_size}, {hops:.2g} hops each, "
            f"{self.n_replicas} x {self.n_ions} x {self.n_frames}"
        )

    @property
    def truth(self):
        """{quantity: true value}."""
        tracer = self.hop_rate_per_ps * self.hop_length_A**2 / 6 * 1e-4
        return self.true_transport(tracer, self.group_size * tracer, self._replica(0, 0, n_frames=2))

    def trajectories(self, seed):
        """Return the replicas of one repeat."""
        return [self._replica(seed, replica) for replica in range(self.n_replicas)]

    def _replica(self, seed, replica, n_frames=None):
        return caged_hoppers(
            self.n_frames if n_frames is None else n_frames,
            self.n_ions,
            seed=np.random.SeedSequence([seed, replica]),
            group_size=self.group_size,
            hop_rate_per_ps=self.hop_rate_per_ps,
            hop_length_A=self.hop_length_A,
            frame_interval_ps=self.frame_interval_ps,
            temperature_K=TEMPERATURE_K,
        )


@dataclass(frozen=True)
class TwoSpeciesCase:
    """Brownian ions of two charged species in correlated pairs, analysed by `analyse_onsager`.

    With charges of one sign a resting host species makes the cell neutral.
    """

    charges_e: tuple = (1, -1)
    correlation: float = 0.5
    n_replicas: int = 4
    n_pairs: int = 16
    n_frames: int = 300
    diffusivities_A2_per_ps: tuple = (0.02, 0.008)
    hop_length_A: float = 1.0

    @property
    def name(self):
        """Label in the table."""
        one, two = self.charges_e
        return (
            f"two species {one:+d} and {two:+d}, correlation {self.correlation:g}, "
            f"{self.n_replicas} x {self.n_pairs} pairs x {self.n_frames}"
        )

    @property
    def truth(self):
        """{quantity: true value}."""
        (one, two), (first, second) = self.charges_e, self.diffusivities_A2_per_ps
        cross = one * two * self.correlation * np.sqrt(first * second)
        alone = one**2 * first + two**2 * second
        total = alone + 2 * cross
        item = self._replica(0, 0, n_frames=2)
        unit = conductivity_S_per_cm(
            1e-4,
            number_density_per_A3=self.n_pairs / item.mean_volume_A3,
            charge_e=1,
            temperature_K=item.temperature_K,
        )
        return {
            "D*": first * 1e-4,
            "sigma": total * unit,
            "H_R": alone / total,
            "t(Li)": (one**2 * first + cross) / total,
        }

    def trajectories(self, seed):
        """Return the replicas of one repeat."""
        return [self._replica(seed, replica) for replica in range(self.n_replicas)]

    def analyse(self, seed):
        """Return {quantity: Estimate} of one repeat."""
        replicas = self.trajectories(seed)
        host = ("O",) if sum(self.charges_e) else ()
        options = {"hop_length_A": self.hop_length_A, "host_species": host}
        result = analyse_onsager(replicas, mobile="Li", n_resamples=10, seed=seed, **options)
        tracer = analyse_transport(replicas, species="Li", **options)
        return {
            "D*": tracer.tracer_diffusivity_cm2_per_s,
            "sigma": result.ionic_conductivity_S_per_cm,
            "H_R": result.haven_ratio,
            "t(Li)": result.transport_numbers["Li"],
        }

    def _replica(self, seed, replica, n_frames=None):
        return correlated_species(
            self.n_frames if n_frames is None else n_frames,
            self.n_pairs,
            seed=np.random.SeedSequence([seed, replica]),
            diffusivities_A2_per_ps=self.diffusivities_A2_per_ps,
            correlation=self.correlation,
            names=("Li", "Cl" if self.charges_e[1] < 0 else "Mg"),
            charges_e=self.charges_e,
            host=("O", -sum(self.charges_e)) if sum(self.charges_e) else None,
        )


@dataclass(frozen=True)
class ArrheniusCase:
    """Vacancies whose hop rate follows an Arrhenius law; independent walkers for `n_vacancies` of zero."""

    temperatures_K: tuple = (700.0, 800.0, 900.0, 1000.0, 1150.0)
    n_replicas: int = 2
    n_frames: int = 300
    n_vacancies: int = 2

    @property
    def name(self):
        """Label in the table."""
        what = f"{self.n_vacancies} vacancies" if self.n_vacancies else "walkers"
        return f"{what}, {len(self.temperatures_K)} temperatures, {self.n_replicas} x {self.n_frames}"

    @property
    def truth(self):
        """{quantity: true value}."""
        return {"E_a(sigma)": ACTIVATION_ENERGY_EV, "E_a(D*)": ACTIVATION_ENERGY_EV}

    def transports(self, seed):
        """Return the transport at every temperature of one repeat."""
        return [
            analyse_transport(
                [self._replica(temperature_K, [seed, number, replica]) for replica in range(self.n_replicas)],
                species="Li",
                hop_length_A=HOP_LENGTH_A,
            )
            for number, temperature_K in enumerate(self.temperatures_K)
        ]

    def analyse(self, seed):
        """Return {quantity: Estimate} of one repeat."""
        fit = fit_arrhenius(self.transports(seed))
        return {"E_a(sigma)": fit.activation_energy_eV, "E_a(D*)": fit.tracer_activation_energy_eV}

    def _replica(self, temperature_K, entropy):
        shift = (1 / temperature_K - 1 / TEMPERATURE_K) / BOLTZMANN_EV_PER_K
        faster = float(np.exp(-ACTIVATION_ENERGY_EV * shift))
        seed = np.random.SeedSequence(entropy)
        if self.n_vacancies == 0:
            return lattice_walkers(
                self.n_frames,
                24,
                seed=seed,
                hops_per_frame=0.1 * faster,
                hop_length_A=HOP_LENGTH_A,
                rattle_A=0.15,
                temperature_K=temperature_K,
            )
        return vacancy_walk(
            self.n_frames,
            seed=seed,
            n_vacancies=self.n_vacancies,
            lattice_parameter_A=LATTICE_PARAMETER_A,
            hop_rate_per_ps=0.1 * faster,
            rattle_A=0.15,
            frame_interval_ps=0.2,
            temperature_K=temperature_K,
        )


REPLICAS = (1, 2, 4, 8, 16)
GROUPS = (1, 2, 4, 8, 16, 32)
THREE_K, FOUR_K = (700.0, 850.0, 1000.0), (700.0, 800.0, 950.0, 1100.0)
CASES = (
    *(WalkerCase(group) for group in GROUPS),
    *(WalkerCase(group, n_replicas=r, n_ions=32) for group in (1, 4) for r in REPLICAS if r != 4),
    *(WalkerCase(group, n_replicas=r, n_ions=48, n_frames=100) for group in (1, 4) for r in (1, 4)),
    WalkerCase(4, n_ions=32, n_frames=2000),
    *(VacancyCase(2, n_replicas=r) for r in (1, 2, 4)),
    *(VacancyCase(2, n_replicas=r, n_frames=250) for r in (8, 16)),
    VacancyCase(1),
    VacancyCase(6),
    VacancyCase(2, hop_rate_per_ps=0.03),
    VacancyCase(6, hop_rate_per_ps=0.03),
    VacancyCase(2, n_replicas=2, hop_rate_per_ps=0.3),
    VacancyCase(2, n_replicas=1, n_frames=2000),
    *(CageCase(n_replicas=r) for r in (1, 2, 4, 8)),
    CageCase(group_size=4),
    CageCase(n_frames=500),
    CageCase(hop_rate_per_ps=0.05),
    *(TwoSpeciesCase(n_replicas=r) for r in REPLICAS),
    TwoSpeciesCase(correlation=-0.5),
    TwoSpeciesCase(correlation=0.0),
    TwoSpeciesCase(charges_e=(1, 2)),
    TwoSpeciesCase(charges_e=(1, 2), correlation=-0.5),
    TwoSpeciesCase(n_frames=100),
    ArrheniusCase(n_replicas=1),
    ArrheniusCase(temperatures_K=THREE_K, n_replicas=4, n_frames=200),
    ArrheniusCase(temperatures_K=FOUR_K, n_replicas=2, n_frames=150),
    ArrheniusCase(temperatures_K=THREE_K, n_replicas=1, n_vacancies=0),
    ArrheniusCase(n_replicas=2, n_vacancies=0),
    ArrheniusCase(temperatures_K=FOUR_K, n_replicas=4, n_frames=100, n_vacancies=0),
)
