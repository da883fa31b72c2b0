import contextlib
import importlib
import io
import json
import math
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgestill.data import load_data
from edgestill.models import create_model, multiply_accumulates, parameters
from edgestill_converters import (
    CalibrationError,
    ConversionError,
    ConversionOptions,
    Description,
    convert,
    exporting,
    relative_error,
    steps,
)
from edgestill_converters.graph import make_graph
from edgestill_converters.inspection import inspect_bytes
from edgestill_converters.output_capture import _OutputByThread
from edgestill_converters.parity import check_against_model
from edgestill_runtime import (
    EngineCrashError,
    EngineError,
    EngineMemoryError,
    EngineTimeoutError,
    ImageProcessor,
    InputError,
    StorageError,
    load,
    open_bundle,
    replay_golden,
)

making = importlib.import_module("edgestill_converters.convert")  # the package's name for it is its function


@pytest.fixture(scope="module")
def data():
    return load_data("fashion-mnist-mini")


def describe(model, data, **changes):
    facts = {
        "name": "test",
        "labels": data.classes,
        "processor": data.processor,
        "parameters": parameters(model),
        "macs": multiply_accumulates(model, (1, 28, 28)),
        "training": {},
    }
    return Description(**(facts | changes))


def coloured(images):
    """Real images, uint8 (N, 30, 28, 3): not square, each channel another function of the pixels."""
    images = np.pad(images, ((0, 0), (1, 1), (0, 0), (0, 0)))
    return np.concatenate([images, 255 - images, images // 2 + 30], axis=3)


def test_a_residual_net_in_colour_becomes_two_int8_files_that_agree(data, tmp_path):
    pixels = ImageProcessor(30, 28, mean=(0.3, 0.7, 0.25), std=(0.35, 0.35, 0.2))
    model, begun, log = create_model("resnet8", 10, in_channels=3).train(), [], tmp_path / "conversion.log"
    with torch.no_grad():  # batch norms that have seen real images give activations real ranges
        for batch in np.split(coloured(data.train.images[:2048]), 16):
            model(torch.from_numpy(pixels.tensor(batch)))
    images = coloured(data.calibration(64).images)
    description = Description("test", data.classes, pixels, parameters(model), 0, {})
    bundle = convert(
        model, images, description, tmp_path / "x.edge", options=ConversionOptions(log=log), on_step=begun.append
    )
    # Exporters work side by side, so only the first and the last step have their place.
    assert sorted(begun) == sorted(steps()) and (begun[0], begun[-1]) == ("quantize", "check")
    assert "LiteRT" in log.read_text(errors="replace")
    sizes = {name: entry.bytes for name, entry in bundle.files.items()}
    for kind in ("pte", "tflite"):
        # int8 weights: about a quarter of the float file, plus scales and the graph.
        assert sizes[f"model.{kind}"] < 0.45 * sizes[f"model.fp32.{kind}"]
    held_out = coloured(data.validation.images[:300])
    with torch.inference_mode():
        reference = model.eval()(torch.from_numpy(pixels.tensor(held_out))).numpy()
    logits = {}
    for engine in ("litert", "executorch"):
        for precision in ("int8", "fp32"):
            with load(bundle, engine=engine, precision=precision) as loaded:
                logits[engine, precision] = loaded.logits(held_out)
        assert relative_error(logits[engine, "fp32"], reference) < 1e-4
        assert relative_error(logits[engine, "int8"], reference) < 0.1
    # One quantization: the same integers, so the same outputs. Measured, 0 of 300 differ.
    assert (logits["litert", "int8"].argmax(1) == logits["executorch", "int8"].argmax(1)).all()
    with pytest.raises(StorageError, match="exists already"):
        convert(model, images, description, tmp_path / "x.edge")


def test_calibration_images_of_the_wrong_type_are_refused(data, tmp_path):
    model = create_model("dscnn_xs", 10)
    for images, reason in (
        (np.zeros((8, 28, 28, 1), np.float32), "must be uint8"),
        (np.zeros((0, 28, 28, 1), np.uint8), "no samples"),
    ):
        with pytest.raises(CalibrationError, match=reason):
            convert(model, images, describe(model, data), tmp_path / "x.edge")
    assert list(tmp_path.iterdir()) == []


def test_labels_that_are_not_the_models_classes_are_refused(data, tmp_path):
    model = create_model("dscnn_xs", 10)
    with pytest.raises(ConversionError, match=r"shape \(1, 10\); 3 labels need \(1, 3\)"):
        convert(model, data.calibration(8).images, describe(model, data, labels=("a", "b", "c")), tmp_path / "x.edge")


def test_labels_of_a_model_with_two_outputs_are_refused(tmp_path):
    samples = [np.zeros((2, 3, 8, 6), np.float32), np.zeros((2, 5), np.float32)]
    with pytest.raises(ConversionError, match=r"the model has 2 outputs; 4 labels need one, of shape \(1, 4\)"):
        convert(Several(), samples, Description("x", tuple("abcd"), None, 0, 0, {}), tmp_path / "x.edge")


class Branching(nn.Module):
    """Cannot be exported: its path depends on its values."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(784, 10)

    def forward(self, images):
        if images.sum() > 0:
            images = images * 2
        return self.head(images.flatten(1))


def test_a_model_that_cannot_be_exported_is_an_error_with_its_log(data, tmp_path):
    model, log = Branching(), tmp_path / "conversion.log"
    with pytest.raises(ConversionError) as caught:
        convert(
            model,
            data.calibration(8).images,
            describe(model, data),
            tmp_path / "x.edge",
            options=ConversionOptions(log=log),
        )
    message = str(caught.value)
    assert "depends on the values of its input" in message and str(log) in message
    assert "in Branching, test_convert.py line" in message and "`if images.sum() > 0:`" in message
    assert "Traceback" in log.read_text()
    assert not (tmp_path / "x.edge").exists()


CAPTURED = """
import os, sys, warnings
from pathlib import Path
from edgestill_converters.output_capture import capture_output
print("before", flush=True)
with capture_output(Path(sys.argv[1])):
    print("from Python")
    os.write(1, b"from native code\\n")
    os.write(2, b"also on standard error\\n")
    warnings.warn("a warning")
print("after")
"""


def test_what_exporters_write_goes_to_the_log_alone(tmp_path):
    log = tmp_path / "logs" / "conversion.log"
    done = subprocess.run([sys.executable, "-c", CAPTURED, log], capture_output=True, text=True, check=True)
    assert done.stdout == "before\nafter\n" and done.stderr == ""
    for words in ("from Python", "from native code", "also on standard error", "a warning"):
        assert words in log.read_text()


THREADS = """
import os, sys, threading, warnings
from pathlib import Path
from edgestill_converters.output_capture import capture_thread_output
with capture_thread_output(Path(sys.argv[1])):
    print("mine", file=sys.stderr)
    warnings.warn("my warning")
    other = threading.Thread(target=lambda: print("of another thread", file=sys.stderr))
    other.start(), other.join()
    print("on standard output")
    os.write(2, b"native\\n")
    with capture_thread_output(Path(sys.argv[1])):
        print("within", file=sys.stderr)
    print("still mine", file=sys.stderr)
print("afterwards", file=sys.stderr)
"""


def test_a_conversion_captures_the_output_of_its_own_thread_only(tmp_path):
    log = tmp_path / "conversion.log"
    done = subprocess.run([sys.executable, "-c", THREADS, log], capture_output=True, text=True, check=True)
    assert done.stdout == "on standard output\n" and done.stderr == "of another thread\nnative\nafterwards\n"
    written = log.read_text()
    assert all(words in written for words in ("mine", "my warning", "within", "still mine"))


@pytest.mark.parametrize("holder", [warnings.catch_warnings, lambda: contextlib.redirect_stderr(io.StringIO())])
def test_others_may_hold_the_same_hooks_and_give_them_back_late(monkeypatch, holder):
    terminal, shown = io.StringIO(), []
    monkeypatch.setattr(sys, "stderr", terminal)

    def show(message, category, filename, lineno, file=None, line=None):
        shown.append((message, file))

    monkeypatch.setattr(warnings, "showwarning", show)
    words = _OutputByThread()
    for number in range(3):
        log = io.StringIO()
        ours, theirs = words.to(log), holder()
        ours.__enter__()
        theirs.__enter__()
        ours.__exit__(None, None, None)
        theirs.__exit__(None, None, None)  # which puts ours back
        with words.to(log):
            warnings.showwarning("inside", UserWarning, "x.py", 1)
            print(number, file=sys.stderr)
        assert log.getvalue() == f"{number}\n" and shown.pop() == ("inside", log) and not shown
        warnings.showwarning("outside", UserWarning, "x.py", 1)
        assert shown.pop() == ("outside", None)
    print("outside", file=sys.stderr)
    assert terminal.getvalue() == "outside\n"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (EngineError("unresolved operator"), "the engine lacks; leave that engine out of the targets"),
        (EngineTimeoutError("no answer"), "was not done with it after 20 s and was ended; allow more"),
        (EngineMemoryError("too much"), "memory ran out as its engine loaded or ran it"),
        (EngineCrashError("died", "SIGSEGV"), "its engine's process was ended by SIGSEGV as it loaded or ran it"),
    ],
)
def test_a_file_that_its_engine_does_not_run_is_said_with_the_reason(monkeypatch, error, reason):
    asked = []

    def refuse(*_, package, isolated):
        asked.append(isolated)
        raise error

    monkeypatch.setattr(making, "Model", refuse)
    with (
        pytest.raises(ConversionError, match=f"model.pte was written, but .*{reason}") as caught,
        making._loaded(None, "model.pte", b"", making._checking(20.0)),
    ):
        pass
    assert ("the engine lacks" in str(caught.value)) == (type(error) is EngineError)
    assert (asked[0].load_seconds, asked[0].call_seconds) == (20.0, 20.0) and making._checking(math.inf)


def test_a_file_with_another_number_of_outputs_is_an_exporters_bug(bundle_path):
    """No model is known that an exporter does this to, so the file of a model with one output stands in."""
    exported = {"model.fp32.tflite": exporting.Exported(open_bundle(bundle_path).read("model.fp32.tflite"))}
    exports = {"model.fp32.tflite": exporting.Export("litert", None, quantized=False)}
    reason = r"model\.fp32\.tflite has 1 outputs, the model 2: this is an exporter's bug, .*leave litert out of the t"
    with pytest.raises(ConversionError, match=reason):
        making._manifest(None, None, exports, exported, (), 2, (), making._checking(20.0))


def test_an_engine_that_is_not_installed_is_said_before_anything_takes_time(data, tmp_path, monkeypatch):
    monkeypatch.setattr("edgestill_converters.backends.base.installed_engines", lambda engines: {*engines} & {"litert"})
    model = create_model("dscnn_xs", 10)
    with pytest.raises(ConversionError, match=r"no engine for executorch is installed\. Install it with: pip install"):
        convert(model, data.calibration(8).images, describe(model, data), tmp_path / "x.edge")


def test_relative_error_by_hand():
    reference = np.array([[3.0, 4.0]], np.float32)  # rms √12.5
    assert relative_error(reference + np.float32(0.5), reference) == pytest.approx(0.5 / np.sqrt(12.5))
    assert relative_error(reference * np.nan, reference) == np.inf
    assert relative_error(reference, reference * np.nan) == np.inf
    assert relative_error(reference[0], reference) == np.inf
    # An infinity that the model gives too is no deviation; one that it does not give is.
    masked = np.array([[3.0, -np.inf]], np.float32)
    assert relative_error(masked, masked) == 0
    assert relative_error(np.array([[3.0, np.inf]], np.float32), masked) == np.inf


@pytest.mark.slow
def test_a_hard_swish_net_is_one_int8_graph_in_both_formats(tmp_path):
    """MobileNetV3 as timm has it: what XNNPACKQuantizer alone cuts into twelve pieces."""
    import timm

    from edgestill_converters.inspection import inspect_file

    torch.manual_seed(0)
    model = timm.create_model("mobilenetv3_small_050", num_classes=10)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
    pixels = ImageProcessor(64, 64, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    images = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), np.uint8)
    description = Description("mobilenet", "abcdefghij", pixels, parameters(model), 0, {})
    bundle = convert(model, images[:16], description, tmp_path / "m.edge")
    logits = {}
    for engine, name in (("litert", "model.tflite"), ("executorch", "model.pte")):
        seen = inspect_file(bundle.path / name)
        assert (seen.delegated_macs, seen.partitions, seen.transposes, seen.float_macs) == (1.0, 1, 0, 0.0)
        with load(bundle, engine=engine) as loaded:
            tensor = loaded.tensor(images[:1])
            logits[engine] = loaded.logits(images[16:])
        # Raw pixels are all that the device has to bring.
        raw = images[:1] if engine == "litert" else images[:1].transpose(0, 3, 1, 2)
        assert tensor.dtype == np.int8 and (tensor == raw.astype(int) - 128).all()
    assert (logits["litert"] == logits["executorch"]).all()


class Several(nn.Module):
    """An image and a vector in; a map and logits out."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.side, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(5, 8), nn.Linear(8, 4)

    def forward(self, image, vector):
        features = torch.relu(self.conv(image))
        return features, self.head(features.mean((2, 3)) + self.side(vector))


class Tokens(nn.Module):
    """An embedding and two layers."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table, self.first, self.last = nn.Embedding(50, 16), nn.Linear(16, 16), nn.Linear(16, 3)

    def forward(self, tokens):
        return self.last(torch.relu(self.first(self.table(tokens))).mean(1))


def test_several_inputs_and_outputs(tmp_path):
    generator = np.random.default_rng(0)
    samples = [generator.normal(0, 1, (24, *shape)).astype(np.float32) for shape in ((3, 8, 6), (5,))]
    model = Several().eval()
    bundle = convert(model, samples, Description("several", (), None, 0, 0, {}), tmp_path / "s.edge")
    assert bundle.manifest.task == "tensors" and bundle.manifest.processor is None
    with torch.inference_mode():
        reference = [one.numpy() for one in model(*(torch.from_numpy(one) for one in samples))]
    for name in bundle.manifest.models:
        engine = bundle.manifest.models[name].engine
        with load(bundle, engine=engine, precision="fp32" if "fp32" in name else "int8") as loaded:
            # As the model has them, channels first, whatever the file's own order is.
            found = loaded.infer(*samples)
            assert [one.shape for one in found] == [(24, 8, 8, 6), (24, 4)]
        for output, expected in zip(found, reference, strict=True):
            assert relative_error(output, expected) < (1e-4 if "fp32" in name else 0.05)
    golden = bundle.golden()
    assert [one.shape for one in golden.inputs] == [(16, 3, 8, 6), (16, 5)]
    assert all(replay.passed for replay in replay_golden(bundle))


class Mapped(nn.Module):
    """Images in; a map and scores out; a residual addition over its first layer, a padded pooling."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.map, self.head = nn.Conv2d(8, 2, 1), nn.Linear(8, 4)

    def forward(self, images):
        features = torch.relu(self.first(images))
        features = torch.relu(features + self.second(features))
        return self.map(features), self.head(F.max_pool2d(features, 3, 2, 1).mean((2, 3)))


def test_mixed_files_with_two_outputs_agree_to_the_last_bit(data, tmp_path):
    pixels = ImageProcessor(30, 28, mean=(0.4,) * 3, std=(0.3, 0.35, 0.25))
    model, images = Mapped().eval(), coloured(data.calibration(48).images)
    description = Description("mapped", (), pixels, 0, 0, {})
    bundle = convert(
        model, images, description, tmp_path / "m.edge", options=ConversionOptions(float_nodes=("conv2d",))
    )
    with torch.inference_mode():
        reference = [one.numpy() for one in model(torch.from_numpy(pixels.tensor(images)))]
    outputs = {}
    for name, entry in bundle.manifest.models.items():
        with load(bundle, engine=entry.engine, precision="fp32" if "fp32" in name else "int8") as loaded:
            outputs[name] = loaded.outputs_of([images])
            if "fp32" not in name:
                assert entry.precision == "mixed" and loaded.input.dtype == "int8"
        assert [one.shape for one in outputs[name]] == [(48, 2, 30, 28), (48, 4)]
        for output, expected in zip(outputs[name], reference, strict=True):
            assert relative_error(output, expected) < (1e-3 if "fp32" in name else 0.05)
    for one, other in zip(outputs["model.pte"], outputs["model.tflite"], strict=True):
        assert (one == other).all()
    # The layer that was kept is in float in both: neither exporter quantizes its weights on its own.
    for name, word in (("model.pte", "Conv2d"), ("model.tflite", "CONV_2D")):
        inside = inspect_bytes(bundle.read(name), bundle.manifest.models[name].engine, name)
        assert inside.partitions == 1 and not inside.outside
        precisions = [one.precision for one in inside.operators if one.name == word]
        assert precisions.count("float32") == 1 and precisions.count("int8") == 2


def test_a_spoilt_file_is_refused_unless_that_is_allowed(bundle_path):
    bundle = open_bundle(bundle_path)
    outputs = bundle.golden().outputs
    reference = outputs["model.fp32.pte"]
    check_against_model(reference, outputs, bundle.manifest)
    spoilt = {**outputs, "model.tflite": (-outputs["model.tflite"][0],)}
    with pytest.raises(
        ConversionError,
        match=r"model.tflite is not the model: output 0: deviates by 2 of its values \(allowed: 0.5\); calib",
    ):
        check_against_model(reference, spoilt, bundle.manifest)
    check_against_model(reference, spoilt, bundle.manifest, allowed_quantized=float("inf"))
    spoilt = {**outputs, "model.fp32.tflite": (1.01 * reference[0],)}
    with pytest.raises(
        ConversionError, match="model.fp32.tflite is not the model: .*deviates.*; this is an exporter's bug"
    ):
        check_against_model(reference, spoilt, bundle.manifest, allowed_quantized=float("inf"))
    # NaN is no accuracy that somebody could judge.
    spoilt = {**outputs, "model.tflite": (np.nan * reference[0],)}
    with pytest.raises(ConversionError, match="model.tflite is not the model: output 0: NaN in 160 of 160 values"):
        check_against_model(reference, spoilt, bundle.manifest, allowed_quantized=float("inf"))


def test_tokens_and_one_target(tmp_path, monkeypatch):
    tokens = np.random.default_rng(0).integers(0, 50, (24, 12))
    model = Tokens().eval()
    description = Description("tokens", (), None, 0, 0, {})

    def refuse(*_):
        raise AssertionError("descriptors 1 and 2 are the caller's, and other threads write to them")

    with monkeypatch.context() as patch:
        patch.setattr(os, "dup2", refuse)  # in this process; the exporters have their own
        bundle = convert(
            model,
            [tokens],
            description,
            tmp_path / "t.edge",
            options=ConversionOptions(targets=("litert",), precision="fp32"),
        )
    assert list(bundle.manifest.models) == ["model.fp32.tflite"]
    with load(bundle, precision="fp32") as loaded, torch.inference_mode():
        # LiteRT's converter makes int32 of the numbers; whoever calls need not know.
        assert loaded.input.dtype == "int32"
        assert relative_error(loaded.infer(tokens), model(torch.from_numpy(tokens)).numpy()) < 1e-4
        with pytest.raises(InputError, match="do not fit its int32 input"):
            loaded.infer(tokens + 2**40)
    with pytest.raises(EngineError, match="has no int8 file|has int8 files for no engine"):
        load(bundle)


@pytest.mark.slow
def test_exporters_wait_for_the_next_conversion_and_make_the_same_files(data, tmp_path, monkeypatch):
    model, calibration = create_model("dscnn_xs", 10), data.calibration(8).images
    made = []
    for number in range(2):
        log = tmp_path / f"{number}.log"
        bundle = convert(
            model,
            calibration,
            describe(model, data),
            tmp_path / f"{number}.edge",
            options=ConversionOptions(precision="fp32", log=log),
        )
        made.append(({name: bundle.read(name) for name in bundle.manifest.models}, sorted(children())))
    assert made[0] == made[1] and len(made[0][1]) == 2
    real = exporting._send

    def send(child, *job):
        """To an idle child, which is killed before it reads the job."""
        if child.idle_since is not None:
            child.process.send_signal(signal.SIGSTOP)
        real(child, *job)
        if child.idle_since is not None:
            child.process.kill()

    monkeypatch.setattr(exporting, "_send", send)
    last = convert(
        model,
        calibration,
        describe(model, data),
        tmp_path / "2.edge",
        options=ConversionOptions(precision="fp32", targets=("executorch",)),
    )
    assert last.read("model.fp32.pte") == made[0][0]["model.fp32.pte"]
    left = [one for one in children() if " executorch " in one[1]]
    assert len(left) == 1 and left[0] not in made[1][1]
    assert "LiteRT" in (tmp_path / "0.log").read_text()
    if hasattr(os, "fork"):  # a forked process leaves them to the one that started them, and has none
        reading, writing = os.pipe()
        if (pid := os.fork()) == 0:
            os.write(writing, json.dumps([len(exporting._children), len(exporting._idle)]).encode())
            os._exit(0)
        os.waitpid(pid, 0)
        assert json.loads(os.read(reading, 100)) == [0, 0] and left[0] in children()
        os.close(reading)
        os.close(writing)


def test_an_exporter_that_takes_too_long_is_ended(data, tmp_path):
    model, log = create_model("dscnn_xs", 10), tmp_path / "conversion.log"
    with pytest.raises(
        ConversionError, match=r"exporter was not done after 0\.5 s and was ended; .*see .*conversion\.log"
    ):
        convert(
            model,
            data.calibration(8).images,
            describe(model, data),
            tmp_path / "x.edge",
            options=ConversionOptions(log=log, limit_seconds=0.5),
        )
    assert not (tmp_path / "x.edge").exists() and children() == []


def test_an_exporter_that_crashes_is_an_error_with_its_log(data, tmp_path):
    def crash(step):
        if step == "model.pte":
            for pid, command in children():
                if "executorch" in command:
                    os.kill(pid, signal.SIGSEGV)

    model, log = create_model("dscnn_xs", 10), tmp_path / "conversion.log"
    reason = r"model\.pte: the executorch exporter was ended by SIGSEGV; leave executorch out .*see .*conversion\.log"
    with pytest.raises(ConversionError, match=reason):
        convert(
            model,
            data.calibration(8).images,
            describe(model, data),
            tmp_path / "x.edge",
            options=ConversionOptions(log=log),
            on_step=crash,
        )
    assert not (tmp_path / "x.edge").exists() and children() == []


@pytest.mark.slow
def test_exporters_end_with_the_process_that_started_them(tmp_path):
    script = (
        "import numpy, pathlib, sys, torch; from edgestill_converters import Description, convert\n"
        "convert(torch.nn.Conv2d(1, 2, 3), [numpy.ones((2, 1, 8, 8), 'float32')], Description('x', (), None, 0, 0, {}),"
        "\n sys.argv[1], on_step=lambda step: step == 'quantize' or pathlib.Path(sys.argv[2]).touch())"
    )
    begun = tmp_path / "begun"
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "x.edge"), str(begun)]) as parent:
        while not begun.exists():
            assert parent.poll() is None
            time.sleep(0.1)
        exporters = children(parent.pid)
        assert exporters
        parent.kill()
    until = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid, _ in exporters):
        assert time.monotonic() < until, f"still there: {exporters}"
        time.sleep(0.1)


