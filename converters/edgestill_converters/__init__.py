"""A trained PyTorch model → one quantization → `.pte` and `.tflite` → a bundle.

    from edgestill_converters import Description, convert

    bundle = convert(model, images, Description(name, labels, processor, parameters, macs, {}), "fashion.edge")

The way of a model, a file a step:

    graph.py        any `nn.Module` → a float graph          in_place.py   … in which nothing is written in place
    rewrites/       small changes that let engines run it    support.py    what no engine takes, refused by place
    pixels.py       normalization into the graph             quantizer.py  where the graph becomes int8
    quantize.py     observers, calibration                   exporting.py  exporters as processes; exporter.py is one
    backends/       → .pte, .tflite, and what others bring   exports.py     which files, of which graph
    parity.py       files against the model                  convert.py    all of it → bundle
    inspection/     what is inside any file                  sensitivity.py  which layers suffer from int8
    private/        private APIs of libraries, one file each

From a script, `edgestill.convert` is nearer.
"""

from .backends import TARGETS
from .convert import Description, convert, steps
from .errors import CalibrationError, ConversionError
from .parity import relative_error

__all__ = ["TARGETS", "CalibrationError", "ConversionError", "Description", "convert", "relative_error", "steps"]
