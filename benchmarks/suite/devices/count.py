"""On an emulated board: mark where the calls of each file of a bundle begin and end; `instructions.c` counts between.

Prints, as JSON, the files in the order of the marks, and the number of calls of each.
"""

import ctypes
import json
import sys

from edgestill_benchmarks import open_models
from edgestill_runtime import open_bundle

MARK = 4242
WARM_UP, CALLS = 5, 10


def main() -> None:
    mark = ctypes.CDLL(None).syscall
    bundle = open_bundle(sys.argv[1])
    sample = [array[:1] for array in bundle.golden().inputs]
    models = open_models(bundle)
    for place, model in enumerate(models.values()):
        tensors = model.tensors_of(sample)
        for _ in range(WARM_UP):
            model.invoke(*tensors)
        mark(MARK, 2 * place)
        for _ in range(CALLS):
            model.invoke(*tensors)
        mark(MARK, 2 * place + 1)
    print(json.dumps({"files": list(models), "calls": CALLS}))


if __name__ == "__main__":
    main()
