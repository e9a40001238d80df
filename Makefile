# Every target makes .venv first. PYTHON picks the interpreter that .venv is made with; ARGS goes to the command.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -q
DOCKER ?= docker
IMAGE ?= cyclecast:local
ARGS ?=
# So many processes share the tests, a file at a time: mostly they wait for brokers and services. 0: all in one.
WORKERS ?= 0
CODE := cyclecast replay stream model tests $(wildcard bench)
# What is there to run of the parts that grow later.
BENCH := $(wildcard bench/__main__.py)
ACCURACY := $(wildcard bench/accuracy.py bench/accuracy/__main__.py)
DOCS := $(wildcard docs/generate.py)

.PHONY: help setup demo test lint kernels chaos bench bench-peers accuracy samples notebook image chart docs locks clean

help:
	@echo 'make demo      a simulated fleet through an embedded broker to predictions, and a live page (ARGS="--duration 20")'
	@echo 'make test      lint, types, import rules, all tests (ARGS="-k name" narrows them)'
	@echo 'make setup     .venv with everything for development'
	@echo 'make lint      ruff, mypy --strict, import-linter, file lengths'
	@echo 'make chaos     the tests that kill things on purpose, SEEDS=60 runs of them, and their table'
	@echo 'make bench     speed, as ratios in one run (ARGS="service" runs one, ARGS=--check compares)'
	@echo 'make bench-peers  the same job done with other stream processors, side by side'
	@echo 'make accuracy  backtests over recorded data, beside the baselines'
	@echo 'make samples   simulates the sample fleet again (needs PyBaMM: 800 MB)'
	@echo 'make notebook  JupyterLab on the notebooks, behind a token (JUPYTER_TOKEN, else it makes one and prints it)'
	@echo 'make image     the container image (BASE_IMAGE=... for another base)'
	@echo 'make chart     what the tests look at of the Helm chart, rendered again (needs helm)'
	@echo 'make docs      generated documents, and the schema of the chart'
	@echo 'make locks     locks/*.txt from pyproject.toml (ARGS="--upgrade")'

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo 'cyclecast needs Python >= 3.11: make PYTHON=/path/to/python3.11 ...' >&2; exit 2; }
	@"$(PYTHON)" -c 'import sys; sys.exit("cyclecast needs Python >= 3.11, not " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	"$(PYTHON)" -m venv $(VENV)

# A stamp is younger than what was installed. The project itself is linked, not copied, so its code is always current.
$(VENV)/.runtime: locks/runtime.txt locks/build.txt pyproject.toml | $(BIN)/python
	@echo 'installing what cyclecast runs on (torch is large: this takes a minute or two)'
	@$(PIP) install --require-hashes -r locks/runtime.txt -r locks/build.txt
	@$(PIP) install --no-deps --no-build-isolation --no-index -e .
	@touch $@

$(VENV)/.dev: locks/dev.txt $(VENV)/.runtime
	@echo 'installing what the tests need'
	@$(PIP) install --require-hashes -r locks/dev.txt
	@touch $@

$(VENV)/.simulate: locks/simulate.txt $(VENV)/.runtime
	@echo 'installing PyBaMM (800 MB)'
	@$(PIP) install --require-hashes -r locks/simulate.txt
	@touch $@

$(VENV)/.notebook: locks/notebook.txt $(VENV)/.runtime
	@echo 'installing JupyterLab'
	@$(PIP) install --require-hashes -r locks/notebook.txt
	@touch $@

setup: $(VENV)/.dev

demo: $(VENV)/.runtime
	@$(BIN)/cyclecast demo $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@find $(CODE) -name '*.py' -exec awk 'END { if (FNR > 400) { print FILENAME ": " FNR " lines, at most 400"; exit 1 } }' {} \; | (! grep .)

# Compiled once, beside the checks: else each of the processes that share the tests compiles the same.
test: $(VENV)/.runtime
	@$(MAKE) --no-print-directory -j2 lint $(if $(filter-out 0,$(WORKERS)),kernels)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

kernels: $(VENV)/.runtime
	$(BIN)/python -m tests.kernels

chaos: $(VENV)/.dev
	SEEDS=$(or $(SEEDS),60) $(BIN)/python -m pytest tests/chaos -p no:randomly $(ARGS)

bench: $(VENV)/.dev
ifeq ($(BENCH),)
	@echo 'there is no benchmark yet: bench/__main__.py is not written' >&2; exit 1
else
	@$(BIN)/python -m bench $(ARGS)
endif

bench-peers: $(VENV)/.dev
	@$(BIN)/python -m bench.peers $(ARGS)

accuracy: $(VENV)/.dev
ifeq ($(ACCURACY),)
	@echo 'there is no accuracy run yet: bench.accuracy is not written (cyclecast backtest measures one model)' >&2; exit 1
else
	@$(BIN)/python -m bench.accuracy $(ARGS)
endif

samples: $(VENV)/.simulate
	$(BIN)/python -m replay.simulate $(ARGS)

notebook: $(VENV)/.notebook
	@JUPYTER_CONFIG_PATH=$(CURDIR)/deploy/jupyter $(BIN)/jupyter-lab --ip=127.0.0.1 --ServerApp.root_dir=notebooks $(ARGS)

image:
	@command -v $(firstword $(DOCKER)) >/dev/null || { echo 'make image: there is no $(firstword $(DOCKER)) here; install Docker (https://docs.docker.com/get-docker), or name what builds: make image DOCKER=podman' >&2; exit 2; }
	$(DOCKER) build $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) -t $(IMAGE) .

chart: $(VENV)/.dev
	$(BIN)/python -m tests.packaging.rendering

docs: $(VENV)/.dev
ifeq ($(DOCS),)
	@echo 'there are no generated documents yet: docs/generate.py is not written' >&2; exit 1
else
	$(BIN)/python docs/generate.py $(ARGS)
endif

locks: $(VENV)/.dev
	locks/compile $(ARGS)

clean:
	rm -rf $(VENV) .venv-peers build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache tests/kafka/target
