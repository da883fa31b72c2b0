"""What `edgestill convert` reads before it converts: a model that is there, and what to calibrate and judge it with.

    from_data           a data set, or that of a run or checkpoint of ours
    from_samples        a folder of photos or recordings, one such file, or an .npz
    from_tensorflow     the same for a Keras file or a SavedModel

Each gives the bundle, and what the gate shall judge it with. A model's own inputs and classes come first
(`given_models.py`), whatever it is shown; the options say what nothing else says, or override it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import typer

CALIBRATION = 256
UNNAMED = 1000  # classes, where none are named: those of ImageNet
DEMO = "fashion-mnist-mini"
_RANDOM = ("timm:", "torchvision.")  # builders that are asked for fresh weights


@dataclass(frozen=True)
class Pixels:
    """Options of the command line for the input format."""

    image_size: int | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def stated(self) -> dict[str, Any]:
        """The options that are set."""
        return {name: value for name, value in vars(self).items() if value}

    def check(self, channels: Sequence[int]) -> None:
        """Check the numbers of mean and std; channels: the possible numbers of channels."""
        if len(self.mean) not in (1, *channels) or len(self.std) != len(self.mean):
            count = "3 numbers each, or 1 for all channels" if 3 in channels else "1 number each"
            raise typer.BadParameter(
                f"--mean and --std need {count}: the normalization of its training, such as --mean "
                "0.485,0.456,0.406 --std 0.229,0.224,0.225; 0 and 1 for pixel / 255 only"
            )


@dataclass(frozen=True)
class Request:
    """A request of the command line; the names are those of its options.

    Args:
        max_drop: of the task's main measure, 0–1. task: `edgestill.tasks.Task`, where one is named.
        targets: names of backends; a file of TensorFlow has none. limit: seconds. log: of the exporters' output.
    """

    model: str
    output: Path
    progress: Any
    checkpoint: Path | None = None
    weights: str | None = None
    data: str | None = None
    samples: Path | None = None
    labels: tuple[str, ...] = ()
    pixels: Pixels = Pixels()
    calibration: int | None = None
    quantize: Any = "ptq"
    precision: Any = "int8"
    max_drop: float = 0.003
    source: Any = "torch"
    environment: Path | None = None
    task: Any = None
    targets: tuple[str, ...] = ()
    limit: float = 1800
    log: Path | None = None
    overwrite: bool = False

    @cached_property
    def spec(self) -> "_ModelSpec":
        """The named model."""
        return _find(self)

    def conversion(self) -> Any:
        """`edgestill_converters.ConversionOptions`."""
        from edgestill_converters import ConversionOptions

        return ConversionOptions(self.targets, self.precision, limit_seconds=self.limit, log=self.log)


@dataclass(frozen=True)
class _ModelSpec:
    """A named PyTorch model.

    Args:
        name: see `edgestill.models`. noted: metadata of its weights. known: its data, if trained with Edgestill.
    """

    name: str
    checkpoint: Path | None
    weights: str | None
    noted: dict[str, Any]
    known: Any

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names of its training, if its checkpoint has them."""
        from ..given_models import trained_classes

        return trained_classes(self.noted)

    @property
    def random(self) -> bool:
        """Whether its weights are certainly random: a user function may load weights."""
        from ..models import MODELS

        return self.checkpoint is None and (self.name in MODELS or self.name.startswith(_RANDOM))

    def processor(self, pixels: Pixels) -> Any:
        """Its input format, with the options applied; None if only the options are known."""
        from ..data.reading import for_each_channel
        from ..given_models import overridden, trained_processor
        from ..models import create_model
        from ..run_data import student_processor

        if self.known is not None and self.known.processor is not None:
            return student_processor(self.known, pixels.stated())
        channels = self.channels(pixels)
        model = create_model(self.name, len(self.classes) or UNNAMED, channels[0])
        own = trained_processor(self.name, model, self.checkpoint, self.noted)
        if own is None:
            return None
        count = channels[0] if len(channels) == 1 else own.channels
        numbers = {name: for_each_channel(getattr(pixels, name), count) for name in ("mean", "std")}
        return overridden(own, **pixels.stated() | numbers)

    def channels(self, pixels: Pixels) -> tuple[int, ...]:
        """Number of input channels: 3, 1, or both if only the images decide.

        Three numbers for mean imply 3. With one number, the weights and the first convolution decide.
        """
        if len(pixels.mean) != 1:
            return (3,) if pixels.mean else (3, 1)
        return self._channels

    @cached_property
    def _channels(self) -> tuple[int, ...]:  # the checkpoint may be large: it is read once
        from ..given_models import input_channels

        return input_channels(self.name, len(self.classes) or UNNAMED, self.checkpoint, self.weights)

    def check(self, classes: int, channels: Sequence[int]) -> None:
        """Refuse weights that do not fit, before anything is decoded."""
        from ..recipe_check import check_checkpoint

        if self.checkpoint is not None:
            check_checkpoint(self.name, self.checkpoint, self.weights, classes, channels)

    def load(self, classes: int, channels: int, progress: Any) -> Any:
        """The model with its weights."""
        from ..models import create_model, load_checkpoint

        model = create_model(self.name, classes, channels)
        if self.checkpoint is not None:
            load_checkpoint(self.checkpoint, model, weights=self.weights, progress=progress)
        return model.eval()


