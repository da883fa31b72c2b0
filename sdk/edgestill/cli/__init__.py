"""The command line. `main` is the entry point; each command has a file of its own and is thin: parse, call, print."""

import sys


def main() -> None:
    """Run `edgestill …`; without the command line's own packages, say how to get them."""
    try:
        from .app import run_app
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("edgestill"):
            raise
        print(
            f"error: the edgestill command needs {error.name}. Install it with: pip install 'edgestill[all]'.\n"
            "On a device, use Python: from edgestill_runtime import load",
            file=sys.stderr,
        )
        sys.exit(1)
    run_app()
