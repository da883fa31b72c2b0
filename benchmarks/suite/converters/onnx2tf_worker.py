"""Runs where onnx2tf is installed, in a folder with `model.pt2` and `calibration.npy`: a graph → `out/*.tflite`."""

import shutil

import numpy as np
import torch

torch.onnx.export(torch.export.load("model.pt2"), (), "model.onnx", input_names=["images"], external_data=False)
# Not before torch.onnx.export, which would then end with SIGSEGV.
import onnx2tf  # noqa: E402

# It fetches images to try the graph with, unless a file of this name is there.
shutil.copy("calibration.npy", "calibration_image_sample_data_20x128x128x3_float32.npy")
unchanged = [np.zeros((1, 1, 1, 3)).tolist(), np.ones((1, 1, 1, 3)).tolist()]
onnx2tf.convert(
    input_onnx_file_path="model.onnx",
    output_folder_path="out",
    output_integer_quantized_tflite=True,
    quant_type="per-channel",
    custom_input_op_name_np_data_path=[["images", "calibration.npy", *unchanged]],
    input_quant_dtype="int8",
    output_quant_dtype="int8",
    non_verbose=True,
)
