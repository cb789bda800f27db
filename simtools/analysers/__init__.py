"""Trajectories into numbers with honest intervals."""
