"""Tasks, the host half: one file each. What outputs mean is said by the device half, `edgestill_runtime.tasks`.

task = find_task("image-classification")            # or "module:Class", with options={…}
data = load_data("image-folder:photos", task=task)

image-classification          a folder for each class, or a column of labels; softmax
multi-label-classification    a table of tags beside the samples, or a column of lists; sigmoid
regression                    a table of numbers beside the samples, or columns of them
"""

import importlib
from collections.abc import Mapping
from typing import Any

from ..errors import EdgestillError, RecipeError, nearest, one_line
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
    """A task by its word in a recipe, or `module:Class`.

    Args:
        options: keyword arguments of its class; those of a task that is there already stay.

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
    module, colon, attribute = name.partition(":") if isinstance(name, str) else ("", "", "")
    if not colon:
        raise RecipeError(f"unknown task {name!r}{nearest(str(name), [*TASKS, 'module:Class'])}")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except EdgestillError:
        raise
    except Exception as error:  # importing runs code of the user's own
        raise RecipeError(f"task {name} cannot be imported: {one_line(error)}") from error
    if not (isinstance(found, type) and issubclass(found, Task)):
        raise RecipeError(f"{name} must be a class derived from edgestill.tasks.Task, not {found!r:.60}")
    return found
