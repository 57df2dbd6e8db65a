# `make demo` and `make test` set up everything they need on a fresh machine.
# PYTHON=... chooses the interpreter (3.11 to 3.13); PYTEST_ARGS=... is passed on (-n 0: one
# process, for a debugger), WORKERS=... says how many processes run the tests.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CANDIDATES := python3.11 python3.12 python3.13 python3
PYTHON ?= $(shell for p in $(CANDIDATES); do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
	&& echo $$p && break; done)
SUITE ?= not slow
WORKERS ?= 2
PYTEST := $(BIN)/pytest -n $(WORKERS) --durations 25

export OMP_NUM_THREADS ?= 2
export HF_HUB_OFFLINE ?= 1

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all lint fmt clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP) ## create .venv and install the project and its tools

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "no Python 3.11 to 3.13 found; say make PYTHON=..." >&2; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

demo: $(STAMP) ## ingest 26 real models, diff them, write demo-output/
	$(BIN)/circuitgraph demo --out demo-output

lint: $(STAMP) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test test-all: export OMP_NUM_THREADS = 1# a process a core

test: lint ## lint, then every test that needs no minutes; what has no Java, Neo4j or browser skips
	$(PYTEST) -m "$(SUITE)" $(PYTEST_ARGS)

test-all: lint ## every test, simulations of minutes too
	$(PYTEST) $(PYTEST_ARGS)

fmt: $(STAMP) ## format the code and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what the targets above made
	rm -rf $(VENV) demo-output build dist circuitgraph.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
