"""What the Python runtime answers, as files that the Kotlin tests read: JSON, and raw bytes in this machine's order."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from processing import write_processing

from edgestill import zoo
from edgestill_benchmarks.latency import _summarise, _Turns
from edgestill_runtime import BundleError, ImageProcessor, load, open_bundle
from edgestill_runtime.bundle import unpack_folder
from edgestill_runtime.model import softmax
from edgestill_runtime.processing import arrange, look_up, quantise

IMAGES = 200


def write_vectors(bundle: Path, images: np.ndarray, labels: np.ndarray, target: Path) -> None:
    """Everything, anew.

    Args:
        images, labels: test images of the bundle, uint8 (N, H, W, C) and int64 (N,), of which the first 200 are used.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    shutil.copytree(bundle, target / "bundle.edge")
    _tensors(target)
    write_processing(target)
    _classes(target)
    _latency(target)
    _answers(bundle, images[:IMAGES], labels[:IMAGES], target)
    _broken(bundle, target / "broken")
    _version2(bundle, target / "version2.edge")
    _hears(target)


def broken_count(target: Path) -> int:
    """How many bundles of `write_vectors` lie."""
    return sum(one["error"] != "" for one in json.loads((target / "broken/expected.json").read_text()))


def _tensors(target: Path) -> None:
    generator = np.random.default_rng(0)
    cases = []
    for number, (height, width, mean, std, layout, scale, zero) in enumerate(
        [
            (28, 28, (0.2860,), (0.3530,), "NCHW", None, 0),
            (28, 28, (0.2860,), (0.3530,), "NHWC", 0.0317, -25),
            (5, 7, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "NCHW", 0.01865845, -14),
            (5, 7, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "NHWC", 0.01865845, -14),
            (3, 4, (0.5019607843137255,) * 3, (1.0,) * 3, "NCHW", 1 / 255, 0),
            (3, 4, (0.0, 0.1, 0.2), (1.0, 0.003, 0.2), "NHWC", None, 0),
        ]
    ):
        pixels = generator.integers(0, 256, (height, width, len(mean)), dtype=np.uint8)
        table = ImageProcessor(height, width, mean, std).table()
        if scale is not None:
            table = quantise(table, scale, zero)
        tensor = arrange(look_up(table, pixels[None]), layout)
        (target / f"pixels-{number}.bin").write_bytes(pixels.tobytes())
        (target / f"tensor-{number}.bin").write_bytes(tensor.tobytes())
        case = {"height": height, "width": width, "mean": mean, "std": std, "shape": tensor.shape, "layout": layout}
        cases.append(case | {"dtype": tensor.dtype.name, "scale": scale, "zero_point": zero})
    (target / "tensors.json").write_text(json.dumps(cases))


def _classes(target: Path) -> None:
    """Logits, their best five and the bits of their probabilities; ties, large and equal ones among them."""
    generator = np.random.default_rng(1)
    rows = [*(generator.normal(0, spread, (40, 10)).astype(np.float32) for spread in (0.01, 1, 30))]
    steps = np.float32(0.0625) * generator.integers(-4, 4, (40, 10)).astype(np.float32)
    logits = np.concatenate([*rows, steps, np.zeros((1, 10), np.float32)])
    shares = softmax(logits)
    order = np.argsort(-shares, axis=1, kind="stable")[:, :5]
    bits = np.take_along_axis(shares, order, 1).view(np.int32)
    found = [
        {"logits": row.view(np.int32).tolist(), "order": best.tolist(), "bits": share.tolist()}
        for row, best, share in zip(logits, order, bits, strict=True)
    ]
    (target / "classes.json").write_text(json.dumps(found))


def _latency(target: Path) -> None:
    times = np.random.default_rng(2).gamma(3, 0.2, 101).tolist()
    turn = _Turns(lambda: None, first=9.0, times=times)
    summary = vars(_summarise(turn, False))
    (target / "latency.json").write_text(json.dumps({"times": times, "summary": summary}))


def _answers(bundle: Path, images: np.ndarray, labels: np.ndarray, target: Path) -> None:
    """Logits of each file on test images, as its own engine gives them here."""
    (target / "images.bin").write_bytes(images.tobytes())
    np.savez_compressed(target / "samples.npz", images=images, labels=labels)
    for name, entry in open_bundle(bundle).manifest.models.items():
        precision = "fp32" if entry.precision == "fp32" else "int8"
        with load(bundle, engine=entry.engine, precision=precision) as model:
            (target / f"{name}.logits").write_bytes(model.logits(images).tobytes())


