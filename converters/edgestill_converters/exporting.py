"""Exporters in processes of their own: one that crashes, hangs or eats memory ends there, and leaves its log.

The parent writes each graph to a file (`torch.export.save`), starts one child for each engine, side by side, and waits
for lines that say which file has begun and which is done. The child's words, native code's included, go to the log.
"""

import json
import math
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from .blame import Blame, first_failing
from .errors import ConversionError
from .scale import Scale

SUFFIXES = {"executorch": ".pte", "litert": ".tflite"}
LIMIT_SECONDS = 1800.0
"""For one file. DenseNet-121 takes four minutes on two slow cores."""
BLAME_SECONDS = 120.0
"""To look for the operator that an exporter fails on."""


@dataclass(frozen=True)
class Exported:
    """A finished file, and the scales of its int8 inputs and outputs that the file itself does not tell."""

    content: bytes
    inputs: tuple[Scale | None, ...] = ()
    outputs: tuple[Scale | None, ...] = ()


@dataclass
class _Child:
    engine: str
    process: subprocess.Popen[bytes]
    pipe: int
    buffer: bytes = b""
    file: str = ""
    deadline: float = 0.0


def export_files(
    programs: Mapping[str, tuple[ExportedProgram, bool]],
    folder: Path,
    log: Path,
    *,
    limit_seconds: float = LIMIT_SECONDS,
    on_step: Callable[[str], None] = lambda name: None,
) -> dict[str, Exported]:
    """Export graphs to files.

    Args:
        programs: file name, whose ending chooses the exporter → the graph, and whether it is quantised.
        folder: an empty one to work in. log: what the exporters say is added to it.
        limit_seconds: for one file.

    Raises:
        ConversionError: an exporter failed, crashed, or took longer; names the file, and the operator if it was found.
    """
    jobs: dict[str, dict[str, bool]] = {}
    for name, (program, quantised) in programs.items():
        torch.export.save(program, folder / f"{name}.pt2")
        engine = next(engine for engine, suffix in SUFFIXES.items() if name.endswith(suffix))
        jobs.setdefault(engine, {})[name] = quantised
    children = [_start(engine, files, folder, log, limit_seconds) for engine, files in jobs.items()]
    try:
        _wait(children, limit_seconds, folder, on_step)
    finally:
        for child in children:
            child.process.kill()
            child.process.wait()
            os.close(child.pipe)
            assert child.process.stdin is not None
            child.process.stdin.close()
    return {name: _read(folder / name) for name in programs}


def _start(engine: str, files: dict[str, bool], folder: Path, log: Path, limit_seconds: float) -> _Child:
    reading, writing = os.pipe()
    (folder / f"{engine}.json").write_text(json.dumps(files))
    command = [sys.executable, "-m", __name__, engine, str(folder), str(writing)]
    try:
        with open(log, "ab") as said:
            # Nothing is ever written to its input: that ends when this process does, and the child with it.
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=said, stderr=said, pass_fds=(writing,))
    finally:
        os.close(writing)
    return _Child(engine, process, reading, file=next(iter(files)), deadline=time.monotonic() + limit_seconds)


def _wait(children: list[_Child], limit_seconds: float, folder: Path, on_step: Callable[[str], None]) -> None:
    # Not `select.select`, which takes no descriptor above 1,023.
    with selectors.DefaultSelector() as working:
        for child in children:
            working.register(child.pipe, selectors.EVENT_READ, child)
        while working.get_map():
            left = min(key.data.deadline for key in working.get_map().values()) - time.monotonic()
            ready = working.select(None if math.isinf(left) else max(left, 0))
            if not ready:
                late = min((key.data for key in working.get_map().values()), key=lambda child: child.deadline)
                raise ConversionError(
                    f"{late.file}: the {late.engine} exporter was not done after {limit_seconds:g} s and was ended; "
                    f"allow more, or leave {late.engine} out of the targets"
                )
            for key, _ in ready:
                if not _read_line(key.data, limit_seconds, on_step):
                    if key.data.process.wait() != 0:
                        raise ConversionError(_failure(key.data, folder))
                    working.unregister(key.fd)


def _read_line(child: _Child, limit_seconds: float, on_step: Callable[[str], None]) -> bool:
    """What a child says of its progress; whether it may say more."""
    piece = os.read(child.pipe, 1 << 12)
    child.buffer += piece
    while b"\n" in child.buffer:
        line, _, child.buffer = child.buffer.partition(b"\n")
        child.file = line.decode()
        child.deadline = time.monotonic() + limit_seconds
        on_step(child.file)
    return bool(piece)


def _failure(child: _Child, folder: Path) -> str:
    code, other = child.process.returncode, "litert" if child.engine == "executorch" else "executorch"
    advice = f"leave {child.engine} out of the targets (--target {other}), or write that part of the model otherwise"
    if code < 0:
        return f"{child.file}: the {child.engine} exporter was ended by {signal.Signals(-code).name}; {advice}"
    blamed = folder / f"{child.file}.blame.json"
    if not blamed.exists():
        return f"{child.file}: the {child.engine} exporter ended with code {code}; {advice}"
    place = Blame(**json.loads(blamed.read_text()))
    return f"{child.file}: the {child.engine} exporter cannot convert {place}; {advice}"


def _read(path: Path) -> Exported:
    ends = json.loads(path.with_name(path.name + ".json").read_text())
    scales = {side: tuple(one and Scale(**one) for one in ends[side]) for side in ("inputs", "outputs")}
    return Exported(path.read_bytes(), **scales)


def _work(engine: str, folder: Path, pipe: int) -> None:
    """The child: export the files of one engine, one after the other."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Registers the operators of quantised graphs, without which they cannot be read.
    import torchao.quantization.pt2e.quantize_pt2e  # noqa: F401

    for name, quantised in json.loads((folder / f"{engine}.json").read_text()).items():
        os.write(pipe, f"{name}\n".encode())
        program = torch.export.load(folder / f"{name}.pt2")
        try:
            content, ends = _export(engine, quantised, program)
        except Exception:
            import traceback

            traceback.print_exc()
            place = first_failing(program, partial(_export, engine, quantised), BLAME_SECONDS)
            (folder / f"{name}.blame.json").write_text(json.dumps(asdict(place)))
            sys.exit(1)
        plain = {side: [one and asdict(one) for one in scales] for side, scales in ends.items()}
        (folder / f"{name}.json").write_text(json.dumps(plain))
        (folder / name).write_bytes(content)


def _export(engine: str, quantised: bool, program: ExportedProgram) -> tuple[bytes, dict[str, Any]]:
    if engine == "executorch":
        from .executorch import export_pte

        content, inputs, outputs = export_pte(program)
        return content, {"inputs": inputs, "outputs": outputs}
    from .litert import export_tflite

    return export_tflite(program, quantised), {"inputs": [], "outputs": []}


def _end_with_parent() -> None:
    # Not through `sys.stdin`, whose lock would be held when the interpreter ends.
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    _work(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
