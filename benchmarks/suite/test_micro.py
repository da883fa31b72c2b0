"""Micro-benchmarks: where the time of one classification goes. `make bench`; compare two saved runs with

    .venv/bin/pytest-benchmark --storage=.benchmarks compare

They convert a student of their own first (about half a minute), or take the bundle that EDGESTILL_BUNDLE names.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from edgestill_runtime import load, open_bundle

ENGINES = ("litert", "executorch")


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    if path := os.environ.get("EDGESTILL_BUNDLE"):
        return open_bundle(path)
    import edgestill as es

    data = es.load_data()
    output = Path(tmp_path_factory.mktemp("suite")) / "student.edge"
    return es.convert(es.create_student("dscnn_s", data), data.calibration(64), output)


@pytest.fixture(params=ENGINES)
def model(request, bundle):
    with load(bundle, engine=request.param) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def image(bundle):
    return bundle.golden().inputs[0][0]


def test_open_and_verify(benchmark, bundle):
    benchmark(lambda: open_bundle(bundle.path).verify())


@pytest.mark.parametrize("engine", ENGINES)
def test_load(benchmark, bundle, engine):
    load(bundle, engine=engine).close()  # the import is paid once
    benchmark(lambda: load(bundle, engine=engine).close())


def test_preprocessing(benchmark, model, image):
    benchmark(model.tensor, image)


def test_engine_alone(benchmark, model, image):
    """The engine below our face: no checks, no lock."""
    tensor = model.tensor(image)
    benchmark(model._engine.run, [tensor])


def test_invoke(benchmark, model, image):
    """Our face over the raw engine: shape, dtype and finiteness are checked, a lock is taken."""
    tensor = model.tensor(image)
    benchmark(model.invoke, tensor)


def test_logits(benchmark, model, image):
    """Pixels to logits."""
    result = benchmark(model.logits, image)
    assert np.isfinite(result).all()


def test_predict(benchmark, model, image):
    """Pixels to labelled scores."""
    assert benchmark(model.predict, image)[0].label in model.labels
