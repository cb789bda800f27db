"""How a host crystal answers to strain, field and displacement: one `HostResponse` for any force field.

The parts, usable alone: elastic.py, dielectric.py, phonons.py, all on hessian.py.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from simtools.core.errors import ConfigError
from simtools.core.provenance import collect_provenance
from simtools.core.results import Result, quantity
from simtools.structures.dielectric import (
    DEFAULT_FIELD_V_PER_A,
    DEFAULT_MAX_FORCE_EV_PER_A,
    born_charges,
    high_frequency_dielectric,
    static_dielectric,
    static_dielectric_by_finite_field,
)
from simtools.structures.elastic import (
    DEFAULT_STRAIN,
    ElasticConstants,
    elastic_constants,
    elastic_constants_by_finite_strain,
)
from simtools.structures.hessian import DEFAULT_STEP_A, hessian
from simtools.structures.phonons import phonon_stability

__all__ = ["HostResponse", "host_response"]

_SAME = 1e-4
"""Relative difference up to which a printed tensor counts as cubic."""
_DOUBT = 0.01
"""Relative difference of two routes above which the print says so."""


@dataclass(frozen=True, eq=False, kw_only=True)
class HostResponse(Result):
    """Static response of a relaxed crystal at zero pressure; ``print`` it for a table.

    Attributes
    ----------
    formula
        Of the cell that was used.
    volume_A3
        Its volume.
    elastic_GPa
        Relaxed-ion elastic constants by the dynamical matrix, Voigt order xx, yy, zz, yz, xz, xy.
    elastic_clamped_GPa
        The same with ions at fixed scaled positions.
    elastic_finite_strain_GPa
        The same as `elastic_GPa` by finite strain; None if it was not asked for.
    elastic_eigenvalues_GPa
        All positive: stable against every homogeneous strain.
    bulk_modulus_GPa, shear_modulus_GPa
        Of a polycrystal, after Hill.
    born_charges_e
        [ion, direction of the polarisation, direction of the displacement].
    dielectric_high_frequency, dielectric_static
        Tensors at clamped and at relaxed ions, cell fixed; the second by the dynamical matrix.
    dielectric_finite_field
        The same as `dielectric_static` by relaxing in a field; None if it was not asked for or no field could
        be applied.
    phonon_supercell
        Supercell whose wave vectors were looked at; None without phonons.
    softest_phonon_THz
        Lowest frequency, translations aside; negative if imaginary; None without phonons.
    imaginary_modes
        One dict per mode: `q`, `label`, `frequency_THz` (negative), `species_shares`, `displacements`.
    """

    formula: str
    volume_A3: float = quantity("Å^3")
    elastic_GPa: np.ndarray = quantity("GPa", shape=(6, 6))
    elastic_clamped_GPa: np.ndarray = quantity("GPa", shape=(6, 6))
    elastic_finite_strain_GPa: np.ndarray | None = quantity("GPa", shape=(6, 6))
    elastic_eigenvalues_GPa: np.ndarray = quantity("GPa", shape=(6,))
    bulk_modulus_GPa: float = quantity("GPa")
    shear_modulus_GPa: float = quantity("GPa")
    born_charges_e: np.ndarray = quantity("e", shape="(n_ions, 3, 3)")
    dielectric_high_frequency: np.ndarray = quantity("1", shape=(3, 3))
    dielectric_static: np.ndarray = quantity("1", shape=(3, 3))
    dielectric_finite_field: np.ndarray | None = quantity("1", shape=(3, 3))
    phonon_supercell: tuple[int, int, int] | None
    softest_phonon_THz: float | None = quantity("THz")
    imaginary_modes: tuple

    @property
    def is_stable(self):
        """True when no strain and no phonon that was looked at lowers the energy."""
        return bool(self.elastic_eigenvalues_GPa[0] > 0.0) and not self.imaginary_modes

    @property
    def elastic_difference(self):
        """Largest difference of the two elastic routes over the largest constant; None with one route."""
        return _largest_relative(self.elastic_GPa, self.elastic_finite_strain_GPa)

    @property
    def dielectric_difference(self):
        """Largest difference of the two dielectric routes over the largest element; None with one route."""
        return _largest_relative(self.dielectric_static, self.dielectric_finite_field)

    def __str__(self):
        lines = [
            _row("crystal", f"{self.formula}, {self.volume_A3:.3f} Å^3, zero pressure"),
            _elastic_row(self.elastic_GPa),
            _row(
                "bulk, shear modulus (Hill)", f"{self.bulk_modulus_GPa:.2f}, {self.shear_modulus_GPa:.2f} GPa"
            ),
            _dielectric_row("dielectric, high-frequency", self.dielectric_high_frequency),
            _dielectric_row("dielectric, static", self.dielectric_static),
        ]
        if self.elastic_difference is not None:
            lines.append(_row("finite strain differs by", _agreement(self.elastic_difference)))
        if self.dielectric_difference is not None:
            lines.append(_row("finite field differs by", _agreement(self.dielectric_difference)))
        if self.elastic_eigenvalues_GPa[0] <= 0.0:
            lines.append(_row("UNSTABLE to strain", f"eigenvalue {self.elastic_eigenvalues_GPa[0]:.2f} GPa"))
        if self.phonon_supercell is not None:
            size = "x".join(str(n) for n in self.phonon_supercell)
            lines.append(_row(f"softest phonon in {size}", f"{self.softest_phonon_THz:.3f} THz"))
            lines += [_row("IMAGINARY phonon", _mode_text(mode)) for mode in self.imaginary_modes]
        return "\n".join(lines)


def host_response(
    crystal: Atoms,
    calculator,
    *,
    calculator_with_field: Callable | None = None,
    born_charges_e=None,
    high_frequency=None,
    supercell=(2, 2, 2),
    check_by_relaxation: bool = True,
    step_A: float = DEFAULT_STEP_A,
    strain: float = DEFAULT_STRAIN,
    field_V_per_A: float = DEFAULT_FIELD_V_PER_A,
    max_force_eV_per_A: float = DEFAULT_MAX_FORCE_EV_PER_A,
) -> HostResponse:
    """Return elastic constants, dielectric tensors and phonon stability of a relaxed crystal.

    Parameters
    ----------
    crystal
        Relaxed in ions and cell (0.01 eV/Å, 0.1 GPa), preferably primitive; not changed.
    calculator
        Any ASE calculator with stress; force errors should be below 1e-6 of the forces (for the embedded
        engine ``accuracy=1e-6``, or ``coulomb="ewald"`` in a small cell).
    calculator_with_field
        ``field_V_per_A (3,) -> calculator``, see `high_frequency_dielectric`; gives the high-frequency
        tensor and the finite-field check.
    born_charges_e
        Shape (N, 3, 3), e; by default from `calculator`.
    high_frequency
        Dielectric tensor at clamped ions, shape (3, 3); by default from `calculator_with_field`.
    supercell
        For the phonons; None leaves them out.
    check_by_relaxation
        Whether to do finite strain and finite field too, with ions relaxed.
    step_A, strain, field_V_per_A
        Of the central differences.
    max_force_eV_per_A
        Tolerance of the relaxations in strain and field, eV/Å. A crystal with a very soft mode answers
        linearly only to strains and fields as small as it is soft: relax it to 1e-6 eV/Å, strain it by 2e-4.

    Raises
    ------
    ConfigError
        If neither `calculator_with_field` nor `high_frequency` is given, the Born charges are not to be had,
        or the crystal is not relaxed.
    UnstableCrystalError
        If ions would leave their sites in this very cell. Instability in larger cells is part of the result.
    """
    if high_frequency is None and calculator_with_field is None:
        raise ConfigError(
            "the dielectric tensor at clamped ions is unknown: pass calculator_with_field (a function from a "
            "field to a calculator in it), or high_frequency (numpy.eye(3) for rigid ions)"
        )
    if born_charges_e is None:
        born_charges_e = born_charges(crystal, calculator, step_A=step_A)
    if high_frequency is None:
        high_frequency = high_frequency_dielectric(
            crystal, calculator_with_field, field_V_per_A=field_V_per_A
        )
    curvatures = hessian(crystal, calculator, step_A=step_A)
    static = static_dielectric(crystal, curvatures, born_charges_e, high_frequency)
    elastic = elastic_constants(crystal, calculator, ionic_hessian=curvatures, strain=strain)
    strained = in_field = phonons = None
    if check_by_relaxation:
        strained = elastic_constants_by_finite_strain(
            crystal, calculator, strain=strain, max_force_eV_per_A=max_force_eV_per_A
        ).constants_GPa
        if calculator_with_field is not None:
            in_field = static_dielectric_by_finite_field(
                crystal,
                calculator_with_field,
                field_V_per_A=field_V_per_A,
                max_force_eV_per_A=max_force_eV_per_A,
            )
    if supercell is not None:
        phonons = phonon_stability(crystal, calculator, supercell, step_A=step_A)
    return _collected(
        crystal,
        elastic,
        elastic_finite_strain_GPa=strained,
        born_charges_e=np.asarray(born_charges_e, dtype=float),
        dielectric_high_frequency=np.asarray(high_frequency, dtype=float),
        dielectric_static=static,
        dielectric_finite_field=in_field,
        phonons=phonons,
        provenance=collect_provenance(
            calculator=type(calculator).__name__,
            step_A=step_A,
            strain=strain,
            field_V_per_A=field_V_per_A,
            max_force_eV_per_A=max_force_eV_per_A,
            hessian_asymmetry=curvatures.asymmetry,
            hessian_acoustic_violation=curvatures.acoustic_violation,
            elastic_asymmetry_GPa=elastic.asymmetry_GPa,
        ),
    )


def _collected(crystal, elastic: ElasticConstants, *, phonons, **others):
    softest, modes = None, ()
    if phonons is not None:
        at_rest = np.abs(phonons.q_points).max(axis=1) == 0.0
        frequencies = phonons.frequencies_THz.copy()
        translations = np.argsort(np.abs(frequencies[at_rest][0]))[:3]
        frequencies[np.flatnonzero(at_rest)[0], translations] = np.inf
        softest = float(frequencies.min())
        modes = tuple(
            {
                "q": list(mode.q),
                "label": mode.label,
                "frequency_THz": mode.frequency_THz,
                "species_shares": mode.species_shares,
                "displacements": mode.displacements.round(6).tolist(),
            }
            for mode in phonons.imaginary_modes
        )
    return HostResponse(
        formula=crystal.info.get("formula", crystal.get_chemical_formula()),
        volume_A3=float(crystal.get_volume()),
        elastic_GPa=elastic.constants_GPa,
        elastic_clamped_GPa=elastic.clamped_GPa,
        elastic_eigenvalues_GPa=elastic.eigenvalues_GPa,
        bulk_modulus_GPa=elastic.bulk_moduli_GPa[2],
        shear_modulus_GPa=elastic.shear_moduli_GPa[2],
        phonon_supercell=None if phonons is None else phonons.supercell,
        softest_phonon_THz=softest,
        imaginary_modes=modes,
        **others,
    )


def _largest_relative(one, other):
    return None if other is None else float(np.abs(one - other).max() / np.abs(one).max())


def _row(name, text):
    return f"{name:<28}{text}"


def _agreement(difference):
    doubt = " (above 1 %: relax the crystal further, or strain it less)" if difference > _DOUBT else ""
    return f"{difference:.1e}{doubt}"


def _elastic_row(constants):
    a, b, c = constants[0, 0], constants[0, 1], constants[3, 3]
    cubic = np.diag([a - b] * 3 + [c] * 3)
    cubic[:3, :3] += b
    if np.abs(constants - cubic).max() < _SAME * np.abs(constants).max():
        return _row("C11, C12, C44", f"{a:.1f}, {b:.1f}, {c:.1f} GPa")
    return "elastic constants (GPa; xx yy zz yz xz xy)\n" + _matrix(constants, 1)


def _dielectric_row(name, tensor):
    if np.abs(tensor - tensor[0, 0] * np.eye(3)).max() < _SAME * np.abs(tensor).max():
        return _row(name, f"{tensor[0, 0]:.3f}")
    return f"{name}\n{_matrix(tensor, 3)}"


def _matrix(tensor, digits):
    return "\n".join("    " + " ".join(f"{x:9.{digits}f}" for x in row) for row in tensor)


def _mode_text(mode):
    q = " ".join(f"{x:.3g}" for x in mode["q"])
    shares = [f"{name} {share:.0%}" for name, share in mode["species_shares"].items() if share > 0.005]
    return f"{mode['label']} ({q}): {-mode['frequency_THz']:.3f}i THz; {', '.join(shares)}".lstrip()
