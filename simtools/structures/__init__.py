"""Perfect crystals."""
