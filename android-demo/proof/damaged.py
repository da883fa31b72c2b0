"""Damaged and malicious bundles, with the Python runtime's error for each, for the Kotlin tests."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgestill_runtime import BundleError, open_bundle, write_bundle


def write_damaged(bundle: Path, target: Path) -> None:
    """Write invalid bundles, and `expected.json`: the class and message of the Python runtime's error for each."""

    def rewrite(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
        def apply(path: Path) -> None:
            manifest = json.loads((path / "manifest.json").read_text())
            change(manifest)
            (path / "manifest.json").write_text(json.dumps(manifest))

        return apply

    def put(*keys: Any, value: Any) -> Callable[[Path], object]:
        def change(manifest: Any) -> None:
            for key in keys[:-1]:
                manifest = manifest[key]
            manifest[keys[-1]] = value

        return rewrite(change)

    def text(content: bytes) -> Callable[[Path], object]:
        return lambda path: (path / "manifest.json").write_bytes(content)

    def flip(name: str) -> Callable[[Path], object]:
        def apply(path: Path) -> None:
            content = bytearray((path / name).read_bytes())
            content[len(content) // 2] ^= 1
            (path / name).write_bytes(content)

        return apply

    def twice(key: str) -> Callable[[Path], object]:
        return rewrite(
            lambda manifest: manifest["models"]["model.pte"][key].append(manifest["models"]["model.pte"][key][0])
        )

    pte = ("models", "model.pte")
    changes: list[Callable[[Path], object]] = [
        lambda path: None,
        text(b""), text(b"[]"), text(b"{"), text(b"\xff\xfe\x00"), text(b'{"format_version": 2, "format_version": 2}'),
        text(b'{"format_version": NaN}'), text(b'{"format_version": true}'), text(b'{"format_version": 4}'),
        text(b'{"format_version": 5}'), text(b'{"format_version": 1}'),
        text(b'{"a": "' + b"x" * (1 << 20) + b'"}'), text(b'{"training": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        put("name", value=7), put("labels", value="shirt"), put("labels", value=["shirt", 3]),
        put("scores", value="odds"), put("scores", value=1),
        put("parameters", value=-1), put("parameters", value=True), put("macs", value=1.5), put("agreement", value=1.2),
        put("accuracy", "teacher", value="high"), put("accuracy", value=[1]),
        put(*pte, "accuracy", value="high"), put("processor", "height", value=0),
        put("processor", "height", value=10**6), put("processor", "std", value=[0.0]),
        put("processor", "mean", value=[math.inf]), put(*pte, "engine", value="ONNX"),
        put(*pte, "precision", value="int4"), put(*pte, "inputs", 0, "dtype", value="str"),
        put(*pte, "inputs", 0, "layout", value="CHWN"), put(*pte, "inputs", 0, "shape", value=[1, -1]),
        put(*pte, "inputs", 0, "shape", value=list(range(17))), put(*pte, "outputs", 0, "scale", value=0),
        put(*pte, "inputs", value=[]), put(*pte, "outputs", value={}), put(*pte, "outputs", value=[7]),
        put(*pte, "kept_float", value=[7]), put("processor", value="none"),
        put("files", "model.pte", "sha256", value="ABC"), put("files", "model.pte", "bytes", value=2**40),
        put("files", "model.pte", value=[]), put("files", "../x", value={"sha256": "0" * 64, "bytes": 0}),
        put("files", ".hidden", value={"sha256": "0" * 64, "bytes": 0}), put("models", "other.pte", value={}),
        put("files", "model.pte/inside", value={"sha256": "0" * 64, "bytes": 0}),
        put("files", "none/inside", value={"sha256": "0" * 64, "bytes": 0}),
        put("files", "model.tflite", "bytes", value=5), put("files", "model.tflite", "sha256", value="0" * 64),
        flip("model.pte"), flip("model.tflite"), flip("golden.npz"),
        lambda path: (path / "model.pte").write_bytes((path / "model.pte").read_bytes()[:100]),
        lambda path: (path / "model.pte").unlink(), lambda path: (path / "more.bin").write_bytes(b"?"),
        lambda path: (path / "manifest.json").unlink(),
    ]  # fmt: skip
    current = write_bundle(target / "today", open_bundle(bundle).manifest, {
        name: (bundle / name).read_bytes() for name in open_bundle(bundle).files
    }).path  # fmt: skip
    settings, output, labels = "task_settings", (*pte, "outputs", 0), ["a"] * 9
    current_changes: list[Callable[[Path], object]] = [
        lambda path: None,
        put("task", value=None), put("task", value=["regression"]), put(settings, value=[]),
        put(settings, value="none"), put(settings, value={"thresholds": 0.5}),
        put("quality", value=None), put("quality", value=[]),
        put("quality", "teacher", value=0.9), put("quality", "teacher", value={"accuracy": 1.5}),
        put(*pte, "quality", value={"accuracy": -0.25}), put("quality", "teacher", value={"accuracy": "high"}),
        put("quality", "teacher", value={"accuracy": math.inf}), put("quality", "teacher", value={"accuracy": 2**1023}),
        put("quality", "teacher", value={"accuracy": True}), put("quality", "teacher", value={"accuracy": None}),
        put("quality", "teacher", value={str(number): 0.5 for number in range(65)}),
        put("quality", value={str(number): {} for number in range(65)}), put(*pte, "quality", value=0.9),
        put(*pte, "quality", value={"accuracy": [1]}), put("labels", value=labels), put(*output, "shape", value=[1, 9]),
        put(*output, "shape", value=[10, 1]), put(*output, "dynamic", value=[2]), put(*output, "dynamic", value=[-1]),
        put(*output, "layout", value="NCHW"), put(*output, "bounded", value=1), put(*output, "dtype", value="int64"),
        put(*output, "scale", value=None), put(*output, "zero_point", value=None),
        put(*output, "zero_point", value=128),
        put(*output, "zero_point", value=1.5), put(*output, "scale", value=1e-39), put(*output, "scale", value=1e39),
        put(*pte, "float_macs", value=1.5), put(*pte, "float_macs", value="none"), put(*pte, "float_nodes", value=[7]),
        put(*pte, "inputs", 0, "scale", value=None),
        put(*pte, "inputs", 0, "dtype", value="uint8"), put(*pte, "inputs", 0, "layout", value="NHWC"),
        put(*pte, "inputs", 0, "shape", value=[1, 3, 28, 28]),
        put(*pte, "inputs", 0, "shape", value=[2**31 - 1, 1, 28, 28]), twice("inputs"), twice("outputs"),
        *(rewrite(lambda manifest, one=one: manifest.update(one)) for one in (
            {"task": "regression", settings: {"std": 0}}, {"task": "regression", settings: {"units": ["mm"]}},
            {"task": "multi-label-classification", settings: {"thresholds": [0.5, 0.5]}},
            {"task": "multi-label-classification", "labels": labels}, {"task": "regression", "labels": labels},
        )),
    ]  # fmt: skip
    tried = [(bundle, one) for one in changes] + [(current, one) for one in current_changes]
    expected = []
    for number, (whole, change) in enumerate(tried):
        path = target / f"{number}.edge"
        shutil.copytree(whole, path)
        change(path)
        error, names, reason = "", {}, ""
        try:
            open_bundle(path).verify()
        except BundleError as caught:
            error = type(caught).__name__
            reason = str(caught).partition("cannot be used: ")[2]
            names = {word: list(getattr(caught, word, ())) for word in ("changed", "missing", "extra")}
        expected.append({"bundle": path.name, "error": error, "reason": reason, **names})
    (target / "expected.json").write_text(json.dumps(expected))
    assert [one["error"] for one in expected].count("") == 2, "only the bundles that nothing was done to are whole"
