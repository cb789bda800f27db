"""Imperfect crystals: Kröger-Vink labels, neutral cells with any point defects, charge balance."""

from simtools.defects.builders import DefectRequest, build_defects, defect_ensemble
from simtools.defects.charge_balance import ChargeBalanceError, net_charge_e
from simtools.defects.compensation import HostSpeciesError
from simtools.defects.insertion import PlacedDefect, insert_defects
from simtools.defects.kroger_vink import DefectComplex, DefectLabelError, KrogerVink, parse_defect
from simtools.defects.placement import PlacementError

__all__ = [
    "ChargeBalanceError",
    "DefectComplex",
    "DefectLabelError",
    "DefectRequest",
    "HostSpeciesError",
    "KrogerVink",
    "PlacedDefect",
    "PlacementError",
    "build_defects",
    "defect_ensemble",
    "insert_defects",
    "net_charge_e",
    "parse_defect",
]
