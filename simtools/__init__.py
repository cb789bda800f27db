"""The science: crystals, defects, dynamics, transport numbers and their pictures."""
