"""What a training has reached: written after every epoch, found again after a stop."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.swa_utils import AveragedModel

from edgestill_runtime.files import write_bytes

from .data import Augmentation, Data
from .objectives import Objective
from .schedule import Schedule

STATE = "state.safetensors"


class TrainingState:
    """What a training has reached, in memory and on disk."""

    def __init__(
        self, lesson: nn.Module, optimizer: AdamW, average: AveragedModel | None, folder: Path | None, fingerprint: str
    ) -> None:
        self._lesson, self._optimizer, self._average = lesson, optimizer, average
        self._folder, self._fingerprint = folder, fingerprint
        self.history: list[dict[str, float]] = []
        if folder is not None and (folder / STATE).is_file():
            self._resume(folder / STATE)

    def keep(self, entry: dict[str, float], write: bool) -> None:
        """Note a finished epoch; the state and the log are replaced atomically."""
        self.history.append(entry)
        if self._folder is None or not write:
            return
        described = {"fingerprint": self._fingerprint, "history": json.dumps(self.history)}
        write_bytes(self._folder / STATE, safetensors.torch.save(self._tensors(), described))
        lines = "".join(json.dumps(past) + "\n" for past in self.history)
        write_bytes(self._folder / "metrics.jsonl", lines.encode())

    def _tensors(self) -> dict[str, Tensor]:
        state = {f"lesson.{name}": value for name, value in self._lesson.state_dict().items()}
        if self._average is not None:
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
        self._lesson.load_state_dict(_under(state, "lesson."))
        if self._average is not None:
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


def fingerprint(
    schedule: Schedule,
    augmentation: Augmentation,
    objective: Objective,
    data: Data,
    students: nn.Module,
    facts: dict[str, Any],
) -> str:
    """What makes a training this one and no other."""
    described = {
        "schedule": asdict(schedule),
        "augmentation": asdict(augmentation),
        "objective": objective.describe(),
        "data": data.learnt_from(),
        "students": [[name, list(value.shape)] for name, value in students.state_dict().items()],
    }
    return json.dumps(described | facts, sort_keys=True, default=str)
