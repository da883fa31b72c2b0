"""Weights as people have them: wrapped, nested, averaged, misnamed; and files that are something else."""

import argparse
import json
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from edgestill.errors import ModelError
from edgestill.file_kinds import describe_file
from edgestill.models import create_model, load_checkpoint, save_checkpoint


class Notes:
    """Keeps messages."""

    def __init__(self):
        self.said = []

    def message(self, text):
        self.said.append(text)


def net(seed=0, classes=3):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, classes))


def weights(model):
    return torch.cat([value.flatten().float() for value in model.state_dict().values()])


SOURCE = net(seed=1)
STATE = SOURCE.state_dict()
OTHER = net(seed=2).state_dict()


def loads(path, requested=None, model=None):
    """The notes of a file that holds the weights of SOURCE."""
    fresh, notes = model or net(), Notes()
    load_checkpoint(path, fresh, weights=requested, progress=notes)
    assert torch.equal(weights(fresh), weights(SOURCE))
    return " ".join(notes.said)


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "model.", "net.", "student.", "module._orig_mod.", "a.b."])
@pytest.mark.parametrize("form", ["pickle", "safetensors"])
def test_prefixes_of_wrappers_are_taken_off_and_said(tmp_path, prefix, form):
    path, named = tmp_path / "m.pt", {f"{prefix}{name}": value for name, value in STATE.items()}
    torch.save(named, path) if form == "pickle" else safetensors.torch.save_file(named, path)
    said = loads(path)
    assert repr(prefix.replace("_orig_mod.", "")) in said or prefix == "_orig_mod."


def test_a_compiled_part_of_a_model_is_found(tmp_path):
    path = tmp_path / "m.pt"
    torch.save({name.replace("0.", "0._orig_mod.", 1): value for name, value in STATE.items()}, path)
    loads(path)


def test_what_stands_beside_the_model_is_left_out_and_said(tmp_path):
    path = tmp_path / "lightning.ckpt"
    named = {f"model.{name}": value for name, value in STATE.items()} | {"criterion.weight": torch.ones(3)}
    torch.save({"epoch": 3, "state_dict": named, "hyper_parameters": {"lr": 0.1}}, path)
    assert "'state_dict'" in (said := loads(path)) and "1 other tensors left out" in said


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "net", "network", "params", "weights"])
def test_keys_of_checkpoints_are_known(tmp_path, key):
    path = tmp_path / "checkpoint.pth.tar"
    torch.save({key: STATE, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}, "epoch": 1}, path)
    assert repr(key) in loads(path)


@pytest.mark.parametrize("key", ["state_dict_ema", "model_ema", "ema", "ema_state_dict"])
def test_the_average_beside_raw_weights_is_said_and_can_be_asked_for(tmp_path, key):
    path = tmp_path / "m.pth"
    torch.save({"state_dict": STATE, key: OTHER, "args": argparse.Namespace(lr=0.1)}, path)
    said = loads(path)
    assert f"{key!r} left out" in said and 'weights = "ema"' in said
    torch.save({"state_dict": OTHER, key: {"module": STATE, "decay": 0.99}}, path)
    loads(path, "ema")
    loads(path, key)


def test_an_average_that_is_not_there_is_an_error(tmp_path):
    torch.save({"state_dict": STATE}, tmp_path / "m.pth")
    with pytest.raises(ModelError, match="holds no moving average; it has 'state_dict'"):
        load_checkpoint(tmp_path / "m.pth", net(), weights="ema")


def test_two_models_in_one_file_are_asked_about(tmp_path):
    both = {f"first.{name}": value for name, value in STATE.items()}
    both |= {f"second.{name}": value for name, value in OTHER.items()}
    torch.save(both, tmp_path / "m.pt")
    with pytest.raises(ModelError, match='several times, under first, second; say which with weights = "first"'):
        load_checkpoint(tmp_path / "m.pt", net())
    loads(tmp_path / "m.pt", "first")


def prefixed(**parts):
    return {f"{part}.{name}": value for part, state in parts.items() for name, value in state.items()}


