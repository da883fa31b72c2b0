"""Nets for the converters' benchmark."""

import timm
import torch
from torch import Tensor, nn

CIFAR10 = "parquet:cifar10-jpeg"  # under EDGESTILL_DATA


def mobilenetv2(num_classes: int, in_channels: int) -> nn.Module:
    """timm's mobilenetv2_050 for small images: the first convolution keeps the size."""
    return _small_images(timm.create_model("mobilenetv2_050", num_classes=num_classes, in_chans=in_channels))


def mobilenetv3(num_classes: int, in_channels: int) -> nn.Module:
    """timm's mobilenetv3_small_050 for small images: hard-swish and squeeze-excite, trained."""
    return _small_images(timm.create_model("mobilenetv3_small_050", num_classes=num_classes, in_chans=in_channels))


def _small_images(model: nn.Module) -> nn.Module:
    model.conv_stem.stride = (1, 1)
    return model


class AudioNet(nn.Module):
    """A 1-D CNN over waveforms, float32 (N, 1, 8000) → logits (N, 10), after M5 (Dai et al. 2016, arXiv:1610.00087)."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 32, 64, 128, 128)
        shapes = ((80, 16), (3, 2), (3, 2), (3, 2))
        blocks: list[nn.Module] = []
        for (kernel, stride), inputs, outputs in zip(shapes, widths, widths[1:], strict=False):
            convolution = nn.Conv1d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
            blocks += [convolution, nn.BatchNorm1d(outputs), nn.ReLU()]
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(widths[-1], 10)

    def forward(self, waveform: Tensor) -> Tensor:
        return self.head(self.blocks(waveform).mean(2))


class TokenNet(nn.Module):
    """A small transformer encoder over tokens, int64 (N, 64) below 1,000 → logits (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(1000, 64)
        self.positions = nn.Parameter(torch.zeros(1, 64, 64))
        layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True, activation="gelu", norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(64, 10)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.encoder(self.embedding(tokens) + self.positions).mean(1))


def randomize(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give norms and layer scales weights as training would; fresh ones are 0 or 1, and converters fold them away."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if (
            isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm))
            and module.weight is not None
        ):
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.uniform_(-0.2, 0.2, generator=generator)
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.running_mean.uniform_(-0.2, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    for name, parameter in model.named_parameters():
        if (
            name.endswith(("gamma", "gamma_xca", "layer_scale", "layer_scale_1.scale", "ls1.gamma"))
            and parameter.dim() <= 4
        ):
            parameter.data.uniform_(0.5, 1.5, generator=generator)
    return model.eval()
