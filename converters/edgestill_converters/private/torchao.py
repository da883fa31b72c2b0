"""torchao: annotations that a quantizer of PT2E leaves in a graph, and the arguments of an observer."""

from collections.abc import Mapping
from typing import Any

from torch.fx import Node
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation


def annotation(inputs: Mapping[Node, Any], output: Any) -> QuantizationAnnotation:
    """How a node is quantized, marked as done, so that no other pattern annotates it again.

    Args:
        inputs: node that is read → its quantization spec. output: the spec of the result.
    """
    return QuantizationAnnotation(input_qspec_map=dict(inputs), output_qspec=output, _annotated=True)


def with_smallest_scale(constructor: Any, eps: float) -> Any:
    """An observer's constructor (`observer_or_fake_quant_ctr` of a spec) whose scales are never below `eps`."""
    partial = constructor.p  # a functools.partial, inside torchao's own wrapper of it
    return partial.func.with_args(**{**partial.keywords, "eps": eps})
