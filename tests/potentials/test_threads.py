"""One thread and two give the same bits: whole runs of every kind of system, each in a process of its own."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from potentials import system
from potentials.calculator import IonicCalculator
from potentials.check import prototype_cell
from potentials.errors import CloseContactError
from simtools.core import threads
from simtools.core.threads import at_once

ROOT = Path(__file__).parents[2]

RUNS = """
import hashlib, sys, tempfile, threading
import numpy as np
from potentials.calculator import IonicCalculator
from potentials.check import prototype_cell
from simtools.md.protocols import load_final_atoms, run_stages
from simtools.md.stages import Stage
from tests.molecular_crystals import shaken

def charged():
    atoms = prototype_cell("antiperovskite", "Li3OCl", 3.95) * (4, 4, 4)
    del atoms[[0, 77]]
    return atoms, IonicCalculator("li3ocl_mouta_formal", net_charge="background"), "NVT"

def shells():
    atoms = prototype_cell("antiperovskite", "Li3OCl", 3.95) * (3, 3, 4)
    return atoms, IonicCalculator("li3ocl_mouta_clshell"), "NVE"

def molecules():
    field, atoms = shaken("li2ohcl_catlow_oh", repeat=(3, 3, 3))
    return atoms, IonicCalculator(field), "NVE"

def breathing():
    atoms = prototype_cell("antiperovskite", "Na3OCl", 4.5) * (3, 3, 4)
    return atoms, IonicCalculator("na3ocl_popoff_q067"), "NPT"

for make in (charged, shells, molecules, breathing):
    atoms, calculator, ensemble = make()
    atoms.set_constraint()
    extra = {"pressure_GPa": 0.0} if ensemble == "NPT" else {}
    stage = Stage(name="run", ensemble=ensemble, temperature_K=900.0, duration_ps=0.02, timestep_fs=0.5,
                  sample_every_fs=10.0, current_every_fs=10.0, thermo_every_fs=10.0, seed=3, **extra)
    with tempfile.TemporaryDirectory() as folder:
        run_stages(atoms, calculator, [stage], folder)
        last = load_final_atoms(folder)
    arrays = last.positions, last.get_momenta(), last.cell.array
    digest = hashlib.sha256(b"".join(array.tobytes() for array in arrays))
    beside = any(thread.name.startswith("simtools") for thread in threading.enumerate())
    print(make.__name__, len(atoms), beside, digest.hexdigest())
"""


def run_with(n_threads):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_NUM_THREADS": str(n_threads)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUNS],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


def test_trajectories_of_one_and_two_threads_are_bit_identical():
    one, two = run_with(1), run_with(2)
    assert [row[2] for row in one] == ["False"] * 4
    assert [row[2] for row in two] == ["True"] * 4
    for with_one, with_two in zip(one, two, strict=True):
        assert int(with_one[1]) >= system.FEWEST_IONS_FOR_TWO_THREADS
        assert with_two[3] == with_one[3], with_one[0]


def test_both_run_at_the_same_time_and_both_have_ended_when_one_fails(monkeypatch):
    monkeypatch.setattr(threads, "compute_threads", lambda: 2)
    met = threading.Barrier(2, timeout=20)
    assert at_once(lambda: met.wait() >= 0, lambda prepared: met.wait())
    ended, began = [], threading.Event()

    def slow(prepared):
        began.set()
        time.sleep(0.05)
        ended.append("second")
        raise ValueError("second")

    def fails():
        began.wait(20)
        raise KeyError("first")

    with pytest.raises(KeyError, match="first"):
        at_once(fails, slow)
    assert ended == ["second"]
    with pytest.raises(ValueError, match="second"):
        at_once(lambda: 1, slow)


def test_a_second_thread_that_has_not_begun_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(threads, "compute_threads", lambda: 2)
    release = threading.Event()
    busy = threads._second_thread(os.getpid()).submit(release.wait, 20)
    try:
        here = threading.get_ident()
        ran_in = []
        assert at_once(lambda: 1, lambda prepared: ran_in.append(threading.get_ident())) == 1
        assert ran_in == [here]
        with pytest.raises(KeyError):
            at_once(lambda: {}[0], lambda prepared: pytest.fail("ran after all"))
    finally:
        release.set()
    assert busy.result()


def test_one_thread_runs_one_after_the_other_in_the_callers_thread(monkeypatch):
    monkeypatch.setattr(threads, "compute_threads", lambda: 1)
    here, ran_in = threading.get_ident(), []
    assert at_once(threading.get_ident, lambda prepared: ran_in.append(threading.get_ident())) == here
    assert ran_in == [here]


def test_the_first_thread_helps_the_second_once_it_is_prepared(monkeypatch):
    monkeypatch.setattr(threads, "compute_threads", lambda: 2)
    began, told, open_to_help, helped = threading.Event(), [], threading.Event(), threading.Event()

    def second(prepared):
        began.set()
        told.append("preparing")
        open_to_help.set()
        prepared()
        assert helped.wait(20)
        told.append("second done")

    def help_second():
        if open_to_help.is_set():
            helped.set()
        return False

    assert at_once(lambda: began.wait(20), second, help_second=help_second)
    assert told == ["preparing", "second done"]


def test_what_has_been_seen_to_be_done_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(threads, "compute_threads", lambda: 2)
    began, release, ended = threading.Event(), threading.Event(), threading.Event()

    def second(prepared):
        began.set()
        release.wait(20)
        prepared()
        ended.set()

    assert at_once(lambda: began.wait(20), second, help_second=lambda: True)
    assert not ended.is_set()
    release.set()
    assert ended.wait(20)


def test_what_the_second_thread_finds_wrong_is_said_as_ever(monkeypatch):
    monkeypatch.setattr(threads, "compute_threads", lambda: 2)
    atoms = prototype_cell("antiperovskite", "Li3OCl", 3.95) * (4, 4, 2)
    atoms.positions[1] = atoms.positions[0] + 0.05
    with pytest.raises(CloseContactError):
        IonicCalculator("li3ocl_mouta_formal").get_property("forces", atoms)
