"""The one training loop: for a teacher, a student alone, a distilled student, and students that teach each other.

Everything that varies is an argument: the models, the views of the data, the objective, the schedule, and the teacher.
Randomness comes from (seed, epoch) alone, and the state is written after every epoch, so a training that was killed
goes on as if nothing had happened. It runs as it is on many GPUs and hosts: `accelerate launch` or `torchrun`.
"""

import math
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

from .cache import LARGEST
from .data import Augmentation, Data, Views
from .data.augmentation import NO_AUGMENTATION
from .data.sources import Split
from .errors import ModelError, TrainingError
from .models.copies import check_module, copied, kept_randomness
from .models.identity import identity
from .objectives import Objective, Outputs
from .objectives.layers import check_layers, run
from .prediction import default_device, outputs_of, quality_of, run_model
from .private.accelerate import forget_settings
from .private.torch import drop_compiled_code, has_avx512_bf16, is_compiler_error
from .processes import processes
from .progress import SILENT, Progress
from .schedule import DEFAULT_SCHEDULE, Precision, Schedule
from .tasks import Task
from .teacher_inputs import set_processor
from .teachers import Batch, EmaTeacher, Teacher
from .training_state import STATE, TrainingState, fingerprint

__all__ = ["Lesson", "Trained", "default_device", "outputs_of", "quality_of", "train"]

SHOWN = ("epoch", "loss", "validation", "images_per_second")


@dataclass(frozen=True)
class Trained:
    """A trained model (on the CPU, in eval mode, always another object than was given) and its log: one entry an epoch.

    Args:
        peers: the other models, where several were trained together.
    """

    model: nn.Module
    history: list[dict[str, float]]
    peers: tuple[nn.Module, ...] = ()


def train(
    model: nn.Module,
    data: Data,
    objective: Objective,
    schedule: Schedule = DEFAULT_SCHEDULE,
    *,
    teacher: Teacher | None = None,
    peers: Sequence[nn.Module] = (),
    augmentation: Augmentation = NO_AUGMENTATION,
    seed: int = 0,
    folder: Path | None = None,
    label: str = "train",
    progress: Progress = SILENT,
) -> Trained:
    """Train a copy of `model` on the train split of `data`; the model itself, and torch's random numbers, stay.

    Args:
        teacher: answers each batch; None: the labels alone.
        peers: models that are trained beside `model`; each one's teacher is the mean of the others.
        seed: of the order of the samples and of an objective's projectors; the views are the data's own.
        folder: where `state.safetensors` (to go on after a stop, if all of this is the same again, the weights that
            the models begin with included) and `metrics.jsonl` are kept; None: nowhere.
        label: what the progress bar says.

    Returns:
        The averaged models if `schedule.ema` is set, else those of the last step.

    Raises:
        TrainingError: the loss is no longer a number; names the step and the last good checkpoint. Or the GPU's memory
            is full, or the schedule asks for what this machine cannot do.
        ModelError: a layer that the objective names does not exist, or no teacher shows it; a teacher that answers
            infinities; a model with nothing to train.
    """
    check_objective(objective, data)
    for one in (model, *peers):
        check_module(one, "student")
        if not any(parameter.requires_grad for parameter in one.parameters()):
            raise ModelError(
                f"{type(one).__name__} has no weights to train: all are frozen (requires_grad = False), or there are "
                "none"
            )
        # Parameters alone: observers of fake quantization begin with infinite ranges.
        for name, value in one.named_parameters():
            if value.is_floating_point() and not bool(value.isfinite().all()):
                raise ModelError(
                    f"{label}: the model begins with weights that are not finite ({name}); load a checkpoint that is "
                    "whole, or make the model anew"
                )
    with kept_randomness(), _errors_of_torch(schedule):
        return _train(
            copied(model), data, objective, schedule, teacher, [copied(one) for one in peers], augmentation, seed,
            folder, label, progress,
        )  # fmt: skip


