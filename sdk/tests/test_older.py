"""What was made before there were tasks: recipes and bundles of that time, as they were committed then.

`older/` has the recipes; the zoo's bundles and the app's are of that time too (format version 3).
"""

import json
import shutil
import zipfile
from pathlib import Path

import pytest
import torch

from edgestill import load_recipe, zoo
from edgestill.objectives import Outputs, create_objective
from edgestill_benchmarks import Rule, measure
from edgestill_runtime import load, open_bundle, replay_golden

HERE = Path(__file__).parent
RECIPES = HERE.parents[1] / "recipes"
DEMO = HERE.parents[1] / "android-demo/app/src/main/assets/demo.edge"
BUNDLES = {"demo": DEMO} | {one.name: one.path for one in zoo.entries()}


@pytest.mark.parametrize("path", sorted((HERE / "older").glob("*.toml")), ids=lambda path: path.stem)
def test_a_recipe_says_what_it_said(path, tmp_path):
    copies = (shutil.copy(one, tmp_path / name) for name, one in (("a.toml", path), ("b.toml", RECIPES / path.name)))
    older, today = (load_recipe(copy).model_dump() for copy in copies)  # paths in them are of the same folder
    assert older["task"] == "image-classification"
    student, teacher = torch.randn(2, 4, 10, generator=torch.Generator().manual_seed(0))
    losses = [
        create_objective(one["distillation"].pop("objective"))(Outputs(student), Outputs(teacher), torch.eye(10)[:4])
        for one in (older, today)
    ]
    assert losses[0] == losses[1]
    assert older == today


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_is_read_run_and_measured(name):
    bundle = open_bundle(BUNDLES[name])
    path = zipfile.Path(bundle.path) if bundle.path.is_file() else bundle.path
    assert json.loads((path / "manifest.json").read_text())["format_version"] == 3
    assert bundle.manifest.task == "image-classification"
    assert all(replay.passed for replay in replay_golden(bundle))
    measured = measure(bundle, 1, Rule(min_calls=2, min_seconds=0))
    assert [one.file for one in measured.files] == list(bundle.manifest.models)
    assert all(one.latency_ms.p50 > 0 for one in measured.files)
    with load(BUNDLES[name]) as model:
        best = model.predict(bundle.golden().inputs[0][0])[0]
    assert best.label in bundle.manifest.labels