@pytest.mark.parametrize(
    ("content", "wanted", "said"),
    [
        (STATE, "ema", "holds no moving average; it has one set of weights"),
        (STATE, "", "holds no weights ''; it has one set of weights"),
        (STATE, "disc", "holds no weights 'disc'; it has one set of weights"),
        ({"state_dict": STATE, "epoch": 3}, "epoch", "holds no weights 'epoch'; it has 'state_dict'"),
        ({"generator": STATE, "discriminator": OTHER}, "disc", "'disc'; it has 'generator', 'discriminator'"),
        ({"generator": STATE, "discriminator": OTHER}, None, "several times, under generator, discriminator; say"),
        ({"student": STATE, "teacher": OTHER}, None, "several times, under student, teacher; say"),
        ({"state_dict": prefixed(model=STATE)}, "ema", "holds no moving average; it has 'model'"),
        (prefixed(model=STATE, ema_model=OTHER), "teacher", "'teacher'; it has 'model', 'ema_model'"),
    ],
)
def test_weights_that_are_not_there_or_may_be_several_are_an_error(tmp_path, content, wanted, said):
    torch.save(content, tmp_path / "m.pt")
    with pytest.raises(ModelError, match=said):
        load_checkpoint(tmp_path / "m.pt", net(), weights=wanted)
    if content and all(isinstance(one, torch.Tensor) for one in content.values()):
        safetensors.torch.save_file(content, tmp_path / "m.safetensors")
        with pytest.raises(ModelError, match=said):
            load_checkpoint(tmp_path / "m.safetensors", net(), weights=wanted)


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ({"state_dict": prefixed(model=OTHER, ema_model=STATE)}, "ema"),
        (prefixed(model=OTHER, ema_model=STATE), "ema_model"),
        ({"state_dict": prefixed(model=STATE, ema_model=OTHER)}, None),
        ({**STATE, **prefixed(ema=OTHER)}, None),
        ({**OTHER, **prefixed(ema=STATE)}, "ema"),
        ({"checkpoint": {"model": OTHER, "ema": {"module": STATE, "decay": 0.9}}}, "ema"),
        ({"generator": OTHER, "discriminator": STATE}, "discriminator"),
        ({"generator": {"other.weight": torch.ones(2)}, "discriminator": STATE}, None),
        ({"student": prefixed(first=OTHER, second=STATE), "teacher": OTHER}, "second"),
        ({**STATE, "_extra_state": {"scale": torch.ones(2)}}, None),
    ],
)
def test_weights_that_are_asked_for_are_found(tmp_path, content, wanted):
    torch.save(content, tmp_path / "m.pt")
    loads(tmp_path / "m.pt", wanted)


def test_a_files_name_decides_nothing(tmp_path):
    torch.save(STATE, tmp_path / "a.safetensors")
    safetensors.torch.save_file(STATE, tmp_path / "b.pth.tar")
    torch.save(STATE, tmp_path / "c", _use_new_zipfile_serialization=False)
    for name in ("a.safetensors", "b.pth.tar", "c"):
        loads(tmp_path / name)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_cast(tmp_path, dtype):
    torch.save({name: value.to(dtype) if value.is_floating_point() else value for name, value in STATE.items()},
               tmp_path / "m.pt")  # fmt: skip
    fresh = net()
    load_checkpoint(tmp_path / "m.pt", fresh)
    torch.testing.assert_close(weights(fresh), weights(SOURCE), rtol=1e-2, atol=1e-2)
    assert {value.dtype for value in fresh.parameters()} == {torch.float32}


def test_quantized_weights_are_no_floats(tmp_path):
    torch.save(STATE | {"3.weight": (STATE["3.weight"] * 100).to(torch.int8)}, tmp_path / "m.pt")
    with pytest.raises(ModelError, match=r"3.weight is int8, the model has floating-point"):
        load_checkpoint(tmp_path / "m.pt", net())


class Tied(nn.Module):
    def __init__(self, tie=True):
        super().__init__()
        self.one, self.other = nn.Linear(4, 4), nn.Linear(4, 4)
        if tie:
            self.other.weight = self.one.weight
        self.register_buffer("part", torch.zeros(8)[:4])


