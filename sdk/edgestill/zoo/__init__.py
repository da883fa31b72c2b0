"""The zoo: students that were trained with this project, as bundles that can be used at once.

Each lies here as one zip, int8 files and golden samples only, with its quality in the manifest; the recipes that
made them are in `recipes/`. `edgestill zoo` lists them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgestill_runtime import Bundle, Measure, open_bundle
from edgestill_runtime.bundle import pack_zip
from edgestill_runtime.tasks import task_class

from ..errors import EdgestillError, nearest

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class ZooEntry:
    """One bundle of the zoo.

    Args:
        data: name of the data set. student, teacher: models. parameters: of the student.
        task: what it answers. quality: the task's main measure of the int8 files on the test split, the lower of the
            two. teacher_quality: on the same.
        bytes: of the zip.
    """

    name: str
    data: str
    student: str
    teacher: str
    parameters: int
    task: str
    quality: float
    teacher_quality: float
    bytes: int
    path: Path


def entries() -> list[ZooEntry]:
    """What there is, by name."""
    return [_describe(path) for path in sorted(FOLDER.glob("*.edge"))]


def find(name: str) -> Bundle:
    """A bundle of the zoo.

    Raises:
        EdgestillError: there is none of that name; names the nearest.
    """
    path = FOLDER / f"{name}.edge"
    if not path.is_file():
        names = [one.stem for one in FOLDER.glob("*.edge")]
        raise EdgestillError(f"the zoo has no {name!r}{nearest(name, names)}")
    return open_bundle(path)


def copy(name: str, output: Path) -> Bundle:
    """Copy a bundle of the zoo to a file.

    Raises:
        EdgestillError: no such bundle.
        StorageError: `output` exists, or cannot be written.
    """
    return pack_zip(find(name), output)


def main_of(task: str) -> Measure:
    """The main measure of a task of ours."""
    kind = task_class(task)
    assert kind is not None
    return kind.measures[0]


def _describe(path: Path) -> ZooEntry:
    bundle = open_bundle(path)
    manifest = bundle.manifest
    facts: Mapping[str, Any] = manifest.training
    name = main_of(manifest.task).name
    return ZooEntry(
        name=path.stem,
        data=facts["data"]["name"],
        student=facts["student"],
        teacher=facts["teacher"],
        parameters=manifest.parameters,
        task=manifest.task,
        quality=min(entry.quality[name] for entry in manifest.models.values() if name in entry.quality),
        teacher_quality=manifest.quality["teacher"][name],
        bytes=path.stat().st_size,
        path=path,
    )
