"""DS-CNN: a depthwise-separable CNN for small images, in three sizes, written to quantize and delegate whole.

After Zhang et al. 2017, "Hello Edge" (arXiv:1711.07128), and MobileNet (arXiv:1704.04861). Every operator here runs in
int8 in both engines with identical results: convolution, ReLU, global average pooling, linear. So no hard-swish, no
squeeze-excite, and no `x.mean((2, 3))`, which is not delegated.

    size      widths                         strides             parameters, MACs at 28×28×1, 10 classes
    dscnn_xs  8 · 16 24 32 40                2 1 2 1             4,162       0.32 M
    dscnn_s   16 · 32 48 64 96               2 1 2 1             14,650      1.10 M
    dscnn_m   32 · 64 96 128 160 224         2 1 2 1 1           86,026      5.53 M
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class ConvBN(nn.Sequential):
    """Convolution, batch norm, ReLU; the batch norm folds into the convolution at conversion."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        )


class DSCNN(nn.Module):
    """Images float32 (N, C, H, W) → logits float32 (N, classes)."""

    def __init__(self, num_classes: int, in_channels: int, widths: Sequence[int], strides: Sequence[int]) -> None:
        super().__init__()
        self.stem = ConvBN(in_channels, widths[0], kernel=3)
        blocks: list[nn.Module] = []
        for inputs, outputs, stride in zip(widths, widths[1:], strides, strict=False):
            blocks += [
                ConvBN(inputs, inputs, kernel=3, stride=stride, groups=inputs),
                ConvBN(inputs, outputs, kernel=1),
            ]
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        features = self.blocks(self.stem(images))
        logits: Tensor = self.head(F.adaptive_avg_pool2d(features, 1).flatten(1))
        return logits


def dscnn_xs(num_classes: int = 10, in_channels: int = 1) -> DSCNN:
    """About 4,000 parameters."""
    return DSCNN(num_classes, in_channels, widths=(8, 16, 24, 32, 40), strides=(2, 1, 2, 1))


def dscnn_s(num_classes: int = 10, in_channels: int = 1) -> DSCNN:
    """About 14,000 parameters."""
    return DSCNN(num_classes, in_channels, widths=(16, 32, 48, 64, 96), strides=(2, 1, 2, 1))


def dscnn_m(num_classes: int = 10, in_channels: int = 1) -> DSCNN:
    """About 90,000 parameters."""
    return DSCNN(num_classes, in_channels, widths=(32, 64, 96, 128, 160, 224), strides=(2, 1, 2, 1, 1))
