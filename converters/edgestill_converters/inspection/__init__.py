"""What is inside a `.pte` or a `.tflite`, whoever made it: `inspect_file(path)` → `Inspection`, plain data.

`tflite.py` and `pte.py` read the two formats, `facts.py` says what was found and adds it up, `picture.py` draws it.
"""

from pathlib import Path

from edgestill_runtime import EdgestillError
from edgestill_runtime.model import bare_format

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


class InspectionError(EdgestillError):
    """A file that cannot be read as what it should be."""


def inspect_file(path: Path) -> Inspection:
    """Look into a file; the engine that would run it is asked only what it delegates, in a process of its own.

    Raises:
        InspectionError: no model file, or one that is damaged.
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
        ask_engine: what LiteRT delegates, in seconds; without it nothing of a `.tflite` counts as delegated.
    """
    try:
        if engine == "litert":
            from .tflite import read_tflite

            return read_tflite(content, ask_engine)
        from .pte import read_pte

        return read_pte(content)
    except EdgestillError:
        raise
    except Exception as error:  # a damaged flatbuffer fails in as many ways as there are readers
        raise InspectionError(
            f"{name} cannot be read as a {engine} file, it is damaged; copy or make it again"
        ) from error
