"""Bundle × device → measurement; measurements → report.

    python -m edgestill_benchmarks measure fashion.edge --threads 4      # on a device: numpy and an engine, no more

`latency.py`, `memory.py`, `energy.py`, `sensors.py`, `operators.py` and `machine.py` are one each; how good answers
are, the bundle's task says (`edgestill_runtime.tasks`). `measurement.py` takes them for a bundle in this process,
`survey.py` puts all of them together, each from a process of its own; `doubts.py` says what makes them doubtful.
`results.py` checks the `results.json` of a run, which `migration.py` brings to the present version; `report/` makes the
page from it (on the host).
"""

from edgestill_runtime.tasks.image_classification import accuracy, standard_error

from .latency import INTERLEAVED, MLPERF, Latency, Rule, measure_latency
from .machine import describe_machine, measurement_identity, usable_cores
from .measurement import (
    FileMeasurement,
    Measurement,
    StartMeasurement,
    answer_samples,
    measure,
    measure_start,
    open_models,
)
from .memory import peak_bytes, resident_bytes
from .operators import Operator, Profile, profile_bundle
from .survey import survey_bundle

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
    "answer_samples",
    "describe_machine",
    "measure",
    "measure_latency",
    "measure_start",
    "measurement_identity",
    "open_models",
    "peak_bytes",
    "profile_bundle",
    "resident_bytes",
    "standard_error",
    "survey_bundle",
    "usable_cores",
]
