"""`load` a bundle or a bare model file and get a `Model`: the same interface and input checks for every engine."""

import math
import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from .bundle import Bundle, open_bundle
from .engines import (
    Content,
    Engine,
    check_engine,
    family_of_head,
    family_of_path,
    get_family,
    how_to_install,
    installed_engines,
    load_engine,
)
from .errors import BundleFormatError, EngineError, InputError, refuse_engine
from .limits import Limits
from .manifest import MANIFEST, Manifest, ModelFile
from .processing import FloatArray, Layout, PixelArray, Processor, arrange, dequantize, look_up, plain, quantize
from .signature import TrustedKey
from .tasks import task_of
from .tensor_spec import TensorSpec

if TYPE_CHECKING:
    from .tasks import Task

FEW = 8192  # up to this size numpy computes a dot product on the calling thread


def load(
    source: str | os.PathLike[str] | Bundle,
    engine: str = "auto",
    threads: int = 1,
    precision: Literal["int8", "fp32"] = "int8",
    trusted_keys: TrustedKey | Sequence[TrustedKey] | None = None,
    isolated: bool | Limits = False,
    task: "type[Task] | None" = None,
) -> "Model":
    """Load a model file of a bundle, after its hash was checked, or a bare `.tflite`, `.pte` or other file, unchecked.

    Args:
        source: a bundle (directory, zip, or an opened `Bundle`), or a bare model file. A damaged or malicious bare file
            can crash this process or give wrong outputs: for an untrusted file use `isolated=True`.
        engine: `auto` selects the first installed engine that the bundle has a file for: litert, executorch, then
            engines of other packages. `litert` or `executorch` selects its best installed package,
            `litert/tensorflow` and the like exactly that package.
        threads: number of threads for one call, ≥ 1.
        precision: `int8` (or mixed, if the bundle has that instead), or `fp32` for the float baseline.
        trusted_keys: one or several Ed25519 public keys, one of which must have signed the bundle; see `open_bundle`.
        isolated: run the engine in a child process. If it crashes, hangs or uses too much memory, this process is not
            affected. `Limits` sets the time and memory allowed. Adds some tenths of a millisecond to a call.
        task: class of a task that this package does not have; see `tasks`.

    Raises:
        InputError: `task` is the class of another task than the bundle's.
        BundleError: not a bundle, not signed by a trusted key, or a file differs from the manifest. No engine has read
            the file.
        EngineError: the engine is not installed, the bundle has no file for it, or it refuses the file.
    """
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise EngineError(f"threads must be a whole number and at least 1, not {threads!r:.40}")
    if not isinstance(engine, str) or not isinstance(isolated, (bool, Limits)):
        raise EngineError(f"engine is a name and isolated a bool or Limits, not {engine!r:.40} and {isolated!r:.40}")
    if isinstance(source, Bundle) and trusted_keys is not None:
        raise EngineError("trusted_keys belong to open_bundle when the bundle is opened before it is loaded")
    if not isinstance(source, Bundle):
        path = Path(source)
        if family := bare_format(path):
            if trusted_keys is not None:
                raise BundleFormatError(f"{path} is a bare model file, which has no signature; give a bundle")
            return Model(None, path.name, read_bare(path), threads, _of_family(engine, family, path), isolated)
        source = open_bundle(path, trusted_keys)
    file, package = _choose(source, engine, precision)
    return Model(source.manifest, file, source.read_model(file), threads, package, isolated, task)


def bare_format(path: Path) -> str | None:
    """The engine of a bare model file, by its first bytes or else by its suffix; None if it is not a model file.

    Raises:
        EngineError: the suffix is not known, and an engine of another package, which may have it, cannot be imported.
    """
    if path.is_dir():
        family = None if (path / MANIFEST).exists() else family_of_path(path)
        return family.name if family is not None and family.folder else None
    if not path.is_file():
        return None
    with path.open("rb") as file:
        family = family_of_head(file.read(8)) or family_of_path(path)
    return None if family is None else family.name


