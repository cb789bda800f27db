"""Clusters of voxels on a periodic grid that reach their own images. No units: see ../percolation.py."""

import numpy as np

from simtools.core.accelerate import kernel


@kernel
def _root(parent, offset, v):
    """Return the root of voxel v; leave in `offset[v]` the whole cells from root to v. Compresses paths."""
    root = v
    x, y, z = 0, 0, 0
    while parent[root] != root:
        x += offset[root, 0]
        y += offset[root, 1]
        z += offset[root, 2]
        root = parent[root]
    here = v
    while parent[here] != root and here != root:
        following = parent[here]
        dx, dy, dz = offset[here, 0], offset[here, 1], offset[here, 2]
        parent[here] = root
        offset[here, 0], offset[here, 1], offset[here, 2] = x, y, z
        x -= dx
        y -= dy
        z -= dz
        here = following
    return root


@kernel
def windings(order, shape, n_levels):
    """Add voxels in `order` and note each time a cluster closes around the cell in a new direction.

    Union-find in which every voxel keeps the whole-cell offset of its root. Returns (positions in `order`,
    winding vectors), of at most `n_levels` events in which the rank of all windings of one cluster grew.
    """
    n = shape[0] * shape[1] * shape[2]
    parent = np.full(n, -1, dtype=np.int64)
    offset = np.zeros((n, 3), dtype=np.int64)
    size = np.ones(n, dtype=np.int64)
    basis = np.zeros((n, 3, 3))
    rank = np.zeros(n, dtype=np.int64)
    at = np.empty(n_levels, dtype=np.int64)
    winding = np.empty((n_levels, 3), dtype=np.int64)
    best, found = 0, 0
    loop = np.empty(3, dtype=np.int64)
    index = np.empty(3, dtype=np.int64)
    there = np.empty(3, dtype=np.int64)
    wrap = np.empty(3, dtype=np.int64)
    for position in range(len(order)):
        v = order[position]
        parent[v] = v
        index[0] = v // (shape[1] * shape[2])
        index[1] = v // shape[2] % shape[1]
        index[2] = v % shape[2]
        for axis in range(3):
            for sign in (-1, 1):
                for c in range(3):
                    there[c], wrap[c] = index[c], 0
                there[axis] += sign
                if there[axis] < 0:
                    there[axis] += shape[axis]
                    wrap[axis] = -1
                elif there[axis] >= shape[axis]:
                    there[axis] -= shape[axis]
                    wrap[axis] = 1
                w = (there[0] * shape[1] + there[1]) * shape[2] + there[2]
                if parent[w] < 0:
                    continue
                a = _root(parent, offset, v)
                b = _root(parent, offset, w)
                for c in range(3):
                    loop[c] = wrap[c] + (offset[v, c] if a != v else 0) - (offset[w, c] if b != w else 0)
                if a == b:
                    grown = _extend(basis[a], rank[a], loop)
                else:
                    if size[a] < size[b]:
                        a, b = b, a
                        for c in range(3):
                            loop[c] = -loop[c]
                    parent[b] = a
                    for c in range(3):
                        offset[b, c] = loop[c]
                    size[a] += size[b]
                    grown = rank[a]
                    for k in range(rank[b]):
                        grown = _extend(basis[a], grown, basis[b, k])
                rank[a] = grown
                while best < grown and found < n_levels:
                    at[found] = position
                    winding[found] = basis[a, best].astype(np.int64)
                    best += 1
                    found += 1
        if best == 3:
            break
    return at[:found].copy(), winding[:found].copy()


@kernel
def _extend(basis_kc, rank, vector):
    """Add `vector` to the first `rank` rows of `basis_kc` if it is independent of them; return the rank."""
    squared = 0.0
    for c in range(3):
        squared += vector[c] * vector[c]
    if squared == 0 or rank == 3:
        return rank
    if rank == 0:
        independent = True
    elif rank == 1:
        cross = 0.0
        for c in range(3):
            d, e = (c + 1) % 3, (c + 2) % 3
            cross += abs(basis_kc[0, d] * vector[e] - basis_kc[0, e] * vector[d])
        independent = cross > 0
    else:
        volume = 0.0
        for c in range(3):
            d, e = (c + 1) % 3, (c + 2) % 3
            volume += (basis_kc[0, d] * basis_kc[1, e] - basis_kc[0, e] * basis_kc[1, d]) * vector[c]
        independent = volume != 0
    if independent:
        for c in range(3):
            basis_kc[rank, c] = vector[c]
        return rank + 1
    return rank
