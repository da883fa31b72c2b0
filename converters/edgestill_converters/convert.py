"""A model → one quantization → files for all engines → a bundle whose files have all been run."""

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import metadata
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import torch
from numpy.typing import NDArray
from torch import nn
from torch.fx import GraphModule

from edgestill_runtime import (
    Bundle,
    EdgestillError,
    EngineCrashError,
    EngineError,
    EngineMemoryError,
    EngineTimeoutError,
    Golden,
    Limits,
    Manifest,
    Model,
    ModelFile,
    Processor,
    TensorSpec,
    write_bundle,
)
from edgestill_runtime.bundle import GOLDEN, golden_npz
from edgestill_runtime.engines import Content
from edgestill_runtime.files import refuse_existing

from .backends import BUILT_IN, TARGETS, Exported, backends_of, get_backend
from .errors import ConversionError
from .exporting import LIMIT_SECONDS, Export, export_files
from .exports import Precision, check_installed, files_of, flat_contents, make_exports
from .graph import Graph, Samples, as_arrays, make_graph, tensors
from .output_capture import capture_thread_output, with_log
from .parity import ALLOWED_QUANTIZED, check_against_model, check_model, check_rewrites
from .precision import precision_of, refuse_float
from .scale import Scale
from .source_model import flat_outputs, private_copy
from .support import refuse_for
from .tasks import scores_of, usual_task

GOLDEN_SAMPLES = 16
LONGEST = 1e9  # seconds: limits of an engine must be finite


@dataclass(frozen=True)
class Description:
    """Facts about the model that the bundle keeps beside its files.

    Args:
        name: of the model. labels: class names in the order of the logits; empty where it does not classify.
        processor: raw pixels → the model's input; None for inputs other than images.
        parameters, macs: the model's size.
        training: plain facts for the manifest (teacher, student, objective, seed, data).
        task, task_settings: what the outputs mean, see `edgestill_runtime.tasks`; an empty task means a classifier
            where the model maps images to one score for each of several classes, else `tensors`.
    """

    name: str
    labels: Sequence[str]
    processor: Processor | None
    parameters: int
    macs: int
    training: Mapping[str, Any]
    task: str = ""
    task_settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ConversionOptions:
    """How a model becomes files.

    Args:
        targets: names of backends. precision: `int8` (with fp32 files as the baseline), or `fp32` alone; a backend that
            cannot quantize makes an fp32 file.
        float_nodes: graph nodes to leave in float (`sensitivity.py` lists them); the precision is then `mixed` if they
            have more than 1 % of the multiply-accumulates.
        trained: a graph that was trained with fake quantization (`quantize.FakeQuantized`), used instead of
            calibration; with `float_nodes` only its weights are used, and calibrated.
        fold_pixels: put the normalization of pixels into the graph: the input of an int8 file is then `uint8 - 128`.
        fp32_baseline: a bundle of the same model whose fp32 files are copied instead of exported again.
        allowed_deviation: of the outputs of an int8 file from those of the model, relative (RMS); infinity for callers
            that measure its accuracy themselves.
        limit_seconds: for each export, then for the engine to load the file, and for a call.
        log: file for the output of the exporters; None: it is kept only when something fails.
    """

    targets: Sequence[str] = TARGETS
    precision: Precision = "int8"
    float_nodes: Sequence[str] = ()
    trained: GraphModule | None = None
    fold_pixels: bool = True
    fp32_baseline: Bundle | None = None
    allowed_deviation: float = ALLOWED_QUANTIZED
    limit_seconds: float = LIMIT_SECONDS
    log: str | PathLike[str] | None = None


def steps(
    targets: Sequence[str] = TARGETS, precision: Precision = "int8", fp32_baseline: bool = True
) -> tuple[str, ...]:
    """Names of the steps of a conversion; `on_step` is called with each as it begins."""
    return ("quantize", *files_of(backends_of(targets), precision, fp32_baseline), "check")


def convert(
    model: nn.Module,
    samples: Samples,
    description: Description,
    output: str | PathLike[str],
    options: ConversionOptions = ConversionOptions(),
    *,
    overwrite: bool = False,
    on_step: Callable[[str], None] = lambda name: None,
) -> Bundle:
    """Quantize once, export to the targets, run every file, write the bundle.

    Args:
        model: has one tensor for each input, batch 1, and returns one or several tensors; it is copied, never changed.
        samples: real data to calibrate with; the first of them become the golden samples.
        output: path of the bundle. overwrite: replace an existing one, once the new one is complete.
        on_step: called with the name of each of `steps(…)` as it begins; exporters run in parallel.

    Raises:
        CalibrationError: no samples, or of the wrong shape or type.
        ConversionError: the model cannot be exported, an exporter failed, a file that should be int8 is all float, or
            the outputs of a file differ from those of the model; names the log.
        StorageError: `output` exists and `overwrite` is false, or it cannot be written.
    """
    if not overwrite:
        refuse_existing(output)
    _check_options(options)
    check_installed(backends_of(options.targets), options.precision)
    log = None if options.log is None else Path(options.log)
    with TemporaryDirectory() as temporary, capture_thread_output(log) as path:
        try:
            manifest, contents = _make(model, samples, description, options, Path(temporary), path, on_step)
        except EdgestillError as error:
            _append_traceback(error, path)
            raise with_log(error, path, log) from error
        except Exception as error:  # whatever a library raises: the user gets one line and the log
            _append_traceback(error, path)
            failed = ConversionError(
                "the conversion failed at a place where it should not, which is a bug of edgestill: please report it "
                "with the model and the log"
            )
            raise with_log(failed, path, log) from error
    return write_bundle(output, manifest, contents, overwrite=overwrite)


