"""What `torch.save` wrote, read without running code; and what a file is that cannot be read so."""

import argparse
import io
import pickle
import pickletools
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ..errors import ModelError

SAVE_AGAIN = "save the weights alone where the model was made: torch.save(model.state_dict(), FILE)"
_BUILT_IN = ("builtins", "__builtin__")  # as pickles of protocol 3 and later, and of earlier ones, call it


def read_pickled(path: Path) -> Any:
    """What is in a file by `torch.save`.

    Raises:
        ModelError: it cannot be read, or not without running code; says what it is.
    """
    harmless: list[Any] = [argparse.Namespace]  # timm and others keep their options beside the weights
    try:
        # The open file: of a path, torch would believe the name.
        with path.open("rb") as file, torch.serialization.safe_globals(harmless), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's advice is on its own options
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        # Whatever it was, torch's words are about its own options; what helps is in the file.
        raise ModelError(f"checkpoint {path} {_what_else(path)}") from error


def _what_else(path: Path) -> str:
    content = _pickle_in(path)
    names = None if content is None else _globals(content)
    if content is None or names is None:
        return "is cut off or damaged; copy or download it again"
    odd = [name for name in names if not _known(name)]
    modules = [name for name in odd if not name.startswith(("numpy", *_BUILT_IN))]
    if any(name.startswith("torch.nn.modules.") for name in names) or (modules and _begins_with_class(names)):
        return f"is a whole pickled model, whose code ({_few(odd)}) would have to be run to read it; {SAVE_AGAIN}"
    if odd:
        return f"holds Python objects beside tensors ({_few(odd)}), which cannot be read without running code; " + (
            SAVE_AGAIN
        )
    if content[:1] == b"\x80" and content[1] > 2:
        return f"was pickled with protocol {content[1]}, which cannot be read without running code; {SAVE_AGAIN}"
    return "is damaged, or holds no weights; copy or download it again"


def _known(name: str) -> bool:
    return name.startswith(("torch.", "collections.OrderedDict")) and not name.startswith("torch.nn.modules.")


def _begins_with_class(names: list[str]) -> bool:
    return not _known(names[0]) and not names[0].startswith(("numpy", *_BUILT_IN))


def _few(names: list[str]) -> str:
    shown = list(dict.fromkeys(names))
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")


def _pickle_in(path: Path) -> bytes | None:
    """The pickle in a file, or several in a row as the old format has them; None where it cannot be read."""
    try:
        if not zipfile.is_zipfile(path):
            return path.read_bytes()
        with zipfile.ZipFile(path) as archive:
            return archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
    except (OSError, StopIteration, zipfile.BadZipFile, KeyError):
        return None


def _globals(content: bytes) -> list[str] | None:
    """Classes and functions that a pickle names, in its order, without loading it; None where it cannot be read."""
    try:
        return list(_named_in(content))
    except (ValueError, IndexError, pickle.UnpicklingError):
        return None


def _named_in(content: bytes) -> Iterator[str]:
    stream, read = io.BytesIO(content), 0
    while read < 5 and stream.tell() < len(content):
        read += 1
        strings: list[str] = []
        memo: list[str | None] = []  # what later operations may call for again by its number
        last: str | None = None
        for operation, argument, _ in pickletools.genops(stream):
            if operation.name == "MEMOIZE":
                memo.append(last)
                continue
            last = argument if isinstance(argument, str) else None
            if operation.name == "GLOBAL":
                yield str(argument).replace(" ", ".")
            elif operation.name == "STACK_GLOBAL" and len(strings) > 1:
                yield ".".join(strings[-2:])
            elif operation.name in ("BINGET", "LONG_BINGET") and isinstance(argument, int) and argument < len(memo):
                strings += [memo[argument] or ""]
            elif last is not None:
                strings.append(last)
