"""The page: `results.json` and `samples.npz` of a run's folder → one `report.html` that works offline (host only)."""

from .page import write_report

__all__ = ["write_report"]
