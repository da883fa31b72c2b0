"""What a path on the command line is, where it is not what the command wants: said, with what can be done with it."""

from pathlib import Path
from typing import Any

from edgestill_runtime import open_bundle
from edgestill_runtime.engines import BUILT_IN

from ..errors import EdgestillError, ModelError
from ..file_kinds import describe_file

_TORCH = (
    "Edgestill converts PyTorch modules: give the one it was exported from, module:factory, and its weights with "
    "--checkpoint"
)
_DONE = "it is converted already: `edgestill inspect` looks into it, `python -m edgestill_runtime run` runs it"
_KERAS = "say so with --from keras --samples FOLDER"
# Kind of file → what `convert` can do with it.
_CONVERT = {
    "onnx": _TORCH,
    "torchscript": _TORCH,
    "exported": _TORCH,
    **{one.name: _DONE for one in BUILT_IN},
    "bundle": "it is converted already: `edgestill inspect` looks into it, `edgestill bench` measures it",
    "keras": _KERAS,
    "hdf5": _KERAS,
    "safetensors": "weights alone: name the model too, edgestill convert MODEL --checkpoint FILE",
    "torch": "weights alone: name the model too, edgestill convert MODEL --checkpoint FILE",
    "pickle": "weights alone: name the model too, edgestill convert MODEL --checkpoint FILE",
}


def refuse_other_files(model: str, checkpoint: Path | None) -> None:
    """Refuse a file or folder that `convert` takes for a model's name, before anything is read.

    Raises:
        ModelError: says what it is, and what can be done with it; or that it cannot be read.
    """
    from ..models import MODELS

    path = Path(model)
    if checkpoint is not None:
        from ..models.weights import check_file

        check_file(checkpoint)
    if model in MODELS:  # whatever else lies here under that name
        return
    description = describe_file(path)
    if description is None:
        if ":" not in model and (path.suffix or len(path.parts) > 1):
            raise ModelError(f"{model} does not exist, and is no model's name")
        return
    if description.kind == "folder":
        _refuse_folder(path)
        return
    raise ModelError(
        f"{model} is {description.words}; {_CONVERT.get(description.kind) or description.advice or _TORCH}"
    )


def _refuse_folder(path: Path) -> None:
    if (path / "stages" / "student-distilled").is_dir():
        return
    if (path / "manifest.json").is_file():
        raise ModelError(f"{path} is a bundle; {_CONVERT['bundle']}")
    if (path / "saved_model.pb").is_file():
        raise ModelError(f"{path} is a SavedModel of TensorFlow; say so with --from saved-model --samples FOLDER")
    if (path / "results.json").is_file():
        raise ModelError(f"{path} has a run's results without its stages, so its student is not there")
    raise ModelError(
        f"{path} is a folder, but not of a run: it has no stages/student-distilled; give the folder that `edgestill "
        "run` or `edgestill distill` named, or a model's name"
    )


def the_bundle(path: Path, trusted_keys: Any = None) -> Any:
    """Open a bundle; say what else a path is.

    Raises:
        EdgestillError: no bundle; says what it is, and what can be done with a bare file; or that it cannot be read.
    """
    description = describe_file(path)
    if description is not None:
        if description.kind in [one.name for one in BUILT_IN]:
            raise EdgestillError(
                f"{path} is {description.words} alone, without a bundle around it; `edgestill inspect` looks into it, "
                "`python -m edgestill_runtime run` runs it, and `edgestill convert` makes bundles"
            )
        if description.kind not in ("folder", "bundle", "zip", "cut zip", "unknown"):
            raise EdgestillError(
                f"{path} is {description.words}, and a bundle is wanted; `edgestill convert` makes one"
            )
    return open_bundle(path, trusted_keys)
