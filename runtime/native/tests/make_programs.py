"""Export the small programs that the binding's tests run, with the answers of torch: `python make_programs.py FOLDER`.

Apart from the tests, because these run where there is no torch: under the sanitizers, and on (emulated) ARM.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import ExecutorchBackendConfig, to_edge_transform_and_lower
from executorch.exir.passes import MemoryPlanningPass
from torch import Tensor, nn
from torch.export import Dim, export


class AddOne(nn.Module):
    """One element in, one out: what a call costs."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1


class Types(nn.Module):
    """One input of each type, and for each an output."""

    def forward(self, f: Tensor, i8: Tensor, u8: Tensor, i32: Tensor, i64: Tensor, b: Tensor) -> tuple[Tensor, ...]:
        return f * 2, i8 + i8, u8 + u8, i32 - 1, i64 * 3, torch.logical_not(b)


class Net(nn.Module):
    """Delegated to XNNPACK as a whole."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


class Pair(nn.Module):
    """Two inputs, two outputs, one sample at a time."""

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        return left + right, left - right


class Huge(nn.Module):
    """One number in, one out, and two gigabytes between."""

    def forward(self, x: Tensor) -> Tensor:
        return x.repeat(1 << 29).cumsum(0)[-1:]


class Twice(nn.Module):
    """Rows of any number up to 16."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.layer(x))


def save(path: Path, programs: object, planned: bool = True, constants: dict[str, object] | None = None) -> None:
    edge = to_edge_transform_and_lower(programs, partitioner=[XnnpackPartitioner()], constant_methods=constants)
    passes = MemoryPlanningPass(alloc_graph_input=planned, alloc_graph_output=planned)
    path.write_bytes(edge.to_executorch(ExecutorchBackendConfig(memory_planning_pass=passes)).buffer)


def main(folder: Path) -> None:
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    answers: dict[str, np.ndarray] = {}
    save(folder / "add-one.pte", export(AddOne(), (torch.zeros(1),)))

    values = (
        torch.randn(2, 3), torch.tensor([-3, 5], dtype=torch.int8), torch.tensor([3, 250], dtype=torch.uint8),
        torch.tensor([7], dtype=torch.int32), torch.tensor([2**40], dtype=torch.int64), torch.tensor([True, False]),
    )  # fmt: skip
    save(folder / "types.pte", export(Types(), values))
    answers |= {f"types/in/{index}": value.numpy() for index, value in enumerate(values)}
    answers |= {f"types/out/{index}": value.numpy() for index, value in enumerate(Types()(*values))}

    net, image = Net().eval(), torch.randn(1, 3, 8, 8)
    save(folder / "net.pte", export(net, (torch.zeros_like(image),)))
    save(folder / "unplanned.pte", export(net, (torch.zeros_like(image),)), planned=False)
    save(folder / "channels-last.pte", export(net, (torch.zeros_like(image).to(memory_format=torch.channels_last),)))
    answers |= {"net/in": image.numpy(), "net/out": net(image).detach().numpy()}

    twice, rows = Twice().eval(), torch.randn(16, 4)
    dynamic = export(twice, (rows,), dynamic_shapes={"x": {0: Dim("rows", min=1, max=16)}})
    save(folder / "dynamic.pte", dynamic)
    save(folder / "dynamic-unplanned.pte", dynamic, planned=False)
    answers |= {"dynamic/in": rows.numpy(), "dynamic/out": twice(rows).detach().numpy()}

    save(folder / "pair.pte", export(Pair(), (torch.zeros(1, 2), torch.zeros(1, 2))))
    save(folder / "huge.pte", export(Huge(), (torch.zeros(1),)))

    methods = {"first": export(AddOne(), (torch.zeros(1),)), "second": export(net, (torch.zeros_like(image),))}
    save(folder / "methods.pte", methods, constants={"classes": 5, "scale": 0.25, "quantized": True})
    np.savez(folder / "answers.npz", **answers)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
