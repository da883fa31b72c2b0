"""Digests of the pixels of the photos and recordings of inputs.py, and their file: golden_inputs.json.

    python runtime/tests/golden_inputs.py           # as they are on this machine, on standard output
    python runtime/tests/golden_inputs.py --write   # into the file, after inputs.py or the arithmetic was changed

Arithmetic is changed seldom and on purpose: models that were trained before see other pixels from then on.
"""

import hashlib
import json
import sys
from pathlib import Path

from inputs import LARGE, audio_processors, image_processors, photos, recordings

from edgestill_runtime.processing import Processor
from edgestill_runtime.processing.pictures import Picture

FILE = Path(__file__).with_suffix(".json")
KINDS = ("photos", "recordings")
LOSSY = (".jpg", "colours.webp")
"""How names of lossy files end: their pixels are the decoder's, and differ between its versions."""

Rows = dict[str, dict[str, str]]


def processors(kind: str) -> list[Processor]:
    """Those that are tried on a kind."""
    return [*image_processors()] if kind == "photos" else [*audio_processors()]


def digests(kind: str) -> Rows:
    """Name → place of a processor → the first 16 digits of the SHA-256 of its pixels.

    Four processors on each photo, one on those with a side above `LARGE`, three on each recording, in turn.
    """
    tried = processors(kind)
    sources, step, most = (photos(), 5, 4) if kind == "photos" else (recordings(), 1, 3)
    found: Rows = {}
    for number, (name, source) in enumerate(sources.items()):
        if name.endswith(LOSSY):
            continue
        large = isinstance(source, Picture) and max(source.pixels.shape) > LARGE
        places = [(number + step * turn) % len(tried) for turn in range(1 if large else most)]
        found[name] = {
            str(place): hashlib.sha256(tried[place].pixels(source).tobytes()).hexdigest()[:16] for place in places
        }
    return found


def text(found: dict[str, Rows]) -> str:
    """JSON with a line for each photo and recording."""
    kinds = []
    for kind, rows in found.items():
        lines = [f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(row)}" for name, row in rows.items()]
        kinds.append(f'"{kind}": {{\n' + ",\n".join(lines) + "\n}")
    return "{\n" + ",\n".join(kinds) + "\n}\n"


if __name__ == "__main__":
    found = {kind: digests(kind) for kind in KINDS}
    if sys.argv[1:] == ["--write"]:
        FILE.write_text(text(found), encoding="utf-8")
    else:
        print(json.dumps(found))
