"""Imperfect crystals."""
