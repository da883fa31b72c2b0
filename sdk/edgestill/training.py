"""The one training loop: for a teacher, a student alone, and a distilled student.

Everything that varies is an argument: the model, the views of the data, the objective, the schedule, and what the
teacher said. Randomness comes from (seed, epoch) alone, and the state is written after every epoch, so a training
that was killed goes on as if nothing had happened.
"""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors
import safetensors.torch
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from edgestill_runtime.files import write_bytes

from .data import Augmentation, Data, Views
from .data.augmentation import NO_AUGMENTATION
from .data.sources import Split
from .errors import TrainingError
from .objectives import Objective, Outputs
from .progress import SILENT, Progress

SHOWN = ("epoch", "loss", "validation_accuracy", "images_per_second")
Precision = Literal["auto", "no", "fp16", "bf16"]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    Args:
        epochs: passes over the train split.
        batch_size: samples a step, over all processes.
        learning_rate: peak of AdamW's; it rises linearly for `warmup_epochs` and falls along a cosine to 0.
        weight_decay: AdamW's, decoupled.
        ema: decay per step of the exponential moving average of the weights that becomes the result; 0: none.
        views: number of distinct augmented views; epoch e shows view e mod `views`. 0: a new view every epoch.
        precision: of the forward pass; `auto` takes bfloat16 where it pays.
    """

    epochs: int = 30
    batch_size: int = 128
    learning_rate: float = 4e-3
    weight_decay: float = 0.02
    warmup_epochs: float = 1.0
    ema: float = 0.0
    views: int = 0
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 2:
            raise ValueError(f"epochs ≥ 1 and batch_size ≥ 2 are needed, not {self.epochs} and {self.batch_size}")
        if self.learning_rate <= 0 or min(self.weight_decay, self.warmup_epochs, self.views) < 0:
            raise ValueError("learning_rate must be above 0; weight_decay, warmup_epochs and views not below it")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema is a decay between 0 and 1, not {self.ema}")

    def view(self, epoch: int) -> int:
        """The view that an epoch shows."""
        return epoch % self.views if self.views else epoch

    def rate(self, epoch: float) -> float:
        """Learning rate at a point of the training, in epochs."""
        if epoch < self.warmup_epochs:
            return self.learning_rate * epoch / self.warmup_epochs
        rest = (epoch - self.warmup_epochs) / max(self.epochs - self.warmup_epochs, 1e-9)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(rest, 1.0)))


@dataclass(frozen=True)
class QatSchedule(Schedule):
    """Of the training with fake quantisation: a tenth of a usual one, at a low rate; the weights are good already."""

    epochs: int = 3
    learning_rate: float = 2e-4
    weight_decay: float = 0.0
    warmup_epochs: float = 0.3
    views: int = 3


DEFAULT_SCHEDULE = Schedule()


@dataclass(frozen=True)
class Trained:
    """A trained model (on the CPU, in eval mode) and its log: one entry an epoch."""

    model: nn.Module
    history: list[dict[str, float]]


def train(
    model: nn.Module,
    data: Data,
    objective: Objective,
    schedule: Schedule = DEFAULT_SCHEDULE,
    *,
    augmentation: Augmentation = NO_AUGMENTATION,
    teacher_logits: Sequence[np.ndarray] = (),
    seed: int = 0,
    folder: Path | None = None,
    label: str = "train",
    progress: Progress = SILENT,
) -> Trained:
    """Train `model` on the train split of `data`.

    Args:
        teacher_logits: for each view float16 or float32 (N, classes), row i for train sample i.
        folder: where `state.safetensors` (to go on after a stop) and `metrics.jsonl` are kept; None: nowhere.
        label: what the progress bar says.

    Returns:
        The averaged model if `schedule.ema` is set, else the model of the last step.
    """
    accelerator = _accelerator(schedule.precision, model)
    device = accelerator.device
    torch.manual_seed(seed)
    views = Views(data.train, len(data.classes), data.preprocessing, augmentation, seed, device)
    plain = model.to(device).to(memory_format=torch.channels_last)
    optimizer = AdamW(plain.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
    average = AveragedModel(plain, multi_avg_fn=get_ema_multi_avg_fn(schedule.ema), use_buffers=True)  # type: ignore[no-untyped-call]
    run = _Run(plain, optimizer, average, folder, _fingerprint(schedule, augmentation, objective, data, seed, plain))
    wrapped, optimizer = accelerator.prepare(plain, optimizer)
    batch_size = min(schedule.batch_size, len(views))
    steps = len(views) // batch_size
    with progress.task(label, schedule.epochs * steps * batch_size) as task:
        task.advance(len(run.history) * steps * batch_size)
        for epoch in range(len(run.history), schedule.epochs):
            started, losses = time.perf_counter(), []
            wrapped.train()
            view = schedule.view(epoch)
            answers = torch.from_numpy(np.array(teacher_logits[view])) if len(teacher_logits) else None
            order = torch.from_numpy(np.random.default_rng([seed, 2, epoch]).permutation(len(views)))
            for step in range(steps):
                for group in optimizer.param_groups:
                    group["lr"] = schedule.rate(epoch + (step + 1) / steps)
                whole = order[step * batch_size : (step + 1) * batch_size]
                index = whole[accelerator.process_index :: accelerator.num_processes]
                images, targets = views.batch(view, index)
                teacher = None if answers is None else Outputs(answers[index].to(device).float())
                with accelerator.autocast():
                    logits = wrapped(images)
                loss = objective(Outputs(logits.float()), teacher, targets)
                optimizer.zero_grad(set_to_none=True)
                accelerator.backward(loss)
                optimizer.step()
                if schedule.ema:
                    average.update_parameters(plain)
                losses.append(loss.detach())
                if step % 10 == 9:
                    task.advance(10 * batch_size)
            task.advance(steps % 10 * batch_size)
            seconds = time.perf_counter() - started
            if not math.isfinite(mean_loss := float(torch.stack(losses).mean())):
                raise TrainingError(f"{label}: the loss is {mean_loss} in epoch {epoch + 1}; lower learning_rate")
            checked = accuracy(average.module if schedule.ema else plain, data.validation, data, device)
            entry = {
                "epoch": epoch + 1,
                "loss": mean_loss,
                "learning_rate": schedule.rate(epoch + 1),
                "validation_accuracy": checked,
                "images_per_second": steps * batch_size / seconds,
                "seconds": seconds,
            }
            run.keep(entry, write=accelerator.is_main_process)
            task.advance(0, **{name: entry[name] for name in SHOWN})
    # For mixed precision Accelerate puts a `forward` of its own on the module; the result goes out without it.
    vars(plain).pop("forward", None)
    result = average.module if schedule.ema else plain
    return Trained(result.cpu().to(memory_format=torch.contiguous_format).eval(), run.history)


def predict(model: nn.Module, split: Split, data: Data, device: torch.device | str | None = None) -> np.ndarray:
    """Logits float32 (N, classes) of a split, without augmentation; `model` is left in eval mode."""
    device = device or default_device()
    views = Views(split, len(data.classes), data.preprocessing, device=device)
    model = model.to(device).eval()
    with torch.inference_mode():
        batches = [
            model(views.batch(0, index)[0]).float().cpu() for index in torch.split(torch.arange(len(split)), 256)
        ]
    return torch.cat(batches).numpy()


def accuracy(model: nn.Module, split: Split, data: Data, device: torch.device | str | None = None) -> float:
    """Share of a split that the model classifies as labelled, 0–1."""
    return float((predict(model, split, data, device).argmax(1) == split.labels).mean())


def default_device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class _Run:
    """What a training has reached, in memory and on disk."""

    def __init__(
        self, model: nn.Module, optimizer: AdamW, average: AveragedModel, folder: Path | None, fingerprint: str
    ) -> None:
        self._model, self._optimizer, self._average = model, optimizer, average
        self._folder, self._fingerprint = folder, fingerprint
        self.history: list[dict[str, float]] = []
        if folder is not None and (folder / "state.safetensors").is_file():
            self._resume(folder / "state.safetensors")

    def keep(self, entry: dict[str, float], write: bool) -> None:
        """Note a finished epoch; the state and the log are replaced atomically."""
        self.history.append(entry)
        if self._folder is None or not write:
            return
        described = {"fingerprint": self._fingerprint, "history": json.dumps(self.history)}
        write_bytes(self._folder / "state.safetensors", safetensors.torch.save(self._tensors(), described))
        lines = "".join(json.dumps(past) + "\n" for past in self.history)
        write_bytes(self._folder / "metrics.jsonl", lines.encode())

    def _tensors(self) -> dict[str, Tensor]:
        state = {f"model.{name}": value for name, value in self._model.state_dict().items()}
        state |= {f"average.{name}": value for name, value in self._average.state_dict().items()}
        for number, moments in self._optimizer.state_dict()["state"].items():
            state |= {f"optimizer.{number}.{name}": value for name, value in moments.items()}
        return {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}

    def _resume(self, path: Path) -> None:
        with safetensors.safe_open(path, framework="pt") as file:
            described = file.metadata()
        if described["fingerprint"] != self._fingerprint:
            return  # another schedule, objective, model or data set: that training is not this one
        state = safetensors.torch.load_file(path)
        self._model.load_state_dict(_under(state, "model."))
        self._average.load_state_dict(_under(state, "average."))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _under(state, "optimizer.").items():
            number, _, key = name.partition(".")
            moments.setdefault(int(number), {})[key] = value
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.history = json.loads(described["history"])


def _under(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _fingerprint(
    schedule: Schedule, augmentation: Augmentation, objective: Objective, data: Data, seed: int, model: nn.Module
) -> str:
    facts: dict[str, Any] = {
        "schedule": asdict(schedule),
        "augmentation": asdict(augmentation),
        "objective": [type(objective).__name__, repr(vars(objective))],
        "data": data.describe(),
        "seed": seed,
        "model": [[name, list(value.shape)] for name, value in model.state_dict().items()],
    }
    return json.dumps(facts, sort_keys=True)


def _accelerator(precision: Precision, model: nn.Module) -> Accelerator:
    # Accelerate keeps the precision of the first Accelerator for the whole process; a teacher's and a student's differ.
    AcceleratorState._reset_state(reset_partial_state=False)
    return Accelerator(mixed_precision=_choose(precision, model))


def _choose(precision: Precision, model: nn.Module) -> str:
    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    # On a CPU bfloat16 halves the time of dense convolutions where the instructions exist; depthwise ones get slower.
    depthwise = any(isinstance(module, nn.Conv2d) and module.groups > 1 for module in model.modules())
    return "bf16" if torch.cpu._is_avx512_bf16_supported() and not depthwise else "no"
