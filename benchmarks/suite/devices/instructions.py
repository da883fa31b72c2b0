"""Instructions that one inference takes on each board, counted under emulation: exact, and the same every time.

    make pi
    python -m benchmarks.suite.devices.instructions docs/results/instructions.json runs/demo/demo.edge …

The zoo's bundles are always among them; what the file holds of others stays. It is a measure of work, not of time: how
many instructions a core finishes in a second, and how long it waits for memory, is the board's own.
"""

import argparse
import json
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgestill import zoo
from edgestill_runtime import open_bundle
from edgestill_runtime.files import write_bytes

ROOT = Path(__file__).parents[3]
BOARDS = {"Raspberry Pi 4": "pi4-bookworm", "Raspberry Pi 5": "pi5-trixie"}


def main() -> None:
    """Count, and write the table's numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("bundles", type=Path, nargs="*")
    arguments = parser.parse_args()
    paths = [*(one.path for one in zoo.entries()), *arguments.bundles]
    found = json.loads(arguments.output.read_text()) if arguments.output.exists() else {}
    for path in paths:
        manifest = open_bundle(path).manifest
        boards = {board: count(ROOT / "build" / "pi" / folder, path) for board, folder in BOARDS.items()}
        found[manifest.name] = {"macs": manifest.macs, "parameters": manifest.parameters, "boards": boards}
        print(manifest.name, boards)
    write_bytes(arguments.output, (json.dumps(found, indent=2) + "\n").encode())


def count(pi: Path, bundle: Path) -> dict[str, int]:
    """File → instructions of one inference on one thread, everything of `Model.invoke` included.

    Args:
        pi: folder that `runtime/pi/make_rootfs.sh` made.
    """
    with TemporaryDirectory() as scratch:
        marks = Path(scratch) / "marks.txt"
        command = [pi / "count", marks, Path(__file__).with_name("count.py"), bundle]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        ran: dict[str, Any] = json.loads(done.stdout)
        counts = [int(line.split()[1]) for line in marks.read_text().splitlines()]
    between = [after - before for before, after in zip(counts[::2], counts[1::2], strict=True)]
    return {file: round(total / ran["calls"]) for file, total in zip(ran["files"], between, strict=True)}


if __name__ == "__main__":
    main()
