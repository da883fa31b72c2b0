"""Put the bundle of a finished run into the zoo: its int8 files, as one zip.

    python sdk/tools/add_to_zoo.py runs/spoken-digits/spoken-digits.edge

Afterwards `benchmarks/suite/devices/instructions.py` counts what it costs on the boards; a test asks for that.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from edgestill import zoo
from edgestill_runtime import open_bundle, write_bundle
from edgestill_runtime.bundle import Golden, golden_npz, pack_zip

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("bundle", type=Path)
source = open_bundle(parser.parse_args().bundle)
source.verify()
models = {name: entry for name, entry in source.manifest.models.items() if entry.precision != "fp32"}
golden = source.golden()
outputs = {name: values for name, values in golden.outputs.items() if name in models}
contents = {name: source.read(name) for name in models}
contents |= {"golden.npz": golden_npz(Golden(golden.inputs, outputs))}
with TemporaryDirectory() as folder:
    stripped = write_bundle(Path(folder) / "stripped.edge", replace(source.manifest, models=models), contents)
    done = pack_zip(stripped, zoo.FOLDER / f"{source.manifest.name}.edge", overwrite=True)
print(done.path, done.path.stat().st_size)
