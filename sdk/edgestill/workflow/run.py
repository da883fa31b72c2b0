"""`run`: the main job, from a recipe to two int8 files, their quality and their latency.

    teacher → teacher outputs → baseline student, distilled student → conversion → gate
        → evaluation → bundle → measurement → results

Each arrow is one public function of this package; here they are stages that keep their results on
disk. The test split is read by the evaluations only, after all choices are made. `train_students` stops before
the conversion.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from edgestill_converters.backends import backends_of
from edgestill_converters.output_capture import capture_thread_output
from edgestill_runtime import Bundle

from ..data import Data
from ..errors import EdgestillError
from ..extras import require
from ..locks import exclusive
from ..models import multiply_accumulates, parameters
from ..processes import processes
from ..progress import SILENT, Progress
from ..recipe import Recipe
from .binding import Made, teacher_model
from .bundle import write_finished_bundle
from .checkpoints import load_any_teacher, new_model, read_history, read_training_facts
from .conversion import converted_bundle
from .evaluation import read_test_outputs
from .graph import ends_of_run, ends_of_training, make
from .inputs import named_model
from .plan import Plan, prepare
from .results import ModelOutputs, RunOutputs, assemble, write_results
from .stage import Capture, Context, Finished, Note
from .store import Store


@dataclass(frozen=True)
class Run:
    """A finished run: `results` is the content of `results.json`."""

    folder: Path
    bundle: Bundle
    results: dict[str, Any]


def run(
    recipe: Recipe,
    folder: str | PathLike[str] | None = None,
    *,
    force: bool = False,
    progress: Progress = SILENT,
    capture: Capture = capture_thread_output,
) -> Run:
    """Carry out a recipe, reusing the stages that an earlier run finished.

    Args:
        folder: for all files; `runs/NAME` when None.
        force: repeat all stages.
        capture: writes what engines print into a log. `capture_thread_output` captures the output of this thread only;
            a command that owns its process passes `edgestill_converters.output_capture.capture_output`, which also
            captures that of native code.

    Raises:
        EdgestillError: bad data, models or files, or another run at work in the folder; what was finished before stays.
    """
    if processes().num_processes > 1:
        raise EdgestillError("several processes train together: use `edgestill distill`, then `edgestill run` in one")
    folder = Path(folder or Path("runs") / recipe.name)
    with exclusive(folder):
        plan = prepare(
            recipe, partial(require, "convert"), partial(_require_engines, recipe.conversion.targets),
            partial(require, "report"), progress=progress,
        )  # fmt: skip
        context = context_of(plan, progress, capture)
        made = make(plan, Store(folder / "stages", force), context, ends_of_run(recipe))
        bundle = finish_bundle(plan, made, folder, capture)
        results = write_results(folder, assemble(outputs_of(plan, made, folder, bundle)))
        return Run(folder, bundle, results)


def train_students(
    recipe: Recipe, folder: str | PathLike[str] | None = None, *, force: bool = False, progress: Progress = SILENT
) -> dict[str, Finished]:
    """Carry out the training half of a recipe; `run` continues from here. Several processes may train together.

    Returns:
        The stages `student_alone` and `student_distilled`.

    Raises:
        EdgestillError: as of `run`.
    """
    folder = Path(folder or Path("runs") / recipe.name)
    with exclusive(folder):
        plan = prepare(recipe, progress=progress)
        context = context_of(plan, progress)
        made = make(plan, Store(folder / "stages", force), context, ends_of_training(recipe))
    return {"student_alone": made["student-alone"], "student_distilled": made["student-distilled"]}


def context_of(plan: Plan, progress: Progress = SILENT, capture: Capture = capture_thread_output) -> Context:
    """The context of the stages of a plan; checkpoints record its recipe and its data."""
    note = Note({"recipe": plan.recipe.model_dump(mode="json"), "data": plan.data.describe()})
    return Context(progress, capture, note)


def finish_bundle(plan: Plan, made: Made, folder: Path, capture: Capture = capture_thread_output) -> Bundle:
    """`NAME.edge` in the folder of the run.

    Raises:
        EdgestillError: its golden samples do not reproduce the recorded outputs.
    """
    return write_finished_bundle(
        folder / f"{plan.recipe.name}.edge", converted_bundle(made["conversion"]),
        read_test_outputs(made["evaluation"]), plan.data.test.targets, plan.data.device_task,
        folder / "stages" / "verification.log", capture,
    )  # fmt: skip


def outputs_of(plan: Plan, made: Made, folder: Path, bundle: Bundle) -> RunOutputs:
    """The inputs for the results of a run."""
    stages = {
        "teacher": made["teacher"],
        "student_alone": made["student-alone"],
        "student_distilled": made["student-distilled"],
    }
    student = plan.recipe.student.model
    names = {"teacher": plan.recipe.teacher.model, "student_alone": student, "student_distilled": student}
    sizes = {"teacher": _size_of_teacher(plan, made), "student_alone": size_of_student(plan.recipe, plan.data)}
    sizes["student_distilled"] = sizes["student_alone"]
    return RunOutputs(
        folder=folder,
        recipe=json.loads(plan.recipe.model_dump_json()),
        quick=plan.recipe.quick,
        data=plan.data,
        models={
            name: ModelOutputs(names[name], sizes[name], read_training_facts(stage), read_history(stage))
            for name, stage in stages.items()
        },
        outputs=read_test_outputs(made["evaluation"]),
        bundle=bundle,
        gate=_read_json(made["gate"].folder / "gate.json"),
        measurement=_read_json(made["measurement"].folder / "measurement.json"),
    )


def size_of_student(recipe: Recipe, data: Data) -> dict[str, int]:
    """Parameters and MACs."""
    return _size(new_model(named_model(recipe.student.model), data, recipe.seed), data)


def _size_of_teacher(plan: Plan, made: Made) -> dict[str, int]:
    return _size(load_any_teacher(teacher_model(plan.recipe, made), plan.data, SILENT), plan.data)


def _size(model: Any, data: Data) -> dict[str, int]:
    height, width, channels = data.processor.image_shape
    return {"parameters": parameters(model), "macs": multiply_accumulates(model, (channels, height, width))}


def _read_json(path: Path) -> Mapping[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def _require_engines(targets: Sequence[str]) -> None:
    """All files are evaluated on this machine, so their engines must be installed."""
    for one in backends_of(targets):
        if why := one.why_not_run():
            raise EdgestillError(why)
