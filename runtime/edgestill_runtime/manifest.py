"""The manifest of a bundle: its dataclasses, and a strict parser.

A manifest is untrusted input. The parser checks the type and range of every field, refuses duplicate keys, and at the
end checks that the fields are consistent. An error message has the place and the reason.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

from .errors import InputError
from .fields import Fields
from .older_manifests import upgraded
from .processing import Layout, Processor, processor_from_json
from .tasks import task_of
from .tasks.base import Scores
from .tensor_spec import TensorSpec

MANIFEST = "manifest.json"
FORMAT_VERSION = 4
READ_VERSIONS = (2, 3, 4)
MAX_BYTES = 1 << 20
"""Largest manifest, bytes. 1,000 labels need about 20,000."""
MAX_FILES = 64
MAX_FILE_BYTES = 1 << 32
DTYPES = ("float32", "float64", "float16", "int8", "uint8", "int16", "int32", "int64", "bool")
# Unknown engines are allowed: their files are not run, all others are.
ENGINE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
PRECISIONS = ("int8", "mixed", "fp32")
SCORES: tuple[Scores, ...] = get_args(Scores)
MAX_TENSORS = 64
QUANTIZED = {"int8": 8, "uint8": 8, "int16": 16, "int32": 32}
"""Dtypes that may have a scale, and their bits."""
# Portable to every file system, and never hidden.
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MAX_DEPTH = 8
"""Largest depth of nested folders in a model file."""
FILE_PATH = re.compile(rf"{FILE_NAME.pattern}(/{FILE_NAME.pattern}){{0,{MAX_DEPTH}}}")
MAX_PATH = 255
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ModelFile:
    """One model file of a bundle.

    Args:
        engine: that runs it, such as `executorch` or `litert`; it may be unknown to this version.
        precision: `int8`, `mixed` (int8 with more than 1 % of its multiply-accumulates in float), or `fp32`.
        inputs, outputs: in the model's order.
        exporter: name and version of the package that wrote it.
        quality: name of the task's measure → value on the test split; empty if not measured.
        float_nodes: names of the nodes that compute in float.
        float_macs: share of the multiply-accumulates that are computed in float, 0–1; None if not counted.
    """

    engine: str
    precision: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    exporter: str
    quality: Mapping[str, float] = field(default_factory=dict)
    float_nodes: tuple[str, ...] = ()
    float_macs: float | None = None


@dataclass(frozen=True)
class FileEntry:
    """Expected lower-case hex SHA-256 and size in bytes of a file."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """The content of `manifest.json`, without the hashes.

    Args:
        name, task: of the model; see `tasks`. task_settings: of the task; see its class.
        labels: names of the entries of the outputs' last axis, such as classes; empty if there are none.
        processor: photo or recording → tensor; None if the model takes tensors.
        models: file name → entry; a model file may be a folder of files (see `members`).
        parameters, macs: number of parameters and multiply-accumulates of the student.
        training: plain data: teacher, student, objective, seed, data set and digest.
        quality: `teacher`, `student_alone` or `student_distilled` → name of the measure → value on the test split, as
            far as measured.
        agreement: share of test samples, 0–1, with the same prediction of both int8 files; None if not measured.
        versions: package → version, of the packages that made the bundle.
        scores: what a classifier's output holds: `logits`, or `probabilities` if the model itself ends in a softmax or
            sigmoid.
    """

    name: str
    labels: tuple[str, ...]
    processor: Processor | None
    models: Mapping[str, ModelFile]
    parameters: int
    macs: int
    task: str = "image-classification"
    training: Mapping[str, Any] = field(default_factory=dict)
    quality: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    agreement: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    scores: Scores = "logits"
    task_settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def engines(self) -> tuple[str, ...]:
        """The engines of the model files, without duplicates."""
        return tuple(dict.fromkeys(entry.engine for entry in self.models.values()))

    def find(self, engine: str, precision: str) -> str | None:
        """Name of the model file for an engine; None if there is none. See `find_file`."""
        return find_file(self.models, engine, precision)

    def deployable(self) -> dict[str, str]:
        """Engine → name of the file to deploy: the int8 or mixed one, or else the fp32 one."""
        found = {one: self.find(one, "quantized") or self.find(one, "fp32") for one in self.engines}
        return {engine: name for engine, name in found.items() if name is not None}

    def to_json(self) -> dict[str, Any]:
        """Plain data; `files` is added when a bundle is written."""
        processor = None if self.processor is None else self.processor.to_json()
        return {"format_version": FORMAT_VERSION, **asdict(self), "processor": processor}


def find_file(models: Mapping[str, ModelFile], engine: str, precision: str) -> str | None:
    """Name of the model file for an engine; None if there is none.

    Args:
        precision: `fp32`, `int8`, `mixed`, or `quantized` for int8 or mixed.
    """
    precisions = ("int8", "mixed") if precision == "quantized" else (precision,)
    names = [name for name, one in models.items() if one.engine == engine and one.precision in precisions]
    return names[-1] if names else None


def members(name: str, files: Iterable[str]) -> list[str]:
    """Paths in the bundle of a model file: the file itself, or if it is a folder, the files in it.

    Args:
        files: paths of all files of the bundle.
    """
    return sorted(one for one in files if one == name or one.startswith(f"{name}/"))


def parse_manifest(content: bytes) -> tuple[Manifest, dict[str, FileEntry]]:
    """Parse `manifest.json`: the manifest, and the expected hash and size of every other file.

    Raises:
        ValueError: it is too large, not JSON, of an unknown format version, or a field is missing, invalid, or
            inconsistent with another one.
    """
    if len(content) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES} bytes")
    try:
        data = json.loads(content, object_pairs_hook=_once, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(data, dict):
        raise ValueError("it is no JSON object")
    version = data.get("format_version")
    if type(version) is not int or version not in READ_VERSIONS:
        raise ValueError(
            f"it has format version {version!r:.40}; this edgestill reads {' and '.join(map(str, READ_VERSIONS))}. "
            "Update edgestill, or make the bundle again"
        )
    top = Fields(upgraded(data, version))
    files = {name: _file_entry(entry) for name, entry in top.items("files", MAX_FILES)}
    models = {name: _model_file(entry) for name, entry in top.items("models", MAX_FILES)}
    _check_names(files, models)
    manifest = _manifest(top, models)
    _check_together(manifest)
    return manifest, files


def _check_names(files: Collection[str], models: Collection[str]) -> None:
    """Refuse invalid paths, paths in a folder that is not a model file, and paths that are both file and folder."""
    for path in files:
        top, _, inside = path.partition("/")
        safe = FILE_PATH.fullmatch(path) and len(path) <= MAX_PATH and path not in (MANIFEST, "signature.json")
        if not safe or (inside and top not in models):
            raise ValueError(f"it names a file that no bundle holds: {path!r:.120}")
        if both := [one for one in files if one.startswith(f"{path}/")]:
            raise ValueError(f"it names {path!r:.120} as a file and as a folder, of {both[0]!r:.120}")
    if unlisted := sorted(name for name in models if not members(name, files)):
        raise ValueError(f"it lists no hash for {', '.join(unlisted)}")


def _file_entry(entry: Fields) -> FileEntry:
    digest = entry.get("sha256", str)
    if not SHA256.fullmatch(digest):
        raise ValueError(f"{entry.place}sha256 must be 64 lower-case hex digits")
    return FileEntry(digest, entry.count("bytes", most=MAX_FILE_BYTES))


def _engine(entry: Fields) -> str:
    word = entry.get("engine", str)
    if not ENGINE_NAME.fullmatch(word):
        raise ValueError(f"{entry.place}engine must be a name of lower-case letters and digits, not {word!r:.40}")
    return word


def _model_file(entry: Fields) -> ModelFile:
    return ModelFile(
        engine=_engine(entry),
        precision=entry.choice("precision", PRECISIONS),
        inputs=_tensor_specs(entry, "inputs"),
        outputs=_tensor_specs(entry, "outputs"),
        exporter=entry.get("exporter", str),
        quality=entry.measures("quality"),
        float_nodes=entry.numbers("float_nodes", str, 1 << 12) if "float_nodes" in entry.data else (),
        float_macs=entry.share("float_macs"),
    )


def _tensor_specs(entry: Fields, key: str) -> tuple[TensorSpec, ...]:
    found = entry.get(key, list)
    if not 1 <= len(found) <= MAX_TENSORS:
        raise ValueError(f"{entry.place}{key} must have 1 to {MAX_TENSORS} entries, not {len(found)}")
    return tuple(_tensor_spec(Fields(one, f"{entry.place}{key}.{number}.")) for number, one in enumerate(found))


def _tensor_spec(spec: Fields) -> TensorSpec:
    shape = spec.numbers("shape", int, 16)
    if min(shape, default=1) < 1:
        raise ValueError(f"{spec.place}shape has a size below 1")
    layouts: dict[str | None, Layout | None] = {None: None, "NCHW": "NCHW", "NHWC": "NHWC"}
    layout = spec.optional("layout", str)
    if layout not in layouts:
        raise ValueError(f"{spec.place}layout must be NCHW or NHWC, not {layout!r:.40}")
    if layout is not None and len(shape) != 4:
        raise ValueError(f"{spec.place}layout is for 4 axes, not for shape {shape}")
    dynamic = spec.numbers("dynamic", int, 16) if "dynamic" in spec.data else ()
    if any(axis not in range(len(shape)) for axis in dynamic):
        raise ValueError(f"{spec.place}dynamic names axes that shape {shape} has not: {dynamic!r:.40}")
    dtype = spec.choice("dtype", DTYPES)
    scale, zero_point = _quantization(spec, dtype)
    return TensorSpec(
        shape=shape,
        dtype=dtype,
        layout=layouts[layout],
        scale=scale,
        zero_point=zero_point,
        name=spec.optional("name", str) or "",
        dynamic=dynamic,
        bounded=spec.optional("bounded", bool) or False,
    )


def _quantization(spec: Fields, dtype: str) -> tuple[float, int] | tuple[None, None]:
    """Scale and zero point: both or neither, for integer dtypes only, the zero point within the dtype's range."""
    scale, zero_point = spec.optional("scale", float), spec.optional("zero_point", int)
    if scale is None and zero_point is None:
        return None, None
    if scale is None or zero_point is None:
        raise ValueError(f"{spec.place}scale and zero_point must be there both, or neither")
    if dtype not in QUANTIZED:
        raise ValueError(f"{spec.place}scale is for {', '.join(QUANTIZED)}, not for {dtype}")
    if not 2.0**-126 <= scale < 2.0**128:
        raise ValueError(f"{spec.place}scale must be above 0 and a number that float32 has, not {scale}")
    bits = QUANTIZED[dtype]
    least = 0 if dtype == "uint8" else -(1 << (bits - 1))
    most = least + (1 << bits) - 1
    if not least <= zero_point <= most:
        raise ValueError(f"{spec.place}zero_point must be {least} to {most} for {dtype}, not {zero_point!r:.40}")
    return scale, zero_point


