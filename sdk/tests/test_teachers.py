"""A teacher sees pixels as it was trained to, knows something, and answers numbers; or it is named before training."""

from collections import namedtuple
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import edgestill as es
from edgestill.cache import cache_outputs
from edgestill.data import Augmentation
from edgestill.distillation import distill
from edgestill.errors import ModelError, TrainingError
from edgestill.given_models import IMAGENET_MEAN, IMAGENET_STD
from edgestill.model_check import check_classes
from edgestill.models import create_model, save_checkpoint
from edgestill.objectives import FitNets, HintonKD
from edgestill.options import DistillOptions, TrainOptions
from edgestill.schedule import Schedule
from edgestill.tasks.image_classification import ImageClassification, guess
from edgestill.teacher_check import refuse_guessing
from edgestill.teacher_inputs import InputAdapter, adapter_for, processor_of, set_processor
from edgestill.teacher_loading import TeacherInputs, load_teacher
from edgestill.teachers import Batch, LiveTeacher
from edgestill.training import outputs_of, train
from edgestill_runtime.processing import ImageProcessor

SHORT = Schedule(epochs=1, batch_size=32, views=1)
CLASSES = ("dark", "dim", "light", "bright")
OWN = ImageProcessor(24, 24, (0.45, 0.5, 0.4), (0.3, 0.2, 0.25))
IMAGENET = ImageProcessor(32, 32, IMAGENET_MEAN, IMAGENET_STD)


def shades(count, channels=3, seed=0):
    """Images whose class is how bright they are."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    images = (labels[:, None, None, None] * 60 + generator.integers(10, 50, (count, 24, 24, channels))).astype(np.uint8)
    return es.Split(images, labels.astype(np.int64))


@pytest.fixture(scope="module")
def shaded():
    part = shades(200)
    return es.Data("shades", CLASSES, part, part, shades(100, seed=1), part, OWN, "sha256:0")


class Brightness(nn.Module):
    """Knows the four classes, of images of 32 px with ImageNet's mean and standard deviation, and of no others."""

    def __init__(self, num_classes=4, size=32):
        super().__init__()
        self.size = size
        self.pool = nn.AdaptiveAvgPool2d(1)
        levels = torch.tensor([(30.0 + 60 * label) / 255 for label in range(num_classes)])
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        self.register_buffer("levels", ((levels[:, None] - mean) / std))

    def forward(self, images):
        if images.shape[2] != self.size:
            raise ValueError(f"{images.shape}")
        return -20 * (self.pool(images).flatten(1)[:, None] - self.levels).square().sum(2)


def known():
    teacher = Brightness().eval()
    set_processor(teacher, IMAGENET)
    return teacher


# The teacher's own pixels.


@pytest.mark.parametrize(
    "target", [IMAGENET, ImageProcessor(24, 24, (0.5,), (0.25,)), ImageProcessor(24, 24, (0.0,) * 3, (1.0,) * 3)]
)
def test_the_teachers_tensor_is_what_its_own_processor_makes_of_the_pixels(target):
    pixels = shades(8).images
    given = torch.from_numpy(OWN.tensor(pixels))
    turned = InputAdapter(OWN, target).turn(given)
    assert turned.shape == (8, target.channels, target.height, target.width)
    here = replace(target, height=24, width=24)
    expected = torch.from_numpy(here.tensor(here.pixels(pixels)))
    if target.height == 24:  # grey is rounded to whole pixel values by the processor
        torch.testing.assert_close(
            turned, expected, atol=2e-5 if target.channels == 3 else 0.5 / 255 / 0.25 + 1e-4, rtol=0
        )
    torch.testing.assert_close(turned.mean((2, 3)), expected.mean((2, 3)), atol=0.02, rtol=0)


def test_grey_views_are_shown_in_three_equal_channels():
    grey = ImageProcessor(24, 24, (0.3,), (0.3,))
    turned = InputAdapter(grey, IMAGENET).turn(torch.from_numpy(grey.tensor(shades(2, channels=1).images)))
    back = turned * torch.tensor(IMAGENET_STD)[:, None, None] + torch.tensor(IMAGENET_MEAN)[:, None, None]
    torch.testing.assert_close(back[:, 0], back[:, 2], atol=1e-6, rtol=0)


def test_equal_processors_leave_the_tensor_untouched(shaded):
    teacher = known()
    set_processor(teacher, replace(OWN, resize="stretch", filter="bicubic"))  # the same tensors, of other photos
    assert adapter_for(teacher, OWN) is None
    set_processor(teacher, None)
    assert adapter_for(teacher, OWN) is None