def _hears(target: Path) -> None:
    """A bundle that takes recordings, and what it answers to those of `write_processing`."""
    bundle = unpack_folder(zoo.find("spoken-digits"), target / "audio.edge")
    with load(bundle, engine="litert") as model:
        paths = sorted((target / "recordings").glob("*.wav"))
        words = {path.name: model.predict(path, 1)[0].label for path in paths}
    (target / "words.json").write_text(json.dumps(words))


def _version2(bundle: Path, target: Path) -> None:
    """The same bundle as edgestill wrote it before processors were in manifests."""
    shutil.copytree(bundle, target)
    manifest = json.loads((bundle / "manifest.json").read_text())
    processor = manifest.pop("processor")
    manifest |= {
        "format_version": 2,
        "preprocessing": {key: processor[key] for key in ("height", "width", "mean", "std")},
    }
    (target / "manifest.json").write_text(json.dumps(manifest))


def _broken(bundle: Path, target: Path) -> None:
    """Bundles that lie, each with the name of the error that the Python runtime answers with."""

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

    pte = ("models", "model.pte")
    changes: list[Callable[[Path], object]] = [
        lambda path: None,
        text(b""), text(b"[]"), text(b"{"), text(b"\xff\xfe\x00"), text(b'{"format_version": 2, "format_version": 2}'),
        text(b'{"format_version": NaN}'), text(b'{"format_version": true}'), text(b'{"format_version": 4}'),
        text(b'{"a": "' + b"x" * (1 << 20) + b'"}'), text(b'{"training": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        put("name", value=7), put("labels", value="shirt"), put("labels", value=["shirt", 3]),
        put("scores", value="odds"), put("scores", value=1),
        put("parameters", value=-1), put("parameters", value=True), put("macs", value=1.5), put("agreement", value=1.2),
        put("accuracy", "teacher", value="high"), put("processor", "height", value=0),
        put("processor", "height", value=10**6), put("processor", "std", value=[0.0]),
        put("processor", "mean", value=[math.inf]), put(*pte, "engine", value="onnx"),
        put(*pte, "precision", value="int4"), put(*pte, "inputs", 0, "dtype", value="str"),
        put(*pte, "inputs", 0, "layout", value="CHWN"), put(*pte, "inputs", 0, "shape", value=[1, -1]),
        put(*pte, "inputs", 0, "shape", value=list(range(17))), put(*pte, "outputs", 0, "scale", value=0),
        put(*pte, "inputs", value=[]), put(*pte, "outputs", value={}), put(*pte, "outputs", value=[7]),
        put(*pte, "kept_float", value=[7]), put("processor", value="none"),
        put("files", "model.pte", "sha256", value="ABC"), put("files", "model.pte", "bytes", value=2**40),
        put("files", "model.pte", value=[]), put("files", "../x", value={"sha256": "0" * 64, "bytes": 0}),
        put("files", ".hidden", value={"sha256": "0" * 64, "bytes": 0}), put("models", "other.pte", value={}),
        put("files", "model.tflite", "bytes", value=5), put("files", "model.tflite", "sha256", value="0" * 64),
        flip("model.pte"), flip("model.tflite"), flip("golden.npz"),
        lambda path: (path / "model.pte").write_bytes((path / "model.pte").read_bytes()[:100]),
        lambda path: (path / "model.pte").unlink(), lambda path: (path / "more.bin").write_bytes(b"?"),
        lambda path: (path / "manifest.json").unlink(),
    ]  # fmt: skip
    expected = []
    for number, change in enumerate(changes):
        path = target / f"{number}.edge"
        shutil.copytree(bundle, path)
        change(path)
        error, names = "", {}
        try:
            open_bundle(path).verify()
        except BundleError as caught:
            error = type(caught).__name__
            names = {word: list(getattr(caught, word, ())) for word in ("changed", "missing", "extra")}
        expected.append({"bundle": path.name, "error": error, **names})
    (target / "expected.json").write_text(json.dumps(expected))
    assert [one["error"] for one in expected].count("") == 1, "only the bundle that nothing was done to is whole"
