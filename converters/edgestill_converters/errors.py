"""Errors of the converters; all derive from `edgestill_runtime.EdgestillError`.

EdgestillError
├── CalibrationError    calibration images that do not fit the model
├── ConversionError     an exporter failed, or the outputs of its file differ from the model's; names the log
└── InspectionError     a model file that cannot be inspected: it is damaged, or its reader is missing or failed
"""

from edgestill_runtime.errors import EdgestillError


class CalibrationError(EdgestillError):
    """Calibration images of the wrong shape, type or number."""


class ConversionError(EdgestillError):
    """A file could not be made, or differs from the model."""


class InspectionError(EdgestillError):
    """A model file could not be inspected."""
