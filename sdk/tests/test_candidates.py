"""One rule for everything that was tried: quality, then fewer layers in float, then what is simpler."""

from types import SimpleNamespace

import numpy as np
import pytest

from edgestill import quantization
from edgestill.budget import Loss
from edgestill.candidates import Candidate, best
from edgestill.data.sources import Split
from edgestill.errors import DataError, OptionError
from edgestill.quantization import Budget
from edgestill.tasks import ImageClassification
from edgestill_converters import ConversionOptions, Description
from edgestill_runtime import Manifest

BUDGET = 0.003


def candidate(method, drop, kept=0, error=0.001):
    names = tuple(f"conv_{number}" for number in range(kept))
    return Candidate(method, None, 0.9 - drop, Loss(drop, error, 1000), names)


@pytest.mark.parametrize(
    ("tried", "chosen"),
    [
        # Worse than what training gave: float layers do not replace it.
        ([("ptq", 0.05), ("qat", 0.008), ("mixed", 0.02, 4)], "qat"),
        # Within the budget, and the others are not.
        ([("ptq", 0.05), ("qat", 0.008), ("mixed", 0.002, 4)], "mixed"),
        # Both are within it: fewer layers in float.
        ([("ptq", 0.05), ("mixed a", 0.0, 4), ("mixed b", 0.003, 1)], "mixed b"),
        ([("qat", 0.003), ("mixed", -0.01, 1)], "qat"),
        # Alike: what was tried first, the simpler one.
        ([("ptq", 0.002), ("qat", 0.002)], "ptq"),
        ([("ptq", 0.002), ("qat", 0.001)], "qat"),
        # None within it: nearest to it.
        ([("ptq", 0.05), ("qat", 0.08), ("mixed", 0.04, 9)], "mixed"),
        ([("ptq", 0.05)], "ptq"),
    ],
)
def test_the_best_is_kept(tried, chosen):
    assert best([candidate(*one) for one in tried], BUDGET).method == chosen


def test_a_loss_that_its_error_explains_is_within_the_budget():
    assert candidate("ptq", 0.008, error=0.006).within(BUDGET)
    assert not candidate("ptq", 0.008, error=0.004).within(BUDGET)


class Trials:
    """Conversions whose losses are known beforehand: what is tried, with what, and what is kept in the end."""

    def __init__(self, monkeypatch, tmp_path, drops):
        self.asked, self.drops, self.kept, self.folder = [], drops, None, tmp_path
        for name in ("convert", "judge", "train_quantized", "write_bundle", "outputs_of"):
            monkeypatch.setattr(quantization, name, getattr(self, name))
        layers = [SimpleNamespace(node=f"conv_{number}") for number in range(4)]
        monkeypatch.setattr(quantization._Search, "_rank", lambda search, trained: layers)
        monkeypatch.setattr(quantization, "_cost", lambda int8, mixed: {})
        monkeypatch.setattr(quantization, "asdict", vars)

    def convert(self, model, images, description, output, options, on_step):
        self.asked.append({name: getattr(options, name) for name in ("targets", "float_nodes", "trained")})
        return SimpleNamespace(path=output, manifest=Manifest("x", (), None, {}, 0, 0), files={})

    def judge(self, method, bundle, split, task, reference, kept=(), trained=None):
        drop = next(drop for start, drop in self.drops.items() if method.startswith(start))
        drop = drop(len(kept)) if callable(drop) else drop
        return Candidate(method, bundle, 1 - drop, Loss(drop, 0.001, 1000), tuple(kept), trained)

    def train_quantized(self, *arguments, **options):
        return "trained"

    def outputs_of(self, *arguments):
        return (np.eye(10, dtype=np.float32),)

    def write_bundle(self, output, manifest, contents, overwrite):
        self.kept = manifest.training["quantization"]

    def run(self, quantize, precision, targets=("executorch", "litert")):
        split = Split(np.zeros((10, 4, 4, 1), np.uint8), np.arange(10))
        data = SimpleNamespace(
            validation=split,
            calibration=lambda count: split,
            name="x",
            device_task=ImageClassification().on_device((), {}),
        )
        budget = Budget(quantize, precision, BUDGET)
        options, description = ConversionOptions(targets), Description("x", (), None, 0, 0, {})
        quantization.quantize(None, data, self.folder / "x.edge", budget, options, description=description)
        return [one["method"] for one in self.kept["attempts"]], self.kept["chosen"]


