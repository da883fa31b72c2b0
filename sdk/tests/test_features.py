"""Objectives on layers: against a second formula in float64, with shapes that differ, and on real models."""

import numpy as np
import pytest
import torch
from torch import nn

from edgestill.errors import ModelError
from edgestill.models import create_model
from edgestill.objectives import RKD, AttentionTransfer, FitNets, Objective, Outputs, ReviewKD, create_objective
from edgestill.objectives.feature import hierarchical_context_loss
from edgestill.objectives.layers import as_map, as_vector, check_layers, run

GENERATOR = np.random.default_rng(0)
PAIR = [["a", "b"]]


def outputs(**features) -> Outputs:
    return Outputs(torch.zeros(4, 3), {name: torch.as_tensor(value) for name, value in features.items()})


def maps(*shape):
    return GENERATOR.normal(size=shape)


def loss(objective: Objective, ours, theirs) -> torch.Tensor:
    student, teacher = outputs(a=ours), outputs(b=theirs)
    objective.bind(student, teacher)
    objective.double()
    return objective(student, teacher, torch.zeros(4, 3))


def test_fitnets_is_the_mean_square_where_shapes_agree():
    ours, theirs = maps(4, 5, 3, 3), maps(4, 5, 3, 3)
    objective = FitNets(PAIR)
    assert loss(objective, ours, theirs).item() == pytest.approx(((ours - theirs) ** 2).mean())
    assert not list(objective.parameters())


def test_fitnets_projects_channels_and_averages_to_the_smaller_size():
    ours, theirs = maps(4, 5, 3, 3), maps(4, 7, 6, 6)
    objective = FitNets(PAIR)
    found = loss(objective, ours, theirs).item()
    weight = objective.projectors[0].weight.detach().numpy()[:, :, 0, 0]
    smaller = theirs.reshape(4, 7, 3, 2, 3, 2).mean((3, 5))
    assert found == pytest.approx(((np.einsum("oc,nchw->nohw", weight, ours) - smaller) ** 2).mean())


def test_attention_transfer_compares_unit_vectors_of_squared_channels():
    ours, theirs = maps(4, 5, 3, 3), maps(4, 7, 3, 3)

    def attention(features):
        rows = (features**2).sum(1).reshape(4, -1)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    expected = ((attention(ours) - attention(theirs)) ** 2).sum(1).mean()
    assert loss(AttentionTransfer(PAIR), ours, theirs).item() == pytest.approx(expected)


