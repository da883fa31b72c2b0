"""What Python's processors make of photos and recordings, as files that Kotlin and JavaScript are held to.

`photos/N.bin` is a photo as it is stored, `photos/N.png` and the like its encoded file, where it has one, and
`photos/N.pixels` what one processor after another makes of it; likewise `recordings/N.wav`. `processing.json` says
which is what.
"""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from edgestill_runtime import InputError
from edgestill_runtime.processing import processor_from_json
from edgestill_runtime.processing.pictures import read_picture

INPUTS = Path(__file__).parents[2] / "runtime/tests/inputs.py"
# Of photos that are larger than a screen, every so many processors: each takes a second in JavaScript.
SELDOM = 5


def write_processing(target: Path) -> None:
    """Everything into `processing.json`, `photos` and `recordings` under `target`; some seconds."""
    inputs = _inputs()
    image, audio = inputs.image_processors(), inputs.audio_processors()
    photos, recordings = [], []
    for folder in ("photos", "recordings"):
        (target / folder).mkdir(parents=True)
    for number, (name, source) in enumerate(inputs.photos().items()):
        picture = read_picture(source)
        height, width, channels = picture.pixels.shape
        tried = [at for at in range(len(image)) if max(height, width) <= inputs.LARGE or at % SELDOM == number % SELDOM]
        (target / f"photos/{number}.bin").write_bytes(picture.pixels.tobytes())
        _write(target / f"photos/{number}.pixels", [image[at].pixels(picture) for at in tried])
        file = None
        if isinstance(source, bytes):
            file = f"photos/{number}{Path(name).suffix}"
            (target / file).write_bytes(source)
        photos.append(
            {
                "file": file,
                "name": name,
                "height": height,
                "width": width,
                "channels": channels,
                "bits": 8 * picture.pixels.itemsize,
                "orientation": picture.orientation,
                "processors": tried,
            }
        )
    for number, (name, content) in enumerate(inputs.recordings().items()):
        (target / f"recordings/{number}.wav").write_bytes(content)
        _write(target / f"recordings/{number}.pixels", [one.pixels(content) for one in audio])
        recordings.append({"name": name, "processors": list(range(len(audio)))})
    said = {
        "image": [one.to_json() for one in image],
        "audio": [one.to_json() for one in audio],
        "photos": photos,
        "recordings": recordings,
        "json": _read(image[0].to_json(), audio[0].to_json()),
    }
    (target / "processing.json").write_text(json.dumps(said))


def _write(path: Path, found: list[Any]) -> None:
    path.write_bytes(b"".join(np.ascontiguousarray(one).tobytes() for one in found))


def _read(image: dict[str, Any], audio: dict[str, Any]) -> list[dict[str, Any]]:
    """Processors as JSON, most of them wrong, and whether Python takes them."""
    without = {key: value for key, value in image.items() if key != "kind"}
    old = {key: image[key] for key in ("height", "width", "mean", "std")}
    changed: list[tuple[str, Any]] = [
        ("kind", "video"), ("kind", None), ("kind", 3), ("kind", ["image"]), ("height", 0), ("height", -1),
        ("height", 16385),
        ("height", 1 << 70), ("height", 28.0), ("height", True), ("height", None), ("height", "28"), ("width", [28]),
        ("mean", []), ("mean", [0.5, 0.5]), ("mean", 0.5), ("mean", [1]), ("mean", [True]), ("mean", [None]),
        ("mean", [1 << 53]), ("mean", [(1 << 53) - 1]), ("mean", [0.0] * 17), ("mean", {"0": 0.5}), ("std", [0]),
        ("std", [-0.5]), ("resize", "fit"), ("resize", 1), ("resize", "letterbox"), ("resize", "Crop"),
        ("filter", "lanczos"), ("filter", "bicubic"), ("filter", None), ("crop_share", 0), ("crop_share", 1),
        ("crop_share", 1.01), ("crop_share", "1"), ("crop_share", -0.0), ("ground", 256), ("ground", -1), ("ground", 0),
        ("ground", 0.0), ("fill", 255), ("fill", 300), ("rate", 16000), ("more", 1), ("antialias", True),
    ]  # fmt: skip
    heard: list[tuple[str, Any]] = [
        ("rate", 999), ("rate", 384_001), ("rate", 16000.0), ("rate", "16000"), ("seconds", 1), ("seconds", 2),
        ("seconds", 0), ("seconds", 4000), ("window", 0.01), ("window", 1.5), ("step", 0),
        ("step", 0.00001), ("step", 0.04),
        ("lowest", 8000), ("lowest", 7999), ("lowest", -1), ("decibels", 0), ("decibels", 401), ("decibels", 400),
        ("width", 60), ("mean", [0.5] * 3), ("resize", "crop"), ("height", 80), ("kind", "image"),
    ]  # fmt: skip
    three = {"mean": [0.5] * 3, "std": [0.5] * 3}
    all_of_them = [
        image, audio, without, old, image | three, audio | three, image | {"mean": [0.5] * 2, "std": [0.5] * 2},
        *({key: value for key, value in old.items() if key != missing} for missing in old),
        *(image | {key: value} for key, value in changed), *(audio | {key: value} for key, value in heard),
    ]  # fmt: skip
    return [{"processor": one, "taken": _accepted(one)} for one in all_of_them]


def _accepted(data: dict[str, Any]) -> bool:
    try:
        processor_from_json(data)
    except InputError:
        return False
    return True


def _inputs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("inputs", INPUTS)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
