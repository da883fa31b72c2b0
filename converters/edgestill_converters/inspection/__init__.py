"""What is inside a model file, whoever made it: `inspect_file(path)` → `Inspection`, plain data.

Each backend reads its own format; `contents.py` says what was found and adds it up, `picture.py` draws it.
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
    """Look into a file; the engine that would run it is asked only what it delegates, in a process of its own.

    Raises:
        InspectionError: no model file, one that is damaged, or what reads it is missing or failed.
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
        engine: whose file it is. name: what messages call the file.
        ask_engine: what its delegate takes, where only the engine knows; without it nothing counts as delegated.
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
    except Exception as error:  # a damaged flatbuffer fails in as many ways as there are readers
        if isinstance(error, CalledProcessError) and error.returncode == -signal.SIGKILL:
            raise InspectionError(
                f"{name} could not be looked into: a program that reads it was killed, as when memory runs out; try "
                "again with more of it free"
            ) from error
        raise InspectionError(
            f"{name} cannot be read as a {engine} file, it is damaged; copy or make it again"
        ) from error


def can_inspect(engine: str) -> bool:
    """Whether anything looks into an engine's files."""
    backend = find_backend(engine)
    return backend is not None and backend.inspect is not None
