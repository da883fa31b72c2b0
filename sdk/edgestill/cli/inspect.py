"""`edgestill inspect`: what a bundle says of itself."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from .console import CONSOLE


def inspect(
    bundle: Annotated[Path, typer.Argument(help="A bundle, folder or zip.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest with hashes as JSON.")] = False,
) -> None:
    """Show a bundle's model, labels, input and output, accuracies and files. Reads the manifest only; see `verify`."""
    from edgestill_runtime import open_bundle

    opened = open_bundle(bundle)
    manifest = opened.manifest
    if as_json:
        files = {name: asdict(entry) for name, entry in opened.files.items()}
        print(json.dumps({**manifest.to_json(), "files": files}, indent=2, ensure_ascii=False))
        return
    facts = Table(show_header=False, box=None, title=str(bundle), title_justify="left")
    pixels = manifest.preprocessing
    for key, value in (
        ("task", manifest.task),
        ("labels", ", ".join(manifest.labels)),
        ("parameters", f"{manifest.parameters:,}"),
        ("MACs", f"{manifest.macs:,}"),
        ("pixels", f"{pixels.image_shape}, mean {pixels.mean}, std {pixels.std}"),
        *((key, str(value)) for key, value in sorted(manifest.training.items())),
        *((f"accuracy, {who}", f"{100 * share:.2f} %") for who, share in manifest.accuracy.items()),
        ("int8 files agree", "not measured" if manifest.agreement is None else f"{100 * manifest.agreement:.2f} %"),
        ("made with", ", ".join(f"{name} {version}" for name, version in manifest.versions.items())),
    ):
        facts.add_row(key, value)
    CONSOLE.print(facts)
    files_table = Table()
    for heading in ("file", "bytes", "input", "output", "accuracy", "SHA-256"):
        files_table.add_column(heading)
    for name, file in sorted(opened.files.items()):
        entry = manifest.models.get(name)
        specs = [f"{spec.dtype} {spec.shape}" for spec in (entry.input, entry.output)] if entry else ["", ""]
        share = "" if entry is None or entry.accuracy is None else f"{100 * entry.accuracy:.2f} %"
        files_table.add_row(name, f"{file.bytes:,}", *specs, share, file.sha256[:12])
    CONSOLE.print(files_table)
