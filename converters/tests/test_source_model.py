"""What is refused before an exporter starts, in which words; and that the caller's model stays as it was."""

import copy
import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgestill_converters import CalibrationError, ConversionError
from edgestill_converters.graph import as_arrays, make_graph, tensors
from edgestill_converters.tasks import scores_of
from edgestill_runtime import ImageProcessor

SAMPLES = [np.random.default_rng(0).normal(0, 1, (2, 3, 12, 10)).astype(np.float32)]


class Calls(nn.Module):
    """A convolution, and a function of its outputs."""

    def __init__(self, function=lambda values: values):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.function = nn.Conv2d(3, 4, 3), function

    def forward(self, images):
        return self.function(self.conv(images))


class Named(Calls):
    def forward(self, images, *, scale):
        return self.conv(images) * scale


class Pair(Calls):
    def forward(self, images, others):
        return self.conv(images) + others


class Own(Calls):
    def forward(self, images):
        raise ValueError("\x1b[31monly \x1b]0;title\x07on\a Sun\x1b[0mdays\x1b[K\nand more")


class Nested(nn.Module):
    """The layer that fails is two modules down."""

    def __init__(self, layer):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), layer)

    def forward(self, images):
        return self.body(images)


class Branch(nn.Module):
    def forward(self, values):
        return values * 2 if values.sum() > 0 else values


class Numbers(nn.Module):
    def forward(self, values):
        return values + float(values.detach().numpy().sum())


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Named(), "forward(images, *, scale) is called with the samples' 1 input, which it does not take; scale must"),
        (Pair(), "forward(images, others) is called with the samples' 1 input"),
        (Own(), "it fails in Own, test_source_model.py line"),
        (Own(), "only on Sundays"),
        (Nested(nn.Linear(7, 3)), "it fails in module 'body.1' (Linear)"),
        (Nested(Branch()), "depends on the values of its input"),
        (Nested(Branch()), "in module 'body.1' (Branch), test_source_model.py line"),
        (Nested(Numbers()), "depends on the values of its input"),
        (Calls(lambda values: (values, 1.5)), "output 1 of the model is a float, no tensor"),
        (Calls(lambda values: values.sum()), "output 0 of the model has shape () for one sample"),
        (Calls(lambda values: (values, torch.ones(4))), "output 1 of the model has shape (4,) for one sample"),
        (Calls(lambda values: values[:, :0]), "output 0 of the model has shape (1, 0, 10, 8), which is empty"),
        (Calls(lambda values: None), "the model has no output"),
        (torch.jit.script(nn.Conv2d(3, 4, 3)), "TorchScript"),
        (Nested(nn.LazyLinear(3)), "the model's 'body.1.weight' has no shape yet"),
        (
            Nested(nn.Sequential(nn.Unflatten(1, (1, 4)), nn.Conv3d(1, 2, 3), nn.Flatten(1, 2))),
            "module 'body.1.1' uses",
        ),
        (Calls(lambda values: torch.fft.rfft2(values).abs()), "the forward of the model uses fft_rfft2"),
        (Calls(lambda values: values + torch.rand_like(values)), "uses rand_like"),
        (Calls(lambda values: F.dropout(values, 0.5, True)), "nn.Dropout or `training=self.training`"),
        (nn.Conv2d(3, 4, 3, dtype=torch.complex64), "the model's 'weight' is complex, and no engine has complex"),
        (Calls(lambda values: F.linear(values, torch.zeros(2, values.shape[-1]).double())), "has another type than"),
        (Nested(nn.AdaptiveMaxPool2d((3, 5))), "module 'body.1' uses adaptive_max_pool2d, which no engine"),
    ],
)
def test_a_refusal_names_the_place_in_the_model(model, reason):
    with pytest.raises(ConversionError) as caught:
        make_graph(model, SAMPLES, None)
    assert reason in str(caught.value)
    for words in ("torch.export.", "Traceback", "\x1b", "mat1", "GuardOn", "FakeTensor"):
        assert words not in str(caught.value)


def test_outputs_may_be_nested_and_named():
    graph = make_graph(Calls(lambda y: {"map": y, "more": [y.mean((2, 3)), (None, y.amax((2, 3)))]}), SAMPLES, None)
    assert graph.outputs == ("map", "more.0", "more.1.1")
    assert [tuple(one.shape) for one in graph.module(*graph.examples)] == [(1, 4, 10, 8), (1, 4), (1, 4)]


