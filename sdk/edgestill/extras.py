"""What `pip install 'edgestill[…]'` brings for each purpose, and what of it is missing here; nothing is imported."""

from importlib import util

from edgestill_runtime.engines import BUILT_IN

from .errors import MissingExtraError

# Extra → what it is for, and the modules that must be there.
EXTRAS: dict[str, tuple[str, tuple[str, ...]]] = {
    **{one.name: (f"run {one.suffix} files", one.packages[0].modules) for one in BUILT_IN},
    "sign": ("sign bundles and check signatures", ("cryptography",)),
    "distill": ("train and distil", ("torch", "accelerate", "safetensors", "timm", "pydantic")),
    "convert": ("make .pte and .tflite files", ("executorch", "torchao", "litert_torch")),
    "report": ("draw the report", ("altair", "jinja2", "vl_convert", "jsonschema", "PIL")),
}


def missing_modules(extra: str) -> list[str]:
    """Modules of an extra that are not installed."""
    return [module for module in EXTRAS[extra][1] if util.find_spec(module) is None]


def require(*extras: str) -> None:
    """Refuse to begin what could not be ended.

    Raises:
        MissingExtraError: names the first package that is missing, and what brings it.
    """
    for extra in extras:
        if missing := missing_modules(extra):
            raise MissingExtraError(missing[0], extra)
