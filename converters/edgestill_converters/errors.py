"""Errors of the converters; both derive from `edgestill_runtime.EdgestillError`.

EdgestillError
├── CalibrationError    calibration images that do not fit the model
└── ConversionError     an exporter failed, or its file answers differently from the model; the log's path is named
"""

import re

from edgestill_runtime.errors import EdgestillError


class CalibrationError(EdgestillError):
    """Calibration images of the wrong shape, type or number."""


class ConversionError(EdgestillError):
    """A file could not be made, or is not what it should be."""


# Escape sequences of terminals (colours, titles), then every other character that moves a cursor or rings a bell.
_CONTROL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def first_line(error: BaseException) -> str:
    """The first line of what somebody else's exception says, without control characters; empty where it says nothing.

    For every message that quotes an exception of a user's own code.
    """
    plain = _CONTROL.sub("", str(error)).replace("\t", " ")
    return next(iter(plain.strip().splitlines()), "").strip()
