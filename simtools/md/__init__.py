"""Trajectories with any ASE calculator: dynamics, checkpoints, files."""
