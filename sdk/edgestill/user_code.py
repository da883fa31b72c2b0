"""Classes of the user's own, named `module:Class` in a recipe."""

import importlib
from typing import TypeVar

from .errors import EdgestillError, RecipeError, one_line

_Kind = TypeVar("_Kind")


def import_class(name: str, kind: type[_Kind], what: str) -> type[_Kind]:
    """Import a class.

    Args:
        name: `module:Class`. kind: what it must be derived from. what: it is, for messages: `task`.

    Raises:
        RecipeError: it cannot be imported, or is something else.
    """
    module, _, attribute = name.partition(":")
    try:
        attribute_value = getattr(importlib.import_module(module), attribute)
    except EdgestillError:
        raise
    except Exception as error:  # importing runs code of the user's own
        raise RecipeError(f"{what} {name} cannot be imported: {one_line(error)}") from error
    if not (isinstance(attribute_value, type) and issubclass(attribute_value, kind)):
        home = f"{kind.__module__.removesuffix('.base')}.{kind.__name__}"
        raise RecipeError(f"{name} must be a class derived from {home}, not {attribute_value!r:.60}")
    return attribute_value
