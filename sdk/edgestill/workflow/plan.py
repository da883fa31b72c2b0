"""Turns a recipe into a plan; errors are reported before long computations start."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from ..data import Augmentation, Data, augmentation_for
from ..data.augmentation import check_augmentation
from ..model_check import check_classes
from ..models import create_model
from ..objectives.layers import check_layers
from ..progress import SILENT, Progress
from ..recipe import Recipe, TeacherTable, TeamMember
from ..recipe_check import check_checkpoint, check_recipe
from .inputs import GivenTeacher, named_model, read_file, without_calibration


@dataclass(frozen=True)
class Plan:
    """A recipe with its data.

    Args:
        data: with the calibration split, for the conversion. learning: the same without it, for all other stages.
        augmentation: of the student: the recipe's, or the default of its data.
    """

    recipe: Recipe
    data: Data
    learning: Data
    augmentation: Augmentation


def make_plan(recipe: Recipe, data: Data) -> Plan:
    """A plan for data that is already loaded."""
    return Plan(
        recipe,
        data,
        without_calibration(data),
        augmentation_for(data.processor, recipe.augmentation, data.task.augmentations),
    )


def prepare(recipe: Recipe, *more: Callable[[], None], progress: Progress = SILENT) -> Plan:
    """Check a recipe without data first; then read the data and check that the models fit.

    Args:
        more: as of `check_recipe`.

    Raises:
        EdgestillError: one line for each problem.
    """
    check_recipe(recipe, *more)
    plan = make_plan(recipe, read_data(recipe, progress))
    objective = recipe.objective()
    pairs = objective.layers if objective else ()
    classes, channels = len(plan.data.classes), plan.data.processor.channels
    student = create_model(recipe.student.model, classes, channels)
    check_classes(student, plan.data, "student")
    check_layers(student, [ours for ours, _ in pairs], "student")
    teaching = create_model(recipe.teaching_model(), classes, channels)
    check_layers(teaching, [theirs for _, theirs in pairs], "teacher")
    if recipe.teacher.checkpoint is None:
        check_classes(create_model(recipe.teacher.model, classes, channels), plan.data, "teacher")
    return plan


def read_data(recipe: Recipe, progress: Progress = SILENT) -> Data:
    """The recipe's data, split; always read from its source, never copied.

    Raises:
        EdgestillError: bad data, or a part of the recipe that does not fit it, reported before a sample is decoded.
    """
    return recipe.load_data(check=partial(_check_fit, recipe), progress=progress)


def _check_fit(recipe: Recipe, classes: Sequence[str], kind: str) -> None:
    for names in (recipe.augmentation, recipe.teacher.augmentation):
        check_augmentation(Augmentation.parse(names or ()), kind)
    for table in _tables_with_checkpoint(recipe):
        assert table.checkpoint is not None
        check_checkpoint(table.model, table.checkpoint, table.weights, len(classes))


def given_teachers(recipe: Recipe) -> tuple[GivenTeacher, ...]:
    """The teachers that come as checkpoints and are used, with their current files.

    Raises:
        EdgestillError: a checkpoint cannot be read.
    """
    return tuple(map(given_teacher, _tables_with_checkpoint(recipe)))


def given_teacher(table: TeacherTable | TeamMember) -> GivenTeacher:
    """A teacher with the current file of its checkpoint.

    Raises:
        EdgestillError: the checkpoint cannot be read.
    """
    assert table.checkpoint is not None
    checkpoint = read_file(table.checkpoint, "teacher checkpoint")
    return GivenTeacher(
        named_model(table.model), checkpoint, table.weights, table.mean, table.std, table.image_size
    )  # fmt: skip


def _tables_with_checkpoint(recipe: Recipe) -> list[TeacherTable | TeamMember]:
    table = recipe.teacher
    first: list[TeacherTable | TeamMember] = [] if table.checkpoint is None else [table]
    return first + (list(table.team) if recipe.distillation.method == "teacher" else [])
