"""The test images that belong to a bundle, and what this machine's models said of them."""

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgestill_benchmarks.results import read_results
from edgestill_runtime import Bundle

from .devices import Samples
from .errors import DataError
from .progress import SILENT, Progress


def find_samples(
    bundle: Bundle, source: str | None = None, count: int | None = None, progress: Progress = SILENT
) -> Samples | None:
    """Test images for a bundle.

    Args:
        source: of the images; that of the run in whose folder the bundle lies when None.
        count: how many, from the first on; all when None, and no samples at all for 0.
        progress: is told where there is nothing to compare a device's answers with.

    Returns:
        None where there is neither a source nor a run.

    Raises:
        DataError: the images are not there, have other classes than the bundle, or are not those of the run that its
            accuracy was measured on.
    """
    run = bundle.path.absolute().parent
    if count == 0 or (source is None and not (run / "results.json").is_file()):
        return None
    # Only now what needs torch: a measurement without images starts at once.
    from .data import load_data, open_source
    from .run_data import parse_recipe, refuse_source

    reference: dict[str, NDArray[np.float32]] = {}
    if source is not None:
        manifest = bundle.manifest
        test = open_source(source, processor=manifest.processor, classes=manifest.labels).test.load()
    else:
        results = read_results(run)
        recipe = parse_recipe(results["recipe"], run / "results.json")
        refuse_source(recipe.data.source, run / "results.json", None)
        data = load_data(**recipe.data.arguments())  # no model of the recipe is made: a file would choose its code
        if data.digest != results["data"]["digest"]:
            raise DataError(
                f"{data.name} is no longer the data that {run} was made with; say --samples 0 to measure without images"
            )
        test = data.test
        reference = _reference(run / "stages" / "evaluation" / "logits.npz", count, progress)
    return Samples(test.images[:count], test.labels[:count], len(test), reference)


def _reference(path: Path, count: int | None, progress: Progress) -> dict[str, NDArray[np.float32]]:
    """What this machine's models said, by name; empty where the run's stages are not there, or damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name][:count] for name in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        why = "is not there" if isinstance(error, FileNotFoundError) else "cannot be read"
        progress.message(f"{path} {why}: answers are not compared with this machine's")
        return {}
