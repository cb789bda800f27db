"""What the literature measured and calculated, as cited tables."""

from simtools.reference.literature import (
    LiteraturePoint,
    LiteratureTableError,
    literature_compounds,
    literature_points,
    load_literature,
)

__all__ = [
    "LiteraturePoint",
    "LiteratureTableError",
    "literature_compounds",
    "literature_points",
    "load_literature",
]
