"""Quantization candidates, and the rule that chooses the best.

1. quality: how far the worst file exceeds the budget plus one standard error of its loss; 0 for all within
2. fewer layers in float, which are larger and slower
3. the smaller loss; of equal ones the first, which is the simpler method
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgestill_benchmarks import open_models
from edgestill_runtime import Bundle, Task
from edgestill_runtime.tasks import Outputs

from .budget import Loss, measure_loss
from .data import Split

if TYPE_CHECKING:
    from torch.fx import GraphModule


@dataclass(frozen=True)
class Candidate:
    """One attempt to quantize the model.

    Args:
        quality, loss: of the quantized file with the largest loss on validation data; the task's main measure.
        float_nodes: layers in float. trained: the graph of quantization-aware training, if any.
    """

    method: str
    bundle: Bundle
    quality: float
    loss: Loss
    float_nodes: tuple[str, ...] = ()
    trained: "GraphModule | None" = None

    def within(self, budget: float) -> bool:
        """Whether its loss is within the budget, 0–1, up to one standard error."""
        return self.loss.excess(budget) == 0

    def to_json(self) -> dict[str, Any]:
        """Its entry in the manifest."""
        return {
            "method": self.method,
            "quality": self.quality,
            "standard_error": self.loss.standard_error,
            "float_nodes": list(self.float_nodes),
        }


def best(candidates: Sequence[Candidate], budget: float) -> Candidate:
    """The best of at least one candidate by the rule above."""
    return min(candidates, key=lambda one: (one.loss.excess(budget), len(one.float_nodes), one.loss.drop))


def judge(
    method: str,
    bundle: Bundle,
    split: Split,
    task: Task,
    reference: Outputs,
    float_nodes: tuple[str, ...] = (),
    trained: "GraphModule | None" = None,
) -> Candidate:
    """Run a bundle's quantized files (the fp32 files where there is no other) on samples with targets.

    Args:
        reference: outputs of the float model for the same samples.
    """
    name_of_measure = task.measures[0].name
    measured: dict[bool, list[tuple[float, Loss]]] = {True: [], False: []}
    for name, model in open_models(bundle).items():
        with model:
            quantized = bundle.manifest.models[name].precision != "fp32"
            if quantized or not measured[True]:
                outputs = model.outputs_of([split.images])
                loss = measure_loss(task, reference, outputs, split.targets)
                measured[quantized].append((task.quality(outputs, split.targets)[name_of_measure], loss))
    quality, loss = min(measured[True] or measured[False], key=lambda one: one[0])
    return Candidate(method, bundle, quality, loss, float_nodes, trained)
