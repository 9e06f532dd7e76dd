# Set-up and the two commands; everything else is plain Snakemake in the activated environment.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: run test lint lock schema clean
.DEFAULT_GOAL := run

# The lock file names every package with its hash; pip refuses anything else.
$(READY): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Graft needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.11")'
	@start=$$(date +%s); \
	$(PYTHON) -m venv --clear .venv && \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock && \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . && \
	touch $@ && echo "Set-up: $$(( $$(date +%s) - start )) s"

run: $(READY)
	@PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --cores all

test: $(READY)
	$(BIN)/python -m pytest tests/unit -n 2 --dist=loadfile
	$(BIN)/python -m pytest tests/workflow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/mypy
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --lint

# After a change of pyproject.toml; envs/*.yaml follow by hand, and a test says where they differ.
lock: $(READY)
	$(BIN)/uv pip compile pyproject.toml --extra cpu --extra dev --universal --python-version 3.11 \
	  --fork-strategy fewest --generate-hashes --no-emit-index-url --no-header -o requirements.lock

schema: $(READY)
	$(BIN)/python -m graft.schema > graft/study.schema.json

# Not .snakemake: it holds what finished results were made from, without which none of them is ever stale.
clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache
