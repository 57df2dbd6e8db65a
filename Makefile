# `make demo` and `make test` set up everything they need on a fresh machine.
# PYTHON=python3.12 chooses another interpreter (3.11 to 3.13) and an environment of its own;
# PYTEST_ARGS=... is passed on (-n 0: one process, for a debugger), WORKERS=... says how many
# processes run the tests: as many as there are cores, SUITE="not slow" runs all that CI does.

given := $(filter command environment,$(origin PYTHON))
VENV := .venv$(if $(given),-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CANDIDATES := python3.11 python3.12 python3.13 python3
PYTHON ?= $(shell for p in $(CANDIDATES); do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
	&& echo $$p && break; done)
SUITE ?= not (slow or thorough)
ALONE := not (slow or neo4j or browser or gephi or ray)
CORES := $(shell getconf _NPROCESSORS_ONLN || echo 2)
WORKERS ?= $(CORES)
PYTEST := $(BIN)/pytest -n $(WORKERS) --durations 25
TOGETHER := $(MAKE) --no-print-directory -j 2

others = $(foreach v,3.11 3.12 3.13,$(if $(findstring $v,$(PYTHON)),,$(shell \
	for p in python$v $(HOME)/.pyenv/versions/$v.*/bin/python$v; do \
	$$p -c '' 2>/dev/null && echo $$p && break; done)))

export OMP_NUM_THREADS ?= 2
export HF_HUB_OFFLINE ?= 1
unexport PYTHONDONTWRITEBYTECODE# or every process of a test compiles the package anew

.DEFAULT_GOAL := help
.PHONY: help install demo demo-real study published lost-adapter test test-all test-pythons coverage lint style types types-all suite wheel docs fmt clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# --no-compile: Python compiles what is imported when it is; all 21,000 files take two minutes.
install: $(STAMP) ## create .venv and install the project and its tools

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "no Python 3.11 to 3.13 found; say make PYTHON=..." >&2; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e '.[dev]'
	touch $@

demo: $(STAMP) ## ingest 26 real models, diff them, write demo-output/
	$(BIN)/circuitgraph demo --out demo-output

demo-real: $(STAMP) ## a circuit of a pretrained model and what an adapter changed in it, into demo-real-output/
	$(BIN)/python examples/real/run.py demo-real-output

study: $(STAMP) ## train recipes and nulls on SmolLM2, compare them, answer docs/study.md; hours, goes on where stopped
	$(BIN)/python examples/real/model.py study-output/models
	$(BIN)/circuitgraph study study-output/models/smollm2 --out study-output --pages docs

published: $(STAMP) ## two published sentences about fine-tuning, tested on SmolLM2: tables into docs/published
	$(BIN)/python examples/real/published.py published-output docs/published

lost-adapter: $(STAMP) ## two copies of one model that look rewired: docs/lost-adapter.md
	$(BIN)/python examples/real/model.py study-output/models
	$(BIN)/python examples/real/lost_adapter.py lost-adapter-output docs/lost-adapter.md study-output/models/smollm2

lint: style types ## ruff and mypy

style: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

types-all: $(STAMP) # what other people's large packages say of their types, too
	sed '/follow_imports/d' pyproject.toml > .mypy-all.toml
	$(BIN)/mypy --config-file .mypy-all.toml --cache-dir .mypy_cache/all
	rm .mypy-all.toml

suite test test-all test-pythons coverage: export OMP_NUM_THREADS = 1# a process a core

suite: $(STAMP)
	$(PYTEST) -m "$(SUITE)" $(PYTEST_ARGS)

test: style ## ruff, then beside each other mypy and the tests; CI runs more of them, test-all all
	$(TOGETHER) types suite

test-all: style ## every test, simulations of minutes too, and every Python at hand
	$(TOGETHER) types-all suite SUITE=
	$(MAKE) --no-print-directory test-pythons

test-pythons: ## the tests that need no server, on every other Python that is here
	for python in $(others); do \
	  $(MAKE) --no-print-directory suite PYTHON=$$python SUITE="$(ALONE)" || exit 1; \
	done

wheel: $(STAMP) ## build sdist and wheel into dist/, try the wheel in an environment of its own
	DIST=dist $(BIN)/pytest -n 0 tests/test_wheel.py -k "not whole_demo" $(PYTEST_ARGS)

docs: export NO_MKDOCS_2_WARNING = 1
docs: $(STAMP) ## build the documentation into site/; a dead link is an error
	$(BIN)/mkdocs build --quiet

coverage: SUITE = not slow
coverage: $(STAMP) ## which lines the tests run that need no minutes, into coverage.xml
	$(PYTEST) -m "$(SUITE)" --cov --cov-report=term:skip-covered --cov-report=xml $(PYTEST_ARGS)

fmt: $(STAMP) ## format the code and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what the targets above made
	rm -rf .venv .venv-* demo-output demo-real-output build dist site circuitgraph.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage* coverage.xml
