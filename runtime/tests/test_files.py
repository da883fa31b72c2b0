import os
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgestill_runtime import StorageError
from edgestill_runtime.files import atomic_file, atomic_folder, sha256, sha256_of_file, write_bytes


def test_a_file_appears_whole(tmp_path):
    write_bytes(tmp_path / "new" / "a.bin", b"content")
    assert (tmp_path / "new" / "a.bin").read_bytes() == b"content"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.bin"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.bin"
    write_bytes(target, b"old")
    with pytest.raises(RuntimeError), atomic_file(target) as part:
        part.write_bytes(b"half of the ne")
        raise RuntimeError("stopped")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failed_folder_leaves_the_old_one_and_nothing_else(tmp_path):
    target = tmp_path / "x.edge"
    with atomic_folder(target) as part:
        (part / "a").write_text("old")
    with pytest.raises(RuntimeError), atomic_folder(target, replace=True) as part:
        (part / "a").write_text("new")
        raise RuntimeError("stopped")
    assert (target / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_not_replaced_unasked(tmp_path):
    (tmp_path / "x.edge").mkdir()
    with pytest.raises(StorageError, match="exists already"), atomic_folder(tmp_path / "x.edge"):
        pass
    with atomic_folder(tmp_path / "x.edge", replace=True) as part:
        (part / "a").write_text("new")
    assert (tmp_path / "x.edge" / "a").read_text() == "new"


def test_there_is_no_moment_without_the_folder(tmp_path):
    target = tmp_path / "x.edge"
    replaced = False

    def look():
        missed = looked = 0
        while not replaced or not looked:
            missed, looked = missed + (not (target / "a").exists()), looked + 1
        return missed

    with atomic_folder(target) as part:
        (part / "a").write_text("first")
    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(look)
        for number in range(40):
            with atomic_folder(target, replace=True) as part:
                (part / "a").write_text(str(number))
        replaced = True
        assert watching.result() == 0
    assert (target / "a").read_text() == "39" and list(tmp_path.iterdir()) == [target]


def test_a_file_system_that_cannot_exchange_names(tmp_path, monkeypatch):
    monkeypatch.setattr("edgestill_runtime.files._exchange", lambda one, other: False)
    for text in ("old", "new"):
        with atomic_folder(tmp_path / "x.edge", replace=True) as part:
            (part / "a").write_text(text)
    assert (tmp_path / "x.edge" / "a").read_text() == "new" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("kind", ["file", "link", "dangling link", "empty folder"])
def test_a_folder_replaces_whatever_has_its_name(tmp_path, kind):
    target, other = tmp_path / "x.edge", tmp_path / "other"
    other.mkdir()
    (other / "kept").write_text("kept")
    if kind == "file":
        target.write_text("a zip")
    elif kind == "empty folder":
        target.mkdir()
    else:
        target.symlink_to(other if kind == "link" else tmp_path / "nowhere")
    with atomic_folder(target, replace=True) as part:
        (part / "a").write_text("new")
    assert (target / "a").read_text() == "new" and not target.is_symlink()
    assert (other / "kept").read_text() == "kept" and {path.name for path in tmp_path.iterdir()} == {"x.edge", "other"}


def test_who_is_second_does_not_replace_the_first(tmp_path):
    target = tmp_path / "x.edge"
    with pytest.raises(StorageError, match="exists already"), atomic_folder(target) as part:
        (part / "a").write_text("second")
        with atomic_folder(target) as first:
            (first / "a").write_text("first")
    assert (target / "a").read_text() == "first" and list(tmp_path.iterdir()) == [target]


def test_of_two_writers_of_a_file_the_second_is_refused(tmp_path):
    target = tmp_path / "x.edge"
    with pytest.raises(StorageError, match="exists already"), atomic_file(target, replace=False) as part:
        part.write_text("second")
        write_bytes(target, b"first")
    assert target.read_text() == "first" and list(tmp_path.iterdir()) == [target]


def test_content_is_on_the_disk_before_its_name_and_the_name_before_the_end(tmp_path, monkeypatch):
    """In a power cut only what was synced is sure; the calls are looked at in their order."""
    steps, sync, rename = [], os.fsync, os.replace

    def synced(descriptor):
        steps.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    def renamed(old, new):
        steps.append("rename")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    with atomic_folder(tmp_path / "x.edge") as part:
        (part / "inside").mkdir()
        (part / "inside" / "a").write_text("a")
        name = part.name
    assert sorted(steps[:3]) == sorted(["inside", "a", name]) and steps[3:] == ["rename", tmp_path.name]
    steps.clear()
    write_bytes(tmp_path / "b", b"b")
    assert steps[0].startswith(".b.") and steps[1:] == ["rename", tmp_path.name]


def test_a_full_disk_is_an_error_and_keeps_the_old_file(tmp_path):
    """The kernel refuses the write half-way (file size limit), as it does on a full disk."""
    target = tmp_path / "a.bin"
    write_bytes(target, b"old")
    code = (
        "import signal, sys\n"
        "from edgestill_runtime import StorageError\n"
        "from edgestill_runtime.files import write_bytes\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "try: write_bytes(sys.argv[1], b'x' * 1_000_000)\n"
        "except StorageError as error: print(error)\n"
    )
    limited = subprocess.run(
        [sys.executable, "-c", code, str(target)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "could not write" in limited.stdout and "a.bin" in limited.stdout and "unchanged" in limited.stdout
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_hashes_are_sha256(tmp_path):
    # The published test vector for "abc" (FIPS 180-2).
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    write_bytes(tmp_path / "abc", b"abc")
    assert sha256(b"abc") == sha256_of_file(tmp_path / "abc") == expected
