"""Replay a bundle's golden samples: does this device give the outputs that were recorded when the files were made?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .bundle import Bundle, Golden
from .comparison import Comparison, Tolerance, compare_outputs
from .engines import installed_engines
from .errors import EngineError, InputError
from .model import Model

# Outputs of quantized files differ between CPUs by about one quantization step, which may change the class of a pixel;
# those of float files by the order of summation.
_QUANTIZED = Tolerance(steps=2, changed=0.01)
TOLERANCE: Mapping[str, Tolerance] = {
    "int8": _QUANTIZED, "mixed": _QUANTIZED, "fp32": Tolerance(share=1e-3, changed=0.001),
}  # fmt: skip
"""Precision of a file → how far its outputs may differ from the recorded ones."""


@dataclass(frozen=True)
class Replay:
    """The result of one file on this device.

    Args:
        comparison: of every output with the recorded one; None if the file was not run.
        skipped: why the file was not run; None if it was.
        agreement: share of samples, 0–1, with the recorded prediction; None if the task has no predictions.
        same_answer: what `agreement` counts, such as `the same class`.
    """

    file: str
    engine: str
    comparison: Comparison | None = None
    skipped: str | None = None
    agreement: float | None = None
    same_answer: str = ""

    @property
    def passed(self) -> bool:
        """Whether the file was run and every output is within the tolerance of the recorded one."""
        return self.comparison is not None and self.comparison.passed

    @property
    def summary(self) -> str:
        """The result in one line of text."""
        if self.comparison is None:
            return f"not run: {self.skipped}"
        if not self.passed:
            return f"DIFFERENT: {self.comparison.reason}"
        worst = self.comparison.worst
        assert worst is not None  # something was compared
        same = "" if self.agreement is None else f"; {self.same_answer} {100 * self.agreement:.0f} %"
        return f"as recorded (largest difference {worst.difference:.2g}, allowed {worst.allowed:.2g}{same})"

    def to_json(self) -> dict[str, Any]:
        """Plain data: `difference` and `allowed` are those of the worst output; `outputs` has all of them."""
        compared = None if self.comparison is None else self.comparison.to_json()
        outputs: list[dict[str, Any]] = compared["outputs"] if compared else []
        worst = self.comparison.worst if self.comparison else None
        found = next((one for one in outputs if worst is not None and one["name"] == worst.name), {})
        return {
            "file": self.file,
            "engine": self.engine,
            "passed": self.passed,
            "skipped": self.skipped,
            "said": self.summary,
            "agreement": self.agreement,
            **{key: found.get(key) for key in ("difference", "allowed")},
            "outputs": outputs,
        }


def replay_golden(bundle: Bundle) -> list[Replay]:
    """Run every model file whose engine is installed on the golden samples; `why_failed` judges what comes back.

    Raises:
        BundleError: the bundle has no golden samples, or a file differs from the manifest.
    """
    golden, installed = bundle.golden(), installed_engines(bundle.manifest.engines)
    return [
        _replay(bundle, golden, file)
        if entry.engine in installed
        else Replay(file, entry.engine, skipped=f"{entry.engine} is not installed")
        for file, entry in bundle.manifest.models.items()
    ]


def why_failed(replays: Sequence[Replay]) -> str | None:
    """Why a self-test failed; None if at least one file was run, and every file that was run passed."""
    if wrong := [f"{one.file}: {one.summary}" for one in replays if one.skipped is None and not one.passed]:
        return "; ".join(wrong)
    if any(one.passed for one in replays):
        return None
    return f"nothing was run: {'; '.join(dict.fromkeys(str(one.skipped) for one in replays)) or 'no model files'}"


def _replay(bundle: Bundle, golden: Golden, file: str) -> Replay:
    entry = bundle.manifest.models[file]
    content = bundle.read_model(file)
    try:
        with Model(bundle.manifest, file, content) as model:
            found, task = model.outputs_of(golden.inputs), model.task
    except (EngineError, InputError) as error:
        return Replay(file, entry.engine, Comparison((), str(error)))
    recorded = golden.outputs[file]
    compared = compare_outputs(found, recorded, TOLERANCE[entry.precision], entry.outputs)
    agreement = task.agreement(found, recorded) if task.same_answer and compared.passed else None
    return Replay(file, entry.engine, compared, agreement=agreement, same_answer=task.same_answer)
