"""Many architectures through the converter: does it convert, do the files agree, is int8 faster?

    python -m benchmarks.suite.converters.matrix runs/converters/matrix            # the missing ones; hours at first
    python -m benchmarks.suite.converters.matrix runs/converters/matrix --latency  # times again, on a quiet machine

One JSON file and one bundle for each architecture, so that it continues where it was stopped.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgestill_converters import ConversionOptions

CALIBRATION, EVALUATION = 16, 64
OURS = ("dscnn_xs", "dscnn_s", "dscnn_m", "resnet8", "resnet8_m")
CONVOLUTIONAL = (
    "timm:resnet18", "timm:resnet50", "timm:mobilenetv2_100", "timm:mobilenetv3_small_100",
    "timm:mobilenetv4_conv_small", "timm:efficientnet_lite0", "timm:efficientnet_b0", "timm:ghostnet_100",
    "timm:repvit_m1", "timm:regnetx_002", "timm:mnasnet_100", "torchvision:shufflenet_v2_x1_0",
    "torchvision:squeezenet1_1", "timm:densenet121",
)  # fmt: skip
OTHERS = (
    "timm:convnext_atto", "timm:mobilevit_s", "timm:edgenext_xx_small", "timm:fastvit_t8", "timm:vit_tiny_patch16_224",
    "timm:deit_tiny_patch16_224",
)  # fmt: skip
TENSORS = ("audio_cnn", "token_encoder")
ALL = (*OURS, *TENSORS, *CONVOLUTIONAL, *OTHERS)


def main() -> None:
    """Convert the architectures that are missing, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", default=ALL, help="architectures (default: all)")
    parser.add_argument("--latency", action="store_true", help="measure the latency of every bundle again")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.one:
        row = remeasure(arguments.one, arguments.folder) if arguments.latency else make(arguments.one, arguments.folder)
        path(arguments.one, arguments.folder, ".json").write_text(json.dumps(row, indent=1) + "\n")
        return
    for name in arguments.only:
        if path(name, arguments.folder, ".json").exists() != arguments.latency:
            continue
        started = time.perf_counter()
        flags = ["--latency"] * arguments.latency
        command = [sys.executable, "-m", __spec__.name, str(arguments.folder), "--one", name, *flags]
        with open(path(name, arguments.folder, ".log"), "wb") as log:
            done = subprocess.run(command, stdout=log, stderr=log, check=False)
        print(
            f"{name:32} {'done' if done.returncode == 0 else 'FAILED'} {time.perf_counter() - started:7.1f} s",
            flush=True,
        )


def path(name: str, folder: Path, suffix: str) -> Path:
    """A file of one architecture."""
    return folder / (name.replace(":", "-") + suffix)


def make(name: str, folder: Path) -> dict[str, Any]:
    """Convert one architecture and inspect the files."""
    from edgestill.models import multiply_accumulates, parameters
    from edgestill_converters import ConversionError, Description, convert
    from edgestill_runtime import open_bundle

    model, calibration, evaluation, processor = prepare(name)
    count = parameters(model)
    shape = () if processor is None else (processor.channels, processor.height, processor.width)
    macs = multiply_accumulates(model, shape) if shape else 0
    description = Description(name, (), processor, count, macs, {})
    begun, steps = time.perf_counter(), []
    earlier = path(name, folder, ".edge")
    fp32_baseline = open_bundle(earlier) if earlier.exists() else None
    try:
        bundle = convert(
            model,
            calibration,
            description,
            path(name, folder, ".edge"),
            options=ConversionOptions(log=path(name, folder, ".exporters.log"), fp32_baseline=fp32_baseline),
            overwrite=True,
            on_step=lambda step: steps.append((step, round(time.perf_counter() - begun, 1))),
        )
    except ConversionError as error:
        return {"name": name, "parameters": count, "macs": macs, "failed": str(error).replace(str(folder), "…")}
    row = {"name": name, "parameters": count, "macs": macs, "rewrites": bundle.manifest.training["rewrites"]}
    # The fp32 files of an earlier bundle are used again: they take half of the conversion's time.
    row |= {"fp32_reused": fp32_baseline is not None, "seconds": round(time.perf_counter() - begun, 1), "steps": steps}
    row |= compare(bundle, evaluation) | {"files": look_inside(bundle)}
    return row | {"latency_ms": measure_bundle(bundle)}


def remeasure(name: str, folder: Path) -> dict[str, Any]:
    """The same row with new times."""
    from edgestill_runtime import open_bundle

    row: dict[str, Any] = json.loads(path(name, folder, ".json").read_text())
    if "failed" not in row:
        row["latency_ms"] = measure_bundle(open_bundle(path(name, folder, ".edge")))
    return row


