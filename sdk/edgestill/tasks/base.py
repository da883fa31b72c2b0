"""What every task has on the host: targets from data, what is learnt from them, and what can be said of a teacher."""

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
    """What is right for each sample of each split.

    Args:
        splits: (N, …) by name of the split. names: of what the outputs' last axis holds, such as classes.
        notes: what was done with the data that nobody asked for, a line each.
    """

    splits: Mapping[str, NDArray[Any]]
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Guess:
    """What a model's outputs are worth beside guessing.

    Args:
        quality, chance: the main measure of the outputs, and of guessing. near: whether the two cannot be told apart.
        reason: what the outputs look like, where that tells something; may be empty.
    """

    quality: float
    chance: float
    near: bool
    reason: str = ""


class Task(ABC):
    """The host half of a task. Its keyword arguments are the keys of `[task_options]` in a recipe.

    A task of your own is a subclass, named `module:Class` in the recipe. `device` is its other half, which says what
    outputs mean, how good they are, and when two answers are the same; see `edgestill_runtime.tasks`.
    """

    device: ClassVar[type[DeviceTask]]
    outputs: ClassVar[tuple[str, ...]] = ("logits",)
    """Names of what a model returns: one tensor, or a tuple or mapping of several."""
    assumes: ClassVar[str] = ""
    """What its targets are, which an objective that looks at them must assume too: see `Objective.assumes`."""
    objectives: ClassVar[Mapping[str, type[Objective]]] = {}
    """Objectives of this task alone, by the word for them in a recipe."""
    names_word: ClassVar[str] = "outputs"
    """What its names name: `classes`."""
    targets_word: ClassVar[str] = "targets"
    """What its targets are called: `labels`."""
    of_folders: ClassVar[bool] = False
    """Whether the folder that a sample lies in is its target; else a table beside the samples says it."""
    least_names: ClassVar[int] = 1
    augmentations: ClassVar[tuple[str, ...] | None] = None
    """What a student sees where a recipe says nothing; None: the default of the kind of data."""
    columns: tuple[str, ...] = ()
    """Columns of a table that are its targets, where somebody said which; else `find_columns` does."""

    @property
    def name(self) -> str:
        """The word for it in recipes and manifests."""
        return self.device.name

    # Data.

    def target_columns(self, columns: Columns, where: str) -> tuple[str, ...]:
        """Which columns of a table are targets.

        Args:
            columns: of the train split, without those that name the sample or its split.

        Raises:
            DataError: none is, or one that was asked for is not there; says what there is.
        """
        for name in self.columns:
            if name not in columns:
                raise DataError(f"{where} has no column {name!r}{nearest(name, columns)}")
        return self.columns or self.find_columns(columns, where)

    def columns_note(self, chosen: Sequence[str], columns: Columns, where: str) -> list[str]:
        """A line about the columns that are targets and those that are not, where nobody said which."""
        others = [name for name in columns if name not in chosen]
        if self.columns or not (others or len(chosen) > 1):
            return []
        left = f"; {few(others)} {'is' if len(others) == 1 else 'are'} not read" if others else ""
        read = f"{where}: {self.targets_word} are read from {few(chosen)}{left}"
        return [f"{read}. `columns` under [task_options] says others"]

    def find_columns(self, columns: Columns, where: str) -> tuple[str, ...]:
        """The same where nobody said which: here all of them."""
        return tuple(columns)

    @abstractmethod
    def read_targets(self, splits: Mapping[str, Columns], names: Sequence[str], where: str) -> Targets:
        """What a format found → targets.

        Args:
            splits: columns by split, `train` among them. names: where the data say them; else found in train.
            where: for messages.

        Raises:
            DataError: cells that are no targets of this task; says which sample.
        """

    @abstractmethod
    def labelled(self, targets: NDArray[Any]) -> NDArray[np.bool_]:
        """bool (N,): the samples whose target is known."""

    @abstractmethod
    def without(self, targets: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[Any]:
        """The same targets, where those that are not kept are unknown; `unknown` has them for samples without any."""

    @abstractmethod
    def unknown(self, count: int, names: Sequence[str]) -> NDArray[Any]:
        """Targets of so many samples, none of which is known."""

    @abstractmethod
    def strata(self, targets: NDArray[Any]) -> NDArray[np.int64]:
        """int64 (N,), from 0: groups that a cut keeps in proportion. Every target is known."""

    @abstractmethod
    def reordered(self, targets: NDArray[Any], places: NDArray[np.int64]) -> NDArray[Any]:
        """The targets where name i has become name places[i]."""

    @abstractmethod
    def text(self, target: Any, names: Sequence[str]) -> str:
        """A sample's target, in a few words."""

    def check_names(self, names: Sequence[str], where: str) -> None:
        """Refuse data that say too few names.

        Raises:
            DataError: how many they say, and how many are needed.
        """
        if len(names) < self.least_names:
            raise DataError(f"{where} has {len(names)} {self.names_word}; {self.least_names} or more are needed")

    def thin(self, targets: NDArray[Any], names: Sequence[str], word: str) -> list[str]:
        """Lines about what a split, called `word`, is too small for."""
        return []

    def check_measurable(self, targets: NDArray[Any], word: str) -> None:
        """Refuse targets of a split, called `word`, that no measure says anything of, before hours of training.

        Raises:
            DataError: why.
        """
        return

    def summary(self, targets: NDArray[Any], names: Sequence[str]) -> dict[str, Any]:
        """What `edgestill data` says of a split's targets, as plain data."""
        return {}

    def warnings(self, targets: NDArray[Any], names: Sequence[str]) -> list[str]:
        """Lines about train targets that are unlike what a model learns well from."""
        return []

    def advice(self, kind: str, names: Sequence[str]) -> list[str]:
        """Lines about what a recipe should say for these names; `kind` of the samples is `image` or `audio`."""
        return []

    # Training.

    def settings(self, targets: NDArray[Any], names: Sequence[str]) -> dict[str, Any]:
        """Settings of the device half, as plain data; `targets` are those of train that are known."""
        return {}

    def conversion_settings(self, targets: NDArray[Any], names: Sequence[str]) -> dict[str, Any]:
        """The same of a model that was trained elsewhere, and is only converted here."""
        return self.settings(targets, names)

    def other_outputs(self, trained: Settings, own: Settings) -> str:
        """Why a model that was trained with other settings gives other outputs than these; empty where it does not."""
        return ""

    def on_device(self, names: Sequence[str], settings: Settings, scores: Any = "logits") -> DeviceTask:
        """The device half for these names.

        Raises:
            RecipeError: settings that make no sense.
        """
        try:
            return self.device(names, settings, scores)
        except InputError as error:
            raise RecipeError(f"task {self.name}: {error}") from error

    @abstractmethod
    def encode(self, targets: NDArray[Any], names: Sequence[str], settings: Settings) -> NDArray[np.float32]:
        """float32 (N, …): what objectives are given as targets. Views of a sample may be blended, and so are these."""

    @abstractmethod
    def default_objective(self, method: str) -> Objective:
        """What a student learns where nobody says.

        Args:
            method: `alone` (the targets), `teacher`, `generations`, `together`, or `int8` (training with fake
                quantization against the float model).
        """

    def check_objective(self, objective: Objective) -> None:
        """Refuse an objective that makes nothing of this task's targets, before any training.

        Raises:
            ModelError: names it, and those that fit.
        """
        for one in assumes_of(objective):
            if one and one != self.assumes:
                raise ModelError(
                    f"{type(objective).__name__} is for {one}, and the targets of {self.name} are "
                    f"{self.assumes or 'of another kind'}; objectives that fit: {', '.join(self.fitting())}"
                )

    def fitting(self) -> list[str]:
        """Words of the objectives that fit."""
        own = {**OBJECTIVES, **self.objectives}
        return sorted(name for name, kind in own.items() if getattr(kind, "assumes", "") in ("", self.assumes))

    def combine(self, members: Sequence[Outputs], targets: Tensor, method: str) -> Outputs:
        """Outputs of several models as one: here their mean.

        Raises:
            ModelError: a way to combine that this task has not.
        """
        if method != "average":
            raise ModelError(f'teachers of {self.name} are combined by their mean: combine = "average", not {method!r}')
        tensors = {name: torch.stack([one.tensors[name] for one in members]).mean(0) for name in members[0].tensors}
        return Outputs(tensors, members[0].features)

    def check_outputs(self, outputs: Outputs, names: Sequence[str], who: str, data: str, learning: bool) -> None:
        """Refuse a model whose outputs for one sample do not fit the data.

        Args:
            who: `student` or `teacher`. data: their name. learning: it will learn or teach.

        Raises:
            ModelError: names both shapes.
        """
        shape = tuple(outputs.logits.shape)
        if shape != (1, len(names)):
            raise ModelError(
                f"the {who} answers one image with shape {shape}, but {data} has {len(names)} {self.names_word}, which "
                f"needs (1, {len(names)}); teacher, student and data must have the same {self.names_word}"
            )

    # What a model is worth.

    @abstractmethod
    def against_chance(self, device: DeviceTask, outputs: Arrays, targets: NDArray[Any]) -> Guess:
        """Whether outputs are any better than guessing; `device` is the other half, with the data's names."""

    def right(self, device: DeviceTask, outputs: Arrays, targets: NDArray[Any]) -> NDArray[np.bool_]:
        """bool (N,): the samples whose answer is what the target says, for a report to show others first."""
        return np.array([
            device.describe(prediction) == self.text(target, device.labels)
            for prediction, target in zip(device.answer(outputs), targets, strict=True)
        ], np.bool_)  # fmt: skip

    def fitting_targets(self, targets: Any, shapes: Sequence[tuple[int, ...]]) -> tuple[NDArray[Any] | None, str]:
        """Targets that the quality of outputs of these shapes can be measured with, or None and the reason."""
        array = np.asarray(targets)
        if len(shapes) != 1:
            return None, f"the model has {len(shapes)} outputs, and the targets say of none which it is for"
        if array.ndim == 1:
            array = array[:, None]
        if array.shape != shapes[0]:
            return None, f"targets {array.shape} do not fit outputs {shapes[0]}"
        return array, ""


def options_of(kind: type[Task], options: Mapping[str, Any]) -> Task:
    """A task with the options of a recipe.

    Raises:
        RecipeError: an unknown option, or a value that makes no sense; names the nearest.
    """
    known = [name for name in inspect.signature(kind).parameters if name not in ("args", "kwargs")]
    for name in options:
        if name not in known:
            raise RecipeError(f"task {kind.device.name} has no option {name!r}{nearest(name, known)}")
    try:
        return kind(**options)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"task {kind.device.name}: {error}") from error
