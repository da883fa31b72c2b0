"""Each objective against a second formula, written out in float64 with numpy, and against its limits."""

import numpy as np
import pytest
import torch

from edgestill.errors import RecipeError
from edgestill.objectives import DIST, CrossEntropy, HintonKD, Objective, Outputs, WeightedSum, create_objective

GENERATOR = np.random.default_rng(0)
STUDENT, TEACHER = GENERATOR.normal(size=(2, 6, 5)) * 3
LABELS = np.array([0, 1, 2, 3, 4, 0])
TARGETS = np.eye(5)[LABELS]


def value(objective: Objective, student=STUDENT, teacher=TEACHER, targets=TARGETS) -> float:
    return float(objective(Outputs(torch.tensor(student)), Outputs(torch.tensor(teacher)), torch.tensor(targets)))


def softmax(logits):
    powers = np.exp(logits)
    return powers / powers.sum(1, keepdims=True)


def cross_entropy():
    return -np.log(softmax(STUDENT)[np.arange(6), LABELS]).mean()


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


@pytest.mark.parametrize("objective", [HintonKD(4.0, 1.0), DIST(hard=0.0)])
def test_a_student_that_equals_its_teacher_has_nothing_to_learn(objective):
    assert value(objective, student=TEACHER) == pytest.approx(0, abs=1e-9)
    assert value(objective) > 0.01


@pytest.mark.parametrize("objective", [CrossEntropy(), HintonKD(), DIST()])
def test_the_order_of_classes_and_samples_does_not_matter(objective):
    classes, samples = GENERATOR.permutation(5), GENERATOR.permutation(6)
    shuffled = (array[samples][:, classes] for array in (STUDENT, TEACHER, TARGETS))
    assert value(objective, *shuffled) == pytest.approx(value(objective))


@pytest.mark.parametrize("objective", [CrossEntropy(0.1), HintonKD(3.0, 0.5), DIST(temperature=2.0)])
def test_gradients(objective):
    student = torch.tensor(STUDENT, requires_grad=True)
    teacher, targets = Outputs(torch.tensor(TEACHER)), torch.tensor(TARGETS)
    assert torch.autograd.gradcheck(lambda logits: objective(Outputs(logits), teacher, targets), student)


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
        ({}, "unknown objective None"),
        ({"kind": "hinton-kd", "temprature": 2}, "has no argument 'temprature'; did you mean 'temperature'?"),
        ({"kind": "hinton-kd", "temperature": 0}, "temperature > 0"),
        ({"kind": "dist", "beta": -1}, "≥ 0"),
        ([], "empty"),
    ],
)
def test_objectives_that_make_no_sense(table, said):
    with pytest.raises(RecipeError) as caught:
        create_objective(table)
    assert said in str(caught.value)
