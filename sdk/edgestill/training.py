"""The training loop: for a teacher, a baseline student, a distilled student, and mutual learning.

Everything that varies is an argument: the models, the views of the data, the objective, the schedule, and the teacher.
Random numbers depend on (seed, epoch) only, and the state is written after every epoch, so an interrupted training
resumes with the same result. It runs unchanged on several GPUs and hosts: `accelerate launch` or `torchrun`.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from .data import Data, Views
from .data.sources import Split
from .distillation_module import DistillationModule, largest_output
from .errors import ModelError, TrainingError, check_kind
from .models.copies import copied, preserved_rng
from .models.identity import identity
from .objectives import Objective, Outputs
from .options import TrainOptions
from .prediction import default_device, outputs_of, quality_of, run_model
from .private.accelerate import forget_settings
from .private.torch import drop_compiled_code, has_avx512_bf16, is_compiler_error
from .processes import processes
from .progress import SILENT, Progress, Task
from .schedule import Precision, Schedule
from .teacher_inputs import set_processor
from .teachers import Batch, EmaTeacher, Teacher
from .training_checks import check_losses, check_teacher_outputs, check_trainable
from .training_state import TrainingState, fingerprint

__all__ = ["Trained", "default_device", "outputs_of", "quality_of", "train"]

SHOWN = ("epoch", "loss", "validation", "images_per_second")


@dataclass(frozen=True)
class Trained:
    """A trained model (a copy, on the CPU, in eval mode) and its log: one entry per epoch.

    Args:
        peers: the other students of mutual learning.
    """

    model: nn.Module
    history: list[dict[str, float]]
    peers: tuple[nn.Module, ...] = ()


def train(
    model: nn.Module,
    data: Data,
    objective: Objective,
    options: TrainOptions = TrainOptions(),
    *,
    teacher: Teacher | None = None,
    peers: Sequence[nn.Module] = (),
    progress: Progress = SILENT,
) -> Trained:
    """Train a copy of `model` on the train split of `data`; the model and torch's random state stay unchanged.

    Args:
        teacher: source of teacher outputs for each batch; None: labels only.
        peers: students of mutual learning; the teacher of each is the mean of the others.

    Returns:
        The averaged models if `schedule.ema` is set, else those of the last step.

    Raises:
        TrainingError: the loss is NaN or infinite (names the step and the last good checkpoint), the GPU is out of
            memory, or this machine does not support what the schedule requests.
        ModelError: a layer that the objective names does not exist, or the teacher has no features for it; the
            teacher's outputs are infinite; the model has no trainable weights.
    """
    check_kind(options, TrainOptions, "options")
    check_objective(objective, data)
    for one in (model, *peers):
        check_trainable(one, options.label)
    with preserved_rng(), _errors_of_torch(options.schedule):
        students = nn.ModuleList([copied(one) for one in (model, *peers)])
        return _Training(students, data, objective, options, teacher, progress).run()


def check_objective(objective: object, data: Data) -> None:
    """Check that this is an objective, not its name, and that it fits the task of the data.

    Raises:
        ModelError: names a way to create one, or those that fit.
    """
    if not isinstance(objective, Objective):
        raise ModelError(
            f"objective is an object of edgestill.objectives, not {objective!r:.60}: give one such as DIST(), or "
            'create_objective({"kind": "dist"})'
        )
    data.task.check_objective(objective)


@contextmanager
def _errors_of_torch(schedule: Schedule) -> Iterator[None]:
    """Translate errors of torch into errors that name the key of the schedule."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"the GPU's memory is full with batches of {schedule.batch_size}: lower batch_size, or end other programs "
            "that use the GPU"
        ) from error
    except Exception as error:
        if not schedule.compile or not is_compiler_error(error):
            raise
        raise TrainingError(
            f"the student could not be compiled ({type(error).__name__}): set compile = false; compiling needs a C++ "
            "compiler on this machine"
        ) from error


