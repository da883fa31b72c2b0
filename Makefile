# edgestill: `make demo` runs the main job, `make test` proves it. Both install what is missing into .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint bench wheels lock clean

demo: $(READY)
	$(BIN)/edgestill run recipes/demo.toml $(DEMO_FLAGS)

test: $(READY)
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python -m pytest benchmarks/suite --benchmark-autosave --benchmark-storage=.benchmarks

wheels: $(READY)
	$(BIN)/python -m build --installer uv --outdir dist

lock: $(READY)
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --output-file requirements.lock

# The environment: every package at its locked version and hash, then this project, editable.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; ok = (3, 11) <= v[:2] <= (3, 13); sys.exit(None if ok else f"Edgestill needs Python 3.11-3.13, and {sys.executable} is {v[0]}.{v[1]}. Name another: make PYTHON=python3.13 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	sed -n '/^uv==/,/^    # via/p' requirements.lock > $(VENV)/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/uv.lock
	$(BIN)/uv pip install --python $(BIN)/python --require-hashes --no-deps -r requirements.lock
	$(BIN)/uv pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

clean:
	rm -rf $(VENV) dist runs
