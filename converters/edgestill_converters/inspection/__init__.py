"""What is inside a model file, whoever made it: `inspect_file(path)` → `Inspection`, plain data.

Each backend reads its own format; `contents.py` is what was found, with totals, `picture.py` draws it.
"""

import signal
from pathlib import Path
from subprocess import CalledProcessError

from edgestill_runtime import EdgestillError
from edgestill_runtime.engines import Content, families
from edgestill_runtime.model import bare_format, read_bare

from ..backends import find_backend
from ..contents import Inspection, Operator, Tensor
from ..errors import InspectionError
from .picture import draw, legend, write_picture

__all__ = [
    "Inspection",
    "InspectionError",
    "Operator",
    "Tensor",
    "can_inspect",
    "draw",
    "inspect_bytes",
    "inspect_file",
    "legend",
    "write_picture",
]


def inspect_file(path: Path) -> Inspection:
    """Inspect a file. The engine is asked which operators it delegates, in a process of its own; nothing is run.

    Raises:
        InspectionError: not a model file, or damaged, or its reader is missing or failed.
    """
    try:
        engine, content = bare_format(path), read_bare(path)
    except OSError as error:
        raise InspectionError(f"{path} cannot be read: {error.strerror}") from error
    if engine is None:
        suffixes = ", ".join(one.suffix for one in families())
        raise InspectionError(f"{path} is no model file ({suffixes}), nor a bundle")
    return inspect_bytes(content, engine, str(path))


def inspect_bytes(content: Content, engine: str, name: str, ask_engine: bool = True) -> Inspection:
    """The same for the content of a file.

    Args:
        engine: the one that runs the file. name: of the file, for messages.
        ask_engine: ask the engine what it delegates, if the file does not tell; else nothing counts as delegated.
    """
    backend = find_backend(engine)
    if backend is None or backend.inspect is None:
        raise InspectionError(f"{name} is a file for {engine}, and nothing is installed that looks into such files")
    try:
        return backend.inspect(content, ask_engine)
    except EdgestillError:
        raise
    except ImportError as error:
        package = (error.name or "a package").partition(".")[0]
        raise InspectionError(
            f"{name} is looked into with {package}, which is not installed. Install it with: "
            f"pip install '{backend.requirement}'"
        ) from error
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise InspectionError(
            f"{name} could not be looked into, the system refused: {error.strerror}{where}"
        ) from error
    except Exception as error:  # each reader fails in its own way on a damaged flatbuffer
        if isinstance(error, CalledProcessError) and error.returncode == -signal.SIGKILL:
            raise InspectionError(
                f"{name} could not be looked into: a program that reads it was killed, as when memory runs out; try "
                "again with more of it free"
            ) from error
        raise InspectionError(
            f"{name} cannot be read as a {engine} file, it is damaged; copy or make it again"
        ) from error


def can_inspect(engine: str) -> bool:
    """Whether files of an engine can be inspected."""
    backend = find_backend(engine)
    return backend is not None and backend.inspect is not None
