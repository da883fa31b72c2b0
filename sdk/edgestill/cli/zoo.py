"""`edgestill zoo`: trained students that can be used at once."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .console import CONSOLE, columns, say


def zoo(
    name: Annotated[str | None, typer.Argument(help="A bundle to copy; without it, the list.")] = None,
    output: Annotated[Path | None, typer.Option(help="File to copy it to; NAME.edge here without it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List the bundles that come with Edgestill, or copy one out, to run with `python -m edgestill_runtime run`."""
    from .. import zoo as bundles

    if name is not None:
        copied = bundles.copy(name, output or Path(f"{name}.edge"))
        if as_json:
            print(
                json.dumps({"name": name, "path": str(copied.path), "classes": list(copied.manifest.labels)}, indent=2)
            )
            return
        say(f"{copied.path}: {len(copied.manifest.models)} int8 files, {len(copied.manifest.labels)} classes")
        return
    entries = bundles.entries()
    if as_json:
        print(json.dumps([asdict(one) | {"path": str(one.path)} for one in entries], indent=2))
        return
    caption = "quality of the int8 files on the test split, and the teacher's · edgestill zoo NAME copies one out"
    table = columns(("name", "data", "student"), ("params", "quality", "teacher", "size"), caption=caption)
    table.columns[0].no_wrap = True  # to be copied from here
    for one in entries:
        table.add_row(
            one.name,
            one.data,
            one.student,
            f"{one.parameters / 1000:,.1f} k",
            bundles.main_of(one.task).show(one.quality),
            bundles.main_of(one.task).show(one.teacher_quality),
            f"{one.bytes / 1000:.0f} kB",
        )
    CONSOLE.print(table)
