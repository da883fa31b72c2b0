"""The test images of a bundle, and the outputs of this machine's models for them."""

import zipfile
from pathlib import Path

from edgestill_benchmarks.results import read_results
from edgestill_runtime import Bundle
from edgestill_runtime.tasks import task_of

from .devices import Samples
from .errors import DataError
from .outputs import Outputs, read_outputs
from .progress import SILENT, Progress


def find_samples(
    bundle: Bundle, source: str | None = None, count: int | None = None, progress: Progress = SILENT
) -> Samples | None:
    """Test images for a bundle.

    Args:
        source: of the images; None: that of the run in whose folder the bundle is.
        count: number of samples, starting with the first; None: all; 0: no samples.
        progress: gets a message if there are no outputs to compare a device's with.

    Returns:
        None if there is neither a source nor a run.

    Raises:
        DataError: the images are not there, have other classes than the bundle, or are not those of the run that its
            accuracy was measured on.
    """
    run = bundle.path.absolute().parent
    if count == 0 or (source is None and not (run / "results.json").is_file()):
        return None
    # Imported here, as it needs torch: a measurement without images starts faster.
    from .data import open_source
    from .run_data import parse_recipe, refuse_source, refuse_task

    reference: dict[str, Outputs] = {}
    manifest = bundle.manifest
    if source is not None:
        test = open_source(
            source, processor=manifest.processor, classes=manifest.labels, task=manifest.task
        ).test.load()
    else:
        results = read_results(run)
        recipe = parse_recipe(results["recipe"], run / "results.json")
        refuse_source(recipe.data.source, run / "results.json", None)
        refuse_task(recipe.task, run / "results.json")
        data = recipe.load_data()  # no model of the recipe is made: a file would choose its code
        if data.digest != results["data"]["digest"]:
            raise DataError(
                f"{data.name} is no longer the data that {run} was made with; say --samples 0 to measure without images"
            )
        test = data.test
        reference = _reference(run / "stages" / "evaluation" / "logits.npz", count, progress)
    task = task_of(manifest.task, manifest.labels, manifest.task_settings, manifest.scores)
    return Samples(test.images[:count], test.targets[:count], len(test), reference, task)


def _reference(path: Path, count: int | None, progress: Progress) -> dict[str, Outputs]:
    """The outputs of this machine's models, by name; empty if the run's stages are missing or damaged."""
    try:
        return {name: tuple(one[:count] for one in arrays) for name, arrays in read_outputs(path).items()}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        why = "is not there" if isinstance(error, FileNotFoundError) else "cannot be read"
        progress.message(f"{path} {why}: outputs are not compared with this machine's")
        return {}
