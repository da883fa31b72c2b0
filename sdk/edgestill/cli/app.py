"""The Typer application, and what it makes of errors: one or two lines and an exit code, no traceback.

Exit codes: 0 done · 1 an EdgestillError, or a check that failed · 2 wrong usage · 130 interrupted.
"""

import sys

import typer

from ..errors import EdgestillError
from . import (
    bench,
    convert,
    data,
    deploy,
    devices,
    distill,
    doctor,
    export_android,
    export_metrics,
    inspect,
    report,
    run,
    sign,
    sweep,
    verify,
    zoo,
)
from .console import ERRORS
from .usage import Command

INTERRUPTED = 130  # what Typer makes of Ctrl-C
_KEEP = ("run", "distill", "sweep")  # the commands that go on where they were

app = typer.Typer(
    name="edgestill",
    help="Distil a PyTorch model into a small int8 one for ExecuTorch and LiteRT, and know what that cost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for command in (
    run.run,
    distill.distill,
    sweep.sweep,
    convert.convert,
    data.data,
    verify.verify,
    devices.devices,
    deploy.deploy,
    sign.sign,
    inspect.inspect,
    bench.bench,
    report.report,
    export_metrics.export_metrics,
    export_android.export_android,
    zoo.zoo,
    doctor.doctor,
):
    app.command(cls=Command)(command)


def run_app() -> None:
    """Run the command line and end the process with its exit code."""
    # A recipe may name module:function of the user's own, found as by `python -m`: from the current folder.
    sys.path.insert(0, "")
    try:
        app()
    except EdgestillError as error:
        ERRORS.print(f"error: {error}", style="red", highlight=False, soft_wrap=True)
        sys.exit(1)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            resumable = next((word for word in sys.argv[1:] if not word.startswith("-")), "") in _KEEP
            note = "; finished stages and epochs are kept" if resumable else ""
            ERRORS.print(f"interrupted{note}", style="yellow")
        raise
