"""`edgestill devices`: which there are, whether they answer, and what they can do."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from edgestill_runtime.engines import BUILT_IN, families

from .console import CONSOLE, say
from .options import DEVICES


def devices(
    names: Annotated[list[str] | None, typer.Argument(help="Names or addresses; all of them without any.")] = None,
    devices: Annotated[Path | None, DEVICES] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what each said as JSON.")] = False,
) -> None:
    """List the devices of devices.toml: board, CPU, memory, system, Python, engines, what is deployed.

    Exit code 1 when one does not answer.
    """
    from ..devices import find_device, load_devices, probe

    known = load_devices(*([devices] if devices else []))
    reports = probe([find_device(name, known) for name in names] if names else known.values())
    if as_json:
        print(json.dumps(reports, indent=2))
    else:
        CONSOLE.print(_table(reports))
        for one in reports.values():
            if "error" in one:
                say(one["error"], style="yellow")
    if any("error" in one for one in reports.values()):
        raise typer.Exit(1)


def _table(reports: dict[str, dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_lines=True)
    for heading in ("device", "board and CPU", "system", "engines", "deployed"):
        table.add_column(heading, overflow="fold")
    # Packages that are engines, as a table has room for them.
    titles = {package.name: package.title or package.name for family in families() for package in family.packages}
    for name, one in reports.items():
        if "error" in one:
            table.add_row(f"{name}\n{one['kind']}", Text("does not answer", "yellow"))
            continue
        machine, facts = one["machine"], one["agent"]
        features = f"\n{' '.join(machine['features'])}" if machine["features"] else ""
        memory = "" if machine["memory_bytes"] is None else f", {machine['memory_bytes'] / 2**30:.1f} GiB"
        packages = machine["packages"].items()
        engines = [f"{titles[package]} {version}" for package, version in packages if package in titles]
        software = f"Python {machine['python']}"
        if "app" in one:  # a phone, which has no Python
            software = f"app {one['app']}" if one["app"] else "the app is not installed"
            engines = [", ".join(family.title for family in BUILT_IN)] if one["app"] else []
        deployed = [f"{name} {bundle['current']}" for name, bundle in facts["bundles"].items() if bundle["current"]]
        table.add_row(
            f"{name}\n{one['kind']}",
            f"{machine['cpu']}\n{machine['cores']} cores {machine['architecture']}{memory}{features}",
            f"{machine['os']}\n{software}\n{facts['free_bytes'] / 1e9:.1f} GB free",
            "\n".join(engines) or "none yet",
            "\n".join(deployed),
        )
    return table
