"""Errors of the host side; all derive from `EdgestillError` (see `edgestill_runtime.errors` for the whole tree).

EdgestillError
├── RecipeError        a recipe that cannot be carried out: file, line, key, nearest valid name
├── DataError          data that cannot be used: which file or folder
├── ModelError         an unknown model, a checkpoint that does not fit, classes that differ
├── OptionError        an option out of its range; a ValueError as well
├── TrainingError      a loss that is no longer a number
├── DeviceError        a device that is unknown, cannot be reached, or refuses: which one, and what to do
└── MissingExtraError  a package of an optional extra is not installed: the `pip install` line that brings it
"""

from collections.abc import Iterable
from difflib import get_close_matches

from edgestill_runtime.errors import EdgestillError, StorageError, one_line

__all__ = [
    "DataError",
    "DeviceError",
    "EdgestillError",
    "MissingExtraError",
    "ModelError",
    "OptionError",
    "RecipeError",
    "StorageError",
    "TrainingError",
    "check_choice",
    "check_kind",
    "nearest",
    "one_line",
]


class RecipeError(EdgestillError):
    """A recipe has an unknown key or a value that does not make sense."""


class DataError(EdgestillError):
    """A data set is missing, damaged, or does not fit its purpose."""


class ModelError(EdgestillError):
    """A model is unknown, or its checkpoint or classes do not fit."""


class OptionError(EdgestillError, ValueError):
    """An option of a function, an objective, a schedule or a task is out of its range."""


class TrainingError(EdgestillError):
    """The loss is no longer a number."""


class DeviceError(EdgestillError):
    """A device is unknown, cannot be reached, or cannot do what was asked."""


class MissingExtraError(EdgestillError):
    """A package that an optional extra brings is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed. Install it with: pip install 'edgestill[{extra}]'")


def check_kind(value: object, kind: type, name: str) -> None:
    """Refuse an argument of another type, before one of its attributes is missing somewhere.

    Raises:
        OptionError: names the type.
    """
    if not isinstance(value, kind):
        raise OptionError(f"{name} must be {kind.__name__}(…), not {value!r:.60}; see docs/api.md")


def check_choice(value: object, valid: Iterable[str], name: str) -> None:
    """Refuse a word that is none of the valid ones.

    Raises:
        OptionError: names the nearest.
    """
    if value not in (words := tuple(valid)):
        raise OptionError(f"unknown {name} {value!r:.60}{nearest(str(value), words)}")


def nearest(name: str, valid: Iterable[str]) -> str:
    """The end of a message about a wrong name: the nearest valid one, or all of them."""
    names = sorted(valid)
    close = get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; valid: {', '.join(names)}"
