"""Options of trainings, as plain data: one class for each kind of training."""

from dataclasses import dataclass
from os import PathLike
from typing import get_args

from .data import Augmentation
from .data.augmentation import NO_AUGMENTATION
from .errors import check_choice, check_kind
from .schedule import DEFAULT_SCHEDULE, QatSchedule, Schedule
from .teachers import Combination


@dataclass(frozen=True)
class TrainOptions:
    """How a model is trained.

    Args:
        schedule: how long and how fast.
        augmentation: of the views.
        seed: of the order of the samples and of an objective's projectors; the views are the data's own.
        folder: for `state.safetensors` and `metrics.jsonl`: an interrupted training resumes from there if called again
            with the same arguments and initial weights. None: nothing is stored.
        label: of the progress bar.
    """

    schedule: Schedule = DEFAULT_SCHEDULE
    augmentation: Augmentation = NO_AUGMENTATION
    seed: int = 0
    folder: str | PathLike[str] | None = None
    label: str = "train"

    def __post_init__(self) -> None:
        check_kind(self.schedule, Schedule, "schedule")
        check_kind(self.augmentation, Augmentation, "augmentation")


@dataclass(frozen=True)
class DistillOptions(TrainOptions):
    """How a student is distilled: `TrainOptions`, and the options for its teachers.

    Args:
        schedule: its `views` is the number of augmented views whose teacher outputs are computed in advance. `views=0`
            is for a live teacher: a new view every epoch.
        combine: how the outputs of several teachers are combined; see `edgestill.teachers.TeacherEnsemble`.
        live: run the teacher during training instead of caching its outputs; always so for objectives on layers.
        cache: folder for the teacher's outputs, to reuse them; a temporary folder when None.
        check_teacher: refuse a teacher that is no better than guessing on validation data; see `teacher_check.py`.
    """

    schedule: Schedule = Schedule(views=8)
    label: str = "distilled student"
    combine: Combination = "average"
    live: bool = False
    cache: str | PathLike[str] | None = None
    check_teacher: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self.combine, get_args(Combination), "combine")


QAT_OPTIONS = TrainOptions(schedule=QatSchedule(), label="train in int8")
