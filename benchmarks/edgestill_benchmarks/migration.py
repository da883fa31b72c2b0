"""Converts results and measurements of schema version 1 to version 2.

Version 1 had one task, image classification, and one measure, accuracy.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

Content = dict[str, Any]

TASK = {
    "name": "image-classification",
    "measures": [{"name": "accuracy", "unit": "%", "higher_is_better": True}],
    "same_answer": "the same class",
    "settings": {},
}


def migrate_results(results: Content) -> Content:
    """Convert `results.json` of version 1 to version 2.

    `shown` is empty: version 1 kept what it describes in the samples' npz; see `migrate_samples`.

    Raises:
        AttributeError, IndexError, KeyError, TypeError, ValueError: they do not have version 1's format.
    """
    found = copy.deepcopy(results) | {"schema_version": 2, "task": copy.deepcopy(TASK), "shown": []}
    labels = found["data"]["labels"] = found["data"].pop("classes")
    for one in (*(found[name] for name in ("teacher", "student_alone", "student_distilled")), *found["files"]):
        _to_quality(one)
    shares = found.pop("per_class")
    found["details"] = {who: {"per_class": dict(zip(labels, values, strict=True))} for who, values in shares.items()}
    # The matrix was that of the last of the deployed files, which is the last entry here.
    found["details"][list(shares)[-1]]["confusion"] = found.pop("confusion")
    for entries in found["curves"].values():
        for entry in entries:
            _rename(entry, "validation_accuracy", "validation")
    conversion = found["conversion"]
    _rename(conversion, "quantisation", "quantization")
    quantization, gate = conversion["quantization"], conversion["gate"]
    for one in (quantization, gate):
        _rename(one, "float_accuracy", "float_quality")
    for one in (quantization, *quantization["attempts"]):
        _rename(one, "kept_float", "float_nodes")
    for attempt in quantization["attempts"]:
        _rename(attempt, "accuracy", "quality")
    gate["quality"] = {name: {"accuracy": share} for name, share in gate.pop("accuracy", {}).items()}
    return found


def migrate_samples(
    arrays: Mapping[str, NDArray[Any]], labels: Sequence[str]
) -> tuple[dict[str, NDArray[Any]], list[Content]]:
    """The arrays of version 1's `samples.npz` under version 2's names, and the `shown` that describes them.

    Args:
        arrays: images, labels (N,), and teacher, student, int8: logits (N, classes).
        labels: names of the classes.

    Raises:
        IndexError, KeyError, ValueError: they do not have version 1's format.
    """
    targets = arrays["labels"]
    chosen = {who: arrays[who].argmax(1) for who in ("teacher", "student", "int8")}
    shown = [
        {
            "truth": labels[target],
            **{who: labels[classes[place]] for who, classes in chosen.items()},
            "right": bool(chosen["int8"][place] == target),
        }
        for place, target in enumerate(targets)
    ]
    return {name: array for name, array in arrays.items() if name != "labels"} | {"targets": targets}, shown


def migrate_measurement(measurement: Content, labels: Sequence[str]) -> Content:
    """Convert a device's measurement of version 1 to version 2.

    Args:
        labels: names of the classes of its bundle; a class beyond them is named by its number.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: it does not have version 1's format.
    """

    def name(number: int) -> str:
        return labels[number] if number < len(labels) else str(number)

    found = copy.deepcopy(measurement) | {"schema_version": 2}
    for file in found["files"]:
        _to_quality(file)
    for same in found.get("answers", {}).values():
        same["differ"] = [[number, name(here), name(there)] for number, here, there in same["differ"]]
    return found


def _to_quality(content: Content) -> None:
    """`accuracy` → `quality`; None, which is no measurement, stays None."""
    share = content.pop("accuracy")
    content["quality"] = None if share is None else {"accuracy": share}


def _rename(content: Content, old: str, new: str) -> None:
    """Rename a key; where it is missing, the schema check reports the new name."""
    if old in content:
        content[new] = content.pop(old)
