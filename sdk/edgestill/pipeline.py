"""`run`: the main job, from a recipe to two int8 files, their accuracy and their latency.

    teacher → teacher outputs → student alone, distilled → conversion → gate
        → evaluation → bundle → measurement → results

Each arrow is one function of this package that can be called alone; here they are stages that keep their results on
disk (`stages.py`). The test split is read by the evaluations alone, after everything has been chosen.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgestill_benchmarks import Rule, accuracy, agreement, machine, open_models, survey_bundle, usable_cores
from edgestill_converters.quiet import words_to
from edgestill_runtime import Bundle, open_bundle, replay_golden, why_failed, write_bundle
from edgestill_runtime.engines import INSTALL, installed_engines
from edgestill_runtime.files import atomic_file, write_bytes

from .conversion import describe_model
from .errors import EdgestillError
from .extras import require
from .gate import check_bundle
from .locks import exclusive
from .models import multiply_accumulates, parameters
from .prediction import default_device, predict
from .processes import processes
from .progress import SILENT, Progress
from .quantisation import Budget, quantise
from .recipe import Recipe
from .results import assemble, write_results
from .stages import Stage
from .training_stages import TrainingStages

Capture = Callable[[Path | None], AbstractContextManager[Path]]
# What a model file depends on beside the model: the packages that make it.
CONVERTERS = ("torch", "torchao", "executorch", "litert-torch", "ai-edge-litert", "ai-edge-quantizer")
STAGES = (
    "teacher",
    "student_alone",
    "student_distilled",
    "conversion",
    "gate",
    "evaluation",
    "measurement",
)


def _versions(packages: Sequence[str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def _require_engines() -> None:
    """Every file is run on this machine in the end."""
    for engine in sorted(INSTALL.keys() - installed_engines().keys()):
        raise EdgestillError(f"no engine for {engine} is installed. Install it with: {INSTALL[engine]}")


def _machine() -> dict[str, Any]:
    """What makes a measurement this machine's and no other's."""
    identity = getattr(machine, "measurement_identity", None)
    if identity is not None:
        return dict(identity())
    described = machine.describe_machine()
    return {name: described.get(name) for name in ("cpu", "features", "architecture", "cores", "python", "packages")}


def _agreement(bundle: Bundle, logits: Mapping[str, NDArray[np.float32]]) -> float | None:
    """Share of samples on which the files of both engines choose the same class; None for one engine."""
    names = list(bundle.manifest.deployable().values())
    return agreement(logits[names[0]], logits[names[1]]) if len(names) == 2 else None


@dataclass(frozen=True)
class Run:
    """A finished run: `results` is the content of `results.json`."""

    folder: Path
    bundle: Bundle
    results: dict[str, Any]


def run(
    recipe: Recipe,
    folder: str | Path | None = None,
    *,
    force: bool = False,
    progress: Progress = SILENT,
    capture: Capture = words_to,
) -> Run:
    """Carry out a recipe, reusing the stages that an earlier run finished.

    Args:
        folder: where everything goes; `runs/NAME` when None.
        force: do every stage again.
        capture: takes what engines write into a log. `words_to` touches nothing but this thread's words; a command that
            owns its process gives `edgestill_converters.quiet.logged_to`, which takes those of native code too.

    Raises:
        EdgestillError: bad data, models or files, or another run at work in the folder; what was finished before stays.
    """
    if processes().num_processes > 1:
        raise EdgestillError("several processes train together: use `edgestill distill`, then `edgestill run` in one")
    steps = Pipeline(recipe, Path(folder or Path("runs") / recipe.name), force, progress, capture=capture)
    with exclusive(steps.folder):
        steps.check(partial(require, "convert"), _require_engines, partial(require, "report"))
        for stage in STAGES:
            getattr(steps, stage)
        results = write_results(steps.folder, assemble(steps))
        return Run(steps.folder, steps.bundle, results)


class Pipeline(TrainingStages):
    """All stages of one recipe: those that train, and what is made of the student.

    Args:
        capture: as of `run`; the others as of `TrainingStages`.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        force: bool = False,
        progress: Progress = SILENT,
        pool: Path | None = None,
        look: bool = False,
        capture: Capture = words_to,
    ) -> None:
        super().__init__(recipe, folder, force, progress, pool, look)
        self._capture = capture

    @cached_property
    def conversion(self) -> Stage:
        """`student.edge`: the four files, not yet measured; the log."""
        inputs = {
            "student": self.student_distilled.key,
            "conversion": self.recipe.conversion.model_dump(),
            "calibration": self.recipe.data.calibration,
            "packages": _versions(CONVERTERS),
        }
        if self.recipe.conversion.learn_from == "teacher":
            inputs["teacher"] = self.teacher.key
        return self._run("conversion", inputs, self._make_conversion)

    @cached_property
    def gate(self) -> Stage:
        """`gate.json`: what the files do on validation data, in the engines of this machine; the log."""
        inputs = {"conversion": self.conversion.key, "engines": installed_engines(), "machine": _machine()}
        return self._run("gate", inputs, self._make_gate)

    @cached_property
    def teacher_evaluation(self) -> Stage:
        """`logits.npy`: what the teacher says of the test split; apart, because the trials of a sweep share it."""
        return self._run("teacher-evaluation", {"teacher": self.teacher.key}, self._make_teacher_evaluation)

    @cached_property
    def evaluation(self) -> Stage:
        """`logits.npz`: what teacher, students and every file say of the test split."""
        stages = {"teacher": self.teacher, "alone": self.student_alone, "conversion": self.conversion}
        inputs = {name: stage.key for name, stage in stages.items()} | {"engines": installed_engines()}
        return self._run("evaluation", inputs, self._make_evaluation)

    @cached_property
    def measurement(self) -> Stage:
        """`measurement.json`: every file at each number of threads, cold start, memory; see `survey_bundle`."""
        inputs = {
            "conversion": self.conversion.key,
            "measure": self.recipe.measure.model_dump(),
            "engines": installed_engines(),
            "machine": _machine(),
        }
        return self._run("measurement", inputs, self._make_measurement)

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
            name=self.recipe.name,  # the conversion may be that of a run under another name
            models=models,
            accuracy={name: accuracy(logits[name], labels) for name in names},
            agreement=_agreement(made, logits),
        )
        contents = {name: made.read(name) for name in made.files}
        bundle = write_bundle(self.folder / f"{self.recipe.name}.edge", manifest, contents, overwrite=True)
        with self._capture(self.folder / "stages" / "verification.log"):
            failure = why_failed(replay_golden(bundle))
        if failure:
            raise EdgestillError(
                f"{bundle.path}: the golden samples are not answered as recorded: {failure}; use --force"
            )
        return bundle

    def bundle_files(self) -> dict[str, str]:
        """Engine → the converted file that is meant for a device."""
        return self._converted().manifest.deployable()

    def size(self, name: str) -> dict[str, int]:
        """Parameters and MACs of the `teacher` or the `student`."""
        model = self._teacher_model() if name == "teacher" else self._new(self.recipe.student.model)
        height, width, channels = self.data.processor.image_shape
        return {"parameters": parameters(model), "macs": multiply_accumulates(model, (channels, height, width))}

    # How each stage is made.

    def _make_conversion(self, folder: Path) -> None:
        student = self._student(self.student_distilled)
        table = self.recipe.conversion
        # Without a teacher who taught, the one in the recipe is not what this depends on.
        taught = self.recipe.distillation.method == "teacher" or table.learn_from == "teacher"
        facts = {
            **({"teacher": self.recipe.teacher.model} if taught else {}),
            "student": self.recipe.student.model,
            "distillation": self.recipe.distillation.model_dump(),
            "training": asdict(self.recipe.training),
            "augmentation": asdict(self.augmentation),
            "seed": self.recipe.seed,
        }
        budget = Budget(table.quantize, table.precision, table.max_drop / 100, table.qat)
        calibration = self.data.calibration(self.recipe.data.calibration)
        with self._capture(folder / "conversion.log"):
            quantise(
                student,
                self.data,
                describe_model(student, self.recipe.name, calibration, facts),
                folder / "student.edge",
                budget,
                samples=self.recipe.data.calibration,
                teacher=self._teacher_model() if table.learn_from == "teacher" else None,
                augmentation=self.augmentation,
                seed=self.recipe.seed,
                overwrite=True,
                log=folder / "conversion.log",
                progress=self._progress,
            )

    def _make_gate(self, folder: Path) -> None:
        table = self.recipe.conversion
        with self._capture(folder / "gate.log"):
            gate = check_bundle(
                self._converted(), self.data.validation, max_drop=table.max_drop / 100,
                min_agreement=table.min_agreement / 100,
            )  # fmt: skip
        write_bytes(folder / "gate.json", (json.dumps(gate.to_json(), indent=2) + "\n").encode())

    def _make_teacher_evaluation(self, folder: Path) -> None:
        np.save(folder / "logits.npy", predict(self._teacher_model(), self.data.test, self.data, default_device()))

    def _make_evaluation(self, folder: Path) -> None:
        data = self.data
        logits = {"teacher": np.load(self.teacher_evaluation.folder / "logits.npy")}
        models = {
            "student_alone": self._student(self.student_alone),
            "student_distilled": self._student(self.student_distilled),
        }
        bundle = self._converted()
        total = len(models) + len(bundle.manifest.models)
        with self._progress.task("evaluate on test", total) as task, self._capture(folder / "evaluation.log"):
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

    def _make_measurement(self, folder: Path) -> None:
        table = self.recipe.measure
        threads = [usable_cores() if number == "all" else number for number in table.threads]
        rule = Rule(min_calls=table.min_calls, min_seconds=table.min_seconds)
        with self._progress.task("measure", 0) as task:
            measured = survey_bundle(
                self._converted(), threads, rule, on_progress=lambda doing, share: task.advance(1, doing=doing)
            )
        write_bytes(folder / "measurement.json", (json.dumps(measured, indent=2) + "\n").encode())

    def _converted(self) -> Bundle:
        return open_bundle(self.conversion.folder / "student.edge")
