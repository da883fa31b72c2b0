"""`edgestill convert`: any trained model → a bundle, judged on real data before it goes out."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from edgestill_runtime.errors import reason

from .console import TerminalProgress, say
from .convert_flags import ConvertFlags
from .convert_inputs import Pixels, Request, from_data, from_samples, from_tensorflow
from .flags import with_flags
from .paths import refuse_other_files


@with_flags
def convert(flags: ConvertFlags) -> None:
    """Quantize a trained model once, export it, and judge the files on real data.

    Exit code 1 when an int8 file loses more than the budget, or when the two int8 files disagree; the bundle is there
    to look at then.
    """
    from edgestill_runtime.files import refuse_existing

    from ..budget import check_shares
    from ..extras import require
    from ..progress import SILENT
    from ..tasks import find_task

    kind = _kind(flags)
    _check_served(flags.context, kind)
    check_shares(max_drop=flags.max_drop / 100, min_agreement=flags.min_agreement / 100)
    if not flags.overwrite:
        refuse_existing(flags.output)  # before anything takes time
    if flags.source == "torch":
        refuse_other_files(flags.model, flags.checkpoint)
        require("convert")
    if kind == "samples" and (flags.quantize != "ptq" or flags.precision == "mixed"):
        raise typer.BadParameter("--samples serves --quantize ptq and int8 or fp32; for more, give --data")
    targets = _targets(flags.target) if flags.source == "torch" else ()
    request = Request(
        flags.model, flags.output, SILENT if flags.as_json else TerminalProgress(), flags.checkpoint, flags.weights,
        flags.data, flags.samples, _classes(flags.labels), _pixels(flags), flags.calibration, flags.quantize,
        flags.precision, flags.max_drop / 100, flags.source, flags.environment,
        None if flags.task is None else find_task(flags.task), targets, flags.limit, flags.log, flags.overwrite,
    )  # fmt: skip
    bundle, gate_samples = _READERS[kind](request)
    _judge(request, bundle, gate_samples, flags.min_agreement / 100, flags.as_json)


# What there is to convert with, its words for a message, and who reads it.
_WORDS = {
    "data": "a model and a data set",
    "run": "a run's folder",
    "samples": "a model and --samples",
    "tensorflow": "--from keras and --from saved-model",
}
_READERS = {"data": from_data, "run": from_data, "samples": from_samples, "tensorflow": from_tensorflow}
_TORCH = ("data", "run", "samples")
# Option → what it serves; those that are not here serve everything.
_SERVES = {
    "checkpoint": _TORCH,
    "weights": _TORCH,
    "data": ("data", "run"),
    "labels": ("samples", "tensorflow"),
    "task": ("data", "samples", "tensorflow"),
    "target": _TORCH,
    "precision": _TORCH,
    "quantize": _TORCH,
    "environment": ("tensorflow",),
}


def _kind(flags: ConvertFlags) -> str:
    from ..models import MODELS

    if flags.source != "torch":
        return "tensorflow"
    if flags.samples is not None:
        return "samples"
    return "run" if flags.model not in MODELS and Path(flags.model).is_dir() else "data"


def _check_served(context: typer.Context, kind: str) -> None:
    """Refuse options that would have no effect."""
    for option in context.command.params:
        name = option.name or ""
        source = context.get_parameter_source(name)
        if source is not None and source.name != "DEFAULT" and kind not in _SERVES.get(name, _READERS):
            served = ", or ".join(_WORDS[one] for one in _SERVES[name])
            raise typer.BadParameter(f"{option.opts[0]} is for {served}; with {_WORDS[kind]} it would do nothing")


def _judge(request: Request, bundle: Any, gate_samples: Any, min_agreement: float, as_json: bool) -> None:
    from edgestill_converters.output_capture import capture_output

    from ..gate import check_bundle

    with request.progress.task("judge the files", 1) as task, capture_output(request.log):
        gate = check_bundle(bundle, gate_samples, max_drop=request.max_drop, min_agreement=min_agreement)
        task.advance(1)
    if as_json:
        whole = {"manifest": bundle.manifest.to_json(), "gate": gate.to_json()}
        print(json.dumps(whole, indent=2, ensure_ascii=False))
    else:
        _show(bundle, gate)
    if not gate.passed:
        raise typer.Exit(1)


def show_findings(findings: Sequence[Any]) -> None:
    """A line each, failures in red."""
    for one in findings:
        say(f"{one['level']}: {one['text']}", style="red" if one["level"] == "failure" else "yellow")


def _targets(names: Sequence[str] | None) -> tuple[str, ...]:
    """Backends, known ones, before anything takes time."""
    from edgestill_converters.backends import TARGETS, backends_of

    asked = [one for name in names or ("both",) for one in (TARGETS if name == "both" else (name,))]
    return tuple(one.name for one in backends_of(asked))


def _pixels(flags: ConvertFlags) -> Pixels:
    return Pixels(flags.image_size, _numbers(flags.mean, "--mean"), _numbers(flags.std, "--std"))


def _numbers(text: str, option: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(word) for word in text.split(",") if word.strip())
    except ValueError:
        numbers = (math.nan,)
    if not all(map(math.isfinite, numbers)):
        raise typer.BadParameter(f"{option} takes numbers with commas between them, not {text!r}")
    return numbers


def _classes(path: Path | None) -> tuple[str, ...]:
    if path is None:
        return ()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise typer.BadParameter(f"--labels {path} cannot be read: {reason(error)}") from error
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"--labels {path} is no text in UTF-8; it needs a class name a line") from error
    names = tuple(line.strip() for line in lines if line.strip())
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names:
        raise typer.BadParameter(f"--labels {path} has no names in it; it needs a class name a line")
    if twice:
        raise typer.BadParameter(f"--labels {path} names {twice[0]!r} more than once; each class needs its own name")
    return names


def _precision(entry: Any) -> str:
    """What a model file computes in, and how much of it in float."""
    if entry is None:
        return ""
    partly = entry.precision != "fp32" and entry.float_macs
    return f"  {entry.precision}" + (f", {100 * entry.float_macs:.2f} % of the MACs in float" if partly else "")


def _show(bundle: Any, gate: Any) -> None:
    models, main = bundle.manifest.models, gate.measure
    sizes = {name: bundle.size(name) for name in models}
    sizes |= {name: one.bytes for name, one in bundle.files.items() if name.partition("/")[0] not in models}
    for name, size in sorted(sizes.items()):
        share = f"  {main.show(gate.quality[name][main.name])}" if name in gate.quality else ""
        say(f"{size:>10,} bytes  {bundle.path / name}{_precision(models.get(name))}{share}")
    if gate.agreement is not None:
        what = f"{gate.samples} samples" if gate.differences[0].agreement_of == "samples" else "the values"
        both = " and ".join(f"{name} ({models[name].precision})" for name in gate.differences[0].files)
        say(f"{both} agree on {100 * gate.agreement:.2f} % of {what}")
    for one in gate.differences[:1]:
        steps = "" if one.largest_quanta is None else f" ({one.largest_quanta:.2f} quantization steps)"
        if one.largest is not None and one.mean is not None:
            say(f"{' and '.join(one.files)}, {one.output}: at most {one.largest:.3g} apart{steps}, mean {one.mean:.2g}")
    for engine, ratio in gate.latency_ratio.items():
        precision = models[bundle.manifest.deployable()[engine]].precision
        say(f"{engine}: {precision} takes {ratio:.2f} × the time of fp32 here")
    tried = bundle.manifest.training.get("quantization", {})
    for one in tried.get("attempts", ()) if main is not None else ():
        say(f"tried {one['method']}: {main.show(one['quality'])} (float model {main.show(tried['float_quality'])})")
    show_findings([{"level": one.level, "text": one.text} for one in gate.findings])
