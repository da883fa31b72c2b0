"""A trained PyTorch model → one quantisation → `.pte` and `.tflite` → a bundle.

    from edgestill_converters import Description, convert

    bundle = convert(model, images, Description(name, labels, preprocessing, parameters, macs, {}), "fashion.edge")

`quantize.py` prepares and calibrates one graph, `executorch.py` and `litert.py` export it, `parity.py` compares the
files with the model, `convert.py` does all of it and writes the bundle. From a script, `edgestill.convert` is nearer.
"""

from .convert import STEPS, Description, convert
from .errors import CalibrationError, ConversionError
from .parity import relative_error

__all__ = ["STEPS", "CalibrationError", "ConversionError", "Description", "convert", "relative_error"]