class _Training:
    """One training, from the first step or resumed."""

    def __init__(
        self, students: nn.ModuleList, data: Data, objective: Objective, options: TrainOptions,
        teacher: Teacher | None, progress: Progress,
    ) -> None:  # fmt: skip
        schedule = options.schedule
        self._data, self._options, self._schedule, self._teacher = data, options, schedule, teacher
        self._progress = progress
        accelerator = _accelerator(schedule.precision, students[0], loose=bool(objective.layers))
        self._accelerator, device = accelerator, accelerator.device
        torch.manual_seed(options.seed)
        self._views = Views(
            data.train.images, data.encoded(data.train), data.processor, options.augmentation, data.seed, device
        )
        for one in students:
            set_processor(one, None)  # it is trained on the pixels of this data
        start = identity(*students)
        self._students = students.to(device).to(memory_format=torch.channels_last)
        self._average = _average(self._students, schedule.ema)
        if isinstance(teacher, EmaTeacher) and self._average is not None:
            teacher.attach(_members(self._average)[0])
        self._module = DistillationModule(self._students, objective.to(device), data.task)
        self._batch_size = self._checked_batch_size()
        images, targets = self._views.batch(0, torch.arange(2))
        with accelerator.autocast():
            self._module.bind(images, self._outputs(Batch(images, targets, 0, torch.arange(2))))
        optimizer = AdamW(
            self._module.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay, fused=True
        )
        self._state = self._read_state(optimizer, objective, start)
        if schedule.compile and not objective.layers:  # features need hooks, which compiled code does not call
            for student in self._students:
                student.compile()
        self._wrapped, self._optimizer = accelerator.prepare(self._module, optimizer)
        self._steps = len(self._views) // self._batch_size

    def _checked_batch_size(self) -> int:
        size, world = min(self._schedule.batch_size, len(self._views)), self._accelerator.num_processes
        if size < 2 * world:
            raise TrainingError(
                f"a batch of {size} is too small for {world} process(es), each of which needs 2 samples: raise "
                f"batch_size, or give more than {len(self._views)} train images"
            )
        return size

    def _read_state(self, optimizer: AdamW, objective: Objective, start: str) -> TrainingState:
        """The state in the folder if it belongs to this training, else a new one."""
        options, folder = self._options, self._folder
        facts = {"seed": options.seed, "teacher": self._teacher and self._teacher.identity(), "students": start}
        mark = fingerprint(self._schedule, options.augmentation, objective, self._data, facts)
        state = TrainingState(self._module, optimizer, self._average, folder, mark)
        if state.other:
            self._progress.message(
                f"{folder} holds the state of a training with another {' and another '.join(state.other)}; this one "
                "starts anew"
            )
        return state

    @property
    def _folder(self) -> Path | None:
        return None if self._options.folder is None else Path(self._options.folder)

    def run(self) -> Trained:
        """The remaining epochs."""
        epochs, samples = self._schedule.epochs, self._steps * self._batch_size
        with self._progress.task(self._options.label, epochs * samples) as task:
            task.advance(len(self._state.history) * samples)
            for epoch in range(len(self._state.history), epochs):
                started = time.perf_counter()
                losses = self._train_epoch(epoch, task)
                entry = self._evaluate(epoch, losses, time.perf_counter() - started)
                self._state.keep(entry, write=self._accelerator.is_main_process)
                measure = self._data.device_task.measures[0]
                shown: dict[str, float | str] = {name: entry[name] for name in SHOWN}
                task.advance(0, **shown | {"validation": f"val. {measure.name} {measure.show(entry['validation'])}"})
        self._accelerator.wait_for_everyone()
        first, *others = (_plain(one) for one in self._results())
        return Trained(first, self._state.history, tuple(others))

    def _train_epoch(self, epoch: int, task: Task) -> list[Tensor]:
        """Run one epoch and return the losses of its steps."""
        losses: list[Tensor] = []
        peaks: list[Tensor] = []
        teacher_peaks: list[Tensor] = []
        self._wrapped.train()
        # Dropout and similar layers draw from this seed, so an epoch is the same after a resume.
        seed, process = self._options.seed, self._accelerator.process_index
        torch.manual_seed(int(np.random.default_rng([seed, 4, epoch, process]).integers(1 << 62)))
        view, indices = self._schedule.view(epoch), self._batches(epoch)
        for step, (images, targets) in enumerate(self._views.batches(view, indices)):
            outputs, loss = self._step(Batch(images, targets, view, indices[step]), epoch + (step + 1) / self._steps)
            losses.append(loss)
            peaks.append(self._module.peak)
            if outputs is not None and not isinstance(self._teacher, EmaTeacher):  # its weights are the student's
                teacher_peaks.append(largest_output(outputs))
            if step % 10 == 9 or step == self._steps - 1:
                check_teacher_outputs(teacher_peaks, self._options.label)
                folder = self._folder if self._state.history else None
                check_losses(losses, peaks, step, epoch, self._options.label, folder)
                task.advance((step % 10 + 1) * self._batch_size)
        return losses

    def _batches(self, epoch: int) -> list[Tensor]:
        """Rows of each step. With n processes, each gets every n-th sample of a batch."""
        order = torch.from_numpy(np.random.default_rng([self._options.seed, 2, epoch]).permutation(len(self._views)))
        size, accelerator = self._batch_size, self._accelerator
        return [
            order[step * size : (step + 1) * size][accelerator.process_index :: accelerator.num_processes]
            for step in range(self._steps)
        ]

    def _step(self, batch: Batch, epochs: float) -> tuple[Outputs | None, Tensor]:
        """One optimizer step, `epochs` after the start: returns the teacher's outputs and the loss."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._schedule.rate(epochs)
        with self._accelerator.autocast():
            outputs = self._outputs(batch)
        loss = self._wrapped(batch.images, outputs, batch.targets)
        if not loss.requires_grad:
            raise ModelError(
                f"{self._options.label}: the loss does not depend on the student's weights, so there is nothing to "
                "learn: look for detach(), no_grad() or numpy in its forward"
            )
        self._optimizer.zero_grad(set_to_none=True)
        self._accelerator.backward(loss)
        self._optimizer.step()
        if self._average is not None:
            self._average.update_parameters(self._students)
        return outputs, loss.detach()

    def _outputs(self, batch: Batch) -> Outputs | None:
        return None if self._teacher is None else self._teacher.outputs(batch)

    def _results(self) -> list[nn.Module]:
        """The models to return: averaged if the schedule has `ema`."""
        return _members(self._average) if self._average is not None else list(self._students)

    def _evaluate(self, epoch: int, losses: Sequence[Tensor], seconds: float) -> dict[str, float]:
        """The log entry of a finished epoch."""
        split = self._data.validation
        checked = [_shared_quality(self._accelerator, one, split, self._data) for one in self._results()]
        return {
            "epoch": epoch + 1,
            "loss": float(self._accelerator.reduce(torch.stack(list(losses)).mean(), "mean")),
            "learning_rate": self._schedule.rate(epoch + 1),
            "validation": checked[0],
            **{f"peer_{number}_validation": quality for number, quality in enumerate(checked[1:], start=1)},
            "images_per_second": self._steps * self._batch_size / seconds,
            "seconds": seconds,
        }


def _average(students: nn.ModuleList, decay: float) -> AveragedModel | None:
    if not decay:
        return None
    return AveragedModel(students, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)  # type: ignore[no-untyped-call]


def _members(average: AveragedModel) -> list[nn.Module]:
    """The averaged students."""
    return list(average.module.children())


def _shared_quality(accelerator: Accelerator, model: nn.Module, split: Split, data: Data) -> float:
    """The task's main measure on a split whose samples are distributed over the processes."""
    count = accelerator.num_processes
    mine = split.take(np.arange(accelerator.process_index, len(split), count))
    results = [run_model(model, mine, data, accelerator.device)] if len(mine) else []
    parts = results if count == 1 else gather_object(results)
    dealt = np.concatenate([np.arange(start, len(split), count) for start in range(count)])
    outputs = [np.concatenate(batches)[np.argsort(dealt)] for batches in zip(*parts, strict=True)]
    quality = data.device_task.quality(outputs, split.targets)
    return quality[data.device_task.measures[0].name]


def _plain(model: nn.Module) -> nn.Module:
    drop_compiled_code(model)  # the result is a plain module, like the input
    return model.cpu().to(memory_format=torch.contiguous_format).eval()


def _accelerator(precision: Precision, model: nn.Module, loose: bool) -> Accelerator:
    # Accelerate keeps the precision of the first Accelerator per process, but teacher and student may differ.
    cpu = processes().device.type == "cpu"
    forget_settings()
    # With objectives on features, the last layer of a student may have no gradient; DDP needs to know.
    unused = DistributedDataParallelKwargs(find_unused_parameters=loose)
    return Accelerator(cpu=cpu, mixed_precision=_choose(precision, model), kwargs_handlers=[unused])


def _choose(precision: Precision, model: nn.Module) -> str:
    if precision == "fp16" and not torch.cuda.is_available():
        raise TrainingError("precision = fp16 needs a GPU, and there is none: use bf16, no or auto")
    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    # On a CPU bfloat16 halves the time of dense convolutions where the instructions exist; depthwise ones get slower.
    depthwise = any(isinstance(module, nn.Conv2d) and module.groups > 1 for module in model.modules())
    return "bf16" if has_avx512_bf16() and not depthwise else "no"
