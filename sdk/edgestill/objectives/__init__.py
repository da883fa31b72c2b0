"""Objectives: what a student learns from, one small class per paper.

An objective is called with the student's outputs, the teacher's outputs (None when there is no teacher) and the
targets, and returns one scalar to minimise. `create_objective` builds one from a recipe's table
(`{kind = "dist", beta = 1.0}`) or a weighted sum from a list of such tables.

    response.py   the logits          cross-entropy  hinton-kd  dkd  dist  logit-mse  mutual-learning
    feature.py    layers inside       fitnets  attention-transfer  review-kd
    relation.py   between samples     rkd  similarity-preserving
"""

from .base import Objective, Outputs, WeightedSum
from .feature import AttentionTransfer, FitNets, ReviewKD
from .registry import OBJECTIVES, create_objective
from .relation import RKD, SimilarityPreserving
from .response import DIST, DKD, CrossEntropy, HintonKD, LogitMSE, LogitObjective, MutualLearning

__all__ = [
    "DIST",
    "DKD",
    "OBJECTIVES",
    "RKD",
    "AttentionTransfer",
    "CrossEntropy",
    "FitNets",
    "HintonKD",
    "LogitMSE",
    "LogitObjective",
    "MutualLearning",
    "Objective",
    "Outputs",
    "ReviewKD",
    "SimilarityPreserving",
    "WeightedSum",
    "create_objective",
]
