"""Bond vectors of molecules, image by image. No units, no checks: see ../molecules.py."""

import numpy as np

from simtools.core.accelerate import kernel


@kernel
def bond_vectors(r_tnc, cells_tcc, inverse_tcc, centre_m, ligand_ml, bonds_tmlc):
    """Fill bonds_tmlc with the image of ligand - centre whose fractions lie within half a cell.

    That is the shortest one wherever it is shorter than half the smallest height of the cell: its fractions
    are then below one half.
    """
    fraction = np.empty(3)
    for t in range(r_tnc.shape[0]):
        k = t if cells_tcc.shape[0] > 1 else 0
        for m in range(len(centre_m)):
            for b in range(ligand_ml.shape[1]):
                for c in range(3):
                    fraction[c] = 0.0
                for d in range(3):
                    step = r_tnc[t, ligand_ml[m, b], d] - r_tnc[t, centre_m[m], d]
                    for c in range(3):
                        fraction[c] += step * inverse_tcc[k, d, c]
                for c in range(3):
                    fraction[c] -= np.rint(fraction[c])
                for c in range(3):
                    total = 0.0
                    for d in range(3):
                        total += fraction[d] * cells_tcc[k, d, c]
                    bonds_tmlc[t, m, b, c] = total


@kernel
def nearest_centres(r_tnc, cells_tcc, inverse_tcc, frame_q, ligand_q, centre_m):
    """Return the centre nearest to each queried ligand in its frame, and that distance."""
    nearest_q = np.zeros(len(frame_q), dtype=np.int64)
    distance_q = np.full(len(frame_q), np.inf)
    fraction = np.empty(3)
    for q in range(len(frame_q)):
        t = frame_q[q]
        k = t if cells_tcc.shape[0] > 1 else 0
        for m in range(len(centre_m)):
            for c in range(3):
                fraction[c] = 0.0
            for d in range(3):
                step = r_tnc[t, ligand_q[q], d] - r_tnc[t, centre_m[m], d]
                for c in range(3):
                    fraction[c] += step * inverse_tcc[k, d, c]
            squared = 0.0
            for c in range(3):
                fraction[c] -= np.rint(fraction[c])
            for c in range(3):
                total = 0.0
                for d in range(3):
                    total += fraction[d] * cells_tcc[k, d, c]
                squared += total * total
            if squared < distance_q[q]:
                distance_q[q] = squared
                nearest_q[q] = m
        distance_q[q] = np.sqrt(distance_q[q])
    return nearest_q, distance_q
