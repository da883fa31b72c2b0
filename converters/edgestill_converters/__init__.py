"""A trained PyTorch model → one quantization → `.pte` and `.tflite` → a bundle.

    from edgestill_converters import Description, convert

    bundle = convert(model, images, Description(name, labels, processor, parameters, macs, {}), "fashion.edge")

The steps of a conversion, each in a file of its own:

    graph.py        any `nn.Module` → a float graph          in_place.py     without writes in place
    rewrites/       small changes that let engines run it    support.py      unsupported operators are refused
    pixels.py       normalization as part of the graph       quantizer.py    what becomes int8, and how
    quantize.py     observers, calibration                   weight_rounding.py  weights in whole quantization steps
    exports.py      which files, of which graph              exporting.py    exporters as processes: exporter.py
    backends/       → .pte, .tflite, and other packages'     parity.py       outputs of the files against the model's
    convert.py      all of it → bundle                       inspection/     what is inside any file
    sensitivity.py  which layers lose most in int8           private/        private APIs of libraries, one file each

In a script, `edgestill.convert` is simpler.
"""

from .backends import TARGETS
from .convert import ConversionOptions, Description, convert, steps
from .errors import CalibrationError, ConversionError
from .parity import relative_error

__all__ = [
    "TARGETS",
    "CalibrationError",
    "ConversionError",
    "ConversionOptions",
    "Description",
    "convert",
    "relative_error",
    "steps",
]
