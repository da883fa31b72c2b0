"""The bundle: one directory `NAME.edge/` (or the same as an uncompressed zip) that everything shares.

    manifest.json    what is in here: `Manifest` below, as JSON, with size and SHA-256 of every other file
    model.pte        int8, ExecuTorch                model.fp32.pte        the same student unquantised
    model.tflite     int8, LiteRT                    model.fp32.tflite     the same student unquantised
    golden.npz       a few real images with the logits that each file gave when it was made

`open_bundle` reads and checks; `read` gives the bytes of a file only after their hash was compared, and an engine is
given exactly these bytes, so that nothing can be exchanged between the check and the use.
"""

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import BundleFormatError, BundleIntegrityError
from .files import atomic_file, atomic_folder, sha256
from .preprocess import Layout, Preprocessing

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
GOLDEN = "golden.npz"


@dataclass(frozen=True)
class TensorSpec:
    """What a file takes or gives: shape with the batch axis, dtype, order of axes, and how int8 stands for floats.

    Args:
        layout: `NCHW` or `NHWC` for an image input, None for logits.
        scale, zero_point: `float = (int8 - zero_point) * scale`; None for float tensors.
    """

    shape: tuple[int, ...]
    dtype: str
    layout: Layout | None = None
    scale: float | None = None
    zero_point: int | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "TensorSpec":
        """Read back what `dataclasses.asdict` wrote."""
        return cls(tuple(data["shape"]), data["dtype"], data["layout"], data["scale"], data["zero_point"])


