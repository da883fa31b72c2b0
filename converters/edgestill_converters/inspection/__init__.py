"""What is inside a `.pte` or a `.tflite`, whoever made it: `inspect_file(path)` → `Inspection`, plain data.

`tflite.py` and `pte.py` read the two formats, `facts.py` says what was found and adds it up, `picture.py` draws it.
"""

import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import CalledProcessError

from edgestill_runtime import EdgestillError
from edgestill_runtime.model import bare_format

from ..errors import InspectionError
from .facts import Inspection, Operator, Tensor
from .picture import draw, legend, write_picture

__all__ = [
    "Inspection",
    "InspectionError",
    "Operator",
    "Tensor",
    "draw",
    "inspect_bytes",
    "inspect_file",
    "legend",
    "write_picture",
]


def inspect_file(path: Path) -> Inspection:
    """Look into a file; the engine that would run it is asked only what it delegates, in a process of its own.

    Raises:
        InspectionError: no model file, one that is damaged, or what reads it is missing or failed.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InspectionError(f"{path} cannot be read: {error.strerror}") from error
    engine = bare_format(path)
    if engine is None:
        raise InspectionError(f"{path} is neither a .pte nor a .tflite, nor a bundle")
    return inspect_bytes(content, engine, str(path))


def inspect_bytes(content: bytes, engine: str, name: str, ask_engine: bool = True) -> Inspection:
    """The same for bytes.

    Args:
        engine: `executorch` or `litert`. name: what messages call the file.
        ask_engine: what LiteRT delegates; without it nothing of a `.tflite` counts as delegated.
    """
    read = _reader(engine, name)
    try:
        return read(content, ask_engine)
    except EdgestillError:
        raise
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise InspectionError(
            f"{name} could not be looked into, the system refused: {error.strerror}{where}"
        ) from error
    except Exception as error:  # a damaged flatbuffer fails in as many ways as there are readers
        if isinstance(error, CalledProcessError) and error.returncode == -signal.SIGKILL:
            raise InspectionError(
                f"{name} could not be looked into: a program that reads it was killed, as when memory runs out; try "
                "again with more of it free"
            ) from error
        raise InspectionError(
            f"{name} cannot be read as a {engine} file, it is damaged; copy or make it again"
        ) from error


def _reader(engine: str, name: str) -> Callable[[bytes, bool], Inspection]:
    """Reads the bytes of a file; a package that it needs and that is missing says nothing of the file."""
    try:
        if engine == "litert":
            from .tflite import read_tflite

            return read_tflite
        from .pte import read_pte
    except ImportError as error:
        package = (error.name or "a package").partition(".")[0]
        raise InspectionError(
            f"{name} is looked into with {package}, which is not installed. Install it with: "
            "pip install 'edgestill[convert]'"
        ) from error
    return lambda content, _: read_pte(content)
