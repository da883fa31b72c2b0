"""The pictures in the README: small copies of what the tests drew, and a loose comparison with what they draw now."""

from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT = 900  # of a kept picture, pixels
COLOURS = 96
# Pictures are compared at this width, so that a digit of a latency, or a font's edge, does not count.
WIDTH = 48
LIMIT = 6.0  # mean difference, grey levels of 255


def keep(drawn: Path, kept: Path) -> None:
    """Put small copies of all pictures into `kept`, in place of what is there."""
    kept.mkdir(exist_ok=True)
    for path in kept.glob("*.png"):
        path.unlink()
    for path in sorted(drawn.glob("*.png")):
        picture = Image.open(path).convert("RGB")
        width = round(picture.width * HEIGHT / picture.height)
        small = picture.resize((width, HEIGHT), Image.Resampling.LANCZOS) if picture.height > HEIGHT else picture
        small.quantize(COLOURS, dither=Image.Dither.NONE).save(kept / path.name, optimize=True)


def compare(drawn: Path, kept: Path) -> str:
    """Ends the proof where a picture is missing or looks different."""
    names = {path.name for path in kept.glob("*.png")}
    missing = names ^ {path.name for path in drawn.glob("*.png")}
    if missing or not names:
        raise SystemExit(
            f"screenshots that are kept or drawn, but not both: {', '.join(sorted(missing)) or 'none at all'}"
        )
    for name in sorted(names):
        difference = float(np.abs(_small(drawn / name) - _small(kept / name)).mean())
        if difference > LIMIT:
            raise SystemExit(
                f"{name} looks different (by {difference:.1f} of 255): look at {drawn / name}, and keep it with "
                "`python android-demo/proof/prove.py --keep-screenshots` if it is as meant"
            )
    return f"{len(names)} screenshots, light and dark, phone, tablet and browser, look as those in the README"


def _small(path: Path) -> np.ndarray:
    picture = Image.open(path).convert("L")
    return np.asarray(
        picture.resize((WIDTH, round(WIDTH * picture.height / picture.width)), Image.Resampling.BOX), np.float64
    )
