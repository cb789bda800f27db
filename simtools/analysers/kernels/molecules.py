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


@kernel
def octahedron_vertices(r_tnc, centre_tmc, cells_tcc, inverse_tcc, axes_vc, cutoff, vertices_tmvc, found_tmv):
    """Fill the nearest point about each of six axes through each centre, and whether there is one.

    A point belongs to the axis that it is nearest to in angle.
    """
    gap = np.empty(3)
    fraction = np.empty(3)
    nearest = np.empty(6)
    for t in range(r_tnc.shape[0]):
        k = t if cells_tcc.shape[0] > 1 else 0
        for m in range(centre_tmc.shape[1]):
            nearest[:] = cutoff * cutoff
            for n in range(r_tnc.shape[1]):
                for c in range(3):
                    fraction[c] = 0.0
                for d in range(3):
                    step = r_tnc[t, n, d] - centre_tmc[t, m, d]
                    for c in range(3):
                        fraction[c] += step * inverse_tcc[k, d, c]
                squared = 0.0
                for c in range(3):
                    fraction[c] -= np.rint(fraction[c])
                for c in range(3):
                    gap[c] = 0.0
                    for d in range(3):
                        gap[c] += fraction[d] * cells_tcc[k, d, c]
                    squared += gap[c] * gap[c]
                if squared > cutoff * cutoff or squared == 0.0:
                    continue
                axis, along = 0, -np.inf
                for v in range(6):
                    product = gap[0] * axes_vc[v, 0] + gap[1] * axes_vc[v, 1] + gap[2] * axes_vc[v, 2]
                    if product > along:
                        axis, along = v, product
                if squared < nearest[axis]:
                    nearest[axis] = squared
                    found_tmv[t, m, axis] = 1.0
                    for c in range(3):
                        vertices_tmvc[t, m, axis, c] = gap[c]
