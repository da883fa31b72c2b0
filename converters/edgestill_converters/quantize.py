"""A float graph → one prepared graph → calibrated: the single quantization that both formats are exported from.

PT2E (torchao): observers where the quantizer wants int8, real samples through them, then scales and zero points. Those
chosen here are the ones in the `.pte` and in the `.tflite`; that is why the files agree.
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
    """Put observers where the quantizer wants int8; `graph` is untouched. Arguments as of `EdgestillQuantizer`.

    Raises:
        ConversionError: a name in `float_nodes` is of no node.
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

    Batch norms are folded into their convolutions first: the training adjusts what the device will compute with.
    Ranges follow the data in training, and stand still in evaluation.

    Args:
        graph: for any batch; it is untouched. inputs: as of `EdgestillQuantizer`.

    Attributes:
        graph: the prepared graph, which `folded` and `unfolded` make files of.
    """

    def __init__(self, graph: GraphModule, inputs: Mapping[int, Scale] | None = None) -> None:
        super().__init__()
        plain = copy.deepcopy(graph)
        fold_batch_norms(plain)
        quantizer = EdgestillQuantizer(qat=True, inputs=inputs)
        with torch.random.fork_rng(devices=[]):  # torchao draws example inputs for the patterns that it looks for
            self.graph: GraphModule = prepare_qat_pt2e(cleaned(plain), quantizer)
        for parameter in self.graph.parameters():
            parameter.requires_grad_(parameter.is_floating_point())

    def forward(self, *inputs: Tensor) -> Tensor:
        """What the graph gives."""
        result: Tensor = self.graph(*inputs)
        return result

    def train(self, mode: bool = True) -> "FakeQuantized":
        """Training or evaluation. (The graph itself has neither: it was exported as it evaluates.)"""
        self.training = mode
        self.graph.apply(enable_observer if mode else disable_observer)
        return self


def float_graph(trained: GraphModule) -> GraphModule:
    """What `FakeQuantized` has trained, without the fake quantization: the same weights in float, to be prepared anew.

    Args:
        trained: `FakeQuantized.graph`; it is untouched.
    """
    plain = copy.deepcopy(trained)
    for node in list(plain.graph.nodes):
        # Where the quantizer wanted int8 then is not where it will want it.
        node.meta.pop(KEY, None)
        if node.op == "call_module" and hasattr(plain.get_submodule(str(node.target)), "calculate_qparams"):
            node.replace_all_uses_with(node.args[0])
            plain.graph.erase_node(node)
    return cleaned(plain.requires_grad_(False))


def calibrate(prepared: GraphModule, samples: Iterable[Tensors]) -> GraphModule:
    """Show the observers real samples, one at a time: the graph was exported for one."""
    with torch.inference_mode():
        for sample in samples:
            prepared(*sample)
    return prepared


def folded(prepared: GraphModule, examples: Tensors) -> ExportedProgram:
    """The quantized graph with int8 weights in place, as ExecuTorch wants it. `prepared` is untouched."""
    graph = _converted(prepared)
    return export(after_quantization(graph), examples)


def unfolded(prepared: GraphModule, examples: Tensors) -> ExportedProgram:
    """The quantized graph with float weights and quantize/dequantize pairs, as litert-torch wants it."""
    graph = _converted(prepared, fold_quantize=False)
    after_quantization(graph)
    # Exporting asks an exported graph to go into evaluation, which it refuses until it is told to bear it.
    allow_exported_model_train_eval(graph)
    return export(graph, examples)


FORMS: Mapping[str, Callable[[GraphModule, Tensors], ExportedProgram]] = {"folded": folded, "unfolded": unfolded}
"""What backends take: see `Backend.quantized_graph`."""


def _converted(prepared: GraphModule, **options: bool) -> GraphModule:
    copied = copy.deepcopy(prepared)
    in_order(copied)
    with torch.random.fork_rng(devices=[]):  # as above
        converted = convert_pt2e(copied, **options)
    return round_weights(converted)