def _make(
    model: nn.Module, samples: Samples, description: Description, options: ConversionOptions, folder: Path, log: Path,
    on_step: Callable[[str], None],
) -> tuple[Manifest, dict[str, bytes]]:  # fmt: skip
    """The manifest and the content of all files, which were run before."""
    on_step("quantize")
    backends, baseline = backends_of(options.targets), options.fp32_baseline
    graph = make_graph(model, samples, description.processor, options.fold_pixels)
    refuse_for(graph.module, backends)
    results = _check_labels(graph, description)
    few = [one[:GOLDEN_SAMPLES] for one in as_arrays(samples, graph.processor)]
    # Before minutes go into exporting a graph that is not the model, or a model that is not deterministic.
    reference = _outputs(graph.module, graph.processor, few)
    check_rewrites(_model_outputs(model, description.processor, few), reference)
    exports, floating = make_exports(
        graph, samples, backends, options.precision, options.float_nodes, options.trained, baseline
    )
    exported = export_files(exports, folder, log, limit_seconds=options.limit_seconds, on_step=on_step)
    on_step("check")
    contents: dict[str, Content] = {name: one.content for name, one in exported.items()}
    checking = _checking(options.limit_seconds)
    manifest = _manifest(description, graph, exports, exported, options.float_nodes, results, floating, checking)
    if baseline is not None:
        manifest, contents = _add_fp32_baseline(manifest, contents, baseline)
    golden = Golden(tuple(few), _run(manifest, contents, few, checking))
    check_against_model(reference, golden.outputs, manifest, options.allowed_deviation)
    return manifest, {**flat_contents(contents), GOLDEN: golden_npz(golden)}


def _check_options(options: ConversionOptions) -> None:
    if not isinstance(options, ConversionOptions):
        raise ConversionError(f"options must be ConversionOptions(…), not {options!r:.60}")
    precision, float_nodes, limit_seconds = options.precision, options.float_nodes, options.limit_seconds
    if isinstance(float_nodes, str):
        raise ConversionError(f"float_nodes is names of graph nodes in a list or tuple, not {float_nodes!r}")
    if precision not in get_args(Precision):
        raise ConversionError(f"unknown precision {precision!r}; valid: {', '.join(get_args(Precision))}")
    if not limit_seconds > 0:  # neither is NaN
        raise ConversionError(f"limit_seconds is a number of seconds above 0, not {limit_seconds}")


def _check_labels(graph: Graph, description: Description) -> int:
    """Number of outputs; those of a classifier are checked against the labels."""
    with torch.inference_mode():
        results = flat_outputs(graph.module(*graph.examples))
    shape, classes = tuple(results[0].shape), len(description.labels)
    if classes and len(results) != 1:
        raise ConversionError(
            f"the model has {len(results)} outputs; {classes} labels need one, of shape (1, {classes}): give a model "
            "that returns its logits alone, or convert it without labels"
        )
    if classes and shape != (1, classes):
        raise ConversionError(
            f"the model's output for one image has shape {shape}; {classes} labels need (1, {classes})"
        )
    return len(results)


def _manifest(
    description: Description,
    graph: Graph,
    exports: Mapping[str, Export],
    exported: Mapping[str, Exported],
    float_nodes: Sequence[str],
    results: int,
    floating: Sequence[str],
    checking: Limits,
) -> Manifest:
    models = {}
    for name, one in exported.items():
        backend, quantized = get_backend(exports[name].backend), exports[name].quantized
        with _loaded(None, name, one.content, checking, backend.name) as loaded:
            inputs, outputs = loaded.inputs, loaded.outputs
        if len(outputs) != results:
            # Inputs, constants and repeated tensors are outputs like any other, in both formats.
            raise ConversionError(
                f"{name} has {len(outputs)} outputs, the model {results}: this is an exporter's bug, please report it "
                f"with the model; leave {backend.name} out of the targets meanwhile"
            )
        precision, share = precision_of(name, one.content, backend, quantized)
        if quantized and precision == "fp32":
            refuse_float(name, floating)
        models[name] = ModelFile(
            engine=backend.name,
            precision=precision,
            inputs=_with_scales(inputs, one.inputs),
            outputs=_named(_with_scales(outputs, one.outputs), graph.outputs),
            exporter=backend.maker(),
            float_nodes=tuple(float_nodes) if quantized else (),
            float_macs=share,
        )
    task = description.task or usual_task(graph.processor, [one.shape for one in next(iter(models.values())).outputs])
    used = [get_backend(one.backend) for one in exports.values()]
    packages = dict.fromkeys(["edgestill", "torch", "torchao", *(one.exporter for one in (*BUILT_IN, *used))])
    facts = {**description.training, "rewrites": graph.rewrites}
    return Manifest(
        name=description.name,
        task=task,
        labels=tuple(description.labels),
        processor=graph.processor,
        models=models,
        parameters=description.parameters,
        macs=description.macs,
        training={**facts, "float_layers": list(floating)} if floating else facts,
        versions={name: version for name in packages if (version := _version(name)) is not None},
        scores=scores_of(task, graph.last),
        task_settings=description.task_settings,
    )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _named(specs: Sequence[TensorSpec], names: Sequence[str]) -> tuple[TensorSpec, ...]:
    """Outputs with the names that the model has for them, if it has any."""
    if not any(names):
        return tuple(specs)
    return tuple(replace(spec, name=name or spec.name) for spec, name in zip(specs, names, strict=True))


