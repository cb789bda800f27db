"""Compiled loops of the analysers: arrays in, arrays out."""
