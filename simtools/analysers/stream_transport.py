"""Transport from trajectories that are read once, in pieces. What is estimated: transport.py."""

import numpy as np

from simtools.analysers.displacement_accumulator import stream_displacements
from simtools.analysers.lag_sums import DENSE_FRAMES
from simtools.analysers.replicas import check_drift, default_host
from simtools.analysers.transport import transport_of_blocks
from simtools.analysers.trapping import escapes_of_ions
from simtools.core.errors import ConfigError

__all__ = ["stream_transport", "transport_of_stream"]

_VOLUME_TOLERANCE = 0.02


def stream_transport(
    sources,
    *,
    mobile_species,
    hop_length_A,
    temperature_K,
    formal_charges_e=None,
    host_species=None,
    frames_per_chunk=256,
    dense_frames=DENSE_FRAMES,
):
    """Return the transport of mobile species from one pass over trajectories of any length.

    Parameters
    ----------
    sources
        Replicas, as for `simtools.analysers.displacement_accumulator.stream_displacements`.
    mobile_species
        Symbols; all are followed in the same pass.
    hop_length_A
        Distance between neighbouring sites, Å.
    temperature_K
        Temperature, K.
    formal_charges_e
        {symbol: integer charge}, e; conductivities need that of the mobile species.
    host_species
        Symbols of the immobile sublattice; by default those of opposite formal charge to the first mobile
        species, or every species that is not mobile. Without any, a steady drift is refused.
    frames_per_chunk
        Frames read at once.
    dense_frames
        As for `simtools.analysers.lag_sums.LagSums`.

    Returns
    -------
    dict
        {mobile species: `TransportResult`}. Vacancies are not followed (no `n_escapes`): where ions may
        circle around a partner, `analyse_transport` tells more.

    Raises
    ------
    ConfigError
        For replicas that differ in ions, frame interval or, by over 2 %, in volume; a temperature that is not
        positive; a formal charge that is not an integer; a steady drift without a host; frames out of order.
    UnknownSpeciesError
        If there is no such ion.
    """
    sources, charges = tuple(sources), dict(formal_charges_e or {})
    if not sources:
        raise ConfigError("stream_transport needs at least one source, got none")
    if not temperature_K > 0:
        raise ConfigError(f"temperature_K must be positive, got {temperature_K!r}")
    for name in mobile_species:
        charge = charges.get(name)
        if charge is not None and not float(charge).is_integer():
            raise ConfigError(f"formal_charges_e[{name!r}] must be an integer, got {charge!r}")
    if host_species is None:
        symbols = np.unique(np.asarray(sources[0].species, dtype=str)).tolist()
        host = default_host(mobile_species[0], symbols, charges)
        host_species = tuple(name for name in host if name not in mobile_species)
    streamed = stream_displacements(
        sources,
        mobile_species=mobile_species,
        hop_length_A=hop_length_A,
        host_species=host_species,
        frames_per_chunk=frames_per_chunk,
        dense_frames=dense_frames,
    )
    return {
        name: transport_of_stream(
            streamed,
            species=name,
            hop_length_A=hop_length_A,
            temperature_K=temperature_K,
            charge_e=charges.get(name),
            host_species=host_species,
        )
        for name in mobile_species
    }


def transport_of_stream(streamed, *, species, hop_length_A, temperature_K, charge_e, host_species):
    """Return the `TransportResult` of one species from what an accumulator knows.

    Parameters
    ----------
    streamed
        `simtools.analysers.displacement_accumulator.StreamedDisplacements` in the frame of the host.
    species, hop_length_A, temperature_K, host_species
        As for `stream_transport`.
    charge_e
        Integer formal charge, e, or None where it is unknown.

    Raises
    ------
    ConfigError
        For replicas that differ in volume by over 2 %, or a steady drift without a host.
    """
    _check_volumes(streamed.mean_volumes_A3)
    blocks = streamed.blocks[species]
    if not host_species:
        check_drift([summed[:, None] / blocks.n_ions for summed in streamed.summed_A[species]], hop_length_A)
    return transport_of_blocks(
        blocks,
        species=species,
        hop_length_A=hop_length_A,
        temperature_K=float(temperature_K),
        charge_e=None if charge_e is None else int(charge_e),
        volume_A3=float(np.average(streamed.mean_volumes_A3, weights=blocks.weights_r)),
        escapes=escapes_of_ions(streamed.reach_A2[species], hop_length_A=hop_length_A),
        host_species=host_species,
        host_hops=streamed.host_hops,
    )


def _check_volumes(volumes_A3):
    for number, volume_A3 in enumerate(volumes_A3):
        if abs(volume_A3 / volumes_A3[0] - 1) > _VOLUME_TOLERANCE:
            raise ConfigError(
                f"replica {number} has a mean volume of {volume_A3:.6g} A^3, replica 0 of "
                f"{volumes_A3[0]:.6g} A^3: analyse different systems apart"
            )
