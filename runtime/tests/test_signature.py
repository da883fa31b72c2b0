import base64
import json
import shutil
import subprocess
import sys

import pytest

from edgestill_runtime import SignatureError, load, open_bundle, pack_zip
from edgestill_runtime.bundle import add_file, manifest_bytes
from edgestill_runtime.signature import load_private_key, new_private_key, public_key, sign


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Private and public PEM files of two people."""
    folder = tmp_path_factory.mktemp("keys")
    for person in ("ada", "eve"):
        private, public = new_private_key()
        (folder / person).write_bytes(private)
        (folder / f"{person}.pub").write_bytes(public)
    return folder


@pytest.fixture
def signed(bundle_copy, keys):
    bundle = open_bundle(bundle_copy)
    add_file(bundle, "signature.json", sign(manifest_bytes(bundle), load_private_key(keys / "ada")))
    return bundle_copy


def test_a_bundle_that_a_trusted_key_signed_is_loaded(signed, keys):
    raw = public_key(keys / "ada.pub")
    for key in (keys / "ada.pub", str(keys / "ada.pub"), raw, base64.b64encode(raw).decode()):
        with load(signed, trusted_keys=[keys / "eve.pub", key]) as model:
            assert model.labels
    assert open_bundle(signed, [raw]).signed_by == base64.b64encode(raw).decode()
    assert open_bundle(signed).signed_by is None
    open_bundle(signed).verify()


def test_one_key_needs_no_list(signed, keys, tmp_path):
    """Text and bytes are one key each, not a list of letters."""
    raw = public_key(keys / "ada.pub")
    for key in (keys / "ada.pub", str(keys / "ada.pub"), raw, base64.b64encode(raw).decode()):
        assert open_bundle(signed, key).signed_by
    with pytest.raises(SignatureError) as caught:
        load(signed, trusted_keys="nokey")
    assert str(caught.value) == "the public key nokey cannot be read: No such file or directory"
    with pytest.raises(SignatureError, match=r"the private key .*gone cannot be read: No such file or directory$"):
        load_private_key(tmp_path / "gone")


def test_a_zip_keeps_its_signature(signed, keys, tmp_path):
    packed = tmp_path / "packed.edge"
    pack_zip(open_bundle(signed), packed)
    assert open_bundle(packed, [keys / "ada.pub"]).signed_by
    # And a zip can be signed as it is.
    bundle = open_bundle(packed)
    add_file(bundle, "signature.json", sign(manifest_bytes(bundle), load_private_key(keys / "eve")))
    assert open_bundle(packed, [keys / "eve.pub"]).signed_by


def test_an_unsigned_bundle_is_refused_where_a_signature_is_asked_for(bundle_copy, keys):
    with pytest.raises(SignatureError, match="is not signed"):
        load(bundle_copy, trusted_keys=[keys / "ada.pub"])


def test_an_unknown_key_is_refused(signed, keys):
    with pytest.raises(SignatureError, match="signed by a key that is not trusted here"):
        load(signed, trusted_keys=[keys / "eve.pub"])
    with pytest.raises(SignatureError, match="not trusted here"):
        load(signed, trusted_keys=[])


def test_a_changed_manifest_is_refused(signed, keys):
    text = (signed / "manifest.json").read_text()
    (signed / "manifest.json").write_text(text.replace("Ankle boot", "Ankle Boot"))
    with pytest.raises(SignatureError, match="does not match the manifest"):
        load(signed, trusted_keys=[keys / "ada.pub"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"signature": base64.b64encode(bytes(64)).decode()}, "does not match the manifest"),
        ({"signature": "!!"}, "cannot be read"),
        ({"signature": None}, "cannot be read"),
        ({"algorithm": "rsa"}, "signed with 'rsa'; this edgestill knows ed25519"),
        ({"public_key": base64.b64encode(b"short").decode()}, "not trusted here"),
    ],
)
def test_a_signature_that_is_none(signed, keys, change, message):
    data = json.loads((signed / "signature.json").read_text()) | change
    (signed / "signature.json").write_text(json.dumps(data))
    with pytest.raises(SignatureError) as caught:
        load(signed, trusted_keys=[keys / "ada.pub"])
    assert message in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"[" * 100_000])
def test_a_signature_of_garbage(signed, keys, content):
    (signed / "signature.json").write_bytes(content)
    with pytest.raises(SignatureError, match="cannot be read"):
        load(signed, trusted_keys=[keys / "ada.pub"])


def test_keys_that_are_none(signed, keys, tmp_path):
    for key in (tmp_path / "nothing", b"short", "AAAA", keys / "ada", 7):
        with pytest.raises(SignatureError, match="public key") as caught:
            load(signed, trusted_keys=[key])
        assert "Errno" not in str(caught.value) and "http" not in str(caught.value)
    with pytest.raises(SignatureError, match="no private key"):
        load_private_key(keys / "ada.pub")


def test_openssl_agrees(signed, keys, tmp_path):
    """RFC 8032, whoever computes it."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on this machine")
    value = base64.b64decode(json.loads((signed / "signature.json").read_text())["signature"])
    (tmp_path / "signature").write_bytes(value)
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", keys / "ada.pub", "-rawin"]
    command += ["-in", signed / "manifest.json", "-sigfile", tmp_path / "signature"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Verified Successfully" in done.stdout, done.stderr


def test_without_cryptography_the_message_says_what_to_install(signed, keys):
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from edgestill_runtime import load\n"
        f"load({str(signed)!r}).close()\n"
        f"load({str(signed)!r}, trusted_keys=[{str(keys / 'ada.pub')!r}])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "SignatureError: signatures need: pip install 'edgestill[sign]'" in done.stderr


def test_the_command_signs(cli, bundle_copy, tmp_path):
    key = tmp_path / "key"
    done = cli("sign", bundle_copy, "--key", key, "--new-key")
    assert done.returncode == 0, done.stderr
    assert key.stat().st_mode & 0o777 == 0o600
    assert open_bundle(bundle_copy, [tmp_path / "key.pub"]).signed_by
    checked = cli("verify", bundle_copy, "--trusted-key", tmp_path / "key.pub")
    assert checked.returncode == 0 and "signed by" in checked.stdout
    again = cli("sign", bundle_copy, "--key", key)
    assert again.returncode == 0, again.stderr
    refused = cli("sign", bundle_copy, "--key", key, "--new-key")
    assert refused.returncode == 1 and "exists already" in refused.stderr
    missing = cli("sign", bundle_copy, "--key", tmp_path / "nothing")
    assert missing.returncode == 1 and "nothing cannot be read: No such file or directory" in missing.stderr
    assert "Errno" not in missing.stderr
    folder = cli("sign", bundle_copy, "--key", ".", cwd=tmp_path)
    assert folder.returncode == 1 and "the private key . cannot be read: Is a directory" in folder.stderr
