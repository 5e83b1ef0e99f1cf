# The same verbs for people and for CI. Needs Python 3.11 or newer, make, and a package index.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
SOURCES := server clients protos sim_core tests scripts benchmarks

.DEFAULT_GOAL := help
.PHONY: help install serve check test fmt lint types imports generated docker-lint docs bench protos schema settings \
        manifests models sim-models lock clean

help:  ## list the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(INSTALLED)  ## make .venv with everything that the lock files pin

$(INSTALLED): requirements/dev.txt requirements/interop.txt pyproject.toml clients/pyproject.toml protos/pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "onnxd needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements/interop.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e protos -e clients -e .
	touch $@

serve: install  ## serve model_repository/ on 127.0.0.1: HTTP 8000, gRPC 8001, metrics 8002
	$(BIN)/onnxd serve

check: lint types imports generated docker-lint docs  ## everything that needs no server: format, lint, types, contracts

test: install  ## run the tests
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

fmt: install  ## format and mend what can be mended
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format --quiet .

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: install
	$(BIN)/mypy $(SOURCES)

imports: install
	$(BIN)/lint-imports

generated: install  ## the committed outputs of the generators are up to date
	$(BIN)/python protos/compile.py --check
	$(BIN)/python -m onnxd.repository.config_schema --check
	$(BIN)/python -m onnxd.settings --check

docker-lint: install
	$(BIN)/hadolint Dockerfile

docs: install  ## build the documentation site into site/; a link that leads nowhere fails it
	$(BIN)/python -m scripts.docs_site

protos: install  ## compile the .proto files into protos/onnxd_protos
	$(BIN)/python protos/compile.py

schema: install  ## write config/model.schema.json
	$(BIN)/python -m onnxd.repository.config_schema

settings: install  ## write config/server.yaml and the table of docs/settings.md
	$(BIN)/python -m onnxd.settings

manifests: install  ## render deploy/kubernetes into deploy/kubernetes/rendered (needs kubectl)
	$(BIN)/python -m scripts.manifests

models: install  ## train the shipped models again
	$(BIN)/python -m scripts.models.train_digits
	$(BIN)/python -m scripts.models.train_language

sim-models: install  ## train the policies of the simulation again (minutes)
	$(BIN)/python -m sim_core.training model_repository

bench: install  ## print the benchmark table
	$(BIN)/python -m benchmarks.wires $(BENCH)

LOCK := uv pip compile --universal --generate-hashes --no-annotate --no-header --python-version 3.11 \
    --no-emit-package onnxd --no-emit-package onnxd-client --no-emit-package onnxd-protos

lock:  ## write the lock files again (needs uv; installing does not)
	$(LOCK) --group dev --extra cpu --extra otel --extra images --extra object-storage --extra sim pyproject.toml -o requirements/dev.txt
	$(LOCK) --extra cpu --extra otel --extra images --extra object-storage -c requirements/dev.txt pyproject.toml -o requirements/serve-cpu.txt
	$(LOCK) --extra gpu --extra otel --extra images --extra object-storage -c requirements/dev.txt pyproject.toml -o requirements/serve-gpu.txt
	echo hatchling | $(LOCK) -c requirements/dev.txt - -o requirements/build.txt
	$(LOCK) --no-deps --group interop -o requirements/interop.txt

clean:  ## remove what make made
	rm -rf .venv site .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
