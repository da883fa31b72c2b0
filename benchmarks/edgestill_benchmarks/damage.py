"""How engines react to damaged copies of a bundle's files: inside a bundle, and bare in a process of their own.

Every variant comes from a seed, so a finding can be reproduced. Needs numpy and the engines alone, as on a device.
"""

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgestill_runtime import (
    Bundle,
    BundleError,
    EngineCrashError,
    EngineError,
    EngineMemoryError,
    EngineTimeoutError,
    Limits,
    Model,
    load,
    open_bundle,
    pack_zip,
    write_bundle,
)
from edgestill_runtime.manifest import members

HEAD = 4096
LIMITS = Limits(load_seconds=20, call_seconds=10, memory_bytes=1 << 29)
OUTCOMES = (
    "refused", "answered as before", "answered differently", "crashed", "hung", "took too much memory",
    "harmed the parent",
)  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """A damaged copy. kind: of damage. number: of the copy; seed and number reproduce it."""

    kind: str
    number: int
    content: bytes


def _truncated(content: bytes, random: np.random.Generator) -> bytes:
    return content[: int(random.integers(0, len(content)))]


def _flipped(content: bytes, random: np.random.Generator, end: int) -> bytes:
    damaged = bytearray(content)
    for place in random.integers(0, min(end, len(content)), int(random.integers(1, 9))):
        damaged[place] ^= 1 << int(random.integers(8))
    return bytes(damaged)


def _flipped_in_head(content: bytes, random: np.random.Generator) -> bytes:
    return _flipped(content, random, HEAD)


def _flipped_anywhere(content: bytes, random: np.random.Generator) -> bytes:
    return _flipped(content, random, len(content))


def _spliced(content: bytes, random: np.random.Generator) -> bytes:
    """A stretch written over another, or put in between."""
    length = int(random.integers(1, max(2, len(content) // 4)))
    source, target = (int(place) for place in random.integers(0, max(1, len(content) - length), 2))
    kept = target + (length if random.integers(2) else 0)
    return content[:target] + content[source : source + length] + content[kept:]


def _random_stretch(content: bytes, random: np.random.Generator) -> bytes:
    start = int(random.integers(0, len(content)))
    noise = random.bytes(int(random.integers(1, 513)))[: len(content) - start]
    return content[:start] + noise + content[start + len(noise) :]


def _garbage(content: bytes, random: np.random.Generator) -> bytes:
    """Random bytes after the eight that identify the format."""
    return content[:8] + random.bytes(len(content) - 8)


KINDS: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "truncated": _truncated,
    "1-8 bits flipped in the first 4 kB": _flipped_in_head,
    "1-8 bits flipped anywhere": _flipped_anywhere,
    "spliced": _spliced,
    "random bytes over a stretch": _random_stretch,
    "noise behind the identifier": _garbage,
}


def variants(content: bytes, count: int, seed: int = 0) -> Iterator[Variant]:
    """`count` damaged copies, the kinds in turn; every one differs from the original."""
    kinds = list(KINDS.items())
    for number in range(count):
        kind, damage = kinds[number % len(kinds)]
        random = np.random.default_rng([seed, number])
        damaged = damage(content, random)
        while damaged == content:
            damaged = damage(content, random)
        yield Variant(kind, number, damaged)


def try_in_bundle(bundle: Bundle, file: str, count: int, seed: int = 0) -> Counter[str]:
    """Load bundles in which one file is damaged: the manifest's hash must refuse it before an engine loads it.

    Args:
        count: of copies; of a model file that is a folder, of each member.
    """
    entry = bundle.manifest.models[file]
    contents = {name: bundle.read(name) for name in bundle.files}
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        copy = write_bundle(Path(folder) / "copy.edge", bundle.manifest, contents)
        for path in members(file, contents):
            for variant in variants(contents[path], count, seed):
                (copy.path / path).write_bytes(variant.content)
                found[_in_process(copy.path, entry.engine, entry.precision)] += 1
            (copy.path / path).write_bytes(contents[path])
    return found


def try_zip(bundle: Bundle, count: int, seed: int = 0) -> Counter[str]:
    """Open and verify damaged copies of the bundle as a zip; the damage may be in manifest, directory or files.

    A copy whose files still match the manifest (only a date is damaged, say) counts as answered as before.
    """
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "copy.edge"
        pack_zip(bundle, path)
        original = {name: bundle.read(name) for name in bundle.files}
        for variant in variants(path.read_bytes(), count, seed):
            path.write_bytes(variant.content)
            try:
                opened = open_bundle(path)
                opened.verify()
                same = (
                    opened.manifest == bundle.manifest and {one: opened.read(one) for one in opened.files} == original
                )
                found["answered as before" if same else "answered differently"] += 1
            except BundleError:
                found["refused"] += 1
    return found


def try_bare(
    content: bytes,
    suffix: str,
    count: int,
    seed: int = 0,
    jobs: int = 1,
    on_progress: Callable[[int], None] = lambda done: None,
) -> dict[str, Counter[str]]:
    """Load damaged copies of a bare file, isolated, and run each that loads once: kind of damage → outcome → how many.

    Args:
        suffix: `.tflite` or `.pte`. jobs: variants at once, each with a process of its own.
    """
    found: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        expected = _outputs_of(Path(folder), f"original{suffix}", content)

        def outcome(variant: Variant) -> tuple[str, str]:
            return variant.kind, _isolated(Path(folder), f"{variant.number}{suffix}", variant.content, expected)

        for done, (kind, result) in enumerate(pool.map(outcome, variants(content, count, seed)), 1):
            found[kind][result] += 1
            on_progress(done)
    return found


def _in_process(path: Path, engine: str, precision: Any) -> str:
    try:
        load(path, engine=engine, precision=precision).close()
    except BundleError:
        return "refused"
    except EngineError:
        pass
    return "harmed the parent"  # an engine was given the file


def _isolated(folder: Path, name: str, content: bytes, expected: list[NDArray[Any]]) -> str:
    try:
        outputs = _outputs_of(folder, name, content)
    except EngineCrashError:
        return "crashed"
    except EngineTimeoutError:
        return "hung"
    except EngineMemoryError:
        return "took too much memory"
    except EngineError:
        return "refused"
    finally:
        (folder / name).unlink(missing_ok=True)
    same = len(outputs) == len(expected) and all(map(np.array_equal, outputs, expected))
    return "answered as before" if same else "answered differently"


def _outputs_of(folder: Path, name: str, content: bytes) -> list[NDArray[Any]]:
    (folder / name).write_bytes(content)
    with load(folder / name, isolated=LIMITS) as model:
        return _run_once(model)


def _run_once(model: Model) -> list[NDArray[Any]]:
    """Outputs of one call with fixed numbers, in the shapes and types that the file declares for its inputs."""
    tensors = []
    for spec in model.inputs:
        if np.prod(spec.shape, dtype=np.float64) > LIMITS.memory_bytes:
            raise EngineError(f"its input has shape {spec.shape}")
        ramp = np.arange(np.prod(spec.shape, dtype=np.int64)) % 101
        tensors.append(ramp.reshape(spec.shape).astype(spec.dtype))
    results = model.invoke(*tensors)
    return list(results) if isinstance(results, tuple) else [results]


def jobs_here() -> int:
    """Variants at once: one for every core."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
