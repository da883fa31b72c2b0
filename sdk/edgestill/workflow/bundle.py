"""The finished bundle: the converted files with the quality of all in their manifest, verified and replayed."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgestill_runtime import Bundle, Task, replay_golden, why_failed, write_bundle

from ..errors import EdgestillError
from ..outputs import Outputs
from .stage import Capture

MODELS = ("teacher", "student_alone", "student_distilled")


def write_finished_bundle(
    path: Path,
    converted: Bundle,
    outputs: Mapping[str, Outputs],
    targets: NDArray[Any],
    task: Task,
    log: Path,
    capture: Capture,
) -> Bundle:
    """Write the bundle for deployment.

    Args:
        path: `NAME.edge`; an older one is replaced. The manifest gets this name: the conversion may be that of a run
            under another one.
        outputs: for the test split, by `MODELS` and the files' names. targets: (N, …). task: of the targets.
        log: of the engines that replay it.

    Raises:
        EdgestillError: the golden samples do not reproduce the recorded outputs.
    """
    models = {
        name: replace(entry, quality=task.quality(outputs[name], targets))
        for name, entry in converted.manifest.models.items()
    }
    manifest = replace(
        converted.manifest,
        name=path.stem,
        models=models,
        quality={name: task.quality(outputs[name], targets) for name in MODELS},
        agreement=agreement_of_engines(converted, outputs, task),
    )
    contents = {name: converted.read(name) for name in converted.files}
    bundle = write_bundle(path, manifest, contents, overwrite=True)
    with capture(log):
        failure = why_failed(replay_golden(bundle))
    if failure:
        raise EdgestillError(
            f"{bundle.path}: the golden samples do not reproduce the recorded outputs: {failure}; use --force"
        )
    return bundle


def agreement_of_engines(bundle: Bundle, outputs: Mapping[str, Outputs], task: Task) -> float | None:
    """Share of samples for which the first two quantized files give the same prediction; None for fewer files."""
    files = [bundle.manifest.find(engine, "quantized") for engine in bundle.manifest.engines]
    names = [name for name in files if name is not None][:2]
    return task.agreement(outputs[names[0]], outputs[names[1]]) if len(names) == 2 else None
