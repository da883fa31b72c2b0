"""TensorFlow in its own environment: Keras models become bundles, and its interpreter judges our files.

`make test-tensorflow`: makes the environment at first, about 2 GB.
"""

import json
import subprocess

import numpy as np
import pytest

from edgestill_converters import ConversionError
from edgestill_converters.tensorflow import TensorFlowModel, TensorFlowOptions, convert_tensorflow
from edgestill_converters.tensorflow_environment import find_environment
from edgestill_runtime import ImageProcessor, load, open_bundle, replay_golden

pytestmark = pytest.mark.tensorflow

MAKE = """
import sys
import numpy as np
import tensorflow as tf

folder = sys.argv[1]
with np.load(f"{folder}/samples.npz") as arrays:
    images, labels = arrays["images"], arrays["labels"]
layers = tf.keras.layers
tf.keras.utils.set_random_seed(0)
model = tf.keras.Sequential([
    layers.Input((28, 28, 1)), layers.Conv2D(16, 3, 2, "same", activation="relu"),
    layers.DepthwiseConv2D(3, padding="same"), layers.BatchNormalization(momentum=0.9), layers.ReLU(),
    layers.Conv2D(32, 1, activation="relu"), layers.GlobalAveragePooling2D(), layers.Dense(10),
])
model.compile(tf.keras.optimizers.Adam(1e-2), tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit((images / 255.0 - 0.286) / 0.353, labels, epochs=12, batch_size=64, verbose=0)
model.save(f"{folder}/net.keras")
model.export(f"{folder}/saved")
tf.keras.Sequential([layers.Input((28, 28, 1)), model, layers.Softmax()]).save(f"{folder}/soft.keras")
"""
JUDGE = """
import json, sys
import numpy as np
import tensorflow as tf

interpreter = tf.lite.Interpreter(model_path=sys.argv[1])
interpreter.allocate_tensors()
taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
rows = []
for tensor in np.load(sys.argv[2]):
    interpreter.set_tensor(taken["index"], tensor[None])
    interpreter.invoke()
    rows.append(interpreter.get_tensor(given["index"])[0].tolist())
print(json.dumps(rows))
"""
PIXELS = ImageProcessor(28, 28, (0.286,), (0.353,))


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return find_environment(None, tmp_path_factory.mktemp("tensorflow") / "log")


@pytest.fixture(scope="module")
def made(python, tmp_path_factory):
    from edgestill.data import load_data

    folder = tmp_path_factory.mktemp("keras")
    train = load_data("fashion-mnist-mini").train.take(np.arange(4000))
    np.savez(folder / "samples.npz", images=train.images, labels=train.targets)
    subprocess.run([python, "-c", MAKE, folder], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize(("source", "kind"), [("net.keras", "keras"), ("saved", "saved-model")])
def test_a_keras_model_becomes_a_bundle(made, tmp_path, source, kind):
    from edgestill.data import load_data

    data = load_data("fashion-mnist-mini")
    begun = []
    bundle = convert_tensorflow(
        TensorFlowModel(made / source, kind, "k", data.classes, PIXELS), data.calibration(128).images,
        tmp_path / "k.edge", on_step=begun.append,
    )  # fmt: skip
    assert len(begun) == 3 and set(bundle.manifest.models) == {"model.tflite", "model.fp32.tflite"}
    # Three convolutions and a dense layer, each with its biases: the batch norm is folded into the second.
    assert bundle.manifest.parameters >= 9 * 16 + 16 + 9 * 16 + 16 + 16 * 32 + 32 + 32 * 10 + 10
    assert bundle.manifest.macs == 14 * 14 * (9 * 16 + 9 * 16 + 16 * 32) + 32 * 10
    images, labels = data.validation.images[:500], data.validation.targets[:500]
    shares = {}
    for precision in ("int8", "fp32"):
        with load(bundle, precision=precision) as loaded:
            assert loaded.input.dtype == {"int8": "int8", "fp32": "float32"}[precision]
            shares[precision] = (loaded.logits(images).argmax(1) == labels).mean()
    assert shares["fp32"] > 0.4  # it has learnt something: the pixels arrive as they should
    assert abs(shares["int8"] - shares["fp32"]) < 0.03
    assert all(replay.passed for replay in replay_golden(bundle))


def test_probabilities_of_a_keras_classifier_are_not_made_flat(made, tmp_path):
    from edgestill.data import load_data

    data = load_data("fashion-mnist-mini")
    images, found = data.calibration(32).images, []
    for number, source in enumerate(("net.keras", "soft.keras")):
        made_of_it = convert_tensorflow(
            TensorFlowModel(made / source, "keras", "k", data.classes, PIXELS), images, tmp_path / f"{number}.edge"
        )
        assert made_of_it.manifest.scores == ("logits", "probabilities")[number]
        with load(made_of_it, precision="fp32") as loaded:
            found.append(loaded.predict(images[0]))
    assert [one.label for one in found[0]] == [one.label for one in found[1]]
    np.testing.assert_allclose([one.score for one in found[0]], [one.score for one in found[1]], atol=1e-4)


def test_the_command_line(cli, made, tmp_path):
    done = cli(
        "convert", made / "net.keras", "--from", "keras", "--samples", made / "samples.npz", "--mean", "0.286", "--std",
        "0.353", "--output", tmp_path / "k.edge", "--calibration", "64", "--max-drop", "3",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "model.tflite" in done.stdout and open_bundle(tmp_path / "k.edge").manifest.versions["tensorflow"]


def test_what_is_no_keras_model(made, tmp_path):
    (tmp_path / "bad.keras").write_bytes(b"nothing")
    images = np.zeros((2, 28, 28, 1), np.uint8)
    with pytest.raises(ConversionError, match=r"TensorFlow's converter failed on .*bad\.keras"):
        convert_tensorflow(
            TensorFlowModel(tmp_path / "bad.keras", "keras", "k", processor=PIXELS), images, tmp_path / "k.edge"
        )
    with pytest.raises(ConversionError, match="does not exist"):
        convert_tensorflow(TensorFlowModel(tmp_path / "none", "saved-model", "k"), images, tmp_path / "k.edge")
    with pytest.raises(ConversionError, match="is no environment with tensorflow; make one"):
        convert_tensorflow(
            TensorFlowModel(made / "net.keras", "keras", "k"), images, tmp_path / "k.edge",
            TensorFlowOptions(environment=tmp_path),
        )  # fmt: skip
    assert not (tmp_path / "k.edge").exists()


def test_tensorflows_interpreter_agrees_with_ours_on_our_file(python, bundle_path, tmp_path):
    bundle = open_bundle(bundle_path)
    (tmp_path / "model.tflite").write_bytes(bundle.read("model.tflite"))
    images = bundle.golden().inputs[0]
    with load(bundle, engine="litert") as loaded:
        tensors = loaded.tensor(images)
        ours = np.concatenate([loaded.invoke(tensors[row : row + 1]) for row in range(len(tensors))])
    np.save(tmp_path / "tensors.npy", tensors)
    command = [python, "-c", JUDGE, tmp_path / "model.tflite", tmp_path / "tensors.npy"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    theirs = np.array(json.loads(done.stdout.splitlines()[-1]))
    assert (theirs == ours).all()
