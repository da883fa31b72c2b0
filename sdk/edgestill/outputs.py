"""Outputs of several models for one split, in one file: an array each, or `NAME/0`, `NAME/1`, … of several."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from edgestill_runtime.files import atomic_file

Outputs = tuple[NDArray[Any], ...]


def write_outputs(path: Path, outputs: Mapping[str, Sequence[NDArray[Any]]]) -> None:
    """Write an `.npz`, whole or not at all."""
    arrays: dict[str, Any] = {}
    for name, values in outputs.items():
        arrays |= {name: values[0]} if len(values) == 1 else {f"{name}/{n}": one for n, one in enumerate(values)}
    with atomic_file(path) as part, open(part, "wb") as file:
        np.savez(file, **arrays)


def read_outputs(path: Path | IO[bytes]) -> dict[str, Outputs]:
    """What `write_outputs` wrote, or a device."""
    with np.load(path, allow_pickle=False) as arrays:
        arrays_by_name: dict[str, list[NDArray[Any]]] = {}
        for key in arrays.files:  # in the order in which they were written
            name, _, number = key.rpartition("/")
            arrays_by_name.setdefault(name if number.isdecimal() else key, []).append(arrays[key])
    return {name: tuple(values) for name, values in arrays_by_name.items()}
