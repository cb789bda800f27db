"""Maps of where ions are: sections through free energy or density."""

from __future__ import annotations

import numpy as np

from simtools.plots.style import NOTE_SIZE, SEQUENCE, add_legend, dress, new_axes

_AXES = "abc"


def plot_free_energy(density, free_energy_eV, *, axis=2, fraction=None, highest_eV=None, ax=None):
    """Draw a section through a free-energy map, or its lowest value along a lattice vector.

    Parameters
    ----------
    density
        The `IonDensity` that the map belongs to.
    free_energy_eV
        From `free_energy_map`, infinite (white) where no ion was seen.
    axis
        Lattice vector, 0 to 2, that the section does not contain.
    fraction
        Place of the section along it, 0 to 1; None draws the lowest value along it instead, with the sites
        of the other species seen along that vector.
    highest_eV
        Top of the colours, eV; the largest finite value by default.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        With Cartesian coordinates in the plane of the two lattice vectors.
    """
    ax = new_axes(width_in=5.6, height_in=4.6) if ax is None else ax
    if fraction is None:
        section = free_energy_eV.min(axis=axis)
        where = f"lowest along {_AXES[axis]}"
    else:
        index = int(fraction % 1.0 * free_energy_eV.shape[axis])
        section = np.take(free_energy_eV, index, axis=axis)
        where = f"{(index + 0.5) / free_energy_eV.shape[axis]:.3f} along {_AXES[axis]}"
    first, second = (i for i in range(3) if i != axis)
    u, v = _plane(density.cell_A[first], density.cell_A[second])
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, n + 1) for n in section.shape], indexing="ij"), axis=-1)
    x, y = np.moveaxis(grid[..., :1] * u + grid[..., 1:] * v, -1, 0)
    mesh = ax.pcolormesh(
        x,
        y,
        np.ma.masked_invalid(section),
        cmap="viridis_r",
        vmin=0,
        vmax=highest_eV,
        rasterized=True,
    )
    bar = ax.figure.colorbar(mesh, ax=ax, extend="neither" if highest_eV is None else "max")
    bar.set_label("free energy (eV)")
    if fraction is None:
        _mark_surroundings(ax, density, u, v, first, second)
    ax.set_aspect("equal")
    ax.set_title(f"{density.species}, {where}; white: never seen", fontsize=NOTE_SIZE)
    square = abs(v[0]) < 1e-6 * np.linalg.norm(v)
    upward = f"along {_AXES[second]}" if square else f"across {_AXES[first]}, towards {_AXES[second]}"
    dress(ax, xlabel=f"along {_AXES[first]} (Å)", ylabel=f"{upward} (Å)")
    ax.grid(visible=False)
    return ax


def _mark_surroundings(ax, density, u, v, first, second):
    names = list(dict.fromkeys(density.frame_species.tolist()))
    for name, colour in zip(names, SEQUENCE[1:] * len(names), strict=False):
        places = density.frame_scaled[density.frame_species == name]
        shifts = np.array([(i, j) for i in (0, 1) for j in (0, 1)])
        inside = (places[:, None, [first, second]] % 1.0 + shifts).reshape(-1, 2)
        inside = np.unique(np.round(inside[(inside <= 1 + 1e-6).all(axis=1)], 3), axis=0)
        x, y = np.moveaxis(inside[:, :1] * u + inside[:, 1:] * v, -1, 0)
        size = {"markersize": 7, "markeredgecolor": "white", "clip_on": False, "zorder": 5}
        ax.plot(x, y, "o", color=colour, linestyle="none", label=name, **size)
    add_legend(ax, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=max(1, len(names)))


def _plane(a, b):
    """Return two lattice vectors in the plane they span, the first along x."""
    length = np.linalg.norm(a)
    along = a @ b / length
    return np.array([length, 0.0]), np.array([along, np.sqrt(max(b @ b - along**2, 0.0))])
