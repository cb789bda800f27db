"""D* from jumps and sigma of all species, beside the methods of method_agreement.py."""

from dataclasses import replace
from math import log

__all__ = ["add_routes"]

_NORMAL_95 = 1.96
_TRACER, _SIGMA = "tracer_diffusivity_cm2_per_s", "ionic_conductivity_S_per_cm"


def add_routes(comparison, transport, *, hops=None, onsager=None):
    """Return the comparison with D* from jumps between sites and with the conductivity of all species.

    Parameters
    ----------
    comparison
        `MethodComparison` of `transport`.
    transport
        `TransportResult` of the mobile ions.
    hops
        `HopStatistics` of the same ions, or None.
    onsager
        `OnsagerResult` of the same run, or None.

    Returns
    -------
    MethodComparison

    Notes
    -----
    Values differ where their logarithms do by more than 1.96 of the larger standard error: both come from the
    same run, so their difference is no wider than that. The conductivity of all species differs in truth from
    that of one where others conduct, too; it is listed and never called a disagreement.
    """
    rows = list(zip(comparison.quantities, comparison.methods, comparison.estimates, strict=True))
    said = list(comparison.disagreements)
    if hops is not None and hops.hop_diffusivity_cm2_per_s is not None:
        other = hops.hop_diffusivity_cm2_per_s
        rows.append((_TRACER, "jumps between sites", other))
        apart = _apart(transport.tracer_diffusivity_cm2_per_s, other)
        if apart is not None:
            said.append(
                f"D*: jumps between sites and displacements disagree: {apart:+.0f} %; the window is not yet "
                "diffusive, jumps were missed between frames, or ions move off the sites"
            )
    if onsager is not None:
        if not any(name == _SIGMA for name, _, _ in rows):
            rows.append((_SIGMA, "Einstein-Helfand", transport.ionic_conductivity_S_per_cm))
        rows.append((_SIGMA, "Einstein-Helfand, all species", onsager.ionic_conductivity_S_per_cm))
    quantities, methods, estimates = (tuple(column) for column in zip(*rows, strict=True))
    return replace(
        comparison, quantities=quantities, methods=methods, estimates=estimates, disagreements=tuple(said)
    )


def _apart(one, two):
    """Return how far two is from one in %, or None where they agree or cannot be compared."""
    if one.is_limit or two.is_limit or not (one.value > 0 and two.value > 0):
        return None
    error = max(one.stderr / one.value, two.stderr / two.value)
    if abs(log(two.value / one.value)) <= _NORMAL_95 * error:
        return None
    return 100 * (two.value / one.value - 1)
