"""Quantization within an accuracy budget: calibration first, then training or float layers if needed.

    ptq     calibrate (post-training quantization)
    qat     train with fake quantization to match the float model's outputs, then export that graph
    auto    ptq; when an int8 file misses the budget on validation data, qat
    mixed   (a precision) when int8 still misses it, keep as few layers in float as meet the budget; starts from the
            best candidate

The best candidate is chosen by one rule (`candidates.py`). Quality is measured on the exported files, run by their
engines on validation data, with the standard error of the difference. All attempts are recorded in the manifest.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from torch import nn
from torch.fx import GraphModule

from edgestill_benchmarks import Rule, measure
from edgestill_converters import ConversionOptions, Description, convert, steps
from edgestill_converters.backends import quantizing
from edgestill_runtime import Bundle, write_bundle

from .budget import check_shares
from .cache import cache_outputs
from .candidates import Candidate, best, judge
from .conversion import describe_model
from .data import Data
from .errors import DataError, EdgestillError, OptionError, check_choice, check_kind
from .objectives import Objective
from .options import QAT_OPTIONS, TrainOptions
from .prediction import outputs_of
from .progress import SILENT, Progress
from .teachers import CachedTeacher, identity_of_teacher
from .training import train

if TYPE_CHECKING:
    from edgestill_converters.sensitivity import Layer

Method = Literal["ptq", "qat", "auto"]
Precision = Literal["int8", "fp32", "mixed"]
SENSITIVITY_SAMPLES = 32


@dataclass(frozen=True)
class Budget:
    """How a model is quantized, and how much quality it may lose.

    Args:
        quantize: see above. precision: `int8`, `mixed`, or `fp32` for float files only.
        max_drop: largest loss of the task's main measure on validation data against the float model, 0–1.
        samples: number of calibration samples.
        train: options of quantization-aware training. teacher, objective: of that training; None: the float model,
            and the task's default objective.

    Raises:
        EdgestillError: max_drop is outside 0–1, or quantization-aware training is combined with fp32 files.
    """

    quantize: Method = "ptq"
    precision: Precision = "int8"
    max_drop: float = 0.003
    samples: int = 256
    train: TrainOptions = QAT_OPTIONS
    teacher: nn.Module | None = None
    objective: Objective | None = None

    def __post_init__(self) -> None:
        check_choice(self.quantize, get_args(Method), "quantize")
        check_choice(self.precision, get_args(Precision), "precision")
        check_kind(self.train, TrainOptions, "train")
        check_shares(max_drop=self.max_drop)
        if self.precision == "fp32" and self.quantize != "ptq":
            raise EdgestillError(
                f'quantize = "{self.quantize}" trains in int8, and precision = "fp32" makes float files; choose one'
            )


def quantize(
    model: nn.Module,
    data: Data,
    output: str | PathLike[str],
    budget: Budget = Budget(),
    options: ConversionOptions | None = None,
    *,
    description: Description | None = None,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> Bundle:
    """Convert `model` within the budget. The test split is not read.

    Args:
        data: used for calibration, for validation, and for training if needed.
        options: of the conversion; its precision is replaced by the budget's, and its limit on deviation is lifted.
        description: metadata of the model for the bundle, see `describe_model`; None: named after the output.

    Raises:
        DataError: no validation images. OptionError: the options name layers in float, a trained graph or a baseline,
            which are chosen here. For other errors see `edgestill_converters.convert`.
    """
    if not len(data.validation):
        raise DataError(
            f"{data.name} has no validation images to evaluate quantized files with; give more images, or name a split"
        )
    options = options or ConversionOptions()
    check_kind(budget, Budget, "budget")
    check_kind(options, ConversionOptions, "options")
    if options.float_nodes or options.trained is not None or options.fp32_baseline is not None:
        raise OptionError(
            "quantize chooses float_nodes, trained and fp32_baseline itself: leave them out of the options, or use "
            "convert"
        )
    calibration = data.calibration(budget.samples)
    description = description or describe_model(model, calibration, Path(output).stem)
    # A large deviation of int8 is no error here: the accuracy is measured, and other methods are tried.
    precision: Literal["int8", "fp32"] = "fp32" if budget.precision == "fp32" else "int8"
    options = replace(options, precision=precision, allowed_deviation=math.inf)
    search = _Search(model, data, description, budget, options, progress)
    with TemporaryDirectory() as folder:
        work = Path(folder)
        if budget.quantize != "qat":
            search.attempt("ptq", work / "ptq.edge")
        if budget.quantize == "qat" or (budget.quantize == "auto" and not search.best.within(budget.max_drop)):
            with progress.task("train in int8", 1) as task:
                task.advance(
                    0, reason="int8 lost more than the budget" if budget.quantize == "auto" else "as asked for"
                )
            trained = train_quantized(
                model, data, calibration.images, budget.train, teacher=budget.teacher, objective=budget.objective,
                progress=progress,
            )  # fmt: skip
            search.attempt("qat", work / "qat.edge", trained=trained)
        if budget.precision == "mixed" and not search.best.within(budget.max_drop):
            search.try_mixed(work)
        chosen = search.best.bundle
        facts = dict(chosen.manifest.training) | {"quantization": search.summary()}
        contents = {name: chosen.read(name) for name in chosen.files}
        return write_bundle(output, replace(chosen.manifest, training=facts), contents, overwrite=overwrite)


def train_quantized(
    model: nn.Module,
    data: Data,
    images: np.ndarray,
    options: TrainOptions = QAT_OPTIONS,
    *,
    teacher: nn.Module | None = None,
    objective: Objective | None = None,
    progress: Progress = SILENT,
) -> GraphModule:
    """Quantization-aware distillation: a graph of `model` with fake quantization, trained against the float model.

    Args:
        images: a few example images, for the shapes. teacher: None: the float model itself.
        options: its folder also holds the teacher's outputs.

    Returns:
        The `trained` of `edgestill_converters.ConversionOptions`.
    """
    from edgestill_converters.graph import make_graph
    from edgestill_converters.quantize import FakeQuantized

    graph = make_graph(model, images, data.processor, any_batch=True)
    assert graph.processor is not None
    with TemporaryDirectory() as temporary:
        outputs = cache_outputs(
            teacher or model, data, options.schedule.views, Path(options.folder or temporary),
            augmentation=options.augmentation, progress=progress,
        )  # fmt: skip
        trained = train(
            FakeQuantized(graph.module, graph.inputs),
            # The graph normalizes pixels itself; the teacher's outputs are for the same pixels.
            replace(data, processor=graph.processor),
            objective or data.task.default_objective("int8"),
            # Fake quantization computes its scales in float32 and supports no other type.
            replace(options, schedule=replace(options.schedule, precision="no")),
            teacher=CachedTeacher(outputs, identity_of_teacher(teacher or model)),
            progress=progress,
        )
    assert isinstance(trained.model, FakeQuantized)
    return trained.model.graph


class _Search:
    """The candidates that were tried for one model."""

    def __init__(
        self, model: nn.Module, data: Data, description: Description, budget: Budget, options: ConversionOptions,
        progress: Progress,
    ) -> None:  # fmt: skip
        self._model, self._description, self._budget, self._options = model, description, budget, options
        self._images, self._progress = data.calibration(budget.samples).images, progress
        self._validation = data.validation
        self._reference = outputs_of(model, data.validation, data, "cpu")
        self._task = data.device_task
        self._tried: list[Candidate] = []
        self._complete: list[Candidate] = []
        self._layers: dict[str, Layer] = {}
        self._cost: dict[str, Any] = {}

    @property
    def best(self) -> Candidate:
        """The best candidate among those with files for all targets."""
        return best(self._complete, self._budget.max_drop)

    def attempt(self, method: str, output: Path, **changes: Any) -> Candidate:
        """Convert with changed options, and measure the quality of the files."""
        options = replace(self._options, **changes)
        names = steps(options.targets, options.precision, options.fp32_baseline is None)
        with self._progress.task(f"convert, {method}", len(names)) as task:
            bundle = convert(
                self._model, self._images, self._description, output, options,
                on_step=lambda step: task.advance(step != names[0], step=step),
            )  # fmt: skip
            task.advance(1)
        candidate = judge(
            method, bundle, self._validation, self._task, self._reference, tuple(options.float_nodes), options.trained
        )
        self._tried.append(candidate)
        if set(options.targets) == set(self._options.targets):
            self._complete.append(candidate)
        return candidate

    def try_mixed(self, work: Path) -> None:
        """Keep layers in float: first with the weights of the best candidate, then with the original weights."""
        start = self.best
        self._mixed(start, f"mixed from {start.method}", work, start.trained)
        if start.trained is not None and not self.best.within(self._budget.max_drop):
            # With all layers in float these are the float model itself; trained weights give no such guarantee.
            self._mixed(start, "mixed from ptq", work, None)
        if self.best.float_nodes:
            self._cost |= _cost(start.bundle, self.best.bundle)
            self._cost["layers"] = [asdict(self._layers[node]) for node in self.best.float_nodes]

    def _mixed(self, start: Candidate, name: str, work: Path, trained: GraphModule | None) -> None:
        """Keep as few of the most sensitive layers in float as meet the budget; all of them in the worst case."""
        layers = self._rank(trained)
        self._layers |= {layer.node: layer for layer in layers}
        # The search needs the file of one backend only: the others are made from the same graph.
        targets = self._options.targets
        common = {"fp32_baseline": start.bundle, "trained": trained}

        def enough(count: int) -> bool:
            float_nodes = tuple(layer.node for layer in layers[:count])
            made = self.attempt(
                f"{name}, {count} in float", work / f"{name} {count}.edge", float_nodes=float_nodes,
                targets=quantizing(targets)[-1:], **common,
            )  # fmt: skip
            return made.within(self._budget.max_drop)

        float_nodes = tuple(layer.node for layer in layers[: _fewest(len(layers), enough)])
        if len(targets) > 1:
            self.attempt(f"{name}, both", work / f"{name}.edge", float_nodes=float_nodes, **common)

    def _rank(self, trained: GraphModule | None) -> "list[Layer]":
        from edgestill_converters import quantize
        from edgestill_converters.graph import make_graph
        from edgestill_converters.sensitivity import rank_layers

        graph = make_graph(self._model, self._images, self._description.processor)
        if trained is not None:
            graph = replace(graph, module=quantize.float_graph(trained))
        with self._progress.task("rank layers", 1) as task:
            return rank_layers(
                graph, self._images[:SENSITIVITY_SAMPLES], lambda done, total: task.advance(1 / total, layers=done)
            )

    def summary(self) -> dict[str, Any]:
        """Plain facts for the manifest."""
        chosen, budget = self.best, self._budget.max_drop
        return {
            "float_quality": self._task.quality(self._reference, self._validation.targets)[self._task.measures[0].name],
            "max_drop": budget,
            "validation": len(self._validation),
            "attempts": [one.to_json() for one in self._tried],
            "chosen": chosen.method,
            "within_budget": chosen.within(budget),
            "verdict": chosen.loss.verdict(budget),
            "float_nodes": list(chosen.float_nodes),
            "cost": self._cost,
        }


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
    """Cost of the float layers compared with pure int8: bytes, and milliseconds with one thread on this machine."""
    cost: dict[str, Any] = {}
    times = [
        {one.file: one.latency_ms.p50 for one in measure(bundle, 1, Rule(min_calls=50, min_seconds=0.3)).files}
        for bundle in (int8, mixed)
    ]
    for name, entry in mixed.manifest.models.items():
        if entry.float_nodes:
            cost[name] = {
                "bytes": [int8.size(name), mixed.size(name)],
                "p50_ms": [one[name] for one in times if name in one],
            }
    return cost
