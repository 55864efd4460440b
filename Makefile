.DEFAULT_GOAL := help
.PHONY: help demo serve test test-oldest check fuzz twins mutants fuzz-validation fuzz-api examples bench chaos sbom advisories lock clean

PYTHON ?= python3
UV ?= uv
BIN := .venv/bin
STAMP := .venv/.bootstrapped
# Else each program compiles all its source anew at each start, which is a third of it.
unexport PYTHONDONTWRITEBYTECODE

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements.lock pyproject.toml tools/bootstrap.py
	@$(PYTHON) tools/bootstrap.py

demo: $(STAMP) ## Load the demonstration and serve it on 127.0.0.1:8000
	@$(BIN)/throughline demo

serve: $(STAMP) ## Serve on 127.0.0.1:8000 with a database of its own in .throughline/
	@$(BIN)/throughline serve

check: $(STAMP) ## Format, lint, types and layers, without running anything
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy -p app -p tools -p bench
	$(BIN)/lint-imports
	@$(BIN)/python -m tools.migration_rule

test: check ## Check, then run every test on a real database
	$(BIN)/pytest -n 2 --dist worksteal

test-oldest: $(STAMP) ## Run what asks a database on the oldest PostgreSQL that is here: Debian's, or else the wheel's second
	TL_TEST_POSTGRESQL=oldest $(BIN)/pytest -n 2 --dist worksteal -m database

fuzz: $(STAMP) ## Compare a million random situations with the independent oracle; resumes (SEED=n repeats a run)
	$(BIN)/python -m tests.consent.long $(if $(SEED),--seed $(SEED))

twins: $(STAMP) ## Ask two worlds a million random requests; resumes where it was ended (SEED=n, PROCESSES=n)
	$(BIN)/python -m tests.noninterference.long $(if $(SEED),--seed $(SEED)) $(if $(PROCESSES),--processes $(PROCESSES))

mutants: $(STAMP) ## Delete each condition of the predicate and each policy; print those that no test misses
	$(BIN)/python tools/mutants.py

fuzz-validation: $(STAMP) ## Throw 20,000 broken texts, trees, expressions and profiles at the validator
	TL_FUZZ_EXAMPLES=20000 $(BIN)/pytest -n 0 --timeout 0 tests/fhir_mappings/test_fuzz.py

fuzz-api: $(STAMP) ## Send every operation of the OpenAPI document 600 random requests, sound and unsound (SEED=n repeats)
	@seed=$${SEED:-$$(date +%s)}; echo "seed $$seed"; \
	  TL_API_SEED=$$seed TL_API_EXAMPLES=300 $(BIN)/pytest -n 0 --timeout 0 --show-capture=no tests/docs/test_served_document.py

examples: $(STAMP) ## Send all 5,306 official examples over HTTP (`make test` sends a part of the definitions among them)
	TL_EXAMPLES=all $(BIN)/pytest -n 0 --timeout 0 tests/interactions/test_all_official_examples.py

bench: $(STAMP) ## Load a million resources once, measure, and write bench/RESULTS.md
	$(BIN)/python -m bench

chaos: $(STAMP) ## Kill the service and its PostgreSQL in the midst of 10,000 writes and reads
	TL_CHAOS_WRITES=10000 $(BIN)/pytest -n 0 --timeout 0 tests/chaos

sbom: $(STAMP) ## Write the bill of materials, sbom.json (CycloneDX), from the lock
	$(BIN)/python tools/sbom.py > sbom.json

advisories: $(STAMP) ## Ask for known faults of the locked dependencies (needs uv and a network; says so without)
	@$(UV) tool run pip-audit --requirement requirements.lock --require-hashes --disable-pip \
	  --format json --progress-spinner off 2>/dev/null | $(BIN)/python -m tools.advisories

lock: ## Resolve requirements.lock anew from pyproject.toml (needs uv)
	printf 'hatchling\neditables\n' | $(UV) pip compile pyproject.toml - --extra test \
	  --generate-hashes --universal --python-version 3.11 --quiet \
	  --custom-compile-command 'make lock' -o requirements.lock
	printf 'hatchling\n' | $(UV) pip compile pyproject.toml - -c requirements.lock \
	  --generate-hashes --universal --python-version 3.11 --quiet \
	  --custom-compile-command 'make lock' -o requirements-run.lock

clean: ## Remove the environment, caches and the embedded database
	rm -rf .venv .cache .bench .throughline .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.PHONY: openapi
openapi: $(STAMP) ## Write openapi/openapi.json anew from the registered routes
	@$(BIN)/python -m tools.openapi.document