def _find(request: Request) -> _ModelSpec:
    from ..models import MODELS, read_metadata
    from ..models.registry import find_model
    from ..run_data import known_of_checkpoint, known_of_run, refuse_code

    name, checkpoint, folder, known = request.model, request.checkpoint, Path(request.model), None
    if name not in MODELS and folder.is_dir():
        known = known_of_run(folder)
        refuse_code(known)
        name = known.model
        if checkpoint is not None:
            known = known_of_checkpoint(checkpoint, folder) or known
        checkpoint = checkpoint or known.checkpoint
    elif checkpoint is not None:
        known = known_of_checkpoint(checkpoint)
    elif request.weights is not None:
        raise typer.BadParameter("--weights says which of a checkpoint's are meant; name the file with --checkpoint")
    find_model(name)
    spec = _ModelSpec(name, checkpoint, request.weights, {} if checkpoint is None else read_metadata(checkpoint), known)
    if spec.random:
        request.progress.message(f"{name} has random weights, as no --checkpoint is given: its outputs are meaningless")
    return spec


def from_data(request: Request) -> tuple[Any, Any]:
    """A model, calibrated and evaluated with a data set."""
    from edgestill_converters.output_capture import capture_output

    from ..conversion import describe_model
    from ..model_check import check_classes
    from ..quantization import Budget, quantize

    spec, output, progress = request.spec, request.output, request.progress
    data = _read_data(request)
    if spec.known is None:
        known = data.train.targets[data.task.labelled(data.train.targets)]
        data = replace(data, task_settings=data.task.conversion_settings(known, data.classes))
    model = spec.load(len(data.classes), data.processor.channels, progress)
    check_classes(model, data, "model", learning=request.quantize != "ptq")
    count = request.calibration or (spec.known.recipe.data.calibration if spec.known is not None else CALIBRATION)
    budget = Budget(request.quantize, request.precision, request.max_drop, count)
    description = describe_model(model, data.calibration(count), output.stem, {"student": spec.name})
    with capture_output(request.log):  # the engines print too
        bundle = quantize(
            model, data, output, budget, request.conversion(), description=description, overwrite=request.overwrite,
            progress=progress,
        )  # fmt: skip
    return bundle, data.validation


