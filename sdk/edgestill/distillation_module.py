"""Students and what they learn by, as one module that is trained."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .errors import ModelError
from .objectives import Objective, Outputs
from .objectives.layers import check_layers, run
from .tasks import Task


class DistillationModule(nn.Module):
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
        outputs = [run(student, images, self._layers, "student", self._task.outputs) for student in self.students]
        self.peak = torch.stack([largest_output(one) for one in outputs]).max()
        teachers = (
            [teacher] if len(outputs) == 1 else [self._peers(outputs, own, targets) for own in range(len(outputs))]
        )
        with torch.autocast(images.device.type, enabled=False):
            losses = [self.objective(own, other, targets) for own, other in zip(outputs, teachers, strict=True)]
        return torch.stack(losses).sum()

    def bind(self, images: Tensor, teacher: Outputs | None) -> None:
        """Show the objective the shapes of both sides.

        Args:
            teacher: the teacher's outputs for the images.
        """
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

    def _peers(self, outputs: Sequence[Outputs], own: int, targets: Tensor) -> Outputs:
        """The other students' outputs, combined and without their gradient."""
        others = [
            Outputs({name: tensor.detach() for name, tensor in one.tensors.items()})
            for number, one in enumerate(outputs)
            if number != own
        ]
        return self._task.combine(others, targets, "average")


def largest_output(outputs: Outputs) -> Tensor:
    """The largest absolute value of all output tensors, a scalar."""
    return torch.stack([tensor.detach().abs().max() for tensor in outputs.tensors.values()]).max()
