"""Results name files by what they are: engine and precision, never by a name that a bundle happens to use."""

import json
from dataclasses import replace

import pytest

from edgestill.cli.run import summary
from edgestill.data import load_data
from edgestill.outputs import read_outputs
from edgestill.recipe import load_recipe
from edgestill.workflow.results import ModelOutputs, RunOutputs, assemble
from edgestill_benchmarks.results import check_results
from edgestill_runtime import open_bundle, write_bundle


def renamed(bundle, folder, precisions, names):
    """The same bundle with other precisions and file names."""
    models = {
        names.get(name, name): replace(entry, precision=precisions.get(entry.precision, entry.precision))
        for name, entry in bundle.manifest.models.items()
    }
    contents = {names.get(name, name): bundle.read(name) for name in bundle.files}
    manifest = replace(bundle.manifest, models=models)
    return write_bundle(folder / "other.edge", manifest, contents)


@pytest.fixture
def outputs(quick_run, bundle_path, root, tmp_path, monkeypatch):
    """What the stages of a finished run of another kind left."""
    # What is inside a file takes seconds to find and draw, and is the converters' to test.
    inside = {"delegated_macs": 1.0, "pieces": 1, "conversions": 0, "transposes": 0, "picture": "graphs/x.svg"}
    monkeypatch.setattr("edgestill.workflow.results._look_inside", lambda outputs, name: inside)

    def made(precisions, names):
        measured = json.loads((quick_run / "stages/measurement/measurement.json").read_text())
        for file in measured["files"]:
            file["file"] = names.get(file["file"], file["file"])
        found = read_outputs(quick_run / "stages/evaluation/logits.npz")
        data, recipe = load_data("fashion-mnist-mini"), load_recipe(root / "recipes/demo.toml").shortened()
        seeds = {"teacher": 7, "student_alone": 3, "student_distilled": 3}
        return RunOutputs(
            folder=tmp_path,
            recipe=json.loads(recipe.model_dump_json()),
            quick=recipe.quick,
            data=data,
            models={
                name: ModelOutputs("net", {"parameters": 10, "macs": 10}, {"seed": seed, "cuda": "NVIDIA H100"}, [])
                for name, seed in seeds.items()
            },
            outputs={names.get(name, name): given for name, given in found.items()},
            bundle=renamed(open_bundle(bundle_path), tmp_path, precisions, names),
            gate=json.loads((quick_run / "stages/gate/gate.json").read_text()),
            measurement=measured,
        )

    return made


@pytest.mark.parametrize(
    ("precisions", "names"),
    [
        ({"int8": "mixed"}, {}),  # layers were kept in float
        ({}, {"model.pte": "net.pte", "model.tflite": "net.tflite"}),
    ],
    ids=["mixed", "renamed"],
)
def test_results_of_any_precision_and_names(outputs, precisions, names):
    done = outputs(precisions, names)
    results = assemble(done)
    check_results(results)
    files = done.bundle.manifest.deployable()
    assert set(results["details"]) == {"teacher", "student_distilled", *files.values()}
    assert all(sum(map(sum, one["confusion"])) == len(done.data.test) for one in results["details"].values())
    assert summary(results).row_count == 7


def test_seed_and_gpu_are_those_of_each_training(outputs):
    results = assemble(outputs({}, {}))
    assert results["teacher"]["seed"] == 7 and results["student_distilled"]["seed"] == 3
    assert results["machine"]["cuda"] == results["teacher"]["cuda"] == "NVIDIA H100"


def test_what_is_deployed_is_the_quantized_file_or_else_the_only_one(bundle_path):
    manifest = open_bundle(bundle_path).manifest
    assert manifest.deployable() == {"executorch": "model.pte", "litert": "model.tflite"}
    floats = {name: entry for name, entry in manifest.models.items() if entry.precision == "fp32"}
    assert replace(manifest, models=floats).deployable() == {
        "executorch": "model.fp32.pte", "litert": "model.fp32.tflite"
    }  # fmt: skip
    one = {"model.tflite": manifest.models["model.tflite"]}
    assert replace(manifest, models=one).deployable() == {"litert": "model.tflite"}