def check_objective(objective: object, data: Data) -> None:
    """Refuse what is no objective, such as the name of one, and one that is for another task than the data's.

    Raises:
        ModelError: says how to make one, or which fit.
    """
    if not isinstance(objective, Objective):
        raise ModelError(
            f"objective is an object of edgestill.objectives, not {objective!r:.60}: give one such as DIST(), or "
            'create_objective({"kind": "dist"})'
        )
    data.task.check_objective(objective)


@contextmanager
def _errors_of_torch(schedule: Schedule) -> Iterator[None]:
    """What torch says when a schedule asks for too much, in words of the schedule."""
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


def _train(
    model: nn.Module, data: Data, objective: Objective, schedule: Schedule, teacher: Teacher | None,
    peers: Sequence[nn.Module], augmentation: Augmentation, seed: int, folder: Path | None, label: str,
    progress: Progress,
) -> Trained:  # fmt: skip
    accelerator = _accelerator(schedule.precision, model, loose=bool(objective.layers))
    device, world = accelerator.device, accelerator.num_processes
    torch.manual_seed(seed)
    views = Views(data.train.images, data.encoded(data.train), data.processor, augmentation, data.seed, device)
    for one in (model, *peers):
        set_processor(one, None)  # from now on it sees what the data gives
    start = identity(model, *peers)
    students = nn.ModuleList([model, *peers]).to(device).to(memory_format=torch.channels_last)
    average = _average(students, schedule.ema)
    if isinstance(teacher, EmaTeacher) and average is not None:
        teacher.attach(_members(average)[0])
    lesson = Lesson(students, objective.to(device), data.task)
    batch_size = min(schedule.batch_size, len(views))
    if batch_size < 2 * world:
        raise TrainingError(
            f"a batch of {batch_size} is too small for {world} process(es), each of which needs 2 samples: raise "
            f"batch_size, or give more than {len(views)} train images"
        )
    with accelerator.autocast():
        lesson.bind(_answered(teacher, views, torch.arange(2)))
    optimizer = AdamW(lesson.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay, fused=True)
    facts = {"seed": seed, "teacher": teacher and teacher.identity(), "students": start}
    this = fingerprint(schedule, augmentation, objective, data, facts)
    reached = TrainingState(lesson, optimizer, average, folder, this)
    if reached.other:
        progress.message(
            f"{folder} holds the state of a training with another {' and another '.join(reached.other)}; this one "
            "begins anew"
        )
    if schedule.compile and not objective.layers:  # what layers give is read by hooks, which compiled code passes over
        for student in students:
            student.compile()
    wrapped, optimizer = accelerator.prepare(lesson, optimizer)
    steps, measure = len(views) // batch_size, data.device_task.measures[0]
    with progress.task(label, schedule.epochs * steps * batch_size) as task:
        task.advance(len(reached.history) * steps * batch_size)
        for epoch in range(len(reached.history), schedule.epochs):
            started, losses, peaks, own_peaks = time.perf_counter(), [], [], []
            wrapped.train()
            # Dropout and its like draw from here: an epoch does not depend on whether the run was stopped before it.
            torch.manual_seed(int(np.random.default_rng([seed, 4, epoch, accelerator.process_index]).integers(1 << 62)))
            order = torch.from_numpy(np.random.default_rng([seed, 2, epoch]).permutation(len(views)))
            # Each process takes every n-th sample of each batch: together they see all of it once.
            indices = [
                order[step * batch_size : (step + 1) * batch_size][accelerator.process_index :: world]
                for step in range(steps)
            ]
            for step, (images, targets) in enumerate(views.batches(view := schedule.view(epoch), indices)):
                for group in optimizer.param_groups:
                    group["lr"] = schedule.rate(epoch + (step + 1) / steps)
                with accelerator.autocast():
                    said = None if teacher is None else teacher.answer(Batch(images, targets, view, indices[step]))
                loss = wrapped(images, said, targets)
                if not loss.requires_grad:
                    raise ModelError(
                        f"{label}: the loss does not depend on the student's weights, so there is nothing to learn: "
                        "look for detach(), no_grad() or numpy in its forward"
                    )
                optimizer.zero_grad(set_to_none=True)
                accelerator.backward(loss)
                optimizer.step()
                if average is not None:
                    average.update_parameters(students)
                losses.append(loss.detach())
                own_peaks.append(lesson.peak)
                if said is not None and not isinstance(teacher, EmaTeacher):  # which is the student
                    peaks.append(_peak(said))
                if step % 10 == 9 or step == steps - 1:
                    _check_teacher(peaks, label)
                    _check(losses, own_peaks, step, epoch, label, folder if reached.history else None)
                    task.advance((step % 10 + 1) * batch_size)
            seconds = time.perf_counter() - started
            results = _members(average) if average is not None else list(students)
            checked = [_shared_quality(accelerator, one, data.validation, data) for one in results]
            entry = {
                "epoch": epoch + 1,
                "loss": float(accelerator.reduce(torch.stack(losses).mean(), "mean")),
                "learning_rate": schedule.rate(epoch + 1),
                "validation": checked[0],
                **{f"peer_{number}_validation": quality for number, quality in enumerate(checked[1:], start=1)},
                "images_per_second": steps * batch_size / seconds,
                "seconds": seconds,
            }
            reached.keep(entry, write=accelerator.is_main_process)
            shown: dict[str, float | str] = {
                **{name: entry[name] for name in SHOWN},
                "validation": f"val. {measure.name} {measure.show(checked[0])}",
            }
            task.advance(0, **shown)
    accelerator.wait_for_everyone()
    results = _members(average) if average is not None else list(students)
    first, *others = (_plain(one) for one in results)
    return Trained(first, reached.history, tuple(others))


