"""Measures of coupling as lines of the table of tests. The measures themselves: rotation_coupling.py."""

from simtools.analysers.multiple_testing import CouplingTest

__all__ = ["further_tests"]


def further_tests(tilts, bottleneck, conditional, information, coherence, joint, dipole):
    """Return the tests that stand in the table only, and those of small-angle motion with ions.

    Arguments are the Results, None where there are none; both returned are tuples of `CouplingTest`.
    """
    further, cradle = [], []

    def add(into, name, estimate, unit, null_value, p_value):
        into.append(
            CouplingTest(
                name=name,
                estimate=estimate,
                unit=unit,
                null_value=null_value,
                null="circular shifts of each rotor",
                p_value=p_value,
            )
        )

    if tilts is not None:
        add(cradle, "tilt at hops, below 45 degrees", tilts.excess, "degree", 0.0, tilts.p_value)
    if bottleneck is not None:
        width = bottleneck.excess
        add(further, "width of the bottleneck at hops", width, "angstrom", 0.0, bottleneck.p_value)
    if conditional is not None:
        c = conditional
        add(further, "displacement beside rotors that turned", c.large, "ratio", 1.0, c.large_p_value)
        add(further, "tilt and displacement", c.small_correlation, "correlation", 0.0, c.small_p_value)
        add(further, "mutual information", c.mutual_information, "bit", 0.0, c.information_p_value)
    if information is not None:
        i = information
        add(
            further,
            "transfer entropy, rotation to hop",
            i.rotation_to_hop,
            "bit",
            0.0,
            i.rotation_to_hop_p_value,
        )
        add(
            further,
            "transfer entropy, hop to rotation",
            i.hop_to_rotation,
            "bit",
            0.0,
            i.hop_to_rotation_p_value,
        )
    if coherence is not None:
        add(further, "coherence of angular and linear velocity", None, "", 0.0, coherence.p_value)
        common = coherence.correlation
        add(further, "angular and linear velocity", common, "correlation", 0.0, coherence.correlation_p_value)
    if joint is not None:
        add(further, "stay of rotors and of ions", joint.excess, "", 0.0, joint.p_value)
    if dipole is not None:
        add(further, "dipole towards vacancies", dipole.cosine, "cosine", 0.0, dipole.p_value)
    return tuple(further), tuple(cradle)
