"""Checks whether a model fits the data for training, teaching or conversion."""

from contextlib import nullcontext

import torch
from torch import nn

from edgestill_converters.source_model import of_other_types, place_of
from edgestill_runtime import EdgestillError

from .data import Data
from .errors import ModelError
from .models.copies import check_module, copied, device_of
from .objectives import Outputs
from .objectives.layers import named_tensors
from .teacher_inputs import adapted


def check_classes(model: nn.Module, data: Data, who: str, learning: bool = True) -> None:
    """Refuse a model that does not accept the data's images, or whose outputs do not fit the data's task.

    Args:
        learning: the model will learn or teach, which needs logits rather than probabilities.

    Raises:
        ModelError: states both shapes, or the layer that failed.
    """
    check_module(model, who)
    model = copied(model).eval()  # a forward pass may change its state
    height, width, channels = data.processor.image_shape
    turned = adapted(model, data.processor) if who == "teacher" else nullcontext()
    # With gradients, so that a task can see which operation produced an output.
    with turned, torch.enable_grad():
        image = torch.zeros((1, channels, height, width), device=device_of(model), requires_grad=True) * 1
        try:
            output = model(image)
        except EdgestillError:
            raise
        except Exception as error:
            raise ModelError(
                f"the {who} does not take images of {height}×{width} with {channels} channel(s), as {data.name} has "
                f"them: it fails {place_of(error, model)}{of_other_types(error)}"
            ) from error
        outputs = Outputs(named_tensors(output, data.task.outputs, who))
        data.task.check_outputs(outputs, data.classes, who, data.name, learning)