def prepare(name: str) -> tuple[Any, Any, Any, Any]:
    """(model, calibration, evaluation, processor): real images, enlarged, for image models; noise for others."""
    import timm
    import torch
    import torchvision

    from edgestill.models import create_model
    from edgestill_runtime import ImageProcessor

    from .nets import AudioNet, TokenNet, randomize

    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    total = CALIBRATION + EVALUATION
    if name in TENSORS:
        if name == "audio_cnn":
            data = (generator.normal(0, 0.3, (total, 1, 8000)).astype(np.float32),)
            model = AudioNet()
        else:
            data, model = (generator.integers(0, 1000, (total, 64)),), TokenNet()
        return randomize(model), [one[:CALIBRATION] for one in data], [one[CALIBRATION:] for one in data], None
    kind, _, rest = name.partition(":")
    if kind == "timm":
        model = timm.create_model(rest)
        size, mean, std = model.default_cfg["input_size"][1], model.default_cfg["mean"], model.default_cfg["std"]
    elif kind == "torchvision":
        model, size, mean, std = getattr(torchvision.models, rest)(), 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    else:
        model, size, mean, std = create_model(name, 10, 1), 28, (0.286,), (0.353,)
    images = pictures(total, size, len(mean))
    processor = ImageProcessor(size, size, tuple(mean), tuple(std))
    return randomize(model), images[:CALIBRATION], images[CALIBRATION:], processor


def pictures(count: int, size: int, channels: int) -> Any:
    """Real images that ship with the SDK, uint8 (N, size, size, channels); channels differ from each other."""
    from PIL import Image

    from edgestill import load_data

    images = load_data("fashion-mnist-mini").calibration(count).images[..., 0]
    if size != images.shape[1]:
        images = np.stack(
            [np.asarray(Image.fromarray(one).resize((size, size), Image.Resampling.BICUBIC)) for one in images]
        )
    return np.stack([images, 255 - images[:, ::-1], images // 2 + 60][:channels], axis=-1)


def compare(bundle: Any, samples: Any) -> dict[str, Any]:
    """Agreement of the two int8 files, and their similarity to fp32, over all outputs."""
    from edgestill_benchmarks import open_models
    from edgestill_runtime.tasks.image_classification import same_class

    outputs = {}
    for name, model in open_models(bundle, 2).items():
        with model:
            outputs[name] = model.outputs_of([samples] if bundle.manifest.processor else samples)[0]
    pte, tflite = outputs["model.pte"], outputs["model.tflite"]
    step = bundle.manifest.models["model.tflite"].outputs[0].scale or np.abs(tflite).max() / 128
    return {
        "agreement": float(same_class(pte, tflite).mean()),
        "identical": float((np.abs(pte - tflite) < step / 2).mean()),
        "largest_steps": float(np.abs(pte - tflite).max() / step),
        "cosine": {
            name: cosine(outputs[name], outputs[name.replace("model.", "model.fp32.")])
            for name in ("model.pte", "model.tflite")
        },
        "fp32_difference": float(np.abs(outputs["model.fp32.pte"] - outputs["model.fp32.tflite"]).max()),
    }  # fmt: skip


def cosine(found: Any, reference: Any) -> float:
    """Mean over samples of the cosine of the angle between outputs, each without its mean."""
    a, b = (one.reshape(len(one), -1).astype(np.float64) for one in (found, reference))
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(1) / np.maximum(lengths, 1e-12)).mean())


def look_inside(bundle: Any) -> dict[str, Any]:
    """Size, delegation and operators outside the delegate, for each file."""
    from edgestill_converters.inspection import inspect_bytes

    found = {}
    for name, entry in bundle.manifest.models.items():
        seen = inspect_bytes(bundle.read(name), entry.engine, name)
        found[name] = {
            "bytes": seen.bytes, "delegated_macs": seen.delegated_macs, "partitions": seen.partitions,
            "transposes": seen.transposes, "conversions": seen.conversions, "float_macs": seen.float_macs,
            "counts": seen.counts, "outside": sorted({one.name for one in seen.outside}),
        }  # fmt: skip
    return found


def measure_bundle(bundle: Any, min_seconds: float = 2.0) -> dict[str, Any]:
    """p50 and minimum of every file at one thread, in turns; in a process that does nothing else."""
    from edgestill_benchmarks import Rule, measure

    measured = measure(bundle, 1, Rule(min_calls=20, min_seconds=min_seconds))
    return {one.file: {"p50": one.latency_ms.p50, "min": one.latency_ms.min} for one in measured.files}


def rows(folder: Path, names: Sequence[str] = ALL) -> list[dict[str, Any]]:
    """The rows that exist, in order."""
    files = [path(name, folder, ".json") for name in names]
    return [json.loads(file.read_text()) for file in files if file.is_file()]


if __name__ == "__main__":
    main()
