"""What is drawn of a path is what its result holds."""

import numpy as np
import pytest

from simtools.md.pathways import find_path
from simtools.plots.pathways import plot_path, plot_paths
from tests.simtools.md.pathway_toys import DoubleWell, particle


@pytest.fixture(scope="module", params=[0.0, 0.15], ids=["equal ends", "unequal ends"])
def path(request):
    return find_path(
        particle(-1, 0, 0),
        particle(1, 0, 0),
        lambda: DoubleWell(0.3, tilt_eV_per_A=request.param),
        n_images=3,
        name="$x$ hop",
    )


def test_images_lie_on_the_curve_and_barriers_are_written(path):
    ax = plot_path(path)
    curve, others, saddle = ax.lines[:3]
    drawn = np.concatenate([others.get_xydata(), saddle.get_xydata()])
    expected = np.column_stack([path.reaction_coordinate_A, path.energies_eV])
    assert drawn[np.argsort(drawn[:, 0])] == pytest.approx(expected)
    on_curve = np.interp(path.reaction_coordinate_A, *curve.get_xydata().T)
    assert on_curve == pytest.approx(path.energies_eV, abs=2e-3)
    texts = " ".join(text.get_text() for text in ax.texts)
    assert f"{path.barrier_forward_eV:.3f} eV" in texts
    assert (f"{path.barrier_backward_eV:.3f} eV backward" in texts) == (abs(path.reaction_energy_eV) > 1e-3)


def test_several_paths_meet_at_their_saddle_points(path):
    ax = plot_paths([path, path], labels=["one", "other"])
    for line in ax.lines[1::2]:
        x, y = line.get_xydata().T
        assert x[np.argmax(y)] == pytest.approx(0.0)
    assert ax.get_legend_handles_labels()[1] == ["one", "other"]


def test_names_are_not_read_as_mathematics(path):
    assert plot_paths([path]).get_legend_handles_labels()[1] == [r"\$x\$ hop"]
