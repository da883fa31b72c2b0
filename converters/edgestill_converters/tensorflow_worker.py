"""Runs in an environment with tensorflow, by itself: `python tensorflow_worker.py SOURCE keras|saved-model FOLDER`.

Reads FOLDER/samples.npz; writes model.tflite (int8), model.fp32.tflite, outputs.npz (outputs of the model itself for
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
        # As a SavedModel first: the converter does not freeze variables of a Keras model.
        tf.keras.models.load_model(source, compile=False).export(str(folder / "exported"), verbose=False)
        source = str(folder / "exported")
    call = _saved_model(source, len(samples))
    module = tf.Module()
    module.kept = call  # with the variables that it uses
    module.call = tf.function(lambda *inputs: call(inputs))
    # Saved again with batch 1: the converter freezes only variables of a SavedModel.
    specs = [
        tf.TensorSpec((1, *one.shape[1:]), one.dtype, name=f"input_{number}") for number, one in enumerate(samples)
    ]
    fixed = module.call.get_concrete_function(*specs)
    tf.saved_model.save(module, str(folder / "fixed"), signatures=fixed)
    rows = [fixed(*(tf.constant(one[row : row + 1]) for one in samples)) for row in range(len(samples[0]))]
    outputs = [np.concatenate(column) for column in zip(*(tf.nest.flatten(row) for row in rows), strict=True)]
    np.savez(folder / "outputs.npz", **{str(number): np.asarray(one) for number, one in enumerate(outputs)})
    for name, quantized in (("model.fp32.tflite", False), ("model.tflite", True)):
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "fixed"))
        if quantized:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: (
                {f"input_{number}": one[row : row + 1] for number, one in enumerate(samples)}
                for row in range(len(samples[0]))
            )
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.int8
        (folder / name).write_bytes(converter.convert())
    (folder / "facts.json").write_text(json.dumps({"version": tf.__version__}))


def _saved_model(source: str, count: int) -> Any:
    """Its signature `serving_default`, or the only one."""
    owner = tf.saved_model.load(source)
    signatures = dict(owner.signatures)
    if "serving_default" not in signatures and len(signatures) != 1:
        raise SystemExit(f"the SavedModel has {len(signatures)} signatures, none called serving_default")
    signature = signatures.get("serving_default") or next(iter(signatures.values()))
    names = list(signature.structured_input_signature[1])
    if len(names) != count:
        raise SystemExit(f"the SavedModel takes {len(names)} inputs ({', '.join(names)}), the samples have {count}")
    return _Call(owner, lambda inputs: signature(**dict(zip(names, inputs, strict=True))))


class _Call(tf.Module):
    """A function together with the owner of its variables."""

    def __init__(self, owner: Any, function: Any) -> None:
        super().__init__()
        self.owner, self._function = owner, function

    def __call__(self, inputs: Any) -> Any:
        return self._function(inputs)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
