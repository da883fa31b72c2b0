"""`edgestill sign`: vouch for a bundle with an Ed25519 key."""

from pathlib import Path
from typing import Annotated

import typer

from .console import say
from .paths import the_bundle


def sign(
    bundle: Annotated[Path, typer.Argument(help="A bundle, folder or zip.")],
    key: Annotated[Path, typer.Option("--key", help="Ed25519 private key, PEM. KEY.pub is its public half.")],
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Make the key pair first; neither file may exist.")
    ] = False,
) -> None:
    """Sign a bundle's manifest, and with it every file: devices load it with `load(..., trusted_keys=[KEY.pub])`.

    Keep KEY secret, publish KEY.pub for verification. `openssl genpkey -algorithm ed25519` makes such keys too.
    """
    from edgestill_runtime import open_bundle
    from edgestill_runtime.bundle import add_file, manifest_bytes
    from edgestill_runtime.files import refuse_existing, write_bytes
    from edgestill_runtime.signature import SIGNATURE, load_private_key, new_private_key
    from edgestill_runtime.signature import sign as signature_of

    opened = the_bundle(bundle)
    opened.verify()
    public = Path(f"{key}.pub")
    if new_key:
        for path in (key, public):
            refuse_existing(path)
        private, shared = new_private_key()
        write_bytes(key, private, mode=0o600)
        write_bytes(public, shared)
        say(f"made {key} (keep it secret) and {public}")
    add_file(opened, SIGNATURE, signature_of(manifest_bytes(opened), load_private_key(key)))
    signed = open_bundle(bundle, [public] if public.exists() else None)
    say(f"signed {bundle}{f' with {signed.signed_by}' if signed.signed_by else ''}")
