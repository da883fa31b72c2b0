"""Cache of teacher outputs for each augmented view of the train split, computed once and stored on disk.

The student is trained on the same views (see `data/augmentation.py`), so an epoch does not run the teacher. Work is
split into shards of one view and some thousand samples. Shards are written atomically, so an interrupted cache can be
resumed. With several processes (`torchrun`, `accelerate launch`), each computes every n-th shard, in a shared folder.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from torch import nn

from edgestill_runtime.files import atomic_file, write_bytes

from .data import Augmentation, Data, Views
from .errors import DataError, ModelError
from .models.copies import copied
from .models.identity import identity
from .objectives.layers import named_tensors
from .processes import processes
from .progress import SILENT, Progress
from .teacher_inputs import adapted, processor_of

SHARD = 8192
BATCH = 256
LARGEST = 65504  # of float16; the softmax of such a logit is saturated


def cache_outputs(
    teacher: nn.Module,
    data: Data,
    views: int,
    folder: Path,
    *,
    augmentation: Augmentation,
    progress: Progress = SILENT,
) -> list[dict[str, np.ndarray]]:
    """Compute the teacher's outputs for `views` augmented views of the train split, or reuse those in the folder.

    Returns:
        For each view the outputs by name, float16 (N, …), memory-mapped from `folder/view-NNN.npy`, or, for tasks with
        several outputs, `folder/view-NNN.NAME.npy`; row i is for train sample i.

    Raises:
        DataError: the folder holds the outputs of another teacher, for other data, or for other views.
        ModelError: the teacher's outputs are infinite, NaN, or too large.
    """
    state = processes()
    _claim(folder, teacher, data, augmentation, state)
    names = data.task.outputs
    paths_of_views = [{name: folder / _file(view, name, names) for name in names} for view in range(views)]
    shards = [
        _Shard(view, start, {name: path.with_suffix(f".rows-{start:09d}.npy") for name, path in paths.items()})
        for view, paths in enumerate(paths_of_views)
        if not all(path.is_file() for path in paths.values())
        for start in range(0, len(data.train), SHARD)
    ]
    mine = [one for one in shards[state.process_index :: state.num_processes] if not one.done]
    if mine:
        _compute_outputs(teacher, data, mine, augmentation, state.device, progress)
    state.wait_for_everyone()
    if state.is_main_process:
        for view, paths in enumerate(paths_of_views):
            for name, path in paths.items():
                _join(path, [one.parts[name] for one in shards if one.view == view])
    state.wait_for_everyone()
    return [{name: np.load(path, mmap_mode="r") for name, path in paths.items()} for paths in paths_of_views]


@dataclass(frozen=True)
class _Shard:
    """Rows `start` and following of one view, in one file for each output."""

    view: int
    start: int
    parts: dict[str, Path]

    @property
    def done(self) -> bool:
        return all(part.is_file() for part in self.parts.values())


def _file(view: int, name: str, names: Sequence[str]) -> str:
    return f"view-{view:03d}.npy" if len(names) == 1 else f"view-{view:03d}.{name}.npy"


def _claim(folder: Path, teacher: nn.Module, data: Data, augmentation: Augmentation, state: PartialState) -> None:
    own = processor_of(teacher)
    facts = {
        "teacher": identity(teacher),
        "teacher's pixels": None if own is None else own.to_json(),
        "data": {name: value for name, value in data.learnt_from().items() if name != "seed"},
        "pixels": data.processor.to_json(),
        "augmentation": asdict(augmentation),
        "seed": data.seed,
    }
    path = folder / "cache.json"
    if path.is_file():
        recorded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        odd = [name for name in facts if json.dumps(recorded.get(name)) != json.dumps(facts[name])]
        if odd:
            raise DataError(
                f"{folder} holds a teacher's outputs for another {' and another '.join(odd)}; remove it, or name "
                "another folder"
            )
    state.wait_for_everyone()
    if state.is_main_process:
        write_bytes(path, json.dumps(facts, indent=1).encode())


def _compute_outputs(
    teacher: nn.Module,
    data: Data,
    shards: list[_Shard],
    augmentation: Augmentation,
    device: torch.device,
    progress: Progress,
) -> None:
    views = Views(data.train.images, data.encoded(data.train), data.processor, augmentation, data.seed, device)
    teacher = copied(teacher).to(device).to(memory_format=torch.channels_last).eval()
    total = sum(min(SHARD, len(views) - one.start) for one in shards)
    with (
        progress.task("teacher outputs", total) as task,
        adapted(teacher, data.processor),
        torch.inference_mode(),
    ):
        for shard in shards:
            rows = torch.arange(shard.start, min(shard.start + SHARD, len(views)))
            outputs: dict[str, list[torch.Tensor]] = {name: [] for name in shard.parts}
            for images, _ in views.batches(shard.view, torch.split(rows, BATCH)):
                tensors = named_tensors(teacher(images), data.task.outputs, "teacher", len(images))
                for name, values in tensors.items():
                    outputs[name].append(_stored(values, shard.view))
                task.advance(len(images))
            for name, path in shard.parts.items():
                _write(path, torch.cat(outputs[name]).numpy())


def _stored(values: torch.Tensor, view: int) -> torch.Tensor:
    """Outputs in float16, whose range is sufficient.

    Raises:
        ModelError: an output is NaN or too large.
    """
    values = values.cpu()
    check_values(values, f"on view {view} of the train split")
    return values.half()


def check_values(values: torch.Tensor, where: str) -> None:
    """Refuse a teacher's outputs (N, …) that are NaN, infinite or too large.

    Raises:
        ModelError: states the value and the number of images.
    """
    rows = values.flatten(1)
    odd = ~(rows.abs() <= LARGEST).all(dim=1)
    if not bool(odd.any()):
        return
    worst = rows[odd][0]
    value = worst[~(worst.abs() <= LARGEST)][0]
    raise ModelError(
        f"the teacher gives {float(value):.4g} for {int(odd.sum())} of {len(rows)} images {where}; logits are "
        f"numbers of at most {LARGEST:,} here: its weights, or the pixel values of its input, are wrong"
    )


def _join(path: Path, parts: list[Path]) -> None:
    if not path.is_file():
        shards = [np.load(part, mmap_mode="r") for part in parts]
        shape = (sum(len(shard) for shard in shards), *shards[0].shape[1:])
        kind = np.lib.format.dtype_to_descr(shards[0].dtype)
        with atomic_file(path) as whole, open(whole, "wb") as file:  # shard by shard, in the format of `np.save`
            np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
            for shard in shards:
                file.write(np.ascontiguousarray(shard).data)
    for part in parts:
        part.unlink(missing_ok=True)


def _write(path: Path, values: np.ndarray) -> None:
    with atomic_file(path) as part, open(part, "wb") as file:
        np.save(file, values)
