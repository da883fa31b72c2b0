"""Bundle × device → measurement; measurements → report.

    python -m edgestill_benchmarks measure fashion.edge --threads 4      # on a device: numpy and an engine, no more

`latency.py`, `memory.py`, `energy.py`, `sensors.py`, `operators.py` and `machine.py` measure one quantity each; quality
is that of the bundle's task (`edgestill_runtime.tasks`). `measurement.py` measures a bundle in this process;
`benchmark.py` runs all measurements, each in a process of its own; `measurement_warnings.py` names what makes their
numbers unreliable. `results.py` checks the `results.json` of a run, which `migration.py` converts from older schema
versions; `report/` renders it as an HTML page (on the host).
"""

from edgestill_runtime.tasks.image_classification import accuracy, standard_error

from .benchmark import benchmark_bundle
from .latency import INTERLEAVED, MLPERF, Latency, Rule, measure_latency
from .machine import describe_machine, measurement_identity, usable_cores
from .measurement import (
    FileMeasurement,
    Measurement,
    StartMeasurement,
    evaluate_samples,
    measure,
    measure_start,
    open_models,
)
from .memory import peak_bytes, resident_bytes
from .operators import Operator, Profile, profile_bundle

__all__ = [
    "INTERLEAVED",
    "MLPERF",
    "FileMeasurement",
    "Latency",
    "Measurement",
    "Operator",
    "Profile",
    "Rule",
    "StartMeasurement",
    "accuracy",
    "benchmark_bundle",
    "describe_machine",
    "evaluate_samples",
    "measure",
    "measure_latency",
    "measure_start",
    "measurement_identity",
    "open_models",
    "peak_bytes",
    "profile_bundle",
    "resident_bytes",
    "standard_error",
    "usable_cores",
]
