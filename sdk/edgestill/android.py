"""Adds a bundle to an Android app: its files in the assets, sample images, and the Gradle lines."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgestill_runtime import Bundle, open_bundle
from edgestill_runtime.bundle import unpack_folder
from edgestill_runtime.files import atomic_folder

from .errors import EdgestillError, StorageError

if TYPE_CHECKING:
    from edgestill_converters.backends import Backend

MANIFEST = Path("src", "main", "AndroidManifest.xml")
ASSETS = Path("src", "main", "assets")
SAMPLES = "samples"
# A folder of the assets: flat, and not one of those that Android's packer leaves out.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

_GRADLE = """\
android {{
    androidResources {{ noCompress += listOf({suffixes}) }}
    packaging {{ resources {{ excludes += "META-INF/**" }} }}
}}
dependencies {{
{lines}
}}
"""


class AndroidError(EdgestillError):
    """A folder that holds no Android app, or a bundle that an app cannot show."""


@dataclass(frozen=True)
class Exported:
    """The place of an exported bundle.

    Args:
        folder: of the bundle. bytes: of its files. changed: False where the very same bundle was there already.
        samples: names of the pictures.
    """

    folder: Path
    bytes: int
    changed: bool
    samples: tuple[str, ...]


def export_android(
    bundle: Bundle, project: Path, name: str | None = None, samples: int = 0, overwrite: bool = False
) -> Exported:
    """Copy a verified bundle into the assets of an Android app.

    Args:
        project: the app's module (the folder with `src/main/AndroidManifest.xml`), or the project around it.
        name: of the folder in the assets; the bundle's own without it.
        samples: so many of the bundle's golden inputs also become pictures, in the assets' folder `samples`.
        overwrite: replace another bundle that is there.

    Raises:
        AndroidError: `project` holds no app, or several; the bundle takes tensors, and samples were asked for; it has a
            file that no app runs.
        StorageError: another bundle is there and `overwrite` is false, or it cannot be written.
    """
    assets = _module(project) / ASSETS
    _backends(bundle)
    name = name or f"{bundle.manifest.name}.edge"
    if not NAME.fullmatch(name) or name == SAMPLES:
        raise AndroidError(f"{name!r} is no name for a folder of the assets: letters, digits, dots, dashes")
    drawn = pictures(bundle, samples) if samples else {}
    target = assets / name
    changed = not (target.is_dir() and _same(bundle, target))
    if changed:
        if target.exists() and not overwrite:
            raise StorageError(f"{target} holds another bundle; choose another --name, or ask for --overwrite")
        unpack_folder(bundle, target, overwrite)
    if drawn:
        with atomic_folder(assets / SAMPLES, replace=True) as folder:
            for file, content in drawn.items():
                (folder / file).write_bytes(content)
    size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
    return Exported(target, size, changed, tuple(drawn))


def gradle(bundle: Bundle) -> str:
    """What `build.gradle.kts` of an app needs for a bundle's files.

    Raises:
        AndroidError: it has a file that no app runs.
    """
    backends = _backends(bundle)
    suffixes = [*(one.suffix.rpartition(".")[2] for one in backends), "npz"]
    lines = [line for one in backends for line in (f"// {one.suffix}", *one.gradle)]
    return _GRADLE.format(
        suffixes=", ".join(f'"{one}"' for one in suffixes), lines="\n".join(f"    {line}" for line in lines)
    )


def _backends(bundle: Bundle) -> "list[Backend]":
    """Of the files of a bundle, all of which an app must be able to run: it refuses a manifest with another."""
    from edgestill_converters.backends import find_backend

    backends = {engine: find_backend(engine) for engine in bundle.manifest.engines}
    if odd := [engine for engine, one in backends.items() if one is None or not one.gradle]:
        raise AndroidError(
            f"{bundle.path} has a file for {odd[0]}, which no Android app runs; convert again without that target"
        )
    return [one for one in backends.values() if one is not None]


def _module(project: Path) -> Path:
    if (project / MANIFEST).is_file():
        return project
    modules = sorted(path.parents[2] for path in project.glob(f"*/{MANIFEST.as_posix()}"))
    if len(modules) == 1:
        return modules[0]
    if not modules:
        raise AndroidError(
            f"{project} holds no Android app: neither {MANIFEST} nor a module with one. Give the app's folder, such as "
            "MyApp/app"
        )
    raise AndroidError(f"{project} has several modules; say which: {', '.join(str(path) for path in modules)}")


def _same(bundle: Bundle, target: Path) -> bool:
    try:
        there = open_bundle(target)
        there.verify()
    except EdgestillError:
        return False
    return there.digest() == bundle.digest()


def pictures(bundle: Bundle, count: int) -> dict[str, bytes]:
    """Name → PNG of golden inputs (of recordings their log-mel pictures): an app reproduces the recorded outputs."""
    if bundle.manifest.processor is None:
        raise AndroidError(
            f"{bundle.path} takes no images and no recordings, so that there are no samples to try it with"
        )
    from io import BytesIO

    from PIL import Image

    images = bundle.golden().inputs[0][:count]
    images_by_name = {}
    for number, image in enumerate(images):
        buffer = BytesIO()
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, "PNG", optimize=True)
        images_by_name[f"{number:02}.png"] = buffer.getvalue()
    return images_by_name
