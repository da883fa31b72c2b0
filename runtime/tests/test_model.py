import json
import subprocess
import sys
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from edgestill_runtime import (
    EngineError,
    EngineMemoryError,
    ImageProcessor,
    InputError,
    Manifest,
    Model,
    ModelFile,
    installed_engines,
    load,
    open_bundle,
    replay_golden,
    why_failed,
    write_bundle,
)
from edgestill_runtime.engines import load_engine
from edgestill_runtime.tasks.image_classification import softmax

ENGINES = ("litert", "executorch")


@pytest.fixture(scope="module")
def golden(bundle_path):
    return open_bundle(bundle_path).golden()


@pytest.fixture(params=ENGINES)
def model(request, bundle_path):
    with load(bundle_path, engine=request.param) as loaded:
        yield loaded


def test_logits_are_those_recorded_when_the_bundle_was_made(model, golden):
    logits = model.logits(golden.inputs[0])
    assert logits.shape == (16, 10) and logits.dtype == np.float32
    np.testing.assert_array_equal(logits, golden.outputs[model.file][0])


def test_both_int8_files_answer_alike(golden):
    np.testing.assert_allclose(golden.outputs["model.pte"][0], golden.outputs["model.tflite"][0], atol=1e-6)


def test_a_batch_is_its_images_one_by_one(model, golden):
    together = model.logits(golden.inputs[0][:5])
    alone = np.concatenate([model.logits(image) for image in golden.inputs[0][:5]])
    np.testing.assert_array_equal(together, alone)
    assert model.logits(golden.inputs[0][:0]).shape == (0, 10)


def test_predict_gives_labels_best_first(model, golden):
    predictions = model.predict(golden.inputs[0][0])
    assert {label for label, _ in predictions} == set(model.labels)
    scores = [score for _, score in predictions]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=1e-5)
    assert predictions[0].label == model.labels[int(golden.outputs[model.file][0][0].argmax())]
    assert model.predict(golden.inputs[0][0, :, :, 0], top=2) == predictions[:2]


def test_invoke_takes_the_files_own_tensor(model, golden):
    raw = model.invoke(model.tensor(golden.inputs[0][:1]))
    assert raw.shape == model.output.shape and raw.dtype.name == model.output.dtype
    assert raw.argmax() == golden.outputs[model.file][0][0].argmax()


def test_odd_strides_do_not_change_the_answer(model, golden):
    tensor = model.tensor(golden.inputs[0][:1])
    odd = np.asfortranarray(np.repeat(tensor, 2, axis=2))[:, :, ::2]
    assert odd.shape == tensor.shape and odd.strides != tensor.strides
    np.testing.assert_array_equal(model.invoke(odd), model.invoke(tensor))


def test_wrong_tensors_never_reach_the_engine(model):
    good = np.zeros(model.input.shape, model.input.dtype)
    wrong_layout = good.reshape([good.shape[axis] for axis in (0, 2, 3, 1)])
    for tensor in (wrong_layout, good[0], np.repeat(good, 2, axis=0), good.astype(np.float64), good.tolist()):
        with pytest.raises(InputError, match=f"{model.file} takes {model.input.dtype}"):
            model.invoke(tensor)
    if model.input.dtype == "float32":
        for value in (np.nan, np.inf):
            with pytest.raises(InputError, match="not finite"):
                model.invoke(np.full(model.input.shape, value, np.float32))
    assert np.isfinite(model.logits(np.zeros((28, 28), np.uint8))).all()


def test_wrong_images_are_refused(model):
    with pytest.raises(InputError, match="uint8"):
        model.logits(np.zeros((28, 28, 1), np.float32))
    with pytest.raises(InputError, match=r"give array.transpose\(1, 2, 0\)"):
        model.predict(np.zeros((3, 32, 32), np.uint8))
    with pytest.raises(InputError, match="one input, not 2"):
        model.predict(np.zeros((2, 28, 28, 1), np.uint8))
    with pytest.raises(InputError, match="input 1: .* not float64"):
        model.logits([np.zeros((28, 28), np.uint8), np.zeros((28, 28))])
    with pytest.raises(InputError, match="have no rate"):
        model.logits(np.zeros((28, 28), np.uint8), rate=16000)


