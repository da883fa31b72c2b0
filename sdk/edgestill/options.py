"""What a training is told besides its models and its data, as plain data: one object for each kind of training."""

from dataclasses import dataclass
from os import PathLike

from .data import Augmentation
from .data.augmentation import NO_AUGMENTATION
from .schedule import DEFAULT_SCHEDULE, QatSchedule, Schedule
from .teachers import Combination


@dataclass(frozen=True)
class TrainOptions:
    """How a model is trained.

    Args:
        schedule: how long and how fast.
        augmentation: of the views that it is shown.
        seed: of the order of the samples and of an objective's projectors; the views are the data's own.
        folder: where `state.safetensors` and `metrics.jsonl` are kept: a training that was killed goes on there if the
            same call is made again, the weights that the models begin with included. None: nowhere.
        label: what the progress bar says.
    """

    schedule: Schedule = DEFAULT_SCHEDULE
    augmentation: Augmentation = NO_AUGMENTATION
    seed: int = 0
    folder: str | PathLike[str] | None = None
    label: str = "train"


@dataclass(frozen=True)
class DistillOptions(TrainOptions):
    """How a student is taught, besides how it is trained.

    Args:
        schedule: its `views` is the number of augmented views whose teacher outputs are computed in advance. `views=0`
            is for a live teacher: a new view every epoch.
        combine: how several teachers become one; see `edgestill.teachers.TeacherEnsemble`.
        live: run the teacher beside the student instead of caching its outputs. Objectives on layers always do.
        cache: keeps the teacher's outputs, to be used again; a temporary folder when None.
        check_teacher: refuse a teacher that does no better than guessing on validation data, by the task's own rule (`against_chance`).
    """

    schedule: Schedule = Schedule(views=8)
    label: str = "distilled student"
    combine: Combination = "average"
    live: bool = False
    cache: str | PathLike[str] | None = None
    check_teacher: bool = True


QAT_OPTIONS = TrainOptions(schedule=QatSchedule(), label="train in int8")
