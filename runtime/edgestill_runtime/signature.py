"""Ed25519 signatures (RFC 8032) of a bundle's manifest, which holds the hash of every other file.

`signature.json` holds the public key and the signature, both in base64. A trusted key is the path of a PEM file
(`openssl pkey -pubout`), the 32 raw bytes, or these bytes in base64. Needs the extra `sign` (cryptography). Without
`trusted_keys`, signatures are not checked.
"""

import base64
import binascii
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import SignatureError, reason

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNATURE = "signature.json"
ALGORITHM = "ed25519"
TrustedKey = str | bytes | os.PathLike[str]


def check_signature(
    path: str, manifest: bytes, signature: bytes | None, trusted: TrustedKey | Sequence[TrustedKey]
) -> str:
    """Check the signature of a manifest; the trusted key that made it, in base64.

    Args:
        path: of the bundle, for messages. manifest: its bytes. signature: the bytes of `signature.json`; None if there
            is no such file.
        trusted: one key or several.

    Raises:
        SignatureError: no signature, an invalid one, or one by an untrusted key.
    """
    _ed25519()  # first, so that a missing package is reported as such
    # Text and bytes are sequences too, but mean one key.
    several = (trusted,) if isinstance(trusted, (str, bytes, os.PathLike)) else trusted
    keys = {_text(public_key(key)) for key in several}
    if signature is None:
        raise SignatureError(
            f"{path} is not signed, and only signed bundles are trusted here. Ask who made it to sign it."
        )
    try:
        data = json.loads(signature)
        algorithm, signer = data["algorithm"], base64.b64decode(data["public_key"], validate=True)
        value = base64.b64decode(data["signature"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SignatureError(f"{path}: {SIGNATURE} cannot be read: {error!r}") from error
    if algorithm != ALGORITHM:
        raise SignatureError(f"{path} is signed with {algorithm!r:.40}; this edgestill knows {ALGORITHM}")
    if _text(signer) not in keys:
        raise SignatureError(f"{path} is signed by a key that is not trusted here: {_text(signer):.60}")
    try:
        _ed25519().Ed25519PublicKey.from_public_bytes(signer).verify(value, manifest)
    except Exception as error:
        # cryptography's InvalidSignature, or ValueError for a key of another length.
        raise SignatureError(f"{path}: the signature does not match the manifest; one of them was changed") from error
    return _text(signer)


def sign(manifest: bytes, private_key: "Ed25519PrivateKey") -> bytes:
    """The content of `signature.json`."""
    key = _text(private_key.public_key().public_bytes_raw())
    data = {"algorithm": ALGORITHM, "public_key": key, "signature": _text(private_key.sign(manifest))}
    return (json.dumps(data, indent=2) + "\n").encode()


def new_private_key() -> tuple[bytes, bytes]:
    """A new key pair, PEM: the private key (PKCS #8, not encrypted) and the public key."""
    from cryptography.hazmat.primitives import serialization as form

    key = _ed25519().Ed25519PrivateKey.generate()
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    return private, key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)


def load_private_key(path: str | os.PathLike[str]) -> "Ed25519PrivateKey":
    """An Ed25519 private key from a PEM file that is not encrypted.

    Raises:
        SignatureError: it cannot be read, or is not such a key.
    """
    _ed25519()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(Path(path).read_bytes(), password=None)
    except OSError as error:
        raise SignatureError(f"the private key {path} cannot be read: {reason(error)}") from error
    except TypeError as error:  # raised if a password is needed
        raise SignatureError(
            f"the private key {path} is encrypted; decrypt it with `openssl pkey -in {path} -out NEW`"
        ) from error
    except ValueError as error:
        raise SignatureError(
            f"{path} is no private key in PEM; make one with `openssl genpkey -algorithm ed25519`"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SignatureError(f"{path} is no Ed25519 key; make one with `openssl genpkey -algorithm ed25519`")
    return key


def public_key(key: TrustedKey) -> bytes:
    """The 32 bytes of a public key.

    Args:
        key: path of a PEM file, the raw bytes, or these in base64.

    Raises:
        SignatureError: it cannot be read, or is not an Ed25519 public key.
    """
    _ed25519()
    if isinstance(key, bytes) and len(key) == 32:
        return key
    if isinstance(key, str):
        try:
            if len(raw := base64.b64decode(key, validate=True)) == 32:
                return raw
        except (binascii.Error, ValueError):
            pass
    if isinstance(key, (str, os.PathLike)):
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        try:
            loaded = load_pem_public_key(Path(key).read_bytes())
        except OSError as error:
            raise SignatureError(f"the public key {key} cannot be read: {reason(error)}") from error
        except ValueError as error:
            raise SignatureError(
                f"{key} is no public key in PEM; `openssl pkey -in PRIVATE -pubout` makes it of a private one"
            ) from error
        if isinstance(loaded, Ed25519PublicKey):
            return loaded.public_bytes_raw()
    raise SignatureError("a trusted key is an Ed25519 public key: a PEM file's path, 32 bytes, or these in base64")


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise SignatureError("signatures need: pip install 'edgestill[sign]'") from error
    return ed25519
