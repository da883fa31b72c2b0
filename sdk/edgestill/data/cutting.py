"""A source's train split → train and validation, class by class, with a seed; and what a cut is worth.

Only labels are looked at, so a cut can be shown, and refused, before an image is read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

_THIN_VALIDATION, _THIN_TRAIN = 20, 10  # samples a class


@dataclass(frozen=True)
class Cut:
    """Rows of a source's train split.

    Args:
        train: int64; the first `calibration` of them calibrate as well. validation: int64; empty where the source has
            a validation split of its own. labels: of the train rows, -1 where one is forgotten.
        notes: what is unusual about it, a line each.
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    calibration: int
    labels: NDArray[np.int64]
    notes: tuple[str, ...] = ()


def check_shares(validation: float, calibration: int, seed: int = 0, labelled: int | None = None) -> None:
    """Refuse what no source could be cut by.

    Raises:
        DataError: which value.
    """
    if not isinstance(validation, Real) or not 0 < validation <= 0.5:
        raise DataError(f"validation is a share of the train split between 0 and 0.5, not {validation}")
    if not isinstance(calibration, Integral) or calibration < 1:
        raise DataError(f"calibration is a number of samples, 1 or more, not {calibration}")
    if not isinstance(seed, Integral) or seed < 0:
        raise DataError(f"seed is a whole number, 0 or more, not {seed}")
    if labelled is not None and (not isinstance(labelled, Integral) or labelled < 1):
        raise DataError(f"labelled is a number of samples, 1 or more, not {labelled}")


def cut(
    labels: Mapping[str, NDArray[np.int64]],
    classes: Sequence[str],
    *,
    name: str,
    validation: float = 0.1,
    calibration: int = 256,
    seed: int = 0,
    labelled: int | None = None,
) -> Cut:
    """Cut a source whose splits have these labels.

    Calibration takes nothing away: it draws from train. No class loses its last sample to validation.

    Args:
        labels: of `train`, of `test`, and of `validation` where the source has its own, which is then used as it is.
        validation: share of the train split. calibration: how many samples. labelled: how many labels are kept.

    Raises:
        DataError: a value that makes no sense, or too few samples.
    """
    check_shares(validation, calibration, seed, labelled)
    known = labels["train"]
    dealt = _deal(known, len(classes), seed)
    if "validation" in labels:
        checked = dealt[:0]
    else:
        wanted = max(1, round(validation * len(known)))
        if len(known) - wanted < len(np.unique(known)):
            raise DataError(
                f"{name} has {len(known)} train samples: too few for {len(np.unique(known))} classes and {wanted} to "
                "validate with"
            )
        # The last of each class stays to learn from.
        last = len(dealt) - 1 - np.array([np.argmax(known[dealt][::-1] == label) for label in np.unique(known)])
        checked = np.delete(dealt, last)[:wanted]
    train = dealt[~np.isin(dealt, checked)]
    kept = known[train] if labelled is None else _forget(known[train], labelled, len(classes))
    count = min(calibration, len(train))
    held = labels.get("validation", known[checked])
    notes = [
        f"{name}: {len(train):,} samples to train, {min(calibration, len(train)):,} of which calibrate too; "
        f"{len(held):,} to validate, {len(labels['test']):,} to test; {len(classes)} classes"
    ]
    if count < calibration:
        notes.append(f"calibration takes all {count:,} train samples: {calibration:,} were asked for")
    notes += _thin(known[train], held, labels["test"], classes)
    return Cut(train, checked, count, kept, tuple(notes))


def _deal(labels: NDArray[np.int64], classes: int, seed: int) -> NDArray[np.int64]:
    """All rows, class by class, so that any stretch of them holds the classes in proportion."""
    order = np.random.default_rng([seed, 0]).permutation(len(labels))
    rank = np.empty(len(labels))
    for label in range(classes):
        of_class = order[labels[order] == label]
        rank[of_class] = (np.arange(len(of_class)) + 0.5) / max(len(of_class), 1)
    return np.lexsort((order.argsort(), rank)).astype(np.int64)


def _forget(labels: NDArray[np.int64], count: int, classes: int) -> NDArray[np.int64]:
    """-1 for all labels but `count`: the first of every class, and then in the order in which they were dealt."""
    if not classes <= count <= len(labels):
        raise DataError(
            f"labelled = {count}: between {classes} (one a class) and {len(labels)} train images can keep theirs"
        )
    firsts = np.unique(labels, return_index=True)[1]
    others = np.setdiff1d(np.arange(len(labels)), firsts)  # ascending
    kept = np.concatenate([firsts, others[: count - len(firsts)]])
    forgotten = np.full_like(labels, -1)
    forgotten[kept] = labels[kept]
    return forgotten


def _thin(
    train: NDArray[np.int64], held: NDArray[np.int64], test: NDArray[np.int64], classes: Sequence[str]
) -> list[str]:
    """What a cut is too small for."""
    notes = []
    for word, found in (("train", train), ("validation", held), ("test", test)):
        without = [classes[label] for label in range(len(classes)) if not (found == label).any()]
        if without:
            names = ", ".join(without[:5]) + (", …" if len(without) > 5 else "")
            notes.append(f"{word} has no sample of {'the class' if len(without) == 1 else 'the classes'} {names}")
    if len(held) < _THIN_VALIDATION * len(classes):
        notes.append(
            f"thin: {len(held)} validation samples for {len(classes)} classes; one of them is "
            f"{100 / len(held):.1f} points of accuracy. Collect more, or raise `validation` under [data]"
        )
    if len(train) < _THIN_TRAIN * len(classes):
        notes.append(f"thin: {len(train)} train samples for {len(classes)} classes; collect more")
    return notes
