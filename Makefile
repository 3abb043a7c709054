# The bookstore's tasks. `make` alone lists them; CI runs the same targets as people do.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := $(patsubst %/pyproject.toml,%,$(wildcard libs/*/pyproject.toml services/*/pyproject.toml tools/*/pyproject.toml))
STAMP := $(VENV)/.installed
EMULATOR_STAMP := .venv-emulator/.installed
PEERS_STAMP := .venv-peers/.installed
# Where Node is needed: it comes with the environment, never from the system.
NODE_PACKAGES := $(patsubst %/package.json,%,$(wildcard services/*/package.json tools/*/package.json))
NODE_STAMPS := $(NODE_PACKAGES:%=%/node_modules/.installed)
BOOKSTORE := $(BIN)/bookstore
WORLD := PYTHONPATH=tests $(BIN)/python -m bookstore_world
MAIL_WORLD := PYTHONPATH=tests $(BIN)/python -m mail_world
FAULTS := .local/faults/results.json
SEED ?= 1
# Trust the machine's certificate store, as pip does: a company's own authority is in there.
export UV_SYSTEM_CERTS := 1
npm := PATH="$(CURDIR)/$(BIN):$$PATH" NODE_OPTIONS=--use-system-ca npm

.DEFAULT_GOAL := help
.PHONY: help setup demo up down status logs restart halt resume reindex seed clean test lint format types check \
	faults mutants faults-report chaos bench bench-peers search-eval \
	compose-up compose-down compose-test \
	contracts contracts-diff test-contracts conformance docs generate lock import name-given file-given

help: ## list the targets
	@awk 'BEGIN {FS = ":.*?## "} \
	  /^##@/ {printf "\n\033[1m%s\033[0m\n", substr($$0, 5)} \
	  /^[a-z-]+:.*?## / {printf "  \033[36m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Run

demo: setup ## place real orders through the whole platform, then show the balance sheet
	@$(BOOKSTORE) demo $(ARGS)

up: setup ## start the local stack in this terminal; Ctrl-C stops all of it
	@$(BOOKSTORE) up

down: setup ## stop a stack that runs elsewhere
	@$(BOOKSTORE) down

status: setup ## what runs, on which ports
	@$(BOOKSTORE) status

restart: name-given setup ## restart one process of the running stack: make restart NAME=payment-worker
	@$(BOOKSTORE) restart $(NAME)

halt: name-given setup ## stop one process, to see how the others get along: make halt NAME=search-worker
	@$(BOOKSTORE) halt $(NAME)

resume: name-given setup ## start it again
	@$(BOOKSTORE) resume $(NAME)

logs: setup ## follow the logs of the running stack: make logs [NAME=order-worker]
	@$(BOOKSTORE) logs $(NAME)

seed: setup ## fill the running catalog with 606 classics in the public domain
	@$(BOOKSTORE) catalog seed

import: file-given setup ## import books into the running catalog: make import FILE=books.csv
	@$(BOOKSTORE) catalog import "$(FILE)"

reindex: setup ## build the search index anew from the running catalog, without downtime
	@$(BOOKSTORE) reindex

name-given:
	@$(if $(NAME),,$(error which process? For example: make restart NAME=payment-worker (make status lists them)))

file-given:
	@$(if $(FILE),,$(error which file? For example: make import FILE=books.csv (CSV or JSON Lines)))

clean: ## remove the stack's data and all caches (environments stay)
	@if [ -x $(BOOKSTORE) ]; then $(BOOKSTORE) clean; else rm -rf .local; fi
	@rm -rf .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

##@ Run in containers

compose-up: ## the whole stack in Docker: docker compose up --build --wait
	@docker compose up --build --wait

compose-down: ## stop it and remove the containers; data stay, unless ARGS=--volumes
	@docker compose down $(ARGS)

compose-test: setup ## faults and end-to-end tests against real containers, each on a stack of its own
	@for suite in tests/compose tests/e2e; do \
	  BOOKSTORE_STACK=compose $(BIN)/pytest --timeout 300 $$suite $(ARGS) \
	    || { code=$$?; [ $$code -eq 5 ] && [ -n "$(ARGS)" ] || exit $$code; }; \
	done

##@ Check

test: setup ## all tests, on real servers, without Docker
	@$(BIN)/pytest $(ARGS)

contracts: setup ## the contracts: style, validity, examples, what is derived, routes, HTTP; one line a finding
	@$(BIN)/python -m contract_gates check $(ARGS)

contracts-diff: setup ## what a change to the contracts would break: make contracts-diff [BASE=ref]
	@$(BIN)/python -m contract_gates diff $(if $(BASE),--base $(BASE)) $(ARGS)

