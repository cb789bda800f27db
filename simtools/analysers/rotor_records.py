"""What is kept of a rotor study: Results by name, as they come from `study_rotors` or back from files."""

import re
from dataclasses import dataclass, field

from simtools.analysers.angular_displacement import LibrationSpectrum, RotationalDiffusion
from simtools.analysers.carry import CarryTest
from simtools.analysers.coupling_series import ConditionalDisplacement, InformationFlow
from simtools.analysers.coupling_velocities import VelocityCoherence
from simtools.analysers.event_correlogram import EventCorrelogram
from simtools.analysers.hazard import HazardRatio
from simtools.analysers.hop_geometry import BottleneckAtHops
from simtools.analysers.joint_correlation import JointCorrelation
from simtools.analysers.orientation_density import OrientationDensity
from simtools.analysers.reorientation import ReorientationResult
from simtools.analysers.reorientations import ReorientationRates
from simtools.analysers.rotor_functions import RotorFunctions
from simtools.analysers.rotor_surroundings import DipoleToVacancies
from simtools.analysers.tilt_at_hops import TiltAtHops
from simtools.analysers.transport import TransportResult
from simtools.analysers.vacancy_pointing import VacancyPointing
from simtools.analysers.verdict import Verdict

__all__ = ["RotorRecord", "class_of_result", "parse_stem", "records_of"]

_ROTATION = {
    "reorientation": ReorientationResult,
    "rotational_diffusion": RotationalDiffusion,
    "librations": LibrationSpectrum,
    "orientation_density": OrientationDensity,
    "reorientation_rates": ReorientationRates,
    "rotor_functions_3": RotorFunctions,
    "rotor_functions_4": RotorFunctions,
}
_COUPLING = {
    "event_correlogram": EventCorrelogram,
    "hazard_crude": HazardRatio,
    "hazard_adjusted": HazardRatio,
    "hazard_reverse": HazardRatio,
    "carry": CarryTest,
    "dipole_to_vacancies": DipoleToVacancies,
    "vacancy_pointing": VacancyPointing,
    "tilt_at_hops": TiltAtHops,
    "bottleneck_at_hops": BottleneckAtHops,
    "conditional_displacement": ConditionalDisplacement,
    "information_flow": InformationFlow,
    "velocity_coherence": VelocityCoherence,
    "joint_correlation": JointCorrelation,
    "verdict": Verdict,
}
_STEM = re.compile(
    r"(?P<kind>rotation|coupling)(-(?P<T>[0-9.e+]+)K)?-(?P<anion>[A-Z]\w*)(-(?P<mobile>[A-Z]\w*))?-(?P<name>\w+)"
)


@dataclass(frozen=True, eq=False)
class RotorRecord:
    """Rotation of one kind of anion at one temperature and its coupling to hopping ions, as Results.

    Attributes
    ----------
    anion : str
    temperature_K : float or None
    rotation : dict
        {name: Result}: ``reorientation``, ``reorientation_rates``, ``orientation_density``,
        ``rotational_diffusion``, ``librations``, ``transport_H`` (of each ligand).
    couplings : dict
        {mobile species: {name: Result}}: ``verdict``, ``event_correlogram``, ``hazard_adjusted`` and others.
    """

    anion: str
    temperature_K: float | None
    rotation: dict = field(default_factory=dict)
    couplings: dict = field(default_factory=dict)

    def verdict(self, mobile):
        """Return the `Verdict` on one mobile species."""
        return self.couplings[mobile]["verdict"]


def parse_stem(stem: str) -> dict | None:
    """Return kind, T, anion, mobile and name from what `RotorStudy.named_results` calls a Result, or None."""
    match = _STEM.fullmatch(stem)
    return None if match is None or class_of_result(match["name"]) is None else match.groupdict()


def class_of_result(name: str):
    """Return the class of a Result by its name in a record, or None for a name that is not known."""
    if name.startswith("transport_"):
        return TransportResult
    return _ROTATION.get(name) or _COUPLING.get(name)


def records_of(named_results) -> tuple[RotorRecord, ...]:
    """Return records from (stem, Result) pairs, by anion and rising temperature.

    Stems are those of `RotorStudy.named_results`.
    """
    found = {}
    for stem, result in named_results:
        about = parse_stem(stem)
        temperature_K = None if about["T"] is None else float(about["T"])
        record = found.setdefault((about["anion"], temperature_K), RotorRecord(about["anion"], temperature_K))
        if about["kind"] == "rotation":
            record.rotation[about["name"]] = result
        else:
            record.couplings.setdefault(about["mobile"], {})[about["name"]] = result
    whole = [item for item in found.values() if "reorientation" in item.rotation]
    return tuple(sorted(whole, key=lambda item: (item.anion, item.temperature_K or 0.0)))
