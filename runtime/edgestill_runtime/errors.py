"""The error tree of Edgestill.

    EdgestillError                 base class; the message says what is wrong, where, and what to do
    ├── BundleError                a bundle cannot be read or trusted
    │   ├── BundleFormatError      not a bundle, an invalid manifest, or an unknown format version
    │   ├── BundleIntegrityError   files differ, are missing or are extra; no engine has read them
    │   └── SignatureError         no signature, an invalid one, or one by an untrusted key
    ├── EngineError                no engine for this file is installed, or the engine refused the file
    │   ├── EngineCrashError       the process of an isolated engine ended; `signal` is its signal
    │   ├── EngineTimeoutError     an isolated engine exceeded its time limit and was killed
    │   └── EngineMemoryError      out of memory, or an isolated engine exceeded its limit and was killed
    ├── InputError                 an input has a wrong shape, dtype or value; no engine has run it
    └── StorageError               a file could not be written; the existing file is unchanged

Every package of the project derives its own errors from `EdgestillError`, so that one `except` catches them all
and a command line can print them without a traceback.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class EdgestillError(Exception):
    """Base class of all errors of this project."""


class BundleError(EdgestillError):
    """A bundle cannot be read or trusted."""


class BundleFormatError(BundleError):
    """Not a bundle, or a manifest that is invalid or of an unknown format version."""


class BundleIntegrityError(BundleError):
    """Files differ from the manifest. `changed`, `missing` and `extra` are tuples of their names."""

    def __init__(
        self,
        path: Path,
        changed: Iterable[str] = (),
        missing: Iterable[str] = (),
        extra: Iterable[str] = (),
    ) -> None:
        self.path = path
        self.changed = tuple(sorted(changed))
        self.missing = tuple(sorted(missing))
        self.extra = tuple(sorted(extra))
        parts = [
            f"{word}: {', '.join(names)}"
            for word, names in (("changed", self.changed), ("missing", self.missing), ("extra", self.extra))
            if names
        ]
        super().__init__(
            f"bundle {path} does not match its manifest ({'; '.join(parts)}). "
            "Copy it again from where it was made, or make it again with `edgestill run`."
        )


class SignatureError(BundleError):
    """A bundle is not signed by a trusted key."""


class EngineError(EdgestillError):
    """An engine is not installed, or refused a file or an input."""


class EngineCrashError(EngineError):
    """The process of an isolated engine ended. `signal` is its name, such as `SIGSEGV`; None for an exit code."""

    def __init__(self, message: str, signal: str | None = None) -> None:
        super().__init__(message)
        self.signal = signal


class EngineTimeoutError(EngineError):
    """An isolated engine did not reply in time."""


class EngineMemoryError(EngineError):
    """Out of memory, or an isolated engine exceeded its memory limit."""


class InputError(EdgestillError):
    """An input does not fit the model."""


class StorageError(EdgestillError):
    """A file could not be written completely; the existing file is unchanged."""


def what_instead(head: bytes) -> str:
    """What a file of a wrong format is, by its first bytes, such as `: it is empty`; empty text if unknown."""
    if not head:
        return ": it is empty"
    if head.startswith(b"version https://git-lfs"):
        return ": it is a Git LFS pointer; fetch the file itself with `git lfs pull`"
    if head.lstrip()[:1] == b"<":
        return ": it is text (HTML, XML or SVG)"
    return ""


# Top-level modules whose exception classes mean that an engine failed; `know_modules` adds those of loaded engines.
_ENGINES = {"numpy"}
# Built-in exception classes that libraries raise for damaged or refused data.
_OF_PYTHON = frozenset({
    ArithmeticError, AssertionError, AttributeError, BufferError, EOFError, FloatingPointError, ImportError, IndexError,
    KeyError, LookupError, ModuleNotFoundError, NotImplementedError, OSError, OverflowError, RecursionError,
    RuntimeError, SyntaxError, SystemError, TypeError, UnicodeDecodeError, UnicodeEncodeError, UnicodeError,
    UserWarning, ValueError, ZeroDivisionError,
})  # fmt: skip


def raised_by(error: BaseException, *packages: str) -> bool:
    """Whether an exception raised during a call of a library comes from the library, decided by its class.

    True if one of `packages` defines the class, if it is exactly one of the built-in classes that libraries raise, or
    if it is an OSError with an errno. Any other exception is the caller's own, raised by a signal handler (such as
    TimeoutError) or by an object of the caller, and must reach the caller unchanged. So must MemoryError.
    """
    if isinstance(error, MemoryError):
        return False
    if isinstance(error, OSError) and error.errno is not None:
        return True
    return type(error) in _OF_PYTHON or type(error).__module__.partition(".")[0] in packages


def reason(error: BaseException) -> str:
    """The text of an error, for the end of a sentence; never empty. For an OSError its `strerror`."""
    words = error.strerror if isinstance(error, OSError) else None
    return str(words or error).strip() or type(error).__name__


def know_modules(modules: Iterable[str]) -> None:
    """Register top-level modules of an engine, whose exceptions become EngineError; called when it is loaded."""
    _ENGINES.update(modules)


def refuse_engine(what: str, error: BaseException) -> None:
    """Raise EngineError if an engine raised `error`; return if it is an EdgestillError or the caller's own.

    Args:
        what: start of the message; the reason follows it.

    Raises:
        EngineError, EngineMemoryError.
    """
    if isinstance(error, EdgestillError):
        return
    if isinstance(error, MemoryError):
        detail = f" ({error})" if str(error) else ""
        raise EngineMemoryError(f"{what}: memory ran out{detail}") from error
    if raised_by(error, *_ENGINES):
        raise EngineError(f"{what}: {reason(error)}") from error


@contextmanager
def engine_errors(what: str) -> Iterator[None]:
    """Run a block of engine calls; exceptions go through `refuse_engine`."""
    try:
        yield
    except Exception as error:
        refuse_engine(what, error)
        raise


def first_line(error: BaseException) -> str:
    """The first line of an exception's message without control characters; may be empty.

    For messages that quote an exception of third-party code.
    """
    import re  # only where something went wrong

    # Terminal escape sequences (colors, titles), then all other control characters.
    sequences = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
    plain = re.sub(sequences, "", str(error)).replace("\t", " ")
    return next(iter(plain.strip().splitlines()), "").strip()


def one_line(error: BaseException) -> str:
    """The class of an exception and the first line of its message, of which at most 200 characters."""
    text = first_line(error)
    return f"{type(error).__name__}: {text:.200}" if text else type(error).__name__
