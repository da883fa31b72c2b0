import functools

import pytest
import torch
from torch import nn

from edgestill.errors import ModelError, StorageError
from edgestill.models import (
    MODELS,
    create_model,
    load_checkpoint,
    multiply_accumulates,
    parameters,
    read_metadata,
    save_checkpoint,
)
from edgestill.models.registry import code_of


@pytest.mark.parametrize(
    ("name", "count", "macs"),
    [  # as the docstrings say
        ("dscnn_xs", 4_162, 324_584),
        ("dscnn_s", 14_650, 1_100_912),
        ("dscnn_m", 86_026, 5_534_144),
        ("resnet8", 77_754, 9_345_920),
        ("resnet8_m", 552_906, 19_768_384),
        ("resnet8_l", 1_209_834, 37_387_264),
    ],
)
def test_sizes(name, count, macs):
    model = create_model(name, 10)
    assert parameters(model) == count
    assert multiply_accumulates(model, (1, 28, 28)) == macs
    assert model.training


def test_macs_by_hand():
    # 3×3 convolution, 2 → 5 channels, 4×4 outputs: 5·2·9·16 = 1440; linear 80 → 3: 240.
    model = nn.Sequential(nn.Conv2d(2, 5, 3, padding=1), nn.Flatten(), nn.Linear(80, 3))
    assert multiply_accumulates(model, (2, 4, 4)) == 1440 + 240


@pytest.mark.parametrize("name", MODELS)
def test_every_model_takes_any_size_channels_and_classes(name):
    model = create_model(name, num_classes=7, in_channels=3).eval()
    with torch.inference_mode():
        assert model(torch.zeros(2, 3, 40, 33)).shape == (2, 7)


def test_the_seed_decides_the_initial_weights():
    first, second, other = (create_model("dscnn_xs", 10, seed=seed) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.head.weight, other.head.weight)


def test_timm_models():
    model = create_model("timm:mobilenetv3_small_050", num_classes=5, in_channels=1).eval()
    assert model(torch.zeros(1, 1, 64, 64)).shape == (1, 5)


@pytest.mark.parametrize(("name", "said"), [("nixda", "lists those it has"), ("resnet_18", "did you mean 'resnet18'")])
def test_a_name_that_timm_lacks_does_not_bring_all_the_others(name, said):
    with pytest.raises(ModelError, match=said) as caught:
        create_model(f"timm:{name}", 3)
    assert len(str(caught.value)) < 120


def own_factory(num_classes, in_channels):
    return nn.Sequential(nn.Flatten(), nn.Linear(784 * in_channels, num_classes))


def no_module(num_classes, in_channels):
    return "a string"


def test_a_factory_of_the_users_own(monkeypatch):
    monkeypatch.syspath_prepend(__file__.rpartition("/")[0])
    assert parameters(create_model("test_models:own_factory", 10)) == 7850
    with pytest.raises(ModelError, match=r"must return a torch\.nn\.Module, not str"):
        create_model("test_models:no_module", 10)


class Net(nn.Module):
    def __init__(self, num_classes=7):
        super().__init__()
        self.layer = nn.Linear(4, num_classes)

    @staticmethod
    def build(num_classes):
        return Net(num_classes)


def everything(**options):
    return Net(**options)


def nothing_of_it(**options):
    assert not options.keys() - {"width"}
    return Net()


def needs_width(num_classes, width):
    return Net(num_classes)


def timms_word(in_chans, num_classes):
    return nn.Linear(in_chans, num_classes)


def fails(num_classes):
    raise RuntimeError("first line\nsecond line")


anonymous = lambda num_classes: Net(num_classes)  # noqa: E731
bound = functools.partial(Net, num_classes=3)
plain = lambda: Net()  # noqa: E731
instance = Net()


@pytest.fixture
def here(monkeypatch):
    monkeypatch.syspath_prepend(__file__.rpartition("/")[0])


@pytest.mark.parametrize(
    ("factory", "classes"),
    [
        ("Net", 5),
        ("Net.build", 5),
        ("everything", 5),
        ("anonymous", 5),
        ("bound", 5),
        ("plain", 7),
        ("nothing_of_it", 7),
    ],
)
def test_a_factory_gets_what_its_signature_names(here, factory, classes):
    assert create_model(f"test_models:{factory}", 5, 3).layer.out_features == classes


def test_timms_word_for_channels_is_known(here):
    assert create_model("test_models:timms_word", 5, 3).in_features == 3


