"""Tilts of one kind of octahedra at one temperature, from anybody's trajectories or our own runs."""

from collections.abc import Sequence
from dataclasses import dataclass

from simtools.analysers.rotation import parse_anion
from simtools.analysers.tilts import OctahedralTilts, octahedra_of, octahedral_tilts
from simtools.core.errors import ConfigError
from simtools.md.trajectory import Trajectory

__all__ = ["TiltStudy", "study_tilts"]


@dataclass(frozen=True, eq=False)
class TiltStudy:
    """Tilts of octahedra, replicas together.

    Attributes
    ----------
    octahedra : str
        Formula, centre first.
    temperature_K : float or None
    tilts : OctahedralTilts
    """

    octahedra: str
    temperature_K: float | None
    tilts: OctahedralTilts

    def to_summary(self):
        """Return the ``tilts`` entry of ``summary.json``."""
        tilts = self.tilts
        return {
            "octahedra": self.octahedra,
            "temperature_K": self.temperature_K,
            "n_octahedra": tilts.n_octahedra,
            "n_replicas": tilts.n_replicas,
            "rms_tilt_deg": {axis: item.to_dict() for axis, item in zip("xyz", tilts.rms_deg, strict=True)},
            "static_fraction": {
                axis: float(static / square) if square > 0 else None
                for axis, static, square in zip(
                    "xyz", tilts.static_square_deg2, tilts.mean_square_deg2, strict=True
                )
            },
            "correlation_of_neighbours": [
                [None if value != value else float(value) for value in row]
                for row in tilts.neighbour_correlation
            ],
        }

    def named_results(self):
        """Return (file stem, Result)."""
        where = "" if self.temperature_K is None else f"-{self.temperature_K:g}K"
        return [(f"tilts{where}-{self.octahedra}", self.tilts)]


def study_tilts(
    trajectories: Sequence[Trajectory], *, octahedra: str, temperature_K: float | None = None
) -> TiltStudy:
    """Return the tilts of one kind of octahedra.

    Parameters
    ----------
    trajectories
        Replicas at one temperature, with cubic axes along x, y and z.
    octahedra
        Formula, centre first, as ``"OLi6"``.
    temperature_K
        Temperature, K; written down.

    Raises
    ------
    ConfigError
        For a formula that is not a centre with six of one element, and as `octahedra_of` does.
    """
    centre, vertices, number = parse_anion(octahedra)
    if len(vertices) != 1 or number != 6:
        raise ConfigError(f"octahedra are a centre and six corners, as OLi6; got {octahedra!r}")
    turned = [octahedra_of(item, centre=centre, vertex=vertices[0]) for item in trajectories]
    return TiltStudy(
        octahedra=turned[0].name,
        temperature_K=None if temperature_K is None else float(temperature_K),
        tilts=octahedral_tilts(turned),
    )
