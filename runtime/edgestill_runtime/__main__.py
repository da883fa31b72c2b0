"""On a device: show, run and test a file. `python -m edgestill_runtime info FILE | run FILE INPUT … | selftest BUNDLE`

Exit codes: 0 done · 1 refused, or the self-test found a difference · 2 wrong usage. FILE is a
bundle, whose files are checked against its manifest, or a bare .tflite or .pte. A bare file runs in a child process
(`isolated`) unless `--in-process` says that it is trusted.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arguments import count
from .bundle import open_bundle
from .comparison import finite
from .engines import candidates, installed_engines
from .errors import EdgestillError, InputError, reason
from .golden import replay_golden, why_failed
from .model import Model, bare_format, load
from .processing import ImageProcessor
from .processing.arrays import read_array
from .tasks import shown_quality
from .tensor_spec import TensorSpec


def main() -> int:
    """Parse the arguments and run the command; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m edgestill_runtime", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    info = commands.add_parser("info", help="inputs and outputs of a bundle or a file, and which engines can run it")
    run = commands.add_parser("run", help="classify an image, or run arrays; print the outputs and the latency")
    selftest = commands.add_parser("selftest", help="check every hash and replay the bundle's golden samples")
    for command, function in ((info, _info), (run, _run), (selftest, _selftest)):
        command.set_defaults(function=function)
        command.add_argument("file", type=Path, help="a bundle (folder or zip), or a bare .tflite or .pte file")
        command.add_argument("--json", action="store_true", help="print JSON")
        command.add_argument("--trusted-key", action="append", metavar="KEY", help="refuse a bundle not signed by it")
    for command in (info, run):
        command.add_argument(
            "--engine", default="auto", help="such as litert or executorch, or one package: litert/tflite-runtime"
        )
        command.add_argument("--in-process", action="store_true", help="trust a bare file: run it without isolation")
    run.add_argument(
        "input", nargs="+", type=Path, help="a photo (needs Pillow), a recording, or one .npy for each input"
    )
    run.add_argument("--rate", type=count, help="samples a second, of a recording in an .npy")
    run.add_argument("--threads", type=count, default=1, help="of one call (default: 1)")
    run.add_argument("--precision", choices=("int8", "fp32"), default="int8", help="of a bundle's file (default: int8)")
    run.add_argument(
        "--top",
        type=count,
        default=5,
        help="how many labels, or values of each output, to print (default: 5)",
    )
    run.add_argument("--calls", type=count, default=50, help="calls to time (default: 50)")
    arguments = parser.parse_args()
    try:
        return int(arguments.function(arguments))
    except (EdgestillError, OSError) as error:
        where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        print(f"error: {where}{reason(error)}", file=sys.stderr)
        return 1


def _info(arguments: argparse.Namespace) -> int:
    path: Path = arguments.file
    if bare_format(path):
        with _load(arguments) as model:
            specs = {side: [asdict(spec) for spec in getattr(model, side)] for side in ("inputs", "outputs")}
            facts: dict[str, Any] = {"file": str(path), "bytes": _size(path), "engine": model.engine, **specs}
            lines = [f"{path}: {facts['bytes']:,} bytes, {model.engine}", *_spec_lines(model)]
    else:
        bundle = open_bundle(path, arguments.trusted_key)
        manifest, engines = bundle.manifest, installed_engines(bundle.manifest.engines)
        files = {name: asdict(entry) for name, entry in bundle.files.items()}
        facts = {**manifest.to_json(), "files": files, "signed_by": bundle.signed_by, "engines": engines}
        lines = [f"{path}: {manifest.name}, {manifest.task}, {len(manifest.labels)} labels"]
        if manifest.processor is not None:
            lines.append(f"  input: {manifest.processor.summary}")
        for name, entry in manifest.models.items():
            score = "".join(f", {text}" for text in shown_quality(manifest.task, entry.quality))
            runs = engines.get(entry.engine, "no engine for it is installed")
            lines.append(f"  {name}: {bundle.size(name):,} bytes, {entry.precision}{score}; {runs}")
        lines += [f"  {name}: {one}" for name in engines for one in candidates(name) if one.version]
    print(_json(facts) if arguments.json else "\n".join(lines))
    return 0


def _size(path: Path) -> int:
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file()) if path.is_dir() else path.stat().st_size


def _run(arguments: argparse.Namespace) -> int:
    with _load(arguments, arguments.threads, arguments.precision) as model:
        call, shown = (_of_tensors if model.processor is None else _of_processor)(model, arguments)
        outputs, latency = _timed(call, arguments.calls)
        results = shown(outputs)
        threads = "the engine's own number of" if model.threads is None else model.threads
        if arguments.json:
            print(_json({"engine": model.engine, "results": results, "latency_ms": latency}))
            return 0
        print(f"{model.file} · {model.engine} · {threads} thread{'s' * (model.threads != 1)}")
        for row in results:
            print("  " + "  ".join(f"{name} {value}" for name, value in row.items()))
        print(
            f"latency: p50 {latency['p50']:.3f} ms, p90 {latency['p90']:.3f} ms over {arguments.calls} calls; "
            f"first call {latency['first']:.3f} ms"
        )
    return 0


