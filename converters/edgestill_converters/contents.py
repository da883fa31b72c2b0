"""What was found in a model file, as plain data, with its totals."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

# Names in both formats: LiteRT's, XNNPACK's (in a `.pte`'s delegate), ATen's (outside it).
CONVERSIONS = (
    "QUANTIZE",
    "DEQUANTIZE",
    "Convert",
    "quantized_decomposed::quantize",
    "quantized_decomposed::dequantize",
)


@dataclass(frozen=True)
class Tensor:
    """An input or output: its number, as operators name it; shape in the file's own order; its scale, if it has one."""

    number: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None


@dataclass(frozen=True)
class Operator:
    """One operator, in the order of execution.

    Args:
        name: as the format calls it. precision: what it computes in: `int8`, `float32`, `int8 → float32` ….
        shape: of its first output. macs: multiply-accumulates. weights: bytes of its constants.
        inputs, outputs: numbers of the tensors that it reads and writes, constants left out.
        partition: number of the delegated subgraph that it is in, from 0; None outside the delegate.
        why: why it is outside the delegate, as far as that is known.
        reorders: whether it is a transpose that changes the order of values, not only of axes of length 1.
    """

    name: str
    precision: str
    shape: tuple[int, ...]
    macs: int
    weights: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    partition: int | None
    why: str = ""
    reorders: bool = False


@dataclass(frozen=True)
class Inspection:
    """A model file.

    Args:
        engine: `executorch` or `litert`. delegate: `XNNPACK` or another, or why it is not known.
        memory: bytes of the activations, as far as the file plans them. memory_note: what that leaves out.
    """

    engine: str
    bytes: int
    delegate: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    memory: int
    memory_note: str

    @cached_property
    def macs(self) -> int:
        """Of the whole file."""
        return sum(one.macs for one in self.operators)

    @property
    def delegation_known(self) -> bool:
        """Whether the engine was asked what it delegates, and reported it."""
        return not self.delegate.startswith(("unknown", "not asked"))

    @cached_property
    def delegated_macs(self) -> float:
        """Share of the multiply-accumulates inside the delegate, 0–1; 1 where there are none at all.

        0 where it is not known what is delegated.
        """
        inside = sum(one.macs for one in self.operators if one.partition is not None)
        return inside / self.macs if self.macs else 1.0

    @cached_property
    def partitions(self) -> int:
        """Number of delegated subgraphs; 1 is best."""
        return len({one.partition for one in self.operators if one.partition is not None})

    @cached_property
    def counts(self) -> dict[str, int]:
        """How often each operator with its precision occurs, most frequent first."""
        return dict(Counter(f"{one.name} {one.precision}" for one in self.operators).most_common())

    @cached_property
    def outside(self) -> tuple[Operator, ...]:
        """Operators outside the delegate."""
        return tuple(one for one in self.operators if one.partition is None)

    @cached_property
    def conversions(self) -> int:
        """Operators that only quantize or dequantize."""
        return sum(one.name.startswith(CONVERSIONS) for one in self.operators)

    @cached_property
    def transposes(self) -> int:
        """Operators that only reorder values; those that read an input or write an output are not counted."""
        interface = {one.number for one in (*self.inputs, *self.outputs)}
        return sum(one.reorders and not interface & {*one.inputs, *one.outputs} for one in self.operators)

    @cached_property
    def float_macs(self) -> float:
        """Share of the multiply-accumulates that are computed in float, 0–1."""
        floating = sum(one.macs for one in self.operators if one.precision.startswith("float"))
        return floating / self.macs if self.macs else 0.0

    @cached_property
    def last(self) -> str:
        """`softmax` or `sigmoid` where that makes the only output of a LiteRT file, else empty."""
        producers = {number: one for one in self.operators for number in one.outputs}
        last = producers.get(self.outputs[0].number) if len(self.outputs) == 1 else None
        while last is not None and last.name in CONVERSIONS and last.inputs:
            last = producers.get(last.inputs[0])
        return {"SOFTMAX": "softmax", "LOGISTIC": "sigmoid"}.get(last.name, "") if last is not None else ""

    def to_json(self) -> dict[str, Any]:
        """Plain data, totals included."""
        sums = ("macs", "delegated_macs", "partitions", "counts", "conversions", "transposes", "float_macs")
        return {**asdict(self), **{name: getattr(self, name) for name in sums}}


def precision_of(inputs: list[str], outputs: list[str], weights: list[str]) -> str:
    """The precision that an operator computes in, from the dtypes of its inputs, outputs and constants."""
    first, last = (inputs or weights or outputs or ["none"])[0], (outputs or inputs or ["none"])[0]
    if first == last and "int8" in weights and first == "float32":
        return "float32, int8 weights"
    return first if first == last else f"{first} → {last}"


def reorders(order: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether a transpose changes the order of values in memory.

    Args:
        order: for each axis of the output, the axis of the input. shape: of the output.
    """
    long = [axis for axis, size in zip(order, shape, strict=True) if size > 1]
    return long != sorted(long)
