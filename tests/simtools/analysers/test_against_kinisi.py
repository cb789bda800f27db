import warnings

import numpy as np
import pytest

from simtools.analysers.lines import gls_line

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    diffusion = pytest.importorskip(
        "kinisi.diffusion", reason="kinisi, an optional test dependency (extra dev), is not installed"
    )
    scipp = pytest.importorskip("scipp", reason="scipp comes with kinisi (extra dev) and is not installed")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("exponent", [0.6, 1.0])
def test_the_closed_form_agrees_with_the_covariance_matrix_of_kinisi(exponent):
    rng = np.random.default_rng(12)
    times = 0.1 * np.arange(5, 40, 3)
    variance, n_independent = 0.7 * times ** (exponent + 1), 200 / times
    msd = 0.2 + 1.3 * times + 0.02 * rng.normal(size=len(times))
    data = scipp.DataArray(
        scipp.array(
            dims=["time interval"], values=msd, variances=variance / n_independent, unit="angstrom^2"
        ),
        coords={
            "time interval": scipp.array(dims=["time interval"], values=times, unit="ps"),
            "n_samples": scipp.array(dims=["time interval"], values=n_independent),
        },
    )
    theirs = diffusion.Diffusion(scipp.DataGroup({"da": data}))
    theirs._cond_max, theirs._recondition, theirs.diff_regime = 1e16, False, 0
    inverse = np.linalg.inv(theirs.compute_covariance_matrix().values)
    design = np.column_stack([np.ones_like(times), times])
    covariance = np.linalg.inv(design.T @ inverse @ design)
    parameters, ours = gls_line(times, msd, variance=variance, n_independent=n_independent)
    np.testing.assert_allclose(parameters, covariance @ design.T @ inverse @ msd, rtol=1e-6)
    np.testing.assert_allclose(ours, covariance, rtol=1e-6)
