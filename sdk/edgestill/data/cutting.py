"""A source's train split → train and validation, stratified, with a seed; and warnings about small splits.

A stratum is a group of samples that the task keeps in proportion, such as a class. Only targets are looked at, so a cut
can be shown, and refused, before an image is read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..tasks import Task
from .options import DataOptions


@dataclass(frozen=True)
class Cut:
    """Rows of a source's train split.

    Args:
        train: int64; the first `calibration` of them calibrate as well. validation: int64; empty where the source has
            a validation split of its own. targets: of the train rows, unknown where one is forgotten.
        notes: what is unusual about it, a line each.
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    calibration: int
    targets: NDArray[Any]
    notes: tuple[str, ...] = ()


def check_shares(options: DataOptions) -> None:
    """Refuse invalid options for splitting.

    Raises:
        DataError: which value.
    """
    validation, calibration, seed, labelled = options.validation, options.calibration, options.seed, options.labelled
    if not isinstance(validation, Real) or not 0 < validation <= 0.5:
        raise DataError(f"validation is a share of the train split between 0 and 0.5, not {validation}")
    if not isinstance(calibration, Integral) or calibration < 1:
        raise DataError(f"calibration is a number of samples, 1 or more, not {calibration}")
    if not isinstance(seed, Integral) or seed < 0:
        raise DataError(f"seed is a whole number, 0 or more, not {seed}")
    if labelled is not None and (not isinstance(labelled, Integral) or labelled < 1):
        raise DataError(f"labelled is a number of samples, 1 or more, not {labelled}")


def cut(
    targets: Mapping[str, NDArray[Any]],
    classes: Sequence[str],
    task: Task,
    options: DataOptions = DataOptions(),
    *,
    name: str,
) -> Cut:
    """Split a source whose splits have these targets.

    Calibration takes nothing away: it draws from train. No stratum loses its last sample to validation.

    Args:
        targets: of `train`, of `test`, and of `validation` where the source has its own, which is then used as it is.
        options: validation, calibration, seed and labelled of them.

    Raises:
        DataError: a value that makes no sense, or too few samples.
    """
    check_shares(options)
    known = targets["train"]
    strata = task.strata(known)
    dealt = _deal(strata, int(strata.max()) + 1, options.seed)
    checked = dealt[:0]
    if "validation" not in targets:
        checked = _held_back(dealt, strata, options.validation, f"{name} has {len(known)} train samples", classes, task)
    train = dealt[~np.isin(dealt, checked)]
    learnt = known[train]
    if options.labelled is not None:
        learnt = task.without(learnt, _choose_labelled(strata[train], options.labelled, task.names_word))
    count = min(options.calibration, len(train))
    parts = {"train": known[train], "validation": targets.get("validation", known[checked]), "test": targets["test"]}
    for word in ("validation", "test"):
        task.check_measurable(parts[word], word)
    notes = [
        f"{name}: {len(train):,} samples to train, {count:,} of which calibrate too; "
        f"{len(parts['validation']):,} to validate, {len(parts['test']):,} to test; {len(classes)} {task.names_word}"
    ]
    if count < options.calibration:
        notes.append(f"calibration takes all {count:,} train samples: {options.calibration:,} were asked for")
    # Missing samples first, then too few.
    lines = [line for word, part in parts.items() for line in task.thin(part, classes, word)]
    notes += sorted(lines, key=lambda line: line.startswith("thin:"))
    return Cut(train, checked, count, learnt, tuple(notes))


def _held_back(
    dealt: NDArray[np.int64], strata: NDArray[np.int64], share: float, has: str, classes: Sequence[str], task: Task
) -> NDArray[np.int64]:
    """Rows of the validation split; at least one row of each stratum stays in train."""
    groups, count = np.unique(strata), max(1, round(share * len(strata)))
    if len(strata) - count < len(groups):
        of_what = task.names_word if len(groups) <= len(classes) else f"groups of {task.names_word}"
        raise DataError(f"{has}: too few for {len(groups)} {of_what} and {count} to validate with")
    last = len(dealt) - 1 - np.array([np.argmax(strata[dealt][::-1] == one) for one in groups])
    return np.delete(dealt, last)[:count]


def _deal(strata: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """All rows, stratum by stratum, so that any stretch of them holds the strata in proportion."""
    order = np.random.default_rng([seed, 0]).permutation(len(strata))
    rank = np.empty(len(strata))
    for number in range(count):
        inside = order[strata[order] == number]
        rank[inside] = (np.arange(len(inside)) + 0.5) / max(len(inside), 1)
    return np.lexsort((order.argsort(), rank)).astype(np.int64)


def _choose_labelled(strata: NDArray[np.int64], count: int, word: str) -> NDArray[np.bool_]:
    """bool (N,): `count` rows: the first of every stratum, then in order."""
    firsts = np.unique(strata, return_index=True)[1]
    if not len(firsts) <= count <= len(strata):
        each = "one a class" if word == "classes" else f"one of each group of {word}"
        raise DataError(
            f"labelled = {count}: between {len(firsts)} ({each}) and {len(strata)} train images can keep theirs"
        )
    others = np.setdiff1d(np.arange(len(strata)), firsts)  # ascending
    chosen = np.zeros(len(strata), np.bool_)
    chosen[np.concatenate([firsts, others[: count - len(firsts)]])] = True
    return chosen