def _selftest(arguments: argparse.Namespace) -> int:
    if bare_format(arguments.file):
        raise InputError(f"{arguments.file} is a bare file, with nothing to test it against; give a bundle")
    bundle = open_bundle(arguments.file, arguments.trusted_key)
    bundle.verify()
    replays = replay_golden(bundle)
    failure = why_failed(replays)
    if arguments.json:
        rows = [replay.to_json() for replay in replays]
        print(_json({"hashes": "intact", "golden": rows, "passed": not failure, "reason": failure}))
    else:
        print(f"{len(bundle.files)} files match the manifest")
        for replay in replays:
            print(f"{replay.file}: {replay.summary}")
        print(f"FAILED: {failure}" if failure else "passed")
    return 1 if failure else 0


def _load(arguments: argparse.Namespace, threads: int = 1, precision: Any = "int8") -> Model:
    isolated = bool(bare_format(arguments.file)) and not arguments.in_process
    return load(arguments.file, arguments.engine, threads, precision, arguments.trusted_key, isolated)


def _of_processor(model: Model, arguments: argparse.Namespace) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    if len(arguments.input) != 1:
        raise InputError(f"{model.file} takes one photo or recording at a time, not {len(arguments.input)}")
    # The input is processed once: only the model is timed.
    pixels = model.pixels(str(arguments.input[0]), arguments.rate)

    task = model.task
    if not task.measures:
        return lambda: model.outputs_of((pixels,)), lambda results: _values(model, results, arguments.top)
    top = arguments.top if "top" in task.options else None
    return lambda: model.predict(pixels, top), task.plain


def _of_tensors(model: Model, arguments: argparse.Namespace) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    if len(arguments.input) != len(model.inputs):
        raise InputError(
            f"{model.file} takes {len(model.inputs)} inputs, not {len(arguments.input)}; give one .npy each"
        )
    bare = bare_format(arguments.file) is not None
    values = [_tensor(path, spec, bare) for path, spec in zip(arguments.input, model.inputs, strict=True)]
    real = all(
        value.dtype == np.float32 or spec.scale is None for value, spec in zip(values, model.inputs, strict=True)
    )

    def call() -> tuple[NDArray[Any], ...]:
        results = model.infer(*values) if real else model.invoke(*values)
        return results if isinstance(results, tuple) else (results,)

    return call, lambda results: _values(model, results, arguments.top)


def _values(model: Model, results: tuple[NDArray[Any], ...], top: int) -> list[dict[str, Any]]:
    """Rows of plain data: each output's name, shape and dtype, then its `top` largest values."""
    rows: list[dict[str, Any]] = []
    for number, (spec, result) in enumerate(zip(model.outputs, results, strict=True)):
        rows.append({"output": spec.name or number, "shape": list(result.shape), "dtype": result.dtype.name})
        flat = result.reshape(-1)
        order = np.argsort(-flat.astype(np.float64), kind="stable")[:top]
        rows += [{"index": int(index), "value": round(float(flat[index]), 4)} for index in order]
    return rows


def _tensor(path: Path, spec: TensorSpec, bare: bool) -> NDArray[Any]:
    """An input of a model without processor: an array, or pixels if a bare file takes uint8 images."""
    if path.suffix.lower() == ".npy":
        return read_array(path)
    pixels = len(spec.shape) == 4 and spec.dtype == "uint8" and spec.layout == "NHWC" and spec.shape[3] in (1, 3)
    if not bare or not pixels:
        what, instead = ("bare file", ", or load a bundle") if bare else ("bundle's model", "")
        raise InputError(
            f"{path}: this {what} takes {spec.dtype} {spec.shape}, and nothing says how an image becomes that. "
            f"Give the tensor as .npy{instead}."
        )
    height, width, channels = spec.shape[1:]
    return ImageProcessor(height, width, (0.0,) * channels, (1.0,) * channels).pixels(str(path))


def _json(data: Any) -> str:
    return json.dumps(finite(data), indent=2, ensure_ascii=False, allow_nan=False)


def _timed(call: Callable[[], Any], calls: int) -> tuple[Any, dict[str, float]]:
    times = []
    for _ in range(calls + 1):
        started = time.perf_counter_ns()
        result = call()
        times.append((time.perf_counter_ns() - started) / 1e6)
    p50, p90 = np.percentile(times[1:], [50, 90])
    return result, {"p50": round(float(p50), 4), "p90": round(float(p90), 4), "first": round(times[0], 4)}


def _spec_lines(model: Model) -> list[str]:
    lines = []
    for word, specs in (("input", model.inputs), ("output", model.outputs)):
        for spec in specs:
            scale = "" if spec.scale is None else f", scale {spec.scale:.6g}, zero point {spec.zero_point}"
            varying = f", axes {spec.dynamic} may differ" if spec.dynamic else ""
            lines.append(f"  {word} {spec.dtype} {spec.shape}{varying}{scale}  {spec.name}".rstrip())
    return lines


if __name__ == "__main__":
    sys.exit(main())