@pytest.mark.filterwarnings("ignore")  # torch's own, about sparse and quantized tensors
@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda one: one.to_sparse(), "is a sparse tensor; save it as a dense one"),
        (lambda one: one.to_sparse_csr(), "is a sparse tensor; save it as a dense one"),
        (lambda one: one.to("meta"), "has a shape and no numbers"),
        (lambda one: torch.quantize_per_tensor(one, 0.1, 0, torch.qint8), "is quantized; give the weights in float"),
        (lambda one: one.to(torch.complex64), "is complex, and the model has real numbers there"),
        (lambda one: one * float("nan"), r"holds NaN \(432 of 432 values\)"),
        (lambda one: torch.where(one == one.max(), float("inf"), one).half(), r"holds infinity \(1 of 432 values\)"),
    ],
)
def test_what_is_no_weight_is_named_and_nothing_changes(tmp_path, made, said):
    path, fresh = tmp_path / "m.pt", net()
    before = weights(fresh)
    torch.save({f"module.{name}": made(value) if name == "3.weight" else value for name, value in STATE.items()}, path)
    with pytest.raises(ModelError, match=f"m.pt: module.3.weight {said}") as caught:
        load_checkpoint(path, fresh)
    assert "\n" not in str(caught.value) and torch.equal(weights(fresh), before)


def test_a_mask_with_infinity_in_it_is_the_models_own(tmp_path):
    class Masked(nn.Linear):
        def __init__(self):
            super().__init__(2, 2)
            self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))

    torch.save(Masked().state_dict(), tmp_path / "m.pt")
    load_checkpoint(tmp_path / "m.pt", Masked())


def test_tied_weights_are_saved_once_and_loaded_tied(tmp_path):
    path, model = tmp_path / "m.safetensors", Tied()
    save_checkpoint(path, model, {"note": 1})
    assert "other.weight" not in safetensors.torch.load_file(path)
    fresh, loose = Tied(), Tied(tie=False)
    assert load_checkpoint(path, fresh) == load_checkpoint(path, loose) == {"note": 1}
    assert fresh.other.weight is fresh.one.weight and torch.equal(fresh.one.weight, model.one.weight)
    assert torch.equal(loose.other.weight, model.one.weight)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("content", "said"), [(STATE, "with protocol 4, which"), (net(), "a whole pickled model")])
def test_another_protocol_of_pickles_is_said_and_torch_warns_of_nothing(tmp_path, content, said):
    torch.save(content, tmp_path / "m.pt", pickle_protocol=4)
    with pytest.raises(ModelError, match=said):
        load_checkpoint(tmp_path / "m.pt", net())


