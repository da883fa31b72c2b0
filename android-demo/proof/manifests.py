"""Bundles of every format version and task, made of the demo's, and what Python reads of them, for the Kotlin tests."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tasks import hexadecimal

from edgestill_runtime import Bundle, ModelFile, open_bundle, write_bundle

CENTIMETRES = ("width", "height", "sleeve", "collar", "waist", "chest", "hem", "shoulder", "inseam", "depth")
BUNDLES = ("regression", "multi-label")
"""Bundles of `write_manifests` that the app and the page show, beside the demo's own classifier."""


def write_manifests(bundle: Path, target: Path) -> None:
    """A classifier's bundle, which is of version 3, as other versions and other tasks have it, and `manifests.json`."""
    source = open_bundle(bundle)
    raw = json.loads((bundle / "manifest.json").read_text())
    assert raw["format_version"] == 3, "the demo's bundle is the one of an older version"
    # As edgestill wrote it before processors were in manifests.
    old = {key: value for key, value in raw.items() if key != "processor"} | {
        "format_version": 2,
        "preprocessing": {key: raw["processor"][key] for key in ("height", "width", "mean", "std")},
    }
    unmeasured = json.loads(json.dumps(raw))
    del unmeasured["accuracy"]["teacher"]
    for entry in unmeasured["models"].values():
        entry["accuracy"] = None
    for name, manifest in {
        "version2": old,
        "version3": raw,
        "nameless": raw | {"task": "tensors", "labels": []},
        "numbers": raw | {"task": "tensors", "labels": [], "processor": None},
        "unmeasured": unmeasured,
    }.items():
        _copy(source, target / f"{name}.edge", lambda folder, one=manifest: _put(folder, one))
    here = source.manifest
    measured = {"R²": 0.9125, "MAE": 1.234567}
    for name, changes in {
        "version4": {},
        "regression": {
            "labels": CENTIMETRES,
            "task": "regression",
            "task_settings": {"mean": 40, "std": 3, "units": ["cm"] * 10, "tolerance": 0.5},
            "quality": {"teacher": {"R²": 0.95, "MAE": 0.8}, "student_distilled": measured},
            "models": _with(measured, here.models),
        },
        "multi-label": {
            "task": "multi-label-classification",
            "task_settings": {"thresholds": [0.95] * 4 + [0.9] + [0.95] * 5},
            "quality": {"teacher": {"mAP": 0.9, "macro F1": 0.85}},
            "models": _with({"mAP": 0.875, "macro F1": 0.8}, here.models),
        },
        "own": {
            "task": "mine:Ordinal",
            "task_settings": {"anything": [1, {"a": None}]},
            "quality": {"teacher": {"steps": 3}},
        },
        "shares": {"scores": "probabilities"},
        # Of an engine that no app here has, and a folder.
        "other-engine": {
            "models": {**here.models, "model.mlpackage": replace(here.models["model.fp32.pte"], engine="coreml")}
        },
    }.items():
        manifest = replace(here, **changes)
        contents = {file: source.read(file) for file in source.files}
        if "model.mlpackage" in manifest.models:
            contents |= {"model.mlpackage/Manifest.json": b"{}", "model.mlpackage/Data/weights/weight.bin": bytes(5)}
        write_bundle(target / f"{name}.edge", manifest, contents)
    expected = {path.stem: _read(open_bundle(path)) for path in sorted(target.glob("*.edge"))}
    (target / "manifests.json").write_text(json.dumps(expected))


def _with(quality: Mapping[str, float], models: Mapping[str, ModelFile]) -> dict[str, ModelFile]:
    return {file: replace(entry, quality=quality) for file, entry in models.items()}


def _copy(bundle: Bundle, folder: Path, change: Callable[[Path], object]) -> None:
    folder.mkdir(parents=True)
    for name in bundle.files:
        (folder / name).write_bytes(bundle.read(name))
    change(folder)


def _put(folder: Path, manifest: dict[str, Any]) -> None:
    (folder / "manifest.json").write_text(json.dumps(manifest))


def _read(bundle: Bundle) -> dict[str, Any]:
    manifest = bundle.manifest
    return {
        "task": manifest.task,
        "labels": manifest.labels,
        "settings": manifest.task_settings,
        "scores": manifest.scores,
        "agreement": manifest.agreement,
        "takes_images": manifest.processor is not None,
        "quality": {who: _bits(found) for who, found in manifest.quality.items()},
        "models": {file: _bits(entry.quality) for file, entry in manifest.models.items()},
    }


def _bits(quality: Mapping[str, float]) -> dict[str, str]:
    return dict(zip(quality, hexadecimal(list(quality.values())), strict=True))
