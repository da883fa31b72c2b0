"""Converting within a budget, the gate, and `edgestill convert` and `inspect` as people use them."""

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from edgestill.cli.app import app
from edgestill.conversion import convert
from edgestill.data import load_data
from edgestill.errors import ModelError
from edgestill.gate import check_bundle
from edgestill.models import create_model, load_checkpoint
from edgestill.options import TrainOptions
from edgestill.quantization import Budget, _fewest, quantize
from edgestill.schedule import QatSchedule
from edgestill.training import outputs_of
from edgestill_converters import CalibrationError, ConversionOptions
from edgestill_converters.tensorflow import TensorFlowModel, TensorFlowOptions, convert_tensorflow
from edgestill_runtime import StorageError, open_bundle, write_bundle


@pytest.fixture(scope="module")
def data():
    return load_data("fashion-mnist-mini")


class Small(nn.Module):
    """Three layers."""

    def __init__(self, num_classes=10):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3, 2), nn.Conv2d(4, 8, 3, 2)
        self.head = nn.Linear(8, num_classes)

    def forward(self, images):
        features = torch.relu(self.second(torch.relu(self.first(images))))
        return self.head(features.mean((2, 3)))


def small(seed=0):
    torch.manual_seed(seed)
    return Small().eval()


@pytest.mark.parametrize("least", range(1, 12))
def test_the_fewest_layers_are_found_by_few_trials(least):
    tried = []

    def enough(count):
        tried.append(count)
        return count >= least

    assert _fewest(11, enough) == least
    assert len(tried) == len(set(tried)) <= 7


def test_all_layers_when_nothing_is_enough():
    assert _fewest(6, lambda count: False) == 6


def outlier(seed=0):
    """A net whose first layer has one channel 300 times as large as the others, which int8 cannot hold beside them."""
    net = small(seed)
    with torch.no_grad():
        # ReLU lets a factor through, so the second layer can take it back: in float nothing changes.
        net.first.weight[0] *= 300
        net.first.bias[0] = 300 * net.first.bias[0].abs() + 30
        net.second.weight[:, 0] /= 300
    return net


def in_use(model):
    """The model in a state that no default has: one part trains, another does not, a hook, a layout, gradients."""
    first, *_, last = (part for part in model.modules() if not list(part.children()))
    model.train()
    last.eval()
    last.weight.requires_grad_(False)
    last.bias.grad = torch.ones_like(last.bias)
    last.register_forward_hook(lambda *_: None)
    first.weight.data = first.weight.data.contiguous(memory_format=torch.channels_last)
    return model


def test_a_budget_that_is_missed_leads_to_training_and_then_to_float_layers(data, tmp_path, unchanged):
    """Labels are what the float net says, so that its accuracy is 100 % and every loss is quantization's."""
    model = in_use(outlier())
    # As `precision = "auto"` chooses it where the processor has bfloat16.
    schedule = QatSchedule(epochs=1, views=1, precision="bf16")
    budget = Budget("auto", "mixed", max_drop=0.0, samples=64, train=TrainOptions(schedule))
    few = replace(data, train=data.train.take(np.arange(1000)), validation=data.validation.take(np.arange(300)))
    said = outputs_of(model, few.validation, few, "cpu")[0].argmax(1)
    few = replace(few, validation=replace(few.validation, targets=said))
    with unchanged(model):
        bundle = quantize(model, few, tmp_path / "x.edge", budget, ConversionOptions(("litert",)))
    told = bundle.manifest.training["quantization"]
    methods = [one["method"] for one in told["attempts"]]
    assert methods[:2] == ["ptq", "qat"] and told["float_quality"] == 1.0
    assert all(one["quality"] < 0.95 for one in told["attempts"][:2]), told["attempts"]
    assert told["chosen"].startswith("mixed from ") and told["within_budget"]
    chosen = next(one for one in told["attempts"] if one["method"] == told["chosen"])
    assert chosen["quality"] > 0.99 and chosen["float_nodes"] == told["float_nodes"]
    # What was trained is where layers in float begin, and the float weights follow where that is not enough.
    assert methods[2].startswith("mixed from ")
    assert {layer["module"] for layer in told["cost"]["layers"]} <= {"first", "second", "head"}
    entry = bundle.manifest.models["model.tflite"]
    assert entry.precision == "mixed" and set(entry.float_nodes) == set(told["float_nodes"])
    assert told["cost"]["model.tflite"]["bytes"][1] > told["cost"]["model.tflite"]["bytes"][0]


