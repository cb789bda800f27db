"""The ground floor: units, errors, results and the door to numba; imports nothing of ours."""
