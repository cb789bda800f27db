"""Whether 95 % intervals of relaxation times, their ratio, order parameters and diffusivities hold the truth.

16 rotors, 1500 frames each: rotational diffusion (tau_1 = 25 frames), jumps to random directions (25 frames),
and wobbling in a cone of 40 degrees.
Estimates without interval (not relaxed) are counted apart.
Writes benchmarks/results/rotation_calibration.json.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from simtools.analysers.angular_displacement import rotational_diffusion
from simtools.analysers.orientations import Orientations
from simtools.analysers.reorientation import reorientation
from simtools.core.provenance import library_versions
from simtools.testing.rigid_rotors import cone_orientations
from simtools.testing.rotors import rotor_orientations

N_ROTORS, N_FRAMES, LONGEST_PS, TAU1_PS, CONE_DEG = 16, 1500, 150.0, 25.0, 40.0


def orientations(u_tnc):
    """Return unit vectors as linear rotors with one frame per ps."""
    return Orientations(
        name="OH",
        vectors=u_tnc[:, :, None],
        quaternions=None,
        reference_A=None,
        misfit_A=None,
        centres_A=np.zeros_like(u_tnc),
        cells_A=10 * np.eye(3),
        frame_interval_ps=1.0,
    )


def one_repeat(case, seed):
    """Return {quantity: (estimate, truth)}."""
    size = (N_FRAMES, N_ROTORS)
    if case == "cone":
        result = reorientation(
            orientations(cone_orientations(*size, seed=seed, half_angle_deg=CONE_DEG)), max_lag_ps=LONGEST_PS
        )
        cosine = np.cos(np.radians(CONE_DEG))
        return {"S2": (result.plateau2, (0.5 * cosine * (1 + cosine)) ** 2)}
    if case == "jumps":
        rotors = orientations(rotor_orientations(*size, seed=seed, jump_rate_per_ps=1 / TAU1_PS))
        result = reorientation(rotors, max_lag_ps=LONGEST_PS)
        return {
            "tau1": (result.tau1, TAU1_PS),
            "tau2": (result.tau2, TAU1_PS),
            "tau1/tau2": (result.ratio, 1.0),
        }
    diffusivity = 1 / (2 * TAU1_PS)
    rotors = orientations(rotor_orientations(*size, seed=seed, rotational_diffusivity_per_ps=diffusivity))
    result = reorientation(rotors, max_lag_ps=LONGEST_PS)
    return {
        "tau1": (result.tau1, TAU1_PS),
        "tau2": (result.tau2, TAU1_PS / 3),
        "tau1/tau2": (result.ratio, 3.0),
        "integral of C_1": (result.integral1, TAU1_PS),
        "D_r": (rotational_diffusion(rotors, slope_lags_ps=(1.0, 4.0)).diffusivity, diffusivity),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/rotation_calibration.json"))
    arguments = parser.parse_args()
    rows = []
    for case in ("diffusion", "jumps", "cone"):
        found = [one_repeat(case, seed) for seed in range(arguments.repeats)]
        for quantity in found[0]:
            every = [item[quantity] for item in found]
            pairs = [(estimate, truth) for estimate, truth in every if np.isfinite(estimate.stderr)]
            values = np.array([estimate.value for estimate, _ in pairs])
            truth = pairs[0][1]
            row = {
                "case": case,
                "quantity": quantity,
                "truth": float(truth),
                "without_interval": len(every) - len(pairs),
                "bias": float(values.mean() / truth - 1),
                "spread": float(values.std(ddof=1) / truth),
                "coverage": float(np.mean([e.ci95[0] <= truth <= e.ci95[1] for e, truth in pairs])),
                "stderr_over_spread": float(
                    np.sqrt(np.mean([e.stderr**2 for e, _ in pairs])) / values.std(ddof=1)
                ),
            }
            rows.append(row)
            print(row, flush=True)
    report = {"repeats": arguments.repeats, "seeds": "0 and up", "versions": library_versions(), "rows": rows}
    arguments.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
