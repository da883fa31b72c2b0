"""What a file is, told by what is in it: for messages, and to choose how it is read. Its name decides nothing.

kind = describe_file(path)      # FileKind("onnx", "an ONNX model", …); None where nothing is there
"""

import errno
import json
import tomllib
import zipfile
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from edgestill_runtime.engines import BUILT_IN
from edgestill_runtime.errors import reason

from .errors import ModelError

_HEAD = 4096
# Where the bytes stand, the bytes → the kind.
_MARKS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"version https://git-lfs.github.com/", "lfs"),
    *((4, one.identifier, one.name) for one in BUILT_IN if one.identifier),
    (0, b"\x89HDF\r\n\x1a\n", "hdf5"),
    (0, b"GGUF", "gguf"),
    (0, b"\x93NUMPY", "npy"),
    (0, b"\x80", "pickle"),
    (0, b"\x1f\x8b", "packed"),
    (0, b"BZh", "packed"),
    (0, b"\xfd7zXZ", "packed"),
    (0, b"\x28\xb5\x2f\xfd", "packed"),
    (257, b"ustar", "tar"),
    (0, b"\x89PNG", "image"),
    (0, b"\xff\xd8\xff", "image"),
    (0, b"RIFF", "media"),
)
# Members of a zip → the kind; the first that fits.
_MEMBERS: tuple[tuple[str, str], ...] = (
    ("manifest.json", "bundle"),
    ("model.weights.h5", "keras"),
    ("/constants.pkl", "torchscript"),
    ("archive_format", "exported"),
    ("/data.pkl", "torch"),
    (".npy", "npz"),
)
_WORDS = {
    "empty": "an empty file",
    "folder": "a folder",
    "lfs": "a Git LFS pointer, not the file itself",
    "html": "a web page (HTML), not the file that was meant to be downloaded",
    "xml": "an XML document, such as a server's error message",
    "json": "JSON text",
    "text": "a text file",
    "safetensors": "a safetensors file",
    "torch": "a file that torch.save wrote",
    "pickle": "a pickle, or a file of torch.save's old format",
    "torchscript": "a TorchScript archive: a program, not weights alone",
    "exported": "a program that torch.export wrote",
    "onnx": "an ONNX model",
    **{one.name: one.words for one in BUILT_IN},
    "bundle": "a bundle of Edgestill",
    "keras": "a Keras model",
    "hdf5": "an HDF5 file, such as older Keras models are",
    "gguf": "a GGUF file",
    "npy": "a numpy array",
    "npz": "a file of numpy arrays (.npz)",
    "zip": "a zip archive",
    "cut zip": "a zip archive that is cut off or damaged",
    "packed": "a compressed file",
    "tar": "a tar archive",
    "image": "an image",
    "media": "a sound or video file",
    "unknown": "a file of unknown contents",
}
_ADVICE = {
    "empty": "copy or download it again",
    "lfs": "fetch the file itself with `git lfs pull`",
    "html": "download it again, from the link to the file itself",
    "xml": "download it again",
    "packed": "unpack it first",
    "tar": "unpack it first",
    "zip": "unpack it first",
    "cut zip": "copy or download it again",
}


@dataclass(frozen=True)
class FileKind:
    """What a file is.

    Args:
        kind: a short name, such as `safetensors`, `onnx` or `html`.
        words: the same for a message: `an ONNX model`. advice: what to do where the file is of no use; may be empty.
    """

    kind: str
    words: str
    advice: str = ""


def describe_file(path: str | PathLike[str]) -> FileKind | None:
    """What a file or folder is, by its content; None where nothing is there, or no file can have that name.

    Raises:
        ModelError: it cannot be read.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _named("folder")
        with path.open("rb") as file:
            head = file.read(_HEAD)
        return _named(_kind(path, head))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None
        raise ModelError(f"{path} cannot be read: {reason(error).lower()}") from error


def no_toml(path: Path, error: Exception) -> str:
    """What kept a file from being read as TOML, for a message.

    Args:
        error: of reading it as text, or of tomllib.
    """
    if isinstance(error, OSError) and not path.is_dir():
        return f"{path} cannot be read: {reason(error)}"
    description = describe_file(path)
    if description is not None and description.kind not in ("text", "unknown", "empty"):
        return f"{path} is {description.words}, and TOML is wanted, a text file"
    if isinstance(error, tomllib.TOMLDecodeError):
        return f"{path} is not valid TOML: {error}"
    return f"{path} is not text in UTF-8, as TOML is"


def _named(kind: str) -> FileKind:
    return FileKind(kind, _WORDS[kind], _ADVICE.get(kind, ""))


def _kind(path: Path, head: bytes) -> str:
    if not head:
        return "empty"
    if _is_safetensors(head, path.stat().st_size):
        return "safetensors"
    if head.startswith(b"PK\x03\x04"):
        return _zip_kind(path)
    for place, mark, kind in _MARKS:
        if head[place : place + len(mark)] == mark:
            return kind
    return _text_kind(path, head) or ("onnx" if _is_onnx(head) else "unknown")


def _is_safetensors(head: bytes, size: int) -> bool:
    """The length of the header in 8 bytes, then a JSON object; also where the rest of the file is missing."""
    length = int.from_bytes(head[:8], "little")
    return size > 9 and 2 <= length < 1 << 27 and head[8:9] == b"{" and head[9:10] in (b'"', b"}", b" ")


def _is_onnx(head: bytes) -> bool:
    """A protobuf message that begins with field 1, a small number (the version of the format), then a known field."""
    known = (0x12, 0x1A, 0x22, 0x2A, 0x32, 0x3A, 0x42)
    return len(head) > 3 and head[0] == 0x08 and 1 <= head[1] <= 32 and head[2] in known


def _zip_kind(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError):
        entries = []
    # The file starts with an entry: a directory without it is that of a zip inside this one, which is cut off.
    if all(entry.header_offset for entry in entries):
        return "torch" if path.suffix.lower() in (".pt", ".pth", ".ckpt", ".bin", ".tar") else "cut zip"
    names = [entry.filename for entry in entries]
    for member, kind in _MEMBERS:
        if any(name == member or name.endswith(member) for name in names):
            return kind
    return "zip"


def _text_kind(path: Path, head: bytes) -> str:
    try:
        text = head.decode("utf-8-sig").lstrip()
    except UnicodeDecodeError:
        return ""
    begin = text[:200].lower()
    if begin.startswith(("<!doctype html", "<html")) or "<html" in begin:
        return "html"
    if begin.startswith(("<?xml", "<error")):
        return "xml"
    if begin.startswith(("{", "[")):
        try:
            json.loads(path.read_bytes())
        except ValueError:
            return "text"
        return "json"
    return "text" if text and all(letter.isprintable() or letter in "\r\n\t" for letter in text) else ""
