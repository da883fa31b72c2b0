"""Trained nets on real data: what int8 costs, whether both files agree, and how other tools quantize the same net.

    python -m benchmarks.suite.converters.trained runs/nets runs/converters/trained.json

Test splits are read here, once, by finished files; calibration and budgets never use them.
"""

import argparse
import json
import subprocess
from functools import partial
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from edgestill import load_data
from edgestill.conversion import describe_model
from edgestill.data import Data, DataOptions
from edgestill.models import create_model, load_checkpoint
from edgestill.quantization import Budget
from edgestill.quantization import quantize as quantize_model
from edgestill.training import outputs_of
from edgestill_benchmarks import Rule, accuracy, measure, measure_latency, open_models
from edgestill_converters import ConversionOptions, convert
from edgestill_converters.output_capture import capture_output
from edgestill_converters.tensorflow_environment import cached_environment
from edgestill_runtime import Bundle, ModelFile, Processor, TensorSpec
from edgestill_runtime.engines import load_engine
from edgestill_runtime.processing import quantize
from edgestill_runtime.tasks.image_classification import same_class

from .train_nets import NETS

CALIBRATION = 256
RIVALS_ON = "cifar10-resnet8"
ONNX2TF = "1.28.8"
# What it imports and does not require.
ONNX2TF_NEEDS = (
    "onnx", "onnxscript", "onnxsim", "onnxruntime", "onnx_graphsurgeon", "sng4onnx", "tensorflow==2.21.*", "tf_keras",
    "psutil", "ai-edge-litert",
)  # fmt: skip


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
        data = loaded.get(source) or loaded.setdefault(source, load_data(source, options=DataOptions(calibration=512)))
        model = create_model(model_name, len(data.classes), data.processor.channels).eval()
        load_checkpoint(checkpoint, model)
        bundle = quantize_model(
            model, data, arguments.nets / f"{name}.edge", Budget("auto", "mixed", samples=CALIBRATION),
            ConversionOptions(log=arguments.nets / f"{name}.log"), overwrite=True,
        )  # fmt: skip
        row = {"name": name, "model": model_name, **judge(model, bundle, data)}
        found["nets"].append(row)
        print({key: value for key, value in row.items() if key != "p50_ms"}, flush=True)
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(found, indent=1) + "\n")
    if not found["rivals"]:
        source, model_name, _ = NETS[RIVALS_ON]
        data = loaded.get(source) or load_data(source, options=DataOptions(calibration=512))
        model = create_model(model_name, len(data.classes), data.processor.channels).eval()
        load_checkpoint(arguments.nets / f"{RIVALS_ON}.safetensors", model)
        found["rivals"] = compare_ways(model, data, arguments.nets)
        print(*found["rivals"], sep="\n", flush=True)
        arguments.output.write_text(json.dumps(found, indent=1) + "\n")


def judge(model: Any, bundle: Bundle, data: Data) -> dict[str, Any]:
    """Accuracies on the whole test split, agreement and differences of the int8 files, times."""
    logits = {"float": outputs_of(model, data.test, data, "cpu")[0]}
    for name, opened in open_models(bundle, 2).items():
        with opened:
            logits[name] = opened.logits(data.test.images)
    pte, tflite = logits["model.pte"], logits["model.tflite"]
    measured = measure(bundle, 1, Rule(min_calls=200, min_seconds=1.0))
    return {
        "test": len(data.test),
        "quantization": bundle.manifest.training["quantization"],
        "accuracy": {name: accuracy(found, data.test.targets) for name, found in logits.items()},
        "agreement": float(same_class(pte, tflite).mean()),
        "identical_logits": float((pte == tflite).mean()),
        "largest_difference": float(np.abs(pte - tflite).max()),
        "bytes": {name: bundle.files[name].bytes for name in bundle.manifest.models},
        "p50_ms": {one.file: one.latency_ms.p50 for one in measured.files},
    }


