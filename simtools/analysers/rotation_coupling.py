"""All about rotors and hopping ions in one go: events, surroundings, every test, and the verdict."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from simtools.analysers.carry import CarryTest, carry_test
from simtools.analysers.coupled_events import RotorHops, common_events
from simtools.analysers.coupling_inputs import (
    common_windows,
    density_sites,
    nearest_ion_A,
    rotor_covariates,
)
from simtools.analysers.coupling_series import (
    ConditionalDisplacement,
    InformationFlow,
    conditional_displacement,
    information_flow,
    rotor_series,
)
from simtools.analysers.coupling_table import further_tests
from simtools.analysers.coupling_velocities import VelocityCoherence, velocity_coherence
from simtools.analysers.event_correlogram import EventCorrelogram, event_correlogram
from simtools.analysers.hazard import HazardRatio, hazard_ratio
from simtools.analysers.hop_geometry import BottleneckAtHops, bottleneck_at_hops
from simtools.analysers.joint_correlation import JointCorrelation, joint_correlation
from simtools.analysers.jumps import find_jumps
from simtools.analysers.molecules import without_ligands
from simtools.analysers.rotation import RotationAnalysis
from simtools.analysers.rotor_surroundings import DipoleToVacancies, dipole_to_vacancies
from simtools.analysers.tilt_at_hops import TiltAtHops, tilt_at_hops
from simtools.analysers.vacancy_pointing import VacancyPointing, vacancy_pointing
from simtools.analysers.verdict import Counterfactuals, Verdict, reach_verdict, typical_angle_deg
from simtools.core.errors import SimtoolsError
from simtools.core.periodic import cell_heights_A
from simtools.md.trajectory import Trajectory

__all__ = ["CouplingAnalysis", "analyse_coupling"]

_HOP_REACH, _ION_REACH, _SECOND_REACH = 1.2, 1.3, 2.0
_BIN_PS, _LAG_BIN_PS = 0.05, 0.1
_MOST_GATHERED = 2e8


@dataclass(frozen=True, eq=False)
class CouplingAnalysis:
    """Rotation and hopping of one pair of species, replicas together.

    Attributes
    ----------
    runs : tuple of RotorHops
    radius_A : float
        Within which the middle of a hop is near a rotor, Å.
    correlogram, crude, adjusted, reverse, carry
        Tests of events; `adjusted` and `reverse` are None where surroundings are unknown.
    dipole, pointing, tilts, bottleneck, conditional, information, coherence, joint
        Further measures, over all replicas; None where they cannot be had.
    verdict : Verdict
    warnings : tuple of str
    """

    anion: str
    mobile: str
    runs: tuple[RotorHops, ...]
    radius_A: float
    correlogram: EventCorrelogram
    crude: HazardRatio
    adjusted: HazardRatio | None
    reverse: HazardRatio | None
    carry: CarryTest
    dipole: DipoleToVacancies | None
    pointing: VacancyPointing | None
    tilts: TiltAtHops | None
    bottleneck: BottleneckAtHops | None
    conditional: ConditionalDisplacement | None
    information: InformationFlow | None
    coherence: VelocityCoherence | None
    joint: JointCorrelation | None
    verdict: Verdict
    warnings: tuple

    @property
    def results(self):
        """The Results by name."""
        found = {
            "event_correlogram": self.correlogram,
            "hazard_crude": self.crude,
            "hazard_adjusted": self.adjusted,
            "hazard_reverse": self.reverse,
            "carry": self.carry,
            "dipole_to_vacancies": self.dipole,
            "vacancy_pointing": self.pointing,
            "tilt_at_hops": self.tilts,
            "bottleneck_at_hops": self.bottleneck,
            "conditional_displacement": self.conditional,
            "information_flow": self.information,
            "velocity_coherence": self.coherence,
            "joint_correlation": self.joint,
            "verdict": self.verdict,
        }
        return {name: result for name, result in found.items() if result is not None}

    def to_summary(self, *, temperature_K=None):
        """Return the ``coupling`` entry of ``summary.json``; the verdict has its own."""
        c, pointing = self.correlogram, self.pointing
        return {
            "anion": self.anion,
            "mobile": self.mobile,
            "temperature_K": temperature_K,
            "n_rotations": c.n_rotations,
            "n_hops": c.n_hops,
            "n_hops_near_rotors": c.n_near_hops,
            "near_A": self.radius_A,
            "window_ps": c.window_ps,
            "coupled_fraction": c.coupled_fraction.to_dict(),
            "excess_hops_per_rotation": c.excess_hops_per_rotation.to_dict(),
            "excluded_coupled_fraction": c.coupled_fraction_upper_limit,
            "hazard_ratio_crude": _dict(self.crude.ratio),
            "hazard_ratio_adjusted": None if self.adjusted is None else _dict(self.adjusted.ratio),
            "adjusted_for": [] if self.adjusted is None else list(self.adjusted.covariates),
            "carried": _dict(self.carry.carried),
            "carried_beyond_clearing_the_way": _dict(self.carry.flight_carried),
            "dipole_to_vacancies_mean_cosine": None if self.dipole is None else self.dipole.mean_cosine,
            "vacancy_pointing": None
            if pointing is None
            else {
                "angle_to_nearest_vacancy_deg": pointing.angle_deg.to_dict(),
                "cosine_to_nearest_vacancy": pointing.cosine.to_dict(),
                "p_random_orientation": pointing.p_value,
                "within_45_deg_of_a_vacancy": pointing.pointing.to_dict(),
                "within_45_deg_random_orientation": pointing.random_pointing,
                "near_A": pointing.radius_A,
                "share_of_time_with_a_vacancy": pointing.covered,
            },
            "tests": list(self.verdict.tests),
        }

    def verdict_summary(self, *, temperature_K=None):
        """Return the ``verdict`` entry of ``summary.json``."""
        v = self.verdict
        return {
            "anion": self.anion,
            "mobile": self.mobile,
            "temperature_K": temperature_K,
            "verdict": v.verdict,
            "reason": v.reason,
            "confirmed_by_counterfactuals": v.confirmed,
            "excluded_coupled_fraction": v.excluded_coupled_fraction,
            "ladder": list(v.rungs),
        }


def analyse_coupling(
    trajectories: Sequence[Trajectory],
    rotation: RotationAnalysis,
    *,
    mobile: str,
    radius_A: float | None = None,
    n_shifts: int = 1000,
    seed: int = 0,
    counterfactuals: Counterfactuals | None = None,
) -> CouplingAnalysis:
    """Return how rotors and hopping ions go together, test by test, and the verdict.

    Parameters
    ----------
    trajectories
        Unwrapped, in the frame of the host, the same that `rotation` was made from. Without `lattice_sites`
        the sites of the mobile ions are taken from where their density peaks.
    rotation
        From `analyse_rotation`.
    mobile
        The hopping ion.
    radius_A
        Hops whose middle is within this of a rotor are near it, Å; by default 1.2 times the usual distance
        from a rotor to its nearest ion.
    n_shifts, seed
        Of the null, see `event_correlogram`.
    counterfactuals
        Diffusivities of runs without rotation, for the last step of the ladder.

    Returns
    -------
    CouplingAnalysis
        Windows are 1 ps, shorter where runs are under 90 ps in all.

    Raises
    ------
    ConfigError
        Where hops cannot be found, or runs are too short for any window.
    """
    notes, runs, hosts = [], [], []
    for trajectory, molecules, events in zip(trajectories, rotation.molecules, rotation.events, strict=True):
        bare = without_ligands(trajectory, molecules)
        if bare.lattice_sites is None:
            bare = replace(bare, lattice_sites=density_sites(bare, mobile))
            notes.append(f"sites of {mobile} were taken from where its density peaks")
        hosts.append(bare)
        runs.append(common_events(events, find_jumps(bare, species=mobile)))
    nearest_A = nearest_ion_A(hosts[0], rotation.orientations[0], mobile)
    room_A = 0.5 * float(cell_heights_A(runs[0].cell_A).min())
    if radius_A is None:
        radius_A = min(_HOP_REACH * nearest_A, room_A)
    shells = (0.0, radius_A)
    if _SECOND_REACH * nearest_A > radius_A * 1.05 and _SECOND_REACH * nearest_A <= room_A:
        shells = (*shells, _SECOND_REACH * nearest_A)
    interval_ps = hosts[0].frame_interval_ps
    window_ps, lag_ps = common_windows(runs, interval_ps)
    correlogram = event_correlogram(
        runs,
        distance_edges_A=shells,
        longest_lag_ps=lag_ps,
        lag_bin_ps=min(window_ps, max(_LAG_BIN_PS, interval_ps)),
        window_ps=window_ps,
        n_shifts=n_shifts,
        seed=seed,
    )
    bin_ps = max(min(_BIN_PS, window_ps / 10), interval_ps)
    hazard = {"radius_A": radius_A, "window_ps": window_ps, "bin_ps": bin_ps}
    crude = hazard_ratio(runs, **hazard)
    reach_A = min(_ION_REACH * nearest_A, room_A)
    covariates, vacancies = rotor_covariates(hosts, rotation, runs, mobile, reach_A, notes)
    adjusted = hazard_ratio(runs, covariates=covariates, **hazard)
    reverse = hazard_ratio(runs, covariates=covariates, direction="hop to rotation", **hazard)
    carry = carry_test(
        runs, radius_A=radius_A, window_ps=(-window_ps, window_ps), n_shifts=n_shifts, seed=seed
    )
    steps = {"radius_A": reach_A, "mobile": mobile}

    def attempt(what, function, *arguments, **options):
        try:
            return function(*arguments, **options)
        except SimtoolsError as error:
            notes.append(f"{what}: {error}")
            return None

    pairs = max(1, sum(len(run.near(radius_A).hops) for run in runs) * 41)
    few = int(np.clip(_MOST_GATHERED / pairs, 60, 200))
    tilts = attempt(
        "no tilts at hops",
        tilt_at_hops,
        rotation.orientations,
        runs,
        radius_A=radius_A,
        longest_lag_ps=lag_ps,
        window_ps=window_ps / 2,
        n_shifts=few,
        seed=seed,
    )
    bottleneck = attempt(
        "no bottleneck at hops",
        bottleneck_at_hops,
        tuple(trajectories),
        runs,
        mobile=mobile,
        longest_lag_ps=lag_ps,
        window_ps=window_ps / 4,
        seed=seed,
    )
    conditional = attempt(
        "no conditional displacement",
        lambda: conditional_displacement(
            [
                rotor_series(turned, host, step_ps=max(window_ps, interval_ps), **steps)
                for host, turned in zip(hosts, rotation.orientations, strict=True)
            ],
            seed=seed,
        ),
    )
    information = attempt(
        "no information flow",
        information_flow,
        runs,
        radius_A=radius_A,
        bin_ps=max(window_ps / 2, interval_ps),
        seed=seed,
    )
    coherence = attempt("no coherence", velocity_coherence, rotation.orientations, hosts, seed=seed, **steps)
    joint = attempt(
        "no joint correlation", joint_correlation, rotation.orientations, hosts, seed=seed, **steps
    )
    dipole = pointing = None
    if rotation.orientations[0].is_linear and vacancies is not None:
        near = (rotation.orientations, vacancies)
        within = {"radius_A": reach_A, "seed": seed}
        dipole = attempt("no dipole to vacancies", dipole_to_vacancies, *near, **within)
        pointing = attempt("no angle to vacancies", vacancy_pointing, *near, **within)
    further, cradle = further_tests(tilts, bottleneck, conditional, information, coherence, joint, dipole)
    verdict = reach_verdict(
        correlogram,
        crude=crude,
        adjusted=adjusted,
        reverse=reverse,
        carry=carry,
        coupled_angle_deg=typical_angle_deg(runs, radius_A=radius_A, window_ps=window_ps),
        cradle=cradle,
        further=further,
        counterfactuals=counterfactuals,
    )
    return CouplingAnalysis(
        anion=rotation.functions.name,
        mobile=mobile,
        runs=tuple(runs),
        radius_A=float(radius_A),
        correlogram=correlogram,
        crude=crude,
        adjusted=adjusted,
        reverse=reverse,
        carry=carry,
        dipole=dipole,
        pointing=pointing,
        tilts=tilts,
        bottleneck=bottleneck,
        conditional=conditional,
        information=information,
        coherence=coherence,
        joint=joint,
        verdict=verdict,
        warnings=tuple(dict.fromkeys(notes)),
    )


def _dict(estimate):
    return None if estimate is None else estimate.to_dict()
