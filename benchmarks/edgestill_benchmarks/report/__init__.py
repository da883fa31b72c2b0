"""The pages: `results.json` and `samples.npz` of runs' folders → HTML that works offline (host only)."""

from .page import write_report
from .several import write_comparison

__all__ = ["write_comparison", "write_report"]
