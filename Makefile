# `make demo` and `make test` need only Python 3.11 or later, and make.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
RUNS ?= runs
BIN = $(VENV)/bin
RUN_PIP = $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test test-nojit physics peers slurm lint clean

demo: $(VENV)/.installed
	$(BIN)/simtools run li3ocl-demo -o $(RUNS)/li3ocl-demo
	@echo "Report: $(RUNS)/li3ocl-demo/report.html"

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 -q -rs

test-nojit: $(VENV)/.installed-dev
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -m kernel -q -rs --cov --cov-report=term

physics: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m physics -q -rs

# real Slurms of one node on this machine, installed if need be: needs root; 4 points, or SIMTOOLS_SLURM_POINTS of
# them. Most of it is waiting for time limits, so the tests wait together, each worker with a Slurm of its own.
slurm: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m slurm tests/slurm -n 5 --dist worksteal -q -rsP

peers: $(VENV)-peers/.installed
	$(VENV)-peers/bin/python -m pytest tests/peers -m '' -q -rs

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or later found; set PYTHON=/path/to/python3" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	$(RUN_PIP) install --quiet --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(RUN_PIP) install --quiet --editable '.[dev]'
	@$(RUN_PIP) install --quiet --only-binary sqsgenerator --editable '.[sqs]' || \
		echo "no sqsgenerator wheel for this system: the tests of quasirandom cells will be skipped"
	@touch $@

# an environment of its own: GEMDAT holds matplotlib below 3.11
$(VENV)-peers/.installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or later found; set PYTHON=/path/to/python3" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)-peers
	$(VENV)-peers/bin/python -m pip --disable-pip-version-check install --quiet --editable '.[dev,peers]'
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-peers build *.egg-info .pytest_cache .ruff_cache .hypothesis
