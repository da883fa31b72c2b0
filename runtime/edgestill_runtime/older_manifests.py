"""Manifests of older versions as one of today would say them; what is wrong in them is left for the reader.

Version 2 called the processor `preprocessing`, and had it for images alone. Version 3 knew one task and its accuracy,
called a classifier without class names `tensors`, and `float_nodes` `kept_float`.
"""

from typing import Any


def of_today(data: dict[str, Any], version: int) -> dict[str, Any]:
    """The content of a manifest, which is changed only where its version is an older one."""
    if version >= 4:
        return data
    found = dict(data)
    if version == 2:
        found["processor"] = found.pop("preprocessing", None)
    models = found.get("models")
    if isinstance(models, dict):
        found["models"] = {name: _entry_of_today(entry) for name, entry in models.items()}
        if found.get("task") == "tensors" and found.get("processor") is not None and _scores_classes(models):
            found["task"] = "image-classification"
    shares = found.pop("accuracy", {})
    found["quality"] = (
        {who: {"accuracy": share} for who, share in shares.items() if share is not None}
        if isinstance(shares, dict) else shares
    )  # fmt: skip
    return found


def _entry_of_today(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    found = dict(entry)
    if "accuracy" in found:
        share = found.pop("accuracy")
        found["quality"] = {} if share is None else {"accuracy": share}
    if "kept_float" in found:
        found["float_nodes"] = found.pop("kept_float")
    return found


def _scores_classes(models: dict[str, Any]) -> bool:
    """Whether every file gives one score for each of several classes, which was all that `predict` asked for."""
    try:
        shapes = [[one["shape"] for one in entry["outputs"]] for entry in models.values()]
        return all(len(one) == 1 and len(one[0]) == 2 and one[0][1] > 1 for one in shapes)
    except (KeyError, TypeError):
        return False
