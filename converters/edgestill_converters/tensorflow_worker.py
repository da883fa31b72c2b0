"""Runs in an environment with tensorflow, by itself: `python tensorflow_worker.py SOURCE keras|saved-model FOLDER`.

Reads FOLDER/samples.npz; writes model.tflite (int8), model.fp32.tflite, outputs.npz (what the model itself gives for
the samples) and facts.json.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf


def main(source: str, kind: str, folder: Path) -> None:
    """Load, run, convert twice."""
    with np.load(folder / "samples.npz") as arrays:
        samples = [arrays[str(number)] for number in range(len(arrays.files))]
    if kind == "keras":
        model = tf.keras.models.load_model(source, compile=False)
        signature = [tf.TensorSpec((1, *one.shape[1:]), one.dtype) for one in samples]
        function = tf.function(lambda *inputs: model(inputs[0] if len(inputs) == 1 else list(inputs), training=False))
        concrete = function.get_concrete_function(*signature)
        owner = model
    else:
        owner = tf.saved_model.load(source)
        concrete = _fixed(owner, samples)
    rows = [concrete(*(tf.constant(one[row : row + 1]) for one in samples)) for row in range(len(samples[0]))]
    outputs = [np.concatenate(column) for column in zip(*(tf.nest.flatten(row) for row in rows), strict=True)]
    np.savez(folder / "outputs.npz", **{str(number): np.asarray(one) for number, one in enumerate(outputs)})
    for name, quantised in (("model.fp32.tflite", False), ("model.tflite", True)):
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], owner)
        if quantised:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: (
                [one[row : row + 1] for one in samples] for row in range(len(samples[0]))
            )
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.int8
        (folder / name).write_bytes(converter.convert())
    (folder / "facts.json").write_text(json.dumps({"version": tf.__version__}))


def _fixed(owner: Any, samples: list[Any]) -> Any:
    """The one signature of a SavedModel at batch 1."""
    signatures = list(owner.signatures.values())
    if len(signatures) != 1:
        raise SystemExit(f"the SavedModel has {len(signatures)} signatures; export it with one")
    names = list(signatures[0].structured_input_signature[1])
    if len(names) != len(samples):
        raise SystemExit(
            f"the SavedModel takes {len(names)} inputs ({', '.join(names)}), the samples have {len(samples)}"
        )
    signature = [tf.TensorSpec((1, *one.shape[1:]), one.dtype) for one in samples]
    called = tf.function(lambda *inputs: signatures[0](**dict(zip(names, inputs, strict=True))))
    return called.get_concrete_function(*signature)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