def test_hcl_weighs_full_size_and_pyramids():
    ours, theirs = (torch.tensor(maps(2, 3, 8, 8)) for _ in range(2))

    def at(side):
        return ((ours - theirs).reshape(2, 3, side, 8 // side, side, 8 // side).mean((3, 5)) ** 2).mean()

    expected = (at(8) + at(4) / 2 + at(2) / 4 + at(1) / 8) / (1 + 1 / 2 + 1 / 4 + 1 / 8)
    assert hierarchical_context_loss(ours, theirs).item() == pytest.approx(expected.item())


def test_review_kd_fuses_the_deeper_layers_into_the_earlier_ones():
    objective = ReviewKD([["early", "early"], ["late", "late"]], width=4)
    student = outputs(early=maps(4, 3, 8, 8), late=maps(4, 5, 4, 4))
    teacher = outputs(early=maps(4, 6, 8, 8), late=maps(4, 9, 4, 4))
    objective.bind(student, teacher)
    objective.double()
    late = student.features["late"].requires_grad_()
    # What the early layer is compared with depends on the late one: that is the review.
    only_early = hierarchical_context_loss(
        objective.fusions[1](student.features["early"], objective.fusions[0](late, None)[1])[0],
        teacher.features["early"],
    )
    assert torch.autograd.grad(only_early, late, retain_graph=True)[0].abs().sum() > 0
    only_late = hierarchical_context_loss(objective.fusions[0](late, None)[0], teacher.features["late"])
    total = objective(student, teacher, torch.zeros(4, 3))
    assert total.item() == pytest.approx((only_early + only_late).item())


@pytest.mark.parametrize("objective", [FitNets(PAIR), AttentionTransfer(PAIR)], ids=lambda one: type(one).__name__)
def test_a_student_that_equals_its_teacher_has_nothing_to_learn(objective):
    same = maps(4, 5, 3, 3)
    assert loss(objective, same, same).item() == pytest.approx(0, abs=1e-12)


KINDS = [FitNets(PAIR), AttentionTransfer(PAIR), ReviewKD(PAIR, width=4), RKD(layers=PAIR)]


@pytest.mark.parametrize("objective", KINDS, ids=lambda one: type(one).__name__)
def test_gradients(objective):
    theirs = outputs(b=maps(4, 7, 6, 6))
    ours = torch.tensor(maps(4, 5, 3, 3), requires_grad=True)
    objective.bind(outputs(a=ours.detach()), theirs)
    objective.double()
    assert torch.autograd.gradcheck(lambda a: objective(outputs(a=a), theirs, torch.zeros(4, 3)), ours)


@pytest.mark.parametrize("objective", KINDS, ids=lambda one: type(one).__name__)
def test_a_cnn_can_learn_from_the_tokens_of_a_transformer(objective):
    # 17 tokens: a class token and 4×4 patches, as maps of 4×4.
    tokens = maps(4, 17, 12)
    assert torch.isfinite(loss(objective, maps(4, 5, 8, 8), tokens))
    square = as_map(torch.tensor(tokens))
    assert square.shape == (4, 12, 4, 4)
    np.testing.assert_array_equal(square[2, :, 1, 3], tokens[2, 1 + 1 * 4 + 3])


def test_shapes_that_are_no_features():
    assert as_vector(torch.ones(2, 3)).shape == (2, 3)
    with pytest.raises(ModelError, match="neither maps, tokens nor vectors"):
        as_map(torch.ones(2, 3, 4, 5, 6))


def test_binding_again_makes_new_projectors():
    objective = FitNets(PAIR)
    for channels in (7, 9):
        loss(objective, maps(4, 5, 3, 3), maps(4, channels, 3, 3))
    assert [one.out_channels for one in objective.projectors] == [9]


def test_layers_are_read_by_name_and_no_hook_stays():
    model = create_model("resnet8", 10)
    images = torch.zeros(2, 1, 28, 28)
    with torch.no_grad():
        said = run(model, images, ["stages.1", "head"])
    assert said.features["stages.1"].shape == (2, 32, 14, 14) and torch.equal(said.features["head"], said.logits)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_wrong_name_is_answered_with_the_nearest():
    with pytest.raises(ModelError, match=r"the teacher has no layer 'stage.1'; did you mean 'stages.1'"):
        check_layers(create_model("resnet8", 10), ["stage.1"], "teacher")


def test_a_list_of_objectives_gathers_its_layers():
    tables = [{"kind": "dkd"}, {"kind": "fitnets", "layers": PAIR, "weight": 10}, {"kind": "rkd", "layers": ["a"]}]
    objective = create_objective(tables)
    assert objective.layers == (("a", "b"), ("a", "a")) and objective.needs_teacher
    objective.bind(outputs(a=maps(4, 5, 3, 3)), outputs(b=maps(4, 7, 3, 3), a=maps(4, 7, 3, 3)))
    assert [tuple(one.shape) for one in objective.parameters()] == [(7, 5, 1, 1)]


def test_only_hooks_that_give_tensors_can_be_compared():
    class Pair(nn.Module):
        def forward(self, images):
            return images, images

    model = nn.Sequential(Pair(), nn.ReLU())
    model[1].forward = lambda both: both[0]
    with pytest.raises(ModelError, match="'0' took no part in the forward pass, or gave no tensor"):
        run(model, torch.zeros(1), ["0"])
    assert not any(module._forward_hooks for module in model.modules())
