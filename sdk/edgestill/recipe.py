"""The recipe of `edgestill run`: a TOML file, checked and frozen.

Every key except `name` has a default; an unknown key is an error that names the file, the line and the nearest key.
`docs/recipes.md` shows them all.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.dataclasses import dataclass as checked

from edgestill_converters.backends import TARGETS
from edgestill_runtime import EdgestillError

from .data import Augmentation, Data, DataOptions, load_data
from .data.reading import LIMITS, check_statistics
from .errors import RecipeError
from .file_kinds import no_toml
from .objectives import Objective, create_objective
from .recipe_errors import booleans_as_numbers, explain, fields_of, place
from .schedule import QatSchedule, Schedule
from .tasks import Task, find_task

_STRICT = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True)
class _StudentSchedule(Schedule):
    """The student's schedule: the teacher's outputs are computed in advance, so the number of views is finite."""

    views: int = 8


if TYPE_CHECKING:
    _ScheduleTable = Schedule
    _QatScheduleTable = QatSchedule
    _StudentScheduleTable = _StudentSchedule
else:
    _ScheduleTable = checked(Schedule, config=_STRICT)
    _QatScheduleTable = checked(QatSchedule, config=_STRICT)
    _StudentScheduleTable = checked(_StudentSchedule, config=_STRICT)
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]

_Model = Annotated[str, Field(min_length=1)]
_Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]  # the range of both torch and numpy


class _Table(BaseModel):
    model_config = _STRICT


_AnyTable = TypeVar("_AnyTable")


def _together(table: _AnyTable) -> _AnyTable:
    """Check the mean and the std of a table."""
    pixels: Any = table
    try:
        check_statistics(pixels.mean, pixels.std)
    except EdgestillError as error:
        raise ValueError(str(error)) from error
    return table


def _limited(key: str, default: float | None) -> Any:
    """A field with the limits of `edgestill.data.reading`."""
    least, most = LIMITS[key]
    return Field(default=default, ge=least, le=most)


class DataTable(_Table):
    """`[data]`: the source, and the keys of `edgestill.data.DataOptions`, described there."""

    source: str = "fashion-mnist-mini"
    seed: _Seed = 0
    validation: float = Field(default=0.1, gt=0, le=0.5)
    calibration: int = Field(default=256, ge=1)
    image_size: int | None = _limited("image_size", None)
    resize: Literal["crop", "letterbox", "stretch"] = "crop"
    filter: Literal["bilinear", "bicubic"] = "bilinear"
    ground: int = _limited("ground", 255)
    fill: int = _limited("fill", 114)
    rate: int | None = _limited("rate", None)
    seconds: float = _limited("seconds", 1.0)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    labelled: int | None = Field(default=None, ge=1)
    unlabelled: Path | None = None

    _statistics = model_validator(mode="after")(_together)

    def options(self) -> DataOptions:
        """The options for reading and splitting the source."""
        return DataOptions(**{name: getattr(self, name) for name in DataOptions.__dataclass_fields__})


class TeamMember(_Table):
    """One of `[[teacher.team]]`: a teacher beside the first. Keys as of `[teacher]`."""

    model: _Model
    checkpoint: Path
    weights: str | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    image_size: int | None = _limited("image_size", None)

    _statistics = model_validator(mode="after")(_together)


class TeacherTable(_Table):
    """`[teacher]`: a checkpoint to load, or, without one, the schedule `[teacher.training]`.

    Args:
        weights: of a checkpoint with several sets: `ema`, or a key of the file. mean, std, image_size: its input
            format, if neither the checkpoint nor the publisher states it. check: refuse a teacher that is no better
            than guessing.
    """

    model: _Model = "resnet8_l"
    seed: _Seed = 0
    checkpoint: Path | None = None
    weights: str | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    image_size: int | None = _limited("image_size", None)
    check: bool = True
    augmentation: tuple[str, ...] = ()
    training: _ScheduleTable = _ScheduleTable()
    team: tuple[TeamMember, ...] = ()

    _statistics = model_validator(mode="after")(_together)

    @model_validator(mode="after")
    def _of_a_checkpoint(self) -> "TeacherTable":
        stated = [name for name in ("weights", "mean", "std", "image_size") if getattr(self, name)]
        if stated and self.checkpoint is None:
            raise ValueError(
                f"{', '.join(stated)} are for a teacher with a checkpoint; a teacher that is trained here uses the "
                "pixels of the data"
            )
        return self


class StudentTable(_Table):
    """`[student]`."""

    model: _Model = "dscnn_s"


class DistillationTable(_Table):
    """`[distillation]`: the method, and the objective: one, or a list of them with weights.

    Args:
        method: `teacher`; `self`: self-distillation from the moving average of the student's weights; `generations`:
            born-again networks; `together`: mutual learning; `alone`: labels only.
        objective: the method's default when None.
        combine: of `[teacher]` and `[[teacher.team]]`. live: run the teacher during training, without a cache.
        generations: number of born-again generations. peers: the other students of mutual learning.
    """

    method: Literal["teacher", "self", "generations", "together", "alone"] = "teacher"
    objective: dict[str, Any] | list[dict[str, Any]] | None = None
    combine: Literal["average", "confidence", "choice"] = "average"
    live: bool = False
    generations: int = Field(default=2, ge=1)
    peers: tuple[_Model, ...] = ()

    @model_validator(mode="after")
    def _together(self) -> "DistillationTable":
        if (self.method == "together") != bool(self.peers):
            raise ValueError('method = "together" (mutual learning) and `peers`, its other students, need each other')
        return self


class ConversionTable(_Table):
    """`[conversion]`: see `edgestill.quantization`; `max_drop` and `min_agreement` are in per cent.

    Args:
        targets: names of the backends to export for.
    """

    targets: tuple[str, ...] = Field(default=TARGETS, min_length=1)
    quantize: Literal["ptq", "qat", "auto"] = "ptq"
    precision: Literal["int8", "mixed"] = "int8"
    learn_from: Literal["student", "teacher"] = "student"
    max_drop: float = Field(default=0.3, ge=0, le=100)
    min_agreement: float = Field(default=99.5, ge=0, le=100)
    qat: _QatScheduleTable = _QatScheduleTable()


class MeasureTable(_Table):
    """`[measure]`: see `edgestill_benchmarks.measure`."""

    threads: tuple[Annotated[int, Field(ge=1)] | Literal["all"], ...] = Field(default=(1, "all"), min_length=1)
    min_calls: int = Field(default=1000, ge=1)
    min_seconds: float = Field(default=5.0, ge=0)


class Recipe(_Table):
    """A whole run. `training` and `seed` apply to the baseline student and to the distilled student.

    Args:
        task: see `edgestill.tasks`, or `module:Class`. task_options: keyword arguments of its class.
    """

    name: _Name
    seed: _Seed = 0
    task: Annotated[str, Field(min_length=1)] = "image-classification"
    task_options: dict[str, Any] = Field(default_factory=dict)
    data: DataTable = DataTable()
    teacher: TeacherTable = TeacherTable()
    student: StudentTable = StudentTable()
    augmentation: tuple[str, ...] | None = None  # the default of the data: see `data.default_augmentation`
    training: _StudentScheduleTable = _StudentScheduleTable()
    distillation: DistillationTable = DistillationTable()
    conversion: ConversionTable = ConversionTable()
    measure: MeasureTable = MeasureTable()
    quick: bool = Field(default=False, exclude=True)

    def new_task(self) -> Task:
        """The task, with its options."""
        return find_task(self.task, self.task_options)

    def load_data(self, **more: Any) -> Data:
        """The data of this recipe; `more` as of `edgestill.data.load_data`."""
        return load_data(self.data.source, self.new_task(), self.data.options(), **more)

    def objective(self) -> Objective | None:
        """A new objective as stated in `[distillation]`; None: the method's default."""
        table = self.distillation.objective
        if table is None:
            return None
        task = self.new_task()
        objective = create_objective(table, task.objectives)
        task.check_objective(objective)
        return objective

    def teaching_model(self) -> str:
        """The model whose layers an objective uses as teacher; in `self` and `generations` the student's model."""
        return self.teacher.model if self.distillation.method == "teacher" else self.student.model

    def cached(self) -> bool:
        """Whether the teacher's outputs are computed in advance."""
        objective = self.objective()
        table = self.distillation
        return table.method == "teacher" and not table.live and not (objective and objective.layers)

    def shortened(self) -> "Recipe":
        """A short version of the run for a first test; its results are marked as `quick` and not meaningful."""
        measure = self.measure.model_copy(update={"min_calls": 100, "min_seconds": 0.2})
        teacher = self.teacher.model_copy(update={"training": replace(self.teacher.training, epochs=1)})
        return self.model_copy(
            update={
                "name": f"{self.name}-quick",
                "training": replace(self.training, epochs=2, warmup_epochs=0.5, views=2),
                "teacher": teacher,
                "measure": measure,
                "quick": True,
            }
        )


