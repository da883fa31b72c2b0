"""Folders of runs that need no training: one of schema version 1 as it was made, and what other tasks would make.

`version-1/` is a real `edgestill run recipes/demo.toml --quick` of schema version 1 without its bundle. The runs of
other tasks are that run with the outputs of invented models, whose measures and details are those of the real task.
"""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from edgestill_benchmarks.migration import migrate_measurement
from edgestill_benchmarks.results import read_results
from edgestill_runtime.tasks import task_of

VERSION_1 = Path(__file__).parent / "version-1"
TEST = 2000
# How far a model's outputs are from what is right.
ERRORS = {"teacher": 0.2, "student_alone": 0.5, "student_distilled": 0.35, "int8": 0.38}


@pytest.fixture
def version_1(tmp_path):
    """A copy of a run's folder as schema version 1 had it, with a device's measurement."""
    return Path(shutil.copytree(VERSION_1, tmp_path / "version-1"))


@pytest.fixture(scope="session")
def multi_label_run(tmp_path_factory):
    """A run of multi-label-classification: what the images show."""
    labels = ("garment", "shoe", "sleeves", "bright", "bag")
    task = task_of("multi-label-classification", labels, {"thresholds": [0.5, 0.5, 0.4, 0.5, 0.5]})
    images, classes = _samples()
    bright = images.mean(axis=(1, 2, 3)) > 80
    shown = np.stack([classes < 5, np.isin(classes, (5, 7, 9)), np.isin(classes, (2, 4, 6)), bright, classes == 8], 1)
    rest = np.random.default_rng(1).random((TEST - len(shown), len(labels))) < (0.5, 0.3, 0.3, 0.4, 0.1)
    targets = np.concatenate([shown, rest]).astype(np.int64)
    return _made_run(tmp_path_factory, task, targets, 4.0 * (targets - 0.5), 4.0)


@pytest.fixture(scope="session")
def regression_run(tmp_path_factory):
    """A run of regression: width and height in millimetres, and a share without unit."""
    settings = {"mean": [18, 22, 0.3], "std": [6, 5, 0.15], "units": ["mm", "mm", ""], "tolerance": [3, 3, 0.1]}
    task = task_of("regression", ("width", "height", "brightness"), settings)
    images, _ = _samples()
    seen = images[..., 0] > 40
    sizes = [[np.ptp(np.flatnonzero(one.any(axis))) + 1 for axis in (0, 1)] for one in seen]
    shown = np.column_stack([np.array(sizes), images.mean(axis=(1, 2, 3)) / 255])
    normal = np.random.default_rng(1).standard_normal((TEST - len(shown), 3))
    targets = np.concatenate([shown, task.mean + task.std * normal])
    return _made_run(tmp_path_factory, task, targets, (targets - task.mean) / task.std, 1.0)


def _samples():
    with np.load(VERSION_1 / "samples.npz") as arrays:
        return arrays["images"], arrays["labels"]


def _made_run(factory, task, targets, right, spread):
    """The folder of a run: outputs are `right` and noise of `spread` times the model's error."""
    folder = factory.mktemp(task.name) / "run"
    shutil.copytree(VERSION_1, folder)
    generator = np.random.default_rng(0)
    noise = generator.standard_normal((2, *right.shape))
    outputs = {}
    for who, error in ERRORS.items():
        # Student and quantized student err alike, as they do in fact; the teacher in its own way.
        mixed = noise[0] if who == "teacher" else noise[1] + 0.1 * generator.standard_normal(right.shape)
        outputs[who] = [(right + spread * error * mixed).astype(np.float32)]
    results = _made_results(read_results(VERSION_1), task, targets, outputs)
    count = len(results["shown"])
    images, _ = _samples()
    kept = {name: outputs[who][0][:count] for name, who in _PREDICTIONS.items()}
    np.savez(folder / "samples.npz", images=images, targets=targets[:count], **kept)
    (folder / "results.json").write_text(json.dumps(results))
    board = json.loads((VERSION_1 / "devices/board.json").read_text())
    board = _made_measurement(migrate_measurement(board, ()), task, targets, outputs)
    (folder / "devices/board.json").write_text(json.dumps(board))
    return folder


_PREDICTIONS = {"teacher": "teacher", "student": "student_distilled", "int8": "int8"}


def _made_results(results, task, targets, outputs):
    main = task.measures[0].name
    quality = {who: task.quality(predicted, targets) for who, predicted in outputs.items()}
    measures = [asdict(one) for one in task.measures]
    described = {"name": task.name, "measures": measures, "same_answer": task.same_answer, "settings": task.settings}
    results |= {"name": task.name, "task": described}
    results["data"] |= {"name": "invented", "labels": list(task.labels), "test": TEST}
    for who in ("teacher", "student_alone", "student_distilled"):
        results[who]["quality"] = quality[who]
    for file in results["files"]:
        file["quality"] = quality["student_distilled" if file["precision"] == "fp32" else "int8"]
        file["retained"] = file["quality"][main] / quality["teacher"][main]
    names = {
        "teacher": "teacher",
        "student_distilled": "student_distilled",
        "model.pte": "int8",
        "model.tflite": "int8",
    }
    distilled, alone = outputs["student_distilled"], outputs["student_alone"]
    results |= {
        "retained": quality["student_distilled"][main] / quality["teacher"][main],
        "gain": quality["student_distilled"][main] - quality["student_alone"][main],
        "gain_standard_error": task.standard_error(distilled, alone, targets),
        "details": {name: task.details(outputs[who], targets) for name, who in names.items()},
    }
    results["conversion"]["quantization"] |= {"float_quality": quality["student_distilled"][main]}
    results["conversion"]["quantization"]["attempts"][0]["quality"] = quality["int8"][main]
    results["conversion"]["gate"] |= {"quality": {}, "findings": []}
    texts = {name: [task.describe(one) for one in task.answer(outputs[who])] for name, who in _PREDICTIONS.items()}
    truth = [task.describe(one) for one in task.answer([_as_outputs(task, targets)])]
    same = task.same([_as_outputs(task, targets)], outputs["int8"])
    results["shown"] = [
        {"truth": truth[row], **{name: one[row] for name, one in texts.items()}, "right": bool(same[row])}
        for row in range(len(_samples()[0]))
    ]
    return results


def _made_measurement(measurement, task, targets, outputs):
    """100 samples on a board that answers as the host does, but for one."""
    for file in measurement["files"]:
        predicted = outputs["student_distilled" if file["precision"] == "fp32" else "int8"]
        file["quality"] = task.quality([predicted[0][:100]], targets[:100])
    first, other = (task.describe(one) for one in task.answer([outputs["int8"][0][7:9]]))
    measurement["answers"] = {"model.tflite": {"agreement": 0.99, "difference": 0.5, "differ": [[7, first, other]]}}
    return measurement | {"device": "board"}


def _as_outputs(task, targets):
    """Outputs whose predictions are the targets."""
    return 20.0 * (targets - 0.5) if task.name == "multi-label-classification" else (targets - task.mean) / task.std
