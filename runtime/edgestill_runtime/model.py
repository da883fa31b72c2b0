"""`load` a bundle, get a `Model`: pixels in, labelled scores out, the same with either engine."""

import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .bundle import Bundle, Manifest, ModelFile, TensorSpec, open_bundle
from .engines import AVAILABLE, LOADERS, Engine, installed_engines
from .errors import EngineError, InputError
from .preprocess import FloatArray, Layout, arrange, dequantise, look_up, quantise

EngineName = Literal["auto", "litert", "executorch"]


class Prediction(NamedTuple):
    """A label and its probability, 0–1."""

    label: str
    score: float


def load(
    bundle: str | Path | Bundle,
    engine: EngineName = "auto",
    threads: int = 1,
    precision: Literal["int8", "fp32"] = "int8",
) -> "Model":
    """Load one model file of a bundle into an engine, after its hash was checked.

    Args:
        bundle: a path to a bundle directory or zip, or an opened bundle.
        engine: `auto` takes the first of litert, executorch that is installed and that the bundle has a file for.
        threads: that one call may use, ≥ 1.
        precision: `int8`, or `fp32` for the unquantised yardstick.

    Raises:
        BundleError: no bundle, or a file that differs from its manifest; no engine has seen it.
        EngineError: the engine is not installed, the bundle has no file for it, or it refuses the file.
    """
    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    if threads < 1:
        raise EngineError(f"threads must be at least 1, not {threads}")
    file = _choose(opened, engine, precision)
    return Model(opened.manifest, file, opened.read(file), threads)


def _choose(bundle: Bundle, engine: str, precision: str) -> str:
    """Name of the model file to load."""
    files = {entry.engine: name for name, entry in bundle.manifest.models.items() if entry.precision == precision}
    if engine == "auto":
        usable = [name for name in installed_engines() if name in files]
        if not usable:
            raise EngineError(
                f"{bundle.path} has {precision} files for {', '.join(files) or 'no engine'}, and none of these engines "
                "is installed. Install one with: pip install 'edgestill[litert]'"
            )
        return files[usable[0]]
    if engine not in LOADERS:
        raise EngineError(f"unknown engine {engine!r}; valid: auto, {', '.join(LOADERS)}")
    if engine not in files:
        present = ", ".join(bundle.manifest.models)
        raise EngineError(f"{bundle.path} has no {precision} file for {engine}; it has {present}")
    AVAILABLE[engine]()
    return files[engine]


