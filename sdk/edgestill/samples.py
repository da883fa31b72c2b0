"""The test images that belong to a bundle, and what this machine's models said of them."""

import numpy as np
from numpy.typing import NDArray

from edgestill_benchmarks.results import read_results
from edgestill_runtime import Bundle

from .devices import Samples
from .errors import DataError


def find_samples(bundle: Bundle, source: str | None = None, count: int | None = None) -> Samples | None:
    """Test images for a bundle.

    Args:
        source: of the images; that of the run in whose folder the bundle lies when None.
        count: how many, from the first on; all when None, and no samples at all for 0.

    Returns:
        None where there is neither a source nor a run.

    Raises:
        DataError: the images are not there, or are not those that the bundle's accuracy was measured on.
    """
    run = bundle.path.absolute().parent
    if count == 0 or (source is None and not (run / "results.json").is_file()):
        return None
    # Only now what needs torch: a measurement without images starts at once.
    from .data import load_data, open_source
    from .run_data import parse_recipe, refuse_source

    reference: dict[str, NDArray[np.float32]] = {}
    if source is not None:
        test = open_source(source, processor=bundle.manifest.processor).test.load()
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
        with np.load(run / "stages" / "evaluation" / "logits.npz", allow_pickle=False) as arrays:
            reference = {name: arrays[name][:count] for name in arrays.files}
    return Samples(test.images[:count], test.labels[:count], len(test), reference)