def test_cached_and_live_teachers_see_the_same(shaded, tmp_path):
    batch = next(iter([torch.arange(16)]))
    images, targets = es.data.Views(shaded.train.images, shaded.encoded(shaded.train), OWN).batch(0, batch)
    live = LiveTeacher(known(), ["pool"], OWN).outputs(Batch(images, targets, 0, batch))
    cached = cache_outputs(known(), shaded, 1, tmp_path, augmentation=Augmentation())[0]["logits"][:16]
    np.testing.assert_allclose(live.logits, cached, rtol=2e-3, atol=2e-2)
    assert (live.logits.argmax(1) == targets.argmax(1)).all() and live.features["pool"].shape == (16, 3, 1, 1)
    assert (outputs_of(known(), shaded.validation, shaded)[0].argmax(1) == shaded.validation.targets).all()


def test_layers_of_an_adapted_teacher_can_be_learnt_from(shaded):
    objective = FitNets([["blocks.3", "pool"]])
    done = distill(
        known(), create_model("dscnn_xs", 4, 3), shaded, options=DistillOptions(schedule=SHORT), objective=objective
    )
    assert len(done.history) == 1


def test_a_cache_for_other_pixels_is_another_cache(shaded, tmp_path):
    cache_outputs(known(), shaded, 1, tmp_path, augmentation=Augmentation())
    other = known()
    set_processor(other, replace(IMAGENET, mean=(0.5, 0.5, 0.5)))
    with pytest.raises(es.EdgestillError, match="another teacher's pixels"):
        cache_outputs(other, shaded, 1, tmp_path, augmentation=Augmentation())


class Notes:
    """Keeps messages."""

    def __init__(self):
        self.said = []

    def message(self, text):
        self.said.append(text)


def test_timms_published_settings_are_known(shaded, tmp_path):
    torch.save(create_model("timm:test_resnet.r160_in1k", 4, 3).state_dict(), tmp_path / "t.pth")
    notes = Notes()
    teacher = load_teacher("timm:test_resnet.r160_in1k", shaded, checkpoint=tmp_path / "t.pth", progress=notes)
    own = processor_of(teacher)
    published = teacher.pretrained_cfg
    assert own.image_shape == (160, 160, 3) and own.mean == tuple(published["mean"])
    assert own.crop_share == pytest.approx(published["crop_pct"])
    assert "as it was trained to: 160×160×3" in notes.said[0] and "it sees enlarged images" in notes.said[0]
    check_classes(teacher, shaded, "teacher")
    other = load_teacher(
        "timm:test_resnet.r160_in1k",
        shaded,
        checkpoint=tmp_path / "t.pth",
        inputs=TeacherInputs(image_size=96, mean=(0.5,) * 3, std=(1.0,) * 3),
    )
    assert processor_of(other).image_shape == (96, 96, 3) and processor_of(other).mean == (0.5,) * 3


def test_an_rgb_teacher_of_grey_data_is_found_out(shaded, tmp_path):
    torch.save(create_model("timm:test_resnet.r160_in1k", 4, 3).state_dict(), tmp_path / "t.pth")
    grey = replace(shaded, processor=ImageProcessor(24, 24, (0.5,), (0.25,)))
    teacher = load_teacher("timm:test_resnet.r160_in1k", grey, checkpoint=tmp_path / "t.pth")
    assert processor_of(teacher).channels == 3 and next(teacher.parameters()).shape[1] == 3


def test_torchvisions_published_settings_are_known(shaded, tmp_path):
    torch.save(create_model("torchvision.models:squeezenet1_1", 4, 3).state_dict(), tmp_path / "t.pth")
    own = processor_of(load_teacher("torchvision.models:squeezenet1_1", shaded, checkpoint=tmp_path / "t.pth"))
    assert own.image_shape == (224, 224, 3) and own.mean == pytest.approx(IMAGENET_MEAN)
    assert own.crop_share == pytest.approx(224 / 256)


def test_a_checkpoint_of_ours_brings_its_processor(shaded, tmp_path):
    other = OWN.to_json() | {"mean": [0.1, 0.2, 0.3], "height": 40, "width": 40}
    for key in ("processor", "preprocessing"):  # of now, and of older files
        save_checkpoint(tmp_path / "t.safetensors", create_model("dscnn_xs", 4, 3), {key: other, "data": {}})
        notes = Notes()
        teacher = load_teacher("dscnn_xs", shaded, checkpoint=tmp_path / "t.safetensors", progress=notes)
        assert processor_of(teacher).image_shape == (40, 40, 3) and "mean 0.1, 0.2, 0.3" in notes.said[0]
        assert not teacher.training and not any(parameter.requires_grad for parameter in teacher.parameters())


