# Every target sets up what it needs: Python 3.11 or newer, make and a package registry are enough.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
CLIENTS := .venv-clients

.DEFAULT_GOAL := help
.PHONY: help setup check format test test-clients conformance faults cuts budgets costs kills tenants rights compliance decisions availability weights savings certificates demo bench coverage lock lock-clients clean

help:           ## this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else f"afterbay needs Python 3.11 or newer, {sys.executable} is {sys.version.split()[0]}; set PYTHON=/path/to/python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: $(STAMP) ## a .venv holding afterbay with everything in it

check: setup    ## format, lint, types, imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup   ## rewrite the code in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: check     ## all checks and all tests
	$(BIN)/python -m pytest

$(CLIENTS)/.installed: tests/clients/requirements.lock
	@test -x $(CLIENTS)/bin/python || $(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r tests/clients/requirements.lock
	@touch $@

test-clients: setup $(CLIENTS)/.installed ## LangChain, Pydantic AI, LiteLLM, agents and Vercel's AI SDK against the gateway
	AFTERBAY_PYTHON=$(CURDIR)/$(BIN)/python $(CLIENTS)/bin/python -m pytest -c tests/clients/pytest.ini tests/clients

faults: setup   ## every fault of the catalogue, simulated and on sockets; writes docs/faults.md
	AFTERBAY_FAULTS=all $(BIN)/python -m pytest tests/faults

cuts: setup     ## every recorded stream cut at every byte, with a second provider that goes on (needs the recordings)
	PYTHONPATH=tests $(BIN)/python -m cuts

budgets: setup  ## processes over one database, killed at random, and whether a limit was passed (AFTERBAY_BUDGETS_S seconds)
	PYTHONPATH=src:tests $(BIN)/python -m budgets

rights: setup   ## random keys, owners, rights and requests, and whether anybody got more than they may (AFTERBAY_RIGHTS operations)
	PYTHONPATH=src:tests $(BIN)/python -m rights

weights: setup  ## the weights that ship, trained anew: the same bytes (needs the sets of prompts and outcomes)
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PYTHONPATH=src:. $(BIN)/python -m training.tasks
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PYTHONPATH=src:. $(BIN)/python -m training.quality

costs: setup    ## every recorded answer: what it cost, by its provider and by us; writes docs/costs.md (needs the recordings)
	PYTHONPATH=src:tests $(BIN)/python -m costs

kills: setup    ## a gateway under load, killed 200 times at random: what its clients saw against its log (AFTERBAY_KILLS)
	PYTHONPATH=src:tests $(BIN)/python -m kills

tenants: setup  ## 250 tenants in bursts against a real gateway, killed and without its database at times: whether a limit was passed (AFTERBAY_TENANTS_S seconds)
	PYTHONPATH=src:tests $(BIN)/python -m tenants

compliance: setup ## a million random requests under random policies, and whether one went where it might not (AFTERBAY_COMPLIANCE requests)
	PYTHONPATH=src:. $(BIN)/python -m tests.compliance

decisions: setup ## ten million random decisions, and whether one could lead where it might not (AFTERBAY_DECISIONS decisions)
	PYTHONPATH=src:. $(BIN)/python -m tests.decisions

availability: setup ## ten million simulated requests and what each mechanism contributes; writes docs/availability.md
	$(BIN)/python benchmarks/availability.py

savings: setup  ## a local model and a played strong one: what a certified route saves, beside rules and always the strong one (ten minutes)
	PYTHONPATH=. $(BIN)/python -m benchmarks.savings

certificates: setup ## how often a certificate is wrong where it is put to the test, and how soon drift is found
	$(BIN)/python benchmarks/certificates.py

lock:           ## write requirements.lock anew from pyproject.toml
	$(PYTHON) -m venv $(VENV)/lock && $(VENV)/lock/bin/pip install --quiet uv
	$(VENV)/lock/bin/uv pip compile pyproject.toml --extra all --group dev --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-header --quiet -o requirements.lock

lock-clients:   ## write the locks of test-clients anew (npm must be there)
	$(PYTHON) -m venv $(VENV)/lock && $(VENV)/lock/bin/pip install --quiet uv
	$(VENV)/lock/bin/uv pip compile tests/clients/requirements.in --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-header --quiet -o tests/clients/requirements.lock
	cd tests/clients/vercel && rm -f package-lock.json && npm install --package-lock-only --no-fund --no-audit

clean:          ## remove what make made
	rm -rf $(VENV) $(CLIENTS) tests/clients/vercel/node_modules .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

conformance: setup ## run every field between every two protocols and write docs/conformance.md
	$(BIN)/python -m tests.conformance > docs/.conformance.md && mv docs/.conformance.md docs/conformance.md

demo: setup     ## start it with local models and two emulated providers, ask, break one, show the log
	$(BIN)/python demo/demo.py

bench: setup    ## start time, memory, token estimates; the rest is in docs/benchmarks.md
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/estimates.py
	$(BIN)/python benchmarks/translation.py
	$(BIN)/python benchmarks/engine.py

coverage: setup ## branch coverage of the pure core and the engine, at least 90 %
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage report --include='src/afterbay/core/*,src/afterbay/wire/*,src/afterbay/policy/*,src/afterbay/engine/*' --fail-under=90
