"""A model without a known task: tensors in, tensors out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..tensor_spec import TensorSpec
from .base import Outputs, Task


class Tensors(Task):
    """No predictions and no measures; use `Model.infer` or `Model.logits` for the outputs."""

    name = "tensors"

    def check(self, outputs: Sequence[TensorSpec]) -> None:
        """Accept any outputs."""

    def answer(self, outputs: Outputs, **options: Any) -> list[Any]:
        """Not available.

        Raises:
            InputError: always.
        """
        raise InputError(self._nothing())

    def quality(self, outputs: Outputs, targets: NDArray[Any]) -> dict[str, float]:
        """Not available.

        Raises:
            InputError: always.
        """
        raise InputError(self._nothing())

    def same(self, first: Outputs, second: Outputs) -> NDArray[np.bool_]:
        """Not available.

        Raises:
            InputError: always.
        """
        raise InputError(self._nothing())

    def _nothing(self) -> str:
        return "nothing says what its outputs mean; use logits, or infer"


class UnknownTask(Tensors):
    """A custom task whose class was not passed to `load`."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.task = name

    def _nothing(self) -> str:
        return (
            f"its task is {self.task}, which is none of edgestill's: give its class, load(path, task=…), or use logits "
            "or infer"
        )
