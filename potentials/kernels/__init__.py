"""Compiled loops of the force engine: arrays in, arrays out."""
