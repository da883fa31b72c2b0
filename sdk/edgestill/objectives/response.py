"""Objectives on the response, that is on the logits alone."""

import torch.nn.functional as F
from torch import Tensor

from .base import Objective, Outputs, logits_of


class CrossEntropy(Objective):
    """Labels alone: mean over samples of `-Σ_c target_c · log softmax(z)_c`, with optional label smoothing 0–1."""

    needs_teacher = False

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = label_smoothing

    def __call__(self, student: Outputs, teacher: Outputs | None, targets: Tensor) -> Tensor:
        return F.cross_entropy(student.logits, targets, label_smoothing=self.label_smoothing)


class HintonKD(Objective):
    """Hinton, Vinyals, Dean 2015, "Distilling the Knowledge in a Neural Network" (arXiv:1503.02531).

    `(1 - alpha) · CE(z_s, y) + alpha · T² · KL(softmax(z_t / T) ‖ softmax(z_s / T))`, KL averaged over samples.

    Args:
        temperature: T > 0; higher shows more of what the teacher thinks of the wrong classes.
        alpha: share of the teacher, 0–1.
    """

    needs_teacher = True

    def __init__(self, temperature: float = 4.0, alpha: float = 0.9) -> None:
        if temperature <= 0 or not 0 <= alpha <= 1:
            raise ValueError(f"HintonKD takes temperature > 0 and alpha in 0–1, not {temperature} and {alpha}")
        self.temperature = temperature
        self.alpha = alpha

    def __call__(self, student: Outputs, teacher: Outputs | None, targets: Tensor) -> Tensor:
        temperature = self.temperature
        log_student = F.log_softmax(student.logits / temperature, dim=1)
        log_teacher = F.log_softmax(logits_of(teacher, self) / temperature, dim=1)
        divergence = F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
        # Gradients of the soft part shrink with 1/T²; the factor keeps the balance of both parts when T changes.
        soft = temperature**2 * divergence
        return (1 - self.alpha) * F.cross_entropy(student.logits, targets) + self.alpha * soft


class DIST(Objective):
    """Huang et al. 2022, "Knowledge Distillation from A Stronger Teacher" (arXiv:2205.10536).

    `CE(z_s, y) + beta · T² · inter + gamma · T² · intra`, on the probabilities p = softmax(z / T) of both models, with
    the Pearson distance `d(a, b) = 1 - corr(a, b)`: `inter` is its mean over samples, across the classes of each;
    `intra` its mean over classes, across the samples of the batch. Only relations are matched, not values, which a
    small student can follow even when the teacher is much stronger.

    Args:
        beta, gamma: weights of the two relations, ≥ 0.
        temperature: T > 0.
        hard: weight of the labels' cross entropy, ≥ 0; the paper's is 1.
    """

    needs_teacher = True

    def __init__(self, beta: float = 1.0, gamma: float = 1.0, temperature: float = 1.0, hard: float = 1.0) -> None:
        if temperature <= 0 or min(beta, gamma, hard) < 0:
            raise ValueError("DIST takes temperature > 0 and beta, gamma, hard ≥ 0")
        self.beta = beta
        self.gamma = gamma
        self.temperature = temperature
        self.hard = hard

    def __call__(self, student: Outputs, teacher: Outputs | None, targets: Tensor) -> Tensor:
        temperature = self.temperature
        ours = F.softmax(student.logits / temperature, dim=1)
        theirs = F.softmax(logits_of(teacher, self) / temperature, dim=1)
        inter = pearson_distance(ours, theirs)
        intra = pearson_distance(ours.T, theirs.T)
        relations = temperature**2 * (self.beta * inter + self.gamma * intra)
        return self.hard * F.cross_entropy(student.logits, targets) + relations


def pearson_distance(first: Tensor, second: Tensor) -> Tensor:
    """Mean over rows of `1 - corr(first_row, second_row)`; 0 when each row is a rising line of the other's."""
    correlation = F.cosine_similarity(
        first - first.mean(dim=1, keepdim=True), second - second.mean(dim=1, keepdim=True), dim=1
    )
    return 1 - correlation.mean()
