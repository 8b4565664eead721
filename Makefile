# `make` lists the targets. Everything runs in .venv, made on first use; nothing is written outside this folder.
PYTHON ?= python3
VENV := .venv
NEWEST := .venv-newest
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# TORCH_INDEX=URL takes PyTorch from that index: its CPU builds have no NVIDIA libraries and no triton, 4 GB less.
TORCH_INDEX ?=
export PINERY_CACHE ?= $(CURDIR)/.pinery/cache
# Tests run side by side, each process with a Prefect server of its own; more of them than this gain nothing.
PYTEST := -m pytest --numprocesses logical --maxprocesses 4 --dist worksteal --durations 20 --durations-min 5
# The demo and the tests use their own Prefect: a configured server elsewhere is none of their business.
# Modules are compiled once, not by each of the many processes that tests start.
ISOLATED := mkdir -p .pinery/prefect && env -u PREFECT_API_URL -u PYTHONDONTWRITEBYTECODE PREFECT_HOME=$(CURDIR)/.pinery/prefect

.DEFAULT_GOAL := help
.PHONY: help demo serve sample test lint drills slow newest docs bench deploy lock clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "Pinery needs Python 3.11 or later; this is %d.%d. Set PYTHON=python3.x" % v[:2])'
	@echo "Installing into $(VENV) (PyTorch is large: a few minutes on first use) ..."
	@$(PYTHON) -m venv $(VENV)
ifneq ($(TORCH_INDEX),)
	@$(PIP) --constraint requirements.lock torch torchvision --index-url $(TORCH_INDEX)
endif
	@$(PIP) --constraint requirements.lock --editable '.[dev]'
	@touch $@

demo: $(READY) sample ## environment, sample corpus, one run into the embedded index, one search
	@$(ISOLATED) $(BIN)/pinery run configs/sample.yaml
	@echo
	@echo "The five nearest images to data/query.jpg, which is not in the corpus:"
	@$(ISOLATED) $(BIN)/pinery search configs/sample.yaml --image data/query.jpg --top-k 5 --grid demo.png
	@echo
	@echo "Next:"
	@echo "  $(BIN)/pinery show configs/sample.yaml                                    a random sample as a picture"
	@echo "  $(BIN)/pinery search configs/sample.yaml --image data/query.jpg --filter '{\"label\": {\"\$$ne\": \"sunset\"}}'"
	@echo "  $(BIN)/pinery run configs/sample.yaml --set source.path=YOUR/FOLDER --set corpus=mine"
	@echo "  $(BIN)/pinery serve configs/sample.yaml                                   the page: open http://127.0.0.1:8765"

serve: $(READY) sample ## the sample corpus on the search page, at http://127.0.0.1:8765
	@$(ISOLATED) $(BIN)/pinery run configs/sample.yaml
	@$(ISOLATED) $(BIN)/pinery serve configs/sample.yaml

sample: $(READY) ## paint the sample corpus, if it is not there
	@test -d data/sample -a -f data/query.jpg || $(BIN)/python data/generate.py

test: $(READY) ## the test suite, without what takes long (make slow)
	$(ISOLATED) $(BIN)/python $(PYTEST) -m "not slow"

drills: $(READY) ## all drills, and their table: processes killed, faults and outages, full disks, bad images
	$(ISOLATED) PINERY_DRILLS=all PINERY_DRILLS_TABLE=benchmarks/results/drills.md $(BIN)/python $(PYTEST) -m "slow or drill"

slow: $(READY) ## what `make test` leaves out, with few of the rounds of drills that repeat themselves
	$(ISOLATED) $(BIN)/python $(PYTEST) -m slow

newest: $(READY) ## the flows' tests with the newest versions that pyproject.toml allows, where they are others than the lock's
	$(PYTHON) -m venv --clear $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@if [ "$$($(NEWEST)/bin/python -m pip freeze --exclude-editable)" = "$$($(BIN)/python -m pip freeze --exclude-editable)" ]; \
	then echo "No newer versions are allowed than those in $(VENV), with which make test runs these tests."; \
	else $(ISOLATED) $(NEWEST)/bin/python $(PYTEST) -m "not slow" tests/flows; fi

lint: $(READY) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(READY) ## docs/config.md and the editors' schema, from the settings
	@$(BIN)/python -m pinery.config_reference

bench: $(READY) ## the figures of docs/figures.md
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/codec.py
	$(BIN)/python benchmarks/planning.py
	$(BIN)/python benchmarks/verify.py
	$(BIN)/python benchmarks/gate.py
	$(BIN)/python benchmarks/search.py
	$(BIN)/python benchmarks/page.py
	$(BIN)/python benchmarks/upsert.py
	$(BIN)/python benchmarks/upsert_memory.py
	$(BIN)/python benchmarks/networks.py
	$(BIN)/python benchmarks/decoding.py
	$(BIN)/python benchmarks/feeding.py
	$(BIN)/python benchmarks/s3_fetch.py
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/prefect_cost.py
	$(BIN)/python benchmarks/nights.py

deploy: $(READY) ## register the deployments of prefect.yaml, and the automations, with the Prefect server at PREFECT_API_URL
	@$(BIN)/prefect config view --hide-sources | grep -q "^PREFECT_API_URL='..*'" || { echo "PREFECT_API_URL is not set: start a server and export PREFECT_API_URL=http://127.0.0.1:4200/api" >&2; exit 2; }
	PINERY_HOME=$(CURDIR) $(BIN)/prefect --no-prompt deploy --all
	@$(BIN)/python -m flows.cli.automations

lock: $(READY) ## write the installed versions to requirements.lock
	@echo "# Versions that the tests passed with; a constraint on every install of the Makefile. Made by: make lock" > requirements.lock
	@$(BIN)/python -m pip freeze --exclude-editable | grep -v '@' >> requirements.lock

clean: ## remove the environment and all local state
	rm -rf $(VENV) $(NEWEST) .pinery build *.egg-info
