"""`edgestill export-android`: a bundle into the assets of an Android app."""

from pathlib import Path
from typing import Annotated

import typer

from .console import say
from .paths import the_bundle


def export_android(
    bundle: Annotated[Path, typer.Argument(help="A bundle, folder or zip, or the name of one in the zoo.")],
    into: Annotated[Path, typer.Option(help="The app's module, or the project around it.")],
    name: Annotated[str | None, typer.Option(help="Folder in the assets; NAME.edge without it.")] = None,
    samples: Annotated[int, typer.Option(min=0, help="So many pictures to try it with, from the bundle itself.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace another bundle that is there.")] = False,
) -> None:
    """Copy a bundle into an Android app, and print the lines that its Gradle file needs.

    The app reads it as `android-demo/` does: hashes first, then an engine.
    """
    from .. import android, zoo

    in_zoo = not bundle.exists() and bundle.name == str(bundle) and bundle.name in [one.name for one in zoo.entries()]
    opened = zoo.find(bundle.name) if in_zoo else the_bundle(bundle)
    done = android.export_android(opened, into, name, samples, overwrite)
    state = "" if done.changed else ", as it was there already"
    say(f"{done.folder}: {len(opened.files) + 1} files, {done.bytes / 1000:.1f} kB, hashes verified{state}")
    if done.samples:
        say(f"{done.folder.parent / android.SAMPLES}: {len(done.samples)} pictures")
    say("in the app's build.gradle.kts:\n")
    print(android.gradle(opened), end="")
