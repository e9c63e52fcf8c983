# `make demo` and `make test` set everything up. Python 3.11 or newer is needed (PYTHON=python3.12 chooses one).

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install
# uv needs seconds where pip needs a minute. Pip is the fallback: its settings may reach packages that uv cannot.
UV := $(BIN)/uv pip install --python $(BIN)/python
SOURCES := setup.cfg setup.py pyproject.toml
# Most tests wait for a process or a server, so more of them can run at a time than there are cores.
WORKERS ?= 3
PYTEST := pytest -n $(WORKERS) --dist worksteal

# Tests start a thousand Python processes: without bytecode files, each would compile its imports again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint types coverage tests torture mutants bench lock clean

demo: $(VENV)/.runtime  ## run the pipeline for a few simulated days, and show the result
	$(BIN)/champion demo

# `make test TESTS=coverage` also measures how much of the package the tests run.
TESTS ?= tests

test: lint types $(TESTS)  ## lint, types and every test

lint: $(VENV)/.test
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.test
	$(BIN)/mypy

coverage: $(VENV)/.test  ## the tests, at half the speed, and how much of the package they run
	rm -rf .cache/coverage
	$(BIN)/coverage run -m $(PYTEST) $(ARGS)
	@# A killed process may leave half a file. The log names it; the report would name it again.
	$(BIN)/coverage combine --quiet 2> .cache/coverage/log || { cat .cache/coverage/log; exit 1; }
	rm -f .cache/coverage/data.*
	$(BIN)/coverage report

tests: $(VENV)/.test
	$(BIN)/$(PYTEST) $(ARGS)

torture: $(VENV)/.test  ## the whole fault campaign, an hour at most; docs/faults.md gets the results
	rm -f .cache/faults.jsonl
	TORTURE=true FAULT_LOG=$(CURDIR)/.cache/faults.jsonl timeout --foreground 60m $(BIN)/$(PYTEST) -m faults $(ARGS)
	$(BIN)/python tools/write_faults.py .cache/faults.jsonl

mutants: $(VENV)/.test  ## put faults into the code, one at a time; CONTRIBUTING.md lists those that change no behaviour
	rm -rf mutants
	$(BIN)/mutmut run $(MUTANTS) > /dev/null
	$(BIN)/mutmut results

MUTANTS := "*.normalize.*" "*.sessions.*" "*.warehouse.load.*" "*.warehouse.table.x__*"

bench: $(VENV)/.runtime  ## the pipeline against a bare loop of the same libraries, in one run
	$(BIN)/python benchmarks/against_bare_loop.py

lock: $(VENV)/.test  ## renew the exact versions of all dependencies
	$(BIN)/uv pip compile $(LOCK) --extra build --extra test --extra dev -o requirements-test.lock setup.cfg
	$(BIN)/uv pip compile $(LOCK) --extra build --extra all -c requirements-test.lock -o requirements.lock setup.cfg

LOCK := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; found " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

# 1.4 GB in 107 packages, of which 430 MB are downloaded: docs/how-to/install.md has the parts.
$(VENV)/.runtime: requirements.lock $(SOURCES) | $(VENV)/.uv
	@echo "2 of 3: the pinned libraries, all extras included ..."
	$(UV) --require-hashes -r requirements.lock || $(PIP) --require-hashes -r requirements.lock
	@echo "3 of 3: this package ..."
	$(PIP) --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.test: requirements-test.lock $(SOURCES) | $(VENV)/.uv
	@echo "2 of 3: the pinned libraries, those of the tests included ..."
	$(UV) --require-hashes -r requirements-test.lock || $(PIP) --require-hashes -r requirements-test.lock
	@echo "3 of 3: this package ..."
	$(PIP) --quiet --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.runtime

$(VENV)/.uv: | $(VENV)/bin/python
	@echo "1 of 3: uv, which installs the rest ..."
	@sed -n '/^uv==/,/[^\\]$$/p' requirements-test.lock > $(VENV)/uv.lock
	$(PIP) --quiet --require-hashes -r $(VENV)/uv.lock
	@touch $@

clean:  ## remove all generated files, but no data
	rm -rf $(VENV) demo tutorial mutants .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info build
