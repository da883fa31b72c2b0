"""Train the demo's teacher on the complete Fashion-MNIST and store it as float16.

    EDGESTILL_DATA=… python sdk/tools/train_demo_teacher.py          # about 3 minutes on 2 cores; goes on when stopped

It learns from the train cut of the complete set (seed 0): validation, calibration and test images are new to it.
"""

from pathlib import Path

import torch

import edgestill as es
from edgestill.cli.console import TerminalProgress
from edgestill.objectives import CrossEntropy
from edgestill.training import quality_of

MODEL = "resnet8_m"
TARGET = Path(__file__).parents[2] / "recipes" / "teachers" / "fashion-mnist.safetensors"
SCHEDULE = es.Schedule(epochs=3, learning_rate=4e-3, weight_decay=0.05, ema=0.99)
AUGMENTATION = es.Augmentation.parse(["flip", "shift:2"])


def main() -> None:
    data = es.load_data("fashion-mnist")
    teacher = es.train(
        es.create_model(MODEL, num_classes=len(data.classes)),
        data,
        CrossEntropy(),
        options=es.TrainOptions(
            SCHEDULE, augmentation=AUGMENTATION, folder=Path("runs") / "demo-teacher", label="demo teacher"
        ),
        progress=TerminalProgress(),
    ).model
    metadata = {
        "model": MODEL,
        "classes": list(data.classes),
        "processor": data.processor.to_json(),
        "data": data.describe(),
        "validation": quality_of(teacher, data.validation, data)["accuracy"],
    }
    es.save_checkpoint(TARGET, teacher, metadata, dtype=torch.float16)
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes, validation accuracy {metadata['validation']:.2%}")


if __name__ == "__main__":
    main()
