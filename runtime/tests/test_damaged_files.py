"""Damaged files, seeded. `make test-damaged` tries a thousand of each (EDGESTILL_DAMAGED), this suite a few."""

import os
from collections import Counter

import pytest

from edgestill_benchmarks.damage import KINDS, jobs_here, try_bare, try_in_bundle, try_zip, variants
from edgestill_runtime import model as model_module
from edgestill_runtime import open_bundle

COUNT = int(os.environ.get("EDGESTILL_DAMAGED", "36"))
FILES = ("model.tflite", "model.pte")


def test_variants_repeat_and_differ(bundle_path):
    content = open_bundle(bundle_path).read("model.tflite")
    first, second = list(variants(content, 60)), list(variants(content, 60))
    assert first == second and {variant.kind for variant in first} == KINDS.keys()
    assert len({variant.content for variant in first} | {content}) == 61


@pytest.fixture
def no_engine(monkeypatch):
    def refuse(*words):
        raise AssertionError("an engine was called")

    monkeypatch.setattr(model_module, "load_engine", refuse)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.timeout(1800)
def test_in_a_bundle_all_are_refused_and_no_engine_is_reached(bundle_path, no_engine, file):
    assert try_in_bundle(open_bundle(bundle_path), file, COUNT) == Counter(refused=COUNT)


@pytest.mark.timeout(1800)
def test_a_damaged_zip_is_refused_or_holds_what_it_held(bundle_path, no_engine):
    found = try_zip(open_bundle(bundle_path), COUNT)
    assert found["refused"] + found["answered as before"] == COUNT
    assert found["refused"] > COUNT // 2


@pytest.mark.parametrize("file", FILES)
@pytest.mark.timeout(1800)
def test_bare_and_isolated_none_harms_this_process(bundle_path, file):
    """This process survives, every child ends, and each ending has its own exception class."""
    content = open_bundle(bundle_path).read(file)
    found = try_bare(content, file.removeprefix("model"), COUNT, jobs=jobs_here())
    assert sum(counter.total() for counter in found.values()) == COUNT
    together = sum(found.values(), Counter())
    print(file, dict(together))
    assert together["refused"] > 0
