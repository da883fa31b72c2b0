"""A model whose outputs nobody has said the meaning of: numbers in, numbers out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..tensor_spec import TensorSpec
from .base import Outputs, Task


class Tensors(Task):
    """Neither answers nor measures; `Model.infer` and `Model.logits` give the numbers."""

    name = "tensors"

    def check(self, outputs: Sequence[TensorSpec]) -> None:
        """Everything fits."""

    def answer(self, outputs: Outputs, **options: Any) -> list[Any]:
        """There is none.

        Raises:
            InputError: always.
        """
        raise InputError(self._nothing())

    def quality(self, outputs: Outputs, targets: NDArray[Any]) -> dict[str, float]:
        """There is none.

        Raises:
            InputError: always.
        """
        raise InputError(self._nothing())

    def same(self, first: Outputs, second: Outputs) -> NDArray[np.bool_]:
        """There is none.

        Raises:
            InputError: always.
        """
        raise InputError(self._nothing())

    def _nothing(self) -> str:
        return "nothing says what its outputs mean; use logits, or infer"


class UnknownTask(Tensors):
    """A task of somebody's own, which this device has no class for."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.task = name

    def _nothing(self) -> str:
        return (
            f"its task is {self.task}, which is none of edgestill's: give its class, load(path, task=…), or use logits "
            "or infer"
        )
