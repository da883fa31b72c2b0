"""The child of `exporting.py`: exports the files of one engine, job after job, each with its words in a log of its own.

    python -m edgestill_converters.exporter ENGINE PIPE      jobs come in as lines of JSON

It says on the pipe which file it begins with, and with an empty line that a job is done. It ends at what fails, when
its input ends, and when no job has come for a while.
"""

import json
import os
import queue
import sys
import threading
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

IDLE_SECONDS = 240.0
BLAME_SECONDS = 120.0
"""To look for the operator that an export fails on, the last try not counted."""
SEARCHING = "?"
"""Said in the place of a file's name: the export has failed, and that search begins."""


def main(engine: str, pipe: int) -> None:
    """Do what comes in."""
    jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    while True:
        try:
            job = jobs.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            return
        _speak_into(job["log"])
        _work(engine, job["files"], Path(job["folder"]), pipe)
        os.write(pipe, b"\n")


def _listen(jobs: "queue.SimpleQueue[dict[str, Any]]") -> None:
    # Not through `sys.stdin`, whose lock would be held when the interpreter ends.
    with open(0, "rb", buffering=0, closefd=False) as lines:
        for line in lines:
            jobs.put(json.loads(line))
    os._exit(1)  # the process that started this one is gone, whatever is being done for it


def _speak_into(log: str) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    with open(log, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def _work(engine: str, files: dict[str, bool], folder: Path, pipe: int) -> None:
    import torch

    # Registers the operators of quantised graphs, without which they cannot be read.
    import torchao.quantization.pt2e.quantize_pt2e  # noqa: F401

    from .blame import first_failing

    for name, quantised in files.items():
        os.write(pipe, f"{name}\n".encode())
        program = torch.export.load(folder / f"{name}.pt2")
        try:
            content, ends = _export(engine, quantised, program)
        except Exception:
            import traceback

            traceback.print_exc()
            os.write(pipe, f"{SEARCHING}\n".encode())
            place = first_failing(program, partial(_export, engine, quantised), BLAME_SECONDS)
            (folder / f"{name}.blame.json").write_text(json.dumps(asdict(place)))
            sys.exit(1)
        plain = {side: [one and asdict(one) for one in scales] for side, scales in ends.items()}
        (folder / f"{name}.json").write_text(json.dumps(plain))
        (folder / name).write_bytes(content)


def _export(engine: str, quantised: bool, program: Any) -> tuple[bytes, dict[str, Any]]:
    if engine == "executorch":
        from .executorch import export_pte

        content, inputs, outputs = export_pte(program)
        return content, {"inputs": inputs, "outputs": outputs}
    from .litert import export_tflite

    return export_tflite(program, quantised), {"inputs": [], "outputs": []}


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
