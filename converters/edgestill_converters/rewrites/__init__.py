"""Small named changes of an exported graph that let the engines run more of it, and run it better.

A graph is a `torch.fx.GraphModule` of ATen operators at batch 1, as `torch.export` returns it. Each rewrite replaces
one pattern, and does not change what the graph computes beyond float rounding. `tidy` applies those that come before
quantization, `after_quantization` those that must come after it.
"""

import copy
from collections.abc import Callable

from torch.fx import GraphModule

from .activations import hard_shrink_to_choice, mish_to_product, softplus_to_logarithm
from .batch_norm import batch_norm_to_convolution, fold_batch_norms, layer_scale_to_weights
from .channel_shuffle import channel_shuffle_to_order
from .cleaning import drop_no_ops, fold_constants
from .editing import cleaned
from .layout import channels_last_to_first
from .norms import layer_norm_to_products, vector_norm_to_products
from .one_dimension import one_dimension_as_two
from .operators import (
    adaptive_max_pooling_to_plain,
    attention_to_products,
    average_pooling_to_convolution,
    division_to_product,
    hard_sigmoid_to_clamp,
    mean_of_tokens_to_pooling,
    mean_to_pooling,
    pooling_to_mean,
    silu_to_product,
    squeezes_to_reshapes,
    unfolding_to_convolution,
)
from .pads import negative_padding_to_slice
from .parallel import parallel_convolutions_to_one
from .resizing import exactly_nearest_to_nearest, resizing_to_products
from .scatters import fills_to_values, masked_writes_to_choices, scatters_to_concatenations
from .slices import select_to_slice, split_to_slices
from .transposed import (
    batch_norm_into_transposed_convolution,
    pixel_shuffle_to_permutation,
    transposed_convolution_to_plain,
)

__all__ = ["AFTER", "BEFORE", "after_quantization", "fold_batch_norms", "tidy"]

Rewrite = Callable[[GraphModule], int]
BEFORE: tuple[Rewrite, ...] = (
    drop_no_ops, fills_to_values, scatters_to_concatenations, masked_writes_to_choices, fold_constants,
    batch_norm_into_transposed_convolution, channels_last_to_first, parallel_convolutions_to_one,
    layer_scale_to_weights, layer_norm_to_products, vector_norm_to_products, split_to_slices, select_to_slice,
    channel_shuffle_to_order, adaptive_max_pooling_to_plain, one_dimension_as_two, transposed_convolution_to_plain,
    pixel_shuffle_to_permutation, negative_padding_to_slice, resizing_to_products, exactly_nearest_to_nearest,
    mish_to_product, softplus_to_logarithm, hard_shrink_to_choice, mean_to_pooling, mean_of_tokens_to_pooling,
    silu_to_product, attention_to_products, average_pooling_to_convolution, unfolding_to_convolution,
    batch_norm_to_convolution, division_to_product, squeezes_to_reshapes,
)  # fmt: skip
AFTER: tuple[Rewrite, ...] = (hard_sigmoid_to_clamp, pooling_to_mean)


def tidy(graph: GraphModule) -> tuple[GraphModule, dict[str, int]]:
    """A copy of `graph` with every rewrite of `BEFORE` applied; and how often each one was applied."""
    rewritten = copy.deepcopy(graph)
    counts = {rewrite.__name__: rewrite(rewritten) for rewrite in BEFORE}
    return cleaned(rewritten), {name: count for name, count in counts.items() if count}


def after_quantization(graph: GraphModule) -> GraphModule:
    """Apply the rewrites of `AFTER`, in place: they split an operator that was quantized as one."""
    for rewrite in AFTER:
        rewrite(graph)
    return cleaned(graph)
