"""Do the intervals tell the truth? Coverage and width of D*, D_sigma, H_R and E_a on synthetic truth.

Run as ``python -m benchmarks.calibration --repeats 1000 --output benchmarks/results/calibration.json``
(a quarter of an hour on one core). ``coverage`` is the fraction of 95 % intervals that hold the truth;
``width_ratio`` is their mean width over that of the true sampling interval, 2 x 1.96 standard deviations of
the estimates. The test suite runs the same cases with 50 repeats.
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simtools.analysers.arrhenius import fit_arrhenius
from simtools.analysers.transport import analyse_transport
from simtools.core.provenance import library_versions
from simtools.core.units import BOLTZMANN_EV_PER_K
from simtools.testing.walkers import lattice_walkers, vacancy_walk

LATTICE_PARAMETER_A = 3.9
HOP_LENGTH_A = LATTICE_PARAMETER_A / np.sqrt(2)
N_SITES = 192
#: H_R of 1, 2 and 6 vacancies on 192 sites: slope of the MSD beyond 32 vacancy hops in 12 runs of 10 000
#: vacancy hop times each (standard error 0.002); the lone vacancy in an infinite crystal has 0.6935.
VACANCY_HAVEN_RATIO = {1: 0.694, 2: 0.699, 6: 0.706}
ACTIVATION_ENERGY_EV = 0.30
QUANTITIES = {
    "D*": "tracer_diffusivity_cm2_per_s",
    "D_sigma": "charge_diffusivity_cm2_per_s",
    "H_R": "haven_ratio",
}


@dataclass(frozen=True)
class WalkerCase:
    """Rigid groups of `group_size` ions that hop together."""

    group_size: int
    n_replicas: int = 4
    n_ions: int = 96
    n_frames: int = 600
    hops_per_frame: float = 0.1
    rattle_A: float = 0.05

    @property
    def name(self):
        """Label in the table."""
        return f"walkers in groups of {self.group_size}, {self.n_replicas} x {self.n_ions} x {self.n_frames}"

    @property
    def truth(self):
        """{quantity: true value}."""
        tracer = self.hops_per_frame / 6 * 1e-4
        return {"D*": tracer, "D_sigma": self.group_size * tracer, "H_R": 1 / self.group_size}

    def analyse(self, seed):
        """Return the transport of one repeat."""
        replicas = [
            lattice_walkers(
                self.n_frames,
                self.n_ions,
                seed=np.random.SeedSequence([seed, replica]),
                group_size=self.group_size,
                hops_per_frame=self.hops_per_frame,
                rattle_A=self.rattle_A,
                temperature_K=800,
            )
            for replica in range(self.n_replicas)
        ]
        return analyse_transport(replicas, species="Li", hop_length_A=1.0)


@dataclass(frozen=True)
class VacancyCase:
    """Vacancies on the cation sublattice, with rattling ions; 80 hops per vacancy by default."""

    n_vacancies: int
    n_replicas: int = 4
    n_frames: int = 1000
    frame_interval_ps: float = 0.1
    hop_rate_per_ps: float = 0.1
    rattle_A: float = 0.15

    @property
    def name(self):
        """Label in the table."""
        hops = 8 * self.hop_rate_per_ps * self.n_frames * self.frame_interval_ps
        return (
            f"{self.n_vacancies} vacancies on {N_SITES} sites, {hops:.0f} hops each, "
            f"{self.n_replicas} x {self.n_frames}"
        )

    @property
    def truth(self):
        """{quantity: true value}."""
        n = self.n_vacancies
        open_share = 1 - (n - 1) / (N_SITES - 1)
        charge = 8 * self.hop_rate_per_ps * HOP_LENGTH_A**2 / 6 * n / (N_SITES - n) * open_share * 1e-4
        ratio = VACANCY_HAVEN_RATIO[n]
        return {"D*": ratio * charge, "D_sigma": charge, "H_R": ratio}

    def analyse(self, seed, *, hop_rate_per_ps=None, temperature_K=800.0):
        """Return the transport of one repeat."""
        replicas = [
            vacancy_walk(
                self.n_frames,
                seed=np.random.SeedSequence([seed, replica]),
                n_vacancies=self.n_vacancies,
                lattice_parameter_A=LATTICE_PARAMETER_A,
                hop_rate_per_ps=self.hop_rate_per_ps if hop_rate_per_ps is None else hop_rate_per_ps,
                rattle_A=self.rattle_A,
                frame_interval_ps=self.frame_interval_ps,
                temperature_K=temperature_K,
            )
            for replica in range(self.n_replicas)
        ]
        return analyse_transport(replicas, species="Li", hop_length_A=HOP_LENGTH_A)


@dataclass(frozen=True)
class ArrheniusCase:
    """Vacancies whose hop rate follows an Arrhenius law."""

    temperatures_K: tuple = (700.0, 800.0, 900.0, 1000.0, 1150.0)
    n_replicas: int = 2
    n_frames: int = 500
    n_vacancies: int = 2

    @property
    def name(self):
        """Label in the table."""
        return (
            f"{self.n_vacancies} vacancies, {len(self.temperatures_K)} temperatures, "
            f"{self.n_replicas} x {self.n_frames}"
        )

    def analyse(self, seed):
        """Return the Arrhenius fit of one repeat."""
        case = VacancyCase(self.n_vacancies, n_replicas=self.n_replicas, n_frames=self.n_frames)
        transports = []
        for number, temperature_K in enumerate(self.temperatures_K):
            shift = (1 / temperature_K - 1 / 800) / BOLTZMANN_EV_PER_K
            rate = case.hop_rate_per_ps * np.exp(-ACTIVATION_ENERGY_EV * shift)
            transports.append(
                case.analyse(100 * seed + number, hop_rate_per_ps=rate, temperature_K=temperature_K)
            )
        return fit_arrhenius(transports)


CASES = (
    WalkerCase(1),
    WalkerCase(2),
    WalkerCase(4),
    WalkerCase(8),
    WalkerCase(1, n_replicas=2, n_ions=192, n_frames=1000),
    VacancyCase(2, n_replicas=2),
    VacancyCase(2, n_replicas=4),
    VacancyCase(2, n_replicas=8),
    VacancyCase(6, n_replicas=4),
    VacancyCase(2, n_replicas=4, hop_rate_per_ps=0.03),
)
ARRHENIUS_CASES = (ArrheniusCase(), ArrheniusCase(temperatures_K=(700.0, 850.0, 1000.0), n_replicas=4))


def score(estimates, truth):
    """Return coverage, width ratio and bias of estimates of one quantity."""
    known = [item for item in estimates if not item.is_limit]
    values = np.array([item.value for item in known])
    low, high = np.array([item.ci95 for item in known]).T
    spread = values.std(ddof=1)
    return {
        "truth": truth,
        "n": len(known),
        "n_limits": len(estimates) - len(known),
        "coverage": float(np.mean((low <= truth) & (truth <= high))),
        "truth_below": float(np.mean(truth < low)),
        "truth_above": float(np.mean(truth > high)),
        "width_ratio": float(np.mean(high - low) / (2 * 1.96 * spread)),
        "relative_bias": float(values.mean() / truth - 1),
        "relative_spread": float(spread / truth),
    }


def calibrate_transport(case, *, repeats, first_seed=0):
    """Return {quantity: score} of one case."""
    results = [case.analyse(first_seed + repeat) for repeat in range(repeats)]
    return {
        label: score([getattr(result, field) for result in results], case.truth[label])
        for label, field in QUANTITIES.items()
    }


def calibrate_arrhenius(case, *, repeats, first_seed=0):
    """Return {quantity: score} of the activation energies of one case."""
    fits = [case.analyse(first_seed + repeat) for repeat in range(repeats)]
    return {
        "E_a(sigma)": score([fit.activation_energy_eV for fit in fits], ACTIVATION_ENERGY_EV),
        "E_a(D*)": score([fit.tracer_activation_energy_eV for fit in fits], ACTIVATION_ENERGY_EV),
    }


def table(records):
    """Return the scores as a Markdown table."""
    lines = [
        "| case | quantity | truth | bias (%) | spread (%) | coverage (%) | width / true |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for record in records:
        for label, entry in record["scores"].items():
            bias, spread, coverage = (
                100 * entry[name] for name in ("relative_bias", "relative_spread", "coverage")
            )
            lines.append(
                f"| {record['case']} | {label} | {entry['truth']:.4g} | {bias:+.1f} | {spread:.1f} | "
                f"{coverage:.1f} | {entry['width_ratio']:.2f} |"
            )
    return "\n".join(lines) + "\n"


def main():
    """Run every case and write JSON and a Markdown table beside it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/calibration.json"))
    parser.add_argument(
        "--only", default="", help="cases whose name holds this text; others are kept as stored"
    )
    arguments = parser.parse_args()
    seeds = [arguments.first_seed, arguments.first_seed + arguments.repeats - 1]
    stored = {}
    if arguments.only and arguments.output.exists():
        report = json.loads(arguments.output.read_text(encoding="utf-8"))
        if report["seeds"] == seeds:
            stored = {record["case"]: record for record in report["records"]}
    records = []
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    for case in (*ARRHENIUS_CASES, *CASES):
        if arguments.only not in case.name:
            records += [stored[case.name]] if case.name in stored else []
            continue
        started = time.process_time()
        calibrate = calibrate_arrhenius if isinstance(case, ArrheniusCase) else calibrate_transport
        scores = calibrate(case, repeats=arguments.repeats, first_seed=arguments.first_seed)
        records.append(
            {"case": case.name, "scores": scores, "cpu_s": round(time.process_time() - started, 1)}
        )
        report = {
            "repeats": arguments.repeats,
            "seeds": seeds,
            "versions": library_versions(),
            "records": records,
        }
        arguments.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        arguments.output.with_suffix(".md").write_text(table(records), encoding="utf-8")


if __name__ == "__main__":
    main()
