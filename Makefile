# make run    the demo: a virtual environment, what it needs, drawn cars, the main job
# make test   the whole test suite
# make check  lint, types, tests: what CI runs
# Needs Python 3.11 to 3.13 with pip, and a package registry. Another Python: make run PYTHON=/path/to/python

CONFIG ?= application_config.json
VENV ?= .venv
PYTHON ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet
PYTHONS := $(or $(PYTHON),python3.13 python3.12 python3.11 python3 python)
# a name may exist and still not run (version managers), fit, or be able to make an environment (Debian)
FITS := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

.PHONY: run test check lint types tests format readme clean

run: $(VENV)/.for-running
	$(BIN)/python main.py --config $(CONFIG)

test: tests

check: lint types tests

lint: $(VENV)/.for-developing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.for-developing
	$(BIN)/mypy

tests: $(VENV)/.for-developing
	$(BIN)/python -m pytest

format: $(VENV)/.for-developing
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

readme: $(VENV)/.for-developing
	$(BIN)/python -m tools.write_readme

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache

$(VENV)/.for-running: requirements.txt
	@if ! $(BIN)/python -c "$(FITS)" 2>/dev/null; then \
	  for python in $(PYTHONS); do \
	    if $$python -c "$(FITS)" 2>/dev/null; then \
	      echo "Making $(VENV) with $$($$python --version)"; \
	      exec $$python -m venv --clear $(VENV); \
	    fi; \
	  done; \
	  echo "None of these is a Python 3.11 to 3.13 that can make a virtual environment: $(PYTHONS)." >&2; \
	  echo "Install one (on Debian and Ubuntu with python3-venv), or give one: make $(MAKECMDGOALS) PYTHON=/path/to/python" >&2; \
	  exit 1; \
	fi
	@echo "Installing requirements.txt (1 to 2 minutes)"
	@$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.for-developing: $(VENV)/.for-running requirements-dev.txt requirements-export.txt
	@echo "Installing requirements-dev.txt"
	@$(PIP) -r requirements.txt -r requirements-dev.txt
	@touch $@
