"""Errors of the converters; both derive from `edgestill_runtime.EdgestillError`.

EdgestillError
├── CalibrationError    calibration images that do not fit the model
├── ConversionError     an exporter failed, or its file answers differently from the model; the log's path is named
└── InspectionError     a model file that cannot be looked into: it is damaged, or what reads it is missing or failed
"""

from edgestill_runtime.errors import EdgestillError


class CalibrationError(EdgestillError):
    """Calibration images of the wrong shape, type or number."""


class ConversionError(EdgestillError):
    """A file could not be made, or is not what it should be."""


class InspectionError(EdgestillError):
    """A model file could not be looked into."""
