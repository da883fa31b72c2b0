"""The host part of a task: reading targets, training objectives, and checks of models."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgestill_runtime import InputError
from edgestill_runtime import Task as DeviceTask
from edgestill_runtime.tasks import Outputs as Arrays

from ..errors import DataError, ModelError, RecipeError, nearest
from ..objectives import OBJECTIVES, Objective, Outputs
from ..objectives.base import assumes_of
from .columns import Columns
from .labels import few

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Targets:
    """The targets of all splits.

    Args:
        splits: (N, …) by name of the split. names: along the last axis of the outputs, such as classes.
        notes: automatic changes to the data, one line each.
    """

    splits: Mapping[str, NDArray[Any]]
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Guess:
    """The quality of a model's outputs compared with guessing.

    Args:
        quality, chance: the main measure of the outputs, and of guessing. near: whether the difference is not
            significant.
        reason: a hint from the outputs about the cause; may be empty.
    """

    quality: float
    chance: float
    near: bool
    reason: str = ""


class Task(ABC):
    """The host part of a task. Its keyword arguments are the keys of `[task_options]` in a recipe.

    A custom task is a subclass, named `module:Class` in the recipe. `device` is its device part, which decodes outputs,
    measures quality and compares predictions; see `edgestill_runtime.tasks`.
    """

    device: ClassVar[type[DeviceTask]]
    outputs: ClassVar[tuple[str, ...]] = ("logits",)
    """Names of what a model returns: one tensor, or a tuple or mapping of several."""
    assumes: ClassVar[str] = ""
    """The kind of its targets; objectives that use targets must assume the same: see `Objective.assumes`."""
    objectives: ClassVar[Mapping[str, type[Objective]]] = {}
    """Objectives that only this task has, by their name in a recipe."""
    names_word: ClassVar[str] = "outputs"
    """Word for its names in messages: `classes`."""
    targets_word: ClassVar[str] = "targets"
    """Word for its targets in messages: `labels`."""
    of_folders: ClassVar[bool] = False
    """Whether the folder of a sample is its target; else a table beside the samples has the targets."""
    least_names: ClassVar[int] = 1
    augmentations: ClassVar[tuple[str, ...] | None] = None
    """Default augmentation; None: the default of the kind of data."""
    columns: tuple[str, ...] = ()
    """Columns of a table that hold the targets; empty: chosen by `find_columns`."""

    @property
    def name(self) -> str:
        """Its name in recipes and manifests."""
        return self.device.name

    # Data.

    def target_columns(self, columns: Columns, where: str) -> tuple[str, ...]:
        """Which columns of a table are targets.

        Args:
            columns: of the train split, without those that name the sample or its split.

        Raises:
            DataError: there is none, or a requested column is missing; lists the columns.
        """
        for name in self.columns:
            if name not in columns:
                raise DataError(f"{where} has no column {name!r}{nearest(name, columns)}")
        return self.columns or self.find_columns(columns, where)

    def columns_note(self, chosen: Sequence[str], columns: Columns, where: str) -> list[str]:
        """A message about which columns were chosen as targets, if the user named none."""
        others = [name for name in columns if name not in chosen]
        if self.columns or not (others or len(chosen) > 1):
            return []
        left = f"; {few(others)} {'is' if len(others) == 1 else 'are'} not read" if others else ""
        read = f"{where}: {self.targets_word} are read from {few(chosen)}{left}"
        return [f"{read}. `columns` under [task_options] says others"]

    def find_columns(self, columns: Columns, where: str) -> tuple[str, ...]:
        """Choose the target columns if the user named none; default: all of them."""
        return tuple(columns)

    @abstractmethod
    def read_targets(self, splits: Mapping[str, Columns], names: Sequence[str], where: str) -> Targets:
        """Columns of a data format → targets.

        Args:
            splits: columns by split, including `train`. names: as stated by the data; empty: derived from train.
            where: for messages.

        Raises:
            DataError: cells that are no valid targets of this task; names the sample.
        """

    @abstractmethod
    def labelled(self, targets: NDArray[Any]) -> NDArray[np.bool_]:
        """bool (N,): the samples whose target is known."""

    @abstractmethod
    def without(self, targets: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[Any]:
        """A copy of the targets in which those outside the mask `known` are unknown."""

    @abstractmethod
    def unknown(self, count: int, names: Sequence[str]) -> NDArray[Any]:
        """Targets of `count` unlabelled samples."""

    @abstractmethod
    def strata(self, targets: NDArray[Any]) -> NDArray[np.int64]:
        """int64 (N,), from 0: groups for the stratified split. Every target is known."""

    @abstractmethod
    def reordered(self, targets: NDArray[Any], places: NDArray[np.int64]) -> NDArray[Any]:
        """The targets after name i became name places[i]."""

    @abstractmethod
    def text(self, target: Any, names: Sequence[str]) -> str:
        """A sample's target, in a few words."""

    def check_names(self, names: Sequence[str], where: str) -> None:
        """Refuse data with too few names.

        Raises:
            DataError: states how many there are, and how many are needed.
        """
        if len(names) < self.least_names:
            raise DataError(f"{where} has {len(names)} {self.names_word}; {self.least_names} or more are needed")

    def thin(self, targets: NDArray[Any], names: Sequence[str], word: str) -> list[str]:
        """Warnings about a split, called `word` in messages, that is too small."""
        return []

    def check_measurable(self, targets: NDArray[Any], word: str) -> None:
        """Refuse targets of a split, called `word`, for which the measures are undefined, before training.

        Raises:
            DataError: states the reason.
        """
        return

    def summary(self, targets: NDArray[Any], names: Sequence[str]) -> dict[str, Any]:
        """Statistics of a split's targets for `edgestill data`, as plain data."""
        return {}

    def warnings(self, targets: NDArray[Any], names: Sequence[str]) -> list[str]:
        """Warnings about train targets that are hard to learn from, such as imbalanced classes."""
        return []

    def advice(self, kind: str, names: Sequence[str]) -> list[str]:
        """Advice for the recipe, given these names; `kind` of the samples is `image` or `audio`."""
        return []

    # Training.

    def settings(self, targets: NDArray[Any], names: Sequence[str]) -> dict[str, Any]:
        """Settings of the device part, as plain data; `targets` are the known ones of train."""
        return {}

    def conversion_settings(self, targets: NDArray[Any], names: Sequence[str]) -> dict[str, Any]:
        """Settings for a model that was trained elsewhere and is only converted here."""
        return self.settings(targets, names)

    def other_outputs(self, trained: Settings, own: Settings) -> str:
        """Why a model that was trained with other settings has outputs on another scale; empty if it does not."""
        return ""

    def on_device(self, names: Sequence[str], settings: Settings, scores: Any = "logits") -> DeviceTask:
        """The device part for these names.

        Raises:
            RecipeError: invalid settings.
        """
        try:
            return self.device(names, settings, scores)
        except InputError as error:
            raise RecipeError(f"task {self.name}: {error}") from error

    @abstractmethod
    def encode(self, targets: NDArray[Any], names: Sequence[str], settings: Settings) -> NDArray[np.float32]:
        """float32 (N, …): the targets for the objectives. Mixup blends them like the images."""

    @abstractmethod
    def default_objective(self, method: str) -> Objective:
        """The objective of a recipe that names none.

        Args:
            method: `alone` (the targets), `teacher`, `generations`, `together`, or `int8` (training with fake
                quantization against the float model).
        """

    def check_objective(self, objective: Objective) -> None:
        """Refuse an objective that does not fit the targets of this task, before any training.

        Raises:
            ModelError: names it, and the objectives that fit.
        """
        for one in assumes_of(objective):
            if one and one != self.assumes:
                raise ModelError(
                    f"{type(objective).__name__} is for {one}, and the targets of {self.name} are "
                    f"{self.assumes or 'of another kind'}; objectives that fit: {', '.join(self.fitting())}"
                )

    def fitting(self) -> list[str]:
        """Names of the objectives that fit."""
        own = {**OBJECTIVES, **self.objectives}
        return sorted(name for name, kind in own.items() if getattr(kind, "assumes", "") in ("", self.assumes))

    def combine(self, members: Sequence[Outputs], targets: Tensor, method: str) -> Outputs:
        """Combine the outputs of several teachers; default: their mean.

        Raises:
            ModelError: this task does not support the method.
        """
        if method != "average":
            raise ModelError(f'teachers of {self.name} are combined by their mean: combine = "average", not {method!r}')
        tensors = {name: torch.stack([one.tensors[name] for one in members]).mean(0) for name in members[0].tensors}
        return Outputs(tensors, members[0].features)

    def check_outputs(self, outputs: Outputs, names: Sequence[str], who: str, data: str, learning: bool) -> None:
        """Refuse a model whose outputs for one sample do not fit the data.

        Args:
            who: `student` or `teacher`. data: name of the data. learning: the model will learn or teach.

        Raises:
            ModelError: states both shapes.
        """
        shape = tuple(outputs.logits.shape)
        if shape != (1, len(names)):
            raise ModelError(
                f"the {who}'s output for one image has shape {shape}, but {data} has {len(names)} {self.names_word}, "
                f"which needs (1, {len(names)}); teacher, student and data must have the same {self.names_word}"
            )

    # Quality of a model.

    @abstractmethod
    def against_chance(self, device: DeviceTask, outputs: Arrays, targets: NDArray[Any]) -> Guess:
        """Whether outputs are better than guessing; `device` is the device part, with the names of the data."""

    def right(self, device: DeviceTask, outputs: Arrays, targets: NDArray[Any]) -> NDArray[np.bool_]:
        """bool (N,): whether the prediction of a sample is correct; a report shows errors first."""
        return np.array([
            device.describe(prediction) == self.text(target, device.labels)
            for prediction, target in zip(device.answer(outputs), targets, strict=True)
        ], np.bool_)  # fmt: skip

    def fitting_targets(self, targets: Any, shapes: Sequence[tuple[int, ...]]) -> tuple[NDArray[Any] | None, str]:
        """Targets in the form that fits outputs of these shapes, or None and the reason."""
        array = np.asarray(targets)
        if len(shapes) != 1:
            return None, f"the model has {len(shapes)} outputs, and the targets do not state which one they are for"
        if array.ndim == 1:
            array = array[:, None]
        if array.shape != shapes[0]:
            return None, f"targets {array.shape} do not fit outputs {shapes[0]}"
        return array, ""


def options_of(kind: type[Task], options: Mapping[str, Any]) -> Task:
    """A task with the options of a recipe.

    Raises:
        RecipeError: an unknown option (suggests the nearest), or an invalid value.
    """
    known = [name for name in inspect.signature(kind).parameters if name not in ("args", "kwargs")]
    for name in options:
        if name not in known:
            raise RecipeError(f"task {kind.device.name} has no option {name!r}{nearest(name, known)}")
    try:
        return kind(**options)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"task {kind.device.name}: {error}") from error
