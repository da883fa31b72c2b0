"""The layers that `coverage.py` tries: of images (N, 8, 12, 10), and of sequences (N, 6, 8)."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Call(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> None:
        super().__init__()
        self._function, self._arguments, self._named = function, arguments, named

    def forward(self, values: Tensor) -> Tensor:
        """The outputs of the function."""
        result: Tensor = self._function(values, *self._arguments, **self._named)
        return result


class First(nn.Module):
    """A recurrent layer's outputs, without its state."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, values: Tensor) -> Tensor:
        """Outputs of all steps."""
        result: Tensor = self.layer(values)[0]
        return result


class Attention(nn.Module):
    """Attention of a sequence to itself."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, values: Tensor) -> Tensor:
        """(N, L, C)."""
        result: Tensor = self.layer(values, values, values, need_weights=False)[0]
        return result


def _transposed(outputs: int, kernel: int, **options: Any) -> nn.Module:
    return nn.Sequential(nn.ConvTranspose2d(8, outputs, kernel, **options), nn.BatchNorm2d(outputs), nn.ReLU())


IMAGES: dict[str, nn.Module] = {
    **{
        type(layer).__name__: layer
        for layer in (
            nn.ReLU(),
            nn.ReLU6(),
            nn.Hardtanh(),
            nn.LeakyReLU(),
            nn.PReLU(),
            nn.ELU(),
            nn.SELU(),
            nn.CELU(),
            nn.GELU(),
            nn.SiLU(),
            nn.Mish(),
            nn.Softplus(),
            nn.Softsign(),
            nn.Sigmoid(),
            nn.LogSigmoid(),
            nn.Hardsigmoid(),
            nn.Hardswish(),
            nn.Tanh(),
            nn.Tanhshrink(),
            nn.Softshrink(),
            nn.Hardshrink(),
            nn.Threshold(0.1, 0.0),
        )
    },
    "Softmax over channels": nn.Softmax(1),
    "LogSoftmax over channels": nn.LogSoftmax(1),
    "GLU over channels": nn.GLU(1),
    "Conv2d, depthwise": nn.Conv2d(8, 8, 3, padding=1, groups=8),
    "Conv2d, 2 groups": nn.Conv2d(8, 8, 3, groups=2),
    "Conv2d, reflected padding": nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"),
    "ConvTranspose2d": _transposed(6, 4, stride=2, padding=1),
    "ConvTranspose2d, depthwise": _transposed(8, 4, stride=2, padding=1, groups=8),
    "ConvTranspose2d, 2 groups": _transposed(6, 3, stride=2, groups=2),
    "ConvTranspose2d, output_padding": _transposed(6, 3, stride=2, padding=1, output_padding=1),
    "ConvTranspose2d, dilation": _transposed(6, 3, stride=2, dilation=2),
    "BatchNorm2d alone": nn.BatchNorm2d(8),
    "GroupNorm": nn.GroupNorm(2, 8),
    "InstanceNorm2d": nn.InstanceNorm2d(8),
    "LocalResponseNorm": nn.LocalResponseNorm(3),
    "LayerNorm over an image": nn.LayerNorm((8, 12, 10)),
    "MaxPool2d": nn.MaxPool2d(3, 2, 1),
    "MaxPool2d, ceil_mode": nn.MaxPool2d(3, 2, ceil_mode=True),
    "MaxPool2d, dilation": nn.MaxPool2d(3, 1, dilation=2),
    "AvgPool2d": nn.AvgPool2d(2),
    "AvgPool2d, ceil_mode": nn.AvgPool2d(3, 2, ceil_mode=True),
    "AvgPool2d, padding not counted": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "AdaptiveAvgPool2d to 1": nn.AdaptiveAvgPool2d(1),
    "AdaptiveAvgPool2d to 6×5": nn.AdaptiveAvgPool2d((6, 5)),
    "AdaptiveAvgPool2d to 7×7": nn.AdaptiveAvgPool2d(7),
    "AdaptiveMaxPool2d to 1": nn.AdaptiveMaxPool2d(1),
    "AdaptiveMaxPool2d to 5×3": nn.AdaptiveMaxPool2d((5, 3)),
    "LPPool2d": nn.LPPool2d(2, 3),
    "PixelShuffle": nn.PixelShuffle(2),
    "PixelUnshuffle": nn.PixelUnshuffle(2),
    "ChannelShuffle": nn.ChannelShuffle(2),
    "Upsample, nearest": nn.Upsample(scale_factor=2),
    "Upsample, nearest, 1.5": nn.Upsample(scale_factor=1.5),
    "Upsample, bilinear": nn.Upsample(scale_factor=2, mode="bilinear"),
    "Upsample, bilinear, 1.5": nn.Upsample(scale_factor=1.5, mode="bilinear"),
    "Upsample, bilinear, align_corners": nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
    "Upsample, bicubic": nn.Upsample(scale_factor=2, mode="bicubic"),
    "interpolate, antialias": Call(F.interpolate, size=(6, 5), mode="bilinear", antialias=True),
    "ZeroPad2d": nn.ZeroPad2d((1, 2, 3, 0)),
    "ZeroPad2d, negative": nn.ZeroPad2d((-1, 2, 1, -1)),
    "ConstantPad2d, 0.5": nn.ConstantPad2d(1, 0.5),
    "ReflectionPad2d": nn.ReflectionPad2d(2),
    "ReplicationPad2d": nn.ReplicationPad2d(2),
    "CircularPad2d": nn.CircularPad2d(2),
    "Unfold": nn.Unfold(3),
    "Flatten": nn.Flatten(),
    "argmax": Call(torch.argmax, 1),
    "topk": Call(lambda values: values.topk(3, 1)[0]),
    "sort": Call(lambda values: values.sort(1)[0]),
    "cumsum": Call(torch.cumsum, 1),
    "amax": Call(torch.amax, (2, 3)),
    "std": Call(lambda values: values.std(1, keepdim=True)),
    "einsum": Call(lambda values: torch.einsum("nchw,ndhw->ncd", values, values)),
    "where": Call(lambda values: torch.where(values > 0, values, 0.1 * values)),
    "roll": Call(torch.roll, 2, 3),
    "flip": Call(torch.flip, (3,)),
    "normalize over channels": Call(F.normalize),
    "grid_sample": Call(F.grid_sample, torch.zeros(1, 5, 5, 2), align_corners=False),
    "Conv3d": nn.Sequential(nn.Unflatten(1, (1, 8)), nn.Conv3d(1, 2, 3), nn.Flatten(1, 2)),
    "rfft2": Call(lambda values: torch.fft.rfft2(values).abs()),
    "rand_like": Call(lambda values: values + torch.rand_like(values)),
    "boolean mask": Call(lambda values: values[0][values[0] > 0].sum()[None, None]),
}

SEQUENCES: dict[str, nn.Module] = {
    "Linear": nn.Linear(8, 4),
    "LayerNorm": nn.LayerNorm(8),
    "RMSNorm": nn.RMSNorm(8),
    "Softmax": nn.Softmax(-1),
    "LogSoftmax": nn.LogSoftmax(-1),
    "LSTM": First(nn.LSTM(8, 7, batch_first=True)),
    "GRU": First(nn.GRU(8, 7, batch_first=True)),
    "RNN": First(nn.RNN(8, 7, batch_first=True)),
    "LSTM, 2 layers, both directions": First(nn.LSTM(8, 5, 2, batch_first=True, bidirectional=True)),
    "MultiheadAttention": Attention(),
    "TransformerEncoderLayer": nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
    "Conv1d": nn.Conv1d(6, 4, 3),
    "ConvTranspose1d": nn.ConvTranspose1d(6, 4, 4, 2, 1),
    "AvgPool1d": nn.AvgPool1d(2),
    "Upsample, linear": nn.Upsample(scale_factor=2, mode="linear"),
}