@dataclass(frozen=True)
class ModelFile:
    """One model file of a bundle.

    Args:
        engine: `executorch` or `litert`. precision: `int8` or `fp32`.
        exporter: name and version of what wrote it. accuracy: on the test split, 0–1, once it was measured.
    """

    engine: str
    precision: str
    input: TensorSpec
    output: TensorSpec
    exporter: str
    accuracy: float | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "ModelFile":
        """Read back what `dataclasses.asdict` wrote."""
        specs = {name: TensorSpec.from_json(data[name]) for name in ("input", "output")}
        return cls(data["engine"], data["precision"], exporter=data["exporter"], accuracy=data["accuracy"], **specs)


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself.

    Args:
        name, task: of the model; the task is `image-classification`.
        labels: class names in the order of the logits.
        preprocessing: raw pixels → tensor.
        models: one entry per model file.
        parameters, macs: size of the student.
        training: plain facts: teacher, student, objective, seed, data set and digest.
        accuracy: on the test split, 0–1, of `teacher`, `student_alone`, `student_distilled`, as far as measured.
        agreement: share of test images on which the two int8 files choose the same class, once measured.
        versions: of the packages that made the bundle.
    """

    name: str
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    models: Mapping[str, ModelFile]
    parameters: int
    macs: int
    task: str = "image-classification"
    training: Mapping[str, Any] = field(default_factory=dict)
    accuracy: Mapping[str, float] = field(default_factory=dict)
    agreement: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data; `files` is added by `write_bundle`."""
        return {"format_version": FORMAT_VERSION, **asdict(self), "preprocessing": self.preprocessing.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Manifest":
        """Read a manifest of this format version; a missing field raises KeyError."""
        known = {name: data[name] for name in ("name", "task", "parameters", "macs", "training", "accuracy")}
        return cls(
            labels=tuple(data["labels"]),
            preprocessing=Preprocessing.from_json(data["preprocessing"]),
            models={path: ModelFile.from_json(entry) for path, entry in data["models"].items()},
            agreement=data["agreement"],
            versions=data["versions"],
            **known,
        )


@dataclass(frozen=True)
class Golden:
    """Real images, uint8 (N, H, W, C), and for each model file the logits, float32 (N, classes), it gave for them."""

    images: NDArray[np.uint8]
    logits: Mapping[str, NDArray[np.float32]]


class Bundle:
    """An opened bundle. `manifest` was read; files are checked when they are read, or all at once by `verify`."""

    def __init__(self, path: Path, store: "_Store", manifest: Manifest, files: Mapping[str, tuple[str, int]]) -> None:
        self.path = path
        self.manifest = manifest
        self.files = files
        """Name → (SHA-256, size in bytes) of every file but the manifest."""
        self._store = store

    def read(self, name: str) -> bytes:
        """Content of one file, after its hash was compared with the manifest.

        Raises:
            BundleIntegrityError: the file is missing or has changed.
        """
        if name not in self.files:
            raise BundleFormatError(f"bundle {self.path} has no file {name!r}; it has {', '.join(sorted(self.files))}")
        try:
            content = self._store.read(name)
        except (FileNotFoundError, KeyError) as error:
            raise BundleIntegrityError(self.path, missing=[name]) from error
        except zipfile.BadZipFile as error:
            raise BundleIntegrityError(self.path, changed=[name]) from error
        if sha256(content) != self.files[name][0]:
            raise BundleIntegrityError(self.path, changed=[name])
        return content

    def golden(self) -> Golden:
        """The golden samples."""
        with np.load(io.BytesIO(self.read(GOLDEN)), allow_pickle=False) as arrays:
            logits = {name: arrays[f"logits/{name}"] for name in self.manifest.models}
            return Golden(arrays["images"], logits)

    def verify(self) -> None:
        """Compare every file with the manifest.

        Raises:
            BundleIntegrityError: names all files that changed, are missing, or are extra.
        """
        present = set(self._store.names()) - {MANIFEST}
        changed = []
        for name in present & self.files.keys():
            try:
                self.read(name)
            except BundleIntegrityError:
                changed.append(name)
        missing, extra = self.files.keys() - present, present - self.files.keys()
        if changed or missing or extra:
            raise BundleIntegrityError(self.path, changed, missing, extra)


def open_bundle(path: str | Path) -> Bundle:
    """Open a bundle directory or zip and read its manifest.

    Raises:
        BundleFormatError: no bundle there, a manifest that cannot be read, or a newer format version.
    """
    path = Path(path)
    if path.is_dir():
        store: _Store = _Folder(path)
    elif zipfile.is_zipfile(path):
        store = _Zip(path)
    else:
        what = "is neither a bundle directory nor a bundle zip" if path.exists() else "does not exist"
        raise BundleFormatError(f"{path} {what}")
    try:
        data = json.loads(store.read(MANIFEST))
    except (FileNotFoundError, KeyError) as error:
        raise BundleFormatError(f"{path} has no {MANIFEST}, so it is no bundle") from error
    except (ValueError, zipfile.BadZipFile) as error:
        raise BundleFormatError(f"{path}: {MANIFEST} cannot be read: {error}; copy the bundle again") from error
    version = data.get("format_version") if isinstance(data, dict) else None
    if version != FORMAT_VERSION:
        raise BundleFormatError(
            f"{path} has format version {version!r}; this edgestill reads {FORMAT_VERSION}. "
            "Update edgestill, or make the bundle again."
        )
    try:
        files = {name: (entry["sha256"], int(entry["bytes"])) for name, entry in data["files"].items()}
        manifest = Manifest.from_json(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleFormatError(f"{path}: {MANIFEST} is incomplete: {error!r}; make the bundle again") from error
    if outside := [name for name in files if Path(name).name != name or name in ("", ".", "..", MANIFEST)]:
        raise BundleFormatError(f"{path}: {MANIFEST} names files outside the bundle: {', '.join(outside)}")
    if unlisted := manifest.models.keys() - files.keys():
        raise BundleFormatError(f"{path}: {MANIFEST} lists no hash for {', '.join(sorted(unlisted))}")
    return Bundle(path, store, manifest, files)


def write_bundle(
    path: str | Path, manifest: Manifest, contents: Mapping[str, bytes], overwrite: bool = False
) -> Bundle:
    """Write a bundle atomically, verify it, and open it. A path that is an existing file becomes a zip.

    Args:
        contents: name → bytes of every file but the manifest.
        overwrite: replace what is at `path`, once the new bundle is complete.

    Raises:
        StorageError: `path` exists and `overwrite` is false, or the disk is full; nothing half-written is left.
    """
    path = Path(path)
    entries = {name: {"sha256": sha256(content), "bytes": len(content)} for name, content in sorted(contents.items())}
    text = json.dumps({**manifest.to_json(), "files": entries}, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    everything = {MANIFEST: text.encode(), **contents}
    if path.is_file() and overwrite:
        _write_zip(path, everything)
    else:
        with atomic_folder(path, replace=overwrite) as folder:
            for name, content in everything.items():
                (folder / name).write_bytes(content)
    bundle = open_bundle(path)
    bundle.verify()
    return bundle


def pack_zip(bundle: Bundle, path: str | Path) -> Bundle:
    """Write a verified bundle as one uncompressed zip file, atomically."""
    bundle.verify()
    _write_zip(Path(path), {name: bundle._store.read(name) for name in (MANIFEST, *bundle.files)})
    return open_bundle(path)


def golden_npz(golden: Golden) -> bytes:
    """The content of `golden.npz`."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {f"logits/{name}": logits for name, logits in golden.logits.items()}
    np.savez(buffer, images=golden.images, **arrays)
    return buffer.getvalue()


def _write_zip(path: Path, contents: Mapping[str, bytes]) -> None:
    with atomic_file(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


class _Store(Protocol):
    """Where a bundle's files are."""

    def names(self) -> Iterator[str]: ...

    def read(self, name: str) -> bytes: ...


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> Iterator[str]:
        return (file.relative_to(self._path).as_posix() for file in self._path.rglob("*") if not file.is_dir())

    def read(self, name: str) -> bytes:
        return (self._path / name).read_bytes()


class _Zip:
    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> Iterator[str]:
        with zipfile.ZipFile(self._path) as archive:
            return iter(archive.namelist())

    def read(self, name: str) -> bytes:
        with zipfile.ZipFile(self._path) as archive:
            return archive.read(name)
