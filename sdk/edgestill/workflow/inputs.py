"""Inputs of several stages: models, files and data, each with an identity for their keys (`key.py`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgestill_runtime.errors import reason
from edgestill_runtime.files import sha256_of_file

from ..data import Data
from ..errors import EdgestillError
from ..models.registry import code_of
from ..tasks import Task
from .key import identity
from .stage import Finished


@dataclass(frozen=True)
class NamedModel:
    """A model by name, and the code that defines it: the file of a factory, timm's version; see `code_of`."""

    name: str
    code: str


def named_model(name: str) -> NamedModel:
    """A model with the current code behind its name."""
    return NamedModel(name, code_of(name))


@dataclass(frozen=True)
class TrainedModel:
    """A model with the weights in `model.safetensors` of a finished stage.

    Args:
        seed: that it was created with, for what a model draws at random and does not save.
    """

    model: NamedModel
    stage: Finished
    seed: int = 0

    @property
    def checkpoint(self) -> Path:
        """Its weights."""
        return self.stage.folder / "model.safetensors"


@dataclass(frozen=True)
class File:
    """A file of the user's: the same content is the same input, whatever its path."""

    path: Path
    digest: str


def read_file(path: Path, what: str) -> File:
    """A file as it is now.

    Args:
        what: for the message.

    Raises:
        EdgestillError: it cannot be read.
    """
    try:
        return File(path, sha256_of_file(path))
    except OSError as error:
        raise EdgestillError(f"{what} {path} cannot be read: {reason(error)}") from error


@identity.register
def _file(value: File) -> list[str]:
    return ["file", value.digest]


@dataclass(frozen=True)
class GivenTeacher:
    """A teacher that comes as a checkpoint; `weights` to `image_size` as of `edgestill.load_teacher`."""

    model: NamedModel
    checkpoint: File
    weights: str | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int | None


AnyTeacher = GivenTeacher | TrainedModel


def _code_of_task(task: Task) -> str:
    """The code that a task depends on: the file of a custom task."""
    kind = type(task)
    return "" if kind.__module__.startswith("edgestill.") else code_of(f"{kind.__module__}:{kind.__qualname__}")


@dataclass(frozen=True)
class NamedObjective:
    """An objective as a recipe writes it, see `create_objective`, and the code of custom ones."""

    tables: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    code: Mapping[str, str]


def named_objective(tables: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None) -> NamedObjective | None:
    """An objective with its current code; None: the task's default."""
    if tables is None:
        return None
    kinds = [str(one.get("kind")) for one in ([tables] if isinstance(tables, Mapping) else tables)]
    return NamedObjective(tables, {kind: code_of(kind) for kind in kinds if ":" in kind})


@identity.register
def _data(value: Data) -> list[Any]:
    task = [value.task.name, _code_of_task(value.task), dict(value.task_settings)]
    return ["data", value.describe(), task, value.processor.to_json()]


def without_calibration(data: Data) -> Data:
    """The data for a stage that does not calibrate: its key does not depend on the number of calibration samples."""
    return replace(data, calibration_split=data.train.take(np.arange(0)))
