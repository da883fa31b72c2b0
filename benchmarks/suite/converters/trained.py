"""Trained nets on real data: what int8 costs, whether both files agree, and what other tools make of the same net.

    python -m benchmarks.suite.converters.trained runs/nets runs/converters/trained.json

Test splits are read here, once, by files that are finished; calibration and budgets never see them.
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgestill import load_data
from edgestill.conversion import describe_model
from edgestill.data import Data
from edgestill.models import create_model, load_checkpoint
from edgestill.quantisation import Budget, quantise
from edgestill.training import predict
from edgestill_benchmarks import accuracy, agreement, measure, measure_latency, open_models
from edgestill_converters.quiet import logged_to
from edgestill_runtime import Bundle
from edgestill_runtime.engines import load_engine

from .train_nets import NETS

CALIBRATION = 256
RIVALS_ON = "cifar10-resnet8"


def main() -> None:
    """Convert every net that has been trained and is not in the output, then the rivals on one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    found: dict[str, Any] = {"nets": [], "rivals": []}
    if arguments.output.is_file():
        found = json.loads(arguments.output.read_text())
    done = {row["name"] for row in found["nets"]}
    loaded: dict[str, Data] = {}
    for name, (source, model_name, _) in NETS.items():
        checkpoint = arguments.nets / f"{name}.safetensors"
        if not checkpoint.is_file() or name in done:
            continue
        data = loaded.get(source) or loaded.setdefault(source, load_data(source, calibration=512))
        model = create_model(model_name, len(data.classes), data.preprocessing.channels).eval()
        load_checkpoint(checkpoint, model)
        bundle = quantise(
            model, data, describe_model(model, name, data.calibration(CALIBRATION)), arguments.nets / f"{name}.edge",
            Budget("ptq", "mixed"), samples=CALIBRATION, overwrite=True, log=arguments.nets / f"{name}.log",
        )  # fmt: skip
        row = {"name": name, "model": model_name, **judge(model, bundle, data)}
        found["nets"].append(row)
        print({key: value for key, value in row.items() if key != "p50_ms"}, flush=True)
        if name == RIVALS_ON:
            found["rivals"] = rivals(model, bundle, data, arguments.nets / "rivals.log")
            print(*found["rivals"], sep="\n", flush=True)
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(found, indent=1) + "\n")


def judge(model: Any, bundle: Bundle, data: Data) -> dict[str, Any]:
    """Accuracies on the whole test split, agreement and differences of the int8 files, times."""
    logits = {"float": predict(model, data.test, data, "cpu")}
    for name, opened in open_models(bundle, 2).items():
        with opened:
            logits[name] = opened.logits(data.test.images)
    pte, tflite = logits["model.pte"], logits["model.tflite"]
    measured = measure(bundle, 1, min_calls=200, min_seconds=1.0)
    return {
        "test": len(data.test),
        "quantisation": bundle.manifest.training["quantisation"],
        "accuracy": {name: accuracy(given, data.test.labels) for name, given in logits.items()},
        "agreement": agreement(pte, tflite),
        "identical_logits": float((pte == tflite).mean()),
        "largest_difference": float(np.abs(pte - tflite).max()),
        "bytes": {name: bundle.files[name].bytes for name in bundle.manifest.models},
        "p50_ms": {one.file: one.latency_ms.p50 for one in measured.files},
    }


def rivals(model: Any, bundle: Bundle, data: Data, log: Path) -> list[dict[str, Any]]:
    """Other ways to int8 files from the same net and the same calibration images; one measurement for all, in turns."""
    calibration = torch.from_numpy(data.preprocessing.tensor(data.calibration(CALIBRATION).images))
    samples = torch.split(calibration, 1)
    ways = {"executorch recipe": executorch_recipe, "litert-torch + ai-edge-quantizer": ai_edge_quantizer}
    files = {
        "edgestill .pte": ("executorch", bundle.read("model.pte"), 0.0),
        "edgestill .tflite": ("litert", bundle.read("model.tflite"), 0.0),
    }
    failed = []
    for word, way in ways.items():
        begun = time.perf_counter()
        try:
            with logged_to(log):
                engine, content = way(model, samples)
            files[word] = (engine, content, time.perf_counter() - begun)
        except Exception as error:  # a rival's failure is a row of the table
            failed.append({"name": word, "failed": f"{type(error).__name__}: {error}"[:300]})
    engines = {word: load_engine(engine, content, 1) for word, (engine, content, _) in files.items()}
    manifest = bundle.manifest
    rows, calls = [], {}
    for word, engine in engines.items():
        entry = {"edgestill .pte": "model.pte", "edgestill .tflite": "model.tflite"}.get(word)
        spec = manifest.models[entry].inputs[0] if entry else engine.inputs[0]
        preprocessing = manifest.preprocessing if entry else data.preprocessing
        assert preprocessing is not None
        tensors = preprocessing.tensor(data.test.images, spec.layout or "NCHW")
        if spec.dtype == "int8":
            from edgestill_runtime.preprocess import quantise

            tensors = quantise(tensors, spec.scale, spec.zero_point)
        logits = np.concatenate([engine.run([tensors[row : row + 1]])[0] for row in range(len(tensors))])
        calls[word] = partial(engine.run, [tensors[:1].copy()])
        share = float((logits.argmax(1) == data.test.labels).mean())
        rows.append({"name": word, "engine": engine.name, "accuracy": share, "bytes": len(files[word][1])})
    times = measure_latency(calls, 500, 2.0)
    return [{**row, "p50_ms": times[row["name"]].p50, "min_ms": times[row["name"]].min} for row in rows] + failed


def executorch_recipe(model: Any, samples: Any) -> tuple[str, bytes]:
    """ExecuTorch's own recipe for this: static int8, weights per channel."""
    from executorch.backends.xnnpack.recipes import XNNPackRecipeType
    from executorch.export import ExportRecipe, export

    recipe = ExportRecipe.get_recipe(XNNPackRecipeType.PT2E_INT8_STATIC_PER_CHANNEL)
    session = export(model, [(one,) for one in samples], recipe)
    return "executorch", bytes(session.get_pte_buffer())


def ai_edge_quantizer(model: Any, samples: Any) -> tuple[str, bytes]:
    """litert-torch to float, channels last, then Google's quantizer: static int8."""
    import litert_torch
    from ai_edge_quantizer import quantizer, recipe

    channels_last = litert_torch.to_channel_last_io(model, args=[0]).eval()
    example = samples[0].permute(0, 2, 3, 1).contiguous()
    path = Path("/tmp") / "edgestill-rival.tflite"
    litert_torch.convert(channels_last, (example,)).export(str(path))
    work = quantizer.Quantizer(str(path), recipe.static_wi8_ai8())
    name = next(iter(load_engine("litert", path.read_bytes(), 1).inputs)).name.removeprefix("serving_default_")
    name = name.partition(":")[0]
    shown = {"serving_default": [{name: one.permute(0, 2, 3, 1).contiguous().numpy()} for one in samples]}
    result = work.quantize(work.calibrate(shown))
    path.unlink()
    return "litert", bytes(result.quantized_model)


if __name__ == "__main__":
    main()
