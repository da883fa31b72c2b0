"""Bundle × device → measurement; measurements → report.

    python -m edgestill_benchmarks measure fashion.edge --threads 4      # on a device: numpy and an engine, no more

`latency.py`, `memory.py`, `accuracy.py` and `machine.py` are one measurement each; `measurement.py` puts them together
for a bundle; `results.py` checks the `results.json` of a run; `report/` makes the page from it (on the host).
"""

from .accuracy import accuracy, accuracy_per_class, agreement, confusion_matrix, standard_error
from .latency import Latency, measure_latency
from .machine import describe_machine, usable_cores
from .measurement import FileMeasurement, Measurement, MemoryMeasurement, measure, measure_memory, open_models
from .memory import peak_bytes

__all__ = [
    "FileMeasurement",
    "Latency",
    "Measurement",
    "MemoryMeasurement",
    "accuracy",
    "accuracy_per_class",
    "agreement",
    "confusion_matrix",
    "describe_machine",
    "measure",
    "measure_latency",
    "measure_memory",
    "open_models",
    "peak_bytes",
    "standard_error",
    "usable_cores",
]
