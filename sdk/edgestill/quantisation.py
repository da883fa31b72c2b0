"""Quantisation within a budget: calibration first, training or float layers only where that is not enough.

    ptq     calibrate (post-training quantisation)
    qat     train through fake quantisation, against the float model's own answers, then export that graph
    auto    ptq; when an int8 file misses the budget on validation data, qat, kept only if it is better
    mixed   (a precision) when int8 still misses it, the fewest layers in float that bring it back

Accuracies are of files, run by their engines on validation data. What was tried ends in the manifest.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from torch import nn
from torch.fx import GraphModule

from edgestill_benchmarks import Rule, accuracy, measure, open_models
from edgestill_converters import Description, convert, steps
from edgestill_converters.convert import TARGETS
from edgestill_runtime import Bundle, write_bundle

from .cache import cache_logits
from .data import Augmentation, Data, Split
from .data.augmentation import NO_AUGMENTATION
from .objectives import HintonKD, Objective
from .progress import SILENT, Progress
from .schedule import QatSchedule, Schedule
from .teachers import CachedTeacher
from .training import train

Method = Literal["ptq", "qat", "auto"]
Precision = Literal["int8", "fp32", "mixed"]
QAT_SCHEDULE = QatSchedule()
SENSITIVITY_SAMPLES = 32


@dataclass(frozen=True)
class Budget:
    """How a model is to be quantised.

    Args:
        quantize: see above. precision: `int8`, `mixed`, or `fp32` for the float files alone.
        max_drop: accuracy, 0–1, that a quantised file may lose against the float model on validation data.
        schedule: of the training with fake quantisation.
    """

    quantize: Method = "ptq"
    precision: Precision = "int8"
    max_drop: float = 0.003
    schedule: Schedule = QAT_SCHEDULE


@dataclass(frozen=True)
class Attempt:
    """One way that was tried: the lowest accuracy of its quantised files on validation data, 0–1."""

    method: str
    accuracy: float
    kept_float: tuple[str, ...] = ()


def quantise(
    model: nn.Module,
    data: Data,
    description: Description,
    output: Path,
    budget: Budget,
    *,
    samples: int = 256,
    teacher: nn.Module | None = None,
    objective: Objective | None = None,
    augmentation: Augmentation = NO_AUGMENTATION,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress = SILENT,
    **options: Any,
) -> Bundle:
    """Convert `model` within the budget. The test split is not read.

    Args:
        data: to calibrate with, to judge by (validation), and to train on when it comes to that.
        samples: for calibration. teacher, objective: of the training with fake quantisation; the float model itself
            and Hinton's KD when None.
        options: of `edgestill_converters.convert`.

    Raises:
        See `edgestill_converters.convert`.
    """
    images = data.calibration(samples).images
    search = _Search(model, data, description, images, budget, progress, options)
    with TemporaryDirectory() as folder:
        work = Path(folder)
        trained = None
        if budget.quantize != "qat":
            best = search.attempt("ptq", work / "ptq.edge")
        if budget.quantize == "qat" or (budget.quantize == "auto" and not search.good_enough()):
            with progress.task("train in int8", 1) as task:
                task.advance(
                    0, reason="int8 lost more than the budget" if budget.quantize == "auto" else "as asked for"
                )
            trained = train_quantised(
                model, data, images, budget.schedule, teacher=teacher, objective=objective, augmentation=augmentation,
                seed=seed, progress=progress,
            )  # fmt: skip
            other = search.attempt("qat", work / "qat.edge", trained=trained)
            best = other if budget.quantize == "qat" else search.better(best, other)
        if budget.precision == "mixed" and not search.good_enough():
            best = search.mixed(work, best)
        facts = dict(best.manifest.training) | {"quantisation": search.summary(best)}
        contents = {name: best.read(name) for name in best.files}
        return write_bundle(output, replace(best.manifest, training=facts), contents, overwrite=overwrite)


def train_quantised(
    model: nn.Module,
    data: Data,
    images: np.ndarray,
    schedule: Schedule = QAT_SCHEDULE,
    *,
    teacher: nn.Module | None = None,
    objective: Objective | None = None,
    augmentation: Augmentation = NO_AUGMENTATION,
    seed: int = 0,
    folder: Path | None = None,
    progress: Progress = SILENT,
) -> GraphModule:
    """Quantisation-aware distillation: a graph of `model` with fake quantisation, trained against the float model.

    Args:
        images: a few, for the shapes. teacher: whose answers it learns; the float model's own when None.

    Returns:
        What `edgestill_converters.convert(trained=…)` takes.
    """
    from edgestill_converters.graph import make_graph
    from edgestill_converters.quantize import FakeQuantised

    graph = make_graph(model, images, data.processor, any_batch=True)
    assert graph.processor is not None
    with TemporaryDirectory() as temporary:
        logits = cache_logits(
            teacher or model, data, schedule.views, folder or Path(temporary), augmentation=augmentation,
            progress=progress,
        )  # fmt: skip
        trained = train(
            FakeQuantised(graph.module, graph.inputs),
            # The graph normalises pixels itself; the teacher was asked about the same ones in its own way.
            replace(data, processor=graph.processor),
            objective or HintonKD(temperature=2.0, alpha=0.9),
            # Fake quantisation computes its scales in float32, and takes nothing else.
            replace(schedule, precision="no"),
            augmentation=augmentation,
            teacher=CachedTeacher(logits),
            seed=seed,
            folder=folder,
            label="train in int8",
            progress=progress,
        )
    assert isinstance(trained.model, FakeQuantised)
    return trained.model.graph


class _Search:
    """What has been tried for one model."""

    def __init__(
        self, model: nn.Module, data: Data, description: Description, images: np.ndarray, budget: Budget,
        progress: Progress, options: dict[str, Any],
    ) -> None:  # fmt: skip
        from .training import accuracy as accuracy_of

        self._model, self._description, self._images = model, description, images
        self._budget, self._progress, self._options = budget, progress, options
        self._validation = data.validation
        self.float_accuracy = accuracy_of(model, data.validation, data, "cpu")
        self._attempts: dict[Path, Attempt] = {}
        self._cost: dict[str, Any] = {}

    def attempt(self, method: str, output: Path, **changes: Any) -> Bundle:
        """Convert in one way and judge the files."""
        precision = "fp32" if self._budget.precision == "fp32" else "int8"
        # Files that int8 has spoilt are no error here: their accuracy says so, and other ways are tried.
        options = {"precision": precision, "allowed_deviation": math.inf, **self._options, **changes}
        names = steps(options.get("targets", TARGETS), options["precision"], options.get("yardsticks") is None)
        with self._progress.task(f"convert, {method}", len(names)) as task:
            options["on_step"] = lambda step: task.advance(step != names[0], step=step)
            bundle = convert(self._model, self._images, self._description, output, **options)
            task.advance(1)
        kept = tuple(changes.get("kept_float", ()))
        self._attempts[bundle.path] = Attempt(method, _lowest(bundle, self._validation), kept)
        return bundle

    def better(self, one: Bundle, other: Bundle) -> Bundle:
        """The one whose files are right more often; the first where they are alike."""
        return other if self._attempts[other.path].accuracy > self._attempts[one.path].accuracy else one

    def good_enough(self) -> bool:
        """Whether the best attempt is within the budget."""
        return self._within(max(one.accuracy for one in self._attempts.values()))

    def mixed(self, work: Path, int8: Bundle) -> Bundle:
        """The fewest of the most sensitive layers in float that bring the accuracy back; all of them at worst."""
        from edgestill_converters.graph import make_graph
        from edgestill_converters.sensitivity import rank_layers

        graph = make_graph(self._model, self._images, self._description.processor)
        with self._progress.task("rank layers", 1) as task:
            layers = rank_layers(
                graph, self._images[:SENSITIVITY_SAMPLES], lambda done, total: task.advance(1 / total, layers=done)
            )
        # One engine's file is enough to search with: the other is made from the same graph.
        targets = self._options.get("targets", TARGETS)
        target = targets[-1]
        quick = {"yardsticks": int8, "targets": (target,)}
        made: dict[int, Bundle] = {}

        def enough(count: int) -> bool:
            names = tuple(layer.node for layer in layers[:count])
            made[count] = self.attempt(f"mixed, {count} in float", work / f"{count}.edge", kept_float=names, **quick)
            return self._within(self._attempts[made[count].path].accuracy)

        count = _fewest(len(layers), enough)
        chosen = layers[:count]
        bundle = made[count]
        if len(targets) > 1:
            names = tuple(layer.node for layer in chosen)
            bundle = self.attempt("mixed, both", work / "mixed.edge", kept_float=names, yardsticks=int8)
        self._cost = _cost(int8, bundle)
        self._cost["layers"] = [asdict(layer) for layer in chosen]
        return bundle

    def summary(self, chosen: Bundle) -> dict[str, Any]:
        """Plain facts for the manifest."""
        kept = max((entry.kept_float for entry in chosen.manifest.models.values()), key=len)
        return {
            "float_accuracy": self.float_accuracy,
            "max_drop": self._budget.max_drop,
            "validation": len(self._validation),
            "attempts": [asdict(one) for one in self._attempts.values()],
            "chosen": self._attempts[chosen.path].method,
            "within_budget": self._within(self._attempts[chosen.path].accuracy),
            "kept_float": list(kept),
            "cost": self._cost if kept else {},
        }

    def _within(self, share: float) -> bool:
        return self.float_accuracy - share <= self._budget.max_drop + 1e-9


def _lowest(bundle: Bundle, split: Split) -> float:
    """Accuracy of the worst quantised file; of the fp32 files where there is no other."""
    shares: dict[bool, list[float]] = {True: [], False: []}
    for name, model in open_models(bundle).items():
        with model:
            quantised = bundle.manifest.models[name].precision != "fp32"
            if quantised or not shares[True]:
                shares[quantised].append(accuracy(model.logits(split.images), split.labels))
    return min(shares[True] or shares[False])


def _fewest(total: int, enough: Callable[[int], bool]) -> int:
    """The smallest count from 1 to `total` that is enough, if more never hurts; `total` if none is."""
    below, count = 0, 1
    while not enough(count):
        if count == total:
            return total
        below, count = count, min(2 * count, total)
    while count - below > 1:
        middle = (below + count) // 2
        below, count = (below, middle) if enough(middle) else (middle, count)
    return count


def _cost(int8: Bundle, mixed: Bundle) -> dict[str, Any]:
    """What the float layers cost against pure int8: bytes, and milliseconds at one thread on this machine."""
    cost: dict[str, Any] = {}
    times = [
        {one.file: one.latency_ms.p50 for one in measure(bundle, 1, Rule(min_calls=50, min_seconds=0.3)).files}
        for bundle in (int8, mixed)
    ]
    for name, entry in mixed.manifest.models.items():
        if entry.precision == "mixed":
            cost[name] = {
                "bytes": [int8.files[name].bytes, mixed.files[name].bytes],
                "p50_ms": [one[name] for one in times if name in one],
            }
    return cost
