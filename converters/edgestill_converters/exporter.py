"""The child of `exporting.py`: exports the files of one engine, job after job, each with a log of its own.

    python -m edgestill_converters.exporter ENGINE PIPE      jobs come in as lines of JSON

It writes to the pipe the name of each file as it begins, and an empty line when a job is done. It exits on a failure,
at the end of its input, and when no job has come for a while.
"""

import json
import os
import queue
import sys
import threading
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from .backends import Backend, Exported

IDLE_SECONDS = 240.0
BLAME_SECONDS = 120.0
"""Limit of the search for the operator that an export fails on, the last export not counted."""
SEARCHING = "?"
"""Sent instead of a file name: the export has failed, and that search begins."""


def main(engine: str, pipe: int) -> None:
    """Run the jobs that come in."""
    jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    while True:
        try:
            job = jobs.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            return
        _redirect_output(job["log"])
        _work(engine, job["files"], Path(job["folder"]), pipe)
        os.write(pipe, b"\n")


def _listen(jobs: "queue.SimpleQueue[dict[str, Any]]") -> None:
    # Not through `sys.stdin`, whose lock would be held when the interpreter ends.
    with open(0, "rb", buffering=0, closefd=False) as lines:
        for line in lines:
            jobs.put(json.loads(line))
    os._exit(1)  # the process that started this one is gone, and with it the need for the current job


def _redirect_output(log: str) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    with open(log, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def _work(engine: str, files: dict[str, bool], folder: Path, pipe: int) -> None:
    import torch

    if any(files.values()):
        # Registers the operators of quantized graphs, without which they cannot be read.
        import torchao.quantization.pt2e.quantize_pt2e  # noqa: F401

    from .backends import get_backend
    from .blame import first_failing

    backend = get_backend(engine)
    for name, quantized in files.items():
        os.write(pipe, f"{name}\n".encode())
        program = torch.export.load(folder / f"{name}.pt2")
        try:
            made = _export(backend, quantized, program)
        except Exception:
            import traceback

            traceback.print_exc()
            os.write(pipe, f"{SEARCHING}\n".encode())
            place = first_failing(program, partial(_export, backend, quantized), BLAME_SECONDS)
            (folder / f"{name}.blame.json").write_text(json.dumps(asdict(place)))
            sys.exit(1)
        _write(made, folder / name)


def _export(backend: "Backend", quantized: bool, program: "ExportedProgram") -> "Exported":
    return backend.export(program, quantized)


def _write(made: "Exported", path: Path) -> None:
    """Write the file, or the folder with its members, and beside it a JSON file with what it does not store itself."""
    members = None if isinstance(made.content, bytes) else list(made.content)
    scales = {side: [one and asdict(one) for one in getattr(made, side)] for side in ("inputs", "outputs")}
    path.with_name(path.name + ".json").write_text(json.dumps({**scales, "members": members}))
    if isinstance(made.content, bytes):
        path.write_bytes(made.content)
        return
    for member, content in made.content.items():
        place = path / member
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
