"""The user's model → the float graph that everything else starts from; the user's samples → its inputs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule

from edgestill_runtime import InputError, Processor

from .errors import CalibrationError, ConversionError
from .in_place import without_writes
from .pixels import fold_pixels
from .rewrites import tidy
from .scale import Scale
from .source_model import checked_call, place_of, private_copy
from .support import refuse_unsupported

Tensors = tuple[Tensor, ...]
# An example batch below 16 silently limits the graph to batches of at most 15.
EXAMPLE_BATCH = 64
# In the type or the message of what torch raises where a graph would depend on values.
VALUE_DEPENDENT = (
    "datadependent", "data-dependent", "data dependent", "unbacked", "fake tensor", "faketensor", ".item()",
    "functionaltensor", "data pointer", ".numpy()",
)  # fmt: skip
_LAST: dict[Any, str] = {torch.ops.aten.softmax.int: "softmax", torch.ops.aten.sigmoid.default: "sigmoid"}
Samples = NDArray[np.uint8] | Sequence[NDArray[Any]]
"""Images, uint8 (N, H, W, C), or one array or tensor for each input, (N, …) each: floats, integers or booleans."""


@dataclass(frozen=True)
class Graph:
    """The float graph, rewritten for the engines, and its inputs.

    Args:
        processor: what remains to be done to raw pixels before it; None for inputs other than images.
        inputs: position of an input → its fixed scale in int8.
        examples: one tensor for each input, batch 1.
        rewrites: name of a rewrite → how often it was applied.
        outputs: a name for each output, its key in the dict that the model returns; empty without one.
    """

    module: GraphModule
    examples: Tensors
    processor: Processor | None
    inputs: dict[int, Scale]
    rewrites: dict[str, int]
    outputs: tuple[str, ...] = ()

    @property
    def last(self) -> str:
        """`softmax` or `sigmoid` if that computes the only output, else empty."""
        made = [one.target for one in self.module.graph.output_node().all_input_nodes]
        return _LAST.get(made[0], "") if len(made) == 1 else ""


def make_graph(
    model: nn.Module,
    samples: Samples,
    processor: Processor | None,
    fold: bool = True,
    any_batch: bool = False,
) -> Graph:
    """Export a copy of `model` and rewrite it; `model` itself is untouched.

    Args:
        processor: raw pixels → the model's input; None: `samples` are its inputs.
        fold: put the normalization of pixels into the graph. any_batch: for training, instead of batch 1.

    Raises:
        CalibrationError: samples that do not fit. ConversionError: the model does not run on them, it cannot be
            exported, or an engine cannot run one of its operators; names the place in the model.
    """
    examples = next(tensors(samples, processor))
    checked = checked_call(private_copy(model), examples)
    module, counts = tidy(_exported(checked.module, examples, any_batch))
    in_order(module)
    refuse_unsupported(module)
    if processor is None or not fold:
        return Graph(module, examples, processor, {}, counts, checked.names)
    left, scale = fold_pixels(module, processor)
    return Graph(module, examples, left, {0: scale}, counts, checked.names)


def _exported(model: nn.Module, examples: Tensors, any_batch: bool) -> GraphModule:
    try:
        return export(model, examples, any_batch).module(check_guards=False)
    except Exception as error:  # whatever torch.export raises on the user's model
        words = f"{type(error).__name__} {error}".lower()
        depends = any(word in words for word in VALUE_DEPENDENT)
        why = (
            "what is computed depends on the values of its input (an `if`, a loop or a shape that follows from a "
            "tensor's values, `.item()`, numpy)"
            if depends
            else "torch.export cannot follow what is computed"
        )
        raise ConversionError(
            f"no graph can be made of the model: {why}, {place_of(error, model)}; write that place with operators of "
            "torch on tensors of fixed shapes, such as torch.where"
        ) from error


def export(model: nn.Module, examples: Tensors, any_batch: bool = False) -> ExportedProgram:
    """`model` as a graph of ATen operators without writes in place.

    Args:
        examples: one tensor for each input, batch 1; the graph is for exactly these shapes.
        any_batch: the graph is for any batch of two or more instead.
    """
    # New tensors: the strides of a channels-last one would become the layout of the file.
    batch = EXAMPLE_BATCH if any_batch else 1
    fresh = tuple(torch.zeros((batch, *one.shape[1:]), dtype=one.dtype) for one in examples)
    axis = torch.export.Dim("batch", min=2, max=1 << 16)
    dynamic = tuple({0: axis} for _ in fresh) if any_batch else None
    return without_writes(torch.export.export(model, fresh, dynamic_shapes=dynamic))


def in_order(module: nn.Module) -> None:
    """Make weights contiguous, in place.

    A model that was trained channels last has other strides, which ExecuTorch refuses.
    """
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = tensor.data.contiguous()


def tensors(samples: Samples, processor: Processor | None) -> Iterator[Tensors]:
    """Samples one by one, each as the inputs of a graph: copies, which a model may write into.

    Raises:
        CalibrationError: no samples, or of the wrong shape or type.
    """
    arrays = as_arrays(samples, processor)
    for row in range(len(arrays[0])):
        rows = [one[row : row + 1] for one in arrays]
        try:
            inputs = rows if processor is None else [processor.tensor(rows[0])]
        except InputError as error:
            raise CalibrationError(f"calibration: {error}") from error
        yield tuple(torch.from_numpy(np.array(one, order="C")) for one in inputs)


def as_arrays(samples: Samples, processor: Processor | None) -> list[NDArray[Any]]:
    """The user's samples as one array for each input, (N, …), N above 0; floats as float32.

    A single array or tensor is that of the only input.

    Args:
        processor: samples are images for it, one array; None: they are the model's inputs.

    Raises:
        CalibrationError: they are anything else.
    """
    if processor is None and isinstance(samples, Mapping):
        raise CalibrationError("calibration: a dict; give its arrays in a list, in the order of the model's inputs")
    if processor is None and (isinstance(samples, str) or not isinstance(samples, Iterable)):
        raise CalibrationError(
            f"calibration: a {type(samples).__name__}; give one array for each input, in a list or tuple"
        )
    alone = processor is not None or isinstance(samples, (np.ndarray, Tensor))
    arrays = [_array(one) for one in ([samples] if alone else samples)]
    counts = {len(one) if one.ndim else 0 for one in arrays}
    if len(counts) > 1:
        raise CalibrationError(f"calibration: the inputs have {sorted(counts)} samples; give as many of each")
    if not counts or counts == {0}:
        raise CalibrationError("calibration: no samples; a few hundred real ones are usual")
    return arrays if processor is not None else [_checked(one) for one in arrays]


def _checked(one: NDArray[Any]) -> NDArray[Any]:
    """Samples of one input, with floats as float32."""
    if one.dtype == np.uint8:
        raise CalibrationError(
            "calibration: an input of uint8, as raw pixels have it; give them with a processor, or as the float32 "
            "values that the model takes"
        )
    if one.dtype.kind not in "fib":
        raise CalibrationError(f"calibration: an input of {one.dtype}; models take floats, signed integers or booleans")
    if one.dtype.kind == "f" and not np.isfinite(one).all():
        raise CalibrationError("calibration: a sample has values that are not finite (NaN or infinity)")
    return one.astype(np.float32, copy=False) if one.dtype.kind == "f" else one


def _array(value: Any) -> NDArray[Any]:
    """An array, from an array, a tensor on any device, or nested lists of numbers."""
    if isinstance(value, Tensor):
        plain = value.detach().cpu()
        return (plain.float() if plain.is_floating_point() else plain).numpy()
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:  # lists of different lengths, tensors within a list
        raise CalibrationError(
            f"calibration: a {type(value).__name__} that is no array: its parts differ in shape, or are no numbers; "
            "give one array of shape (N, …) for each input"
        ) from error
