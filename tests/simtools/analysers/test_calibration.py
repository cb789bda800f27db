"""Fifty repeats of `benchmarks/calibration.py`; the full thousand are in benchmarks/results."""

import json
from pathlib import Path

import pytest

from benchmarks import calibration
from benchmarks.calibration_cases import (
    ArrheniusCase,
    CageCase,
    TwoSpeciesCase,
    VacancyCase,
    WalkerCase,
)

REPEATS = 50
FEWEST_COVERED = 0.84  # of 50 intervals that cover with 95 %, fewer than 42 do so once in 500 trials
# 93 to 97 % are wanted; what is outside, by up to 1.9 %, is named in docs/validation.md
LOWEST_SEEN, HIGHEST_SEEN = 0.93, 0.99
TOO_WIDE = (CageCase(n_frames=500),)  # still rings at its longest usable lag: see docs/validation.md
COMMITTED = Path(calibration.__file__).parent / "results" / "calibration.json"

CASES = [
    WalkerCase(1, n_ions=32, n_frames=300),
    WalkerCase(8, n_ions=64, n_frames=300),
    VacancyCase(2, n_replicas=1),
    VacancyCase(2, n_frames=250),
    CageCase(n_replicas=1),
    TwoSpeciesCase(),
    ArrheniusCase(temperatures_K=(700.0, 850.0, 1000.0), n_replicas=2, n_frames=150),
    ArrheniusCase(temperatures_K=(700.0, 850.0, 1000.0), n_vacancies=0),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_intervals_cover_the_truth_and_are_not_too_wide(case):
    for label, entry in calibration.calibrate(case, repeats=REPEATS, first_seed=90_000).items():
        assert entry["n_limits"] == 0, label
        assert entry["coverage"] >= FEWEST_COVERED, label
        assert 0.6 < entry["width_ratio"] < 1.9, label


@pytest.mark.skipif(not COMMITTED.exists(), reason="benchmarks/results/calibration.json is not in this tree")
def test_the_committed_calibration_meets_its_promise():
    report = json.loads(COMMITTED.read_text(encoding="utf-8"))
    assert report["repeats"] >= 1000
    records = {record["case"]: record["scores"] for record in report["records"]}
    assert set(records) == {case.name for case in calibration.CASES}
    for case in calibration.CASES:
        for label, entry in records[case.name].items():
            collective = label not in ("D*", "E_a(sigma)", "E_a(D*)")
            few = collective and case.n_replicas < 4
            assert entry["n_refused"] <= 1, (case.name, label)
            assert entry["coverage"] >= (0.90 if few else LOWEST_SEEN), (case.name, label)
            if case not in TOO_WIDE and not few:
                assert entry["coverage"] <= HIGHEST_SEEN, (case.name, label)
                assert entry["width_ratio"] <= 1.5, (case.name, label)
