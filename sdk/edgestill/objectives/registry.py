"""From a recipe's table to an objective."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import RecipeError, nearest
from .base import Objective, WeightedSum
from .feature import AttentionTransfer, FitNets, ReviewKD
from .relation import RKD, SimilarityPreserving
from .response import DIST, DKD, CrossEntropy, HintonKD, LogitMSE, MutualLearning, StandardisedKD

OBJECTIVES: dict[str, Callable[..., Objective]] = {
    "cross-entropy": CrossEntropy,
    "hinton-kd": HintonKD,
    "standardised-kd": StandardisedKD,
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


def create_objective(tables: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Objective:
    """Build an objective from `{kind = "hinton-kd", temperature = 4.0}`, or a sum from a list with `weight` in each.

    Raises:
        RecipeError: an unknown kind or argument; the message names the nearest.
    """
    if isinstance(tables, Mapping):
        tables = [tables]
    terms = [(_weight(table), _create(table)) for table in tables]
    if not terms:
        raise RecipeError("objective is empty; name at least one, such as {kind = 'hinton-kd'}")
    return terms[0][1] if len(terms) == 1 and terms[0][0] == 1.0 else WeightedSum(terms)


def _weight(table: Mapping[str, Any]) -> float:
    weight = table.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or weight < 0:
        raise RecipeError(f"objective {table.get('kind')!r}: weight is a number ≥ 0, not {weight!r}")
    return float(weight)


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
