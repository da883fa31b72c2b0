"""What the outputs of a model mean: one file per task, with numpy only.

    task = task_of(manifest.task, manifest.labels, manifest.task_settings, manifest.scores)
    predictions = task.answer(outputs)             # one per sample: what `Model.predict` returns
    task.quality(outputs, targets)                 # {"accuracy": 0.91}
    task.agreement(outputs, other_outputs)         # share of samples with the same prediction

    task                          target                   prediction
    image-classification          one label                labels with probabilities, best first
    multi-label-classification    any number of labels     labels at or above their threshold
    regression                    one or several values    values in units of the target
    tensors                       unknown                  none

A custom task is a subclass of `Task`: `load(path, task=MyTask)`. Manifests are untrusted, so they cannot name a class
to import.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    from .base import Measure, Outputs, Scores, Task

__all__ = ["TASKS", "Measure", "Outputs", "Task", "shown_quality", "task_class", "task_of"]

TASKS = {
    "image-classification": "ImageClassification",
    "multi-label-classification": "MultiLabelClassification",
    "regression": "Regression",
    "tensors": "Tensors",
}
"""Name of each task of this package → its class, in the module of the same name."""


def task_class(name: str) -> "type[Task] | None":
    """The class of a task by its name; None for an unknown one. Only the file of this task is imported."""
    if name not in TASKS:
        return None
    found: type[Task] = getattr(import_module(f".{name.replace('-', '_')}", __name__), TASKS[name])
    return found


def task_of(
    name: str,
    labels: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    scores: "Scores" = "logits",
    custom: "type[Task] | None" = None,
) -> "Task":
    """The task of a bundle, from the fields of its manifest.

    Args:
        name: of the task. labels, settings, scores: see `Task`.
        custom: class of a task that this package does not have.

    Raises:
        InputError: `custom` is the class of another task, or a setting is unknown or invalid.
    """
    if custom is not None and custom.name != name:
        raise InputError(f"the bundle's task is {name!r}, not {custom.name!r}, which {custom.__name__} is for")
    kind = custom or task_class(name)
    if kind is None:
        from .tensors import UnknownTask

        return UnknownTask(name)
    return kind(labels, settings, scores)


def shown_quality(task: str, quality: Mapping[str, float]) -> list[str]:
    """Texts such as `accuracy 91.30 %`, one per measure; for unknown tasks without units."""
    kind = task_class(task)
    known = {one.name: one for one in kind.measures} if kind else {}
    return [f"{name} {known[name].show(value) if name in known else f'{value:.4g}'}" for name, value in quality.items()]


def __getattr__(name: str) -> Any:
    """Names that loading a bundle does not need are imported on first access."""
    if name in ("Measure", "Outputs", "Task"):
        return getattr(import_module(".base", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
