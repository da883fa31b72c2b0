"""`load` a bundle or a bare model file, get a `Model`: the same checks and the same answers with every engine."""

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

FEW = 8192  # values whose product with themselves numpy works out on the calling thread


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
        source: a bundle (directory, zip, or opened), or a bare model file. A bare file that was damaged or made to do
            harm can crash this process or answer wrongly: give only files that you trust, or `isolated=True`.
        engine: `auto` takes the first of litert, executorch, and then those that other packages bring, that is
            installed and that there is a file for; `litert` or `executorch` the best package for it,
            `litert/tensorflow` and so on exactly that package.
        threads: that one call may use, ≥ 1.
        precision: `int8` (or mixed, where the bundle has that instead), or `fp32` for the files in float, the baseline.
        trusted_keys: an Ed25519 key, or several, one of which must have signed the bundle; see `open_bundle`.
        isolated: run the engine in a process of its own, which may crash, hang or eat memory without harm to this
            one; `Limits` says how long and how much. A call costs some tenths of a millisecond more.
        task: the class of a task that is not of this package; see `tasks`.

    Raises:
        InputError: `task` is for another task than the bundle's.
        BundleError: no bundle, not signed as it should be, or a file that differs from its manifest; no engine has
            seen it.
        EngineError: the engine is not installed, there is no file for it, or it refuses the file.
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
                raise BundleFormatError(f"{path} is a bare model file, which nobody can have signed; give a bundle")
            return Model(None, path.name, read_bare(path), threads, _of_family(engine, family, path), isolated)
        source = open_bundle(path, trusted_keys)
    file, package = _choose(source, engine, precision)
    return Model(source.manifest, file, source.read_model(file), threads, package, isolated, task)


