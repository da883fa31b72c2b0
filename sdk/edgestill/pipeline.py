"""`run`: the main job, from a recipe to two int8 files, their accuracy and their latency.

    teacher → teacher outputs → student alone, student distilled → conversion → evaluation → bundle → latency → results

Each arrow is one function of this package that can be called alone; here they are stages that keep their results on
disk (`stages.py`). The test split is read by one stage alone, `evaluation`, after everything has been chosen.
"""

import json
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from edgestill_benchmarks import accuracy, agreement, open_models, usable_cores
from edgestill_converters.quiet import logged_to
from edgestill_runtime import Bundle, open_bundle, replay_golden, write_bundle
from edgestill_runtime.files import atomic_file, sha256_of_file, write_bytes

from . import __version__
from .conversion import describe_model
from .data import Augmentation, Data, load_data
from .distillation import cache_teachers, distill, distill_generations, distill_together
from .errors import EdgestillError
from .gate import check_bundle
from .models import create_model, load_checkpoint, multiply_accumulates, parameters, save_checkpoint
from .objectives import CrossEntropy
from .objectives.layers import check_layers
from .processes import processes
from .progress import SILENT, Progress
from .quantisation import Budget, quantise
from .recipe import Recipe
from .results import assemble, write_results
from .stages import Stage, Stages
from .teachers import check_classes, load_teacher
from .training import default_device, predict, train

STAGES = (
    "teacher",
    "teacher_outputs",
    "student_alone",
    "student_distilled",
    "conversion",
    "evaluation",
    "latency",
)


@dataclass(frozen=True)
class Run:
    """A finished run: `results` is the content of `results.json`."""

    folder: Path
    bundle: Bundle
    results: dict[str, Any]


def run(recipe: Recipe, folder: str | Path | None = None, *, force: bool = False, progress: Progress = SILENT) -> Run:
    """Carry out a recipe, reusing the stages that an earlier run finished.

    Args:
        folder: where everything goes; `runs/NAME` when None.
        force: do every stage again.

    Raises:
        EdgestillError: bad data, models or files; what was finished before stays.
    """
    if processes().num_processes > 1:
        raise EdgestillError("several processes train together: use `edgestill distill`, then `edgestill run` in one")
    steps = Pipeline(recipe, Path(folder or Path("runs") / recipe.name), force, progress)
    steps.check()
    for stage in STAGES:
        getattr(steps, stage)
    results = write_results(steps.folder, assemble(steps))
    return Run(steps.folder, steps.bundle, results)


