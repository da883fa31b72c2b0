"""The version, in a separate file without imports."""

__version__ = "0.1.0"
