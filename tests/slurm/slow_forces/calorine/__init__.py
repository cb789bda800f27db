"""A stand-in for a slow calculator: under this name because a recipe may ask for calculators by name only."""
