# make sweep: the sweep of sweeps/table_c.yaml, from nothing. make test: all checks. make docs: the site.
# All make .venv when it is missing, and install nothing when run again.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
# tests start hundreds of processes: without bytecode each compiles evnas anew, and each worker all tests
unexport PYTHONDONTWRITEBYTECODE

.PHONY: sweep test fast fix docs figures test-faults test-compilers bench-gpu

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
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

# Checks for while one works: no browser, no Ray, no training; `make test` has the last word.
FAST := tests/arch tests/papers tests/space tests/sweep/test_sweep.py tests/blocks/test_manifests.py tests/test_pareto.py \
	tests/test_record.py tests/test_store.py tests/test_cli_light.py

fast: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 $(FAST)

fix: .venv/installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The pages of docs/ as a site that works from a disk, offline: site/index.html
docs: .venv/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site: $(CURDIR)/site/index.html"

# Every figure of trainings in docs/reference/proxy.md, and of the search and its check in docs/guide/search.md, from
# what is kept in results/reference/
SEARCHED := search_cpu_2026-11-29
figures: .venv/installed-test
	$(BIN)/python benchmarks/training_study/figures.py --write
	$(BIN)/python benchmarks/table_c_accuracy.py --write
	$(BIN)/python benchmarks/inherited_weights.py --report --write
	$(BIN)/python benchmarks/scan_states.py --out results/reference/scan_states_cpu_2026-11-30_1thread.json --report --write
	$(BIN)/python benchmarks/search_front.py results/reference/$(SEARCHED) --write
	$(BIN)/python benchmarks/search_check.py $(SEARCHED) --out results/reference/$(SEARCHED)/check.json --report --write

# Every damaged file, override, store and checkpoint, and every kill: at most 40 minutes on two cores, each test as
# many as its share of that allows (it says how many); `make test` tries a few of each.
test-faults: .venv/installed-test
	EVNAS_FAULTS=whole OMP_NUM_THREADS=1 timeout 2400 $(BIN)/pytest -n 2 --dist worksteal --timeout 1500 tests/faults

# What torch's compiler makes of a model of each family, against eager torch: some minutes of C++; `make test` tries one.
test-compilers: .venv/installed-test
	EVNAS_COMPILERS=whole OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --timeout 1500 tests/measure/test_runtimes_agree.py -k torch_compiles

bench-gpu: .venv/installed-test
	$(BIN)/python benchmarks/gpu.py --seconds 14400 --results results

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/installed-docs: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch .venv/installed $@

.venv/installed-test: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch .venv/installed $@
