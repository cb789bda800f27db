"""Energies, forces and stress of the embedded engine, held against a numpy Ewald twin and LAMMPS.

    python benchmarks/force_agreement.py [--cells 60] [--output FILE.json]

The cells are those of tests/reference/random_cells.py: cubic to strongly triclinic, 40 to 2000 ions, every
shipped force field, with vacancies (uniform background) and random packings among them.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from simtools.core.provenance import collect_provenance
from tests.reference.agreement import LIMITS, compare_with_the_twin
from tests.reference.random_cells import N_CELLS, random_cell

RESULTS = Path(__file__).parent / "results"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=N_CELLS)
    parser.add_argument("--output", type=Path, default=RESULTS / "force_agreement.json")
    arguments = parser.parse_args()

    rows = []
    for number in range(arguments.cells):
        cell = random_cell(number)
        found = compare_with_the_twin(cell)
        row = {
            "cell": cell.label,
            "n_ions": len(cell.atoms),
            "net_charge": cell.net_charge,
            "angles_deg": np.round(cell.atoms.cell.angles(), 1).tolist(),
            **found,
        }
        rows.append(row)
        worst = max(LIMITS, key=lambda name: found[name] / LIMITS[name])
        print(f"{cell.label:<50} nearest to its limit: {worst} = {found[worst]:.2e}", flush=True)

    maxima = {name: max(row[name] for row in rows) for name in LIMITS}
    for name, limit in LIMITS.items():
        print(f"{name:<26} max {maxima[name]:.2e}   limit {limit:.0e}")
    result = {
        "maxima": maxima,
        "limits": LIMITS,
        "n_cells": len(rows),
        "cells": rows,
        "provenance": {k: v for k, v in collect_provenance(cells=arguments.cells).items() if k != "host"},
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0 if all(maxima[name] <= limit for name, limit in LIMITS.items()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