def read_bare(path: Path) -> Content:
    """Content of a bare model file; for a folder, member path → bytes."""
    if not path.is_dir():
        return path.read_bytes()
    files = [one for one in path.rglob("*") if one.is_file()]
    return {one.relative_to(path).as_posix(): one.read_bytes() for one in sorted(files)}


def _of_family(engine: str, family: str, path: Path) -> str:
    if engine != "auto" and engine.partition("/")[0] != family:
        raise EngineError(f"{path} is a file for {family}, not for {engine}")
    if engine == "auto" and not installed_engines([family]):
        install = get_family(family).install
        raise EngineError(f"{path} needs {family}, which is not installed. Install it with: {install}")
    return family if engine == "auto" else engine


def _choose(bundle: Bundle, engine: str, precision: str) -> tuple[str, str]:
    """Name of the model file to load, and the engine to load it into."""
    manifest, kind = bundle.manifest, "quantized" if precision == "int8" else precision
    files = {one: name for one in manifest.engines if (name := manifest.find(one, kind)) is not None}
    if not files:
        present = ", ".join(dict.fromkeys(entry.precision for entry in manifest.models.values())) or "no"
        raise EngineError(f"{bundle.path} has no {precision} file; it has {present} files: say so with precision=…")
    if engine == "auto":
        usable = list(installed_engines(files))
        if not usable:
            raise EngineError(
                f"{bundle.path} has {precision} files for {', '.join(files)}, and none of these engines is installed. "
                f"{how_to_install({one: manifest.models[name].exporter for one, name in files.items()})}"
            )
        return files[usable[0]], usable[0]
    family = engine.partition("/")[0]
    if family not in files:
        check_engine(engine)
        raise EngineError(f"{bundle.path} has no {precision} file for {family}; it has {', '.join(manifest.models)}")
    return files[family], engine


def _engine_of(file: str) -> str:
    family = family_of_path(Path(file))
    return "" if family is None else family.name


