"""Edgestill: distil a large PyTorch model into a small int8 one, and know exactly what that cost.

One command does the main job, from a recipe to a measured bundle and a report:

    edgestill run recipes/demo.toml

The same in Python, step by step; every name below can be used alone:

    import edgestill as es

    data    = es.load_data("fashion-mnist")
    teacher = es.load_teacher("resnet8_l", data, checkpoint="teacher.safetensors")
    student = es.create_student("dscnn_s", data)
    result  = es.distill(teacher, student, data, objective=es.objectives.DIST(), epochs=30)
    bundle  = es.convert(result.student, data, output="fashion.edge")

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
    from edgestill_converters import ConversionOptions

    from . import data, models, objectives, tasks
    from .conversion import convert
    from .data import Augmentation, Data, DataOptions, ImageSource, Split, load_data
    from .distillation import Distilled, distill
    from .models import create_model, create_student, load_checkpoint, save_checkpoint
    from .options import DistillOptions, TrainOptions
    from .quantization import Budget, quantize
    from .recipe import Recipe, load_recipe
    from .schedule import Schedule
    from .tasks import find_task
    from .teacher_loading import TeacherInputs, load_teacher
    from .training import train
    from .workflow.run import Run, run

# Name → the module that has it.
_HOMES = {
    "Augmentation": ".data",
    "Budget": ".quantization",
    "ConversionOptions": "edgestill_converters",
    "Data": ".data",
    "DataOptions": ".data",
    "DistillOptions": ".options",
    "Distilled": ".distillation",
    "ImageSource": ".data",
    "Recipe": ".recipe",
    "Run": ".workflow.run",
    "Schedule": ".schedule",
    "Split": ".data",
    "TeacherInputs": ".teacher_loading",
    "TrainOptions": ".options",
    "convert": ".conversion",
    "create_model": ".models",
    "create_student": ".models",
    "data": ".data",
    "distill": ".distillation",
    "find_task": ".tasks",
    "load_checkpoint": ".models",
    "load_data": ".data",
    "load_recipe": ".recipe",
    "load_teacher": ".teacher_loading",
    "models": ".models",
    "objectives": ".objectives",
    "quantize": ".quantization",
    "run": ".workflow.run",
    "save_checkpoint": ".models",
    "tasks": ".tasks",
    "train": ".training",
}

__all__ = [
    "Augmentation",
    "Budget",
    "ConversionOptions",
    "Data",
    "DataOptions",
    "DistillOptions",
    "Distilled",
    "EdgestillError",
    "ImageSource",
    "MissingExtraError",
    "Recipe",
    "Run",
    "Schedule",
    "Split",
    "TeacherInputs",
    "TrainOptions",
    "__version__",
    "convert",
    "create_model",
    "create_student",
    "data",
    "distill",
    "find_task",
    "load_checkpoint",
    "load_data",
    "load_recipe",
    "load_teacher",
    "models",
    "objectives",
    "quantize",
    "run",
    "save_checkpoint",
    "tasks",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgestill' has no attribute {name!r}")
    try:
        home = importlib.import_module(_HOMES[name], __name__)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("edgestill"):
            raise
        raise MissingExtraError(error.name, "all") from error
    return home if home.__name__ == f"{__name__}.{name}" else getattr(home, name)


def __dir__() -> list[str]:
    return __all__