class Lesson(nn.Module):
    """Students and what they learn by, as one module: projectors train with them, and are averaged over processes too.

    Args:
        students: one, or several that learn from each other.
    """

    def __init__(self, students: nn.ModuleList, objective: Objective, task: Task) -> None:
        super().__init__()
        self.students = students
        self.objective = objective
        self._task = task
        self.peak = torch.zeros(())  # the largest output, without its sign, of the last batch
        self._layers = tuple(ours for ours, _ in objective.layers)
        for student in students:
            check_layers(student, self._layers, "student")

    def forward(self, images: Tensor, teacher: Outputs | None, targets: Tensor) -> Tensor:
        """Loss of a batch; with peers, the sum of the students'."""
        said = [run(student, images, self._layers, "student", self._task.outputs) for student in self.students]
        self.peak = torch.stack([_peak(one) for one in said]).max()
        teachers = [teacher] if len(said) == 1 else [self._peers(said, own, targets) for own in range(len(said))]
        with torch.autocast(images.device.type, enabled=False):
            losses = [self.objective(own, other, targets) for own, other in zip(said, teachers, strict=True)]
        return torch.stack(losses).sum()

    def bind(self, answered: tuple[Tensor, Outputs | None]) -> None:
        """Show the objective the shapes of both sides.

        Args:
            answered: images, and what the teacher says of them.
        """
        images, teacher = answered
        if self.objective.layers and (teacher is None or not teacher.features):
            raise ModelError(
                f"{type(self.objective).__name__} compares layers, so it needs a teacher that runs beside the student; "
                "cached outputs and peers show none"
            )
        first = self.students[0]
        training = first.training
        with torch.no_grad():
            self.objective.bind(run(first.eval(), images, self._layers, "student", self._task.outputs), teacher)
        first.train(training)
        self.objective.to(images.device)

    def _peers(self, said: Sequence[Outputs], own: int, targets: Tensor) -> Outputs:
        """What the others give together, without their gradient."""
        others = [
            Outputs({name: tensor.detach() for name, tensor in one.tensors.items()})
            for number, one in enumerate(said)
            if number != own
        ]
        return self._task.combine(others, targets, "average")


def _average(students: nn.ModuleList, decay: float) -> AveragedModel | None:
    if not decay:
        return None
    return AveragedModel(students, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)  # type: ignore[no-untyped-call]


def _members(average: AveragedModel) -> list[nn.Module]:
    """The averaged students."""
    return list(average.module.children())


