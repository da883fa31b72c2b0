"""The error tree of Edgestill.

    EdgestillError                 anything this project refuses; the message says what, where, and what to do
    ├── BundleError                a bundle that is not what its manifest says
    │   ├── BundleFormatError      no bundle, an unreadable manifest, or a format version that is not understood
    │   ├── BundleIntegrityError   files that differ, are missing or are extra; nothing was given to an engine
    │   └── SignatureError         no signature, a wrong one, or one by a key that is not trusted
    ├── EngineError                no engine for this file is installed, or the engine refused the file
    │   ├── EngineCrashError       an isolated engine died; `signal` names how
    │   ├── EngineTimeoutError     an isolated engine took longer than it may, and was killed
    │   └── EngineMemoryError      memory ran out, or an isolated engine took more than it may and was killed
    ├── InputError                 an input of the wrong shape, dtype or values; nothing was given to an engine
    └── StorageError               a file could not be written; what was there before is untouched

Every package of the project derives its own errors from `EdgestillError`, so that one `except` catches them all
and a command line can print them without a traceback.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class EdgestillError(Exception):
    """Root of all errors that are meant to be read by a person."""


class BundleError(EdgestillError):
    """A bundle cannot be trusted or read."""


class BundleFormatError(BundleError):
    """The path holds no bundle, or a manifest that this version does not understand."""


class BundleIntegrityError(BundleError):
    """Files differ from the manifest. `changed`, `missing` and `extra` hold their names."""

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
    """A bundle is not signed by a key that is trusted."""


class EngineError(EdgestillError):
    """An engine is missing, or refused what it was given."""


class EngineCrashError(EngineError):
    """The native code of an isolated engine ended its process. `signal` is such as `SIGSEGV`, None for a plain exit."""

    def __init__(self, message: str, signal: str | None = None) -> None:
        super().__init__(message)
        self.signal = signal


class EngineTimeoutError(EngineError):
    """An isolated engine gave no answer in time."""


class EngineMemoryError(EngineError):
    """There is not enough memory, or an isolated engine took more of it than it may."""


class InputError(EdgestillError):
    """An input does not fit the model."""


class StorageError(EdgestillError):
    """A file could not be written completely; the earlier state is untouched."""


def what_instead(head: bytes) -> str:
    """What a file is that is not what it should be, from its first bytes: `: it is empty`, say; empty where unknown."""
    if not head:
        return ": it is empty"
    if head.startswith(b"version https://git-lfs"):
        return ": it is a Git LFS pointer; fetch the file itself with `git lfs pull`"
    if head.lstrip()[:1] == b"<":
        return ": it is text (HTML, XML or SVG)"
    return ""


# Top-level modules of engines, whose exceptions are theirs: numpy's pass through them, and `know_modules` adds others.
_ENGINES = {"numpy"}
# What libraries raise of Python's own classes when data is damaged or an engine refuses it.
_OF_PYTHON = frozenset({
    ArithmeticError, AssertionError, AttributeError, BufferError, EOFError, FloatingPointError, ImportError, IndexError,
    KeyError, LookupError, ModuleNotFoundError, NotImplementedError, OSError, OverflowError, RecursionError,
    RuntimeError, SyntaxError, SystemError, TypeError, UnicodeDecodeError, UnicodeEncodeError, UnicodeError,
    UserWarning, ValueError, ZeroDivisionError,
})  # fmt: skip


def raised_by(error: BaseException, *packages: str) -> bool:
    """Whether an exception that came out of a library is the library's: told by its class.

    It is when a package of these defined the class, when it is exactly one of Python's that libraries raise, and when
    the system refused something (OSError with an errno). Every other one is the caller's own, which a signal handler
    raised meanwhile (TimeoutError, a class of the caller's) or an object that the caller gave, and is for the caller to
    see as it is. So is MemoryError.
    """
    if isinstance(error, MemoryError):
        return False
    if isinstance(error, OSError) and error.errno is not None:
        return True
    return type(error) in _OF_PYTHON or type(error).__module__.partition(".")[0] in packages


def reason(error: BaseException) -> str:
    """Why, for the end of a sentence; never empty. The system's own words without its number, where it refused."""
    words = error.strerror if isinstance(error, OSError) else None
    return str(words or error).strip() or type(error).__name__


def know_modules(modules: Iterable[str]) -> None:
    """Take exceptions that these top-level modules define as refusals of an engine; called as one is loaded."""
    _ENGINES.update(modules)


def refuse_engine(what: str, error: BaseException) -> None:
    """Raise EngineError for an exception that an engine raised; return where it is one of ours or the caller's own.

    Args:
        what: did not work; the reason is put behind it.
    """
    if isinstance(error, EdgestillError):
        return
    if isinstance(error, MemoryError):
        said = f" ({error})" if str(error) else ""
        raise EngineMemoryError(f"{what}: memory ran out{said}") from error
    if raised_by(error, *_ENGINES):
        raise EngineError(f"{what}: {reason(error)}") from error


@contextmanager
def engine_errors(what: str) -> Iterator[None]:
    """Around what an engine does: `refuse_engine` for whatever is raised."""
    try:
        yield
    except Exception as error:
        refuse_engine(what, error)
        raise


def first_line(error: BaseException) -> str:
    """The first line of what somebody else's exception says, without control characters; empty where it says nothing.

    For every message that quotes an exception of a user's own code.
    """
    import re  # only where something went wrong

    # Escape sequences of terminals (colours, titles), then every other character that moves a cursor or rings a bell.
    sequences = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
    plain = re.sub(sequences, "", str(error)).replace("\t", " ")
    return next(iter(plain.strip().splitlines()), "").strip()


def one_line(error: BaseException) -> str:
    """The same with the kind of the exception before it, 200 characters at most."""
    text = first_line(error)
    return f"{type(error).__name__}: {text:.200}" if text else type(error).__name__
