"""`edgestill doctor`: what is installed, what runs, and what to install for the rest."""

import json
import platform
import subprocess
import sys
from importlib import metadata, util
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from edgestill_runtime import EdgestillError
from edgestill_runtime.engines import candidates, engine_names, get_family

from ..extras import EXTRAS, missing_modules
from .console import CONSOLE


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False) -> None:
    """Say what is installed, which engines load, whether there is CUDA, and what to install for the rest.

    Exit code 1 when an installed engine does not load.
    """
    report: dict[str, Any] = {
        "edgestill": metadata.version("edgestill"),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "extras": {name: _extra(name) for name in EXTRAS},
        "engines": {name: _loads(name) for name in engine_names()},
        "cuda": _cuda(),
    }
    broken = any(engine["installed"] and not engine["loads"] for engine in report["engines"].values())
    if as_json:
        print(json.dumps(report, indent=2))
    else:
        _print(report)
    if broken:
        raise typer.Exit(1)


def _extra(name: str) -> dict[str, Any]:
    purpose, missing = EXTRAS[name][0], missing_modules(name)
    return {"for": purpose, "complete": not missing, "missing": missing, "install": f"pip install 'edgestill[{name}]'"}


def _loads(engine: str) -> dict[str, Any]:
    """Import an engine in a process of its own: one that crashes is a finding, not the end."""
    try:
        packages, install = candidates(engine), get_family(engine).install
    except EdgestillError as error:  # of another package, which is broken
        return {"installed": engine, "loads": False, "says": str(error), "choices": []}
    choices = [{"package": str(one), "taken": one.selected, "remark": one.package.remark} for one in packages]
    taken = next((str(one) for one in packages if one.selected), None)
    if taken is None:
        return {"installed": None, "loads": False, "says": install, "choices": choices}
    # Garbage must be refused by the engine itself: then its native part was loaded and has looked at the file.
    code = (
        "from edgestill_runtime.engines import load_engine\n"
        "from edgestill_runtime import EngineError\n"
        f"try: load_engine({engine!r}, b'not a model' * 64, 1)\n"
        "except EngineError as error: print('refused' if 'cannot load' in str(error) else error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    loads = done.stdout.strip() == "refused"
    reason = done.stdout.strip() or (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return {"installed": taken, "loads": loads, "says": None if loads else reason, "choices": choices}


def _cuda() -> str | None:
    if util.find_spec("torch") is None:
        return None
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _print(report: dict[str, Any]) -> None:
    CONSOLE.print(
        f"edgestill {report['edgestill']}, Python {report['python']}, {report['machine']}, "
        f"CUDA: {report['cuda'] or 'none, training runs on the CPU'}",
        highlight=False,
    )
    table = Table()
    for heading in ("what", "state", "to do"):
        table.add_column(heading, overflow="fold")
    for name, extra in report["extras"].items():
        missing = f"missing: {', '.join(extra['missing'])}"
        state = Text("complete", "green") if extra["complete"] else Text(missing, "yellow")
        table.add_row(f"{extra['for']} ({name})", state, "" if extra["complete"] else extra["install"])
    for name, engine in report["engines"].items():
        state = Text(f"{engine['installed']} loads", "green") if engine["loads"] else Text("does not load", "red")
        state = state if engine["installed"] else Text("none", "yellow")
        table.add_row(f"engine {name}", state, engine["says"] or "")
        for rank, choice in enumerate(engine["choices"], 1):
            why = "taken: the first that is installed" if choice["taken"] else choice["remark"]
            table.add_row(f"  {rank}. {choice['package']}", why, "")
    CONSOLE.print(table)