def test_a_teacher_with_the_classes_in_another_order_is_refused(shaded, tmp_path):
    noted = {"processor": OWN.to_json(), "classes": ["dim", "dark", "light", "bright"]}
    save_checkpoint(tmp_path / "t.safetensors", create_model("dscnn_xs", 4, 3), noted)
    with pytest.raises(ModelError, match="in another order: number 0 is 'dim' there and 'dark' in the data"):
        load_teacher("dscnn_xs", shaded, checkpoint=tmp_path / "t.safetensors")


def test_a_teacher_of_ours_with_the_datas_own_pixels_says_nothing(shaded, tmp_path):
    save_checkpoint(tmp_path / "t.safetensors", create_model("dscnn_xs", 4, 3), {"processor": OWN.to_json()})
    notes = Notes()
    assert (
        adapter_for(load_teacher("dscnn_xs", shaded, checkpoint=tmp_path / "t.safetensors", progress=notes), OWN)
        is None
    )
    assert notes.said == []


def test_a_processor_that_makes_no_sense_is_an_error(shaded, tmp_path):
    torch.save(create_model("dscnn_xs", 4, 3).state_dict(), tmp_path / "t.pth")
    for wrong in ({"mean": (0.5, 0.5), "std": (0.5, 0.5)}, {"mean": (0.5,) * 3}, {"std": (0.5,)}):
        with pytest.raises(ModelError, match=r"3 values \(RGB\) each, or 1 for all channels"):
            load_teacher("dscnn_xs", shaded, checkpoint=tmp_path / "t.pth", inputs=TeacherInputs(**wrong))
    with pytest.raises(ModelError, match="do not belong together"):
        load_teacher(
            "dscnn_xs", shaded, checkpoint=tmp_path / "t.pth", inputs=TeacherInputs(mean=(0.5,) * 3, std=(0.0,) * 3)
        )
    # One number is that of each channel of the weights, and makes no grey model of one in colour.
    for word, channels in (("grey", 1), ("rgb", 3)):
        torch.save(create_model("dscnn_xs", 4, channels).state_dict(), tmp_path / f"{word}.pth")
        teacher = load_teacher(
            "dscnn_xs", shaded, checkpoint=tmp_path / f"{word}.pth", inputs=TeacherInputs(mean=(0.5,), std=(0.25,))
        )
        assert processor_of(teacher).mean == (0.5,) * channels
    save_checkpoint(tmp_path / "t.safetensors", create_model("dscnn_xs", 4, 3), {"processor": {"height": 3}})
    with pytest.raises(ModelError, match="its processor cannot be used"):
        load_teacher("dscnn_xs", shaded, checkpoint=tmp_path / "t.safetensors")


# Near chance.


def test_a_teacher_that_sees_wrong_pixels_stops_the_training(shaded):
    blind = Brightness(size=24).eval()  # takes what the data gives: here twenty times what it knows
    shaded = replace(shaded, processor=replace(OWN, mean=(0.0,) * 3, std=(0.05,) * 3))
    with pytest.raises(
        ModelError, match=r"the teacher reaches accuracy \d+.\d\d % on 100 validation images, guessing \d"
    ):
        distill(blind, create_model("dscnn_xs", 4, 3), shaded, options=DistillOptions(schedule=SHORT))
    distill(blind, create_model("dscnn_xs", 4, 3), shaded, options=DistillOptions(schedule=SHORT, check_teacher=False))
    assert refuse_guessing(known(), shaded).quality == 1


def judge(answers, labels, names):
    task = ImageClassification()
    return task.against_chance(task.on_device(names, {}), [np.eye(len(names))[answers]], labels)


