"""Files made by tensorflow's own converter, and its interpreter's outputs: `python make_tflite.py FOLDER`.

Runs in an environment with tensorflow; the files are then tried where there is none.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

RANDOM = np.random.default_rng(0)


def convert(function, *specs, quantize=None, mode=None):
    concrete = tf.function(function, input_signature=specs).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    if quantize:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            [RANDOM.normal(size=specs[0].shape).astype("f4")] for _ in range(20)
        )
        converter.inference_input_type = converter.inference_output_type = quantize
        converter.target_spec.supported_ops = [mode or tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return converter.convert()


def spec(shape, dtype="float32"):
    return tf.TensorSpec(shape, getattr(tf, dtype))


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    kernel = tf.constant(RANDOM.normal(size=(3, 3, 3, 8)).astype("f4"))
    table = tf.constant(RANDOM.normal(size=(50, 4)).astype("f4"))
    weights = tf.constant(RANDOM.normal(size=(4, 3)).astype("f4"))

    def conv(x):
        return tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME")), [1, 2])

    int16 = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    files = {
        "uint8": convert(conv, spec((1, 8, 8, 3)), quantize=tf.uint8),
        "int8": convert(conv, spec((1, 8, 8, 3)), quantize=tf.int8),
        "int16": convert(conv, spec((1, 8, 8, 3)), quantize=tf.int16, mode=int16),
        "dynamic-batch": convert(lambda x: tf.nn.softmax(x @ weights), spec((None, 4))),
        "dynamic-length": convert(lambda x: tf.reduce_sum(x, 1), spec((1, None, 4))),
        "tokens": convert(lambda ids: tf.gather(table, ids), spec((1, 6), "int32")),
        "long": convert(lambda a, b: (a + b, a > b), spec((2, 2), "int64"), spec((2, 2), "int64")),
        "bool": convert(lambda a, x: (tf.logical_not(a), x * 2), spec((3,), "bool"), spec((), "float32")),
        "text": convert(lambda words: tf.identity(words), spec((2,), "string")),
    }
    answers = {}
    for name, content in files.items():
        (folder / f"{name}.tflite").write_bytes(content)
        if name == "text":
            continue
        interpreter = tf.lite.Interpreter(model_content=content)
        interpreter.allocate_tensors()
        for index, details in enumerate(interpreter.get_input_details()):
            value = np.asarray(RANDOM.integers(0, 2 if details["dtype"] is np.bool_ else 40, details["shape"]))
            value = value.astype(details["dtype"])
            interpreter.set_tensor(details["index"], value)
            answers[f"{name}/in/{index}"] = value
        interpreter.invoke()
        for index, details in enumerate(interpreter.get_output_details()):
            answers[f"{name}/out/{index}"] = interpreter.get_tensor(details["index"])
    np.savez(folder / "answers.npz", **answers)


main(Path(sys.argv[1]))
