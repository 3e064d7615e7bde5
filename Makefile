# Two commands matter: `make demo` and `make test`. Both set everything up by themselves.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
VENV := .venv
JUDGES := .venv-judges
BIN := $(VENV)/bin
DURATION ?= 60
SEED ?= 1
ARGS ?=
FULL ?=

.PHONY: help demo test lint types unit judges debian-packages bench prove clean

help: ## Show what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 18

$(VENV)/.runtime: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --retries 5 --editable '.[mqtt,sim]'
	touch $@

$(VENV)/.development: $(VENV)/.runtime
	$(BIN)/python deploy/development/dependencies.py | xargs -d '\n' $(BIN)/python -m pip install --quiet --disable-pip-version-check --retries 5
	touch $@

$(JUDGES)/.made: tests/judges/requirements.txt
	$(PYTHON) -m venv $(JUDGES)
	$(JUDGES)/bin/python -m pip install --quiet --disable-pip-version-check --retries 5 --requirement $<
	touch $@

judges: $(JUDGES)/.made ## Independent codecs that judge ours, in an environment of their own

demo: $(VENV)/.runtime ## Simulated boards, real gateway, live table; DURATION=seconds, 0 until Ctrl-C
	$(BIN)/lora-edge demo --duration $(DURATION) --seed $(SEED) $(ARGS)

test: $(VENV)/.development debian-packages lint types unit ## Everything CI runs, in about 10 minutes
	@deploy/development/debian-packages.sh report

debian-packages:
	@deploy/development/debian-packages.sh

lint: $(VENV)/.development ## Style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.development ## mypy strict, tests included
	$(BIN)/mypy

unit: $(VENV)/.development $(JUDGES)/.made ## All tests, with coverage
	$(BIN)/pytest -n 2 --dist worksteal --cov --cov-report= -rs $(ARGS)
	$(BIN)/coverage report --include='protocol/*' --fail-under=100
	$(BIN)/coverage report --fail-under=90 | tail -n 1

bench: $(VENV)/.development ## Memory, start-up, latency; the outbox beside its peers (FULL=1: all of it)
	$(BIN)/python -m benchmarks.gateway
	$(BIN)/python -m benchmarks.outbox $(if $(filter 1,$(FULL)),,--quick) $(ARGS)

prove: $(VENV)/.development ## The full figures, resumable; results in docs/RESULTS.md
	$(BIN)/python -m benchmarks.prove

clean: ## Remove everything that was made
	rm -rf $(VENV) $(JUDGES) .venv-peers .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage demo-state
