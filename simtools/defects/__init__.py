"""Imperfect crystals: Kröger-Vink labels, vacancies and neutral Schottky sets, charge balance."""

from simtools.defects.builders import DefectRequest, build_defects
from simtools.defects.charge_balance import ChargeBalanceError, net_charge_e
from simtools.defects.insertion import PlacedDefect, insert_defects
from simtools.defects.kroger_vink import DefectComplex, DefectLabelError, KrogerVink, parse_defect
from simtools.defects.placement import PlacementError

__all__ = [
    "ChargeBalanceError",
    "DefectComplex",
    "DefectLabelError",
    "DefectRequest",
    "KrogerVink",
    "PlacedDefect",
    "PlacementError",
    "build_defects",
    "insert_defects",
    "net_charge_e",
    "parse_defect",
]
