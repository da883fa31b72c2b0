"""Selects the inputs of each stage from a recipe: one function for each node of the graph (`graph.py`).

These are the only functions that know both a recipe and a stage's inputs. Facts of this machine that a result depends
on, such as versions of engines, are looked up here and handed over like any other input.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from typing import Any, Literal

from edgestill_benchmarks import machine, usable_cores
from edgestill_converters.backends import backends_of
from edgestill_runtime.engines import installed_engines

from ..data import augmentation_for
from ..recipe import Recipe
from . import conversion, evaluation, student, teacher
from .inputs import AnyTeacher, TrainedModel, named_model, named_objective
from .plan import Plan, given_teacher, given_teachers
from .stage import Finished, Stage

Name = Literal[
    "teacher", "teacher-check", "trained-teacher-check", "teacher-outputs", "student-alone", "student-distilled",
    "conversion", "gate", "teacher-evaluation", "evaluation", "measurement",
]  # fmt: skip
Made = Mapping[Name, Finished]
Bound = tuple[Stage[Any], Any]
"""A stage with its inputs."""
# What every model file depends on beside the model; each backend has packages of its own.
CONVERTERS = ("torch", "torchao")


def teacher_model(recipe: Recipe, made: Made) -> TrainedModel:
    """The first teacher."""
    return TrainedModel(named_model(recipe.teacher.model), made["teacher"])


def student_model(recipe: Recipe, stage: Finished) -> TrainedModel:
    """A student, baseline or distilled."""
    return TrainedModel(named_model(recipe.student.model), stage, recipe.seed)


def bind_teacher(plan: Plan, made: Made) -> Bound:
    """Read from its file, or trained."""
    table = plan.recipe.teacher
    if table.checkpoint is not None:
        return teacher.read_teacher, teacher.GivenTeacherInputs(given_teacher(table), plan.learning)
    augmentation = augmentation_for(plan.data.processor, table.augmentation)
    return teacher.train_teacher, teacher.TeacherTrainingInputs(
        named_model(table.model), plan.learning, table.training, augmentation, table.seed
    )


def bind_given_check(plan: Plan, made: Made) -> Bound:
    """All that come as checkpoints."""
    inputs = teacher.GivenTeachersCheckInputs(given_teachers(plan.recipe), plan.learning)
    return teacher.check_given_teachers, inputs


def bind_trained_check(plan: Plan, made: Made) -> Bound:
    """The one that was trained here."""
    inputs = teacher.TrainedTeacherCheckInputs(teacher_model(plan.recipe, made), plan.learning)
    return teacher.check_trained_teacher, inputs


def bind_teacher_outputs(plan: Plan, made: Made) -> Bound:
    """All teachers, for the student's views."""
    views = plan.recipe.training.views
    inputs = teacher.TeacherOutputsInputs(_teachers(plan.recipe, made), plan.learning, views, plan.augmentation)
    return teacher.compute_teacher_outputs, inputs


def bind_teacher_evaluation(plan: Plan, made: Made) -> Bound:
    """Only the first teacher."""
    inputs = teacher.TeacherEvaluationInputs(teacher_model(plan.recipe, made), plan.learning)
    return teacher.evaluate_teacher, inputs


def bind_baseline(plan: Plan, made: Made) -> Bound:
    """What every student learns from."""
    return student.train_baseline, _student_inputs(plan)


def bind_distilled(plan: Plan, made: Made) -> Bound:
    """The stage of the recipe's method."""
    table, own = plan.recipe.distillation, _student_inputs(plan)
    match table.method:
        case "alone":
            return student.copy_baseline, student.BaselineInputs(made["student-alone"])
        case "self":
            return student.distill_from_itself, student.SelfTaughtInputs(own, named_objective(table.objective))
        case "generations":
            inputs = student.GenerationsInputs(own, named_objective(table.objective), table.generations)
            return student.distill_born_again, inputs
        case "together":
            peers = tuple(map(named_model, table.peers))
            return student.distill_mutually, student.MutualInputs(own, named_objective(table.objective), peers)
        case "teacher":
            return student.distill_from_teachers, student.TaughtInputs(
                own,
                named_objective(table.objective),
                _teachers(plan.recipe, made),
                made.get("teacher-outputs"),
                table.combine,
                table.live,
            )


def bind_conversion(plan: Plan, made: Made) -> Bound:
    """The distilled student, and how it becomes files."""
    recipe, table = plan.recipe, plan.recipe.conversion
    learns_from_teacher = table.learn_from == "teacher"
    # If no teacher was used for training, the stage does not depend on the one in the recipe.
    taught = recipe.distillation.method == "teacher" or learns_from_teacher
    facts = {
        **({"teacher": recipe.teacher.model} if taught else {}),
        "student": recipe.student.model,
        "distillation": recipe.distillation.model_dump(),
        "training": asdict(recipe.training),
        "augmentation": asdict(plan.augmentation),
        "seed": recipe.seed,
    }
    return conversion.convert_student, conversion.ConversionInputs(
        student=student_model(recipe, made["student-distilled"]),
        data=plan.data,
        samples=recipe.data.calibration,
        quantize=table.quantize,
        precision=table.precision,
        max_drop=table.max_drop / 100,
        schedule=table.qat,
        teacher=teacher_model(recipe, made) if learns_from_teacher else None,
        augmentation=plan.augmentation,
        seed=recipe.seed,
        facts=facts,
        packages=_versions(_converters(table.targets)),
        targets=table.targets,
    )


def bind_gate(plan: Plan, made: Made) -> Bound:
    """The files, and the budget."""
    table = plan.recipe.conversion
    return conversion.judge_files, conversion.GateInputs(
        conversion=made["conversion"],
        data=plan.learning,
        max_drop=table.max_drop / 100,
        min_agreement=table.min_agreement / 100,
        engines=installed_engines(),
        machine=machine.measurement_identity(),
    )


def bind_evaluation(plan: Plan, made: Made) -> Bound:
    """All models and files with outputs."""
    return evaluation.evaluate, evaluation.EvaluationInputs(
        teacher=made["teacher-evaluation"],
        baseline=student_model(plan.recipe, made["student-alone"]),
        student=student_model(plan.recipe, made["student-distilled"]),
        conversion=made["conversion"],
        data=plan.learning,
        engines=installed_engines(),
    )


def bind_measurement(plan: Plan, made: Made) -> Bound:
    """The files, and this machine."""
    table = plan.recipe.measure
    return evaluation.measure_files, evaluation.MeasurementInputs(
        conversion=made["conversion"],
        threads=tuple(usable_cores() if number == "all" else number for number in table.threads),
        min_calls=table.min_calls,
        min_seconds=table.min_seconds,
        engines=installed_engines(),
        machine=machine.measurement_identity(),
    )


def _student_inputs(plan: Plan) -> student.StudentInputs:
    recipe = plan.recipe
    model = named_model(recipe.student.model)
    return student.StudentInputs(model, plan.learning, recipe.training, plan.augmentation, recipe.seed)


def _teachers(recipe: Recipe, made: Made) -> tuple[AnyTeacher, ...]:
    return (teacher_model(recipe, made), *map(given_teacher, recipe.teacher.team))


def _converters(targets: Sequence[str]) -> list[str]:
    own = [package for one in backends_of(targets) for package in (one.exporter, *one.packages)]
    return [*CONVERTERS, *own]


def _versions(packages: Sequence[str]) -> dict[str, str | None]:
    versions: dict[str, str | None] = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return versions
