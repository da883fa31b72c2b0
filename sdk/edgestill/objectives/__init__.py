"""Objectives: what a student learns from, one small class per paper.

An objective is called with the student's outputs, the teacher's outputs (None when there is no teacher) and the
targets, and returns one scalar to minimise. `create_objective` builds one from a recipe's table
(`{kind = "dist", beta = 1.0}`) or a weighted sum from a list of such tables.
"""

from .base import Objective, Outputs, WeightedSum
from .registry import OBJECTIVES, create_objective
from .response import DIST, CrossEntropy, HintonKD

__all__ = [
    "DIST",
    "OBJECTIVES",
    "CrossEntropy",
    "HintonKD",
    "Objective",
    "Outputs",
    "WeightedSum",
    "create_objective",
]
