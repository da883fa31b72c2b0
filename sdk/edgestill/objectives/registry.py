"""From a recipe's table to an objective."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import RecipeError, nearest
from ..user_code import import_class
from .base import Objective, WeightedSum
from .feature import AttentionTransfer, FitNets, ReviewKD
from .relation import RKD, SimilarityPreserving
from .response import DIST, DKD, CrossEntropy, HintonKD, LogitMSE, MutualLearning

OBJECTIVES: dict[str, Callable[..., Objective]] = {
    "cross-entropy": CrossEntropy,
    "hinton-kd": HintonKD,
    "dkd": DKD,
    "dist": DIST,
    "logit-mse": LogitMSE,
    "mutual-learning": MutualLearning,
    "fitnets": FitNets,
    "attention-transfer": AttentionTransfer,
    "review-kd": ReviewKD,
    "rkd": RKD,
    "similarity-preserving": SimilarityPreserving,
}

# Kinds of older recipes → the equivalent in the current version.
_OLDER: dict[str, dict[str, Any]] = {
    "standardised-kd": {"kind": "hinton-kd", "standardize": True, "temperature": 2.0, "hard": 0.1, "soft": 9.0}
}


def create_objective(
    tables: Mapping[str, Any] | Sequence[Mapping[str, Any]], own: Mapping[str, Callable[..., Objective]] | None = None
) -> Objective:
    """Build an objective from `{kind = "hinton-kd", temperature = 4.0}`, or a sum from a list with `weight` in each.

    Args:
        tables: `kind` is the name of a built-in objective, or `module:Class` for a custom one.
        own: objectives that only a task has; see `Task.objectives`.

    Raises:
        RecipeError: an unknown kind or argument; the message suggests the nearest. Or code that cannot be imported.
    """
    if isinstance(tables, Mapping):
        tables = [tables]
    known = {**OBJECTIVES, **(own or {})}
    terms = [(_weight(table), _create(_current_table(table), known)) for table in tables]
    if not terms:
        raise RecipeError("objective is empty; name at least one, such as {kind = 'hinton-kd'}")
    return terms[0][1] if len(terms) == 1 and terms[0][0] == 1.0 else WeightedSum(terms)


def _current_table(table: Mapping[str, Any]) -> Mapping[str, Any]:
    older = _OLDER.get(str(table.get("kind")))
    return table if older is None else older | {name: value for name, value in table.items() if name != "kind"}


def _weight(table: Mapping[str, Any]) -> float:
    weight = table.get("weight", 1.0)
    if not _is_number(weight) or not 0 <= weight < math.inf:
        raise RecipeError(f"objective {table.get('kind')!r}: weight is a number ≥ 0, not {weight!r}")
    return float(weight)


def _create(table: Mapping[str, Any], objectives: Mapping[str, Callable[..., Objective]]) -> Objective:
    kind = table.get("kind")
    if kind is None:
        raise RecipeError(f"objective has no kind; valid: {', '.join(sorted(objectives))}")
    if isinstance(kind, str) and ":" in kind:
        make: Callable[..., Objective] = import_class(kind, Objective, "objective")
    elif isinstance(kind, str) and kind in objectives:
        make = objectives[kind]
    else:
        raise RecipeError(f"unknown objective {kind!r}{nearest(str(kind), [*objectives, 'module:Class'])}")
    arguments = {name: value for name, value in table.items() if name not in ("kind", "weight")}
    known = inspect.signature(make).parameters
    for name, value in arguments.items():
        if name not in known:
            raise RecipeError(f"objective {kind!r} has no argument {name!r}{nearest(name, known)}")
        if _is_number(known[name].default) and not _is_number(value):
            raise RecipeError(f"objective {kind!r}: {name} must be a number, not {value!r}")
        if isinstance(known[name].default, bool) and not isinstance(value, bool):
            raise RecipeError(f"objective {kind!r}: {name} must be true or false, not {value!r}")
    try:
        return make(**arguments)
    except ValueError as error:
        raise RecipeError(f"objective {kind!r}: {error}") from error
    except TypeError as error:
        shown = ", ".join(f"{name} = {value!r}" for name, value in arguments.items())
        needs = [name for name, one in known.items() if one.default is one.empty and name not in arguments]
        raise RecipeError(
            f"objective {kind!r} needs {', '.join(needs)}" if needs else f"objective {kind!r} does not take {shown}"
        ) from error


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