def test_the_gate_opens_for_a_good_bundle(bundle_path, data, monkeypatch):
    times = {"model.pte": 3.0, "model.fp32.pte": 2.0, "model.tflite": 1.0, "model.fp32.tflite": 2.0}  # milliseconds
    files = [SimpleNamespace(file=name, latency_ms=SimpleNamespace(p50=time)) for name, time in times.items()]
    monkeypatch.setattr("edgestill.gate.measure", lambda *_: SimpleNamespace(files=files))
    gate = check_bundle(open_bundle(bundle_path), data.validation, max_drop=0.05)
    assert gate.passed and gate.agreement == 1.0
    assert gate.quality["model.pte"] == gate.quality["model.tflite"]
    between, *others = gate.differences
    assert between.largest == 0.0 and len(others) == 2 and others[0].largest_quanta > others[0].mean_quanta > 0
    json.dumps(gate.to_json())
    # Only the engine on which int8 is slower than fp32 is named.
    assert gate.latency_ratio == {"executorch": 3.0 / 2.0, "litert": 1.0 / 2.0}
    (slow,) = [one.text for one in gate.findings if "the time of fp32" in one.text]
    assert slow.startswith("executorch: int8 takes 1.50 × the time of fp32")


def test_the_gate_closes_on_a_bundle_whose_files_disagree(bundle_path, data, tmp_path, unchanged):
    """The `.pte` of another net stands in for one that an exporter has broken."""
    good = open_bundle(bundle_path)
    model = in_use(create_model("dscnn_s", 10, seed=7).double())
    with unchanged(model):
        other = convert(
            model, data.calibration(32), tmp_path / "other.edge", options=ConversionOptions(targets=("executorch",))
        )
    models = {**good.manifest.models, "model.pte": other.manifest.models["model.pte"]}
    contents = {name: good.read(name) for name in good.files} | {"model.pte": other.read("model.pte")}
    bundle = write_bundle(tmp_path / "x.edge", replace(good.manifest, models=models), contents)
    gate = check_bundle(bundle, data.validation, latency=False)
    texts = [one.text for one in gate.findings if one.level == "failure"]
    assert not gate.passed and gate.latency_ratio == {}
    assert any("model.pte reaches accuracy " in text and "quantize = auto" in text for text in texts)
    assert any("give the same class on" in text and "edgestill inspect" in text for text in texts)