test-contracts: setup ## who needs what of whom, against the code of both: pacts, HTTP, properties, releases
	@$(BIN)/pytest tests/contracts $(ARGS)

conformance: setup ## any service from outside, over bus and HTTP only: make conformance [SERVICE=search]
	@$(BIN)/python -m conformance run $(SERVICE) $(ARGS)

faults: setup ## the sagas under every pair of faults, at random, and without each guard
	@$(WORLD) explore --results $(FAULTS)
	@$(WORLD) explore --depth 2 --results $(FAULTS)
	@$(WORLD) explore --triples 200 --seed $(SEED) --results $(FAULTS)
	@$(WORLD) random --examples 500 --seed $(SEED) --results $(FAULTS)
	@$(WORLD) explore --postgres --scenario confirmed/alone
	@$(MAIL_WORLD) explore
	@$(MAIL_WORLD) explore --depth 2
	@$(MAKE) --no-print-directory mutants

mutants: setup ## take each guard out of the product, one after the other: something must break
	@$(WORLD) mutants --results $(FAULTS)
	@$(MAIL_WORLD) mutants
	@PYTHONPATH=tests $(BIN)/python -m faults gift_world.trial mutants

chaos: setup ## orders under real faults for ten minutes, then every invariant: make chaos [ARGS="--minutes 2 --seed 7"]
	@PYTHONPATH=tests $(BIN)/python -m chaos $(ARGS)

lint: setup ## style, import rules, generated files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(BIN)/python -m contracts.generate --check

types: setup ## strict types
	@$(BIN)/mypy $(PACKAGES:%=%/src)

check: lint types contracts contracts-diff test test-contracts conformance ## everything that CI checks

faults-report: setup ## one HTML page from the results of the saga failure tests
	@PYTHONPATH=tests $(BIN)/python -m bookstore_world report --results .local/faults/results.json \
	  --html .local/faults/report.html --chaos .local/chaos

format: setup ## format the code and sort imports
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format .

docs: setup ## one page a service and a map of who sends what to whom, from contracts/
	@$(BIN)/python -m contract_docs $(ARGS)

##@ Measure

bench: setup ## orders/s, latencies, CPU and calls per order, on a fresh stack: make bench [ARGS=...]
	@$(BOOKSTORE) bench $(ARGS)

bench-peers: setup $(PEERS_STAMP) ## the same saga work on DBOS Transact, in the same run
	@$(BOOKSTORE) bench-peers $(ARGS)

search-eval: file-given setup ## what the embedded search finds, and how fast: make search-eval FILE=books.csv
	@$(BOOKSTORE) search-eval "$(FILE)" $(ARGS)

##@ Maintain

setup: $(STAMP) $(EMULATOR_STAMP) $(NODE_STAMPS) ## make the environments (every other target does)

generate: setup ## derive models, schemas and topology from contracts/
	@$(BIN)/python -m contracts.generate

lock: $(BIN)/uv ## pin requirements/*.in into requirements/*.txt with hashes
	@for name in bootstrap runtime dev emulator peers node; do \
	  $(BIN)/uv pip compile --quiet --upgrade --generate-hashes --universal --python-version 3.11 \
	    --no-emit-index-url --no-header --no-annotate requirements/$$name.in -o requirements/$$name.txt || exit 1; \
	done

$(BIN)/uv: requirements/bootstrap.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or later is needed, and $(PYTHON) is older: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "Python's venv module is missing: install it (on Debian: apt-get install python3-venv)"; exit 1; }
	@echo "making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $(BIN)/uv

$(STAMP): $(BIN)/uv requirements/dev.txt $(PACKAGES:%=%/pyproject.toml)
	@echo "installing what requirements/dev.txt pins ..."
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation $(PACKAGES:%=-e %)
	@touch $@

%/node_modules/.installed: %/package.json %/package-lock.json $(STAMP)
	@echo "installing what $*/package-lock.json pins ..."
	@cd $* && $(npm) ci --silent --no-audit --no-fund --ignore-scripts
	@touch $@

$(EMULATOR_STAMP): $(BIN)/uv requirements/emulator.txt
	@echo "installing the AWS emulator ..."
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-emulator
	@$(BIN)/uv pip sync --quiet --python .venv-emulator/bin/python --require-hashes requirements/emulator.txt
	@touch $@

$(PEERS_STAMP): $(BIN)/uv requirements/peers.txt
	@echo "installing what the benchmark compares with ..."
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-peers
	@$(BIN)/uv pip sync --quiet --python .venv-peers/bin/python --require-hashes requirements/peers.txt
	@touch $@