def _check_together(manifest: Manifest) -> None:
    """Refuse a manifest whose parts are inconsistent: labels and outputs, processor and inputs, inputs of the files."""
    try:
        task = task_of(manifest.task, manifest.labels, manifest.task_settings, manifest.scores)
    except InputError as error:
        raise ValueError(f"task_settings: {error}") from error
    _check_shares(manifest, [one.name for one in task.measures if one.unit == "%"])
    counts = {name: len(entry.inputs) for name, entry in manifest.models.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"its files take different numbers of inputs: {counts!r:.200}")
    for name, entry in manifest.models.items():
        try:
            task.check(entry.outputs)
        except ValueError as error:
            shapes = ", ".join(str(spec.shape) for spec in entry.outputs)
            raise ValueError(f"models.{name}.outputs has {shapes:.200}; {error}") from error
        if manifest.processor is not None:
            _check_processed(f"models.{name}.inputs", entry.inputs, manifest.processor)


def _check_shares(manifest: Manifest, shares: Collection[str]) -> None:
    """Refuse a share, such as an accuracy, that is not from 0 to 1.

    Args:
        shares: names of the task's measures that are shares of samples.
    """
    places = {f"quality.{who}.": found for who, found in manifest.quality.items()}
    places |= {f"models.{name}.quality.": entry.quality for name, entry in manifest.models.items()}
    for place, found in places.items():
        for name, value in found.items():
            if name in shares and not 0 <= value <= 1:
                raise ValueError(f"{place}{name} must be 0 to 1, not {value}")


