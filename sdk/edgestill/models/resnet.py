"""Small residual nets: ResNet-8 of MLPerf Tiny as a student, and wider and deeper ones as its teachers.

He et al. 2016 (arXiv:1512.03385); MLPerf Tiny's image classification (Banbury et al. 2021, arXiv:2106.07597).

    model       stem · stages      strides   blocks a stage   parameters, MACs at 28×28×1, 10 classes
    resnet8     16 · 16 32 64      1 2 2     1                77,754      9.35 M
    resnet8_m   32 · 48 96 160     2 2 2     1                552,906     19.8 M
    resnet8_l   32 · 64 128 256    2 2 2     1                1,209,834   37.4 M
    resnet14x4  64 · 64 128 256    1 2 2     2                2,776,522   322 M
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from .dscnn import ConvBN


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut, projected where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = ConvBN(inputs, outputs, kernel=3, stride=stride)
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(self.second(self.first(features)) + self.shortcut(features))


class ResNet(nn.Module):
    """Images float32 (N, C, H, W) → logits float32 (N, classes); `stages` holds the blocks of all stages in a row."""

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        stem: int,
        widths: Sequence[int],
        strides: Sequence[int],
        blocks: int = 1,
    ) -> None:
        super().__init__()
        self.stem = ConvBN(in_channels, stem, kernel=3)
        stages: list[nn.Module] = []
        for inputs, outputs, stride in zip((stem, *widths), widths, strides, strict=False):
            stages += [ResidualBlock(inputs, outputs, stride)]
            stages += [ResidualBlock(outputs, outputs, 1) for _ in range(blocks - 1)]
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        features = self.stages(self.stem(images))
        logits: Tensor = self.head(F.adaptive_avg_pool2d(features, 1).flatten(1))
        return logits


def resnet8(num_classes: int = 10, in_channels: int = 1) -> ResNet:
    """ResNet-8 as in MLPerf Tiny: about 78,000 parameters."""
    return ResNet(num_classes, in_channels, stem=16, widths=(16, 32, 64), strides=(1, 2, 2))


def resnet8_m(num_classes: int = 10, in_channels: int = 1) -> ResNet:
    """A small teacher: about 550,000 parameters, most of them where the maps are small."""
    return ResNet(num_classes, in_channels, stem=32, widths=(48, 96, 160), strides=(2, 2, 2))


def resnet8_l(num_classes: int = 10, in_channels: int = 1) -> ResNet:
    """A larger teacher: about 1.2 million parameters."""
    return ResNet(num_classes, in_channels, stem=32, widths=(64, 128, 256), strides=(2, 2, 2))


def resnet14x4(num_classes: int = 10, in_channels: int = 1) -> ResNet:
    """A good teacher for small images: ResNet-14 at four times the width; for a GPU to train."""
    return ResNet(num_classes, in_channels, stem=64, widths=(64, 128, 256), strides=(1, 2, 2), blocks=2)
