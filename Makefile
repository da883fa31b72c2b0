# edgestill: `make demo` runs the main job, `make test` proves it. Both install what is missing into .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
NATIVE := $(VENV)/.native

# Each worker of the tests has one core: nets this small are no faster on two.
WORKERS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-slow test-all test-sanitized test-environments test-damaged test-tensorflow test-pi pi lint bench bench-runtime \
	bench-converters bench-distillation bench-cuda test-android wheels lock clean

demo: $(READY) $(NATIVE)
	$(BIN)/edgestill run recipes/demo.toml $(DEMO_FLAGS)

test: $(READY) $(NATIVE)
	$(PYTEST) $(PYTEST_FLAGS)

# What takes half a minute and more each: killed runs, flat memory, sweeps. With `test` it is all that needs no tools or environments of its own.
test-slow: $(READY) $(NATIVE)
	$(BIN)/python -m pytest -m slow $(PYTEST_FLAGS)

test-all: test test-slow

# The binding's tests under AddressSanitizer and UndefinedBehaviorSanitizer.
test-sanitized: $(READY)
	PATH="$(abspath $(BIN)):$$PATH" runtime/native/sanitize.sh

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

# Environments of their own, filled from the index: devices of three Python versions, every engine package, foreign files.
test-environments: $(READY) $(NATIVE)
	$(BIN)/python -m pytest -m environments $(PYTEST_FLAGS)

# A thousand damaged copies of each file.
test-damaged: $(READY) $(NATIVE)
	EDGESTILL_DAMAGED=1000 $(BIN)/python -m pytest runtime/tests/test_damaged_files.py $(PYTEST_FLAGS)

# TensorFlow's converter and interpreter, in an environment of their own that is made at first (2 GB, kept in the cache).
test-tensorflow: $(READY) $(NATIVE)
	$(BIN)/python -m pytest -m tensorflow $(PYTEST_FLAGS)

# Raspberry Pi 4 and 5 as emulated user lands, with Debian 12 and 13, in build/pi: `runtime/pi/` says how to use them.
# Debian packages: adb g++-aarch64-linux-gnu gcc mmdebstrap openssh-server qemu-user qemu-user-static; both want root.
pi: $(READY) $(NATIVE)
	$(BIN)/python -m build --wheel --no-isolation --outdir build/pi/wheels .
	$(BIN)/python runtime/native/build_wheel.py aarch64 --output build/pi/wheels
	for board in pi4 pi5; do for suite in bookworm trixie; do \
		PATH="$(abspath $(BIN)):$$PATH" runtime/pi/make_rootfs.sh $(abspath build/pi)/$$board-$$suite $$board $$suite \
			"$$(ls -d $(abspath build/pi/wheels)/edgestill-*.whl)[litert,executorch]" \
			$$(ls -d $(abspath build/pi/wheels)/edgestill_executorch-*.whl) || exit 1; \
	done; done

# ARM code on them: the runtime's tests, deployments over SSH, instructions per inference. The same Debian packages.
test-pi: $(READY) $(NATIVE)
	$(BIN)/python -m pytest -m pi $(PYTEST_FLAGS)

# The Android app without a phone and without Google's repository: compiled, tested, drawn, packed. Needs Java 17, Maven,
# npm, gcc, and the Debian packages aapt apksigner binutils dexdump zipalign.
test-android: $(READY) $(NATIVE)
	$(BIN)/python android-demo/proof/prove.py

bench: $(READY) $(NATIVE)
	$(BIN)/python -m pytest benchmarks/suite --benchmark-autosave --benchmark-storage=.benchmarks

# Our runtime beside the engines' own; some ten minutes.
bench-runtime: $(READY) $(NATIVE)
	$(BIN)/edgestill run recipes/demo.toml
	$(BIN)/python benchmarks/suite/runtime/bench_runtime.py runs/demo/demo.edge $(BENCH_FLAGS)

# Architectures, trained nets, other tools and single operators through the converters; hours, and goes on where it was.
bench-converters: $(READY) $(NATIVE)
	$(BIN)/python -m benchmarks.suite.converters.train_nets runs/nets
	$(BIN)/python -m benchmarks.suite.converters.trained runs/nets runs/converters/trained.json
	$(BIN)/python -m benchmarks.suite.converters.operators runs/converters/operators.json
	$(BIN)/python -m benchmarks.suite.converters.matrix runs/converters/matrix
	$(BIN)/python -m benchmarks.suite.converters.tables runs/converters docs

# Our training loop beside a usual one and torchdistill's; minutes.
bench-distillation: $(READY)
	$(BIN)/uv pip install --quiet --no-deps --target build/torchdistill torchdistill==1.1.5
	$(BIN)/python -m benchmarks.suite.distillation.speed docs/results/distillation-speed.json --torchdistill build/torchdistill

# What precision, compilation and cached views bring on a GPU; without one a small run on the CPU, which says so.
bench-cuda: $(READY)
	$(BIN)/python -m benchmarks.suite.distillation.cuda benchmarks/results/distillation/cuda/bench-cuda.json

# The SDK, and the binding for both architectures (needs Debian's g++-aarch64-linux-gnu).
wheels: $(READY)
	$(BIN)/python -m build --installer uv --outdir dist
	$(BIN)/python runtime/native/build_wheel.py x86_64 --output dist
	$(BIN)/python runtime/native/build_wheel.py aarch64 --output dist

lock: $(READY)
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-package edgestill-executorch --no-header --output-file requirements.lock

# The environment: every package at its locked version and hash, then this project, editable.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; ok = (3, 11) <= v[:2] <= (3, 13); sys.exit(None if ok else f"Edgestill needs Python 3.11-3.13, and {sys.executable} is {v[0]}.{v[1]}. Name another: make PYTHON=python3.13 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	sed -n '/^uv==/,/^    # via/p' requirements.lock > $(VENV)/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/uv.lock
	$(BIN)/uv pip install --python $(BIN)/python --require-hashes --no-deps -r requirements.lock
	$(BIN)/uv pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# The binding to ExecuTorch, from this tree, where there is a compiler for it.
$(NATIVE): $(READY) $(wildcard runtime/native/src/* runtime/native/edgestill_executorch/*.py) runtime/native/CMakeLists.txt runtime/native/pyproject.toml
	@if [ "$$(uname -s)" = Linux ] && command -v c++ >/dev/null; then \
		wheel=$$($(BIN)/python runtime/native/build_wheel.py "$$(uname -m)" --output dist) && \
		$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --reinstall "$$wheel" && echo "built and installed $$wheel"; \
	else \
		echo "edgestill-executorch is not built: that needs Linux and a C++ compiler (c++). ExecuTorch files will run in the official package, which is slower to start."; \
	fi
	@touch $@

clean:
	rm -rf $(VENV) build dist runs
