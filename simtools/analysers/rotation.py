"""All about the rotation of the molecules of one kind in one go, from trajectories to Results."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simtools.analysers.angular_displacement import (
    LibrationSpectrum,
    RotationalDiffusion,
    libration_spectrum,
    rotational_diffusion,
)
from simtools.analysers.molecules import Molecules, find_molecules
from simtools.analysers.orientation_density import (
    OrientationDensity,
    find_basins,
    orientation_density,
    smoothed_extremes,
)
from simtools.analysers.orientations import Orientations, orientations_of
from simtools.analysers.reorientation import ReorientationResult, reorientation
from simtools.analysers.reorientations import (
    LARGE_ANGLE_DEG,
    ReorientationRates,
    Reorientations,
    find_reorientations,
    reorientation_rates,
)
from simtools.analysers.rotor_functions import (
    FUNCTION_NAMES,
    RotorFunctions,
    functions_vanish,
    rotor_functions,
)
from simtools.core.errors import ConfigError, SimtoolsError
from simtools.md.trajectory import Trajectory

__all__ = ["RotationAnalysis", "analyse_rotation", "parse_anion"]

_FEWEST_OF_A_BODY = 4
_ELEMENT = re.compile(r"([A-Z][a-z]?)(\d*)")


@dataclass(frozen=True, eq=False)
class RotationAnalysis:
    """Rotation of the molecules of one kind, replicas together.

    Attributes
    ----------
    molecules, orientations, events : tuple
        Of each replica; molecules that break are left out.
    found : tuple of Molecules
        Of each replica, with those that break.
    functions : ReorientationResult
    rotor_functions : tuple of RotorFunctions
        Of order 3 and 4, of molecules with four or more ligands, where they do not vanish.
    diffusion : RotationalDiffusion or None
        None for a single rotor.
    librations : LibrationSpectrum or None
        None where frames are too far apart for it.
    density : OrientationDensity
    basins : ndarray
        Preferred directions of the bonds, shape (n_basins, 3).
    rates : ReorientationRates
    warnings : tuple of str
    """

    molecules: tuple[Molecules, ...]
    found: tuple[Molecules, ...]
    orientations: tuple[Orientations, ...]
    events: tuple[Reorientations, ...]
    functions: ReorientationResult
    diffusion: RotationalDiffusion | None
    librations: LibrationSpectrum | None
    density: OrientationDensity
    basins: object
    rates: ReorientationRates
    warnings: tuple
    rotor_functions: tuple[RotorFunctions, ...] = ()

    @property
    def results(self):
        """The Results by name."""
        found = {
            "reorientation": self.functions,
            "rotational_diffusion": self.diffusion,
            "librations": self.librations,
            "orientation_density": self.density,
            "reorientation_rates": self.rates,
            **{f"rotor_functions_{item.order}": item for item in self.rotor_functions},
        }
        return {name: result for name, result in found.items() if result is not None}

    def to_summary(self, *, temperature_K=None):
        """Return the ``rotation`` entry of ``summary.json``."""
        functions, rates = self.functions, self.rates
        return {
            "anion": functions.name,
            "temperature_K": temperature_K,
            "n_rotors": functions.n_rotors,
            "n_replicas": functions.n_replicas,
            "tau1_ps": functions.tau1.to_dict(),
            "tau2_ps": functions.tau2.to_dict(),
            "tau1_over_tau2": functions.ratio.to_dict(),
            "motion": functions.motion,
            "rotor_functions": [
                {
                    "order": item.order,
                    "tau_ps": item.tau.to_dict(),
                    "plateau": item.plateau.to_dict(),
                    "relaxed": item.relaxed,
                    "means": dict(zip(item.functions, item.means.tolist(), strict=True)),
                }
                for item in self.rotor_functions
            ],
            "relaxed": list(functions.relaxed),
            "order_parameter_squared": functions.plateau2.to_dict(),
            "rotational_diffusivity_rad2_per_ps": None
            if self.diffusion is None
            else self.diffusion.diffusivity.to_dict(),
            "libration_frequency_THz": None
            if self.librations is None
            else self.librations.mean_frequency_THz.to_dict(),
            "n_bond_changes": sum(len(item.changes) for item in self.found),
            "n_reorientations": rates.n_events,
            "n_recrossings": rates.n_recrossings,
            "reorientation_rate_per_ps": rates.rate_per_rotor.to_dict(),
            "static_order": float(functions.static_order.mean()),
            "n_basins": len(self.basins),
            "smoothed_density_lowest_highest": list(smoothed_extremes(self.density)),
        }


def parse_anion(formula: str) -> tuple[str, tuple[str, ...], int]:
    """Return the central atom, the ligands and their number: ``"BH4"`` is B, H and 4.

    Raises
    ------
    ConfigError
        If `formula` is not a central atom followed by its ligands.
    """
    parts = _ELEMENT.findall(formula)
    if "".join(symbol + count for symbol, count in parts) != formula or len(parts) < 2 or parts[0][1]:
        raise ConfigError(f"an anion is its central atom and its ligands, as OH, BH4 or PS4; got {formula!r}")
    ligands = tuple(symbol for symbol, _ in parts[1:])
    return parts[0][0], ligands, sum(int(count or 1) for _, count in parts[1:])


def analyse_rotation(
    trajectories: Sequence[Trajectory],
    *,
    anion: str,
    cutoff_A: float | None = None,
    site_symmetry: str = "1",
    threshold_deg: float = LARGE_ANGLE_DEG,
    temperature_K: float | None = None,
    max_lag_ps: float | None = None,
    libration_resolution_THz: float = 1.0,
) -> RotationAnalysis:
    """Return the rotation of the molecules of one kind.

    Parameters
    ----------
    trajectories
        Replicas, wrapped or unwrapped.
    anion
        Formula with the central atom first: ``"OH"``, ``"BH4"``, ``"PS4"``.
    cutoff_A
        Longest bond, Å; by default the molecules that a run of ours carries, else 1.25 times the sum of
        covalent radii.
    site_symmetry
        For the orientation map, see `orientation_density`.
    threshold_deg
        Angle of a rotation, see `find_reorientations`.
    temperature_K
        For the free energy of orientation, K.
    max_lag_ps
        Longest lag of C_1 and C_2, ps.
    libration_resolution_THz
        Of the spectrum of librations.

    Returns
    -------
    RotationAnalysis
        Molecules that break are left out, with a warning that names them.

    Raises
    ------
    ConfigError
        As `find_molecules`, `reorientation` and `find_reorientations` do.
    """
    centre, ligands, n_ligands = parse_anion(anion)
    molecules, everything, notes = [], [], []
    for trajectory in trajectories:
        found = find_molecules(
            trajectory,
            centre=centre,
            ligands=ligands,
            n_ligands=n_ligands,
            cutoffs_A=cutoff_A,
            topology=None if cutoff_A is not None else _topology(trajectory, centre, ligands, n_ligands),
        )
        if found.others:
            rest = ", ".join(f"{count} with {n}" for n, count in sorted(found.others.items()))
            notes.append(f"{centre} with another number of ligands are no {anion}: {rest}")
        whole, broken = found.intact()
        everything.append(found)
        molecules.append(whole)
        notes += broken
    orientations = tuple(orientations_of(item) for item in molecules)
    events = tuple(find_reorientations(item, threshold_deg=threshold_deg) for item in orientations)
    functions = reorientation(orientations, max_lag_ps=max_lag_ps)
    if not all(functions.relaxed):
        notes.append(
            f"{anion} have not relaxed within {functions.lag_times_ps[-1]:.3g} ps: relaxation times are "
            "extrapolated, run longer"
        )
    diffusion = None
    if functions.n_rotors > 1 and orientations[0].n_frames >= 40:
        diffusion = rotational_diffusion(orientations)
        notes += diffusion.warnings
    try:
        librations = libration_spectrum(orientations, resolution_THz=libration_resolution_THz)
    except SimtoolsError as error:
        librations = None
        notes.append(f"no spectrum of librations: {error}")
    density = orientation_density(orientations, site_symmetry=site_symmetry, temperature_K=temperature_K)
    return RotationAnalysis(
        molecules=tuple(molecules),
        found=tuple(everything),
        orientations=orientations,
        events=events,
        functions=functions,
        diffusion=diffusion,
        librations=librations,
        density=density,
        basins=find_basins(density),
        rates=reorientation_rates(events),
        rotor_functions=_symmetric(orientations, max_lag_ps),
        warnings=tuple(dict.fromkeys(notes)),
    )


def _topology(trajectory, centre, ligands, n_ligands):
    """Return centres and ligands of the molecules that the trajectory carries, or None without any such."""
    if trajectory.molecule_id is None:
        return None
    centres, bound = [], []
    for number in np.unique(trajectory.molecule_id[trajectory.molecule_id >= 0]):
        atoms = np.flatnonzero(trajectory.molecule_id == number)
        symbols = trajectory.species[atoms]
        core, rest = atoms[symbols == centre], atoms[np.isin(symbols, ligands)]
        if len(core) == 1 and len(rest) == n_ligands and len(atoms) == n_ligands + 1:
            centres.append(core[0])
            bound.append(rest)
    return (np.array(centres), np.array(bound)) if centres else None


def _symmetric(orientations, max_lag_ps):
    """Return rotor functions of order 3 and 4 of molecules with four or more ligands."""
    if orientations[0].is_linear or orientations[0].vectors.shape[2] < _FEWEST_OF_A_BODY:
        return ()
    orders = [order for order in FUNCTION_NAMES if not functions_vanish(orientations, order)]
    return tuple(rotor_functions(orientations, order=order, max_lag_ps=max_lag_ps) for order in orders)