def children(of=None):
    """(pid, command) of the living exporters of a process, this one when None."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_text().replace("\0", " ")
        except (OSError, IndexError):
            continue
        if parent == (of or os.getpid()) and "edgestill_converters.exporter" in command:
            found.append((int(folder.name), command))
    return found


def test_bad_targets_and_samples(data, tmp_path):
    model = create_model("dscnn_xs", 10)
    with pytest.raises(ConversionError, match="unknown target 'onnx'; valid: executorch, litert"):
        convert(
            model,
            data.calibration(8).images,
            describe(model, data),
            tmp_path / "x.edge",
            options=ConversionOptions(targets=("onnx",)),
        )
    description = Description("x", (), None, 0, 0, {})
    for samples, reason in (
        ([np.zeros((4, 5), np.float32), np.zeros((3, 5), np.float32)], r"\[3, 4\] samples"),
        ([np.full((4, 5), np.nan, np.float32)], "not finite"),
        ([np.array(["a", "b"])], "floats, signed integers or booleans"),
    ):
        with pytest.raises(CalibrationError, match=reason):
            convert(nn.Linear(5, 2), samples, description, tmp_path / "x.edge")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"targets": ()}, r"targets are one or several names in a list or tuple, not \(\); valid: executorch, litert"),
        ({"targets": "litert"}, "names in a list or tuple, not 'litert'"),
        ({"float_nodes": "conv2d"}, "float_nodes is names of graph nodes in a list or tuple, not 'conv2d'"),
        ({"precision": "int4"}, "unknown precision 'int4'; valid: int8, fp32"),
        ({"limit_seconds": float("nan")}, "a number of seconds above 0, not nan"),
        ({"limit_seconds": 0}, "a number of seconds above 0, not 0"),
    ],
)
def test_options_that_ask_for_nothing_are_refused(tmp_path, options, reason):
    samples = [np.ones((2, 5), np.float32)]
    with pytest.raises(ConversionError, match=reason):
        description = Description("x", (), None, 0, 0, {})
        convert(nn.Linear(5, 2), samples, description, tmp_path / "x.edge", ConversionOptions(**options))
    assert list(tmp_path.iterdir()) == []


class Counts(nn.Module):
    """Gives another answer at every call, in eval mode too."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, values):
        self.calls += 1
        return values + self.calls


