"""Thermostats as small objects that own all of their state. Moving the atoms is left to dynamics.py.

Every thermostat counts 3N - 3 degrees of freedom: the total momentum is zero and stays zero. ASE's Bussi and
Nose-Hoover classes count 3N, which makes a small cell too hot by N/(N - 1).
"""

import json
import math

import numpy as np

from simtools.core.errors import RunFailedError

__all__ = ["BussiThermostat", "NoseHooverChain", "restored_generator", "stored_generator"]

_W1 = 1 / (2 - 2 ** (1 / 3))
SUZUKI_YOSHIDA = (_W1, 1 - 2 * _W1, _W1)
"""Fourth-order weights: H. Yoshida, Phys. Lett. A 150, 262 (1990). doi:10.1016/0375-9601(90)90092-3."""


def stored_generator(rng):
    """Return the state of a numpy `Generator` as text (its integers are wider than 64 bits)."""
    return json.dumps(rng.bit_generator.state)


def restored_generator(rng, text):
    """Put `rng` back into the state that `stored_generator` wrote."""
    rng.bit_generator.state = json.loads(text)


class BussiThermostat:
    """Stochastic velocity rescaling: the kinetic energy follows its canonical distribution.

    Parameters
    ----------
    kT_eV
        Target temperature times Boltzmann's constant, eV.
    degrees_of_freedom
        3N - 3 for a cell at rest.
    decay
        exp(-dt/tau).
    rng
        A numpy `Generator`; its state is part of the thermostat's.

    References
    ----------
    .. [1] G. Bussi, D. Donadio and M. Parrinello, J. Chem. Phys. 126, 014101 (2007), eq. A7.
       doi:10.1063/1.2408420
    """

    def __init__(self, kT_eV, degrees_of_freedom, decay, rng):
        self._mean_per_dof_eV = 0.5 * kT_eV
        self._dof = degrees_of_freedom
        self._decay = decay
        self._rng = rng
        self.given_energy_eV = 0.0

    def scale_factor(self, kinetic_energy_eV):
        """Draw the factor for all momenta and book the energy that it gives to the ions."""
        if kinetic_energy_eV == 0:
            raise RunFailedError("the Bussi thermostat can only rescale what moves; the momenta are all zero")
        normal = self._rng.standard_normal()
        others = 2.0 * self._rng.standard_gamma(0.5 * (self._dof - 1))
        spread = (1 - self._decay) * self._mean_per_dof_eV / kinetic_energy_eV
        factor2 = (
            self._decay + spread * (others + normal * normal) + 2 * normal * math.sqrt(self._decay * spread)
        )
        self.given_energy_eV += (factor2 - 1.0) * kinetic_energy_eV
        return math.sqrt(factor2)

    def energy_eV(self):
        """Return what to add to the energy of the ions to get the conserved quantity."""
        return -self.given_energy_eV

    def get_state(self):
        """Return everything that the next factor depends on."""
        return {"given_energy_eV": self.given_energy_eV, "rng": stored_generator(self._rng)}

    def set_state(self, state):
        """Take back what `get_state` gave."""
        self.given_energy_eV = state["given_energy_eV"]
        restored_generator(self._rng, state["rng"])


class NoseHooverChain:
    """A chain of thermostats on one kinetic energy: all ions, or a barostat.

    Parameters
    ----------
    kT_eV
        Target, eV.
    degrees_of_freedom
        Of what is thermostatted: 3N - 3 for the ions, 1 for an isotropic barostat.
    tau
        Characteristic time, ASE time units.
    length
        Thermostats in the chain.
    first_mass_factor
        Mass of the first thermostat in units of kT tau²; `degrees_of_freedom` by default.

    References
    ----------
    .. [1] G. J. Martyna, M. L. Klein and M. Tuckerman, J. Chem. Phys. 97, 2635 (1992).
       doi:10.1063/1.463940
    .. [2] G. J. Martyna, M. E. Tuckerman, D. J. Tobias and M. L. Klein, Mol. Phys. 87, 1117 (1996).
       doi:10.1080/00268979600100761
    """

    def __init__(self, kT_eV, degrees_of_freedom, tau, *, length=3, first_mass_factor=None):
        self._kT = kT_eV
        self._dof = degrees_of_freedom
        first = degrees_of_freedom if first_mass_factor is None else first_mass_factor
        self._masses = [first * kT_eV * tau**2] + [kT_eV * tau**2] * (length - 1)
        self._eta = [0.0] * length
        self._p_eta = [0.0] * length

    def scale_factor(self, twice_kinetic_energy_eV, interval):
        """Advance the chain by `interval` and return the factor for the momenta it acts on."""
        total = 1.0
        for weight in SUZUKI_YOSHIDA:
            factor = self._advance(twice_kinetic_energy_eV, weight * interval)
            twice_kinetic_energy_eV *= factor * factor
            total *= factor
        return total

    def _advance(self, twice_kinetic, interval):
        p, q, last = self._p_eta, self._masses, len(self._p_eta) - 1
        half, quarter = interval / 2, interval / 4
        for j in range(last, -1, -1):
            self._kick(j, last, twice_kinetic, half, quarter)
        for j in range(last + 1):
            self._eta[j] += interval * p[j] / q[j]
        factor = math.exp(-interval * p[0] / q[0])
        twice_kinetic *= factor * factor
        for j in range(last + 1):
            self._kick(j, last, twice_kinetic, half, quarter)
        return factor

    def _kick(self, j, last, twice_kinetic, half, quarter):
        p, q = self._p_eta, self._masses
        drag = math.exp(-quarter * p[j + 1] / q[j + 1]) if j < last else 1.0
        if j == 0:
            force = twice_kinetic - self._dof * self._kT
        else:
            force = p[j - 1] * p[j - 1] / q[j - 1] - self._kT
        p[j] = (p[j] * drag + half * force) * drag

    def energy_eV(self):
        """Return what to add to the energy of the ions to get the conserved quantity."""
        kinetic = sum(0.5 * p * p / q for p, q in zip(self._p_eta, self._masses, strict=True))
        return kinetic + self._kT * (self._dof * self._eta[0] + sum(self._eta[1:]))

    def get_state(self):
        """Return everything that the next factor depends on."""
        return {"eta": np.array(self._eta), "p_eta": np.array(self._p_eta)}

    def set_state(self, state):
        """Take back what `get_state` gave."""
        self._eta = [float(value) for value in state["eta"]]
        self._p_eta = [float(value) for value in state["p_eta"]]
