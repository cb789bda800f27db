"""Routes beside the estimators: silent where jumps carry all of D*, heard where they do not."""

from dataclasses import replace

import pytest

from simtools.analysers.hop_statistics import hop_statistics
from simtools.analysers.jumps import find_jumps
from simtools.analysers.method_agreement import compare_methods
from simtools.analysers.method_routes import add_routes
from simtools.analysers.onsager import analyse_onsager
from simtools.analysers.transport import analyse_transport
from tests.crystal_walks import A, crystal_walk

HOP_A = A / 2**0.5


@pytest.fixture(scope="module")
def parts():
    trajectories = [crystal_walk(600, seed=seed) for seed in (1, 2)]
    transport = analyse_transport(trajectories, species="Li", hop_length_A=HOP_A)
    hops = hop_statistics([find_jumps(item, species="Li") for item in trajectories], temperature_K=900.0)
    return trajectories, transport, hops, compare_methods(trajectories, transport)


def test_jumps_carry_all_of_the_diffusion_of_a_walk_on_sites(parts):
    _, transport, hops, comparison = parts
    found = add_routes(comparison, transport, hops=hops)
    row = found.of("tracer_diffusivity_cm2_per_s")["jumps between sites"]
    assert row.value == pytest.approx(transport.tracer_diffusivity_cm2_per_s.value, rel=0.2)
    assert found.agree == comparison.agree
    assert found.of("haven_ratio") == comparison.of("haven_ratio")


def test_jumps_that_were_missed_are_a_disagreement(parts):
    _, transport, hops, comparison = parts
    few = replace(hops, hop_diffusivity_cm2_per_s=hops.hop_diffusivity_cm2_per_s.scaled(0.3))
    found = add_routes(comparison, transport, hops=few)
    assert not found.agree
    assert "jumps between sites and displacements disagree: -" in found.disagreements[-1]


def test_all_species_stand_beside_one_without_a_verdict(parts):
    trajectories, transport, _, comparison = parts
    matrix = analyse_onsager(trajectories, mobile="Li", hop_length_A=HOP_A)
    rows = add_routes(comparison, transport, onsager=matrix).of("ionic_conductivity_S_per_cm")
    assert list(rows) == ["Einstein-Helfand", "Einstein-Helfand, all species"]
    assert rows["Einstein-Helfand, all species"] == matrix.ionic_conductivity_S_per_cm
