"""What the literature measured and calculated, as cited tables."""
