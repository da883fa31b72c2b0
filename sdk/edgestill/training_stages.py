"""The stages of a recipe that train: from the data to a student. No exporter is imported here.

    teacher → teacher outputs → student alone, student distilled

`pipeline.py` goes on from here.
"""

import json
import shutil
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from edgestill_runtime.files import sha256_of_file

from . import __version__
from .data import Augmentation, Data, augmentation_for, load_data
from .distillation import cache_teachers, distill, distill_generations, distill_together
from .errors import EdgestillError
from .models import create_model, load_checkpoint, save_checkpoint
from .objectives import CrossEntropy
from .objectives.layers import check_layers
from .processes import processes
from .progress import SILENT, Progress
from .recipe import Recipe
from .stages import Stage, Stages
from .teachers import check_classes, load_teacher
from .training import train
from .training_state import STATE


class TrainingStages:
    """Asking for a stage makes those before it; each is made or found once.

    Args:
        pool: a folder of stages that several runs share; the run's own, `folder/stages`, when None.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        force: bool = False,
        progress: Progress = SILENT,
        pool: Path | None = None,
    ) -> None:
        self.recipe = recipe
        self.folder = folder
        self._progress = progress
        self._stages = Stages(pool or folder / "stages", progress, force, pooled=pool is not None)

    @cached_property
    def data(self) -> Data:
        """The data, cut; read from its source every time and never copied."""
        return load_data(**self.recipe.data.arguments(), progress=self._progress)

    @cached_property
    def augmentation(self) -> Augmentation:
        """What the student sees: the recipe's, or the default of its data."""
        return augmentation_for(self.data.processor, self.recipe.augmentation)

    @cached_property
    def teacher(self) -> Stage:
        """`model.safetensors`: the given checkpoint, or a teacher trained here."""
        table = self.recipe.teacher
        given = None if table.checkpoint is None else {"checkpoint": _digest(table.checkpoint)}
        trained = {"training": asdict(table.training), "augmentation": table.augmentation, "seed": table.seed}
        return self._run("teacher", {"model": table.model, **(given or trained)}, self._make_teacher)

    @cached_property
    def teacher_outputs(self) -> Stage:
        """`view-NNN.npy`: what the teacher, or each of several, says of each augmented view."""
        inputs = {
            "teachers": self._teacher_keys(),
            "views": self.recipe.training.views,
            "augmentation": asdict(self.augmentation),
        }
        return self._run("teacher-outputs", inputs, self._teacher_logits)

    @cached_property
    def student_alone(self) -> Stage:
        """The student trained from the labels: same start, same views, same schedule."""
        return self._run("student-alone", self._student_inputs(), self._make_alone)

    @cached_property
    def student_distilled(self) -> Stage:
        """The student trained as `[distillation]` says."""
        table = self.recipe.distillation
        inputs = self._student_inputs() | {"distillation": table.model_dump()}
        if table.method == "teacher":
            inputs["teacher"] = self.teacher_outputs.key if self.recipe.cached() else self._teacher_keys()
        return self._run("student-distilled", inputs, self._make_distilled)

    def check(self) -> None:
        """Refuse models and layers that do not exist or do not fit the data, before anything takes time."""
        for names in (self.recipe.augmentation, self.recipe.teacher.augmentation):
            augmentation_for(self.data.processor, names)
        objective = self.recipe.objective()
        pairs = objective.layers if objective else ()
        for who, table, layers in (
            ("teacher", self.recipe.teacher, [theirs for _, theirs in pairs]),
            ("student", self.recipe.student, [ours for ours, _ in pairs]),
        ):
            model = self._new(table.model)
            check_classes(model, self.data, who)
            check_layers(model, layers, who)

    def history(self, stage: Stage) -> list[dict[str, float]]:
        """A training's log, one entry an epoch; empty for a teacher that came as a checkpoint."""
        path = stage.folder / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []

    # How each stage is made.

    def _run(self, name: str, inputs: dict[str, Any], make: Any) -> Stage:
        common = {"edgestill": __version__, "data": self.data.describe(), "pixels": self.data.processor.to_json()}
        return self._stages.run(name, common | {"inputs": inputs}, lambda folder: self._make(folder, make))

    def _make(self, folder: Path, make: Any) -> None:
        make(folder)
        if processes().is_main_process:  # what a training goes on from is several times its result, and done with
            for state in folder.rglob(STATE):
                state.unlink()

    def _make_teacher(self, folder: Path) -> None:
        table, classes = self.recipe.teacher, len(self.data.classes)
        channels = self.data.processor.channels
        if table.checkpoint is not None:
            teacher = load_teacher(table.model, table.checkpoint, classes, channels, self.data)
        else:
            teacher = train(
                create_model(table.model, classes, channels, table.seed),
                self.data,
                CrossEntropy(),
                table.training,
                augmentation=augmentation_for(self.data.processor, table.augmentation),
                seed=table.seed,
                folder=folder,
                label="teacher",
                progress=self._progress,
            ).model
        self._save(folder, teacher, table.model)

    def _teacher_keys(self) -> list[str]:
        return [self.teacher.key, *(_digest(one.checkpoint) for one in self.recipe.teacher.team)]

    def _teachers(self) -> list[nn.Module]:
        classes, channels = len(self.data.classes), self.data.processor.channels
        team = self.recipe.teacher.team
        others = [load_teacher(one.model, one.checkpoint, classes, channels, self.data) for one in team]
        return [self._teacher_model(), *others]

    def _teacher_logits(self, folder: Path) -> None:
        views, augmentation = self.recipe.training.views, self.augmentation
        cache_teachers(self._teachers(), self.data, views, folder, augmentation=augmentation, progress=self._progress)

    def _student_inputs(self) -> dict[str, Any]:
        return {
            "model": self.recipe.student.model,
            "training": asdict(self.recipe.training),
            "augmentation": asdict(self.augmentation),
            "seed": self.recipe.seed,
        }

    def _make_alone(self, folder: Path) -> None:
        how = self._how(folder) | {"label": "student alone"}
        done = distill(None, self._new(self.recipe.student.model), self.data, **how)
        self._save(folder, done.student, self.recipe.student.model)

    def _make_distilled(self, folder: Path) -> None:
        table, name = self.recipe.distillation, self.recipe.student.model
        if table.method == "alone":
            self._copy(self.student_alone.folder, folder, "model.safetensors", "metrics.jsonl")
            return
        how = self._how(folder) | {"objective": self.recipe.objective()}
        if table.method == "together":
            peers = [self._new(peer, number) for number, peer in enumerate(table.peers, start=1)]
            done = distill_together([self._new(name), *peers], self.data, **how)
            for number, (peer, model) in enumerate(zip(table.peers, done.peers, strict=True), start=1):
                self._save(folder, model, peer, f"peer-{number}.safetensors")
        elif table.method == "generations":
            cache = folder / "teacher-outputs"
            done = distill_generations(
                lambda number: self._new(name, number), self.data, table.generations, cache=cache, **how
            )[-1]
            self._copy(folder / f"generation-{table.generations}", folder, "metrics.jsonl")
            if processes().is_main_process:
                shutil.rmtree(cache)
        else:
            teacher: Any = "self" if table.method == "self" else self._teachers()
            cached = self.teacher_outputs.folder if self.recipe.cached() else None
            student = self._new(name)
            done = distill(teacher, student, self.data, combine=table.combine, live=table.live, cache=cached, **how)
        self._save(folder, done.student, name)

    def _copy(self, source: Path, target: Path, *files: str) -> None:
        if processes().is_main_process:
            for file in files:
                shutil.copy(source / file, target)

    def _how(self, folder: Path) -> dict[str, Any]:
        return {
            "schedule": self.recipe.training,
            "augmentation": self.augmentation,
            "seed": self.recipe.seed,
            "folder": folder,
            "progress": self._progress,
        }

    def _new(self, name: str, number: int = 0) -> nn.Module:
        """A model with fresh weights; those of another `number` differ."""
        seed = self.recipe.seed + 1000 * number
        return create_model(name, len(self.data.classes), self.data.processor.channels, seed)

    def _teacher_model(self) -> nn.Module:
        classes, channels = len(self.data.classes), self.data.processor.channels
        checkpoint = self.teacher.folder / "model.safetensors"
        return load_teacher(self.recipe.teacher.model, checkpoint, classes, channels, self.data)

    def _student(self, stage: Stage) -> nn.Module:
        student = self._new(self.recipe.student.model)
        load_checkpoint(stage.folder / "model.safetensors", student)
        return student.eval()

    def _save(self, folder: Path, model: nn.Module, name: str, file: str = "model.safetensors") -> None:
        described = {
            "model": name,
            "classes": list(self.data.classes),
            "processor": self.data.processor.to_json(),
            "data": self.data.describe(),
            "seed": self.recipe.seed,
        }
        if processes().is_main_process:
            save_checkpoint(folder / file, model, described)


def _digest(path: Path) -> str:
    try:
        return sha256_of_file(path)
    except OSError as error:
        raise EdgestillError(f"teacher checkpoint {path} cannot be read: {error.strerror}") from error
