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

from collections.abc import Iterable
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
