"""What pays on a GPU: precision, compilation, cached views; the same script runs small on a CPU and says so.

Images/s of the epochs after a first one, which warms up and compiles; the setups run in turns, medians over all epochs.
The pixels of the large pair are random: only the time is measured.

python -m benchmarks.suite.distillation.cuda benchmarks/results/distillation/cuda/bench-cuda.json
"""

import argparse
import json
import statistics
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from edgestill import load_data
from edgestill.cache import cache_outputs
from edgestill.data import Augmentation, Data, Split
from edgestill.models import create_model
from edgestill.objectives import HintonKD
from edgestill.options import TrainOptions
from edgestill.schedule import Precision, Schedule
from edgestill.teachers import CachedTeacher, LiveTeacher
from edgestill.training import train
from edgestill_benchmarks.machine import describe_machine
from edgestill_runtime.processing import ImageProcessor

AUGMENTATION = Augmentation(flip=0.5, shift=2)
SMALL = ("benchmarks.suite.distillation.speed:resnet18", "resnet8")
LARGE = ("timm:resnet50", "timm:mobilenetv2_100")
EPOCHS = 4
PRECISIONS: tuple[Precision, ...] = ("no", "bf16")
# Precision, compiled, cached.
SETUPS: list[tuple[Precision, bool, bool]] = [
    (precision, compiled, cached) for precision in PRECISIONS for compiled in (False, True) for cached in (False, True)
]


def main() -> None:
    """Measure, print a table and write JSON after each pair."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    gpu = torch.cuda.is_available()
    device = torch.cuda.get_device_name() if gpu else "the CPU: no CUDA here, so this is a small run"
    print(f"on {device}, torch {torch.__version__}")
    found: dict[str, Any] = {"device": device, "torch": torch.__version__, "machine": describe_machine(), "pairs": {}}
    small = load_data("fashion-mnist-mini")
    jobs = [("28×28", SMALL, small, 1024 if gpu else 64, 8192 if gpu else 256)]
    if gpu:
        jobs.append(("224×224", LARGE, _random(2048), 256, 2048))
    for name, models, data, batch, images in jobs:
        part = replace(data, train=data.train.take(np.arange(images)), validation=data.validation.take(np.arange(64)))
        found["pairs"][name] = measure(*models, part, batch, arguments.rounds if gpu else 1)
        print(f"\n{name}: {models[0]} → {models[1]}, batch {batch}\n\n{table(found['pairs'][name])}", flush=True)
        arguments.output.write_text(json.dumps(found, indent=2) + "\n")


def measure(teacher: str, student: str, data: Data, batch: int, rounds: int) -> dict[str, list[float]]:
    """Images/s by setup, one for each epoch of each round."""
    classes, channels = len(data.classes), data.processor.channels
    teaching = create_model(teacher, classes, channels).eval().requires_grad_(False)
    speeds: dict[str, list[float]] = {}
    with TemporaryDirectory() as folder:
        views = cache_outputs(teaching, data, 1, Path(folder), augmentation=AUGMENTATION)
        for _ in range(rounds):
            for precision, compiled, cached in SETUPS:
                words = ["fp32" if precision == "no" else precision, *(["compiled"] if compiled else [])]
                name = ", ".join([*words, "cached views" if cached else "live teacher"])
                torch.compiler.reset()  # else the compiler, having met many models, leaves later ones uncompiled
                schedule = Schedule(epochs=EPOCHS, batch_size=batch, views=1, precision=precision, compile=compiled)
                done = train(
                    create_model(student, classes, channels),
                    data,
                    HintonKD(),
                    options=TrainOptions(schedule, augmentation=AUGMENTATION),
                    teacher=CachedTeacher(views, teacher) if cached else LiveTeacher(teaching),
                )
                speeds.setdefault(name, []).extend(epoch["images_per_second"] for epoch in done.history[1:])
    return speeds


def table(speeds: dict[str, list[float]]) -> str:
    """Medians, and their ratio to the plainest setup."""
    plain = statistics.median(speeds["fp32, live teacher"])
    lines = ["| | images/s | times |", "| --- | ---: | ---: |"]
    for name, values in speeds.items():
        median = statistics.median(values)
        lines.append(f"| {name} | {median:,.0f} | {median / plain:.2f} |")
    return "\n".join(lines)


def _random(count: int) -> Data:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (count, 224, 224, 3), dtype=np.uint8)
    split = Split(pixels, generator.integers(0, 1000, count))
    names = tuple(str(number) for number in range(1000))
    table = ImageProcessor(224, 224, (0.5,) * 3, (0.25,) * 3)
    few = split.take(np.arange(64))
    return Data("random", names, split, few, few, few, table, "random")


if __name__ == "__main__":
    main()