def _peak(outputs: Outputs) -> Tensor:
    return torch.stack([tensor.detach().abs().max() for tensor in outputs.tensors.values()]).max()


def _answered(teacher: Teacher | None, views: Views, index: Tensor) -> tuple[Tensor, Outputs | None]:
    images, targets = views.batch(0, index)
    return images, None if teacher is None else teacher.answer(Batch(images, targets, 0, index))


def _check(
    losses: Sequence[Tensor], peaks: Sequence[Tensor], step: int, epoch: int, label: str, folder: Path | None
) -> None:
    recent = torch.stack(list(losses[-10:])).cpu()
    if bool(recent.isfinite().all()):
        return
    odd = int((~recent.isfinite()).nonzero()[0])
    number = step + 1 - len(recent) + odd + 1
    place, own = f"step {number} of epoch {epoch + 1}", float(peaks[odd - len(recent)])
    look = "look for a division by zero, a root or a logarithm in its forward"
    if not math.isfinite(own) and epoch == 0 and number == 1:  # before a weight was changed
        raise ModelError(f"{label}: the model itself answers {own} at {place}; {look}")
    kept = f"{folder / STATE} holds the state after epoch {epoch}" if folder else "no earlier state was kept"
    if not math.isfinite(own):
        raise TrainingError(
            f"{label}: the model itself answers {own} at {place}; {kept}; lower learning_rate, or {look}"
        )
    raise TrainingError(
        f"{label}: the loss is {float(recent[odd])} at {place}; "
        f"{kept}; lower learning_rate, or the weight of an objective"
    )


def _check_teacher(peaks: Sequence[Tensor], label: str) -> None:
    """Refuse a teacher that nobody can learn from, by the same limit as `cache.check_logits`."""
    if not peaks:
        return
    recent = torch.stack(list(peaks[-10:])).cpu()
    odd = recent[~(recent <= LARGEST)]
    if len(odd):
        raise ModelError(
            f"{label}: the teacher answers {float(odd[0]):.4g} as its largest logit, without the sign; logits are "
            f"numbers of at most {LARGEST:,} here: its weights, or the pixel values that it is shown, are wrong"
        )


def _shared_quality(accelerator: Accelerator, model: nn.Module, split: Split, data: Data) -> float:
    """The task's main measure of a split that is dealt out over the processes."""
    count = accelerator.num_processes
    mine = split.take(np.arange(accelerator.process_index, len(split), count))
    found = [run_model(model, mine, data, accelerator.device)] if len(mine) else []
    parts = found if count == 1 else gather_object(found)
    dealt = np.concatenate([np.arange(start, len(split), count) for start in range(count)])
    outputs = [np.concatenate(pieces)[np.argsort(dealt)] for pieces in zip(*parts, strict=True)]
    quality = data.device_task.quality(outputs, split.targets)
    return quality[data.device_task.measures[0].name]


def _plain(model: nn.Module) -> nn.Module:
    drop_compiled_code(model)  # the result is a plain module, as the caller's was
    return model.cpu().to(memory_format=torch.contiguous_format).eval()


def _accelerator(precision: Precision, model: nn.Module, loose: bool) -> Accelerator:
    # Accelerate keeps the precision of the first Accelerator for the whole process; a teacher's and a student's differ.
    cpu = processes().device.type == "cpu"
    forget_settings()
    # Objectives on features may leave a student's last layer out, which DDP has to be told.
    unused = DistributedDataParallelKwargs(find_unused_parameters=loose)
    return Accelerator(cpu=cpu, mixed_precision=_choose(precision, model), kwargs_handlers=[unused])


def _choose(precision: Precision, model: nn.Module) -> str:
    if precision == "fp16" and not torch.cuda.is_available():
        raise TrainingError("precision = fp16 needs a GPU, and there is none: say bf16, no or auto")
    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    # On a CPU bfloat16 halves the time of dense convolutions where the instructions exist; depthwise ones get slower.
    depthwise = any(isinstance(module, nn.Conv2d) and module.groups > 1 for module in model.modules())
    return "bf16" if has_avx512_bf16() and not depthwise else "no"