def load_recipe(path: str | PathLike[str], changes: Mapping[str, Any] | None = None) -> Recipe:
    """Read and check a recipe; the paths in it are relative to its folder.

    Args:
        changes: other values for some keys, as `{"training.epochs": 3}`.

    Raises:
        RecipeError: a missing file, invalid TOML, an unknown key, or an invalid value; names file and line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe {no_toml(path, error)}") from error
    try:
        tables = tomllib.loads(text)
        for key, value in (changes or {}).items():
            _change(tables, key, value)
        if wrong := list(booleans_as_numbers(Recipe, tables)):
            raise RecipeError(explain(Recipe, wrong, path, text))
        recipe = Recipe.model_validate(tables)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"recipe {no_toml(path, error)}") from error
    except ValidationError as error:
        raise RecipeError(explain(Recipe, error.errors(), path, text)) from error
    for keys, check in (
        (("task",), recipe.new_task),
        (("distillation", "objective"), recipe.objective),
        (("augmentation",), lambda: Augmentation.parse(recipe.augmentation or ())),
        (("teacher", "augmentation"), lambda: Augmentation.parse(recipe.teacher.augmentation)),
    ):
        try:
            check()
        except EdgestillError as error:
            raise RecipeError(f"{place(path, text, keys)}: {error}") from error
    if recipe.cached() and recipe.training.views < 1:
        where = place(path, text, ("training", "views"))
        raise RecipeError(
            f"{where}: training.views must be at least 1: the teacher's outputs are computed for that many views"
        )
    return _beside(path.parent, recipe)


def flatten(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Nested tables as `changes` of `load_recipe`: `{"training": {"epochs": 3}}` → `{"training.epochs": 3}`."""

    def walk(level: Any, tables: Mapping[str, Any], before: str) -> Iterator[tuple[str, Any]]:
        known = fields_of(level)
        for name, value in tables.items():
            inner = known[name].annotation if name in known else None
            if isinstance(value, Mapping) and fields_of(inner):
                yield from walk(inner, value, f"{before}{name}.")
            else:
                yield f"{before}{name}", value

    return dict(walk(Recipe, tables, ""))


def _change(tables: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for name in parents:
        tables = tables.setdefault(name, {})
        if not isinstance(tables, dict):
            raise RecipeError(f"{key}: {name} is a value, not a table")
    tables[last] = value


def _beside(folder: Path, recipe: Recipe) -> Recipe:
    """The recipe with paths resolved relative to its folder."""
    teacher, data = recipe.teacher, recipe.data
    team = tuple(one.model_copy(update={"checkpoint": folder / one.checkpoint}) for one in teacher.team)
    checkpoint = teacher.checkpoint and folder / teacher.checkpoint
    unlabelled = data.unlabelled and folder / data.unlabelled
    return recipe.model_copy(
        update={
            "teacher": teacher.model_copy(update={"checkpoint": checkpoint, "team": team}),
            "data": data.model_copy(update={"unlabelled": unlabelled}),
        }
    )
