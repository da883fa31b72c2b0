"""The bundle: a directory `NAME.edge/`, or the same content as an uncompressed zip.

    manifest.json    facts of the model, with size and SHA-256 of every other file: manifest.py
    model.pte        int8, ExecuTorch                model.fp32.pte        the same student unquantized
    model.tflite     int8, LiteRT                    model.fp32.tflite     the same student unquantized
    model.SUFFIX     of another backend; it may be a folder of files
    golden.npz       a few real samples, with the outputs that each file had for them when it was made
    signature.json   optional: a signature of the manifest, and so of all files: signature.py

`open_bundle` checks the file names and reads the manifest. `read` returns the bytes of a file only after their size and
hash were checked, and an engine gets exactly these bytes: a file cannot be replaced between the check and its use.
Reading writes nothing to disk: a zip is not unpacked.
"""

import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .errors import BundleFormatError, BundleIntegrityError, InputError, StorageError
from .files import atomic_file, atomic_folder, sha256
from .manifest import MANIFEST, MAX_BYTES, FileEntry, Manifest, members, parse_manifest
from .npy import read_npy
from .signature import SIGNATURE, TrustedKey, check_signature
from .stores import Store, UnusableError, open_store, write_zip, zip_errors

GOLDEN = "golden.npz"


@dataclass(frozen=True)
class Golden:
    """Real samples, and the recorded outputs of each model file.

    Args:
        inputs: one array per input, N samples each: images as uint8 (N, H, W, C), anything else as `Model.infer` takes
            it.
        outputs: file name → one array (N, …) per output, dequantized.
    """

    inputs: tuple[NDArray[Any], ...]
    outputs: Mapping[str, tuple[NDArray[Any], ...]]


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: its file names and manifest were checked; each file is checked when it is read.

    Args:
        files: name → SHA-256 and size of every file except the manifest and its signature. A model file that is a
            folder is listed by its members: `model.mlpackage/weights/weight.bin`.
        signed_by: the trusted key that signed it, in base64; None if no signature was required.
    """

    path: Path
    manifest: Manifest
    files: Mapping[str, FileEntry]
    signed_by: str | None = None
    _store: Store = field(repr=False, kw_only=True)

    def read(self, name: str) -> bytes:
        """Content of one file, after its size and hash were checked against the manifest.

        Raises:
            BundleIntegrityError: the file is missing or has changed.
        """
        if name not in self.files:
            raise BundleFormatError(f"bundle {self.path} has no file {name!r}; it has {', '.join(sorted(self.files))}")
        entry = self.files[name]
        try:
            content = self._store.read(name, entry.bytes)
        except KeyError as error:
            raise BundleIntegrityError(self.path, missing=[name]) from error
        except UnusableError as error:
            raise BundleIntegrityError(self.path, changed=[name]) from error
        if len(content) != entry.bytes or sha256(content) != entry.sha256:
            raise BundleIntegrityError(self.path, changed=[name])
        return content

    def read_model(self, name: str) -> bytes | dict[str, bytes]:
        """Content of a model file: its bytes, or for a folder member path → bytes.

        Raises:
            BundleFormatError: no such model file. BundleIntegrityError: it, or a member, is missing or has changed.
        """
        if name not in self.manifest.models:
            raise BundleFormatError(
                f"bundle {self.path} has no model file {name!r}; it has {', '.join(self.manifest.models)}"
            )
        if name in self.files:
            return self.read(name)
        return {path.removeprefix(f"{name}/"): self.read(path) for path in members(name, self.files)}

    def size(self, name: str) -> int:
        """Size of a model file in bytes; for a folder the sum of its members."""
        return sum(self.files[path].bytes for path in members(name, self.files))

    def golden(self) -> Golden:
        """The golden samples.

        Raises:
            BundleFormatError: an array is missing or damaged. BundleIntegrityError: the file is missing or has changed.
        """
        content = self.read(GOLDEN)
        models = self.manifest.models
        inputs = len(next(iter(models.values())).inputs) if models else 0
        try:
            arrays = _arrays(content)
            return Golden(
                tuple(arrays[f"input/{number}"] for number in range(inputs)),
                {name: tuple(arrays[f"{name}/{one}"] for one in range(len(models[name].outputs))) for name in models},
            )
        except KeyError as error:
            raise BundleFormatError(f"{self.path}: {GOLDEN} has no array {error}; make the bundle again") from error
        except InputError as error:
            raise BundleFormatError(f"{self.path}: {error}; make the bundle again") from error

    def digest(self) -> str:
        """`sha256:…` of the manifest, which holds the hash of every other file: it identifies the whole bundle."""
        return f"sha256:{sha256(self._store.read(MANIFEST, MAX_BYTES))}"

    def verify(self) -> None:
        """Compare every file with the manifest.

        Raises:
            BundleIntegrityError: lists all files that changed, are missing, or are extra.
        """
        _compare(self, self._store.names())


def open_bundle(path: str | os.PathLike[str], trusted_keys: TrustedKey | Sequence[TrustedKey] | None = None) -> Bundle:
    """Open a bundle directory or zip and read its manifest.

    Args:
        trusted_keys: one or several Ed25519 public keys, one of which must have signed the bundle; see signature.py for
            the accepted forms. None requires no signature.

    Raises:
        BundleFormatError: not a bundle, or its manifest is invalid.
        BundleIntegrityError: files are missing, or not listed in the manifest.
        SignatureError: no signature, an invalid one, or one by an untrusted key.
    """
    path = Path(path)
    store = open_store(path)
    names = store.names()
    if MANIFEST not in names:
        inside = sorted(entry.name for entry in path.glob("*.edge")) if path.is_dir() else []
        hint = f"; is {path / inside[0]} meant?" if inside else ""
        raise BundleFormatError(f"{path} has no {MANIFEST}, so it is no bundle{hint}")
    try:
        content = store.read(MANIFEST, MAX_BYTES)
        signature = store.read(SIGNATURE, MAX_BYTES) if SIGNATURE in names else None
    except (UnusableError, KeyError) as error:
        raise BundleFormatError(f"{path}: {error}; copy the bundle again") from error
    # Before the manifest is parsed.
    signed_by = None if trusted_keys is None else check_signature(str(path), content, signature, trusted_keys)
    try:
        manifest, files = parse_manifest(content)
    except ValueError as error:
        raise BundleFormatError(
            f"{path}: {MANIFEST} cannot be used: {error}. Copy the bundle again, or make it again."
        ) from error
    bundle = Bundle(path, manifest, files, signed_by, _store=store)
    if set(names) - {MANIFEST, SIGNATURE} != files.keys():
        _compare(bundle, names)
    return bundle


def write_bundle(
    path: str | PathLike[str], manifest: Manifest, contents: Mapping[str, bytes], overwrite: bool = False
) -> Bundle:
    """Write a bundle atomically, verify it, and open it. If `path` is an existing file, a zip is written.

    The manifest is parsed as `open_bundle` does before anything is written or replaced.

    Args:
        contents: name → bytes of every file except the manifest; for a model file that is a folder, of every member.
        overwrite: replace an existing bundle at `path`, once the new one is complete.

    Raises:
        BundleFormatError: the manifest cannot be read back: it has NaN, a value that is not JSON, or is too large.
        StorageError: `path` exists and `overwrite` is false, or the disk is full; no partial file is left.
    """
    path = Path(path)
    if overwrite:
        refuse_foreign(path)
    everything = {MANIFEST: _manifest_text(path, manifest, contents), **contents}
    if path.is_file() and overwrite:
        write_zip(path, everything, replace=True)
    else:
        with atomic_folder(path, replace=overwrite) as folder:
            _write_into(folder, everything)
    bundle = open_bundle(path)
    bundle.verify()
    return bundle


def _manifest_text(path: Path, manifest: Manifest, contents: Mapping[str, bytes]) -> bytes:
    """The content of `manifest.json` for these files, after a test that it can be parsed."""
    entries = {name: asdict(FileEntry(sha256(content), len(content))) for name, content in sorted(contents.items())}
    plain = {**manifest.to_json(), "files": entries}
    try:
        text = (json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
        parse_manifest(text)  # refuses NaN, for example, which Python writes but which is not JSON
    except (ValueError, TypeError, RecursionError) as error:
        raise BundleFormatError(f"{path} was not written: its {MANIFEST} could not be read again: {error}") from error
    return text


def refuse_foreign(path: str | os.PathLike[str]) -> None:
    """Raise StorageError if `path` is something other than a bundle, an empty folder, or nothing."""
    path = Path(path)
    if not os.path.lexists(path) or (path.is_dir() and not any(path.iterdir())):
        return
    try:
        is_bundle = MANIFEST in open_store(path).names()
    except BundleFormatError:
        is_bundle = False
    if not is_bundle:
        raise StorageError(f"{path} is no bundle, and only a bundle is replaced; remove it, or choose another name")


def pack_zip(bundle: Bundle, path: str | PathLike[str], overwrite: bool = False) -> Bundle:
    """Write a verified bundle, its signature included, as one uncompressed zip file, atomically.

    Raises:
        StorageError: `path` exists and `overwrite` is false or it is no bundle, or the disk is full; no partial file is
            left.
    """
    if overwrite:
        refuse_foreign(path)
    write_zip(Path(path), everything(bundle), replace=overwrite)
    return open_bundle(path)


def unpack_folder(bundle: Bundle, path: str | PathLike[str], overwrite: bool = False) -> Bundle:
    """Write a verified bundle, its signature included, as a folder, atomically.

    Raises:
        StorageError: `path` exists and `overwrite` is false, or the disk is full; no partial folder is left.
    """
    if overwrite:
        refuse_foreign(path)
    with atomic_folder(path, replace=overwrite) as folder:
        _write_into(folder, everything(bundle))
    return open_bundle(path)


def _write_into(folder: Path, contents: Mapping[str, bytes]) -> None:
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def add_file(bundle: Bundle, name: str, content: bytes) -> Bundle:
    """Add a file that the manifest does not list, such as the signature, to a bundle, atomically."""
    if bundle.path.is_dir():
        with atomic_file(bundle.path / name) as part:
            part.write_bytes(content)
    else:
        present = {existing: bundle._store.read(existing, None) for existing in sorted(bundle._store.names())}
        write_zip(bundle.path, {**present, name: content}, replace=True)
    return open_bundle(bundle.path)


def manifest_bytes(bundle: Bundle) -> bytes:
    """The bytes of the manifest, unchanged: what a signature signs."""
    return bundle._store.read(MANIFEST, MAX_BYTES)


def golden_npz(golden: Golden) -> bytes:
    """The content of `golden.npz`."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {f"input/{number}": array for number, array in enumerate(golden.inputs)}
    for name, outputs in golden.outputs.items():
        arrays |= {f"{name}/{number}": array for number, array in enumerate(outputs)}
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _arrays(content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays that `golden_npz` wrote. Compressed entries are refused, so no small file can fill the memory."""
    import zipfile

    found: dict[str, NDArray[Any]] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for entry in archive.infolist():
                name = entry.filename.removesuffix(".npy")
                if entry.compress_type != zipfile.ZIP_STORED:
                    raise InputError(f"{name} in {GOLDEN} is compressed")
                with archive.open(entry) as file:
                    found[name] = read_npy(cast(io.BufferedIOBase, file), entry.file_size, f"{name} in {GOLDEN}")
    except zip_errors() as error:
        raise InputError(f"{GOLDEN} is no .npz, or is damaged") from error
    return found


def everything(bundle: Bundle) -> dict[str, bytes]:
    """Name → content of all files of a bundle, manifest and signature included, after `verify`."""
    bundle.verify()
    return {name: bundle._store.read(name, None) for name in sorted(bundle._store.names())}


def _compare(bundle: Bundle, names: Sequence[str]) -> None:
    present = set(names) - {MANIFEST, SIGNATURE}
    changed = []
    for name in present & bundle.files.keys():
        try:
            bundle.read(name)
        except BundleIntegrityError:
            changed.append(name)
    missing, extra = bundle.files.keys() - present, present - bundle.files.keys()
    if changed or missing or extra:
        raise BundleIntegrityError(bundle.path, changed, missing, extra)
