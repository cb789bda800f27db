"""House units (Å, ps, eV, e, amu, K) and the constants that join them to SI.

Values: CODATA 2022 (E. Tiesinga, P. J. Mohr, D. B. Newell and B. N. Taylor, *CODATA recommended values
of the fundamental physical constants: 2022*, NIST, 2024); e, k_B and the Boltzmann constant in eV/K are
exact since the 2019 SI.
"""

from math import pi

ELEMENTARY_CHARGE_C = 1.602176634e-19  # exact
BOLTZMANN_J_PER_K = 1.380649e-23  # exact
BOLTZMANN_EV_PER_K = BOLTZMANN_J_PER_K / ELEMENTARY_CHARGE_C
VACUUM_PERMITTIVITY_F_PER_M = 8.8541878188e-12  # CODATA 2022

COULOMB_EV_A = ELEMENTARY_CHARGE_C / (4 * pi * VACUUM_PERMITTIVITY_F_PER_M) * 1e10
"""e²/(4 pi eps0) in eV Å: two unit charges 1 Å apart."""

EV_PER_A3_TO_GPA = ELEMENTARY_CHARGE_C * 1e30 * 1e-9
A2_PER_PS_TO_CM2_PER_S = 1e-4


def conductivity_S_per_cm(diffusivity_cm2_per_s, *, number_density_per_A3, charge_e, temperature_K):
    r"""Return the conductivity that a diffusivity implies.

    .. math:: \sigma = n z^2 e^2 D / (k_B T)

    Parameters
    ----------
    diffusivity_cm2_per_s
        D* gives the Nernst-Einstein conductivity, D_sigma the ionic conductivity; cm²/s.
    number_density_per_A3
        Mobile ions per Å³.
    charge_e
        Integer formal charge of one mobile ion, e.
    temperature_K
        Temperature, K.

    Returns
    -------
    float
        Conductivity, S/cm. Linear in the diffusivity, so a standard error converts the same way.
    """
    density_per_cm3 = number_density_per_A3 * 1e24
    charge_C = charge_e * ELEMENTARY_CHARGE_C
    return density_per_cm3 * charge_C**2 * diffusivity_cm2_per_s / (BOLTZMANN_J_PER_K * temperature_K)
