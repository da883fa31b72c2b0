"""Tasks, the host part: one file each. The device part, `edgestill_runtime.tasks`, decodes the outputs.

    task = find_task("image-classification")            # or "module:Class", with options={…}
    data = load_data("image-folder:photos", task=task)

    image-classification          a folder for each class, or a column of labels; softmax
    multi-label-classification    a table of tags beside the samples, or a column of lists; sigmoid
    regression                    a table of numbers beside the samples, or columns of them

A custom task is a subclass of `Task`; docs/tasks.md shows one.
"""

from collections.abc import Mapping
from typing import Any

from ..errors import RecipeError, nearest
from ..user_code import import_class
from .base import Guess, Targets, Task, options_of
from .columns import Columns
from .image_classification import ImageClassification
from .multi_label_classification import MultiLabelClassification
from .regression import Regression

__all__ = [
    "TASKS",
    "Columns",
    "Guess",
    "ImageClassification",
    "MultiLabelClassification",
    "Regression",
    "Targets",
    "Task",
    "find_task",
]

TASKS: dict[str, type[Task]] = {
    kind.device.name: kind for kind in (ImageClassification, MultiLabelClassification, Regression)
}


def find_task(name: str | Task, options: Mapping[str, Any] | None = None) -> Task:
    """A task by its name in a recipe, or `module:Class`.

    Args:
        options: keyword arguments of its class; ignored for a `Task` object.

    Raises:
        RecipeError: no such task, no such option, or code that cannot be imported.
    """
    if isinstance(name, Task):
        return name
    return options_of(find_class(name), options or {})


def find_class(name: str) -> type[Task]:
    """The class of a task; see `find_task`."""
    if name in TASKS:
        return TASKS[name]
    if not isinstance(name, str) or ":" not in name:
        raise RecipeError(f"unknown task {name!r}{nearest(str(name), [*TASKS, 'module:Class'])}")
    kind: type[Task] = import_class(name, Task, "task")  # type: ignore[type-abstract]
    return kind
