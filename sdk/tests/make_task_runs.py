"""Runs of the tasks that no data set of the project is for, on drawn images: `python make_task_runs.py FOLDER`.

    FOLDER/shapes    a circle, a cross, a bar: any of them in one image; multi-label-classification
    FOLDER/disc      the diameter of a disc in millimetres and where it lies; regression

Real engines, a teacher, a student, both int8 files, a report; images and nets as small as that allows.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import edgestill as es
from edgestill.recipe import load_recipe

COUNT, SIDE = 700, 20
RECIPE = """
name = "{name}"
task = "{task}"

[task_options]
{options}

[data]
source = "image-folder:{source}"
image_size = {side}
calibration = 64

[teacher]
model = "resnet8"
training = {{ epochs = {epochs}, learning_rate = 4e-3, batch_size = 32 }}

[student]
model = "dscnn_xs"

[training]
epochs = {epochs}
views = 2
learning_rate = 8e-3
batch_size = 32

[conversion]
max_drop = 5.0

[measure]
threads = [1]
min_calls = 20
min_seconds = 0.05
"""
OPTIONS = {"shapes": "thresholds = 0.4", "disc": 'units = ["mm", "px"]\ntolerance = [0.2, 0.5]'}
TASKS = {"shapes": "multi-label-classification", "disc": "regression"}
EPOCHS = {"shapes": 8, "disc": 10}


def draw_shapes(generator: np.random.Generator) -> tuple[Image.Image, dict[str, object]]:
    """Up to three shapes at places of their own, with noise."""
    image = Image.new("L", (SIDE, SIDE), 40)
    pen = ImageDraw.Draw(image)
    wanted = [name for name in ("circle", "cross", "bar") if generator.random() < 0.5]
    for name in wanted:
        x, y = generator.integers(5, SIDE - 5, 2).tolist()
        if name == "circle":
            pen.ellipse((x - 4, y - 4, x + 4, y + 4), outline=220)
        elif name == "cross":
            pen.line((x - 3, y - 3, x + 3, y + 3), fill=220)
            pen.line((x - 3, y + 3, x + 3, y - 3), fill=220)
        else:
            pen.rectangle((x - 1, y - 4, x + 1, y + 4), fill=220)
    return _noisy(image, generator), {"tags": "; ".join(wanted)}


def draw_disc(generator: np.random.Generator) -> tuple[Image.Image, dict[str, object]]:
    """One disc; a pixel is half a millimetre."""
    image = Image.new("L", (SIDE, SIDE), 40)
    radius, x, y = generator.uniform(2, 6), *generator.uniform(6, SIDE - 6, 2)
    ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill=220)
    return _noisy(image, generator), {"diameter": f"{radius:.4f}", "left": f"{x:.4f}"}


def _noisy(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    pixels = np.asarray(image, np.float64) + generator.normal(0, 8, (SIDE, SIDE))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def write_data(folder: Path, name: str, count: int = COUNT) -> Path:
    """Images, and a table that says what is in them."""
    generator = np.random.default_rng(5)
    folder.mkdir(parents=True)
    rows = []
    for number in range(count):
        image, targets = (draw_shapes if name == "shapes" else draw_disc)(generator)
        file = f"{number:04d}.png"
        image.save(folder / file)
        rows.append({"file": file, **targets})
    with open(folder / "targets.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return folder


def write_recipe(folder: Path, name: str) -> Path:
    """The data of a task in `data/NAME`, and a recipe for it."""
    source = write_data(folder / "data" / name, name)
    path = folder / f"{name}.toml"
    text = RECIPE.format(
        name=name, task=TASKS[name], options=OPTIONS[name], source=source.name, side=SIDE, epochs=EPOCHS[name]
    )
    path.write_text(text.replace(f"image-folder:{name}", f"image-folder:{source}"))
    return path


def main(folder: Path) -> None:
    """Both runs, in one process, whose exporters start once."""
    for name in TASKS:
        es.run(load_recipe(write_recipe(folder, name)), folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
