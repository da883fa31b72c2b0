"""Edgestill: distil a large PyTorch model into a small int8 one, and know exactly what that cost.

One command does the main job, from a recipe to a measured bundle and a report:

    edgestill run recipes/demo.toml

The same in Python, step by step; every name below can be used alone:

    import edgestill as es

    data    = es.load_data("fashion-mnist")
    teacher = es.load_teacher("resnet8_l", checkpoint="teacher.safetensors")
    student = es.create_student("dscnn_s", num_classes=10)
    result  = es.distill(teacher, student, data, objective=es.objectives.DIST(), epochs=30)
    bundle  = es.convert(result.student, calibration=data.calibration(256), output="fashion.edge")

and on the device, where numpy and an engine are enough:

    from edgestill_runtime import load
    load("fashion.edge").predict(image)

Names are looked up on first use, so that `import edgestill` costs nothing and works without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .errors import EdgestillError, MissingExtraError
from .version import __version__

if TYPE_CHECKING:
    from . import data, models, objectives
    from .conversion import convert
    from .data import Augmentation, Data, ImageSource, Split, load_data
    from .distillation import Distilled, distill
    from .models import create_model, create_student, load_checkpoint, save_checkpoint
    from .recipe import Recipe, load_recipe
    from .schedule import Schedule
    from .teachers import load_teacher
    from .training import train
    from .workflow.run import Run, run

_HOMES = {
    "Augmentation": "data",
    "Data": "data",
    "Distilled": "distillation",
    "ImageSource": "data",
    "Recipe": "recipe",
    "Run": "workflow.run",
    "Schedule": "schedule",
    "Split": "data",
    "convert": "conversion",
    "create_model": "models",
    "create_student": "models",
    "data": "data",
    "distill": "distillation",
    "load_checkpoint": "models",
    "load_data": "data",
    "load_recipe": "recipe",
    "load_teacher": "teachers",
    "models": "models",
    "objectives": "objectives",
    "run": "workflow.run",
    "save_checkpoint": "models",
    "train": "training",
}

__all__ = [
    "Augmentation",
    "Data",
    "Distilled",
    "EdgestillError",
    "ImageSource",
    "MissingExtraError",
    "Recipe",
    "Run",
    "Schedule",
    "Split",
    "__version__",
    "convert",
    "create_model",
    "create_student",
    "data",
    "distill",
    "load_checkpoint",
    "load_data",
    "load_recipe",
    "load_teacher",
    "models",
    "objectives",
    "run",
    "save_checkpoint",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgestill' has no attribute {name!r}")
    try:
        home = importlib.import_module(f".{_HOMES[name]}", __name__)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("edgestill"):
            raise
        raise MissingExtraError(error.name, "all") from error
    return home if home.__name__ == f"{__name__}.{name}" else getattr(home, name)


def __dir__() -> list[str]:
    return __all__