def test_any_photo_is_an_input(model, golden, tmp_path):
    """A path, a PIL image, its bytes, a frame of another size and colours: all the same answer."""
    from PIL import Image

    frame = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    Image.fromarray(frame).save(tmp_path / "photo.png")
    photo, encoded = Image.open(tmp_path / "photo.png"), (tmp_path / "photo.png").read_bytes()
    sources = [frame, tmp_path / "photo.png", str(tmp_path / "photo.png"), photo, encoded]
    logits = model.logits(sources)
    assert logits.shape == (5, 10) and (logits == logits[0]).all()
    pixels = model.processor.pixels(frame)
    np.testing.assert_array_equal(logits[:1], model.logits(pixels))
    assert model.predict(photo) == model.predict(pixels)


def test_a_model_without_names_gives_numbers(bundle_path, golden):
    bundle = open_bundle(bundle_path)
    nameless = replace(bundle.manifest, labels=())
    with Model(nameless, "model.tflite", bundle.read("model.tflite")) as model:
        best = int(golden.outputs["model.tflite"][0][0].argmax())
        assert model.predict(golden.inputs[0][0], top=1)[0].label == str(best)


def test_several_threads_may_share_a_model(model, golden):
    expected = golden.outputs[model.file][0]
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda number: (number % 16, model.logits(golden.inputs[0][number % 16])), range(400)))
    for row, logits in rows:
        np.testing.assert_array_equal(logits[0], expected[row])


def test_a_closed_model_says_so(bundle_path):
    model = load(bundle_path, engine="litert")
    model.close()
    model.close()
    with pytest.raises(EngineError, match="was closed"):
        model.logits(np.zeros((28, 28), np.uint8))


def test_fp32_files_run_too(bundle_path, golden):
    for engine in ENGINES:
        with load(bundle_path, engine=engine, precision="fp32") as model:
            assert model.input.dtype == "float32"
            np.testing.assert_allclose(
                model.logits(golden.inputs[0]), golden.outputs[model.file][0], rtol=1e-4, atol=1e-5
            )


def test_auto_takes_an_installed_engine(bundle_path):
    with load(bundle_path) as model:
        assert model.engine.startswith(next(iter(installed_engines())))


def test_unknown_engines_and_threads_are_refused(bundle_path):
    with pytest.raises(
        EngineError, match="unknown engine 'onnx'; valid: auto, litert, executorch, litert/ai-edge-litert"
    ):
        load(bundle_path, engine="onnx")
    with pytest.raises(EngineError, match="at least 1, not 0"):
        load(bundle_path, threads=0)


def test_numbers_of_threads_side_by_side(bundle_path):
    """One thread needs no pool; two other numbers cannot share the one that the process has."""
    blank = np.zeros((28, 28), np.uint8)
    with load(bundle_path, "executorch", threads=1) as one, load(bundle_path, "executorch", threads=2) as two:
        np.testing.assert_array_equal(one.logits(blank), two.logits(blank))
        with pytest.raises(EngineError, match="pool of 2 threads is open; close it before asking for 3"):
            load(bundle_path, engine="executorch", threads=3)
        assert (one.threads, two.threads) == (1, 2)
    with load(bundle_path, engine="executorch", threads=3) as three:
        assert three.threads == 3


def test_what_the_manifest_and_the_engine_disagree_on_leaves_no_engine_open(bundle_path):
    """Whoever holds the error, and with it the half-made model, holds no native memory and no pool of threads."""
    bundle = open_bundle(bundle_path)
    entry = bundle.manifest.models["model.pte"]
    false = replace(entry, inputs=(replace(entry.inputs[0], shape=(1, 1, 28, 29)),))
    manifest = replace(bundle.manifest, models={"model.pte": false})
    with pytest.raises(EngineError, match="the manifest says its input is") as caught:
        Model(manifest, "model.pte", bundle.read("model.pte"), threads=2)
    load(bundle_path, engine="executorch", threads=3).close()
    assert caught.value.__traceback__ is not None