def test_a_net_of_ones_own_from_the_command_line(cli, tmp_path):
    """A factory, a pickled state_dict, an .npz: nothing of it known to us."""
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "def build(num_classes):\n"
        "    return torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3, 2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1),\n"
        "                               torch.nn.Flatten(), torch.nn.Linear(6, num_classes))\n"
    )
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))
    torch.save({"state_dict": {f"module.{name}": value for name, value in net.state_dict().items()}}, tmp_path / "w.pt")
    images = np.random.default_rng(0).integers(0, 256, (40, 20, 16, 3), np.uint8)
    with torch.inference_mode():
        labels = net(torch.from_numpy(images).permute(0, 3, 1, 2) / 255).argmax(1).numpy()
    np.savez(tmp_path / "samples.npz", images=images, labels=labels, classes=np.array(["a", "b", "c"]))
    words = ("convert", "mine:build", "--checkpoint", "w.pt", "--samples", "samples.npz", "--output", "x.edge")
    done = cli(*words, "--mean", "0,0,0", "--std", "1,1,1", "--max-drop", "20", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "model.pte (int8) and model.tflite (int8) agree on 100.00 % of 40 samples" in done.stdout
    assert done.stdout.count("× the time of fp32 here") == 2  # measured, for each engine
    manifest = open_bundle(tmp_path / "x.edge").manifest
    assert manifest.labels == ("a", "b", "c") and manifest.training["data"]["samples"] == 40
    assert "model.tflite" in done.stdout and "exists already" in cli(*words, cwd=tmp_path).stderr
    seen = cli("inspect", "x.edge", "--file", "model.pte", "--picture", "graph.html", cwd=tmp_path)
    assert seen.returncode == 0 and "Conv2d int8" in seen.stdout and "100.00 %, in 1 partition(s)" in seen.stdout
    assert "<svg" in (tmp_path / "graph.html").read_text()
    assert json.loads(cli("inspect", tmp_path / "x.edge" / "model.tflite", "--json").stdout)["delegated_macs"] == 1.0


def test_what_cannot_be_converted_is_said_before_anything_takes_time(cli, bundle_path, tmp_path):
    np.savez(tmp_path / "samples.npz", images=np.zeros((4, 28, 28, 1), np.uint8))
    for words, said in (
        (("dscnn_s", "--samples", tmp_path / "samples.npz"), "--mean and --std need 1 number each"),
        (("dscnn_s", "--samples", tmp_path / "none.npz"), "does not exist"),
        (("dscnn_s", "--samples", tmp_path / "samples.npz", "--quantize", "auto"), "--samples serves --quantize ptq"),
        (("dscnn_s", "--checkpoint", tmp_path / "none.pt"), "no such file"),
        (("net.keras", "--from", "keras"), "needs --samples"),
        (("dscnn_q",), "did you mean 'dscnn_"),
    ):
        done = cli("convert", *words, "--output", tmp_path / "x.edge")
        assert done.returncode != 0 and said in " ".join((done.stdout + done.stderr).split()), done.stderr
    assert "has no model file 'x'" in cli("inspect", bundle_path, "--file", "x").stderr
    assert not (tmp_path / "x.edge").exists()


def test_what_a_folder_of_samples_cannot_be_converted_with_is_said_before_it_is_read(tmp_path):
    """Nothing in these folders can be read, so that reading them would be the first thing to fail."""
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(5):
            (tmp_path / "photos" / name / f"{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    torch.save(create_model("dscnn_xs", 3, 3).state_dict(), tmp_path / "three.pt")
    for name, text in (("two", "a\nb\n"), ("none", "\n"), ("twice", "a\nb\na\n")):
        (tmp_path / f"{name}.txt").write_text(text)
    photos, given = ("--samples", "photos"), ("--mean", "0,0,0", "--std", "1,1,1")
    fits = ("--checkpoint", "three.pt")
    for words, said in (
        (("dscnn_xs", *photos), "--mean and --std need 3 numbers each, or 1 for"),
        (("dscnn_xs", *photos, "--mean", "0,0,0", "--std", "1"), "--mean and --std need 3 numbers each, or 1 for"),
        (("dscn_xs", *photos), "did you mean 'dscnn_xs'"),
        (("dscn_xs", "--data", "image-folder:photos"), "did you mean 'dscnn_xs'"),
        (("dscnn_xs", *photos, *given, *fits, "--labels", "two.txt"), "Its head has 3 classes, and 2 are needed"),
        (("dscnn_xs", "--data", "image-folder:photos", *fits), "Its head has 3 classes, and 2 are needed"),
        (("dscnn_xs", *photos, *given, *fits, "--weights", "ema"), "holds no moving average"),
        (("dscnn_xs", *photos, *given, "--labels", "none.txt"), "none.txt has no names in it"),
        (("dscnn_xs", *photos, *given, "--labels", "twice.txt"), "twice.txt names 'a' more than once"),
    ):
        assert said in refusal(tmp_path, "convert", *words, "--output", "x.edge")


def test_labels_that_a_model_has_no_outputs_for_are_said_before_anything_is_converted(tmp_path):
    torch.save(create_model("dscnn_xs", 3, 1).state_dict(), tmp_path / "three.pt")
    np.savez(tmp_path / "s.npz", images=np.zeros((20, 16, 16, 1), np.uint8), labels=np.arange(20))
    (tmp_path / "names.txt").write_text("a\nb\nc\n")
    words = ("convert", "dscnn_xs", "--checkpoint", "three.pt", "--samples", "s.npz", "--labels", "names.txt")
    said = refusal(tmp_path, *words, "--mean", "0", "--std", "1", "--output", "x.edge")
    assert "labels run from 0 to 19, but classes from 0 to 2" in said


def refusal(folder, *words):
    """What a command that fails says, in one line; in this process, as starting one takes seconds."""
    with contextlib.chdir(folder):
        done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code != 0
    return " ".join((done.output + str(done.exception)).replace("│", " ").split())


def test_pickles_that_hold_more_than_tensors_are_not_run(tmp_path):
    class Harm:
        def __reduce__(self):
            return (print, ("run",))

    torch.save(Harm(), tmp_path / "bad.pt")
    (tmp_path / "noise.pt").write_bytes(b"\x80\x02nothing")
    torch.save([1, 2], tmp_path / "list.pt")
    for name, said in (
        ("bad.pt", r"Python objects beside tensors \(__builtin__.print\)"),
        ("noise.pt", "damaged"),
        ("list.pt", "holds no weights"),
    ):
        with pytest.raises(ModelError, match=said):
            load_checkpoint(tmp_path / name, small())


@pytest.mark.parametrize(
    ("samples", "said"),
    [([], "no samples"), (None, "a NoneType; give one array"), ([np.array(["a", "b"])], "an input of <U1")],
)
def test_samples_that_are_none_are_said_before_anything_is_counted(tmp_path, samples, said):
    with pytest.raises(CalibrationError, match=said):
        convert(nn.Linear(5, 2), samples, tmp_path / "x.edge")


def test_a_log_that_is_a_folder_is_said(tmp_path):
    with pytest.raises(StorageError, match="the log .* cannot be written: Is a directory"):
        convert(
            nn.Linear(5, 2), [np.ones((2, 5), np.float32)], tmp_path / "x.edge", options=ConversionOptions(log=tmp_path)
        )
    (tmp_path / "net.keras").write_bytes(b"nothing")
    log, samples = Path("/proc/no/such.log"), [np.ones((2, 5), np.float32)]
    with pytest.raises(StorageError, match="the log /proc/no/such.log cannot be written"):
        convert_tensorflow(
            TensorFlowModel(tmp_path / "net.keras", "keras", "x"),
            samples,
            tmp_path / "x.edge",
            TensorFlowOptions(log=log),
        )


@pytest.mark.parametrize(
    "words", [("--max-drop", "-5"), ("--max-drop", "101"), ("--limit", "0"), ("--image-size", "0")]
)
def test_numbers_that_are_none_are_wrong_usage(cli, tmp_path, words):
    done = cli("convert", "dscnn_xs", *words, "--output", tmp_path / "x.edge")
    assert done.returncode == 2 and "Invalid value" in done.stderr and not (tmp_path / "x.edge").exists()
