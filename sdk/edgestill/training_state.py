"""The state of a training: written after every epoch, loaded to resume."""

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
FORMAT = 2  # of the state's tensors and their names


class TrainingState:
    """The state of a training, in memory and on disk.

    Args:
        fingerprint: of `fingerprint`; the state of a different training in the folder is not loaded.

    Attributes:
        other: what differs in the training whose state is in the folder.
    """

    def __init__(
        self, module: nn.Module, optimizer: AdamW, average: AveragedModel | None, folder: Path | None,
        fingerprint: dict[str, Any],
    ) -> None:  # fmt: skip
        self._module, self._optimizer, self._average = module, optimizer, average
        self._folder, self._fingerprint = folder, fingerprint
        self.history: list[dict[str, float]] = []
        self.other: list[str] = []
        if folder is not None and (folder / STATE).is_file():
            self._resume(folder / STATE)

    def keep(self, entry: dict[str, float], write: bool) -> None:
        """Record a finished epoch; the state and the log are replaced atomically."""
        self.history.append(entry)
        if self._folder is None or not write:
            return
        described = {"fingerprint": json.dumps(self._fingerprint), "history": json.dumps(self.history)}
        write_bytes(self._folder / STATE, safetensors.torch.save(self._tensors(), described))
        lines = "".join(json.dumps(past) + "\n" for past in self.history)
        write_bytes(self._folder / "metrics.jsonl", lines.encode())

    def _tensors(self) -> dict[str, Tensor]:
        state = {f"module.{name}": value for name, value in self._module.state_dict().items()}
        if self._average is not None:
            state |= {f"average.{name}": value for name, value in self._average.state_dict().items()}
        for number, moments in self._optimizer.state_dict()["state"].items():
            state |= {f"optimizer.{number}.{name}": value for name, value in moments.items()}
        return {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}

    def _resume(self, path: Path) -> None:
        with safetensors.safe_open(path, framework="pt") as file:
            described = file.metadata()
        recorded = json.loads(described["fingerprint"])
        self.other = [name for name, value in self._fingerprint.items() if recorded.get(name, ...) != value]
        if self.other:
            return  # the state of a different training
        state = safetensors.torch.load_file(path)
        self._module.load_state_dict(_under(state, "module."))
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
    facts: dict[str, Any],
) -> dict[str, Any]:
    """Everything that identifies a training, as JSON data.

    Args:
        facts: the seed, the teacher's identity, and that of the students' initial weights.
    """
    described = {
        "format": FORMAT,
        "schedule": asdict(schedule),
        "augmentation": asdict(augmentation),
        "objective": objective.describe(),
        "data": data.learnt_from(),
        "pixels": data.processor.to_json(),
    }
    plain: dict[str, Any] = json.loads(json.dumps(described | facts, default=str))
    return plain
