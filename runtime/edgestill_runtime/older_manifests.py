"""Upgrade manifests of older format versions to the current one. Invalid values are kept: the parser refuses them.

Version 2: the processor was named `preprocessing`, and was for images only. Version 3: classification was the only
task, with `accuracy` as its measure; a classifier without labels had the task `tensors`; `float_nodes` was named
`kept_float`.
"""

from typing import Any


def upgraded(data: dict[str, Any], version: int) -> dict[str, Any]:
    """The content of a manifest in the current format version; unchanged if it is current already."""
    if version >= 4:
        return data
    found = dict(data)
    if version == 2:
        found["processor"] = found.pop("preprocessing", None)
    models = found.get("models")
    if isinstance(models, dict):
        found["models"] = {name: _upgraded_entry(entry) for name, entry in models.items()}
        if found.get("task") == "tensors" and found.get("processor") is not None and _scores_classes(models):
            found["task"] = "image-classification"
    shares = found.pop("accuracy", {})
    found["quality"] = (
        {who: {"accuracy": share} for who, share in shares.items() if share is not None}
        if isinstance(shares, dict) else shares
    )  # fmt: skip
    return found


def _upgraded_entry(entry: Any) -> Any:
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
    """Whether every file has one output (N, classes) with more than one class, which is all `predict` required."""
    try:
        shapes = [[one["shape"] for one in entry["outputs"]] for entry in models.values()]
        return all(len(one) == 1 and len(one[0]) == 2 and one[0][1] > 1 for one in shapes)
    except (KeyError, TypeError):
        return False
