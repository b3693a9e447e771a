# Every target does all of its own set-up: a virtual environment in the checkout, pinned dependencies, then the job.
# Needs Python 3.11+ with venv, git, make and gcc. PYTHON=python3.12 make demo chooses another interpreter.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: help demo test test-slow check bench install dev clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   the whole system on a paper exchange of its own   (ARGS=\"--headless --json --hours 2\")"
	@echo "make test   the everyday test suite                           (ARGS=\"-k engine\")"
	@echo "make check  ruff, mypy, import rules"
	@echo "make bench  every published figure beside its peer            (ARGS=\"--long\")"
	@echo "make test-slow, make clean"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Tidewright needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1). On Debian: apt install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "Python's venv is missing. On Debian: apt install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# The stamps depend on what they were installed from, so an edited pin installs again.
$(VENV)/.base: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing Tidewright into $(VENV) (about a minute) ..." >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@$(BIN)/python -m tidewright.cli.compile
	@touch $@

$(VENV)/.dev: $(VENV)/.base
	@echo "installing the development tools ..." >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,learn,learners,evidence,nats]'
	@touch $@

$(VENV)/.ray: $(VENV)/.dev
	@echo "installing Ray for the tests of sweeps over a cluster ..." >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ray]'
	@touch $@

install: $(VENV)/.base
dev: $(VENV)/.dev

demo: $(VENV)/.base
	@$(BIN)/tidewright demo $(ARGS)

test: $(VENV)/.dev
	@$(BIN)/python -m pytest -m "not slow" -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

test-slow: $(VENV)/.ray
	@$(BIN)/python -m pytest -m slow $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev
	@$(BIN)/python -m benchmarks.run $(ARGS)

clean:
	rm -rf $(VENV) .venv-* .bench build *.egg-info src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
