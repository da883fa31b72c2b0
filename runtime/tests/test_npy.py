"""Reading `.npy` files: the same arrays as numpy reads, and invalid files are refused with a clear message."""

import io
import re

import numpy as np
import pytest

from edgestill_runtime import BundleFormatError, InputError, open_bundle, write_bundle
from edgestill_runtime.bundle import GOLDEN
from edgestill_runtime.npy import read_npy
from edgestill_runtime.processing.arrays import read_array


def npy(array, **options):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, **options)
    return buffer.getvalue()


ARRAY = npy(np.arange(6, dtype=np.float32).reshape(2, 3))
NUMBERS = np.random.default_rng(0).normal(0, 50, (2, 3, 4))


def header(content):
    """An `.npy` with any header, and the values of `ARRAY`."""
    text = f"{content}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + ARRAY[-24:]


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i1", "u1", "i2", "u2", "i4", "i8", "?", "c8", ">f4", ">i2"])
def test_numbers_of_every_kind_are_read_as_numpy_reads_them(tmp_path, dtype):
    for array in (NUMBERS, NUMBERS.transpose(2, 0, 1), NUMBERS[0, 0, 0], NUMBERS[:0], NUMBERS[:, :0]):
        np.save(tmp_path / "x.npy", array.astype(dtype))
        found, expected = read_array(tmp_path / "x.npy"), np.load(tmp_path / "x.npy")
        assert found.dtype == np.dtype(dtype).newbyteorder("=") and found.flags.writeable
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_every_version_of_the_format_is_read(version):
    content = npy(np.eye(3), version=version)
    np.testing.assert_array_equal(read_npy(io.BytesIO(content), len(content), "x"), np.eye(3))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"some notes about the model", "is no .npy"),
        (b"", "is no .npy: it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"PK\x03\x04 and so on", "is an .npz, which holds several arrays"),
        (npy(np.array([{}, 1], object)), "holds Python objects, not numbers"),
        (npy(np.array(["shirt", "bag"])), "holds values of the type <U5, not plain numbers"),
        (npy(np.zeros(2, [("a", "<i4")])), "holds values of the type [('a', '<i4')], not plain numbers"),
        (ARRAY[:-1], "an array float32 (2, 3) takes 24 bytes, and it has 23"),
        (ARRAY + b"more", "takes 24 bytes, and it has 28"),
        (ARRAY[:40], "its header cannot be read"),
        (ARRAY.replace(b"(2, 3)", b"(2, 3 "), "its header cannot be read"),
        (ARRAY.replace(b"{", b"(").replace(b"'shape'", b"'sh(pe'"), "its header cannot be read"),
        (ARRAY.replace(b"<f4", b"<f9"), "its header cannot be read"),
        (header("-" * 9000 + "1"), "its header cannot be read"),
        (ARRAY.replace(b"(2, 3)", b"(2,-3)"), "no array has the shape"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (100000, 10000000)}"), "takes 4,000,000,000,000"),
        (header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': (0, {10**40})}}"), "no array has the shape"),
        (header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({'1, ' * 70})}}"), "no array has the shape"),
    ],
)
def test_what_is_no_array(tmp_path, content, message):
    (tmp_path / "notes.npy").write_bytes(content)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        read_array(tmp_path / "notes.npy")
    assert str(caught.value).startswith(f"{tmp_path / 'notes.npy'} ")


def test_a_file_that_becomes_shorter_while_it_is_read():
    with pytest.raises(InputError, match="x became shorter while it was read"):
        read_npy(io.BytesIO(ARRAY[:-1]), len(ARRAY), "x")


def test_an_array_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_array(tmp_path / "none.npy")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_array(tmp_path)


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
def test_damage_anywhere_is_an_input_error(tmp_path):
    """Each byte of the header changed to what Python's own reader might stumble over."""
    for place in range(len(ARRAY) - 24):
        for byte in b"\0(')#\\9L\xff":
            content = bytearray(ARRAY)
            content[place] = byte
            try:
                found = read_npy(io.BytesIO(content), len(content), "x")
            except InputError:
                continue
            assert found.nbytes == 24


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (lambda file, arrays: np.savez(file, **{**arrays, "input/0": np.array([{}])}), "holds Python objects"),
        (lambda file, arrays: np.savez(file, words=arrays["input/0"]), "golden.npz has no array 'input/0'"),
        (lambda file, arrays: file.write(b"no archive"), "golden.npz is no .npz, or is damaged"),
    ],
)
def test_golden_samples_that_cannot_be_read(bundle_copy, save, message):
    bundle = open_bundle(bundle_copy)
    golden = bundle.golden()
    arrays = {"input/0": golden.inputs[0]} | {f"{name}/0": one[0] for name, one in golden.outputs.items()}
    buffer = io.BytesIO()
    save(buffer, arrays)
    contents = {name: bundle.read(name) for name in bundle.files} | {GOLDEN: buffer.getvalue()}
    written = write_bundle(bundle_copy, bundle.manifest, contents, overwrite=True)
    with pytest.raises(BundleFormatError, match=re.escape(message)) as caught:
        written.golden()
    assert "make the bundle again" in str(caught.value) and "allow_pickle" not in str(caught.value)
