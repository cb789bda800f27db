"""One kind of anion at one temperature: how it turns, how far its ligands get, its coupling to hops.

From anybody's trajectories and from our own runs alike. Steps: rotation.py, rotation_coupling.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from simtools.analysers.breathing_cells import in_reference_cell
from simtools.analysers.ligand_transport import ligand_transport
from simtools.analysers.replicas import default_host
from simtools.analysers.rotation import RotationAnalysis, analyse_rotation
from simtools.analysers.rotation_coupling import CouplingAnalysis, analyse_coupling
from simtools.analysers.transport import TransportResult
from simtools.analysers.verdict import Counterfactuals
from simtools.core.errors import ConfigError, SimtoolsError
from simtools.md.trajectory import Trajectory

__all__ = ["RotorStudy", "study_rotors"]


@dataclass(frozen=True, eq=False)
class RotorStudy:
    """Rotation of one kind of anion at one temperature and its coupling to hopping ions, replicas together.

    Attributes
    ----------
    anion : str
        Formula, central atom first.
    temperature_K : float or None
    rotation : RotationAnalysis
    ligands : tuple of TransportResult
        Long-range transport of each ligand element; empty without a temperature.
    couplings : tuple of CouplingAnalysis
        One for each mobile species.
    hosts : dict
        {mobile species: symbols of the host in whose frame it hops}.
    warnings : tuple of str
    """

    anion: str
    temperature_K: float | None
    rotation: RotationAnalysis
    ligands: tuple[TransportResult, ...]
    couplings: tuple[CouplingAnalysis, ...]
    hosts: dict
    warnings: tuple

    def rotation_summary(self):
        """Return the ``rotation`` entry of ``summary.json``."""
        entry = self.rotation.to_summary(temperature_K=self.temperature_K)
        entry["ligand_tracer_diffusivity_cm2_per_s"] = {
            item.species: item.tracer_diffusivity_cm2_per_s.to_dict() for item in self.ligands
        }
        return entry

    def coupling_summaries(self):
        """Return the ``coupling`` entries of ``summary.json``."""
        return [item.to_summary(temperature_K=self.temperature_K) for item in self.couplings]

    def verdict_summaries(self):
        """Return the ``verdict`` entries of ``summary.json``."""
        return [item.verdict_summary(temperature_K=self.temperature_K) for item in self.couplings]

    def named_results(self):
        """Return (file stem, Result) of all that is worth keeping."""
        where = "" if self.temperature_K is None else f"-{self.temperature_K:g}K"
        found = [(f"rotation{where}-{self.anion}-{name}", r) for name, r in self.rotation.results.items()]
        found += [(f"rotation{where}-{self.anion}-transport_{item.species}", item) for item in self.ligands]
        for coupling in self.couplings:
            stem = f"coupling{where}-{self.anion}-{coupling.mobile}"
            found += [(f"{stem}-{name}", result) for name, result in coupling.results.items()]
        return found


def study_rotors(
    trajectories: Sequence[Trajectory],
    *,
    anion: str,
    mobile: Sequence[str] = (),
    temperature_K: float | None = None,
    host_species: Sequence[str] | None = None,
    cutoff_A: float | None = None,
    radius_A: float | None = None,
    site_symmetry: str = "1",
    threshold_deg: float = 45.0,
    n_shifts: int = 1000,
    seed: int = 0,
    counterfactuals: Counterfactuals | None = None,
) -> RotorStudy:
    """Return the rotation of one kind of anion, and how it goes with hopping ions.

    Parameters
    ----------
    trajectories
        Replicas, unwrapped, at one temperature.
    anion
        Formula with the central atom first, as ``"OH"``, ``"BH4"`` or ``"PS4"``.
    mobile
        Symbols of hopping ions; none: rotation only.
    temperature_K
        Temperature, K; by default that of the first trajectory.
    host_species
        Species in whose frame hops are seen; by default all but the mobile one and the ligands.
    cutoff_A, site_symmetry, threshold_deg
        As for `analyse_rotation`.
    radius_A, n_shifts, seed, counterfactuals
        As for `analyse_coupling`.

    Returns
    -------
    RotorStudy

    Raises
    ------
    ConfigError
        As `analyse_rotation` and `analyse_coupling` do.
    """
    trajectories = tuple(trajectories)
    first = trajectories[0]
    if temperature_K is None:
        temperature_K = first.temperature_K
    rotation = analyse_rotation(
        trajectories,
        anion=anion,
        cutoff_A=cutoff_A,
        site_symmetry=site_symmetry,
        threshold_deg=threshold_deg,
        temperature_K=temperature_K,
    )
    notes = list(rotation.warnings)
    trajectories = tuple(in_reference_cell(item) for item in trajectories)
    symbols = sorted({str(first.species[atom]) for atom in rotation.molecules[0].ligands.ravel()})
    ligands = []
    couplings, hosts = [], {}
    for species in mobile:
        host = tuple(
            host_species
            or [name for name in default_host(species, first.species.tolist(), {}) if name not in symbols]
        )
        if not host:
            raise ConfigError(f"nothing but {species} and ligands is there to be a host: expected --host")
        hosts[species] = list(host)
        coupling = analyse_coupling(
            [item.in_host_frame(host) for item in trajectories],
            rotation,
            mobile=species,
            radius_A=radius_A,
            n_shifts=n_shifts,
            seed=seed,
            counterfactuals=counterfactuals,
        )
        couplings.append(coupling)
        notes += coupling.warnings
    frame = host_species or next(iter(hosts.values()), None)
    for symbol in symbols if frame and temperature_K is not None else ():
        try:
            ligands.append(
                ligand_transport(
                    trajectories,
                    rotation.found,
                    ligand=symbol,
                    temperature_K=temperature_K,
                    host_species=frame,
                )
            )
        except SimtoolsError as error:
            notes.append(f"no long-range transport of {symbol} in {anion}: {error}")
    return RotorStudy(
        anion=rotation.functions.name,
        temperature_K=None if temperature_K is None else float(temperature_K),
        rotation=rotation,
        ligands=tuple(ligands),
        couplings=tuple(couplings),
        hosts=hosts,
        warnings=tuple(dict.fromkeys(notes)),
    )