def _read_data(request: Request) -> Any:
    from ..data import DataOptions, load_data
    from ..run_data import read_again

    spec, pixels, progress = request.spec, request.pixels, request.progress
    changes = pixels.stated() | ({"calibration": request.calibration} if request.calibration else {})
    if spec.known is not None:
        if request.task is not None and request.task.name != spec.known.recipe.task:
            raise typer.BadParameter(f"{spec.name} was trained for {spec.known.recipe.task}; leave --task out")
        fits = _fitting(spec, spec.known.processor)
        return read_again(spec.known, request.data, changes, fits, progress)
    if request.data is None and not spec.random:
        raise typer.BadParameter(
            f"nothing is known of the data that {spec.name} was trained on; name them with --data, or give --samples"
        )
    processor = spec.processor(pixels)
    if processor is not None:
        changes = {name: value for name, value in changes.items() if name == "calibration"}
    data = load_data(
        request.data or DEMO, request.task or "image-classification", DataOptions(**changes), processor=processor,
        classes=spec.classes, check=_fitting(spec, processor), progress=progress,
    )  # fmt: skip
    if processor is None and not spec.random and not (pixels.mean and pixels.std):
        numbers = ("mean", data.processor.mean), ("std", data.processor.std)
        shown = ", ".join(f"{name} {', '.join(f'{value:g}' for value in values)}" for name, values in numbers)
        progress.message(
            f"the normalization that {spec.name} was trained with is unknown: that of {data.name} is used, {shown}; "
            "use --mean and --std if it was different"
        )
    return data


def _fitting(spec: _ModelSpec, processor: Any) -> Any:
    """What `load_data` asks before it decodes anything."""
    channels = (3, 1) if processor is None else (processor.channels,)
    return lambda classes, kind: spec.check(len(classes), channels)


def from_samples(request: Request) -> tuple[Any, Any]:
    """A model, calibrated and evaluated with samples from files."""
    from ..conversion import convert as make_bundle

    spec, pixels, progress = request.spec, request.pixels, request.progress
    _check_order(request.labels, spec.classes)
    processor = spec.processor(pixels)
    named = request.labels or spec.classes
    channels = spec.channels(pixels) if processor is None else (processor.channels,)
    assert request.samples is not None
    if request.samples.is_dir():  # its images have one channel or three, and no names of classes
        if processor is None:
            pixels.check((3, 1))
        if named or request.task is None or request.task.of_folders:  # else a table names them
            spec.check(len(named) or UNNAMED, channels)
    read = _read_samples(request, processor, named, channels)
    classes, count = named or read.classes, request.calibration or CALIBRATION
    model = spec.load(len(classes) or UNNAMED, 0 if read.images is None else read.images.shape[3], progress)
    if read.images is not None:
        _check_outputs(model, read, classes, request.task)
    chosen = _calibration(request.task, read, classes, count)
    bundle = make_bundle(
        model, chosen, request.output, request.conversion(), training={"student": spec.name, "data": read.facts},
        overwrite=request.overwrite, progress=progress,
    )  # fmt: skip
    return bundle, read.gate_samples()


def from_tensorflow(request: Request) -> tuple[Any, Any]:
    """A Keras file or a SavedModel, calibrated and evaluated with samples from files."""
    from edgestill_converters.tensorflow import STEPS, TensorFlowModel, TensorFlowOptions, convert_tensorflow

    path = request.samples
    if path is None:
        raise typer.BadParameter(
            f"--from {request.source} needs --samples: real inputs, as a folder of photos or recordings, one such "
            "file, or an .npz"
        )
    if path.is_dir():
        request.pixels.check((3, 1))
    read = _read_samples(request, None, request.labels, (3, 1))
    source, labels = Path(request.model), tuple(request.labels or read.classes)
    model = TensorFlowModel(
        source, request.source, request.output.stem, labels, read.processor,
        {"student": source.name, "data": read.facts}, **_task_of(request.task, read, labels),
    )  # fmt: skip
    options = TensorFlowOptions(request.environment, request.limit, request.overwrite, request.log)
    with request.progress.task("convert", len(STEPS)) as task:
        bundle = convert_tensorflow(
            model, read.calibration(request.calibration or CALIBRATION), request.output, options,
            lambda step: task.advance(step != STEPS[0], step=step),
        )  # fmt: skip
        task.advance(1)
    return bundle, read.gate_samples()


