"""Scale and zero point of an int8 tensor."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Scale and zero point of an int8 tensor: `real = (code - zero_point) * scale`."""

    scale: float
    zero_point: int
