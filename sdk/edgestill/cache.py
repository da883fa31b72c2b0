"""Cached views: what a teacher says of each augmented view of the train split, computed once and kept on disk.

The views are those that the student will meet (see `data/augmentation.py`), so an epoch never runs the teacher and
both still see the same pictures. Work is cut into shards of one view and some thousand samples: each is written whole
or not at all, so a cache that was interrupted goes on; several processes (`torchrun`, `accelerate launch`) take every
n-th shard each, into a folder that all of them see.
"""

import json
from dataclasses import asdict
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
from .objectives.layers import as_logits
from .processes import processes
from .progress import SILENT, Progress
from .teacher_inputs import adapted, processor_of

SHARD = 8192
BATCH = 256
LARGEST = 65504  # of float16; the softmax of such a logit has long been 0 or 1


def cache_logits(
    teacher: nn.Module,
    data: Data,
    views: int,
    folder: Path,
    *,
    augmentation: Augmentation,
    progress: Progress = SILENT,
) -> list[np.ndarray]:
    """Run the teacher over `views` augmented views of the train split, or find them done.

    Returns:
        For each view, float16 (N, classes), memory-mapped from `folder/view-NNN.npy`; row i is for train sample i.

    Raises:
        DataError: the folder holds the outputs of another teacher, for other data, or for other views.
        ModelError: the teacher answers infinities, no numbers, or none of any use.
    """
    state = processes()
    _claim(folder, teacher, data, augmentation, state)
    paths = [folder / f"view-{view:03d}.npy" for view in range(views)]
    shards = [
        (view, start, path.with_name(f"{path.stem}.rows-{start:09d}.npy"))
        for view, path in enumerate(paths)
        if not path.is_file()
        for start in range(0, len(data.train), SHARD)
    ]
    mine = [shard for shard in shards[state.process_index :: state.num_processes] if not shard[2].is_file()]
    if mine:
        _answer(teacher, data, mine, augmentation, state.device, progress)
    state.wait_for_everyone()
    if state.is_main_process:
        for view, path in enumerate(paths):
            _join(path, [part for number, _, part in shards if number == view])
    state.wait_for_everyone()
    return [np.load(path, mmap_mode="r") for path in paths]


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
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        odd = [name for name in facts if json.dumps(found.get(name)) != json.dumps(facts[name])]
        if odd:
            raise DataError(
                f"{folder} holds a teacher's outputs for another {' and another '.join(odd)}; remove it, or name "
                "another folder"
            )
    state.wait_for_everyone()
    if state.is_main_process:
        write_bytes(path, json.dumps(facts, indent=1).encode())


def _answer(
    teacher: nn.Module,
    data: Data,
    shards: list[tuple[int, int, Path]],
    augmentation: Augmentation,
    device: torch.device,
    progress: Progress,
) -> None:
    split = Views(data.train, len(data.classes), data.processor, augmentation, data.seed, device)
    teacher = copied(teacher).to(device).to(memory_format=torch.channels_last).eval()
    total = sum(min(SHARD, len(split) - start) for _, start, _ in shards)
    with (
        progress.task("teacher outputs", total) as task,
        adapted(teacher, data.processor),
        torch.inference_mode(),
    ):
        for view, start, path in shards:
            rows = torch.arange(start, min(start + SHARD, len(split)))
            answers = []
            for images, _ in split.batches(view, torch.split(rows, BATCH)):
                answers.append(_stored(as_logits(teacher(images), "teacher", len(images)), view))
                task.advance(len(images))
            _write(path, torch.cat(answers).numpy())


def _stored(logits: torch.Tensor, view: int) -> torch.Tensor:
    """Logits in float16, which holds every sensible one.

    Raises:
        ModelError: one is no number, or so large that it says nothing but its sign.
    """
    logits = logits.cpu()
    check_logits(logits, f"on view {view} of the train split")
    return logits.half()


def check_logits(logits: torch.Tensor, where: str) -> None:
    """Refuse a teacher whose logits nobody can learn from.

    Raises:
        ModelError: names what it answers.
    """
    odd = ~(logits.abs() <= LARGEST).all(dim=1)
    if not bool(odd.any()):
        return
    worst = logits[odd][0]
    value = worst[~(worst.abs() <= LARGEST)][0]
    raise ModelError(
        f"the teacher answers {float(value):.4g} for {int(odd.sum())} of {len(logits)} images {where}; logits are "
        f"numbers of at most {LARGEST:,} here: its weights, or the pixel values that it is shown, are wrong"
    )


def _join(path: Path, parts: list[Path]) -> None:
    if not path.is_file():
        shards = [np.load(part, mmap_mode="r") for part in parts]
        shape = (sum(len(shard) for shard in shards), shards[0].shape[1])
        kind = np.lib.format.dtype_to_descr(shards[0].dtype)
        with atomic_file(path) as whole, open(whole, "wb") as file:  # one shard after the other, as `np.save` would
            np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
            for shard in shards:
                file.write(np.ascontiguousarray(shard).data)
    for part in parts:
        part.unlink(missing_ok=True)


def _write(path: Path, values: np.ndarray) -> None:
    with atomic_file(path) as part, open(part, "wb") as file:
        np.save(file, values)
