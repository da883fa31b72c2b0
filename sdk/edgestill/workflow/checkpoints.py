"""Weights between stages: saved with their metadata, loaded as teacher or student."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..data import Data
from ..models import create_student, load_checkpoint, read_metadata, save_checkpoint
from ..processes import processes
from ..progress import Progress
from ..teacher_inputs import processor_of
from ..teacher_loading import TeacherInputs, load_teacher
from .inputs import AnyTeacher, NamedModel, TrainedModel
from .stage import Context, Finished


def new_model(model: NamedModel, data: Data, seed: int) -> nn.Module:
    """A model for the data, with fresh weights."""
    return create_student(model.name, data, seed=seed)


def save_trained(
    path: Path, model: nn.Module, name: str, data: Data, context: Context, trained: Mapping[str, Any]
) -> None:
    """Write a trained model, with its classes, its processor and the run's note beside the weights.

    Args:
        trained: what is known of the training, as of `training_facts`.
    """
    facts = {
        "model": name,
        "classes": list(data.classes),
        "task": {"name": data.task.name, "settings": dict(data.task_settings)},
        "processor": (processor_of(model) or data.processor).to_json(),
        "data": data.describe(),
        "seed": trained.get("seed"),
        "trained": dict(trained),
    }
    if processes().is_main_process:
        save_checkpoint(path, model, context.note.added_to(facts))


def training_facts(seed: int) -> dict[str, Any]:
    """Facts of the current training for the results."""
    cuda = processes().device.type == "cuda"
    return {"seed": seed, "cuda": torch.cuda.get_device_name() if cuda else None}


def load_student(student: TrainedModel, data: Data) -> nn.Module:
    """A trained student, in eval mode."""
    model = new_model(student.model, data, student.seed)
    load_checkpoint(student.checkpoint, model)
    return model.eval()


def load_any_teacher(teacher: AnyTeacher, data: Data, progress: Progress) -> nn.Module:
    """A frozen teacher; warnings about a checkpoint go to `progress`.

    Raises:
        ModelError: the checkpoint does not fit.
    """
    if isinstance(teacher, TrainedModel):
        return load_teacher(teacher.model.name, data, checkpoint=teacher.checkpoint)
    return load_teacher(
        teacher.model.name, data, checkpoint=teacher.checkpoint.path, weights=teacher.weights,
        inputs=TeacherInputs(mean=teacher.mean, std=teacher.std, image_size=teacher.image_size), progress=progress,
    )  # fmt: skip


def read_history(stage: Finished) -> list[dict[str, float]]:
    """A training's log, one entry per epoch; empty for a teacher that came as a checkpoint."""
    path = stage.folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def read_training_facts(stage: Finished) -> dict[str, Any]:
    """Facts of a training: `seed`, and the GPU's name as `cuda`; None if not recorded."""
    noted = read_metadata(stage.folder / "model.safetensors").get("trained", {})
    return {"seed": noted.get("seed"), "cuda": noted.get("cuda")}
