"""Train the teachers of the tables in docs/distillation.md: minutes on a GPU, many hours on a CPU.

Each goes on where it was stopped; recipes/teachers/ has what came out.

python -m benchmarks.suite.distillation.teachers runs/teachers
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from edgestill import load_data, save_checkpoint, train
from edgestill.cli.console import TerminalProgress
from edgestill.data import Augmentation
from edgestill.models import create_model
from edgestill.objectives import CrossEntropy
from edgestill.options import TrainOptions
from edgestill.schedule import Schedule

MODEL = "resnet14x4"
# Name → source, epochs, pixels of shift.
TEACHERS = {"fashion-mnist": ("fashion-mnist", 30, 2), "cifar10-jpeg": ("parquet:cifar10-jpeg", 40, 4)}
SCHEDULE = Schedule(batch_size=256, learning_rate=5e-3, weight_decay=0.05, warmup_epochs=2.0, ema=0.998)


def main() -> None:
    """Train every teacher that has no checkpoint yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", choices=TEACHERS)
    arguments = parser.parse_args()
    for name, (source, epochs, shift) in TEACHERS.items():
        target = arguments.folder / f"{name}.safetensors"
        if target.is_file() or arguments.only not in (None, name):
            continue
        data = load_data(source)
        trained = train(
            create_model(MODEL, len(data.classes), data.processor.channels),
            data,
            CrossEntropy(),
            options=TrainOptions(
                replace(SCHEDULE, epochs=epochs),
                augmentation=Augmentation(flip=0.5, shift=shift, cutout=8, mixup=0.2),
                folder=arguments.folder / name,
                label=name,
            ),
            progress=TerminalProgress(),
        )
        facts = {
            "model": MODEL,
            "classes": list(data.classes),
            "processor": data.processor.to_json(),
            "data": data.describe(),
            "seed": 0,
            "validation": trained.history[-1]["validation"],
        }
        save_checkpoint(target, trained.model, facts, torch.float16)
        print(name, facts["validation"], flush=True)


if __name__ == "__main__":
    main()