def test_the_official_package_gives_its_pool_back_with_the_model(bundle_path):
    """In a process of its own: it imports torch."""
    code = (
        "import sys; from edgestill_runtime import EngineError, load\n"
        "from edgestill_runtime.engines import load_engine\n"
        "held = None\n"
        "try: load_engine('executorch/executorch', b'not a model' * 100, 3)\n"
        "except EngineError as error: held = error\n"
        "assert 'cannot load this file' in str(held)\n"
        "model = load(sys.argv[1], engine='executorch/executorch', threads=2)\n"
        "del model\n"
        "model = load(sys.argv[1], engine='executorch/executorch', threads=1); model.close(); model.close()\n"
        "print(load(sys.argv[1], engine='executorch/executorch', threads=2).threads)"
    )
    done = subprocess.run([sys.executable, "-c", code, bundle_path], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "2", done.stderr


@pytest.mark.parametrize("engine", ENGINES)
def test_garbage_is_an_engine_error(engine):
    with pytest.raises(EngineError, match="cannot load this file"):
        load_engine(engine, b"not a model" * 100, 1)


def test_golden_samples_replay(bundle_path):
    replays = replay_golden(open_bundle(bundle_path))
    assert len(replays) == 4
    assert all(replay.passed and replay.agreement == 1 for replay in replays)
    assert why_failed(replays) is None


def test_probabilities_of_the_model_are_given_as_they_are(bundle_path, tmp_path, golden):
    """What a model with a softmax of its own gives is no logits; a manifest without the word means logits."""
    bundle, name = open_bundle(bundle_path), "model.tflite"
    assert bundle.manifest.scores == "logits"
    contents = {file: bundle.read(file) for file in bundle.files}
    declared = write_bundle(tmp_path / "declared.edge", replace(bundle.manifest, scores="probabilities"), contents)
    expected = -np.sort(-golden.outputs[name][0][0])
    with load(declared, engine="litert") as model:
        assert [score for _, score in model.predict(golden.inputs[0][0])] == expected.tolist()
    older = json.loads((declared.path / "manifest.json").read_text())
    del older["scores"]
    (declared.path / "manifest.json").write_text(json.dumps(older))
    assert open_bundle(declared.path).manifest == bundle.manifest


def test_an_answer_that_is_not_finite_is_no_class(programs, tmp_path):
    """A real file whose sums overflow: no class, no warning of numpy, and null in the command line's JSON."""
    program = programs / "net.pte"
    with load(program) as model:
        entry = ModelFile("executorch", "fp32", model.inputs, model.outputs, "test")
    processor = ImageProcessor(8, 8, (0.0,) * 3, (1e-38,) * 3)
    manifest = Manifest("overflows", (), processor, {program.name: entry}, 0, 0)
    with Model(manifest, program.name, program.read_bytes()) as model, warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(EngineError, match=r"net.pte returned 5 of 5 values that are not finite"):
            model.predict(np.full((8, 8, 3), 255, np.uint8))
        assert len(model.predict(np.zeros((8, 8, 3), np.uint8))) == 5


def test_softmax_of_a_difference_that_float32_cannot_hold():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert softmax(np.array([[3e38, -3e38]], np.float32)).tolist() == [[1.0, 0.0]]


def test_softmax_by_hand():
    # e^0 : e^ln3 = 1 : 3, and a large shift changes nothing.
    scores = softmax(np.array([[0.0, np.log(3.0)], [1000.0, 1000.0 + np.log(3.0)]], np.float32))
    np.testing.assert_allclose(scores, [[0.25, 0.75], [0.25, 0.75]], rtol=1e-4)


def test_importing_the_runtime_needs_numpy_alone(bundle_path):
    """Opening a bundle as well: no torch, no engine, nothing of the host."""
    code = (
        "import sys; import edgestill_runtime as runtime\n"
        f"runtime.open_bundle({str(bundle_path)!r}).verify(); runtime.installed_engines()\n"
        "heavy = {'PIL', 'soundfile'}\n"
        "heavy |= {'torch', 'executorch', 'executorch_numpy_runtime', 'ai_edge_litert', 'tensorflow', 'edgestill'}\n"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_running_litert_does_not_import_torch(bundle_path):
    code = (
        "import sys, numpy; from edgestill_runtime import load\n"
        f"load({str(bundle_path)!r}, engine='litert').predict(numpy.zeros((28, 28), numpy.uint8))\n"
        "print('torch' in sys.modules, 'executorch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"


def test_memory_does_not_grow_with_the_number_of_images(model):
    """The peak of what numpy holds, of 20 and of 400 photos: no more than the logits themselves apart."""

    def peak(count):
        photos = np.broadcast_to(np.uint8(7), (count, 224, 224, 3))  # takes one byte, however many they are
        tracemalloc.start()
        try:
            assert model.logits(photos).shape == (count, 10)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(2)  # tables of the resampling are kept from now on
    few, many = peak(20), peak(400)
    assert few < 4 * 224 * 224 * 3 * 4
    assert many - few < 380 * 1000  # a row of logits and its objects, where a photo is 150 kB


def test_top_is_a_number_of_labels(bundle_path):
    bundle = open_bundle(bundle_path)
    with load(bundle) as model, pytest.raises(InputError, match="top must be at least 1, not -1"):
        model.predict(np.zeros((28, 28), np.uint8), top=-1)


def test_a_bundle_without_such_files_says_which_it_has(bundle_path, tmp_path):
    bundle = open_bundle(bundle_path)
    plain = {name: one for name, one in bundle.manifest.models.items() if one.precision == "fp32"}
    kept = {name: bundle.read(name) for name in (*plain, "golden.npz")}
    write_bundle(tmp_path / "plain.edge", replace(bundle.manifest, models=plain), kept)
    with pytest.raises(EngineError, match="has no int8 file; it has fp32 files: say so with precision="):
        load(tmp_path / "plain.edge")
    with load(tmp_path / "plain.edge", precision="fp32") as model:
        assert model.input.dtype == "float32"


class DeadlineError(ValueError):
    """Of a caller's own signal handler."""


@pytest.mark.parametrize("error", [TimeoutError(), DeadlineError(), DeadlineError("late")], ids=repr)
def test_what_a_signal_handler_raises_comes_out_as_it_is(model, golden, monkeypatch, error):
    """A handler raises between two steps of a call; the next call is right."""

    def interrupted(*tensors):
        raise error

    expected = model.logits(golden.inputs[0][:1])
    monkeypatch.setattr(model._engine, "run", interrupted)
    with pytest.raises(type(error)) as caught:
        model.logits(golden.inputs[0][:1])
    assert caught.value is error
    np.testing.assert_array_equal(model.logits(golden.inputs[0][:1]), expected)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (RuntimeError("node 3 failed"), EngineError, "node 3 failed"),
        (RuntimeError(), EngineError, "RuntimeError"),
        (ValueError(), EngineError, "ValueError"),
        (OSError(12, "Cannot allocate memory"), EngineError, "Cannot allocate memory"),
        (MemoryError(), EngineMemoryError, "memory ran out"),
    ],
    ids=repr,
)
def test_what_an_engine_raises_has_a_reason(model, golden, monkeypatch, error, kind, message):
    def failing(*tensors):
        raise error

    monkeypatch.setattr(model._engine, "run", failing)
    with pytest.raises(kind) as caught:
        model.logits(golden.inputs[0][:1])
    assert str(caught.value) == f"{model.engine} failed on {model.file}: {message}"


def test_infer_says_what_it_takes_and_what_it_was_given(model, golden):
    """Channels first and real numbers, whatever the file has."""
    values = model.processor.tensor(golden.inputs[0][:3])
    np.testing.assert_allclose(model.infer(values), golden.outputs[model.file][0][:3], atol=1e-5)
    for wrong in (values.transpose(0, 2, 3, 1), values[0], values[:, :, :27]):
        with pytest.raises(InputError) as caught:
            model.infer(wrong)
        assert f"{model.file}: infer takes float32 (N, 1, 28, 28) (NCHW)" in str(caught.value)
        assert str(caught.value).endswith(f"any number N of samples, not float32 {wrong.shape}")


def test_values_beyond_the_calibrated_range_are_cut_to_it(model):
    scale, zero_point = model.input.scale, model.input.zero_point
    most, least = (np.full((1, 1, 28, 28), scale * (end - zero_point), np.float32) for end in (127, -128))
    np.testing.assert_array_equal(model.infer(2 + most), model.infer(most))
    np.testing.assert_array_equal(model.infer(least - 2), model.infer(least))


def test_arrays_of_numpys_subclasses(model, golden):
    """A masked one is refused by everything that takes arrays; others, and other byte orders, are plain ones."""
    values = model.processor.tensor(golden.inputs[0][:1])
    raw = model.tensor(golden.inputs[0][:1])
    for call, array in ((model.infer, values), (model.invoke, raw), (model.logits, golden.inputs[0][:1])):
        expected = call(array)
        np.testing.assert_array_equal(call(array.view(np.recarray)), expected)
        with pytest.raises(InputError, match="a masked array"):
            call(np.ma.masked_array(array, np.zeros(array.shape, bool)))
    np.testing.assert_array_equal(model.infer(values.astype(">f4")), model.infer(values))
