"""A trained model → four files from one quantisation → a bundle that was run before it is called done."""

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgestill_runtime import (
    Bundle,
    EdgestillError,
    Golden,
    InputError,
    Manifest,
    Model,
    ModelFile,
    Preprocessing,
    write_bundle,
)
from edgestill_runtime.bundle import GOLDEN, golden_npz
from edgestill_runtime.engines import load_engine
from edgestill_runtime.files import refuse_existing

from .errors import CalibrationError, ConversionError
from .parity import check_against_model
from .quiet import logged_to

GOLDEN_SAMPLES = 16
EXPORTERS = {"executorch": "executorch", "litert": "litert-torch"}
STEPS = ("quantise", "model.pte", "model.fp32.pte", "model.tflite", "model.fp32.tflite", "check")


@dataclass(frozen=True)
class Description:
    """What a bundle says of the model, beside its files.

    Args:
        name: of the model. labels: class names in the order of the logits.
        parameters, macs: the model's size.
        training: plain facts that end in the manifest (teacher, student, objective, seed, data).
    """

    name: str
    labels: Sequence[str]
    preprocessing: Preprocessing
    parameters: int
    macs: int
    training: Mapping[str, Any]


def convert(
    model: nn.Module,
    images: NDArray[np.uint8],
    description: Description,
    output: str | Path,
    *,
    overwrite: bool = False,
    log: Path | None = None,
    on_step: Callable[[str], None] = lambda name: None,
) -> Bundle:
    """Quantise once, export to both formats, run every file, write the bundle.

    Args:
        model: float32 (1, C, H, W) → logits (1, classes); on the CPU.
        images: uint8 (N, H, W, C), real samples to calibrate with; a few of them become the golden samples.
        output: the bundle's path. overwrite: replace what is there, once the new bundle is complete.
        log: where the exporters' own output goes.
        on_step: called with the name of each of `STEPS` as it begins.

    Raises:
        CalibrationError: images of another size or type, or none.
        ConversionError: an exporter failed, or a file answers differently from the model; names the log.
        StorageError: `output` exists and `overwrite` is false, or it cannot be written.
    """
    if not overwrite:
        refuse_existing(output)
    tensors = torch.from_numpy(_calibration(images, description.preprocessing))
    _check_model(model, tensors[:1], description)
    with logged_to(log) as path:
        try:
            contents = _export(model.eval(), tensors, on_step)
            on_step("check")
            golden_images = images[:GOLDEN_SAMPLES]
            manifest = _manifest(description, contents)
            logits = _run(manifest, contents, golden_images)
            check_against_model(model, tensors[:GOLDEN_SAMPLES], logits, manifest)
        except EdgestillError:
            raise
        except Exception as error:  # whatever an exporter raises, people get one line and the log
            traceback.print_exc()
            where = f"; see {path}" if log else ""
            first = (str(error).strip().splitlines() or [""])[0]
            raise ConversionError(f"conversion failed: {type(error).__name__}: {first}{where}") from error
    everything = {**contents, GOLDEN: golden_npz(Golden(golden_images, logits))}
    return write_bundle(output, manifest, everything, overwrite=overwrite)


def _calibration(images: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.float32]:
    try:
        tensors = preprocessing.tensor(images)
    except InputError as error:
        raise CalibrationError(f"calibration: {error}") from error
    if len(tensors) == 0:
        raise CalibrationError("calibration: no images; a few hundred real ones are usual")
    return tensors


def _check_model(model: nn.Module, example: Tensor, description: Description) -> None:
    with torch.inference_mode():
        shape = tuple(model.eval()(example).shape)
    if shape != (1, len(description.labels)):
        raise ConversionError(
            f"the model answers one image with shape {shape}; "
            f"{len(description.labels)} labels need (1, {len(description.labels)})"
        )


def _export(model: nn.Module, tensors: Tensor, on_step: Callable[[str], None]) -> dict[str, bytes]:
    on_step("quantise")
    # The exporters are heavy to import (10 s and more), so that happens only when something is converted.
    from . import quantize
    from .executorch import export_pte
    from .litert import export_tflite

    # A fresh tensor: strides of a channels-last one would end in the file as its layout.
    example = torch.zeros(tensors[:1].shape)
    prepared = quantize.calibrate(quantize.prepare(model, example), torch.split(tensors, 1))
    folded, unfolded = quantize.folded(prepared), quantize.unfolded(prepared)
    exports: dict[str, Callable[[], bytes]] = {
        "model.pte": lambda: export_pte(folded, example),
        "model.fp32.pte": lambda: export_pte(model, example),
        "model.tflite": lambda: export_tflite(unfolded, example, quantised=True),
        "model.fp32.tflite": lambda: export_tflite(model, example, quantised=False),
    }
    contents = {}
    for name, export in exports.items():
        on_step(name)
        contents[name] = export()
    return contents


def _manifest(description: Description, contents: Mapping[str, bytes]) -> Manifest:
    models = {}
    for name, content in contents.items():
        kind = "executorch" if name.endswith(".pte") else "litert"
        engine = load_engine(kind, content, 1)
        (taken,), (given,) = engine.inputs, engine.outputs
        engine.close()
        models[name] = ModelFile(
            engine=kind,
            precision="fp32" if ".fp32." in name else "int8",
            input=taken,
            output=given,
            exporter=f"{EXPORTERS[kind]} {metadata.version(EXPORTERS[kind])}",
        )
    packages = ("edgestill", "torch", "torchao", *EXPORTERS.values())
    return Manifest(
        name=description.name,
        labels=tuple(description.labels),
        preprocessing=description.preprocessing,
        models=models,
        parameters=description.parameters,
        macs=description.macs,
        training=description.training,
        versions={package: metadata.version(package) for package in packages},
    )


def _run(
    manifest: Manifest, contents: Mapping[str, bytes], images: NDArray[np.uint8]
) -> dict[str, NDArray[np.float32]]:
    logits = {}
    for name, content in contents.items():
        with Model(manifest, name, content) as loaded:
            logits[name] = loaded.logits(images)
    return logits
