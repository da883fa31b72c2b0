import pytest
import torch
from torch import nn

from edgestill.errors import ModelError, StorageError
from edgestill.models import (
    MODELS,
    create_model,
    create_student,
    load_checkpoint,
    multiply_accumulates,
    parameters,
    read_metadata,
    save_checkpoint,
)


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
    first, second, other = (create_student("dscnn_xs", seed=seed, num_classes=10) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.head.weight, other.head.weight)


def test_timm_models():
    model = create_model("timm:mobilenetv3_small_050", num_classes=5, in_channels=1).eval()
    assert model(torch.zeros(1, 1, 64, 64)).shape == (1, 5)


def own_factory(num_classes, in_channels):
    return nn.Sequential(nn.Flatten(), nn.Linear(784 * in_channels, num_classes))


def no_module(num_classes, in_channels):
    return "a string"


def test_a_factory_of_the_users_own(monkeypatch):
    monkeypatch.syspath_prepend(__file__.rpartition("/")[0])
    assert parameters(create_model("test_models:own_factory", 10)) == 7850
    with pytest.raises(ModelError, match=r"must return a torch\.nn\.Module, not str"):
        create_model("test_models:no_module", 10)


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
