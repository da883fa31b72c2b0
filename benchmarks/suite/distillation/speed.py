"""Training speed: our loop with cached views, the same loop with a live teacher, a usual loop, and torchdistill's own.

Same teacher, student, batch and images, in one process and in turns; images/s are medians over the rounds. Writing the
cache is measured beside it: it is paid once.

python -m benchmarks.suite.distillation.speed docs/results/distillation-speed.json --torchdistill build/torchdistill
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision.transforms import v2

from edgestill import load_data
from edgestill.cache import cache_outputs
from edgestill.data import Augmentation, Data
from edgestill.models import create_model
from edgestill.objectives import HintonKD, Outputs
from edgestill.options import TrainOptions
from edgestill.schedule import Schedule
from edgestill.teachers import CachedTeacher, LiveTeacher, Teacher
from edgestill.training import default_device, train
from edgestill_benchmarks.machine import describe_machine

AUGMENTATION = Augmentation(flip=0.5, shift=2)
BATCH = 128
# Name → data, teacher, student, images a round.
PAIRS = {
    "demo: resnet8_m → dscnn_s": ("fashion-mnist-mini", "resnet8_m", "dscnn_s", 2560),
    "ResNet-18 → resnet8": ("fashion-mnist-mini", "benchmarks.suite.distillation.speed:resnet18", "resnet8", 768),
}
Loop = Callable[[], float]


def resnet18(num_classes: int, in_channels: int) -> nn.Module:
    """timm's resnet18 as everybody uses it for small images: a 3×3 stem that keeps the size, and no first pooling."""
    import timm

    model: nn.Module = timm.create_model("resnet18", num_classes=num_classes, in_chans=in_channels)
    model.conv1 = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
    model.maxpool = nn.Identity()
    return model


def main() -> None:
    """Measure every pair and write JSON and a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--torchdistill", type=Path, help="folder that torchdistill is installed into")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    if arguments.torchdistill:
        sys.path.append(str(arguments.torchdistill))
    found: dict[str, Any] = {"machine": describe_machine(), "threads": torch.get_num_threads(), "pairs": {}}
    for name, (source, teacher, student, images) in PAIRS.items():
        found["pairs"][name] = measure(source, teacher, student, images, arguments)
        print(name, json.dumps(found["pairs"][name]), flush=True)
    arguments.output.write_text(json.dumps(found, indent=2) + "\n")
    print(table(found))


def measure(source: str, teacher: str, student: str, images: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Images/s of each loop, by rounds."""
    whole = load_data(source)
    data = replace(whole, train=whole.train.take(np.arange(images)), validation=whole.validation.take(np.arange(64)))
    channels = data.processor.channels
    create = partial(create_model, student, len(data.classes), channels)
    teaching = create_model(teacher, len(data.classes), channels).eval().requires_grad_(False)
    with TemporaryDirectory() as folder:
        started = time.perf_counter()
        views = cache_outputs(teaching, data, 1, Path(folder), augmentation=AUGMENTATION)
        caching = images / (time.perf_counter() - started)
        loops: dict[str, Loop] = {
            "cached views": lambda: ours(create(), data, CachedTeacher(views, teacher)),
            "live teacher": lambda: ours(create(), data, LiveTeacher(teaching)),
            "usual loop": lambda: usual(create(), data, teaching),
        }
        if arguments.torchdistill:
            loops["torchdistill"] = lambda: torchdistill(create(), data, teaching)
        speeds: dict[str, list[float]] = {name: [] for name in loops}
        for number in range(arguments.rounds + 1):
            for name, loop in loops.items():
                speed = loop()
                if number:  # the first round warms up
                    speeds[name].append(speed)
    return {"writing the cache": caching, **speeds}


def ours(student: nn.Module, data: Data, teacher: Teacher) -> float:
    """One epoch of `edgestill.training.train`."""
    schedule = Schedule(epochs=1, batch_size=BATCH, views=1)
    done = train(student, data, HintonKD(), options=TrainOptions(schedule, augmentation=AUGMENTATION), teacher=teacher)
    return done.history[0]["images_per_second"]


class Images(Dataset[tuple[torch.Tensor, int]]):
    """A data set as most scripts have it: one image at a time, transformed by torchvision."""

    def __init__(self, data: Data) -> None:
        self.pixels = torch.from_numpy(data.train.images).permute(0, 3, 1, 2)
        self.labels = data.train.targets
        table = data.processor
        self.transform = v2.Compose(
            [
                v2.RandomCrop(table.height, padding=AUGMENTATION.shift),
                v2.RandomHorizontalFlip(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(table.mean, table.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.pixels[row]), int(self.labels[row])


def usual(student: nn.Module, data: Data, teacher: nn.Module) -> float:
    """A loop as tutorials have it: DataLoader, teacher without gradient, student, KD."""
    device = default_device()
    student, teacher = student.to(device).train(), teacher.to(device).eval()
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3)
    loader = DataLoader(Images(data), BATCH, shuffle=True, drop_last=True)
    objective, classes, started = HintonKD(), len(data.classes), time.perf_counter()
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        with torch.no_grad():
            said = teacher(images)
        targets = nn.functional.one_hot(labels, classes).float()
        loss = objective(Outputs(student(images)), Outputs(said), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
    return len(loader) * BATCH / (time.perf_counter() - started)


def torchdistill(student: nn.Module, data: Data, teacher: nn.Module) -> float:
    """torchdistill's distillation box, configured as in its own examples of KD."""
    from torchdistill.common.constant import def_logger
    from torchdistill.core.distillation import get_distillation_box

    def_logger.setLevel("ERROR")
    at_output = {"module_path": ".", "module_io": "output"}
    loss = {f"{who}_{key}": value for who in ("student", "teacher") for key, value in at_output.items()}
    loss |= {"temperature": 4.0, "alpha": 0.1, "reduction": "batchmean"}
    config = {
        "num_epochs": 1,
        "train_data_loader": {
            "dataset_id": "train",
            "sampler": {"class_or_func": RandomSampler, "kwargs": {}},
            "kwargs": {"batch_size": BATCH, "drop_last": True, "num_workers": 0},
        },
        "teacher": {"forward_proc": "forward_batch_only", "requires_grad": False},
        "student": {"forward_proc": "forward_batch_only"},
        "optimizer": {"key": "AdamW", "kwargs": {"lr": 1e-3}},
        "criterion": {
            "key": "WeightedSumLoss",
            "kwargs": {"sub_terms": {"kd": {"criterion": {"key": "KDLoss", "kwargs": loss}, "weight": 1.0}}},
        },
    }
    device = default_device()
    box = get_distillation_box(
        teacher.to(device), student.to(device), {"train": Images(data)}, config, device, None, False, 1.0
    )
    box.pre_epoch_process(epoch=0)
    started = time.perf_counter()
    for images, labels, extra in box.train_data_loader:
        images, labels = images.to(device), labels.to(device)
        box.pre_forward_process()
        step = box.forward_process(images, labels, extra)
        box.post_forward_process(step)
        step.item()
    return len(box.train_data_loader) * BATCH / (time.perf_counter() - started)


def table(found: dict[str, Any]) -> str:
    """Medians, and their ratios to the live teacher."""
    lines = []
    for name, speeds in found["pairs"].items():
        medians = {
            loop: statistics.median(values) if isinstance(values, list) else values for loop, values in speeds.items()
        }
        lines += ["", f"{name}", "", "| | images/s | times the live teacher |", "| --- | ---: | ---: |"]
        lines += [
            f"| {loop} | {speed:,.0f} | {speed / medians['live teacher']:.2f} |" for loop, speed in medians.items()
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
