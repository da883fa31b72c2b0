"""What a file takes or gives, tensor by tensor."""

from dataclasses import dataclass

from .processing import Layout


@dataclass(frozen=True)
class TensorSpec:
    """What a file takes or gives: shape with the batch axis, dtype, order of axes, and how int8 stands for floats.

    Args:
        shape: sizes; of an axis in `dynamic`, the size that it has at first, or at most where it is `bounded`.
        layout: `NCHW` or `NHWC` for an image input, None for anything else.
        scale, zero_point: `float = (quantized - zero_point) * scale`; None for tensors that are not quantized.
        name: in the file; may be empty. dynamic: axes whose size may change from call to call.
        bounded: whether `shape` is the most that the sizes of dynamic axes may be: it is with ExecuTorch, not LiteRT.
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
        """Whether a tensor may have this shape: that of the file, but for its dynamic axes."""
        return len(shape) == len(self.shape) and all(
            actual == size or (axis in self.dynamic and actual > 0 and (not self.bounded or actual <= size))
            for axis, (actual, size) in enumerate(zip(shape, self.shape, strict=True))
        )