@pytest.mark.parametrize(
    ("share", "count", "classes", "near"),
    [
        (0.33, 400, 4, True),  # of FAULTS: instead of 90 %
        (0.33, 40, 4, True),
        (0.90, 40, 4, False),
        (0.10, 1000, 10, True),
        (0.45, 1000, 10, False),
        (0.25, 1000, 10, False),
        (0.50, 200, 2, True),
        (0.75, 200, 2, False),
        (0.80, 10, 2, False),  # too few to tell
        (0.10, 2000, 100, False),  # weak, and ten times chance
        (0.01, 2000, 100, True),
    ],
)
def test_what_counts_as_guessing(share, count, classes, near):
    labels = np.arange(count) % classes
    right = np.arange(count) * 997 % count < share * count
    # The wrong answers are spread over the other classes.
    answers = np.where(right, labels, (labels + 1 + np.arange(count) // classes % (classes - 1)) % classes)
    assert guess(answers, labels).near == near


def test_naming_the_largest_class_is_guessing_however_large_it_is():
    labels = np.repeat([0, 1], [950, 50])
    found = judge(np.zeros(1000, np.int64), labels, ("good", "bad"))
    assert found.near and "'good' for 100 %" in found.reason
    better = np.where(np.arange(1000) % 10 == 0, 1 - labels, labels)  # 90 % of both classes: less than 95 %, and knows
    assert not guess(better, labels).near


def test_another_order_of_the_classes_is_recognized():
    labels = np.arange(1000) % 10
    found = judge((labels + 3) % 10, labels, tuple("abcdefghij"))
    assert found.near and "another order of the classes" in found.reason


def test_one_class_alone_cannot_be_guessed_wrong():
    assert not guess(np.zeros(9, np.int64), np.zeros(9, np.int64)).near


# What it answers.


class Scaled(nn.Module):
    def __init__(self, by):
        super().__init__()
        self.inner, self.by = Brightness(), by

    def forward(self, images):
        return self.inner(images) * self.by


@pytest.mark.parametrize("by", [float("inf"), float("-inf"), float("nan"), 1e6])
@pytest.mark.parametrize("live", [False, True])
def test_a_teacher_whose_answers_are_no_use_is_named(shaded, by, live):
    teacher = Scaled(by).eval()
    set_processor(teacher, IMAGENET)
    for check in (True, False):
        with pytest.raises(ModelError, match="the teacher gives") as caught:
            distill(
                teacher,
                create_model("dscnn_xs", 4, 3),
                shaded,
                options=DistillOptions(schedule=SHORT, live=live, check_teacher=check),
                objective=HintonKD(),
            )
        assert "learning_rate" not in str(caught.value)


class Returns(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        self.inner, self.wrap = nn.Sequential(nn.Flatten(), nn.Linear(24 * 24 * 3, 4)), wrap

    def forward(self, images):
        return self.wrap(self.inner(images))


@pytest.mark.parametrize(
    ("wrap", "said"),
    [
        (lambda x: (x, x), r"returns a tuple of 2; .*`return self.model\(images\)\[0\]`"),
        (lambda x: [x], "returns a list of 1"),
        (lambda x: {"out": x, "aux": x}, r"a dict with 'out', 'aux'; .*\(images\)\[\"out\"\]`"),
        (lambda x: namedtuple("Both", "a b")(x, x), "returns a Both"),
        (lambda x: SimpleNamespace(logits=x), r"\(images\).logits`"),
        (lambda x: None, r"returns nothing \(None\)"),
        (lambda x: x.argmax(1), "returns int64 numbers"),
        (lambda x: x[:, :, None, None], r"has shape \(1, 4, 1, 1\)"),
        (lambda x: x[0], r"has shape \(4,\)"),
    ],
)
@pytest.mark.parametrize("who", ["student", "teacher"])
def test_what_is_no_logits_is_said_in_one_line(shaded, wrap, said, who):
    models = {"student": create_model("dscnn_xs", 4, 3), "teacher": known()} | {who: Returns(wrap)}
    with pytest.raises(ModelError, match=f"the {who}.*{said}") as caught:
        distill(models["teacher"], models["student"], shaded, options=DistillOptions(schedule=SHORT))
    assert "\n" not in str(caught.value)


def test_outputs_that_differ_in_training_are_said_too(shaded):
    class Auxiliary(Returns):
        def forward(self, images):
            logits = self.inner(images)
            return (logits, logits) if self.training else logits

    with pytest.raises(ModelError, match="the student returns a tuple of 2"):
        train(Auxiliary(None), shaded, es.objectives.CrossEntropy(), options=TrainOptions(SHORT))


def test_images_that_a_model_does_not_take_are_said_with_the_layer(shaded):
    with pytest.raises(ModelError, match=r"not take images of 24×24 with 3 channel.*it fails in module .1. \(Linear\)"):
        check_classes(nn.Sequential(nn.Flatten(), nn.Linear(784, 4)), shaded, "student")
    with pytest.raises(ModelError, match=r"the student does not take.*it fails in module .stem"):
        check_classes(create_model("dscnn_xs", 4, 1), shaded, "student")


def test_a_teacher_without_parameters_teaches(shaded):
    teacher = known()
    assert not list(teacher.parameters())
    assert (
        len(distill(teacher, create_model("dscnn_xs", 4, 3), shaded, options=DistillOptions(schedule=SHORT)).history)
        == 1
    )


class Detached(Returns):
    def forward(self, images):
        return self.inner(images.detach()).detach()


class OneRow(Returns):
    def forward(self, images):
        return self.inner(images).mean(0, keepdim=True)


def test_models_that_cannot_learn_or_answer_one_row_for_all_are_said(shaded, tmp_path):
    cross_entropy = es.objectives.CrossEntropy()
    with pytest.raises(ModelError, match="the loss does not depend on the student's weights"):
        train(Detached(None), shaded, cross_entropy, options=TrainOptions(SHORT))
    said = r"'s output for \d+ images has shape \(1, 4\); one row"
    with pytest.raises(ModelError, match=f"the student{said}"):
        train(OneRow(None), shaded, cross_entropy, options=TrainOptions(SHORT))
    with pytest.raises(ModelError, match=f"the teacher{said}"):
        cache_outputs(OneRow(None), shaded, 1, tmp_path, augmentation=Augmentation())
    with pytest.raises(ModelError, match=f"the model{said}"):
        outputs_of(OneRow(None), shaded.validation, shaded)[0]


def test_a_model_in_half_precision_answers_as_in_float32(shaded):
    model = create_model("dscnn_xs", 4, 3).half()
    check_classes(model, shaded, "student")
    found = outputs_of(model, shaded.validation, shaded, "cpu")[0]
    assert np.array_equal(found, outputs_of(model.float(), shaded.validation, shaded, "cpu")[0])


@pytest.mark.parametrize("wrong", ["x", 3, len, nn.Linear])
def test_what_is_no_module_is_said(shaded, wrong):
    student = create_model("dscnn_xs", 4, 3)
    for call in (
        lambda: outputs_of(wrong, shaded.validation, shaded)[0],
        lambda: distill(wrong, student, shaded),
        lambda: distill(None, wrong, shaded),
        lambda: train(wrong, shaded, es.objectives.CrossEntropy(), options=TrainOptions(SHORT)),
        lambda: es.convert(wrong, [np.zeros((2, 4), np.float32)], "x.edge"),
    ):
        with pytest.raises(ModelError, match="torch.nn.Module"):
            call()
    with pytest.raises(ModelError, match="objective is an object of edgestill.objectives, not 'dist'"):
        distill(None, student, shaded, objective="dist")


class FromCall(Returns):
    """Answers nan from a call in training on."""

    calls = 0

    def forward(self, images):
        self.calls += self.training
        return self.inner(images) * (float("nan") if self.calls > self.wrap else 1)


def test_a_student_that_answers_no_numbers_is_named(shaded):
    cross_entropy = es.objectives.CrossEntropy()
    with pytest.raises(ModelError, match="the model itself gives nan at step 1 of epoch 1") as caught:
        train(FromCall(0), shaded, cross_entropy, options=TrainOptions(SHORT))
    assert "learning_rate" not in str(caught.value)
    with pytest.raises(TrainingError, match="the model itself gives nan at step 3 of epoch 1; .*lower learning_rate"):
        train(FromCall(2), shaded, cross_entropy, options=TrainOptions(SHORT))
    student = create_model("dscnn_xs", 4, 3)
    torch.nn.init.constant_(next(student.parameters()), float("nan"))
    with pytest.raises(ModelError, match=r"begins with weights that are not finite \(stem"):
        train(student, shaded, cross_entropy, options=TrainOptions(SHORT))


class Answers(nn.Module):
    """Logits by way of a function."""

    def __init__(self, function):
        super().__init__()
        self.layer, self.function = nn.Linear(3 * 24 * 24, 4), function

    def forward(self, images):
        return self.function(self, images.flatten(1))


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda m, x: m.layer(x).softmax(1), "outputs probabilities"),
        (lambda m, x: m.layer(x.double()), "in module 'layer' (Linear) (a tensor there has another type than the weig"),
        (lambda m, x: m.layer(x) / (1 // 0), "in Answers, test_teachers.py line"),
        (
            lambda m, x: m.layer(x).detach().numpy(),
            "returns a ndarray; one torch.Tensor of logits (N, classes) is needed",
        ),
    ],
)
@pytest.mark.parametrize("who", ["teacher", "student"])
def test_what_gives_no_logits_is_refused_by_place(shaded, who, function, said):
    with pytest.raises(ModelError) as caught:
        check_classes(Answers(function).double(), shaded, who)
    assert said in str(caught.value)


def test_probabilities_may_be_converted(shaded):
    check_classes(Answers(lambda m, x: m.layer(x).softmax(1)), shaded, "model", learning=False)
