"""Results into Axes; the only importer of matplotlib."""
