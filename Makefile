# make sweep: the sweep of sweeps/table_c.yaml, from nothing. make test: all checks.
# Both make .venv when it is missing, and install nothing when run again.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin

.PHONY: sweep test bench-gpu

sweep: .venv/installed
	$(BIN)/evnas sweep sweeps/table_c.yaml
	@echo "report: $(CURDIR)/results/table_c/report.html"

test: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	DENO_NO_UPDATE_CHECK=1 $(BIN)/deno fmt --quiet --check
	DENO_NO_UPDATE_CHECK=1 $(BIN)/deno lint --quiet
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

bench-gpu: .venv/installed-test
	$(BIN)/python benchmarks/gpu.py --seconds 14400

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/installed-test: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch .venv/installed $@
