"""Objectives on the response, that is, on the logits only. z_s and z_t are the student's and the teacher's, (N, C).

Each objective that compares logits takes `standardize`: it then compares the z-scores of each sample's logits,
`Z(z) = (z - mean(z)) / (std(z) + 1e-7)`, as in Sun et al. 2024, "Logit Standardization in Knowledge Distillation"
(arXiv:2403.01427). A student then need not reach the teacher's range of logits, only their order and proportions.
The labels' cross entropy keeps the logits themselves.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import OptionError
from .base import Objective, Outputs, teaching

ONE_CLASS = "one class a sample"


class LogitObjective(Objective):
    """Compares the logits of one class per sample.

    Args:
        standardize: compare z-scores of each sample's logits, see above.
    """

    assumes = ONE_CLASS

    def __init__(self, standardize: bool = False) -> None:
        super().__init__()
        self.standardize = standardize

    def compared(self, student: Outputs, teacher: Outputs | None) -> tuple[Tensor, Tensor]:
        """z_s and z_t, (N, C), standardized if requested."""
        logits = student.logits, teaching(teacher, self).logits
        return (z_scores(logits[0]), z_scores(logits[1])) if self.standardize else logits


class CrossEntropy(Objective):
    """Labels only: mean over samples of `-Σ_c target_c · log softmax(z)_c`; samples without a label count as 0.

    Args:
        label_smoothing: share of each target that is spread over all classes, 0–1.
    """

    assumes = ONE_CLASS
    needs_teacher = False

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise OptionError(f"CrossEntropy takes label_smoothing in 0–1, not {label_smoothing}")
        self.label_smoothing = label_smoothing

    def forward(self, student: Outputs, teacher: Outputs | None, targets: Tensor) -> Tensor:
        share = targets.sum(1, keepdim=True) / targets.shape[1]
        return F.cross_entropy(student.logits, torch.lerp(targets, share.expand_as(targets), self.label_smoothing))


class HintonKD(LogitObjective):
    """Hinton, Vinyals, Dean 2015, "Distilling the Knowledge in a Neural Network" (arXiv:1503.02531).

    `(1 - alpha) · CE(z_s, y) + alpha · T² · KL(softmax(z_t / T) ‖ softmax(z_s / T))`, KL averaged over samples.

    Args:
        temperature: T > 0; higher shows more of what the teacher thinks of the wrong classes.
        alpha: share of the teacher, 0–1.
        hard, soft: weights ≥ 0 of the two terms, in place of `1 - alpha` and `alpha`. The paper on standardized logits
            takes `temperature = 2, hard = 0.1, soft = 9`.
    """

    def __init__(
        self, temperature: float = 4.0, alpha: float = 0.9, hard: float | None = None, soft: float | None = None,
        standardize: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(standardize)
        if temperature <= 0 or not 0 <= alpha <= 1:
            raise OptionError(f"HintonKD takes temperature > 0 and alpha in 0–1, not {temperature} and {alpha}")
        self.temperature = temperature
        self.hard = 1 - alpha if hard is None else hard
        self.soft = alpha if soft is None else soft
        if min(self.hard, self.soft) < 0:
            raise OptionError(f"HintonKD takes hard, soft ≥ 0, not {self.hard} and {self.soft}")

    def forward(self, student: Outputs, teacher: Outputs | None, targets: Tensor) -> Tensor:
        soft = softened_divergence(*self.compared(student, teacher), self.temperature)
        return self.hard * F.cross_entropy(student.logits, targets) + self.soft * soft


class DKD(LogitObjective):
    """Zhao et al. 2022, "Decoupled Knowledge Distillation" (arXiv:2203.08679).

    `hard · CE(z_s, y) + T² · (alpha · TCKD + beta · NCKD)`, KL at temperature T averaged over samples: TCKD compares
    (p of the label, 1 - p of it), NCKD the distribution over the other classes only, which plain KD weighs by
    1 - p_t(label) and so hides wherever the teacher is sure. A sample without a label takes the teacher's first choice.

    Args:
        temperature: T > 0. alpha, beta, hard: weights ≥ 0; beta is the one to tune (the paper's: 0.5 to 8).
    """

    def __init__(
        self, temperature: float = 4.0, alpha: float = 1.0, beta: float = 2.0, hard: float = 1.0,
        standardize: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(standardize)
        if temperature <= 0 or min(alpha, beta, hard) < 0:
            raise OptionError("DKD takes temperature > 0 and alpha, beta, hard ≥ 0")
        self.temperature = temperature
        self.alpha = alpha
        self.beta = beta
        self.hard = hard

    def forward(self, student: Outputs, teacher: Outputs | None, targets: Tensor) -> Tensor:
        compared = self.compared(student, teacher)
        labelled = targets.sum(1, keepdim=True) > 0
        label = torch.where(labelled, targets, compared[1]).argmax(1, keepdim=True)
        ours, theirs = (F.log_softmax(logits / self.temperature, dim=1) for logits in compared)
        target = _divergence(_in_two(ours, label), _in_two(theirs, label))
        others = torch.ones_like(theirs, dtype=torch.bool).scatter(1, label, False)
        classes = theirs.shape[1] - 1
        ours, theirs = (F.log_softmax(one[others].view(-1, classes), dim=1) for one in (ours, theirs))
        decoupled = self.alpha * target + self.beta * _divergence(ours, theirs)
        return self.hard * F.cross_entropy(student.logits, targets) + self.temperature**2 * decoupled


class DIST(LogitObjective):
    """Huang et al. 2022, "Knowledge Distillation from A Stronger Teacher" (arXiv:2205.10536).

    `hard · CE(z_s, y) + T² · (beta · inter + gamma · intra)`, on the probabilities p = softmax(z / T) of both models,
    with the Pearson distance `d(a, b) = 1 - corr(a, b)`: `inter` is its mean over samples, across the classes of each;
    `intra` its mean over classes, across the samples of the batch. Only relations are matched, not values, which a
    small student can follow even when the teacher is much stronger.

    Args:
        beta, gamma: weights of the two relations, ≥ 0.
        temperature: T > 0.
        hard: weight of the labels' cross entropy, ≥ 0; the paper's is 1.
    """

    def __init__(
        self, beta: float = 1.0, gamma: float = 1.0, temperature: float = 1.0, hard: float = 1.0,
        standardize: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(standardize)
        if temperature <= 0 or min(beta, gamma, hard) < 0:
            raise OptionError("DIST takes temperature > 0 and beta, gamma, hard ≥ 0")
        self.beta = beta
        self.gamma = gamma
        self.temperature = temperature
        self.hard = hard

    def forward(self, student: Outputs, teacher: Outputs | None, targets: Tensor) -> Tensor:
        temperature = self.temperature
        ours, theirs = (F.softmax(logits / temperature, dim=1) for logits in self.compared(student, teacher))
        inter = pearson_distance(ours, theirs)
        intra = pearson_distance(ours.T, theirs.T)
        relations = temperature**2 * (self.beta * inter + self.gamma * intra)
        return self.hard * F.cross_entropy(student.logits, targets) + relations


class LogitMSE(LogitObjective):
    """`hard · CE(z_s, y) + soft · mean over samples and classes of (z_s - z_t)²`, on raw logits.

    Ba & Caruana 2014, "Do Deep Nets Really Need to be Deep?" (arXiv:1312.6184); Kim et al. 2021 (arXiv:2105.08919)
    compare it with KL.

    Args:
        hard, soft: weights ≥ 0.
    """

    def __init__(self, hard: float = 1.0, soft: float = 1.0, standardize: bool = False) -> None:
        super().__init__(standardize)
        if min(hard, soft) < 0:
            raise OptionError("LogitMSE takes hard, soft ≥ 0")
        self.hard = hard
        self.soft = soft

    def forward(self, student: Outputs, teacher: Outputs | None, targets: Tensor) -> Tensor:
        distance = F.mse_loss(*self.compared(student, teacher))
        return self.hard * F.cross_entropy(student.logits, targets) + self.soft * distance


class MutualLearning(LogitObjective):
    """Zhang et al. 2018, "Deep Mutual Learning" (arXiv:1706.00384): each of several students learns from its peers.

    `CE(z_s, y) + peers · KL(softmax(z_t) ‖ softmax(z_s))`, where z_t are the peers, averaged as probabilities: its
    gradient is that of the paper's mean over peers of one KL each.

    Args:
        peers: weight of what they say, ≥ 0; the paper's is 1.
    """

    def __init__(self, peers: float = 1.0, standardize: bool = False) -> None:
        super().__init__(standardize)
        if peers < 0:
            raise OptionError(f"MutualLearning takes peers ≥ 0, not {peers}")
        self.peers = peers

    def forward(self, student: Outputs, teacher: Outputs | None, targets: Tensor) -> Tensor:
        divergence = softened_divergence(*self.compared(student, teacher), 1.0)
        return F.cross_entropy(student.logits, targets) + self.peers * divergence


def softened_divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """`T² · KL(softmax(teacher / T) ‖ softmax(student / T))`, averaged over samples.

    Gradients shrink with 1/T²; the factor keeps their balance with other terms when T changes.
    """
    ours, theirs = (F.log_softmax(logits / temperature, dim=1) for logits in (student, teacher))
    return temperature**2 * _divergence(ours, theirs)


def pearson_distance(first: Tensor, second: Tensor) -> Tensor:
    """Mean over rows of `1 - corr(first_row, second_row)`; 0 when each row is a rising line of the other's."""
    correlation = F.cosine_similarity(
        first - first.mean(dim=1, keepdim=True), second - second.mean(dim=1, keepdim=True), dim=1
    )
    return 1 - correlation.mean()


def z_scores(logits: Tensor) -> Tensor:
    """`(z - mean(z)) / (std(z) + 1e-7)` of each row, (N, C)."""
    deviation = logits.std(dim=1, keepdim=True, correction=0)
    return (logits - logits.mean(dim=1, keepdim=True)) / (deviation + 1e-7)


def _divergence(ours: Tensor, theirs: Tensor) -> Tensor:
    """KL(theirs ‖ ours) of log probabilities, averaged over rows."""
    return F.kl_div(ours, theirs, reduction="batchmean", log_target=True)


def _in_two(log_probabilities: Tensor, label: Tensor) -> Tensor:
    """Log probabilities (N, 2): of the label, and of all other classes together."""
    chosen = log_probabilities.gather(1, label)
    rest = log_probabilities.scatter(1, label, float("-inf")).logsumexp(dim=1, keepdim=True)
    return torch.cat([chosen, rest], dim=1)
