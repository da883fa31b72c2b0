"""A .tflite with float ends: the same net for runtimes that take no integers."""

import numpy as np
import pytest

from edgestill_converters.backends.litert.io_quantization import with_float_io
from edgestill_converters.inspection import inspect_bytes
from edgestill_runtime import load, open_bundle


@pytest.fixture
def integers(bundle_path):
    return open_bundle(bundle_path).read("model.tflite")


def look(content):
    return inspect_bytes(content, "litert", "model.tflite")


def test_float_inputs_and_outputs_have_the_same_values(bundle_path, integers, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (100, 28, 28, 1), dtype=np.uint8)
    (tmp_path / "float.tflite").write_bytes(with_float_io(integers))
    with load(bundle_path, engine="litert") as own, load(tmp_path / "float.tflite") as other:
        assert [spec.dtype for spec in (*other.inputs, *other.outputs)] == ["float32", "float32"]
        assert [spec.shape for spec in (other.input, other.output)] == [own.input.shape, own.output.shape]
        tensor = own.processor.tensor(images, "NHWC")
        found = np.concatenate([other.invoke(tensor[row : row + 1]) for row in range(len(images))])
        assert np.array_equal(found, own.logits(images))


def test_the_net_between_them_is_untouched(integers):
    before, after = look(integers), look(with_float_io(integers))
    assert [one.name for one in after.operators] == ["QUANTIZE", *(one.name for one in before.operators), "DEQUANTIZE"]
    assert {one.name.split("/")[0] for one in after.inputs} == {one.name for one in before.inputs}
    assert sum(one.macs for one in after.operators) == sum(one.macs for one in before.operators)


def test_a_float_file_stays_as_it_is(bundle_path):
    content = open_bundle(bundle_path).read("model.fp32.tflite")
    assert [one.name for one in look(with_float_io(content)).operators] == [one.name for one in look(content).operators]
