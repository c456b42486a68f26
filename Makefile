# The only command surface. `make` prints this help.
PYTHON ?= python3
# Tests wait for engines for half of their time: three workers keep two cores busy, and leave them time to be on time.
WORKERS ?= 3
# What kills processes or has deadlines of milliseconds has no worker beside it.
ALONE := tests/chaos tests/e2e/test_graph_outages.py
# What needs no engine and looks at no clock takes, from the beginning, the time of the cores that nobody else wants; beside chaos too.
PURE := tests/unit --ignore tests/unit/chassis/test_jobs_pace.py --timeout 900
IDLE := $(shell chrt --idle 0 true 2>/dev/null && echo chrt --idle 0 || echo nice -n 19)
# What is in no hurry takes the time of the cores that the workers leave; chaos leaves none to spare.
PATIENT := tests/unit/chassis/test_jobs_pace.py tests/deploy/test_images.py tests/deploy/manifests/test_manifests.py tests/deploy/manifests/test_checkov.py
URGENT := tests/contract/test_access_matrix.py tests/contract/test_access_oracle.py
FOLDERS := $(filter-out tests/__pycache__/ tests/chaos/ tests/contract/ tests/support/ tests/unit/,$(wildcard tests/*/)) $(URGENT)
BESIDE := $(FOLDERS) $(patsubst %,--ignore %,$(ALONE) $(PATIENT)) -n $(WORKERS) --dist loadfile --no-loadscope-reorder
define RUN
	@mkdir -p .cache
	@$(IDLE) $(BIN)/pytest $(PURE) > .cache/pure.log 2>&1 & pure=$$!; \
	  trap 'kill $$pure $$patient 2>/dev/null; exit 130' INT TERM; \
	  $(BIN)/pytest $(ALONE); alone=$$?; \
	  nice -n 5 $(BIN)/pytest $(PATIENT) tests/contract $(URGENT:%=--ignore %) > .cache/patient.log 2>&1 & patient=$$!; \
	  $(BIN)/pytest $(BESIDE); beside=$$?; \
	  wait $$patient; left=$$?; wait $$pure; rest=$$?; \
	  cat .cache/pure.log .cache/patient.log; exit $$((alone | beside | left | rest))
endef
BIN := .venv/bin
export PYTHONPATH := $(CURDIR):$(CURDIR)/gen
# A run of the tests starts far more than a hundred processes: each would compile hundreds of modules anew.
unexport PYTHONDONTWRITEBYTECODE
# The folders too: they change when a file goes.
PROTOS := $(shell find protos -mindepth 1)

.PHONY: help run setup test test-long lint types boundaries contracts unit tests manifests chaos chaos-long protos schema lock image image-proof sbom secrets bench bench-events clean
.DEFAULT_GOAL := help

help: ## this help
	@awk 'BEGIN{FS=":.*## "} /^##@/{print "\n" substr($$0,5)} /^[a-z-]+:.*## /{printf "  make %-12s %s\n",$$1,$$2}' $(MAKEFILE_LIST)

##@ Use
run: .venv/.run gen/crm.binpb ## start everything on this machine; Ctrl-C stops it
	@CRM_DIE_WITH_PARENT=1 exec ./xietong up

setup: .venv/.run gen/crm.binpb ## only set up .venv and generated code

##@ Check
test: .venv/.dev .cache/checks/.made .cache/clients/.made gen/crm.binpb ## everything that CI checks
	@$(MAKE) --no-print-directory -j2 lint types boundaries contracts
	$(RUN)

test-long: export CRM_TEST_LONG := 1
test-long: .venv/.dev .cache/checks/.made .cache/clients/.made gen/crm.binpb ## for releases: every generated case, all of chaos; how long it takes is not measured
	@$(MAKE) --no-print-directory -j2 lint types boundaries contracts
	$(RUN)

lint: .venv/.dev ## style
	@$(BIN)/ruff format --check -q . || (echo "run «.venv/bin/ruff format .»"; exit 1)
	@$(BIN)/ruff check -q .

types: .venv/.dev gen/crm.binpb ## types, strictly
	@$(BIN)/mypy --no-error-summary chassis services gateway cli

boundaries: .venv/.dev gen/crm.binpb ## who may import whom
	@out=$$($(BIN)/lint-imports --no-logo 2>&1) || { echo "$$out"; exit 1; }; echo "$$out" | tail -n 1

contracts: .venv/.dev gen/crm.binpb ## protos linted and compatible, schema as committed
	@$(BIN)/buf lint gen/crm.binpb --config buf.yaml
	@$(BIN)/python -m cli.contracts --breaking
	@$(BIN)/python -m cli.standard
	@$(BIN)/python -m cli.schema --check
	@$(BIN)/python -m cli.reference --check

unit: .venv/.dev gen/crm.binpb ## the pure tests, in seconds
	@$(BIN)/pytest tests/unit

manifests: .venv/.dev .cache/checks/.made gen/crm.binpb ## deploy/ rendered and judged, without a cluster
	@$(BIN)/pytest tests/deploy/manifests

chaos: .venv/.dev gen/crm.binpb ## faults drawn from SEED (1, or 1-20) for MINUTES each, then judgement; REPLICAS=3 takes leaders from clusters
	@$(BIN)/python -m tests.chaos --seed $(or $(SEED),1) --minutes $(or $(MINUTES),1) --replicas $(or $(REPLICAS),1) $(if $(KEEP),--keep $(KEEP))

chaos-long: ## twenty seeds of ten minutes: three and a half hours
	@$(MAKE) --no-print-directory chaos SEED=1-20 MINUTES=10

##@ Make
protos: .venv/.dev ## generated code and descriptor image
	@$(BIN)/python -m cli.contracts

schema: .venv/.dev gen/crm.binpb ## all that follows from contracts and is committed: gateway/schema.graphql, docs/reference, golden facts and grants
	@$(BIN)/python -m cli.schema
	@$(BIN)/python -m cli.reference
	@$(BIN)/python -m tests.contract.test_event_shapes
	@$(BIN)/python -m tests.contract.test_grants

lock: ## requirements/*.txt from pyproject.toml (needs uv)
	@sh requirements/compile.sh

image: .venv/.dev ## one service's image: make image S=sales BASE=python:3.11-slim@sha256:…
	@$(BIN)/python -m cli.image build "$(S)" "$(BASE)" $(FLAGS)

image-proof: .venv/.dev gen/crm.binpb ## one service's image built with buildah on a base made here, started and asked: make image-proof S=sales (as root)
	@$(BIN)/python -m tests.deploy.real_image "$(S)"

sbom: .venv/.dev ## its bill of materials (CycloneDX): make sbom S=sales
	@$(BIN)/python -m cli.image sbom "$(S)"

secrets: .venv/.dev ## fresh secrets for deploy/compose.yaml
	@$(BIN)/python -m cli.compose

bench: .venv/.dev gen/crm.binpb ## measure; prints figures
	@$(BIN)/python -m bench

bench-events: .venv/.dev gen/crm.binpb ## writes, facts, releases, backups: beside the figures of the design
	@$(BIN)/python -m bench.events

clean: ## remove what was made, but not .data
	rm -rf .venv gen .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './.data/*' -prune -exec rm -rf {} +

# ---- files
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "xietong needs Python 3.11 or newer as $(PYTHON); install it, or run: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "setting up .venv"
	@$(PYTHON) -m venv .venv

.venv/.run: requirements/run.txt | .venv/bin/python
	@echo "installing what it runs on (hashed; about a minute the first time)"
	@$(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements/run.txt | sed -u -n 's/^Collecting \([^ ]*\).*/  \1/p; s/^Installing collected.*/  installing …/p'
	@$(BIN)/python -c 'import grpc, pymongo, strawberry' 2>/dev/null || { echo "pip could not install everything; its message stands above" >&2; exit 1; }
	@touch $@

.venv/.dev: requirements/dev.txt | .venv/bin/python
	@echo "installing what it is checked with (hashed; about a minute the first time)"
	@$(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements/dev.txt | sed -u -n 's/^Collecting \([^ ]*\).*/  \1/p; s/^Installing collected.*/  installing …/p'
	@$(BIN)/python -c 'import grpc, pytest, mypy' 2>/dev/null || { echo "pip could not install everything; its message stands above" >&2; exit 1; }
	@touch $@ .venv/.run

# checkov wants an older packaging than pytest does, so it lives apart.
.cache/checks/.made: requirements/checks.txt | .venv/bin/python
	@echo "installing what judges the manifests (hashed; about a minute the first time)"
	@$(PYTHON) -m venv .cache/checks
	@.cache/checks/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/checks.txt
	@touch $@

.cache/clients/.made: requirements/clients.txt | .venv/bin/python
	@echo "installing what makes clients from documents (hashed)"
	@$(PYTHON) -m venv .cache/clients
	@.cache/clients/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/clients.txt
	@touch $@

gen/crm.binpb: $(PROTOS) cli/contracts.py | .venv/.run
	@$(BIN)/python -m cli.contracts
