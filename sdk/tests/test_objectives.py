"""Each objective against a second formula, written out in float64 with numpy, and against its limits."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from edgestill.errors import RecipeError
from edgestill.objectives import (
    DIST,
    DKD,
    RKD,
    CrossEntropy,
    HintonKD,
    LogitMSE,
    MutualLearning,
    Objective,
    Outputs,
    SimilarityPreserving,
    WeightedSum,
    create_objective,
)

GENERATOR = np.random.default_rng(0)
STUDENT, TEACHER = GENERATOR.normal(size=(2, 6, 5)) * 3
LABELS = np.array([0, 1, 2, 3, 4, 0])
TARGETS = np.eye(5)[LABELS]
STANDARDIZED_KD = HintonKD(2.0, hard=0.1, soft=9.0, standardize=True)


def value(objective: Objective, student=STUDENT, teacher=TEACHER, targets=TARGETS) -> float:
    return float(objective(Outputs(torch.tensor(student)), Outputs(torch.tensor(teacher)), torch.tensor(targets)))


def softmax(logits):
    powers = np.exp(logits)
    return powers / powers.sum(1, keepdims=True)


def cross_entropy(student=STUDENT):
    return -np.log(softmax(student)[np.arange(6), LABELS]).mean()


def test_cross_entropy_is_minus_the_log_of_the_labels_probability():
    assert value(CrossEntropy()) == pytest.approx(cross_entropy())
    # Smoothing 0.1 over 5 classes: target 0.92 for the label, 0.02 for each other.
    smooth = TARGETS * 0.9 + 0.02
    assert value(CrossEntropy(0.1)) == pytest.approx(-(smooth * np.log(softmax(STUDENT))).sum(1).mean())


def test_blended_targets_are_blended_losses():
    other = np.eye(5)[(LABELS + 1) % 5]
    blended = value(CrossEntropy(), targets=0.3 * TARGETS + 0.7 * other)
    expected = 0.3 * value(CrossEntropy()) + 0.7 * value(CrossEntropy(), targets=other)
    assert blended == pytest.approx(expected)


def test_hinton_kd_is_t_squared_times_the_divergence():
    temperature, alpha = 4.0, 0.9
    ours, theirs = softmax(STUDENT / temperature), softmax(TEACHER / temperature)
    divergence = (theirs * (np.log(theirs) - np.log(ours))).sum(1).mean()
    expected = (1 - alpha) * cross_entropy() + alpha * temperature**2 * divergence
    assert value(HintonKD(temperature, alpha)) == pytest.approx(expected)


def test_hinton_kd_at_high_temperature_compares_centred_logits():
    # T → ∞: T²·KL → Σ_c (z_s - z_t)² / (2·classes) for logits centred per sample (Hinton et al., section 2.1).
    centred = (STUDENT - STUDENT.mean(1, keepdims=True)) - (TEACHER - TEACHER.mean(1, keepdims=True))
    expected = (centred**2).sum(1).mean() / (2 * 5)
    assert value(HintonKD(1000.0, 1.0)) == pytest.approx(expected, rel=1e-2)


def test_dist_is_one_minus_correlation_along_rows_and_columns():
    ours, theirs = softmax(STUDENT / 2), softmax(TEACHER / 2)
    inter = np.mean([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(ours, theirs, strict=True)])
    intra = np.mean([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(ours.T, theirs.T, strict=True)])
    expected = cross_entropy() + 4 * (0.5 * inter + 2.0 * intra)
    assert value(DIST(beta=0.5, gamma=2.0, temperature=2.0)) == pytest.approx(expected)


def z_scores(logits):
    return (logits - logits.mean(1, keepdims=True)) / logits.std(1, keepdims=True)


def test_standardized_kd_compares_z_scores():
    ours, theirs = softmax(z_scores(STUDENT) / 2), softmax(z_scores(TEACHER) / 2)
    divergence = (theirs * np.log(theirs / ours)).sum(1).mean()
    assert value(STANDARDIZED_KD) == pytest.approx(0.1 * cross_entropy() + 9 * 4 * divergence)


@pytest.mark.parametrize(
    ("kind", "hard"), [(HintonKD, 0.1), (DKD, 1), (DIST, 1), (LogitMSE, 1), (MutualLearning, 1)],
    ids=lambda one: getattr(one, "__name__", ""),
)  # fmt: skip
def test_every_logit_objective_can_compare_z_scores(kind, hard):
    plain, standardized = kind(), kind(standardize=True)
    # The labels' term, which keeps the logits, is taken away from both.
    expected = value(plain, z_scores(STUDENT), z_scores(TEACHER)) - hard * cross_entropy(z_scores(STUDENT))
    assert value(standardized) - hard * cross_entropy() == pytest.approx(expected, rel=1e-5)
    # A line with a positive slope through each sample's logits changes nothing: that is what the z-score is for.
    assert value(standardized, teacher=7 * TEACHER - 3) == pytest.approx(value(standardized))
    assert value(plain, teacher=7 * TEACHER - 3) != pytest.approx(value(plain))


def test_the_kind_of_older_recipes_is_a_standardized_kd():
    today = {"kind": "hinton-kd", "standardize": True, "temperature": 2.0, "hard": 0.1, "soft": 9.0}
    assert value(create_objective({"kind": "standardised-kd"})) == value(create_objective(today))
    changed = create_objective({"kind": "standardised-kd", "hard": 1.0, "weight": 0.5})
    assert value(changed) == pytest.approx(0.5 * value(create_objective(today | {"hard": 1.0})))


def test_dkd_is_the_label_against_the_rest_and_the_rest_among_itself():
    temperature, alpha, beta = 4.0, 0.7, 3.0
    ours, theirs = softmax(STUDENT / temperature), softmax(TEACHER / temperature)
    target = others = 0.0
    for row, label in enumerate(LABELS):
        p, q = theirs[row, label], ours[row, label]
        target += p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
        p, q = (np.delete(one[row], label) / (1 - one[row, label]) for one in (theirs, ours))
        others += (p * np.log(p / q)).sum()
    expected = cross_entropy() + temperature**2 * (alpha * target + beta * others) / 6
    assert value(DKD(temperature, alpha, beta)) == pytest.approx(expected)


def test_dkd_with_the_teachers_own_weights_is_plain_kd():
    # KL = TCKD + (1 - p_t(label)) · NCKD for each sample (the paper's equation 7); checked for one sample.
    one = [array[:1] for array in (STUDENT, TEACHER, TARGETS)]
    sure = softmax(one[1] / 2)[0, LABELS[0]]
    decoupled = value(DKD(2.0, alpha=1.0, beta=float(1 - sure), hard=0.0), *one)
    assert decoupled == pytest.approx(value(HintonKD(2.0, 1.0), *one))


def test_dkd_without_a_label_takes_the_teachers_first_choice():
    nothing = np.zeros_like(TARGETS)
    chosen = np.eye(5)[TEACHER.argmax(1)]
    assert value(DKD(hard=0.0), targets=nothing) == pytest.approx(value(DKD(hard=0.0), targets=chosen))


def test_logit_mse_is_the_mean_square():
    expected = 0.5 * cross_entropy() + 2 * ((STUDENT - TEACHER) ** 2).mean()
    assert value(LogitMSE(hard=0.5, soft=2.0)) == pytest.approx(expected)


def test_mutual_learning_is_labels_and_the_divergence_from_the_peers():
    ours, theirs = softmax(STUDENT), softmax(TEACHER)
    divergence = (theirs * np.log(theirs / ours)).sum(1).mean()
    assert value(MutualLearning(0.5)) == pytest.approx(cross_entropy() + 0.5 * divergence)


def huber(difference):
    size = np.abs(difference)
    return np.where(size < 1, size**2 / 2, size - 0.5)


def test_rkd_compares_distances_in_units_of_their_mean():
    def distances(rows):
        found = np.array([np.linalg.norm(a - b) for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j])
        return found / found.mean()

    expected = huber(distances(STUDENT) - distances(TEACHER)).mean()
    assert value(RKD(distance=1.0, angle=0.0)) == pytest.approx(expected, rel=1e-6)


def test_rkd_compares_the_angles_of_all_triples():
    def cosine(i, j, k, rows):
        a, b = rows[i] - rows[j], rows[k] - rows[j]
        length = np.linalg.norm(a) * np.linalg.norm(b)
        return a @ b / length if length else 0.0

    triples = [(i, j, k) for i in range(6) for j in range(6) for k in range(6)]
    expected = np.mean([huber(cosine(*one, STUDENT) - cosine(*one, TEACHER)) for one in triples])
    assert value(RKD(distance=0.0, angle=1.0)) == pytest.approx(expected, rel=1e-6)


def test_rkd_does_not_see_size_place_or_direction():
    turn = np.linalg.qr(GENERATOR.normal(size=(5, 5)))[0]
    assert value(RKD(), student=3 * STUDENT @ turn + 2, teacher=STUDENT) == pytest.approx(0, abs=1e-9)


class Largest(TorchDispatchMode):
    """Remembers how many values the largest tensor had that any operator made."""

    def __init__(self):
        super().__init__()
        self.values = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for one in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(one, torch.Tensor):
                self.values = max(self.values, one.numel())
        return result


def test_rkd_on_a_large_batch_never_holds_all_pairs_or_triples_of_vectors(monkeypatch):
    """The same loss and gradient as all at once, with no tensor of N × N × C or N × N × N values."""
    count, channels = 48, 64
    student, teacher = torch.randn(2, count, channels, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def run(most):
        monkeypatch.setattr("edgestill.objectives.relation.MOST_VALUES", most)
        logits = student.clone().requires_grad_()
        with Largest() as largest:
            loss = RKD()(Outputs(logits), Outputs(teacher), torch.eye(count, channels))
            loss.backward()
        return loss.item(), logits.grad, largest.values

    loss, gradient, whole = run(1 << 24)
    parts, other, largest = run(4 * count * channels)
    assert whole >= count * count * channels and largest <= 4 * count * channels
    assert parts == pytest.approx(loss, rel=1e-12)
    torch.testing.assert_close(other, gradient)


def test_rkd_of_equal_vectors_and_of_half_precision_is_finite():
    same = torch.ones(4, 3, requires_grad=True)
    loss = RKD()(Outputs(same), Outputs(torch.randn(4, 3)), torch.eye(4, 3))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(same.grad).all()
    half = torch.randn(4, 3).to(torch.bfloat16)
    assert torch.isfinite(RKD()(Outputs(half), Outputs(half), torch.eye(4, 3)))


def test_similarity_preserving_compares_which_samples_look_alike():
    def similarities(rows):
        products = rows @ rows.T
        return products / np.linalg.norm(products, axis=1, keepdims=True)

    expected = ((similarities(STUDENT) - similarities(TEACHER)) ** 2).sum() / 6**2
    assert value(SimilarityPreserving()) == pytest.approx(expected)


WITHOUT_LABELS = [
    HintonKD(4.0, 1.0),
    HintonKD(2.0, hard=0.0, soft=9.0, standardize=True),
    DKD(hard=0.0),
    DIST(hard=0.0),
    LogitMSE(hard=0.0),
    RKD(),
    SimilarityPreserving(),
]
ALL = [CrossEntropy(0.1), HintonKD(3.0, 0.5), STANDARDIZED_KD, DKD(), DIST(temperature=2.0), LogitMSE()]
ALL += [MutualLearning(), RKD(), SimilarityPreserving()]


@pytest.mark.parametrize("objective", WITHOUT_LABELS, ids=lambda one: type(one).__name__)
def test_a_student_that_equals_its_teacher_has_nothing_to_learn(objective):
    assert value(objective, student=TEACHER) == pytest.approx(0, abs=1e-9)
    assert value(objective) > 0.01


@pytest.mark.parametrize("objective", ALL, ids=lambda one: type(one).__name__)
def test_the_order_of_classes_and_samples_does_not_matter(objective):
    classes, samples = GENERATOR.permutation(5), GENERATOR.permutation(6)
    shuffled = (array[samples][:, classes] for array in (STUDENT, TEACHER, TARGETS))
    assert value(objective, *shuffled) == pytest.approx(value(objective))


@pytest.mark.parametrize("objective", ALL, ids=lambda one: type(one).__name__)
def test_gradients(objective):
    student = torch.tensor(STUDENT, requires_grad=True)
    teacher, targets = Outputs(torch.tensor(TEACHER)), torch.tensor(TARGETS)
    assert torch.autograd.gradcheck(lambda logits: objective(Outputs(logits), teacher, targets), student)


@pytest.mark.parametrize("objective", [HintonKD(), STANDARDIZED_KD, DKD(), DIST()], ids=lambda one: type(one).__name__)
def test_extreme_logits_stay_finite(objective):
    sure = 1e4 * np.eye(5)[LABELS]
    for student, teacher in ((sure, TEACHER), (STUDENT, sure), (sure, -sure), (np.zeros((6, 5)), np.zeros((6, 5)))):
        logits = torch.tensor(student, dtype=torch.float32, requires_grad=True)
        loss = objective(Outputs(logits), Outputs(torch.tensor(teacher).float()), torch.tensor(TARGETS).float())
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("objective", [CrossEntropy(0.1), HintonKD(alpha=0.0)], ids=lambda one: type(one).__name__)
def test_samples_without_a_label_add_nothing(objective):
    half = TARGETS * (np.arange(6) < 3)[:, None]
    first = value(objective, STUDENT[:3], TEACHER[:3], TARGETS[:3])
    assert value(objective, targets=half) == pytest.approx(first / 2)


def test_a_weighted_sum():
    both = WeightedSum([(0.25, CrossEntropy()), (2.0, DIST())])
    assert both.needs_teacher
    assert value(both) == pytest.approx(0.25 * value(CrossEntropy()) + 2 * value(DIST()))


def test_without_a_teacher_an_objective_that_needs_one_says_so():
    for objective in (HintonKD(), DIST()):
        with pytest.raises(ValueError, match=f"{type(objective).__name__} needs a teacher"):
            objective(Outputs(torch.tensor(STUDENT)), None, torch.tensor(TARGETS))


def test_objectives_of_a_recipe():
    objective = create_objective({"kind": "hinton-kd", "temperature": 2.0})
    assert isinstance(objective, HintonKD) and objective.temperature == 2.0
    listed = create_objective([{"kind": "cross-entropy", "weight": 0.1}, {"kind": "dist"}])
    assert value(listed) == pytest.approx(0.1 * value(CrossEntropy()) + value(DIST()))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"kind": "hinton"}, "unknown objective 'hinton'; did you mean 'hinton-kd'?"),
        ({}, "objective has no kind; valid: attention-transfer"),
        ({"kind": "hinton-kd", "temprature": 2}, "has no argument 'temprature'; did you mean 'temperature'?"),
        ({"kind": "hinton-kd", "temperature": 0}, "temperature > 0"),
        ({"kind": "dist", "beta": -1}, "≥ 0"),
        ([], "empty"),
        ({"kind": "dkd", "beta": -1}, "≥ 0"),
        ({"kind": "dist", "weight": "much"}, "weight is a number"),
        ({"kind": "fitnets"}, "layers"),
        ({"kind": "fitnets", "layers": []}, "needs `layers`"),
        ({"kind": "fitnets", "layers": [["a", "b", "c"]]}, "a pair [student's, teacher's]"),
        ({"kind": "attention-transfer", "layers": ["a"], "power": 0.5}, "power ≥ 1"),
    ],
)
def test_objectives_that_make_no_sense(table, said):
    with pytest.raises(RecipeError) as caught:
        create_objective(table)
    assert said in str(caught.value)
