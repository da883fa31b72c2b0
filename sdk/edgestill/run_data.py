"""The data of a finished run, or of its checkpoint: its description, and how to read it again.

    known = known_of_run(Path("runs/demo"))         # or known_of_checkpoint(path)
    data = read_again(known)                        # the same source, split, size, mean and std; checked by its digest

Code named in a file is never run, as the file may be untrusted: the user has to name a source or model
`module:function` explicitly.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgestill_benchmarks.results import read_results
from edgestill_runtime.processing import Processor

from .data import Data, Reading, load_data
from .data.reading import for_each_channel
from .data.sources import READERS
from .errors import DataError, EdgestillError, ModelError
from .given_models import overridden, recorded_processor, trained_classes, trained_settings
from .models import read_metadata
from .progress import SILENT, Progress
from .recipe import Recipe
from .tasks import TASKS
from .workflow.store import changed_files

STUDENT = Path("stages") / "student-distilled"


@dataclass(frozen=True)
class Known:
    """The description of a run or checkpoint.

    Args:
        where: the run's folder or the checkpoint, for messages. recipe: of the run. model: the student's name.
        checkpoint: its weights. digest: of the data, if recorded. processor: the student's input format.
        classes: of the student, in its order; empty if not recorded.
        task_settings: of its task, such as the mean of the values in training; None if not recorded.
    """

    where: Path
    recipe: Recipe
    model: str
    checkpoint: Path
    digest: str | None
    processor: Processor | None
    classes: tuple[str, ...] = ()
    task_settings: Mapping[str, Any] | None = None


def known_of_run(folder: Path) -> Known:
    """The description from the folder of a run.

    Raises:
        EdgestillError: the folder is not that of a run, has no student yet, or the student's files were changed.
    """
    checkpoint = folder / STUDENT / "model.safetensors"
    if not checkpoint.is_file():
        raise EdgestillError(
            f"{folder} has no trained student in it ({STUDENT / 'model.safetensors'}), so it is not the folder of a "
            "run that got so far"
        )
    if changed := changed_files(folder / STUDENT):
        raise EdgestillError(
            f"{folder}: {', '.join(changed)} in {STUDENT} changed since the run; finish or repeat it with `edgestill "
            "run`, or convert the file by name with --checkpoint"
        )
    known = known_of_checkpoint(checkpoint, folder)
    if known is None:
        raise EdgestillError(f"{folder} says nothing of its data; name it with --data, and the model by name")
    return known


def known_of_checkpoint(checkpoint: Path, where: Path | None = None) -> Known | None:
    """The description from a checkpoint written by Edgestill; None for other checkpoints.

    Args:
        where: the folder of its run; `results.json` there has the recipe if the checkpoint does not.
    """
    noted = read_metadata(checkpoint)
    if "model" not in noted or not isinstance(noted.get("data"), Mapping):
        return None
    tables = noted.get("recipe")
    if tables is None and where is not None and (where / "results.json").is_file():
        tables = read_results(where)["recipe"]
    recipe = parse_recipe(tables or _older(noted), where or checkpoint)
    return Known(
        where or checkpoint, recipe, str(noted["model"]), checkpoint, noted["data"].get("digest"),
        recorded_processor(noted, checkpoint), trained_classes(noted), trained_settings(noted),
    )  # fmt: skip


def parse_recipe(tables: Any, where: Path) -> Recipe:
    """Parse a recipe stored in a file.

    Raises:
        EdgestillError: it does not fit this version.
    """
    try:
        return Recipe.model_validate(tables)
    except ValidationError as error:
        key = ".".join(map(str, error.errors()[0]["loc"]))
        raise EdgestillError(f"{where}: the recipe in it does not fit this edgestill ({key}); name the data") from error


def refuse_code(known: Known) -> None:
    """Refuse to import a model that only a file names.

    Raises:
        ModelError: states how to name it explicitly.
    """
    kind, colon, _ = known.model.partition(":")
    if colon and kind != "timm":
        raise ModelError(
            f"the student of {known.where} is {known.model}, code that only the file names; name it explicitly: "
            f"edgestill convert {known.model} --checkpoint {known.checkpoint}"
        )


def read_again(
    known: Known,
    source: str | None = None,
    changes: Mapping[str, Any] | None = None,
    check: Callable[[Sequence[str], str], None] | None = None,
    progress: Progress = SILENT,
) -> Data:
    """Read the data of a run, or other data in the student's input format and class order.

    Args:
        source: another source, or the same one named by the user. changes: to keys of `[data]`; the size stays that of
            the student's processor, if known.
        check: as of `load_data`.

    Raises:
        DataError: the data changed since the run, does not fit the student, or is read by code that only a file names.
    """
    table = known.recipe.data
    refuse_source(table.source, known.where, source)
    stated = {name: value for name, value in (changes or {}).items() if value}
    options, processor = table.model_copy(update=stated).options(), None
    if known.processor is not None:
        processor = student_processor(known, stated)
        options = replace(options, **asdict(Reading()), mean=(), std=())
    refuse_task(known.recipe.task, known.where)
    data = load_data(
        source or table.source, known.recipe.new_task(), options, processor=processor, classes=known.classes,
        check=check, progress=progress,
    )  # fmt: skip
    if source in (None, table.source) and known.digest is not None and data.digest != known.digest:
        raise DataError(
            f"{data.name} changed since {known.where} was made: it has other images, labels or classes now; name other "
            "data with --data"
        )
    # The student's outputs are decoded with the settings of its training, not with those of this data.
    return data if known.task_settings is None else replace(data, task_settings=known.task_settings)


def student_processor(known: Known, stated: Mapping[str, Any]) -> Processor:
    """The student's processor, with mean and std from the user if stated.

    Raises:
        DataError: the requested size differs from that of the training.
    """
    assert known.processor is not None
    height, width, _ = known.processor.image_shape
    if stated.get("image_size", height) != height or (height != width and "image_size" in stated):
        raise DataError(
            f"the student of {known.where} was trained on {height}×{width} (height × width), which --image-size "
            f"{stated['image_size']} does not change; leave it out"
        )
    mean, std = (for_each_channel(stated.get(name, ()), known.processor.channels) for name in ("mean", "std"))
    return overridden(known.processor, mean, std)


def refuse_task(task: str, where: Path) -> None:
    """Refuse to import a task that only a file names.

    Raises:
        EdgestillError: states how to name it explicitly.
    """
    if task not in TASKS:
        raise EdgestillError(
            f"the task of {where} is {task}, code that only the file names; name it explicitly: name a recipe with it"
        )


def refuse_source(source: str, where: Path, stated: str | None) -> None:
    """Refuse to import a data source that only a file names.

    Raises:
        DataError: states how to name it explicitly.
    """
    kind, colon, _ = source.partition(":")
    if colon and stated is None and kind not in READERS:
        raise DataError(
            f"the data of {where} is {source}, code that only the file names; name it explicitly with --data {source}"
        )


def _older(noted: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe from the metadata of checkpoints written by edgestill 0.1."""
    data = noted["data"]
    train = sum(int(data.get(part, 0)) for part in ("train", "calibration", "validation"))
    table: dict[str, Any] = {"source": data.get("name", ""), "seed": data.get("seed", 0)}
    if train:
        table |= {"validation": data["validation"] / train, "calibration": data.get("calibration", 256)}
    return {"name": "run", "data": table}
