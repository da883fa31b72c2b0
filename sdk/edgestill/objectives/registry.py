"""From a recipe's table to an objective."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import RecipeError, nearest
from .base import Objective, WeightedSum
from .response import DIST, CrossEntropy, HintonKD

OBJECTIVES: dict[str, Callable[..., Objective]] = {
    "cross-entropy": CrossEntropy,
    "hinton-kd": HintonKD,
    "dist": DIST,
}


def create_objective(tables: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Objective:
    """Build an objective from `{kind = "hinton-kd", temperature = 4.0}`, or a sum from a list with `weight` in each.

    Raises:
        RecipeError: an unknown kind or argument; the message names the nearest.
    """
    if isinstance(tables, Mapping):
        tables = [tables]
    terms = [(float(table.get("weight", 1.0)), _create(table)) for table in tables]
    if not terms:
        raise RecipeError("objective is empty; name at least one, such as {kind = 'hinton-kd'}")
    return terms[0][1] if len(terms) == 1 and terms[0][0] == 1.0 else WeightedSum(terms)


def _create(table: Mapping[str, Any]) -> Objective:
    kind = table.get("kind")
    if kind not in OBJECTIVES:
        raise RecipeError(f"unknown objective {kind!r}{nearest(str(kind), OBJECTIVES)}")
    arguments = {name: value for name, value in table.items() if name not in ("kind", "weight")}
    known = inspect.signature(OBJECTIVES[kind]).parameters
    for name in arguments:
        if name not in known:
            raise RecipeError(f"objective {kind!r} has no argument {name!r}{nearest(name, known)}")
    try:
        return OBJECTIVES[kind](**arguments)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"objective {kind!r}: {error}") from error
