"""How a bundle describes the outputs of a converted model: their task, and whether they are logits."""

from collections.abc import Sequence

from edgestill_runtime.processing import Processor
from edgestill_runtime.tasks import task_class
from edgestill_runtime.tasks.base import Scores


def usual_task(processor: Processor | None, shapes: Sequence[tuple[int, ...]]) -> str:
    """The task of a model for which none is named.

    Args:
        processor: of its images or recordings; None for inputs that are tensors. shapes: of its outputs for one sample.
    """
    scores_classes = len(shapes) == 1 and len(shapes[0]) == 2 and shapes[0][1] > 1
    return "image-classification" if processor is not None and scores_classes else "tensors"


def scores_of(task: str, last: str) -> Scores:
    """Whether the output of a classifier is logits or probabilities.

    Args:
        last: what computes the output, `softmax` or `sigmoid`; empty for anything else.
    """
    kind = task_class(task)
    return "probabilities" if kind is not None and last and kind.activation == last else "logits"