class Pipeline:
    """The stages of one recipe. Asking for one makes those before it; each is made or found once."""

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
        self._augmentation = Augmentation.parse(recipe.augmentation)

    @cached_property
    def data(self) -> Data:
        """The data, cut; read from its source every time and never copied."""
        table = self.recipe.data
        return load_data(
            table.source,
            validation=table.validation,
            calibration=table.calibration,
            seed=table.seed,
            image_size=table.image_size,
            mean=table.mean,
            std=table.std,
            labelled=table.labelled,
            unlabelled=table.unlabelled,
            progress=self._progress,
        )

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
            "augmentation": asdict(self._augmentation),
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

    @cached_property
    def conversion(self) -> Stage:
        """`student.edge`: the four files, not yet measured; `gate.json`: what they do on validation data; the logs."""
        inputs = {"student": self.student_distilled.key, "conversion": self.recipe.conversion.model_dump()}
        if self.recipe.conversion.learn_from == "teacher":
            inputs["teacher"] = self.teacher.key
        return self._run("conversion", inputs, self._make_conversion)

    @cached_property
    def evaluation(self) -> Stage:
        """`logits.npz`: what teacher, students and every file say of the test split."""
        inputs = {"alone": self.student_alone.key, "conversion": self.conversion.key}
        return self._run("evaluation", inputs, self._make_evaluation)

    @cached_property
    def latency(self) -> Stage:
        """`threads-N.json` for each number of threads and `memory.json`, each measured in a process of its own."""
        inputs = {"conversion": self.conversion.key, "measure": self.recipe.measure.model_dump()}
        return self._run("latency", inputs, self._make_latency)

    @cached_property
    def test_logits(self) -> dict[str, NDArray[np.float32]]:
        """Logits of the test split by `teacher`, `student_alone`, `student_distilled` and the files' names."""
        with np.load(self.evaluation.folder / "logits.npz") as arrays:
            return {name: arrays[name] for name in arrays.files}

    @cached_property
    def bundle(self) -> Bundle:
        """The finished bundle with all accuracies in its manifest, verified and replayed."""
        made, logits, labels = self._converted(), self.test_logits, self.data.test.labels
        models = {
            name: replace(entry, accuracy=accuracy(logits[name], labels))
            for name, entry in made.manifest.models.items()
        }
        names = ("teacher", "student_alone", "student_distilled")
        manifest = replace(
            made.manifest,
            models=models,
            accuracy={name: accuracy(logits[name], labels) for name in names},
            agreement=agreement(logits["model.pte"], logits["model.tflite"]),
        )
        contents = {name: made.read(name) for name in made.files}
        bundle = write_bundle(self.folder / f"{self.recipe.name}.edge", manifest, contents, overwrite=True)
        with logged_to(self.folder / "stages" / "verification.log"):
            failed = [replay.file for replay in replay_golden(bundle) if not (replay.passed or replay.skipped)]
        if failed:
            raise EdgestillError(
                f"{bundle.path}: {', '.join(failed)} answers the golden samples differently; use --force"
            )
        return bundle

    def check(self) -> None:
        """Refuse models and layers that do not exist or do not fit the data, before anything takes time."""
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

    def size(self, name: str) -> dict[str, int]:
        """Parameters and MACs of the `teacher` or the `student`."""
        model = self._teacher_model() if name == "teacher" else self._new(self.recipe.student.model)
        height, width, channels = self.data.preprocessing.image_shape
        return {"parameters": parameters(model), "macs": multiply_accumulates(model, (channels, height, width))}

    # How each stage is made.

    def _run(self, name: str, inputs: dict[str, Any], make: Any) -> Stage:
        common = {"edgestill": __version__, "data": self.data.describe(), "pixels": self.data.preprocessing.to_json()}
        return self._stages.run(name, common | {"inputs": inputs}, make)

    def _make_teacher(self, folder: Path) -> None:
        table, classes = self.recipe.teacher, len(self.data.classes)
        channels = self.data.preprocessing.channels
        if table.checkpoint is not None:
            teacher = load_teacher(table.model, table.checkpoint, classes, channels, self.data)
        else:
            teacher = train(
                create_model(table.model, classes, channels, table.seed),
                self.data,
                CrossEntropy(),
                table.training,
                augmentation=Augmentation.parse(table.augmentation),
                seed=table.seed,
                folder=folder,
                label="teacher",
                progress=self._progress,
            ).model
        self._save(folder, teacher, table.model)

    def _teacher_keys(self) -> list[str]:
        return [self.teacher.key, *(_digest(one.checkpoint) for one in self.recipe.teacher.team)]

    def _teachers(self) -> list[nn.Module]:
        classes, channels = len(self.data.classes), self.data.preprocessing.channels
        team = self.recipe.teacher.team
        others = [load_teacher(one.model, one.checkpoint, classes, channels, self.data) for one in team]
        return [self._teacher_model(), *others]

    def _teacher_logits(self, folder: Path) -> None:
        views, augmentation = self.recipe.training.views, self._augmentation
        cache_teachers(self._teachers(), self.data, views, folder, augmentation=augmentation, progress=self._progress)

    def _student_inputs(self) -> dict[str, Any]:
        return {
            "model": self.recipe.student.model,
            "training": asdict(self.recipe.training),
            "augmentation": asdict(self._augmentation),
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
            "augmentation": self._augmentation,
            "seed": self.recipe.seed,
            "folder": folder,
            "progress": self._progress,
        }

    def _make_conversion(self, folder: Path) -> None:
        student = self._student(self.student_distilled)
        facts = {
            "teacher": self.recipe.teacher.model,
            "student": self.recipe.student.model,
            "distillation": self.recipe.distillation.model_dump(),
            "training": asdict(self.recipe.training),
            "augmentation": list(self.recipe.augmentation),
            "seed": self.recipe.seed,
        }
        table = self.recipe.conversion
        budget = Budget(table.quantize, table.precision, table.max_drop / 100, table.qat)
        calibration = self.data.calibration(self.recipe.data.calibration)
        bundle = quantise(
            student,
            self.data,
            describe_model(student, self.recipe.name, calibration, facts),
            folder / "student.edge",
            budget,
            samples=self.recipe.data.calibration,
            teacher=self._teacher_model() if table.learn_from == "teacher" else None,
            augmentation=self._augmentation,
            seed=self.recipe.seed,
            overwrite=True,
            log=folder / "conversion.log",
            progress=self._progress,
        )
        with logged_to(folder / "gate.log"):
            gate = check_bundle(
                bundle, self.data.validation, max_drop=budget.max_drop, min_agreement=table.min_agreement / 100
            )
        write_bytes(folder / "gate.json", (json.dumps(gate.to_json(), indent=2) + "\n").encode())

    def _make_evaluation(self, folder: Path) -> None:
        data = self.data
        models = {
            "teacher": self._teacher_model(),
            "student_alone": self._student(self.student_alone),
            "student_distilled": self._student(self.student_distilled),
        }
        bundle = self._converted()
        total = len(models) + len(bundle.manifest.models)
        logits = {}
        with self._progress.task("evaluate on test", total) as task, logged_to(folder / "evaluation.log"):
            for name, model in models.items():
                logits[name] = predict(model, data.test, data, default_device())
                task.advance(1, accuracy=accuracy(logits[name], data.test.labels))
            opened = open_models(bundle)
            for name, loaded in opened.items():
                with loaded:
                    logits[name] = loaded.logits(data.test.images)
                task.advance(1, accuracy=accuracy(logits[name], data.test.labels))
        if missing := bundle.manifest.models.keys() - opened.keys():
            raise EdgestillError(f"no engine is installed for {', '.join(sorted(missing))}; see `edgestill doctor`")
        arrays: dict[str, Any] = dict(logits)
        with atomic_file(folder / "logits.npz") as part, open(part, "wb") as file:
            np.savez(file, **arrays)

    def _make_latency(self, folder: Path) -> None:
        table, bundle = self.recipe.measure, self._converted()
        wanted = sorted({usable_cores() if number == "all" else number for number in table.threads})
        limits = ("--min-calls", table.min_calls, "--min-seconds", table.min_seconds)
        jobs: list[tuple[str, tuple[Any, ...]]] = [
            (f"threads-{number}", ("measure", bundle.path, "--threads", number, *limits)) for number in wanted
        ]
        jobs += [(f"memory-{name}", ("memory", bundle.path, "--file", name)) for name in bundle.manifest.models]
        with self._progress.task("measure", len(jobs)) as task:
            for name, arguments in jobs:
                _measure_in_child(folder / f"{name}.json", arguments, folder / "measurement.log")
                task.advance(1)

    def _converted(self) -> Bundle:
        return open_bundle(self.conversion.folder / "student.edge")

    def _new(self, name: str, number: int = 0) -> nn.Module:
        """A model with fresh weights; those of another `number` differ."""
        seed = self.recipe.seed + 1000 * number
        return create_model(name, len(self.data.classes), self.data.preprocessing.channels, seed)

    def _teacher_model(self) -> nn.Module:
        classes, channels = len(self.data.classes), self.data.preprocessing.channels
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
            "preprocessing": self.data.preprocessing.to_json(),
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


def _measure_in_child(output: Path, arguments: tuple[Any, ...], log: Path) -> None:
    """One measurement in a fresh process, as a device would make it: numpy, the engine, and nothing else."""
    command = [
        sys.executable,
        "-m",
        "edgestill_benchmarks",
        *(str(word) for word in arguments),
        "--output",
        str(output),
    ]
    with open(log, "ab") as file:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=False)
    if done.returncode != 0:
        lines = log.read_text(errors="replace").strip().splitlines()
        raise EdgestillError(f"measuring failed ({lines[-1] if lines else 'no output'}); see {log}")