class Model:
    """A loaded file. Safe to use from several threads: calls wait for each other. Close it, or use it in `with`.

    Attributes:
        file: name of the loaded file in the bundle. engine: engine, package and version. labels: class names.
        input, output: what the file itself takes and gives. threads: None where the engine decides.
    """

    def __init__(self, manifest: Manifest, file: str, content: bytes, threads: int = 1) -> None:
        if file not in manifest.models:
            raise EngineError(f"{file} is no model file of {manifest.name}; it has {', '.join(manifest.models)}")
        entry = manifest.models[file]
        self.file, self.labels = file, manifest.labels
        self.input, self.output = entry.input, entry.output
        # What a tensor must look like, strides of axes of length 1 included.
        self._fresh: NDArray[Any] = np.empty(entry.input.shape, entry.input.dtype)
        self._floating = self._fresh.dtype.kind == "f"
        self._lock = threading.Lock()
        self._engine: Engine | None = LOADERS[entry.engine](content, threads)
        self.engine, self.threads = self._engine.name, self._engine.threads
        _compare(file, entry, self._engine)
        self._preprocessing = manifest.preprocessing
        self._layout: Layout = entry.input.layout or "NCHW"
        # All of preprocessing, int8 quantisation included, as one table: see preprocess.py.
        self._table: NDArray[Any] = self._preprocessing.table()
        if entry.input.dtype == "int8":
            self._table = quantise(self._table, *_scale(entry.input))

    def predict(self, image: NDArray[Any], top: int | None = None) -> list[Prediction]:
        """Classify one image.

        Args:
            image: uint8 (H, W, C), grey also (H, W), of the size that the model takes.
            top: only the best so many.

        Returns:
            Labels with probabilities (softmax of the logits), best first.

        Raises:
            InputError: another shape or dtype.
        """
        pixels = self._preprocessing.pixels(image)
        if len(pixels) != 1:
            raise InputError(f"predict takes one image, not {len(pixels)}; use logits for a batch")
        scores = softmax(self.logits(pixels))[0]
        order = np.argsort(-scores, kind="stable")[:top]
        return [Prediction(self.labels[index], float(scores[index])) for index in order]

    def logits(self, images: NDArray[Any]) -> FloatArray:
        """Logits float32 (N, classes) of a batch of any length, uint8 (N, H, W, C) or one image (H, W, C).

        Raises:
            InputError: another shape or dtype.
        """
        tensors = self.tensor(images)
        results = [self._run(tensors[row : row + 1]) for row in range(len(tensors))]
        if not results:
            return np.empty((0, len(self.labels)), np.float32)
        values = np.concatenate(results)
        if values.dtype == np.int8:
            return dequantise(values, *_scale(self.output))
        return np.asarray(values, np.float32)

    def tensor(self, images: NDArray[Any]) -> NDArray[Any]:
        """What `invoke` takes, for uint8 images as `logits` takes them: preprocessed, quantised, in the file's layout.

        Returns:
            (N, …) with the dtype and layout of `input`; `invoke` takes one row of it at a time, `[i : i + 1]`.
        """
        return arrange(look_up(self._table, self._preprocessing.pixels(images)), self._layout)

    def invoke(self, tensor: NDArray[Any]) -> NDArray[Any]:
        """Run a tensor as the file itself takes it (`input`), and return what the file itself gives (`output`).

        Raises:
            InputError: another shape or dtype, or a value that is not finite.
        """
        spec = self.input
        if not isinstance(tensor, np.ndarray) or tensor.dtype != self._fresh.dtype or tensor.shape != spec.shape:
            given = f"{tensor.dtype} {tensor.shape}" if isinstance(tensor, np.ndarray) else type(tensor).__name__
            raise InputError(f"{self.file} takes {spec.dtype} {spec.shape} ({spec.layout}), not {given}")
        if self._floating and not np.isfinite(tensor).all():
            raise InputError(f"{self.file}: the tensor has values that are not finite (NaN or infinity)")
        return self._run(tensor)

    def close(self) -> None:
        """Free the engine's memory; calls after this raise EngineError."""
        with self._lock:
            if self._engine is not None:
                self._engine.close()
                self._engine = None

    def __enter__(self) -> "Model":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, tensor: NDArray[Any]) -> NDArray[Any]:
        with self._lock:
            if self._engine is None:
                raise EngineError(f"{self.file} was closed; load it again")
            try:
                # Not every engine looks at strides, so it gets none but the usual ones.
                plain = tensor if tensor.strides == self._fresh.strides else tensor.copy(order="C")
                return self._engine.invoke(plain)
            except (RuntimeError, ValueError) as error:
                raise EngineError(f"{self.engine} failed on {self.file}: {error}") from error


def softmax(logits: FloatArray) -> FloatArray:
    """Probabilities float32 of logits (N, classes), each row summing to 1."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def _scale(spec: TensorSpec) -> tuple[float, int]:
    if spec.scale is None or spec.zero_point is None:
        raise EngineError("the manifest gives an int8 tensor no scale and zero point; make the bundle again")
    return spec.scale, spec.zero_point


def _compare(file: str, entry: ModelFile, engine: Engine) -> None:
    for word, said, found in (("input", entry.input, engine.input), ("output", entry.output, engine.output)):
        if (said.shape, said.dtype) != (found.shape, found.dtype):
            raise EngineError(
                f"{file}: the manifest says its {word} is {said.dtype} {said.shape}, "
                f"the engine found {found.dtype} {found.shape}; make the bundle again"
            )
