"""`edgestill bench`: a bundle measured here, or on any devices at once."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from edgestill_benchmarks import INTERLEAVED, MLPERF, Rule
from edgestill_runtime import Bundle, Measure
from edgestill_runtime.files import write_bytes
from edgestill_runtime.tasks import task_class

from ..errors import EdgestillError
from .console import CONSOLE, ERRORS, TerminalProgress, columns, say
from .flags import with_flags
from .options import DEVICES, ENGINES, the_device
from .paths import the_bundle

HEADINGS = ("thr.", "p50 ms", "p90 ms", "p99 ms", "cold ms", "peak MB")
RULES = {rule.name: rule for rule in (INTERLEAVED, MLPERF)}


@dataclass(frozen=True)
class BenchFlags:
    """See `bench`."""

    bundle: Annotated[Path, typer.Argument(help="A bundle, folder or zip.")]
    device: Annotated[list[str] | None, typer.Option(help="As of `deploy`; repeat it for several.")] = None
    threads: Annotated[list[str] | None, typer.Option(help="A number from 1, or `all`; repeat it.")] = None
    rule: Annotated[str, typer.Option(help="interleaved, or mlperf: 1,024 calls and 60 s at least.")] = "interleaved"
    samples: Annotated[int | None, typer.Option(min=0, help="How many test images to send; all without it.")] = None
    data: Annotated[str | None, typer.Option(help="Source of the test images; that of the run without it.")] = None
    engine: Annotated[list[str] | None, ENGINES] = None
    wheels: Annotated[list[Path] | None, typer.Option(help="A folder of wheels to bring along; repeat it.")] = None
    offline: Annotated[bool, typer.Option("--offline", help="Bring everything along: no internet there.")] = False
    devices: Annotated[Path | None, DEVICES] = None
    output: Annotated[Path | None, typer.Option(help="Folder for DEVICE.json; RUN/devices without it.")] = None
    quick: Annotated[bool, typer.Option("--quick", help="A second per file instead of five.")] = False
    as_json: Annotated[bool, typer.Option("--json", help="Print the measurements as JSON.")] = False


@with_flags
def bench(flags: BenchFlags) -> None:
    """Measure every file of a bundle on devices, all of them at once.

    Latency at each number of threads, cold start, memory, energy where it is counted, and, with the test images of the
    bundle's run, quality and agreement with this machine sample by sample. In a run's folder the report shows them.
    """
    from ..devices import BenchmarkRequest, measure_on
    from ..progress import SILENT
    from ..samples import find_samples

    for number in flags.threads or ():
        if number != "all" and not (number.isdecimal() and int(number)):
            raise typer.BadParameter(f"{number!r} is neither a whole number from 1 nor `all`", param_hint="--threads")
    bundle = the_bundle(flags.bundle)
    bundle.verify()
    chosen = [the_device(name, flags.devices) for name in flags.device or ["local"]]
    progress = SILENT if flags.as_json else TerminalProgress()
    samples = find_samples(bundle, flags.data, flags.samples, progress)
    request = BenchmarkRequest(
        flags.threads or ("1", "all"), _rule(flags.rule, flags.quick), samples, flags.engine, flags.wheels or (),
        flags.offline,
    )  # fmt: skip
    found = measure_on(chosen, bundle, request, progress)
    measured = {name: one for name, one in found.items() if not isinstance(one, EdgestillError)}
    folder = flags.output or _folder_of_run(flags.bundle)
    if folder is not None:  # where `edgestill report` reads them
        for name, one in measured.items():
            write_bytes(folder / f"{name.replace('/', '_')}.json", (json.dumps(one, indent=2) + "\n").encode())
    if flags.as_json:
        print(json.dumps(measured, indent=2))
    else:
        _print(bundle, measured)
        if folder is not None and measured:
            say(f"kept in {folder}")
    errors = [one for one in found.values() if isinstance(one, EdgestillError)]
    for error in errors:
        ERRORS.print(f"error: {error}", style="red", highlight=False, soft_wrap=True)
    if errors:
        raise typer.Exit(1)


def _rule(name: str, quick: bool) -> Rule:
    if name not in RULES:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(RULES)}", param_hint="--rule")
    return replace(RULES[name], min_calls=200, min_seconds=1.0) if quick else RULES[name]


def _folder_of_run(bundle: Path) -> Path | None:
    run = bundle.absolute().parent
    return run / "devices" if (run / "results.json").is_file() else None


def _print(bundle: Bundle, measured: dict[str, dict[str, Any]]) -> None:
    kind = task_class(bundle.manifest.task)
    main = kind.main() if kind else None
    headings = (*HEADINGS, main.name if main else "quality", "as here")
    for name, one in measured.items():
        machine = one["machine"]
        title = f"{bundle.path} on {name}: {machine['cpu']}, {machine['cores']} cores"
        table = columns(["file"], headings, title)
        for file in one["files"]:
            for place, row in enumerate(file["threads"]):
                times = row["latency_ms"]
                count = str(row["threads"]) if row["threads_set"] else "own"
                numbers = [f"{times[key]:.3f}" for key in ("p50", "p90", "p99")]
                once = _once(one, file, main) if place == 0 else []
                table.add_row(file["file"] if place == 0 else "", count, *numbers, *once)
        CONSOLE.print(table)
        if one["samples"]:
            part = f"{one['samples']['count']:,} of {one['samples']['of']:,} test images"
            same = kind.same_answer if kind else "the same prediction"
            say(f"{headings[-2]} on {part} · as here: share of them with {same} as on this machine")
        for warning in one["warnings"]:
            say(f"warning: {warning}", style="yellow")


def _once(one: dict[str, Any], file: dict[str, Any], main: Measure | None) -> list[str]:
    """What is the same for every number of threads."""
    value = (file["quality"] or {}).get(main.name) if main else None
    peak, same = file["memory"]["peak_bytes"], one.get("answers", {}).get(file["file"])
    return [
        f"{file['cold_start_ms']['p50']:.0f}",
        "" if peak is None else f"{peak / 1e6:.0f}",
        "" if main is None or value is None else main.show(value),
        "" if same is None else f"{100 * same['agreement']:.2f} %",
    ]