class Model:
    """A loaded model file. Thread-safe: calls wait for each other. Close it, or use it in `with`.

    | method       | input                                           | output                                       |
    | ------------ | ----------------------------------------------- | -------------------------------------------- |
    | `predict`    | one photo or recording                          | its prediction, as the task defines it       |
    | `logits`     | photos or recordings                            | float32 (N, classes)                         |
    | `pixels`     | photos or recordings                            | uint8 (N, H, W, C)                           |
    | `tensor`     | photos or recordings                            | (N, …), file's dtype and layout              |
    | `infer`      | float32 arrays (N, …), one per input            | float32 (N, …), one per output               |
    | `outputs_of` | golden samples: uint8 (N, H, W, C), or as infer | tuple of float32 (N, …)                      |
    | `tensors_of` | golden samples, as `outputs_of`                 | tuple of (N, …), file's dtype and layout     |
    | `invoke`     | raw tensors: shape and dtype of `inputs`        | raw tensors: shape and dtype of `outputs`    |

    `predict`, `logits`, `pixels` and `tensor` need a bundle with a processor. `infer` and `invoke` run every file. In
    `infer` and `outputs_of`, tensors that are not quantized keep the file's dtype.

    If a call fails in the engine, the engine is discarded, and the next call loads it again.

    Args:
        manifest: of the bundle; None for a bare file, which has no labels and no processor.
        file: its name. content: of the file, as returned by `Bundle.read_model`.
        threads, package, isolated, task: `threads`, `engine`, `isolated`, `task` of `load`; None selects the file's own
            engine and the bundle's task.

    Attributes:
        file: name of the loaded file. engine: engine, package and version. labels: class names, empty for a bare file.
        inputs, outputs: specs of the file's own tensors; `input`, `output` if there is exactly one.
        task: what the outputs mean. scores: `logits` or `probabilities`: what a classifier's output holds.
        threads: None if the engine decides. processor: photo or recording → tensor; None if the model takes tensors.
    """

    def __init__(
        self,
        manifest: Manifest | None,
        file: str,
        content: Content,
        threads: int = 1,
        package: str | None = None,
        isolated: bool | Limits = False,
        task: "type[Task] | None" = None,
    ) -> None:
        entry = None if manifest is None else manifest.models.get(file)
        if manifest is not None and entry is None:
            raise EngineError(f"{file} is no model file of {manifest.name}; it has {', '.join(manifest.models)}")
        if entry is not None:
            get_family(entry.engine, entry.exporter)  # raises for an unknown engine, and names the exporter
        package = package or (entry.engine if entry else _engine_of(file))
        limits = Limits() if isolated is True else isolated
        self.file, self.labels = file, () if manifest is None else manifest.labels
        self.scores = "logits" if manifest is None else manifest.scores
        self.task = _task(manifest, entry, task)
        # Other threads wait for a running call. A signal handler that interrupts a call cannot wait: it is refused.
        self._lock = threading.RLock()
        self._closed = self._running = False
        # Kept to load the engine again after a failure.
        self._source = package, content, threads
        self._limits = limits
        engine = self._load()
        self._engine: Engine | None = engine
        try:
            self._describe(engine, manifest, entry)
        except BaseException:
            self.close()
            raise

    def _describe(self, engine: Engine, manifest: Manifest | None, entry: ModelFile | None) -> None:
        """Set inputs, outputs and processor from the engine and the manifest, which must agree."""
        self.engine, self.threads = engine.name, engine.threads
        self.inputs, self.outputs = engine.inputs, engine.outputs
        if entry is not None:
            _compare(self.file, entry, engine)
            self.inputs, self.outputs = entry.inputs, entry.outputs
        # In a bundle, images are channels first whatever the file's layout; a bare file keeps its own layout.
        self._arranged = entry is not None
        self._infer_specs = tuple(_infer_spec(spec, self._arranged) for spec in self.inputs)
        # Of each input: dtype, shape, strides (also of axes of length 1), and whether to check for NaN here.
        arrays = [np.empty(spec.shape, spec.dtype) for spec in self.inputs]
        checked_kind = "" if engine.checks_finite else "f"
        self._expected = [(one.dtype, one.shape, one.strides, one.dtype.kind == checked_kind) for one in arrays]
        self.processor = None if manifest is None else manifest.processor
        self._layout: Layout = (self.inputs[0].layout if self.inputs else None) or "NCHW"
        if self.processor is not None:
            # Normalization and int8 quantization in one lookup table: see processing/values.py.
            self._table: NDArray[Any] = self.processor.table()
            if self.input.dtype == "int8":
                self._table = quantize(self._table, *_scale(self.input))

    @property
    def input(self) -> TensorSpec:
        """Spec of the only input.

        Raises:
            EngineError: the file has several.
        """
        return _only(self.inputs, "inputs", self.file)

    @property
    def output(self) -> TensorSpec:
        """Spec of the only output.

        Raises:
            EngineError: the file has several.
        """
        return _only(self.outputs, "outputs", self.file)

    def predict(self, source: Any, top: int | None = None, rate: int | None = None, **options: Any) -> Any:
        """One photo, frame or recording → its prediction.

        Args:
            source: an image: a path, a PIL image, or an array uint8 (H, W, C) of any size. A recording: a path, or an
                array (T,) or (T, channels). See the bundle's processor.
            top: number of labels to return, best first, for tasks that rank labels; None for all.
            rate: samples per second (1,000 to 384,000) of a recording given as an array: float in -1…1, int16 or int32,
                where the integer range is full scale. A file has its own rate; a different one is refused.
            options: of the task (`Task.options`), such as `threshold`.

        Returns:
            For a classifier a list of `Prediction(label, score)`, best first; the label is the class number if the
            bundle has no labels. For other tasks see `edgestill_runtime.tasks`.

        Raises:
            InputError: the input cannot be processed, the file is bare, the task has no such option, or the task is
                unknown. EngineError: an output has NaN or infinity.
        """
        if top is not None:
            options["top"] = top
        if options and (unknown := sorted(options.keys() - set(self.task.options))):
            known = ", ".join(self.task.options) or "none"
            raise InputError(f"{self.file}: {self.task.name} has no option {unknown[0]!r}; it has {known}")
        pixels = self.pixels(source, rate)
        if len(pixels) != 1:
            raise InputError(f"predict takes one input, not {len(pixels)}; use logits for several")
        outputs = self._outputs_of_pixels([pixels])
        for values in outputs:
            if odd := int((~np.isfinite(values)).sum()):
                raise EngineError(
                    f"{self.file} returned {odd} of {values.size} values that are not finite (NaN or infinity); "
                    "run selftest to check that the bundle still gives its recorded outputs"
                )
        try:
            return self.task.answer(outputs, **options)[0]
        except InputError as error:
            raise InputError(f"{self.file}: {error}") from error

    def logits(self, sources: Any, rate: int | None = None) -> FloatArray:
        """Photos or recordings → logits float32 (N, classes).

        Inputs are processed one at a time, so memory for them does not grow with N.

        Args:
            sources: a list of inputs as `predict` takes them, a batch uint8 (N, H, W, C), or one input.
            rate: samples per second of recordings given as arrays; see `predict`.

        Returns:
            float32 (N, classes); probabilities if the model itself ends in a softmax or sigmoid (see `scores`).

        Raises:
            InputError: as `predict`; the message has the index of the input.
        """
        _only(self.outputs, "outputs", self.file)
        return self._logits(self._processor().each(sources, rate))

    def pixels(self, sources: Any, rate: int | None = None) -> PixelArray:
        """Photos or recordings → pixels uint8 (N, H, W, C) of the model's size, before normalization.

        Args:
            sources, rate: as for `logits`.

        Raises:
            InputError: as `predict`.
        """
        return self._processor().pixels(sources, rate)

    def tensor(self, sources: Any, rate: int | None = None) -> NDArray[Any]:
        """Photos or recordings → input tensor for `invoke`: processed, normalized, quantized, in the file's layout.

        Args:
            sources, rate: as for `logits`.

        Returns:
            (N, C, H, W) or (N, H, W, C), with the dtype and layout of `input`. `invoke` takes one row: `[i : i + 1]`.
        """
        return self._arrange(self.pixels(sources, rate))

    def infer(self, *values: NDArray[Any]) -> Any:
        """Float arrays → float arrays, for any file: quantizes inputs and dequantizes outputs.

        Args:
            values: one array per input, in the order of `inputs`. float32 if the file's tensor is quantized with one
                scale, else the tensor's own dtype. If all inputs and outputs of the file have a batch axis of 1, the
                arrays may have any batch size N, the same for all. Images are (N, C, H, W) for a bundle, whatever the
                file's own layout; for a bare file they have the file's layout. Quantization clips to the range found
                in calibration; for int8 `scale · (-128 - zero_point)` to `scale · (127 - zero_point)`.

        Returns:
            One array, or a tuple if the file has several outputs; float32 if the output is quantized, else its own
            dtype.

        Raises:
            InputError: wrong number of arrays, or an array of wrong shape or dtype, or with NaN or infinity.
        """
        if len(values) != len(self.inputs):
            raise InputError(f"{self.file} takes {len(self.inputs)} inputs, not {len(values)}")
        batched = self._single_sample
        tensors = self._tensors(values, batched)
        if batched:
            counts = {len(tensor) for tensor in tensors}
            if len(counts) != 1:
                raise InputError(f"{self.file}: the inputs have {sorted(counts)} samples; give as many of each")
            results = self._dequantized_rows(
                self._checked([tensor[row : row + 1] for tensor in tensors]) for row in range(counts.pop())
            )
        else:
            results = self._dequantized(self._checked(tensors))
        return results[0] if len(results) == 1 else results

    def tensors_of(self, samples: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """Golden samples → input tensors for `invoke`.

        Args:
            samples: as for `outputs_of`.

        Returns:
            One array (N, …) per input, with the file's dtype and layout.
        """
        if self.processor is not None:
            return (self.tensor(samples[0]),)
        return tuple(np.ascontiguousarray(tensor) for tensor in self._tensors(samples, self._single_sample))

    def outputs_of(self, samples: Sequence[NDArray[Any]]) -> tuple[Any, ...]:
        """Golden samples → outputs as float arrays.

        Args:
            samples: one array per input, as in `Golden.inputs`: pixels uint8 (N, H, W, C) if the model has a processor,
                else arrays as `infer` takes them.

        Returns:
            One array (N, …) per output, always a tuple; float32 if the output is quantized, else its own dtype.
        """
        if self.processor is not None:
            return self._outputs_of_pixels(self.processor.each(samples[0]))
        results = self.infer(*samples)
        return results if isinstance(results, tuple) else (results,)

    def invoke(self, *tensors: NDArray[Any]) -> Any:
        """Raw tensors → raw tensors: one call of the engine, without quantization or layout changes.

        Args:
            tensors: one array per input, with the shape and dtype of `inputs`, such as int8 (1, H, W, C).

        Returns:
            One array, or a tuple if the file has several outputs, with the shape and dtype of `outputs`.

        Raises:
            InputError: wrong number of arrays, or an array of wrong shape or dtype, or with NaN or infinity.
        """
        results = self._checked(tensors)
        return results[0] if len(results) == 1 else tuple(results)

    def close(self) -> None:
        """Free the engine's memory; later calls raise EngineError."""
        with self._lock:
            self._closed = True
            if not self._running:
                self._discard()

    def __enter__(self) -> "Model":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _load(self) -> Engine:
        if not self._limits:
            return load_engine(*self._source)
        from .isolation import IsolatedEngine

        return IsolatedEngine(*self._source, self._limits)

    def _arrange(self, pixels: PixelArray) -> NDArray[Any]:
        return arrange(look_up(self._table, pixels), self._layout)

    def _processor(self) -> Processor:
        if self.processor is None and self._arranged:
            raise InputError(f"{self.file} takes tensors, not images; use infer with one array for each input")
        if self.processor is None:
            raise InputError(
                f"{self.file} is a bare file: nothing says how a photo or a recording becomes its input, or what its "
                "outputs mean. Use infer or invoke with tensors, or load a bundle."
            )
        return self.processor

    def _logits(self, pixels: Iterable[PixelArray]) -> FloatArray:
        return np.asarray(self._outputs_of_pixels(pixels)[0], np.float32)

    def _outputs_of_pixels(self, pixels: Iterable[PixelArray]) -> tuple[NDArray[Any], ...]:
        """Every output (N, …), dequantized, for N arrays of pixels (1, H, W, C)."""
        return self._dequantized_rows(self._run([self._arrange(one)]) for one in pixels)

    def _dequantized_rows(self, rows: Iterable[Sequence[NDArray[Any]]]) -> tuple[NDArray[Any], ...]:
        columns = list(zip(*rows, strict=True)) or [[np.empty((0, *one.shape[1:]), one.dtype)] for one in self.outputs]
        return self._dequantized([np.concatenate(column) for column in columns])

    def _dequantized(self, results: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        pairs = zip(results, self.outputs, strict=True)
        return tuple(self._channels_first(_dequantized(result, spec), spec) for result, spec in pairs)

    def _channels_first(self, value: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
        turn = self._arranged and spec.layout == "NHWC" and value.ndim == 4
        return np.ascontiguousarray(value.transpose(0, 3, 1, 2)) if turn else value

    @property
    def _single_sample(self) -> bool:
        """Whether every input and output has a batch axis of 1, so that `infer` can run any N, one by one."""
        ones = bool(self.inputs) and all(spec.shape[:1] == (1,) for spec in (*self.inputs, *self.outputs))
        return ones and not any(0 in spec.dynamic for spec in self.inputs)

    def _tensors(self, values: Sequence[NDArray[Any]], batched: bool) -> list[NDArray[Any]]:
        triples = zip(values, self.inputs, self._infer_specs, strict=True)
        return [self._quantized(*triple, batched) for triple in triples]

    def _quantized(self, value: NDArray[Any], spec: TensorSpec, infer_spec: TensorSpec, batched: bool) -> NDArray[Any]:
        """One argument of `infer`, checked and converted to the file's own dtype and layout."""
        value = plain(value)
        integers = self._arranged and spec.scale is None
        tensor = _as_integers(value, spec, self.file) if integers else value
        if spec.scale is not None and spec.zero_point is not None and getattr(value, "dtype", None) != np.float32:
            received = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
            raise InputError(
                f"{self.file}: infer takes float32 for the {spec.dtype} input {spec.name!r} (scale {spec.scale:.3g}), "
                f"not {received}; invoke takes the file's own {spec.dtype}"
            )
        _check_shape(tensor, infer_spec, f"{self.file}: infer", batched, value)
        if infer_spec.layout != spec.layout:
            tensor = tensor.transpose(0, 2, 3, 1)
        if spec.scale is None or spec.zero_point is None:
            return tensor
        _check_finite(tensor, self.file)
        return quantize(tensor, spec.scale, spec.zero_point, spec.dtype)

    def _checked(self, tensors: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        if len(tensors) != len(self._expected):
            raise InputError(f"{self.file} takes {len(self._expected)} inputs, not {len(tensors)}")
        checked: list[NDArray[Any]] = []
        for tensor, (dtype, shape, strides, floating) in zip(tensors, self._expected, strict=True):
            if type(tensor) is not np.ndarray or tensor.dtype != dtype or tensor.shape != shape:
                tensor = plain(tensor)
                _check_shape(tensor, self.inputs[len(checked)], self.file)
            if floating:
                _check_finite(tensor, self.file)
            # Not every engine reads strides, so arrays are passed C-contiguous.
            checked.append(tensor if tensor.strides == strides else np.array(tensor, order="C", copy=True))
        return self._run(checked)

    def _run(self, tensors: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        with self._lock:
            if self._running:
                raise EngineError(f"{self.file} was called from a signal handler during a call of the same thread")
            if self._closed:
                raise EngineError(f"{self.file} was closed; load it again")
            self._running = True
            try:
                if self._engine is None:
                    self._engine = self._load()
                return self._engine.run(tensors)
            except InputError:
                raise  # refused before anything was run
            except BaseException as error:
                # A failure or an interrupt may leave the engine in an unknown state, so it is discarded.
                self._discard()
                refuse_engine(f"{self.engine} failed on {self.file}", error)
                raise
            finally:
                self._running = False
                if self._closed:  # by a signal handler, during this call
                    self._discard()

    def _discard(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()


def _task(manifest: Manifest | None, entry: ModelFile | None, custom: "type[Task] | None") -> "Task":
    """The task of a model file; a bare file has none, so it is `tensors`."""
    if manifest is None or entry is None:
        return task_of("tensors")
    task = task_of(manifest.task, manifest.labels, manifest.task_settings, manifest.scores, custom)
    if custom is not None:  # built-in tasks were checked with the manifest
        try:
            task.check(entry.outputs)
        except ValueError as error:
            raise InputError(f"{custom.__name__} cannot be the task of {manifest.name}: {error}") from error
    return task


def _infer_spec(spec: TensorSpec, arranged: bool) -> TensorSpec:
    """The spec of an input as `infer` takes it: float32 if quantized; NCHW for images of a bundle (`arranged`)."""
    dtype = spec.dtype if spec.scale is None or spec.zero_point is None else "float32"
    if not arranged or spec.layout != "NHWC" or len(spec.shape) != 4:
        return replace(spec, dtype=dtype)
    count, height, width, channels = spec.shape
    dynamic = tuple(sorted((0, 2, 3, 1)[axis] for axis in spec.dynamic))
    return replace(spec, dtype=dtype, shape=(count, channels, height, width), layout="NCHW", dynamic=dynamic)


def _only(specs: tuple[TensorSpec, ...], word: str, file: str) -> TensorSpec:
    if len(specs) != 1:
        raise EngineError(f"{file} has {len(specs)} {word}; see Model.{word}")
    return specs[0]


def _check_shape(tensor: Any, spec: TensorSpec, caller: str, batched: bool = False, original: Any = None) -> None:
    """Refuse a tensor whose dtype or shape does not match the spec; sizes of dynamic axes may differ.

    Args:
        caller: file and method, for the message. original: the caller's own value, if `tensor` was converted from it.
        batched: the first axis holds any number of samples, 0 included.
    """
    if isinstance(tensor, np.ndarray) and tensor.dtype == spec.dtype:
        shape = (*spec.shape[:1], *tensor.shape[1:]) if batched and tensor.ndim else tensor.shape
        if spec.accepts(shape):
            return
    value = tensor if original is None else original
    received = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
    sizes = f"(N, {', '.join(map(str, spec.shape[1:]))})".replace(", )", ",)") if batched else spec.shape
    layout = f" ({spec.layout})" if spec.layout else ""
    name = f" for {spec.name!r}" if spec.name else ""
    varying = f", axes {spec.dynamic} may differ" if spec.dynamic else ""
    many = ", any number N of samples" if batched else ""
    raise InputError(f"{caller} takes {spec.dtype} {sizes}{layout}{name}{varying}{many}, not {received}")


def _as_integers(value: NDArray[Any], spec: TensorSpec, file: str) -> NDArray[Any]:
    """Integers (token ids, say) in the width of the file's input: LiteRT's converter turns int64 into int32."""
    if not isinstance(value, np.ndarray) or value.dtype.name == spec.dtype or value.dtype.kind not in "iu":
        return value
    dtype = np.dtype(spec.dtype)
    if dtype.kind not in "iu":
        return value
    bounds = np.iinfo(dtype)
    if value.size and (value.min() < bounds.min or value.max() > bounds.max):
        raise InputError(f"{file}: values from {value.min()} to {value.max()} do not fit its {spec.dtype} input")
    return value.astype(dtype)


def _check_finite(tensor: NDArray[Any], file: str) -> None:
    # Fast check first: this number is finite only if every value is. It can overflow for finite values, hence the
    # second check. No dot product of large tensors: numpy would start its own threads, which compete with the engine's.
    fast = np.vdot(tensor, tensor) if tensor.size < FEW else float(tensor.min()) + float(tensor.max())
    if not math.isfinite(fast) and not np.isfinite(tensor).all():
        raise InputError(f"{file}: the tensor has values that are not finite (NaN or infinity)")


def _dequantized(values: NDArray[Any], spec: TensorSpec) -> Any:
    if spec.scale is not None and spec.zero_point is not None:
        return dequantize(values, spec.scale, spec.zero_point)
    return values


def _scale(spec: TensorSpec) -> tuple[float, int]:
    if spec.scale is None or spec.zero_point is None:
        raise EngineError("the manifest has no scale and zero point for an int8 tensor; make the bundle again")
    return spec.scale, spec.zero_point


def _compare(file: str, entry: ModelFile, engine: Engine) -> None:
    """Refuse a file whose tensors are not those of its manifest entry."""
    for word, stated, found in (("input", entry.inputs, engine.inputs), ("output", entry.outputs, engine.outputs)):
        if [(spec.shape, spec.dtype) for spec in stated] != [(spec.shape, spec.dtype) for spec in found]:
            expected, actual = (", ".join(f"{spec.dtype} {spec.shape}" for spec in specs) for specs in (stated, found))
            raise EngineError(
                f"{file}: the manifest says its {word} is {expected}, the engine found {actual}; make the bundle again"
            )
