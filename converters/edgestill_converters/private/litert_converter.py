"""litert-converter, which litert-torch calls: a setting that litert-torch has no argument for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from litert_converter.mlir._mlir_libs import converter_api_ext


@contextmanager
def strict_quantization() -> Iterator[None]:
    """Let the converter quantize what the graph quantizes, and nothing else.

    Its static mode makes int8 weights for a convolution that was kept in float, wherever its input and its output are
    int8.
    """
    configuration = converter_api_ext.ConvertToTFLConfig

    def strict() -> Any:
        made = configuration()
        made.strict_qdq_mode = True
        return made

    converter_api_ext.ConvertToTFLConfig = strict
    try:
        yield
    finally:
        converter_api_ext.ConvertToTFLConfig = configuration
