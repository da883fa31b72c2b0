"""`edgestill inspect`: what a bundle says of itself, and what is really inside a model file, ours or not."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table

from edgestill_runtime.tasks import shown_quality

from ..errors import EdgestillError
from .console import CONSOLE, say
from .paths import the_bundle

if TYPE_CHECKING:
    from edgestill_converters.inspection import Inspection

LARGEST = 10


def inspect(
    path: Annotated[Path, typer.Argument(help="A bundle (folder or zip), or a model file: .pte, .tflite.")],
    file: Annotated[str | None, typer.Option(help="Of a bundle: the model file to look into.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the file's graph into this HTML page.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show a bundle's manifest; or, for a model file, its operators, what is delegated, and what is left over.

    Any .pte or .tflite will do, and what other backends can look into. Google's Model Explorer opens them too, for
    a closer look at one graph.
    """
    from edgestill_converters.output_capture import capture_output
    from edgestill_runtime.model import bare_format

    if file is None and not bare_format(path):
        if picture is not None:
            raise typer.BadParameter("--picture draws one model file; name it with --file")
        _show_bundle(path, as_json)
        return
    name = str(path) if file is None else f"{path}/{file}"
    with capture_output(None):  # what reads the files talks as well
        seen = _look(path, file)
        if picture is not None:
            from edgestill_converters.inspection import write_picture

            write_picture(seen, picture, Path(name).name)
    if as_json:
        print(json.dumps(seen.to_json(), indent=2, ensure_ascii=False))
        return
    _show_file(seen, name)
    if picture is not None:
        say(f"picture {picture}")


def _look(path: Path, file: str | None) -> "Inspection":
    from edgestill_converters.inspection import inspect_bytes, inspect_file

    if file is None:
        return inspect_file(path)
    bundle = the_bundle(path)
    if file not in bundle.manifest.models:
        raise EdgestillError(f"{path} has no model file {file!r}; it has {', '.join(bundle.manifest.models)}")
    return inspect_bytes(bundle.read_model(file), bundle.manifest.models[file].engine, file)


def _show_file(seen: "Inspection", name: str) -> None:
    facts = _facts(name)
    for side in ("inputs", "outputs"):
        for one in getattr(seen, side):
            scale = "" if one.scale is None else f", scale {one.scale:.5g}, zero point {one.zero_point}"
            facts.add_row(side[:-1], f"{one.dtype} {one.shape}{scale}  {one.name}".rstrip())
    for key, value in (
        ("size", f"{seen.bytes:,} bytes"),
        ("MACs", f"{seen.macs:,}"),
        _delegated(seen),
        ("in float", f"{100 * seen.float_macs:.2f} % of the MACs"),
        ("conversions", f"{seen.conversions} quantize or dequantize"),
        ("transposes inside", str(seen.transposes)),
        ("memory for tensors", f"{seen.memory:,} bytes ({seen.memory_note})"),
    ):
        facts.add_row(key, value)
    CONSOLE.print(facts)
    operators = _columns("operator", "count", "MACs", "weights", *["outside the delegate"] * bool(seen.outside))
    for kind, count in seen.counts.items():
        same = [one for one in seen.operators if f"{one.name} {one.precision}" == kind]
        outside = sum(one.partition is None for one in same)
        why = next((one.why for one in same if one.why), "")
        operators.add_row(
            kind,
            str(count),
            f"{sum(one.macs for one in same):,}",
            f"{sum(one.weights for one in same):,}",
            *[f"{outside}: {why}" if outside else ""] * bool(seen.outside),
        )
    CONSOLE.print(operators)
    layers = _columns("largest layers", "output", "MACs", "weights")
    for one in sorted(seen.operators, key=lambda one: -one.weights)[:LARGEST]:
        if one.weights:
            layers.add_row(f"{one.name} {one.precision}", str(one.shape), f"{one.macs:,}", f"{one.weights:,}")
    CONSOLE.print(layers)


def _delegated(seen: "Inspection") -> tuple[str, str]:
    if not seen.delegation_known:
        return "delegated", seen.delegate
    return f"in {seen.delegate}", f"{100 * seen.delegated_macs:.2f} %, in {seen.partitions} partition(s)"


def _show_bundle(path: Path, as_json: bool) -> None:
    opened = the_bundle(path)
    manifest = opened.manifest
    if as_json:
        files = {name: asdict(entry) for name, entry in opened.files.items()}
        print(json.dumps({**manifest.to_json(), "files": files}, indent=2, ensure_ascii=False))
        return
    facts = _facts(str(path))
    pixels = manifest.processor
    for key, value in (
        ("task", manifest.task),
        ("labels", ", ".join(manifest.labels)),
        ("parameters", f"{manifest.parameters:,}"),
        ("MACs", f"{manifest.macs:,}" if manifest.macs else "none counted"),
        ("pixels", "none" if pixels is None else f"{pixels.image_shape}, mean {pixels.mean}, std {pixels.std}"),
        *((key, str(value)) for key, value in sorted(manifest.training.items())),
        *(
            (f"quality, {who}", ", ".join(shown_quality(manifest.task, values)))
            for who, values in manifest.quality.items()
        ),
        (
            "quantized files agree",
            "not measured" if manifest.agreement is None else f"{100 * manifest.agreement:.2f} %",
        ),
        ("made with", ", ".join(f"{name} {version}" for name, version in manifest.versions.items())),
    ):
        facts.add_row(key, value)
    CONSOLE.print(facts)
    files_table = _columns("file", "bytes", "input", "output", "quality", "SHA-256")
    for name, file in sorted(opened.files.items()):
        entry = manifest.models.get(name.partition("/")[0])  # a member of a model file that is a folder
        specs = [_specs(side) for side in (entry.inputs, entry.outputs)] if entry else ["", ""]
        share = "" if entry is None else ", ".join(shown_quality(manifest.task, entry.quality))
        files_table.add_row(name, f"{file.bytes:,}", *specs, share, file.sha256[:8])
    CONSOLE.print(files_table)


def _specs(specs: Any) -> str:
    return "; ".join(f"{spec.dtype} {spec.shape}" for spec in specs)


def _facts(title: str) -> Table:
    table = Table(show_header=False, box=None, title=title, title_justify="left")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _columns(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for heading in headings:
        table.add_column(
            heading, overflow="fold", justify="right" if heading in ("count", "MACs", "weights", "bytes") else "left"
        )
    return table
