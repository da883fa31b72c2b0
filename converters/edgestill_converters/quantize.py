"""A float graph → one prepared graph → calibrated: the single quantization that both formats are exported from.

PT2E (torchao): observers where the quantizer asks for int8, real samples through them, then scales and zero points.
The `.pte` and the `.tflite` have the same ones, which is why the files agree.
"""

import copy
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule
from torchao.quantization.pt2e import allow_exported_model_train_eval, disable_observer, enable_observer
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e, prepare_qat_pt2e

from .errors import ConversionError
from .graph import Tensors, export, in_order
from .quantizer import KEY, EdgestillQuantizer
from .rewrites import after_quantization, fold_batch_norms
from .rewrites.editing import cleaned
from .scale import Scale
from .weight_rounding import round_weights


def prepare(
    graph: GraphModule, inputs: Mapping[int, Scale] | None = None, float_nodes: Collection[str] = ()
) -> GraphModule:
    """A copy of `graph` with observers where the quantizer asks for int8. Arguments as of `EdgestillQuantizer`.

    Raises:
        ConversionError: `float_nodes` has a name of no node.
    """
    names = [node.name for node in graph.graph.nodes if node.op == "call_function"]
    for name in float_nodes:
        if name not in names:
            close = get_close_matches(str(name), names, n=1, cutoff=0)
            raise ConversionError(
                f"float_nodes has {name!r}, which is no node of the graph; the nearest is {close[0]!r}, and "
                "edgestill_converters.sensitivity.rank_layers gives the names of all layers"
            )
    quantizer = EdgestillQuantizer(inputs=inputs, float_nodes=float_nodes)
    prepared: GraphModule = prepare_pt2e(copy.deepcopy(graph), quantizer)
    return prepared


class FakeQuantized(nn.Module):
    """A graph with fake quantization (Jacob et al. 2018, arXiv:1712.05877), to be trained like any module.

    Batch norms are folded into their convolutions first: the training adjusts the weights that the device uses.
    Ranges follow the data in training, and are fixed in evaluation.

    Args:
        graph: for any batch; it is copied. inputs: as of `EdgestillQuantizer`.

    Attributes:
        graph: the prepared graph, the input of `folded` and `unfolded`.
    """

    def __init__(self, graph: GraphModule, inputs: Mapping[int, Scale] | None = None) -> None:
        super().__init__()
        plain = copy.deepcopy(graph)
        fold_batch_norms(plain)
        quantizer = EdgestillQuantizer(qat=True, inputs=inputs)
        with torch.random.fork_rng(devices=[]):  # torchao draws random example inputs for its patterns
            self.graph: GraphModule = prepare_qat_pt2e(cleaned(plain), quantizer)
        for parameter in self.graph.parameters():
            parameter.requires_grad_(parameter.is_floating_point())

    def forward(self, *inputs: Tensor) -> Tensor:
        """The output of the graph."""
        result: Tensor = self.graph(*inputs)
        return result

    def train(self, mode: bool = True) -> "FakeQuantized":
        """Training or evaluation: of the observers, since the graph was exported in evaluation."""
        self.training = mode
        self.graph.apply(enable_observer if mode else disable_observer)
        return self


def float_graph(trained: GraphModule) -> GraphModule:
    """A trained `FakeQuantized` without its fake quantization: the same weights in float, for `prepare`.

    Args:
        trained: `FakeQuantized.graph`; it is copied.
    """
    plain = copy.deepcopy(trained)
    for node in list(plain.graph.nodes):
        # The quantizer will annotate the graph anew, with other `float_nodes`.
        node.meta.pop(KEY, None)
        if node.op == "call_module" and hasattr(plain.get_submodule(str(node.target)), "calculate_qparams"):
            node.replace_all_uses_with(node.args[0])
            plain.graph.erase_node(node)
    return cleaned(plain.requires_grad_(False))


def calibrate(prepared: GraphModule, samples: Iterable[Tensors]) -> GraphModule:
    """Run real samples through the observers, one at a time: the graph was exported for batch 1."""
    with torch.inference_mode():
        for sample in samples:
            prepared(*sample)
    return prepared


def folded(prepared: GraphModule, examples: Tensors) -> ExportedProgram:
    """The quantized graph with int8 weights, for ExecuTorch. `prepared` is copied."""
    graph = _converted(prepared)
    return export(after_quantization(graph), examples)


def unfolded(prepared: GraphModule, examples: Tensors) -> ExportedProgram:
    """The quantized graph with float weights and quantize/dequantize pairs, for litert-torch."""
    graph = _converted(prepared, fold_quantize=False)
    after_quantization(graph)
    # Exporting calls `.eval()`, which an exported graph refuses without this.
    allow_exported_model_train_eval(graph)
    return export(graph, examples)


FORMS: Mapping[str, Callable[[GraphModule, Tensors], ExportedProgram]] = {"folded": folded, "unfolded": unfolded}
"""See `Backend.quantized_graph`."""


def _converted(prepared: GraphModule, **options: bool) -> GraphModule:
    copied = copy.deepcopy(prepared)
    in_order(copied)
    with torch.random.fork_rng(devices=[]):  # as above
        converted = convert_pt2e(copied, **options)
    return round_weights(converted)