def bare_format(path: Path) -> str | None:
    """The engine of a bare model file, by its ending or else by its first bytes; None where it is none.

    Raises:
        EngineError: the ending may be that of an engine which another package brings and which cannot be used.
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
    """Content of a bare model file; of a folder, member → bytes."""
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
    manifest, wanted = bundle.manifest, "quantized" if precision == "int8" else precision
    files = {one: name for one in manifest.engines if (name := manifest.find(one, wanted)) is not None}
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
    """A loaded file. Safe to use from several threads: calls wait for each other. Close it, or use it in `with`.

    A call that fails in the engine leaves nothing behind: the next one runs in a freshly loaded engine.

    Args:
        manifest: of the bundle that the file is in; None for a bare file, which has no labels and no processor.
        file: its name. content: from a bundle, as `Bundle.read_model` gave it.
        threads, package, isolated, task: as `threads`, `engine`, `isolated`, `task` of `load`; None takes the file's
            own engine, and the bundle's task.

    Attributes:
        file: name of the loaded file. engine: engine, package and version. labels: class names, empty for a bare file.
        inputs, outputs: what the file itself takes and gives; `input`, `output` where it is one each.
        task: what the outputs mean. scores: `logits` or `probabilities`, whichever the one output of a classifier is.
        threads: None where the engine decides. processor: photos or recordings → tensor; None where it takes tensors.
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
            get_family(entry.engine, entry.exporter)  # one that is not known here is told by what made the file
        package = package or (entry.engine if entry else _engine_of(file))
        limits = Limits() if isolated is True else isolated
        self.file, self.labels = file, () if manifest is None else manifest.labels
        self.scores = "logits" if manifest is None else manifest.scores
        self.task = _task(manifest, entry, task)
        # Other threads wait for a call; a signal handler in the middle of one cannot, and must not run another.
        self._lock = threading.RLock()
        self._closed = self._running = False
        # Kept to start again after a failure; the engine reads the same bytes.
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
        """What the file takes and gives, as the engine found it and the manifest says it."""
        self.engine, self.threads = engine.name, engine.threads
        self.inputs, self.outputs = engine.inputs, engine.outputs
        if entry is not None:
            _compare(self.file, entry, engine)
            self.inputs, self.outputs = entry.inputs, entry.outputs
        # A bundle speaks of tensors as the model has them, channels first; a bare file is taken as it is.
        self._arranged = entry is not None
        self._taken = tuple(_real_input(spec, self._arranged) for spec in self.inputs)
        # What each tensor must look like, strides of axes of length 1 included; and whether to look for NaN in it.
        fresh = [np.empty(spec.shape, spec.dtype) for spec in self.inputs]
        looked_at = "" if engine.checks_finite else "f"
        self._expected = [(array.dtype, array.shape, array.strides, array.dtype.kind == looked_at) for array in fresh]
        self.processor = None if manifest is None else manifest.processor
        self._layout: Layout = (self.inputs[0].layout if self.inputs else None) or "NCHW"
        if self.processor is not None:
            # All of normalization, int8 quantization included, as one table: see processing/values.py.
            self._table: NDArray[Any] = self.processor.table()
            if self.input.dtype == "int8":
                self._table = quantize(self._table, *_scale(self.input))

    @property
    def input(self) -> TensorSpec:
        """What the file takes, where that is one tensor."""
        return _only(self.inputs, "inputs", self.file)

    @property
    def output(self) -> TensorSpec:
        """What the file gives, where that is one tensor."""
        return _only(self.outputs, "outputs", self.file)

    def predict(self, source: Any, top: int | None = None, rate: int | None = None, **options: Any) -> Any:
        """Answer one photo, frame or recording.

        Args:
            source: a path, a PIL image, an array uint8 (H, W, C) of any size, or whatever else the bundle's processor
                takes; for sound a path, or samples.
            top: only the best so many, of a task that ranks labels.
            rate: samples a second, 1,000 to 384,000, of samples: float in -1…1, int16 in ±32768 or int32 in ±2³¹, which
                are full scale whatever the microphone's own bits. A file says its own rate; another one is refused.
            options: of the task (`Task.options`), such as `threshold`.

        Returns:
            As the bundle's task has it: labels with probabilities, best first, for a classifier (without labels the
            numbers of the classes); see `edgestill_runtime.tasks`.

        Raises:
            InputError: nothing that the processor can turn into the model's input, a bare file, an option that the task
                has not, or a model that nobody said the task of. EngineError: NaN or infinity as an answer.
        """
        given = options if top is None else {"top": top, **options}
        if given and (unknown := sorted(given.keys() - set(self.task.options))):
            known = ", ".join(self.task.options) or "none"
            raise InputError(f"{self.file}: {self.task.name} has no option {unknown[0]!r}; it has {known}")
        pixels = self.pixels(source, rate)
        if len(pixels) != 1:
            raise InputError(f"predict takes one input, not {len(pixels)}; use logits for several")
        outputs = self._answers([pixels])
        for values in outputs:
            if odd := int((~np.isfinite(values)).sum()):
                raise EngineError(
                    f"{self.file} answered with {odd} of {values.size} values that are not finite (NaN or infinity), "
                    "which is no answer; selftest tells whether the bundle still answers as when it was made"
                )
        try:
            return self.task.answer(outputs, **given)[0]
        except InputError as error:
            raise InputError(f"{self.file}: {error}") from error

    def logits(self, sources: Any, rate: int | None = None) -> FloatArray:
        """Logits float32 (N, classes) of any number of inputs: a list, a batch uint8 (N, H, W, C), or one of them.

        Of a model that ends in a softmax (`scores`), its probabilities. Memory does not grow with their number, but for
        the logits.

        Args:
            rate: samples a second, of samples; see `predict`.

        Raises:
            InputError: as `predict`; names which of several it is.
        """
        _only(self.outputs, "outputs", self.file)
        return self._logits(self._processor().each(sources, rate))

    def pixels(self, sources: Any, rate: int | None = None) -> PixelArray:
        """uint8 (N, H, W, C): what the bundle's processor makes of inputs, before normalization.

        Raises:
            InputError: as `predict`.
        """
        return self._processor().pixels(sources, rate)

    def tensor(self, sources: Any, rate: int | None = None) -> NDArray[Any]:
        """What `invoke` takes, for inputs as `logits` takes them: processed, quantized, in the file's layout.

        Returns:
            (N, …) with the dtype and layout of `input`; `invoke` takes one row of it at a time, `[i : i + 1]`.
        """
        return self._arrange(self.pixels(sources, rate))

    def infer(self, *values: NDArray[Any]) -> Any:
        """Run real numbers through any file, bare ones included, and get real numbers back.

        Args:
            values: one array for each input, in the order of `inputs`: float32 where the file's tensor is quantized
                with one scale (it is quantized here), else the tensor's own dtype. Where the file takes one sample at
                a time (all its inputs and outputs begin with an axis of 1), arrays may begin with any number N.
                Of a bundle, images are (N, C, H, W) whatever the file's own layout; of a bare file, as the file says.
                What the integers of a quantized input cannot stand for, beyond the range that calibration found, is
                cut to the nearest value that they can: int8 holds `scale · (-128 - zero_point)` to
                `scale · (127 - zero_point)`.

        Returns:
            One array, or a tuple of them where the file has several outputs; float32 where they were quantized.

        Raises:
            InputError: another number of arrays, or one of another shape, dtype or with values that are not finite.
        """
        if len(values) != len(self.inputs):
            raise InputError(f"{self.file} takes {len(self.inputs)} inputs, not {len(values)}")
        several = self._one_by_one
        tensors = self._tensors(values, several)
        if several:
            counts = {len(tensor) for tensor in tensors}
            if len(counts) != 1:
                raise InputError(f"{self.file}: the inputs have {sorted(counts)} samples; give as many of each")
            real = self._real_rows(
                self._checked([tensor[row : row + 1] for tensor in tensors]) for row in range(counts.pop())
            )
        else:
            real = self._real(self._checked(tensors))
        return real[0] if len(real) == 1 else real

    def tensors_of(self, samples: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """What `invoke` takes, for samples as `outputs_of` takes them."""
        if self.processor is not None:
            return (self.tensor(samples[0]),)
        return tuple(np.ascontiguousarray(tensor) for tensor in self._tensors(samples, self._one_by_one))

    def outputs_of(self, samples: Sequence[NDArray[Any]]) -> tuple[Any, ...]:
        """Outputs for samples as a bundle keeps them (`Golden.inputs`): pixels, or what `infer` takes."""
        if self.processor is not None:
            return self._answers(self.processor.each(samples[0]))
        results = self.infer(*samples)
        return results if isinstance(results, tuple) else (results,)

    def invoke(self, *tensors: NDArray[Any]) -> Any:
        """Run tensors as the file itself takes them (`inputs`), and return what the file itself gives (`outputs`).

        Returns:
            One array, or a tuple of them where the file has several outputs.

        Raises:
            InputError: another number, shape or dtype, or a value that is not finite.
        """
        results = self._checked(tensors)
        return results[0] if len(results) == 1 else tuple(results)

    def close(self) -> None:
        """Free the engine's memory; calls after this raise EngineError."""
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
                "outputs mean. Use infer or invoke with its own tensors, or load a bundle."
            )
        return self.processor

    def _logits(self, pixels: Iterable[PixelArray]) -> FloatArray:
        return np.asarray(self._answers(pixels)[0], np.float32)

    def _answers(self, pixels: Iterable[PixelArray]) -> tuple[NDArray[Any], ...]:
        """Every output as real numbers, for pixels (1, H, W, C) one after the other."""
        return self._real_rows(self._run([self._arrange(one)]) for one in pixels)

    def _real_rows(self, rows: Iterable[Sequence[NDArray[Any]]]) -> tuple[NDArray[Any], ...]:
        columns = list(zip(*rows, strict=True)) or [[np.empty((0, *one.shape[1:]), one.dtype)] for one in self.outputs]
        return self._real([np.concatenate(column) for column in columns])

    def _real(self, results: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        pairs = zip(results, self.outputs, strict=True)
        return tuple(self._channels_first(_real(result, spec), spec) for result, spec in pairs)

    def _channels_first(self, value: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
        turn = self._arranged and spec.layout == "NHWC" and value.ndim == 4
        return np.ascontiguousarray(value.transpose(0, 3, 1, 2)) if turn else value

    @property
    def _one_by_one(self) -> bool:
        """Whether the file takes one sample at a time, so that `infer` takes any number of them."""
        ones = bool(self.inputs) and all(spec.shape[:1] == (1,) for spec in (*self.inputs, *self.outputs))
        return ones and not any(0 in spec.dynamic for spec in self.inputs)

    def _tensors(self, values: Sequence[NDArray[Any]], several: bool) -> list[NDArray[Any]]:
        triples = zip(values, self.inputs, self._taken, strict=True)
        return [self._quantized(*triple, several) for triple in triples]

    def _quantized(self, value: NDArray[Any], spec: TensorSpec, taken: TensorSpec, several: bool) -> NDArray[Any]:
        """What `infer` was given for an input, checked, in the file's own dtype and layout."""
        value = plain(value)
        integers = self._arranged and spec.scale is None
        tensor = _as_integers(value, spec, self.file) if integers else value
        if spec.scale is not None and spec.zero_point is not None and getattr(value, "dtype", None) != np.float32:
            given = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
            raise InputError(
                f"{self.file}: infer takes float32 for the {spec.dtype} input {spec.name!r} (scale {spec.scale:.3g}), "
                f"not {given}; invoke takes the file's own {spec.dtype}"
            )
        _check_shape(tensor, taken, f"{self.file}: infer", several, value)
        if taken.layout != spec.layout:
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
            # Not every engine looks at strides, so it gets none but the usual ones.
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
                # Whatever state the failure left in it, or an interrupt half-way through it, goes with the engine.
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


def _task(manifest: Manifest | None, entry: ModelFile | None, given: "type[Task] | None") -> "Task":
    """What the outputs mean: nothing is known of a bare file's."""
    if manifest is None or entry is None:
        return task_of("tensors")
    task = task_of(manifest.task, manifest.labels, manifest.task_settings, manifest.scores, given)
    if given is not None:  # the others were checked with the manifest
        try:
            task.check(entry.outputs)
        except ValueError as error:
            raise InputError(f"{given.__name__} cannot be the task of {manifest.name}: {error}") from error
    return task


def _real_input(spec: TensorSpec, arranged: bool) -> TensorSpec:
    """An input as `infer` takes it: real numbers, and images of a bundle (`arranged`) with their channels first."""
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


def _check_shape(tensor: Any, spec: TensorSpec, who: str, several: bool = False, given: Any = None) -> None:
    """Refuse a tensor that is not what the file takes; sizes of dynamic axes may differ.

    Args:
        who: takes it. given: what the caller gave, where the tensor was made of it.
        several: it holds any number of samples, none included, along its first axis.
    """
    if isinstance(tensor, np.ndarray) and tensor.dtype == spec.dtype:
        shape = (*spec.shape[:1], *tensor.shape[1:]) if several and tensor.ndim else tensor.shape
        if spec.accepts(shape):
            return
    given = tensor if given is None else given
    said = f"{given.dtype} {given.shape}" if isinstance(given, np.ndarray) else type(given).__name__
    sizes = f"(N, {', '.join(map(str, spec.shape[1:]))})".replace(", )", ",)") if several else spec.shape
    layout = f" ({spec.layout})" if spec.layout else ""
    name = f" for {spec.name!r}" if spec.name else ""
    varying = f", axes {spec.dynamic} may differ" if spec.dynamic else ""
    many = ", any number N of samples" if several else ""
    raise InputError(f"{who} takes {spec.dtype} {sizes}{layout}{name}{varying}{many}, not {said}")


def _as_integers(value: NDArray[Any], spec: TensorSpec, file: str) -> NDArray[Any]:
    """Token numbers and the like in the width that a file has them in: LiteRT's converter makes int32 of int64."""
    if not isinstance(value, np.ndarray) or value.dtype.name == spec.dtype or value.dtype.kind not in "iu":
        return value
    wanted = np.dtype(spec.dtype)
    if wanted.kind not in "iu":
        return value
    bounds = np.iinfo(wanted)
    if value.size and (value.min() < bounds.min or value.max() > bounds.max):
        raise InputError(f"{file}: values from {value.min()} to {value.max()} do not fit its {spec.dtype} input")
    return value.astype(wanted)


def _check_finite(tensor: NDArray[Any], file: str) -> None:
    # One number that is finite only if every value is, in a fraction of the time; where finite values make it overflow,
    # look closer. Not a product of many: numpy would wake its own threads for it, and they linger beside the engine's.
    whole = np.vdot(tensor, tensor) if tensor.size < FEW else float(tensor.min()) + float(tensor.max())
    if not math.isfinite(whole) and not np.isfinite(tensor).all():
        raise InputError(f"{file}: the tensor has values that are not finite (NaN or infinity)")


def _real(values: NDArray[Any], spec: TensorSpec) -> Any:
    if spec.scale is not None and spec.zero_point is not None:
        return dequantize(values, spec.scale, spec.zero_point)
    return values


def _scale(spec: TensorSpec) -> tuple[float, int]:
    if spec.scale is None or spec.zero_point is None:
        raise EngineError("the manifest gives an int8 tensor no scale and zero point; make the bundle again")
    return spec.scale, spec.zero_point


def _compare(file: str, entry: ModelFile, engine: Engine) -> None:
    for word, said, found in (("input", entry.inputs, engine.inputs), ("output", entry.outputs, engine.outputs)):
        if [(spec.shape, spec.dtype) for spec in said] != [(spec.shape, spec.dtype) for spec in found]:
            written, there = (", ".join(f"{spec.dtype} {spec.shape}" for spec in specs) for specs in (said, found))
            raise EngineError(
                f"{file}: the manifest says its {word} is {written}, the engine found {there}; make the bundle again"
            )
