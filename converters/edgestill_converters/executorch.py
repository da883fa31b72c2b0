"""A graph → `.pte`, delegated to XNNPACK."""

import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from torch import Tensor, nn


def export_pte(model: nn.Module, example: Tensor) -> bytes:
    """Lower a float model, or a quantised graph with folded weights, to an ExecuTorch program for batch 1.

    Args:
        example: float32 (1, C, H, W); the file takes exactly this shape, channels first.
    """
    program = torch.export.export(model, (example,), strict=True)
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    return bytes(lowered.to_executorch().buffer)
