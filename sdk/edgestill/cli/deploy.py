"""`edgestill deploy`: a bundle onto a device."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from .console import TerminalProgress, say
from .options import DEVICES, ENGINES, the_device
from .paths import the_bundle


def deploy(
    bundle: Annotated[str, typer.Argument(help="A bundle, folder or zip; with --rollback its name is enough.")],
    device: Annotated[str, typer.Option(help="A name of devices.toml, or ssh:USER@HOST, adb:SERIAL, local.")],
    engine: Annotated[list[str] | None, ENGINES] = None,
    wheels: Annotated[list[Path] | None, typer.Option(help="A folder of wheels to bring along; repeat it.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Bring everything along: no internet there.")] = False,
    rollback: Annotated[bool, typer.Option("--rollback", help="Put the version before into use again.")] = False,
    devices: Annotated[Path | None, DEVICES] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Install runtime, engines and bundle on a device, run the self-test there, and only then put it into use.

    What worked there before works until the last step. Repeating it changes nothing.
    """
    from edgestill_runtime import open_bundle

    from ..devices import Host, connect
    from ..devices import deploy as carry_out
    from ..devices import rollback as go_back
    from ..progress import SILENT

    progress = SILENT if as_json else TerminalProgress()
    chosen = the_device(device, devices)
    connection = connect(chosen)
    try:
        host = Host(connection)
        if rollback:
            name = open_bundle(bundle).manifest.name if Path(bundle).exists() else bundle
            facts: dict[str, Any] = go_back(host, name)
            lines = [f"{device}: {name} {facts['current']} is in use again; {facts['previous']} is kept"]
        else:
            done = carry_out(
                host, the_bundle(Path(bundle)), engine, wheels=wheels or (), offline=offline, progress=progress
            )
            facts = asdict(done)
            lines = _lines(facts)
    finally:
        connection.close()
    print(json.dumps(facts, indent=2)) if as_json else say("\n".join(lines))


def _lines(facts: dict[str, Any]) -> list[str]:
    where = f"{facts['device']}: {facts['name']} {facts['version']}"
    before = f", {facts['previous']} is kept for --rollback" if facts["previous"] else ""
    lines = [f"{where} is in use now{before}" if facts["switched"] else f"{where} was in use already"]
    states = [row.get("said") or ("not run" if row["skipped"] else "as recorded") for row in facts["golden"]]
    lines += [f"  {row['file']}: {state}" for row, state in zip(facts["golden"], states, strict=True)]
    lines.append(f"try it there: {facts['python']} -m edgestill_runtime run {facts['path']} IMAGE")
    return lines
