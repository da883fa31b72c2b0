"""Times of operators, from the engines' own profilers."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from edgestill_benchmarks import benchmark, operators
from edgestill_benchmarks.operators import profile_bundle
from edgestill_runtime import Model, open_bundle


@pytest.fixture(scope="module")
def profiles(bundle_path):
    return profile_bundle(open_bundle(bundle_path))


def test_every_file_tells_its_operators(profiles):
    assert profiles.keys() == {"model.pte", "model.tflite", "model.fp32.pte", "model.fp32.tflite"}
    for file, profile in profiles.items():
        assert profile.why_not is None and profile.runs >= 5, (file, profile)
        total = sum(one.us for one in profile.operators)
        # The whole is what the engine counts around the operators.
        assert 0 < total <= profile.call_us, file


def test_both_engines_compute_the_same_layers(profiles):
    # dscnn_s: five convolutions in space, four of them depthwise, and four of 1 × 1; XNNPACK computes the latter and
    # the classifier as fully connected.
    for file, profile in profiles.items():
        names = [one.name for one in profile.operators]
        assert sum("Convolution" in name for name in names) == 5, (file, names)
        assert sum("DWConv" in name for name in names) == 4, (file, names)
        assert sum("Fully Connected" in name for name in names) == 5, (file, names)
        assert all(("F32" in name) == ("fp32" in file) for name in names if "Conv" in name), (file, names)
        assert not any("#" in name for name in names)


def test_the_command_prints_them(bundle_path):
    command = [sys.executable, "-m", "edgestill_benchmarks", "operators", str(bundle_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert len(found["model.tflite"]["operators"]) >= 11 and found["model.pte"]["call_us"] > 0


def test_a_file_whose_shapes_vary_says_why_not(bundle_path, monkeypatch):
    class Varying(Model):
        def __init__(self, *arguments, **named):
            super().__init__(*arguments, **named)
            self.inputs = tuple(replace(spec, dynamic=(0,)) for spec in self.inputs)

    monkeypatch.setattr(operators, "Model", Varying)
    for profile in profile_bundle(open_bundle(bundle_path)).values():
        assert (profile.operators, profile.call_us) == ((), None) and "shapes vary" in profile.why_not


def test_a_crashing_profiler_does_not_stop_the_benchmark(bundle_path, monkeypatch):
    whole = benchmark._child

    def child(words, on_progress=None):
        if words[0] == "operators":
            words = ("operators", "/nowhere.edge")
        return whole(words, on_progress)

    monkeypatch.setattr(benchmark, "_child", child)
    bundle = open_bundle(bundle_path)
    found = benchmark._profiles(bundle)
    assert found.keys() == bundle.manifest.models.keys()
    for profile in found.values():
        assert not profile["operators"] and "/nowhere.edge" in profile["why_not"]