def test_the_callers_model_stays_as_it_was():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 2, 1))
    model.train()[1].eval()
    model[0].requires_grad_(False)
    model = model.to(memory_format=torch.channels_last)
    called = []
    model[3].register_forward_hook(lambda *arguments: called.append(1))
    before = copy.deepcopy(model.state_dict())
    graph = make_graph(model, SAMPLES, None)
    assert [module.training for module in model.modules()] == [True, True, False, True, True]
    assert [one.requires_grad for one in model.parameters()] == [False, False, True, True, True, True]
    assert model[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert len(model[3]._forward_hooks) == 1
    assert all(one.is_contiguous() for one in graph.module.parameters())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_a_model_of_another_precision_is_converted_from_a_copy_in_float32(dtype):
    model = Calls().to(dtype)
    graph = make_graph(model, SAMPLES, None)
    assert model.conv.weight.dtype == dtype
    assert graph.module(*graph.examples).dtype == torch.float32


def test_a_weight_that_the_model_computes_is_copied():
    model = nn.utils.weight_norm(nn.Conv2d(3, 4, 3))
    model(torch.zeros(1, 3, 12, 10))
    graph = make_graph(model, SAMPLES, None)
    torch.testing.assert_close(graph.module(*graph.examples), model(*graph.examples).detach())


def test_the_attribute_that_cannot_be_copied_is_named():
    model = Nested(nn.ReLU())
    model.body[1].guard = threading.Lock()
    with pytest.raises(ConversionError, match=r"the model cannot be copied.*: body\.1\.guard is a lock; remove it"):
        make_graph(model, SAMPLES, None)


@pytest.mark.parametrize(
    ("function", "last"),
    [
        (lambda values: values.mean((2, 3)).softmax(1), "softmax"),
        (lambda values: nn.functional.softmax(values.mean((2, 3)), -1), "softmax"),
        (lambda values: values.mean((2, 3)).sigmoid(), "sigmoid"),
        (lambda values: values.mean((2, 3)).log_softmax(1), ""),
        (lambda values: (values.mean((2, 3)).softmax(1), values), ""),
    ],
)
def test_what_makes_the_output_is_found(function, last):
    assert make_graph(Calls(function), SAMPLES, None).last == last


@pytest.mark.parametrize(
    ("task", "last", "scores"),
    [
        ("image-classification", "softmax", "probabilities"),
        ("image-classification", "sigmoid", "logits"),
        ("image-classification", "", "logits"),
        ("multi-label-classification", "sigmoid", "probabilities"),
        ("multi-label-classification", "softmax", "logits"),
        ("regression", "sigmoid", "logits"),
        ("somebody:Else", "softmax", "logits"),
    ],
)
def test_a_classifier_that_ends_in_its_own_activation_gives_probabilities(task, last, scores):
    assert scores_of(task, last) == scores


@pytest.mark.parametrize(
    "samples",
    [
        torch.from_numpy(SAMPLES[0]).requires_grad_(),
        torch.from_numpy(SAMPLES[0]).bfloat16(),
        torch.from_numpy(SAMPLES[0]).double(),
        SAMPLES[0].astype(np.float16),
        SAMPLES[0].tolist(),
    ],
    ids=["gradient", "bfloat16", "float64", "float16", "list"],
)
def test_samples_of_any_float_kind_are_float32_rows_of_their_own(samples):
    rows = list(tensors([samples], None))
    assert [(one.dtype, tuple(one.shape)) for (one,) in rows] == [(torch.float32, (1, 3, 12, 10))] * 2
    np.testing.assert_allclose(rows[1][0].numpy(), SAMPLES[0][1:], rtol=0.01, atol=0.01)
    kept = as_arrays([samples], None)[0].copy()
    rows[0][0].zero_()  # as a model may that writes into its input
    assert (as_arrays([samples], None)[0] == kept).all()


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        ([[[1.0, 2.0], [3.0]]], "a list that is no array: its parts differ in shape"),
        ([[torch.ones(2, requires_grad=True)]], "a list that is no array"),
        ({"x": SAMPLES[0]}, "a dict; give its arrays in a list"),
        ([np.zeros((2, 3), np.uint8)], "an input of uint8, as raw pixels have it; give them with a processor"),
        ([np.zeros((2, 3), np.uint16)], "an input of uint16; models take floats, signed integers or booleans"),
        ([torch.zeros(2, 3, dtype=torch.complex64)], "an input of complex64"),
        ([SAMPLES[0], SAMPLES[0][:1]], "the inputs have [1, 2] samples"),
        ([np.array([[1.0], [np.inf]])], "not finite"),
        ("samples.npy", "a str"),
        ([], "no samples"),
        ([SAMPLES[0][:0]], "no samples"),
    ],
)
def test_samples_that_no_model_takes_are_refused_in_words(samples, reason):
    with pytest.raises(CalibrationError) as caught:
        next(tensors(samples, None))
    assert reason in str(caught.value)


@pytest.mark.parametrize("model", [Calls(lambda y: y.sum(dim="a")), Calls(lambda y: y.gather(1, y))])
def test_torch_names_types_in_messages_about_something_else(model):
    with pytest.raises(ConversionError) as caught:
        make_graph(model, SAMPLES, None)
    assert "another type" not in str(caught.value)


@pytest.mark.parametrize("alone", [SAMPLES[0], torch.from_numpy(SAMPLES[0])], ids=["array", "tensor"])
def test_an_array_alone_is_that_of_the_only_input(alone):
    (samples,) = as_arrays(alone, None)
    np.testing.assert_array_equal(samples, SAMPLES[0])


def test_photos_are_prepared_one_at_a_time():
    class Counting(ImageProcessor):
        def tensor(self, images):
            prepared.append(len(images))
            return super().tensor(images)

    prepared = []
    samples = tensors(np.zeros((3, 4, 4, 1), np.uint8), Counting(4, 4, (0.5,), (0.5,)))
    assert next(samples)[0].shape == (1, 1, 4, 4) and prepared == [1]