def _with_scales(specs: Sequence[TensorSpec], scales: Sequence[Scale | None]) -> tuple[TensorSpec, ...]:
    """Specs with the scales that the exporter reported: a `.pte` does not store those of its inputs and outputs."""
    if not scales:
        return tuple(specs)
    return tuple(
        spec if scale is None else replace(spec, scale=scale.scale, zero_point=scale.zero_point)
        for spec, scale in zip(specs, scales, strict=True)
    )


def _add_fp32_baseline(
    manifest: Manifest, contents: dict[str, Content], fp32_baseline: Bundle
) -> tuple[Manifest, dict[str, Content]]:
    fp32 = {name: entry for name, entry in fp32_baseline.manifest.models.items() if entry.precision == "fp32"}
    models = {**manifest.models, **fp32}
    return replace(manifest, models=models), {**contents, **{name: fp32_baseline.read_model(name) for name in fp32}}


def _run(
    manifest: Manifest, contents: Mapping[str, Content], samples: Sequence[NDArray[Any]], checking: Limits
) -> dict[str, tuple[NDArray[Any], ...]]:
    outputs = {}
    for name in manifest.models:
        with _loaded(manifest, name, contents[name], checking) as loaded:
            outputs[name] = loaded.outputs_of(samples)
    return outputs


@contextmanager
def _loaded(
    manifest: Manifest | None, name: str, content: Content, limits: Limits, engine: str | None = None
) -> Iterator[Model]:
    """Load a new file in its engine, in a process of its own, which isolates its output and its crashes.

    Raises:
        ConversionError: the engine rejects it or fails on it, takes too long, or runs out of memory.
    """
    try:
        with Model(manifest, name, content, package=engine, isolated=limits) as loaded:
            yield loaded
    except EngineError as error:
        raise ConversionError(f"{name} was written, but {_why_not_run(error, limits)}") from error


def _checking(limit_seconds: float) -> Limits:
    """Limits for the check of a new file: the time of an export, and all the memory there is."""
    seconds = min(limit_seconds, LONGEST)
    return Limits(load_seconds=seconds, call_seconds=seconds, memory_bytes=1 << 40)


def _why_not_run(error: EngineError, limits: Limits) -> str:
    """Why an engine did not run a new file, and what to do."""
    leave = "leave that engine out of the targets"
    match error:
        case EngineTimeoutError():
            return (
                f"its engine was not done with it after {limits.load_seconds:g} s and was ended; allow more, or {leave}"
            )
        case EngineMemoryError():
            return (
                f"memory ran out as its engine loaded or ran it; make more of it free, use a smaller input, or {leave}"
            )
        case EngineCrashError():
            signal = f" by {error.signal}" if error.signal else ""
            return f"its engine's process was ended{signal} as it loaded or ran it; {leave}"
        case _:
            return (
                "its engine refuses it or fails on it, as a rule because the exporter writes an operator of the model "
                f"that the engine lacks; {leave}, or see docs/converters.md for operators that are carried"
            )


def _model_outputs(
    model: nn.Module, processor: Processor | None, samples: Sequence[NDArray[Any]]
) -> tuple[NDArray[Any], ...]:
    """The outputs of the model itself, which is called twice.

    Raises:
        ConversionError: the outputs of the second call differ, or are NaN.
    """
    copied = private_copy(model)
    before = {name: value.clone() for name, value in copied.named_buffers()}
    first, second = (_outputs(copied, processor, samples) for _ in range(2))
    changed = [
        name for name, value in copied.named_buffers() if name in before and not torch.equal(value, before[name])
    ]
    check_model(first, second, changed)
    return first


def _outputs(
    module: nn.Module, processor: Processor | None, samples: Sequence[NDArray[Any]]
) -> tuple[NDArray[Any], ...]:
    """Outputs of a float model for samples, one array for each output."""
    with torch.inference_mode():
        inputs = tensors(samples[0] if processor is not None else samples, processor)
        rows = [flat_outputs(module(*sample)) for sample in inputs]
    return tuple(torch.cat(column).numpy() for column in zip(*rows, strict=True))


def _append_traceback(error: Exception, log: Path) -> None:
    with open(log, "a", encoding="utf-8", errors="replace") as file:
        traceback.print_exception(error, file=file)