def _read_samples(request: Request, processor: Any, classes: Sequence[str], channels: Sequence[int]) -> Any:
    """Samples in the model's input format, or, if unknown, in that of the options."""
    from ..data.samples import ImageOptions, read_samples

    pixels, path = request.pixels, request.samples
    assert path is not None
    if processor is not None:
        read = read_samples(path, processor=processor, classes=classes, task=request.task, progress=request.progress)
    else:
        if pixels.mean or pixels.std:
            pixels.check((3, 1))
        only = channels[0] if len(channels) == 1 and pixels.mean else None
        options = ImageOptions(pixels.image_size, pixels.mean, pixels.std, only)
        read = read_samples(path, options, classes=classes, task=request.task, progress=request.progress)
        if read.images is not None and not pixels.mean:
            pixels.check(read.images.shape[3:])
    if read.images is None and pixels.stated():
        raise typer.BadParameter(f"--image-size, --mean and --std are for images, and {path} holds other arrays")
    return read


def _calibration(task: Any, read: Any, classes: Sequence[str], count: int) -> Any:
    """Samples with metadata for the bundle; without images and without a task, only the samples."""
    import numpy as np

    from ..data.types import Calibration

    chosen = read.calibration(count)
    if read.images is None and task is None:
        return chosen
    rows = len(read.images if read.images is not None else read.arrays[0])
    targets = np.zeros(rows, np.int64) if read.targets is None else read.targets
    described = _task_of(task, read, classes)
    settings = {name: described[name] for name in ("task", "task_settings") if name in described}
    return Calibration(chosen, targets[:count], tuple(classes), read.processor, read.facts, **settings)


def _task_of(task: Any, read: Any, names: Sequence[str]) -> dict[str, Any]:
    """The task for the manifest, if one is named: the outputs are on the scale of the targets."""
    if task is None:
        return {}
    settings = {} if read.targets is None else task.conversion_settings(read.targets, tuple(names))
    task.on_device(tuple(names), settings)  # raises for invalid settings
    return {"task": task.name, "task_settings": settings}


def _check_order(labels: Sequence[str], trained: Sequence[str]) -> None:
    """Refuse the model's names in another order, which would mislabel its outputs."""
    if sorted(labels) == sorted(trained) and tuple(labels) != tuple(trained):
        raise typer.BadParameter(
            f"--labels names the model's classes in another order; it was trained with {', '.join(trained[:10])}"
        )


def _check_outputs(model: Any, read: Any, classes: Sequence[str], task: Any) -> None:
    """Refuse targets and names that do not fit the number of outputs."""
    import torch

    from ..errors import DataError
    from ..models.copies import eval_mode

    height, width, channels = read.images.shape[1:]
    with eval_mode(model), torch.inference_mode():
        try:
            outputs = model(torch.zeros(1, channels, height, width))
        except Exception:  # user code; the conversion reports the error
            return
    if not isinstance(outputs, torch.Tensor) or outputs.ndim != 2:
        return
    count, labels = outputs.shape[1], read.targets
    if task is not None and not task.of_folders:
        if classes and len(classes) != count:
            raise DataError(f"the model gives {count} {task.names_word} for a sample, and {len(classes)} are named")
        return
    if classes and len(classes) != count:
        raise DataError(f"the model tells {count} classes apart, and {len(classes)} are named")
    if labels is not None and len(labels) and labels.max() >= count:
        raise DataError(
            f"the labels of the samples run to {labels.max()}, and the model tells {count} classes apart: 0 to "
            f"{count - 1}; give samples with the classes that it was trained on"
        )
