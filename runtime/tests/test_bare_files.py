"""Bare files without a manifest: their inputs and outputs are read from the file itself."""

import shutil

import numpy as np
import pytest

from edgestill_runtime import BundleFormatError, EngineError, InputError, load, open_bundle
from edgestill_runtime.processing import dequantize, quantize


@pytest.fixture(scope="module")
def answers(programs):
    with np.load(programs / "answers.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def bare(bundle_path, tmp_path_factory):
    """The bundle's files, out of the bundle."""
    folder = tmp_path_factory.mktemp("bare")
    for name in ("model.tflite", "model.pte", "model.fp32.tflite"):
        shutil.copy(bundle_path / name, folder / name)
    return folder


@pytest.mark.parametrize("name", ["model.tflite", "model.pte", "model.fp32.tflite"])
@pytest.mark.parametrize("isolated", [False, True])
def test_a_bare_file_answers_as_in_its_bundle(bare, bundle_path, name, isolated):
    bundle = open_bundle(bundle_path)
    golden, entry = bundle.golden(), bundle.manifest.models[name]
    values = bundle.manifest.processor.tensor(golden.inputs[0], entry.inputs[0].layout)
    with load(bare / name, isolated=isolated) as model:
        assert (model.input.shape, model.input.dtype) == (entry.inputs[0].shape, entry.inputs[0].dtype)
        if name == "model.pte":  # it does not say how its integers stand for numbers; the manifest does
            input_spec, output_spec = entry.inputs[0], entry.outputs[0]
            raw = model.infer(quantize(values, input_spec.scale, input_spec.zero_point))
            found = dequantize(raw, output_spec.scale, output_spec.zero_point)
            values = values.astype(np.int8)
        else:
            assert (model.input.scale, model.input.zero_point) == (entry.inputs[0].scale, entry.inputs[0].zero_point)
            # float32 in, any number of samples; the int8 file's scale and zero point come from the file itself.
            found = model.infer(values)
        np.testing.assert_allclose(found, golden.outputs[name][0], atol=1e-5)
        assert model.infer(values[:0]).shape == (0, 10)


def test_quantized_inputs_refuse_what_could_mean_two_things(bare):
    with load(bare / "model.tflite") as model:
        raw = np.zeros(model.input.shape, np.int8)
        assert model.invoke(raw).dtype == np.int8
        with pytest.raises(InputError, match="infer takes float32 for the int8 input"):
            model.infer(raw)
        with pytest.raises(InputError, match="not finite"):
            model.infer(np.full(model.input.shape, np.nan, np.float32))


def test_pixels_need_a_bundle(bare):
    with load(bare / "model.tflite") as model:
        assert model.labels == () and model.processor is None
        for call in (model.predict, model.logits, model.tensor):
            with pytest.raises(
                InputError, match="is a bare file: nothing says how a photo or a recording becomes its input"
            ):
                call(np.zeros((28, 28), np.uint8))


@pytest.mark.parametrize("isolated", [False, True])
def test_several_inputs_and_outputs_of_every_dtype(programs, answers, isolated):
    with load(programs / "types.pte", isolated=isolated) as model:
        assert [spec.dtype for spec in model.inputs] == ["float32", "int8", "uint8", "int32", "int64", "bool"]
        values = [answers[f"types/in/{index}"] for index in range(6)]
        for call in (model.invoke, model.infer):
            for index, result in enumerate(call(*values)):
                np.testing.assert_array_equal(result, answers[f"types/out/{index}"])
        with pytest.raises(InputError, match="takes 6 inputs, not 1"):
            model.invoke(values[0])
        with pytest.raises(InputError, match=r"takes int8 \(2,\), not uint8"):
            model.invoke(values[0], values[2], *values[2:])
        with pytest.raises(EngineError, match="has 6 inputs; see Model.inputs"):
            _ = model.input


@pytest.mark.parametrize("name", ["dynamic.pte", "dynamic-unplanned.pte"])
def test_dynamic_shapes(programs, answers, name):
    with load(programs / name) as model:
        assert model.input.dynamic == (0, 1) and model.input.shape == (16, 4) and model.input.bounded
        for rows in (1, 16, 5):
            np.testing.assert_allclose(
                model.infer(answers["dynamic/in"][:rows]), answers["dynamic/out"][:rows], rtol=1e-5, atol=1e-6
            )
        for wrong in ((17, 4), (0, 4), (2, 5), (4,)):
            with pytest.raises(InputError, match="may differ, not float32"):
                model.invoke(np.zeros(wrong, np.float32))


def doubling(signature):
    """A `.tflite` that gives `x + x`, where the signature has -1 for each axis of any size."""
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers import Builder

    def filled(kind, **values):
        vars(made := kind()).update(values)
        return made

    shape = [1 if size < 0 else size for size in signature]
    tensors = [
        filled(schema.TensorT, name=name, shape=shape, shapeSignature=list(signature), hasRank=True)
        for name in ("x", "y")
    ]
    options = {"builtinOptionsType": schema.BuiltinOptions.AddOptions, "builtinOptions": schema.AddOptionsT()}
    add = filled(schema.OperatorT, inputs=[0, 0], outputs=[1], **options)
    graph = filled(schema.SubGraphT, tensors=tensors, inputs=[0], outputs=[1], operators=[add])
    code = filled(schema.OperatorCodeT, builtinCode=schema.BuiltinOperator.ADD, version=1)
    model = filled(schema.ModelT, version=3, operatorCodes=[code], subgraphs=[graph], buffers=[schema.BufferT()])
    builder = Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize("isolated", [False, True])
@pytest.mark.parametrize(
    ("signature", "fits", "wrong"),
    [((-1,), (5,), (5, 1)), ((-1, -1), (3, 7), (3, 0)), ((-1, 4), (9, 4), (9, 5)), ((2, 4), (2, 4), (1, 4))],
)
def test_axes_of_any_size_of_a_tflite_file(tmp_path, signature, fits, wrong, isolated):
    """A file whose axes are all dynamic says nothing of how large they may be, unlike one of ExecuTorch."""
    (tmp_path / "double.tflite").write_bytes(doubling(signature))
    with load(tmp_path / "double.tflite", isolated=isolated) as model:
        assert model.input.dynamic == tuple(axis for axis, size in enumerate(signature) if size < 0)
        assert not model.input.bounded
        values = np.arange(np.prod(fits), dtype=np.float32).reshape(fits)
        np.testing.assert_array_equal(model.infer(values), 2 * values)
        with pytest.raises(InputError, match="takes float32"):
            model.infer(np.zeros(wrong, np.float32))


def test_a_failure_leaves_nothing_in_the_engine(programs, answers):
    """A width that the file allows by its bound but its weights do not: the engine fails, the next call is right."""
    rows = answers["dynamic/in"]
    with load(programs / "dynamic.pte") as model:
        for _ in range(3):
            with pytest.raises(EngineError, match="failed on dynamic.pte"):
                model.invoke(np.zeros((2, 3), np.float32))
            np.testing.assert_allclose(model.invoke(rows), answers["dynamic/out"], rtol=1e-5, atol=1e-6)


def test_samples_of_several_inputs_go_together(programs):
    with load(programs / "pair.pte") as model:
        left, right = np.arange(6, dtype=np.float32).reshape(3, 2), np.ones((3, 2), np.float32)
        total, difference = model.infer(left, right)
        np.testing.assert_array_equal(total, left + right)
        np.testing.assert_array_equal(difference, left - right)
        with pytest.raises(InputError, match=r"the inputs have \[2, 3\] samples; give as many of each"):
            model.infer(left, right[:2])


WRONG = {
    "no axis": np.array(3.0),
    "no axis, of its dtype": np.array(3.0, np.float32),
    "no samples of another shape": np.empty((0, 99), np.float32),
    "no samples of another dtype": np.empty((0, 2), "i8"),
    "no samples of more axes": np.empty((0, 2, 1), np.float32),
    "a list": [[1.0, 2.0]],
    "an array of objects": np.array([[None, None]]),
    "nothing": None,
}


@pytest.mark.parametrize("value", WRONG.values(), ids=list(WRONG))
def test_inputs_are_checked_before_their_samples_are_counted(programs, bare, value):
    right = np.ones((1, 2), np.float32)
    with load(programs / "pair.pte") as model:
        for values in ((value, right), (right, value), (value, value)):
            with pytest.raises(InputError, match=r"infer takes float32 \(N, 2\).*, any number N of samples, not"):
                model.infer(*values)
        assert [one.shape for one in model.infer(right[:0], right[:0])] == [(0, 2), (0, 2)]
    for name in ("model.tflite", "model.fp32.tflite"):
        with load(bare / name) as model, pytest.raises(InputError, match="takes (int8|float32)"):
            model.infer(value)


def test_the_format_is_known_by_ending_or_content(bare, tmp_path):
    for name, engine in (("model.tflite", "litert"), ("model.pte", "executorch")):
        plain = tmp_path / f"{engine}.bin"
        shutil.copy(bare / name, plain)
        with load(plain) as model:
            assert model.engine.startswith(engine)
    with pytest.raises(EngineError, match="is a file for litert, not for executorch"):
        load(bare / "model.tflite", engine="executorch")
    (tmp_path / "other.bin").write_bytes(b"neither")
    with pytest.raises(BundleFormatError, match="neither a bundle directory nor"):
        load(tmp_path / "other.bin")


def test_a_bare_file_cannot_be_signed(bare):
    with pytest.raises(BundleFormatError, match="which has no signature"):
        load(bare / "model.tflite", trusted_keys=[bytes(32)])
