"""The stages of a recipe that train: from the data to a student. No exporter is imported here.

    teacher → teacher outputs → student alone, student distilled

`pipeline.py` goes on from here.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgestill_runtime.errors import reason
from edgestill_runtime.files import sha256_of_file, write_bytes

from . import __version__
from .data import Augmentation, Data, augmentation_for, load_data
from .data.augmentation import check_augmentation
from .distillation import cache_teachers, distill, distill_generations, distill_together
from .errors import EdgestillError
from .models import create_model, load_checkpoint, read_metadata, save_checkpoint
from .models.registry import code_of
from .objectives import CrossEntropy
from .objectives.layers import check_layers
from .processes import processes
from .progress import SILENT, Progress
from .recipe import Recipe, TeacherTable, TeamMember
from .recipe_check import check_checkpoint, check_recipe
from .stages import Stage, Stages
from .teacher_check import refuse_guessing
from .teacher_inputs import processor_of
from .teachers import check_classes, load_teacher
from .training import train
from .training_state import STATE


class TrainingStages:
    """Asking for a stage makes those before it; each is made or found once.

    Args:
        pool: a folder of stages that several runs share; the run's own, `folder/stages`, when None.
        look: make none; a stage that is not there raises `NotMadeError`.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        force: bool = False,
        progress: Progress = SILENT,
        pool: Path | None = None,
        look: bool = False,
    ) -> None:
        self.recipe = recipe
        self.folder = folder
        self._progress = progress
        self._stages = Stages(pool or folder / "stages", progress, force, pooled=pool is not None, look=look)

    @cached_property
    def data(self) -> Data:
        """The data, cut; read from its source every time and never copied."""
        return load_data(**self.recipe.data.arguments(), check=self._fits, progress=self._progress)

    def _fits(self, classes: Sequence[str], kind: str) -> None:
        """What can be said of the recipe before a photo or a recording is decoded."""
        for names in (self.recipe.augmentation, self.recipe.teacher.augmentation):
            check_augmentation(Augmentation.parse(names or ()), kind)
        for table in self.given_teachers():
            check_checkpoint(table.model, _given_file(table), table.weights, len(classes))

    @cached_property
    def augmentation(self) -> Augmentation:
        """What the student sees: the recipe's, or the default of its data."""
        return augmentation_for(self.data.processor, self.recipe.augmentation)

    @cached_property
    def teacher(self) -> Stage:
        """`model.safetensors`: the given checkpoint, or a teacher trained here."""
        table = self.recipe.teacher
        given = None if table.checkpoint is None else _identity_of_teacher(table)
        trained = {"training": asdict(table.training), "augmentation": table.augmentation, "seed": table.seed}
        inputs = {"model": table.model, "code": code_of(table.model), **(given or trained)}
        return self._run("teacher", inputs, self._make_teacher)

    @cached_property
    def teacher_check(self) -> Stage:
        """`check.json`: what each given teacher gets right on validation data; one that guesses is refused."""
        inputs = {"teachers": [_identity_of_teacher(one) for one in self.given_teachers()]}
        return self._run("teacher-check", inputs, self._make_teacher_check)

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

    def check(self, *more: Callable[[], None]) -> None:
        """Refuse what cannot work before anything takes time: first what needs no data, all of it at once.

        Args:
            more: as of `check_recipe`.

        Raises:
            EdgestillError: a line for each thing that is wrong.
        """
        check_recipe(self.recipe, *more)
        objective = self.recipe.objective()
        pairs = objective.layers if objective else ()
        student = self._new(self.recipe.student.model)
        check_classes(student, self.data, "student")
        check_layers(student, [ours for ours, _ in pairs], "student")
        check_layers(self._new(self.recipe.teaching_model()), [theirs for _, theirs in pairs], "teacher")
        if self.recipe.teacher.checkpoint is None:
            check_classes(self._new(self.recipe.teacher.model), self.data, "teacher")
        if self.given_teachers() and self.recipe.teacher.check:
            _ = self.teacher_check

    def given_teachers(self) -> list[TeacherTable | TeamMember]:
        """Those that come as checkpoints and take part."""
        table = self.recipe.teacher
        first: list[TeacherTable | TeamMember] = [] if table.checkpoint is None else [table]
        return first + (list(table.team) if self.recipe.distillation.method == "teacher" else [])

    def trained_as(self, stage: Stage) -> dict[str, Any]:
        """What was true of a training: `seed`, and the GPU's name as `cuda`; None where nobody noted it."""
        noted = read_metadata(stage.folder / "model.safetensors").get("trained", {})
        return {"seed": noted.get("seed"), "cuda": noted.get("cuda")}

    def history(self, stage: Stage) -> list[dict[str, float]]:
        """A training's log, one entry an epoch; empty for a teacher that came as a checkpoint."""
        path = stage.folder / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []

    # How each stage is made.

    def _run(self, name: str, inputs: dict[str, Any], make: Any) -> Stage:
        common = {"edgestill": __version__, "data": self.data.learnt_from(), "pixels": self.data.processor.to_json()}
        return self._stages.run(name, common | {"inputs": inputs}, lambda folder: self._make(folder, make))

    def _make(self, folder: Path, make: Any) -> None:
        make(folder)
        if processes().is_main_process:  # what a training goes on from is several times its result, and done with
            for state in folder.rglob(STATE):
                state.unlink()

    def _make_teacher_check(self, folder: Path) -> None:
        found = {}
        for table in self.given_teachers():
            teacher = self._given(table)
            check_classes(teacher, self.data, "teacher")
            judged = refuse_guessing(teacher, self.data, who=f"teacher {table.model}", progress=self._progress)
            found[str(table.checkpoint)] = judged and asdict(judged)
        if processes().is_main_process:
            write_bytes(folder / "check.json", (json.dumps(found, indent=1) + "\n").encode())

    def _make_teacher(self, folder: Path) -> None:
        table = self.recipe.teacher
        if table.checkpoint is not None:
            noted = read_metadata(table.checkpoint).get("trained", {})  # elsewhere, by somebody who may not say how
            self._save(folder, self._given(table), table.model, trained=noted)
            return
        teacher = train(
            create_model(table.model, len(self.data.classes), self.data.processor.channels, table.seed),
            self.data,
            CrossEntropy(),
            table.training,
            augmentation=augmentation_for(self.data.processor, table.augmentation),
            seed=table.seed,
            folder=folder,
            label="teacher",
            progress=self._progress,
        ).model
        if table.check and not self.recipe.quick:
            refuse_guessing(teacher, self.data, progress=self._progress)
        self._save(folder, teacher, table.model, trained=_training_facts(table.seed))

    def _teacher_keys(self) -> list[Any]:
        return [self.teacher.key, *(_identity_of_teacher(one) for one in self.recipe.teacher.team)]

    def _given(self, table: TeacherTable | TeamMember) -> nn.Module:
        """A teacher that comes as a checkpoint."""
        return load_teacher(
            table.model, table.checkpoint, len(self.data.classes), self.data.processor.channels, self.data,
            mean=table.mean, std=table.std, image_size=table.image_size, weights=table.weights,
            progress=self._progress,
        )  # fmt: skip

    def _teachers(self) -> list[nn.Module]:
        return [self._teacher_model(), *map(self._given, self.recipe.teacher.team)]

    def _teacher_logits(self, folder: Path) -> None:
        views, augmentation = self.recipe.training.views, self.augmentation
        cache_teachers(self._teachers(), self.data, views, folder, augmentation=augmentation, progress=self._progress)

    def _student_inputs(self) -> dict[str, Any]:
        return {
            "model": self.recipe.student.model,
            "code": code_of(self.recipe.student.model),
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
            done = distill(
                teacher, student, self.data, combine=table.combine, live=table.live, cache=cached,
                check_teacher=False,  # each was looked at before this, or when it was trained
                **how,
            )  # fmt: skip
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

    def _save(
        self,
        folder: Path,
        model: nn.Module,
        name: str,
        file: str = "model.safetensors",
        trained: dict[str, Any] | None = None,
    ) -> None:
        trained = _training_facts(self.recipe.seed) if trained is None else trained
        described = {
            "model": name,
            "classes": list(self.data.classes),
            "processor": (processor_of(model) or self.data.processor).to_json(),
            "data": self.data.describe(),
            "recipe": self.recipe.model_dump(mode="json"),
            "seed": trained.get("seed"),
            "trained": trained,
        }
        if processes().is_main_process:
            save_checkpoint(folder / file, model, described)


def _identity_of_teacher(table: TeacherTable | TeamMember) -> dict[str, Any]:
    """All that a given teacher depends on."""
    file = _given_file(table)
    try:
        digest = sha256_of_file(file)
    except OSError as error:
        raise EdgestillError(f"teacher checkpoint {file} cannot be read: {reason(error)}") from error
    settings = {"weights": table.weights, "mean": table.mean, "std": table.std, "image_size": table.image_size}
    return {"checkpoint": digest, "model": table.model, "code": code_of(table.model), **settings}


def _given_file(table: TeacherTable | TeamMember) -> Path:
    assert table.checkpoint is not None
    return table.checkpoint


def _training_facts(seed: int) -> dict[str, Any]:
    """What results will say of a training that is done here and now."""
    cuda = processes().device.type == "cuda"
    return {"seed": seed, "cuda": torch.cuda.get_device_name() if cuda else None}
