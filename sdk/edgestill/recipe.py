"""The recipe: what `edgestill run` is to do, as a TOML file, checked and frozen.

Every key has a default but `name`; an unknown key is an error that names the file, the line and the nearest key.
`docs/recipes.md` shows them all.
"""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass as checked

from edgestill_runtime import EdgestillError

from .data import Augmentation
from .errors import RecipeError, nearest
from .objectives import Objective, create_objective
from .training import QatSchedule, Schedule

_STRICT = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class _StudentSchedule(Schedule):
    """The student's: its teacher answers all views in advance, so their number is finite."""

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


class _Table(BaseModel):
    model_config = _STRICT


class DataTable(_Table):
    """`[data]`: see `edgestill.data.load_data`."""

    source: str = "fashion-mnist-mini"
    validation: float = Field(default=0.1, gt=0, le=0.5)
    calibration: int = Field(default=256, ge=1)
    image_size: int | None = Field(default=None, ge=8)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


class TeacherTable(_Table):
    """`[teacher]`: a checkpoint to load, or, without one, `[teacher.training]` to train it by."""

    model: str = "resnet8_l"
    checkpoint: Path | None = None
    augmentation: tuple[str, ...] = ()
    training: _ScheduleTable = _ScheduleTable()


class StudentTable(_Table):
    """`[student]`."""

    model: str = "dscnn_s"


class DistillationTable(_Table):
    """`[distillation]`: one objective, or a list of them with weights."""

    objective: dict[str, Any] | list[dict[str, Any]] = Field(default_factory=lambda: {"kind": "dist"})


class ConversionTable(_Table):
    """`[conversion]`: see `edgestill.quantisation`; `max_drop` and `min_agreement` are in per cent."""

    quantize: Literal["ptq", "qat", "auto"] = "ptq"
    precision: Literal["int8", "mixed"] = "int8"
    max_drop: float = Field(default=0.3, ge=0, le=100)
    min_agreement: float = Field(default=99.5, ge=0, le=100)
    qat: _QatScheduleTable = _QatScheduleTable()


class MeasureTable(_Table):
    """`[measure]`: see `edgestill_benchmarks.measure`."""

    threads: tuple[Annotated[int, Field(ge=1)] | Literal["all"], ...] = Field(default=(1, "all"), min_length=1)
    min_calls: int = Field(default=1000, ge=1)
    min_seconds: float = Field(default=5.0, ge=0)


class Recipe(_Table):
    """A whole run. `training` holds for the student alone and for the distilled one alike."""

    name: _Name
    seed: int = Field(default=0, ge=0)
    data: DataTable = DataTable()
    teacher: TeacherTable = TeacherTable()
    student: StudentTable = StudentTable()
    augmentation: tuple[str, ...] = ("flip", "shift:2")
    training: _StudentScheduleTable = _StudentScheduleTable()
    distillation: DistillationTable = DistillationTable()
    conversion: ConversionTable = ConversionTable()
    measure: MeasureTable = MeasureTable()
    quick: bool = Field(default=False, exclude=True)

    def objective(self) -> Objective:
        """The objective of `[distillation]`."""
        return create_objective(self.distillation.objective)

    def shortened(self) -> "Recipe":
        """The same run in a minute, for trying out: its numbers mean nothing, and its results say so."""
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


def load_recipe(path: str | Path) -> Recipe:
    """Read and check a recipe; a teacher's checkpoint is found relative to the recipe's folder.

    Raises:
        RecipeError: not there, no TOML, an unknown key, or a value that makes no sense; names file and line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(f"recipe {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"recipe {path} is not UTF-8 text: {error}") from error
    try:
        recipe = Recipe.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"recipe {path} is not valid TOML: {error}") from error
    except ValidationError as error:
        raise RecipeError("\n".join(_explain(path, text, problem) for problem in error.errors())) from error
    for keys, check in (
        (("distillation", "objective"), recipe.objective),
        (("augmentation",), lambda: Augmentation.parse(recipe.augmentation)),
        (("teacher", "augmentation"), lambda: Augmentation.parse(recipe.teacher.augmentation)),
    ):
        try:
            check()
        except EdgestillError as error:
            raise RecipeError(f"{_place(path, text, keys)}: {error}") from error
    if recipe.training.views < 1:
        place = _place(path, text, ("training", "views"))
        raise RecipeError(f"{place}: training.views must be at least 1: the teacher answers that many views in advance")
    checkpoint = recipe.teacher.checkpoint
    if checkpoint is not None and not checkpoint.is_absolute():
        found = recipe.teacher.model_copy(update={"checkpoint": path.parent / checkpoint})
        recipe = recipe.model_copy(update={"teacher": found})
    return recipe


def _explain(path: Path, text: str, problem: Any) -> str:
    keys = [key for key in problem["loc"] if isinstance(key, str)]
    place = _place(path, text, keys)
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        under = f" under [{'.'.join(keys[:-1])}]" if keys[:-1] else ""
        return f"{place}: unknown key {keys[-1]!r}{under}{nearest(keys[-1], _keys_of(keys[:-1]))}"
    if problem["type"] == "missing":
        return f"{place}: {'.'.join(keys)} is missing"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{place}: {'.'.join(keys) or 'recipe'} = {problem['input']!r}: {message}"


def _keys_of(tables: Sequence[str]) -> list[str]:
    """Valid keys of a table, by walking the models."""
    level: Any = Recipe
    for name in tables:
        level = level.model_fields[name].annotation
    fields = level.model_fields if hasattr(level, "model_fields") else level.__pydantic_fields__
    return [name for name in fields if name != "quick"]


def _place(path: Path, text: str, keys: Sequence[str]) -> str:
    """`FILE, line N`, where the key is set, or the nearest table or inline table above it."""
    for length in range(len(keys), 0, -1):
        if line := _line_of(text, list(keys[:length])):
            return f"{path}, line {line}"
    return str(path)


def _line_of(text: str, keys: list[str]) -> int | None:
    table: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line):
            table = [part.strip().strip("\"'") for part in header[1].split(".")]
            if table == keys:
                return number
            continue
        entry = re.match(r"\s*([A-Za-z0-9_\"'.-]+)\s*=", line)
        if entry and table + [part.strip("\"'") for part in entry[1].split(".")] == keys:
            return number
    return None
