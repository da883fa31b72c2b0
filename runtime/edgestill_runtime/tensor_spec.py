"""The description of one input or output tensor of a model file."""

from dataclasses import dataclass

from .processing import Layout


@dataclass(frozen=True)
class TensorSpec:
    """Shape, dtype, layout and quantization parameters of an input or output.

    Args:
        shape: sizes, batch axis included; for a dynamic axis its initial size, or its largest size if `bounded`.
        dtype: numpy's name for it, such as `int8`.
        layout: `NCHW` or `NHWC` for images, None for anything else.
        scale, zero_point: `float = (quantized - zero_point) * scale`; None for tensors that are not quantized.
        name: in the file; may be empty. dynamic: axes whose size may change from call to call.
        bounded: whether `shape` has the largest sizes of dynamic axes: true for ExecuTorch, false for LiteRT.
    """

    shape: tuple[int, ...]
    dtype: str
    layout: Layout | None = None
    scale: float | None = None
    zero_point: int | None = None
    name: str = ""
    dynamic: tuple[int, ...] = ()
    bounded: bool = False

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of this shape is valid; sizes of dynamic axes may differ."""
        return len(shape) == len(self.shape) and all(
            actual == size or (axis in self.dynamic and actual > 0 and (not self.bounded or actual <= size))
            for axis, (actual, size) in enumerate(zip(shape, self.shape, strict=True))
        )
