"""Which layers suffer from int8: the error that quantizing each one alone adds, on real samples.

In a calibrated graph each observer becomes a switch. With all of them off the graph computes in float; with those of
one layer on (its input, its weights, its output), the outputs show the error of this layer alone.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from . import quantize
from .graph import Graph, Samples, Tensors, tensors
from .rewrites.editing import FLOAT, module_path

aten = torch.ops.aten
LAYERS = (
    aten.conv1d.default, aten.conv2d.default, aten.conv2d.padding, aten.conv_transpose2d.input, aten.linear.default,
)  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer.

    Args:
        node: its name in the graph, for `convert(float_nodes=…)`. module: its path in the model, as in
            `named_modules()`; empty if a rewrite made it.
        error: of the outputs when this layer alone is quantized, relative (RMS).
    """

    node: str
    module: str
    error: float


def rank_layers(
    graph: Graph, samples: Samples, on_layer: Callable[[int, int], None] = lambda done, total: None
) -> list[Layer]:
    """Every layer with its error, the worst first.

    Args:
        samples: real ones, 16 to 64, all of which run once for each layer. on_layer: called after each layer.
    """
    prepared = quantize.prepare(graph.module, graph.inputs)
    inputs = list(tensors(samples, graph.processor))
    quantize.calibrate(prepared, inputs)
    switches = _switches(prepared)
    nodes = [node for node in prepared.graph.nodes if node.target in LAYERS and FLOAT not in node.meta]
    reference = _run(prepared, inputs)
    scale = sum(float(one.double().square().sum()) for one in reference) or 1.0
    found = []
    for number, node in enumerate(nodes, start=1):
        with _on([switches[name] for name in _observers(node) if name in switches]):
            results = _run(prepared, inputs)
        deviation = sum(
            float((a.double() - b.double()).square().sum()) for a, b in zip(results, reference, strict=True)
        )
        found.append(Layer(node.name, module_path(node), (deviation / scale) ** 0.5))
        on_layer(number, len(nodes))
    return sorted(found, key=lambda layer: -layer.error)


class _Switch(nn.Module):
    """A calibrated observer: quantizes and dequantizes when it is on."""

    def __init__(self, observer: Any) -> None:
        super().__init__()
        scale, zero_point = observer.calculate_qparams()
        self.on = False
        self._scale, self._zero_point = scale.flatten(), zero_point.flatten().to(torch.int32)
        self._axis = getattr(observer, "ch_axis", 0)
        self._least, self._most = observer.quant_min, observer.quant_max

    def forward(self, values: Tensor) -> Tensor:
        if not self.on:
            return values
        if len(self._scale) > 1:
            return torch.fake_quantize_per_channel_affine(
                values, self._scale, self._zero_point, self._axis, self._least, self._most
            )
        return torch.fake_quantize_per_tensor_affine(
            values, float(self._scale), int(self._zero_point), self._least, self._most
        )


def _switches(prepared: GraphModule) -> dict[str, _Switch]:
    made: dict[int, _Switch] = {}
    names = {}
    for name, module in list(prepared.named_modules(remove_duplicate=False)):
        if hasattr(module, "calculate_qparams"):
            switch = made.get(id(module)) or made.setdefault(id(module), _Switch(module))
            prepared.add_submodule(name, switch)
            names[name] = switch
    return names


def _observers(node: Node) -> set[str]:
    """Names of the observers of a layer: of its input, its weights, and its output after the activation."""
    found = {str(one.target) for one in node.all_input_nodes if one.op == "call_module"}
    while len(node.users) == 1:
        (node,) = node.users
        if node.op == "call_module":
            found.add(str(node.target))
            break
    return found


@contextmanager
def _on(switches: Sequence[_Switch]) -> Iterator[None]:
    for one in switches:
        one.on = True
    try:
        yield
    finally:
        for one in switches:
            one.on = False


def _run(module: nn.Module, samples: Sequence[Tensors]) -> list[Tensor]:
    with torch.inference_mode():
        results = [module(*sample) for sample in samples]
    return [one for outputs in results for one in (outputs if isinstance(outputs, (tuple, list)) else (outputs,))]
