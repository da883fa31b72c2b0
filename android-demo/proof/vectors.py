"""What the Python runtime answers, as files that the Kotlin tests read: JSON, and raw bytes in this machine's order."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from damaged import write_damaged
from manifests import BUNDLES, write_manifests
from processing import write_processing
from tasks import write_tasks

from edgestill import zoo
from edgestill_benchmarks.latency import _summarize, _Turns
from edgestill_runtime import ImageProcessor, load, open_bundle
from edgestill_runtime.bundle import unpack_folder
from edgestill_runtime.processing import arrange, look_up, quantize

IMAGES = 200


def write_vectors(bundle: Path, images: np.ndarray, targets: np.ndarray, target: Path) -> None:
    """Everything, anew.

    Args:
        images, targets: test images of the bundle, uint8 (N, H, W, C) and int64 (N,), of which the first 200 are used.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    shutil.copytree(bundle, target / "bundle.edge")
    _tensors(target)
    write_processing(target)
    write_tasks(target)
    _latency(target)
    _answers(bundle, images[:IMAGES], targets[:IMAGES], target)
    write_damaged(bundle, target / "broken")
    write_manifests(bundle, target / "manifests")
    _answers_of_tasks(images[:IMAGES], targets[:IMAGES], target)
    _hears(target)


def broken_count(target: Path) -> int:
    """How many bundles of `write_vectors` lie."""
    return sum(one["error"] != "" for one in json.loads((target / "broken/expected.json").read_text()))


def _tensors(target: Path) -> None:
    generator = np.random.default_rng(0)
    cases = []
    for number, (height, width, mean, std, layout, scale, zero) in enumerate(
        [
            (28, 28, (0.2860,), (0.3530,), "NCHW", None, 0),
            (28, 28, (0.2860,), (0.3530,), "NHWC", 0.0317, -25),
            (5, 7, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "NCHW", 0.01865845, -14),
            (5, 7, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "NHWC", 0.01865845, -14),
            (3, 4, (0.5019607843137255,) * 3, (1.0,) * 3, "NCHW", 1 / 255, 0),
            (3, 4, (0.0, 0.1, 0.2), (1.0, 0.003, 0.2), "NHWC", None, 0),
        ]
    ):
        pixels = generator.integers(0, 256, (height, width, len(mean)), dtype=np.uint8)
        table = ImageProcessor(height, width, mean, std).table()
        if scale is not None:
            table = quantize(table, scale, zero)
        tensor = arrange(look_up(table, pixels[None]), layout)
        (target / f"pixels-{number}.bin").write_bytes(pixels.tobytes())
        (target / f"tensor-{number}.bin").write_bytes(tensor.tobytes())
        case = {"height": height, "width": width, "mean": mean, "std": std, "shape": tensor.shape, "layout": layout}
        cases.append(case | {"dtype": tensor.dtype.name, "scale": scale, "zero_point": zero})
    (target / "tensors.json").write_text(json.dumps(cases))


def _latency(target: Path) -> None:
    times = np.random.default_rng(2).gamma(3, 0.2, 101).tolist()
    turn = _Turns(lambda: None, first=9.0, times=times)
    summary = vars(_summarize(turn, False))
    (target / "latency.json").write_text(json.dumps({"times": times, "summary": summary}))


def _answers(bundle: Path, images: np.ndarray, targets: np.ndarray, target: Path) -> None:
    """Outputs of each file on test images, as its own engine gives them here, and their quality."""
    (target / "images.bin").write_bytes(images.tobytes())
    np.savez_compressed(target / "samples.npz", images=images, targets=targets)
    np.savez_compressed(target / "samples-of-before.npz", images=images, labels=targets)
    quality = {}
    for name, entry in open_bundle(bundle).manifest.models.items():
        precision = "fp32" if entry.precision == "fp32" else "int8"
        with load(bundle, engine=entry.engine, precision=precision) as model:
            outputs = model.outputs_of((images,))
            quality[name] = model.task.quality(outputs, targets)
            (target / f"{name}.outputs").write_bytes(outputs[0].tobytes())
    (target / "quality.json").write_text(json.dumps(quality))


def _answers_of_tasks(images: np.ndarray, targets: np.ndarray, target: Path) -> None:
    """What bundles of other tasks say of test images in words, and samples with targets of theirs."""
    several = {
        "multi-label": np.eye(10, dtype=np.uint8)[targets],
        "regression": (40 + 3 * np.eye(10, dtype=np.float32)[targets]).astype(np.float32),
    }
    said: dict[str, Any] = {}
    for name in BUNDLES:
        np.savez_compressed(target / f"samples-{name}.npz", images=images, targets=several[name])
        with load(target / f"manifests/{name}.edge", engine="litert") as model:
            said[name] = {
                "words": [model.task.describe(model.predict(image)) for image in images],
                "quality": model.task.quality(model.outputs_of((images,)), several[name]),
            }
    (target / "words-of-tasks.json").write_text(json.dumps(said))


def _hears(target: Path) -> None:
    """A bundle that takes recordings, and what it answers to those of `write_processing`."""
    bundle = unpack_folder(zoo.find("spoken-digits"), target / "audio.edge")
    with load(bundle, engine="litert") as model:
        paths = sorted((target / "recordings").glob("*.wav"))
        words = {path.name: model.predict(path, 1)[0].label for path in paths}
    (target / "words.json").write_text(json.dumps(words))