def test_builders_of_torchvision_work():
    model = create_model("torchvision.models:squeezenet1_1", 5, 3).eval()
    with torch.inference_mode():
        assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 5)


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        ("needs_width", "needs width, which only you know; write a function"),
        ("fails", r"failed \(RuntimeError: first line\)"),
        ("instance", "must be a function or class that makes a model, not a Net"),
        ("own_factry", "has no 'own_factry'; did you mean 'own_factory'"),
        ("Net.made", "has no 'Net.made'"),
    ],
)
def test_factories_that_do_not_work_are_one_line(here, factory, said):
    with pytest.raises(ModelError, match=said) as caught:
        create_model(f"test_models:{factory}", 5, 3)
    assert "\n" not in str(caught.value)


def test_code_that_cannot_be_imported_is_one_line(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken_net.py").write_text("def net(:\n")
    with pytest.raises(ModelError, match=r"broken_net cannot be imported \(SyntaxError: ") as caught:
        create_model("broken_net:net", 5)
    assert "\n" not in str(caught.value)


def test_the_callers_random_numbers_go_on():
    torch.manual_seed(1)
    expected = torch.rand(2)[1]
    torch.manual_seed(1)
    torch.rand(1)
    create_model("dscnn_xs", 10, seed=5)
    assert torch.rand(1) == expected


def test_a_models_code_is_part_of_what_it_is(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_net_a.py").write_text("x = 1")
    first = code_of("own_net_a:net")
    (tmp_path / "own_net_a.py").write_text("x = 2")
    assert code_of("own_net_a:net") != first != "" and code_of("dscnn_s") == "" and code_of("timm:resnet18")
    assert code_of("no_such_module_x:net") == ""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("dscnn_z", "unknown model 'dscnn_z'; did you mean"),
        ("timm:resnet_18", "timm has no model 'resnet_18'; did you mean 'resnet18'?"),
        ("no_such_module:net", "cannot be imported"),
    ],
)
def test_unknown_models_name_the_nearest(name, said):
    with pytest.raises(ModelError) as caught:
        create_model(name, 10)
    assert said in str(caught.value)


@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_a_checkpoint_comes_back(tmp_path, dtype):
    path, model, fresh = tmp_path / "m.safetensors", create_model("dscnn_xs", 10), create_model("dscnn_xs", 10, seed=9)
    save_checkpoint(path, model, {"note": "kept"}, dtype=dtype)
    assert load_checkpoint(path, fresh) == read_metadata(path) == {"note": "kept"}
    for (name, before), after in zip(model.state_dict().items(), fresh.state_dict().values(), strict=True):
        assert before.dtype == after.dtype, name
        torch.testing.assert_close(before, after, rtol=0 if dtype is None else 1e-3, atol=0 if dtype is None else 1e-4)


def test_a_checkpoint_that_does_not_fit_names_what_differs_and_changes_nothing(tmp_path):
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, create_model("dscnn_xs", 12))
    model = create_model("dscnn_xs", 10)
    before = model.head.weight.clone()
    with pytest.raises(ModelError) as caught:
        load_checkpoint(path, model)
    assert "does not fit DSCNN" in str(caught.value)
    assert "head.weight is (12, 40), the model has (10, 40)" in str(caught.value)
    assert torch.equal(model.head.weight, before)
    with pytest.raises(ModelError, match=r"and \d+ more"):
        load_checkpoint(path, create_model("resnet8", 10))


def test_a_damaged_or_missing_checkpoint(tmp_path):
    path, model = tmp_path / "m.safetensors", create_model("dscnn_xs", 10)
    with pytest.raises(ModelError, match="cannot be read: no such file"):
        load_checkpoint(path, model)
    save_checkpoint(path, model)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ModelError, match=str(path)):
        load_checkpoint(path, model)


def test_a_checkpoint_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="could not write"):
        save_checkpoint(tmp_path / "file" / "m.safetensors", create_model("dscnn_xs", 10))


def test_words_of_somebody_elses_code_bring_no_colours(tmp_path, monkeypatch):
    (tmp_path / "loud_factory.py").write_text('def make(**_):\n    raise RuntimeError("\\x1b[31mred\\x1b[0m\\nmore")\n')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelError) as caught:
        create_model("loud_factory:make", 10, 1)
    assert "(RuntimeError: red)" in str(caught.value)