def _check_processed(place: str, inputs: tuple[TensorSpec, ...], processor: Processor) -> None:
    """Refuse inputs that do not match the processor's output."""
    height, width, channels = processor.image_shape
    spec = inputs[0]
    made = (1, height, width, channels) if spec.layout == "NHWC" else (1, channels, height, width)
    if len(inputs) != 1 or not spec.accepts(made):
        shapes = ", ".join(str(one.shape) for one in inputs)
        raise ValueError(f"processor makes one tensor of shape {made}; {place} has {shapes:.200}")
    if spec.dtype != "float32" and (spec.dtype != "int8" or spec.scale is None):
        scaled = "with" if spec.scale is not None else "without"
        raise ValueError(
            f"processor makes float32, or int8 where the input has a scale; {place} has {spec.dtype} {scaled} one"
        )


def _manifest(top: Fields, models: Mapping[str, ModelFile]) -> Manifest:
    processor = None if top.optional("processor", dict) is None else _processor(top)
    versions = Fields(top.get("versions", dict), "versions.")
    quality = dict(top.items("quality", MAX_FILES)) if "quality" in top.data else {}
    return Manifest(
        name=top.get("name", str),
        task=top.get("task", str),
        labels=top.numbers("labels", str, 1 << 16),
        processor=processor,
        models=models,
        parameters=top.count("parameters"),
        macs=top.count("macs"),
        training=top.get("training", dict),
        quality={who: entry.measures() for who, entry in quality.items()},
        agreement=top.share("agreement"),
        versions={package: versions.get(package, str) for package in versions.data},
        # Older manifests have no such field; all their models had logits.
        scores=top.choice("scores", SCORES) if top.optional("scores", str) else "logits",
        task_settings=top.optional("task_settings", dict) or {},
    )


def _processor(top: Fields) -> Processor:
    try:
        return processor_from_json(top.get("processor", dict))
    except InputError as error:
        raise ValueError(f"processor: {error}") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; duplicate keys are refused, because parsers differ in which value they use."""
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"it says {next(key for key in keys if keys.count(key) > 1)!r:.60} twice")
    return found


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON number")