def compare_ways(model: Any, data: Data, folder: Path) -> list[dict[str, Any]]:
    """Ways to int8 files from one net and the same calibration images; one measurement for all, in turns.

    The other tools leave the normalization to the caller; ours is measured with it and without.
    """
    images = data.calibration(CALIBRATION)
    samples = torch.split(torch.from_numpy(data.processor.tensor(images.images)), 1)
    log, rows = folder / "rivals.log", []
    files: dict[str, tuple[str, bytes]] = {}
    entries: dict[str, tuple[ModelFile, Processor | None]] = {}
    for fold, word in ((True, "takes pixels"), (False, "takes what the net takes")):
        description = describe_model(model, images, RIVALS_ON)
        output = folder / f"rivals-{fold}.edge"
        bundle = convert(
            model,
            images.images,
            description,
            output,
            options=ConversionOptions(fold_pixels=fold, log=folder / "rivals-own.log"),
            overwrite=True,
        )
        for name in ("model.pte", "model.tflite"):
            entry, label = bundle.manifest.models[name], f"edgestill {name[5:]}, {word}"
            files[label], entries[label] = (entry.engine, bundle.read(name)), (entry, bundle.manifest.processor)
    ways = {
        "executorch recipe": executorch_recipe,
        "litert-torch + ai-edge-quantizer": ai_edge_quantizer,
        f"onnx2tf {ONNX2TF}": onnx2tf,
    }
    for label, way in ways.items():
        try:
            with capture_output(log):
                files[label] = way(model, samples, log)
        except Exception as error:  # a rival's failure is a row of the table
            rows.append({"name": label, "failed": f"{type(error).__name__}: {error}"[:300]})
    engines = {label: load_engine(engine, content, 1) for label, (engine, content) in files.items()}
    calls, measured = {}, []
    for label, engine in engines.items():
        entry, processor = entries.get(label, (None, None))
        spec = entry.inputs[0] if entry else engine.inputs[0]
        tensors = (processor or data.processor).tensor(data.test.images, spec.layout or _layout(spec))
        if spec.scale is not None and spec.zero_point is not None:
            tensors = quantize(tensors, spec.scale, spec.zero_point)
        logits = np.concatenate([engine.run([tensors[row : row + 1]])[0] for row in range(len(tensors))])
        calls[label] = partial(engine.run, [tensors[:1].copy()])
        share = float((logits.argmax(1) == data.test.targets).mean())
        measured.append({"name": label, "engine": engine.name, "accuracy": share, "bytes": len(files[label][1])})
    times = measure_latency(calls, Rule(min_calls=500, min_seconds=2.0))
    return [{**row, "p50_ms": times[row["name"]].p50, "min_ms": times[row["name"]].min} for row in measured] + rows


def _layout(spec: TensorSpec) -> Any:
    return "NHWC" if spec.shape[-1] in (1, 3) else "NCHW"


def executorch_recipe(model: Any, samples: Any, log: Path) -> tuple[str, bytes]:
    """ExecuTorch's own recipe for this: static int8, weights per channel."""
    from executorch.backends.xnnpack.recipes import XNNPackRecipeType
    from executorch.export import ExportRecipe, export

    recipe = ExportRecipe.get_recipe(XNNPackRecipeType.PT2E_INT8_STATIC_PER_CHANNEL)
    session = export(model, [(one,) for one in samples], recipe)
    return "executorch", bytes(session.get_pte_buffer())


def ai_edge_quantizer(model: Any, samples: Any, log: Path) -> tuple[str, bytes]:
    """litert-torch to float, channels last, then Google's quantizer: static int8."""
    import litert_torch
    from ai_edge_quantizer import quantizer, recipe

    channels_last = litert_torch.to_channel_last_io(model, args=[0]).eval()
    example = samples[0].permute(0, 2, 3, 1).contiguous()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "float.tflite"
        litert_torch.convert(channels_last, (example,)).export(str(path))
        work = quantizer.Quantizer(str(path), recipe.static_wi8_ai8())
        name = next(iter(load_engine("litert", path.read_bytes(), 1).inputs)).name.removeprefix("serving_default_")
        name = name.partition(":")[0]
        inputs = {"serving_default": [{name: one.permute(0, 2, 3, 1).contiguous().numpy()} for one in samples]}
        result = work.quantize(work.calibrate(inputs))
    return "litert", bytes(result.quantized_model)


def onnx2tf(model: Any, samples: Any, log: Path) -> tuple[str, bytes]:
    """torch → ONNX → TensorFlow → int8 by TensorFlow's converter, in an environment of its own."""
    requirements = [f"onnx2tf=={ONNX2TF}", f"torch=={metadata.version('torch')}", *ONNX2TF_NEEDS]
    python = cached_environment(f"onnx2tf-{ONNX2TF}", requirements, log)
    with TemporaryDirectory() as folder, open(log, "ab") as output:
        torch.export.save(torch.export.export(model, (samples[0],)), Path(folder) / "model.pt2")
        np.save(Path(folder) / "calibration.npy", torch.cat(samples).permute(0, 2, 3, 1).numpy())
        worker = Path(__file__).with_name("onnx2tf_worker.py")
        done = subprocess.run([python, "-I", worker], cwd=folder, stdout=output, stderr=output, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"onnx2tf ended with code {done.returncode}")
        return "litert", (Path(folder) / "out" / "model_full_integer_quant.tflite").read_bytes()


if __name__ == "__main__":
    main()