def test_auto_stops_where_calibration_is_enough(monkeypatch, tmp_path):
    trials = Trials(monkeypatch, tmp_path, {"ptq": 0.002})
    assert trials.run("auto", "mixed") == (["ptq"], "ptq")
    assert trials.kept["within_budget"] and trials.kept["verdict"] == "undecided"


def test_training_that_does_harm_is_not_kept(monkeypatch, tmp_path):
    trials = Trials(monkeypatch, tmp_path, {"ptq": 0.02, "qat": 0.05})
    assert trials.run("auto", "int8") == (["ptq", "qat"], "ptq")


def test_layers_in_float_begin_with_the_best_so_far(monkeypatch, tmp_path):
    """Training has helped, and two of its layers in float do the rest."""
    trials = Trials(
        monkeypatch, tmp_path, {"ptq": 0.05, "qat": 0.01, "mixed from qat": lambda kept: 0.01 - 0.004 * kept}
    )
    methods, chosen = trials.run("auto", "mixed")
    assert methods[:2] == ["ptq", "qat"] and chosen == "mixed from qat, both"
    mixed = [one for one in trials.asked if one["float_nodes"]]
    assert {one["trained"] for one in mixed} == {"trained"}
    # One engine's files to search with, both for what is kept.
    assert [one["targets"] for one in mixed] == [("litert",)] * (len(mixed) - 1) + [("executorch", "litert")]
    assert trials.kept["float_nodes"] == ["conv_0", "conv_1"]


def test_layers_in_float_that_do_harm_replace_nothing(monkeypatch, tmp_path):
    """The case of a trained net that is best as it is: everything else was tried, and is told."""
    drops = {"ptq": 0.05, "qat": 0.008, "mixed from qat": 0.02, "mixed from ptq": 0.03}
    methods, chosen = Trials(monkeypatch, tmp_path, drops).run("auto", "mixed")
    assert chosen == "qat" and "mixed from qat, both" in methods and "mixed from ptq, both" in methods


def test_the_float_models_own_weights_are_tried_where_trained_ones_do_not_do(monkeypatch, tmp_path):
    drops = {"ptq": 0.05, "qat": 0.03, "mixed from qat": 0.02, "mixed from ptq": lambda kept: 0.05 - 0.0125 * kept}
    trials = Trials(monkeypatch, tmp_path, drops)
    _, chosen = trials.run("auto", "mixed", targets=("litert",))
    assert chosen == "mixed from ptq, 4 in float" and trials.kept["within_budget"]
    assert [one["trained"] for one in trials.asked if one["float_nodes"]][-1] is None


def test_training_that_was_asked_for_is_what_is_kept(monkeypatch, tmp_path):
    assert Trials(monkeypatch, tmp_path, {"qat": 0.5}).run("qat", "int8") == (["qat"], "qat")


def test_no_validation_images_are_an_error_before_anything_takes_time():
    data = SimpleNamespace(validation=Split(np.zeros((0, 4, 4, 1), np.uint8), np.zeros(0, int)), name="mine")
    with pytest.raises(DataError, match="mine has no validation images to evaluate quantized files with"):
        quantization.quantize(None, data, None)


def test_options_that_are_chosen_here_are_refused():
    data = SimpleNamespace(validation=Split(np.zeros((4, 4, 4, 1), np.uint8), np.arange(4)), name="mine")
    with pytest.raises(OptionError, match="chooses float_nodes, trained and fp32_baseline itself"):
        quantization.quantize(None, data, "x.edge", options=ConversionOptions(float_nodes=("conv2d",)))
