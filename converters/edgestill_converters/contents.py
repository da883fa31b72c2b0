"""What was found in a model file, as plain data, and its sums."""

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
        name: in the format's own words. precision: of what it computes in: `int8`, `float32`, `int8 → float32` ….
        shape: of its first output. macs: multiply-accumulates. weights: bytes of its constants.
        takes, gives: numbers of the tensors that flow in and out. piece: of the delegate, counted from 0; None outside.
        why: what is known of why it is outside the delegate.
        reorders: whether it is a transpose that changes the order of values, not only of axes of length 1.
    """

    name: str
    precision: str
    shape: tuple[int, ...]
    macs: int
    weights: int
    takes: tuple[int, ...]
    gives: tuple[int, ...]
    piece: int | None
    why: str = ""
    reorders: bool = False


@dataclass(frozen=True)
class Inspection:
    """A model file.

    Args:
        engine: `executorch` or `litert`. delegate: `XNNPACK` or another, or why it is not known.
        memory: bytes for the tensors that flow, as far as the file plans them. memory_note: what that leaves out.
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
        """Whether the engine was asked what it delegates, and said it."""
        return not self.delegate.startswith(("unknown", "not asked"))

    @cached_property
    def delegated_macs(self) -> float:
        """Share of the multiply-accumulates inside the delegate, 0–1; 1 where there are none at all.

        0 where it is not known what is delegated.
        """
        inside = sum(one.macs for one in self.operators if one.piece is not None)
        return inside / self.macs if self.macs else 1.0

    @cached_property
    def pieces(self) -> int:
        """Into how many graphs the delegate's part is cut; 1 is best."""
        return len({one.piece for one in self.operators if one.piece is not None})

    @cached_property
    def counts(self) -> dict[str, int]:
        """How often each operator with its precision occurs, most frequent first."""
        return dict(Counter(f"{one.name} {one.precision}" for one in self.operators).most_common())

    @cached_property
    def outside(self) -> tuple[Operator, ...]:
        """Operators outside the delegate."""
        return tuple(one for one in self.operators if one.piece is None)

    @cached_property
    def conversions(self) -> int:
        """Operators that only quantize or dequantize."""
        return sum(one.name.startswith(CONVERSIONS) for one in self.operators)

    @cached_property
    def transposes(self) -> int:
        """Operators inside that only reorder values; one that meets an input or output is not counted."""
        ends = {one.number for one in (*self.inputs, *self.outputs)}
        return sum(one.reorders and not ends & {*one.takes, *one.gives} for one in self.operators)

    @cached_property
    def float_macs(self) -> float:
        """Share of the multiply-accumulates that are computed in float, 0–1."""
        floating = sum(one.macs for one in self.operators if one.precision.startswith("float"))
        return floating / self.macs if self.macs else 0.0

    @cached_property
    def last(self) -> str:
        """`softmax` or `sigmoid` where that makes the only output of a LiteRT file, else empty."""
        producers = {number: one for one in self.operators for number in one.gives}
        last = producers.get(self.outputs[0].number) if len(self.outputs) == 1 else None
        while last is not None and last.name in CONVERSIONS and last.takes:
            last = producers.get(last.takes[0])
        return {"SOFTMAX": "softmax", "LOGISTIC": "sigmoid"}.get(last.name, "") if last is not None else ""

    def to_json(self) -> dict[str, Any]:
        """Plain data, sums included."""
        sums = ("macs", "delegated_macs", "pieces", "counts", "conversions", "transposes", "float_macs")
        return {**asdict(self), **{name: getattr(self, name) for name in sums}}


def precision_of(taken: list[str], given: list[str], weights: list[str]) -> str:
    """The word for what an operator computes in, from the dtypes of what flows in and out and of its constants."""
    first, last = (taken or weights or given or ["none"])[0], (given or taken or ["none"])[0]
    if first == last and "int8" in weights and first == "float32":
        return "float32, int8 weights"
    return first if first == last else f"{first} → {last}"


def reorders(order: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether a transpose changes the order of values in memory.

    Args:
        order: for each axis of what it gives, the axis of what it takes. shape: of what it gives.
    """
    long = [axis for axis, size in zip(order, shape, strict=True) if size > 1]
    return long != sorted(long)