def test_tied_weights_of_another_maker_are_found_by_the_model(tmp_path):
    state = {name: value for name, value in Tied().state_dict().items() if name != "one.weight"}
    torch.save(state, tmp_path / "m.pt")
    fresh = Tied()
    load_checkpoint(tmp_path / "m.pt", fresh)
    assert torch.equal(fresh.one.weight, state["other.weight"])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (net(classes=7).state_dict(), r"3.bias is \(7,\), the model has \(3,\).* Its head has 7 classes, and 3 are"),
        (STATE | {"extra.weight": torch.ones(1)}, "extra.weight is not in the model"),
        ({name: value for name, value in STATE.items() if name != "3.bias"}, "3.bias is missing"),
        ({"layer": torch.ones(1)}, "No name is the same: the checkpoint is of another model"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_changes(tmp_path, changed, said):
    torch.save(changed, tmp_path / "m.pt")
    fresh = net()
    before = weights(fresh)
    with pytest.raises(ModelError, match=said):
        load_checkpoint(tmp_path / "m.pt", fresh)
    assert torch.equal(weights(fresh), before)


class Own:
    """An object of the user's own."""


def write_zip(path, *names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "x")


def written(path, kind):
    """A file of some kind."""
    plain = {
        "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "html": b"\n<!DOCTYPE html><html><body>Sign in</body></html>",
        "json": json.dumps({"weight_map": {}}).encode(),
        "empty": b"",
        "text": b"not found\n",
        "onnx": b"\x08\x08\x12\x07pytorch\x1a\x052.4.0:\x80\x01",
        "litert": b"\x1c\0\0\0TFL3" + bytes(32),
        "executorch": b"\x1c\0\0\0ET12" + bytes(32),
        "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(32),
        "image": b"\x89PNG\r\n\x1a\n" + bytes(32),
        "packed": b"\x1f\x8b\x08" + bytes(32),
        "unknown": bytes(range(200, 256)),
    }
    if kind in plain:
        path.write_bytes(plain[kind])
    elif kind == "torchscript":
        torch.jit.script(nn.Linear(2, 2)).save(path)
    elif kind == "whole model":
        torch.save(net(), path)
    elif kind == "objects":
        torch.save({"state_dict": STATE, "config": Own()}, path)
    elif kind == "numbers":
        torch.save({"epoch": 3, "loss": 0.5}, path)
    elif kind == "cut off":
        torch.save(STATE, path)
        path.write_bytes(path.read_bytes()[:-500])
    elif kind == "cut safetensors":
        save_checkpoint(path, net())
        path.write_bytes(path.read_bytes()[:-500])
    elif kind == "npz":
        with path.open("wb") as file:
            np.savez(file, a=np.ones(3))
    elif kind == "keras":
        write_zip(path, "config.json", "model.weights.h5")
    elif kind == "zip":
        write_zip(path, "readme.txt")
    return path


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("lfs", "Git LFS pointer.*git lfs pull"),
        ("html", "a web page.*download it again"),
        ("json", "JSON text"),
        ("empty", "an empty file"),
        ("text", "a text file"),
        ("onnx", "an ONNX model"),
        ("litert", "a LiteRT"),
        ("executorch", "an ExecuTorch program"),
        ("hdf5", "an HDF5 file"),
        ("image", "an image"),
        ("packed", "a compressed file; unpack it first"),
        ("unknown", "unknown contents"),
        ("torchscript", "a TorchScript archive"),
        ("whole model", r"a whole pickled model, whose code \(torch.nn.modules"),
        ("objects", r"Python objects beside tensors \(.*test_weights.Own\)"),
        ("numbers", "holds no weights: it is a dictionary with 'epoch', 'loss'"),
        ("cut off", "cut off or damaged"),
        ("cut safetensors", "a damaged safetensors file"),
        ("npz", r"numpy arrays \(.npz\)"),
        ("keras", "a Keras model"),
        ("zip", "a zip archive"),
    ],
)
def test_a_file_that_holds_no_weights_is_called_what_it_is(tmp_path, kind, said):
    with pytest.raises(ModelError, match=said) as caught:
        load_checkpoint(written(tmp_path / "m.pth", kind), net())
    message = str(caught.value)
    assert "m.pth" in message and "\n" not in message and "\x1b" not in message and "weights_only" not in message


def test_a_folder_and_nothing_at_all(tmp_path):
    with pytest.raises(ModelError, match="is a folder; name the file in it"):
        load_checkpoint(tmp_path, net())
    with pytest.raises(ModelError, match=r"none.pt cannot be read: no such file"):
        load_checkpoint(tmp_path / "none.pt", net())


def test_kinds_are_told_of_real_files(root, tmp_path):
    save_checkpoint(tmp_path / "a", net())
    assert describe_file(tmp_path / "a").kind == "safetensors"
    assert describe_file(next((root / "sdk/edgestill/zoo").glob("*.edge"))).kind == "bundle"
    assert describe_file(tmp_path).kind == "folder"
    assert describe_file(root / "pyproject.toml").kind == "text"


@pytest.mark.parametrize("kind", ["onnx", "litert", "executorch", "html"])
def test_a_file_where_a_model_is_wanted(tmp_path, kind):
    path = written(tmp_path / "net.bin", kind)
    with pytest.raises(ModelError, match="and a model is wanted: one of dscnn_xs"):
        create_model(str(path), 3)