class Does(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.layer, self.function = nn.Linear(5, 5), function

    def forward(self, values):
        return self.function(self.layer(values))


def with_nan():
    layer = nn.Linear(5, 2)
    nn.init.constant_(layer.weight, float("nan"))
    return layer


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Counts(), "the model is not deterministic: called twice .*; its buffer 'calls' changes with every call"),
        (Does(lambda values: F.dropout(values, 0.5, True)), "uses dropout, which no engine"),
        (Does(lambda values: values + torch.normal(0.0, 1.0, values.shape)), "uses normal, which no engine"),
        (Does(lambda values: values[:, torch.randperm(5)]), "uses randperm, which no engine"),
        (Does(lambda values: F.rrelu(values, training=True)), "uses rrelu, which no engine"),
        (Does(lambda values: F.gumbel_softmax(values, 1)), "uses exponential_?, which no engine"),
        (Does(lambda values: (values - values) / 0), "the model itself gives NaN in output 0 for 40 of 40 values"),
        (Does(lambda values: (values.abs() + 1) / 0), "nothing but infinities in output 0"),
        (Does(lambda values: torch.sqrt(-values.abs() - 1)), "the model itself gives NaN"),
        (with_nan(), "the model itself gives NaN in output 0"),
        (Does(lambda values: values.topk(2, 1)[0]), "uses topk, which litert has not; leave litert out of the targets"),
    ],
)
def test_a_model_that_no_file_can_equal_is_refused_before_any_exporter(tmp_path, model, reason):
    begun, samples = [], [np.ones((8, 5), np.float32)]
    with pytest.raises(ConversionError, match=reason) as caught:
        convert(model, samples, Description("x", (), None, 0, 0, {}), tmp_path / "x.edge", on_step=begun.append)
    assert begun == ["quantize"] and "bug of edgestill" not in str(caught.value)


def test_dropout_that_does_nothing_is_no_random_number():
    make_graph(Does(lambda values: F.rrelu(F.dropout(values, 0.5, False))), [np.ones((2, 5), np.float32)], None)
