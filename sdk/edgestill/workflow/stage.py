"""Stages: each is a function of its inputs.

    @stage("gate")
    def judge_bundle(inputs: GateInputs, folder: Path, context: Context) -> None: ...

The function gets one frozen dataclass and an empty folder, and writes its files there. It has no access to the recipe
or the rest of the run. Its key is computed from that dataclass (`key.py`), so the function cannot depend on an input
that is missing in the key.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import Any, Generic, TypeVar, get_type_hints

from ..progress import SILENT, Progress
from .key import identity, is_frozen

Capture = Callable[[Path | None], AbstractContextManager[Path]]
Inputs = TypeVar("Inputs")


@contextmanager
def uncaptured(path: Path | None) -> Iterator[Path]:
    """Do not capture standard output and standard error."""
    yield path or Path(os.devnull)


class Note:
    """Facts that a stage stores with its result, for users and later commands, but does not read.

    They are not part of the key: a checkpoint names the recipe that it was first trained for.
    """

    def __init__(self, facts: Mapping[str, Any] | None = None) -> None:
        self.__facts = dict(facts or {})

    def added_to(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """The facts of a stage updated with these."""
        return {**facts, **self.__facts}


@dataclass(frozen=True)
class Context:
    """Services that a stage may use and that do not affect its result.

    Args:
        progress: for messages. capture: redirects the output of engines and exporters to a log.
        note: stored with the weights.
    """

    progress: Progress = SILENT
    capture: Capture = uncaptured
    note: Note = field(default_factory=Note)


@dataclass(frozen=True)
class Finished:
    """A finished stage: where its files are, its key, and whether an earlier run had finished it already."""

    folder: Path
    key: str
    reused: bool = False


@identity.register
def _finished(value: Finished) -> list[str]:
    return ["stage", value.key]


@dataclass(frozen=True)
class Stage(Generic[Inputs]):
    """A step of the workflow.

    Args:
        name: of its folder. Several stages may be one step in different ways, under one name: a teacher is trained, or
            read from a file. inputs: the dataclass that it is handed.
        make: writes the stage's files into a folder.
    """

    name: str
    inputs: type[Inputs]
    make: Callable[[Inputs, Path, Context], None]


def stage(name: str) -> Callable[[Callable[[Inputs, Path, Context], None]], Stage[Inputs]]:
    """Make a stage of a function `make(inputs, folder, context)`.

    Raises:
        TypeError: the function takes something else, its inputs are no frozen dataclass, or it holds variables of
            another function, which would be inputs that no key knows.
    """

    def decorate(make: Callable[[Inputs, Path, Context], None]) -> Stage[Inputs]:
        kinds = get_type_hints(make)
        parameters = list(signature(make).parameters)
        inputs: Any = kinds.get("inputs", object)
        if parameters != ["inputs", "folder", "context"] or kinds.get("context") is not Context:
            raise TypeError(f"stage {name}: the function takes (inputs, folder, context: Context), not {parameters}")
        if not is_frozen(inputs):
            raise TypeError(f"stage {name}: inputs must be a frozen dataclass, not {inputs.__name__}")
        if getattr(make, "__closure__", None):
            raise TypeError(f"stage {name}: the function holds variables of another function, which no key knows")
        return Stage(name, inputs, make)

    return decorate
