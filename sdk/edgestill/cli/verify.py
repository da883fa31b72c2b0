"""`edgestill verify`: checks a bundle against its manifest, and its outputs against the recorded ones."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from .console import say


def verify(
    bundle: Annotated[Path, typer.Argument(help="A bundle, folder or zip.")],
    trusted_key: Annotated[
        list[str] | None, typer.Option(help="Ed25519 public key, one of which must have signed it; may be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Compare every file's hash with the manifest, then replay the golden samples in every installed engine."""
    from edgestill_converters.output_capture import capture_output
    from edgestill_runtime import replay_golden, why_failed

    from .paths import the_bundle

    opened = the_bundle(bundle, trusted_key)
    opened.verify()
    with TemporaryDirectory() as folder, capture_output(Path(folder) / "engines.log"):
        replays = replay_golden(opened)
    failure = why_failed(replays)
    if as_json:
        golden = [replay.to_json() for replay in replays]
        print(json.dumps({"hashes": "intact", "golden": golden, "passed": not failure, "reason": failure}, indent=2))
    else:
        by = f", signed by {opened.signed_by}" if opened.signed_by else ""
        say(f"{len(opened.files)} files match the manifest{by}")
        for replay in replays:
            say(f"{replay.file}: {replay.summary}", style=None if replay.passed else "yellow")
        if failure:
            say(f"FAILED: {failure}", style="red")
    if failure:
        raise typer.Exit(1)
