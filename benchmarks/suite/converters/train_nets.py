"""Train the nets of the converters' benchmark on real data; each continues where it was stopped.

An existing checkpoint is used unchanged, such as a run's student.

python -m benchmarks.suite.converters.train_nets runs/nets
"""

import argparse
from pathlib import Path

from edgestill import load_data, save_checkpoint, train
from edgestill.cli.console import TerminalProgress
from edgestill.data import Augmentation, Data, DataOptions
from edgestill.models import create_model
from edgestill.objectives import CrossEntropy
from edgestill.options import TrainOptions
from edgestill.schedule import Schedule
from edgestill.training import quality_of

from .nets import CIFAR10

HERE = "benchmarks.suite.converters.nets"
# Name → data, model, epochs. Learning rate and lengths are the house's usual ones; nothing was chosen on test.
NETS = {
    "cifar10-resnet8": (CIFAR10, "resnet8", 10),
    "fashion-mnist-resnet8": ("fashion-mnist", "resnet8", 6),
    "fashion-mnist-dscnn_s": ("fashion-mnist", "dscnn_s", 10),
    "fashion-mnist-mobilenetv2": ("fashion-mnist", f"{HERE}:mobilenetv2", 5),
    "cifar10-dscnn_m": (CIFAR10, "dscnn_m", 10),
    "cifar10-mobilenetv2": (CIFAR10, f"{HERE}:mobilenetv2", 24),
    "cifar10-mobilenetv3": (CIFAR10, f"{HERE}:mobilenetv3", 8),
}


def main() -> None:
    """Train every net that has no checkpoint yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    loaded: dict[str, Data] = {}
    for name, (source, model, epochs) in NETS.items():
        target = arguments.folder / f"{name}.safetensors"
        if target.is_file():
            continue
        data = loaded.get(source) or loaded.setdefault(source, load_data(source, options=DataOptions(calibration=512)))
        trained = train(
            create_model(model, len(data.classes), data.processor.channels),
            data,
            CrossEntropy(),
            options=TrainOptions(
                Schedule(epochs=epochs, views=0),
                augmentation=Augmentation.parse(("flip", "shift:2" if data.processor.height == 28 else "shift:4")),
                folder=arguments.folder / name,
                label=name,
            ),
            progress=TerminalProgress(),
        ).model
        facts = {
            "model": model,
            "data": data.describe(),
            "validation": quality_of(trained, data.validation, data)["accuracy"],
        }
        save_checkpoint(target, trained, facts)
        print(name, facts["validation"], flush=True)


if __name__ == "__main__":
    main()
