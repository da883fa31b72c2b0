"""What the gate makes of outputs of any kind, of files that are not what they are called, and of nothing at all."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from edgestill.cli.convert import _show
from edgestill.data.sources import Split
from edgestill.differences import Pairs, compare_files
from edgestill.errors import EdgestillError
from edgestill.file_findings import look_inside
from edgestill.gate import Gate, _latency_findings, check_bundle
from edgestill.quantization import Budget
from edgestill_converters.inspection import Inspection, Operator
from edgestill_runtime import Model, ModelFile, TensorSpec, load, open_bundle, write_bundle
from edgestill_runtime.tasks import task_of

STEP = 0.5


def compare(*given, **more):
    """Differences, and what was found."""
    differences, _, findings = judge(*given, **more)
    return differences, findings


def judge(outputs, classifies=False, decided=(), scale=STEP):
    """Differences, agreement and findings of two int8 files and one fp32 file, under names that say nothing."""
    files = {"a.pte": ("executorch", "int8"), "b.tflite": ("litert", "int8"), "c.bin": ("litert", "fp32")}
    models = {}
    for name, given in outputs.items():
        engine, precision = files[name]
        quantized = precision != "fp32"
        specs = [
            TensorSpec(
                one.shape, "int8" if quantized else "float32", scale=scale if quantized else None,
                zero_point=0 if quantized else None, name=f"out{number}",
            )
            for number, one in enumerate(given)
        ]  # fmt: skip
        models[name] = ModelFile(engine, precision, (), tuple(specs), "test")
    task = task_of("image-classification" if classifies else "tensors")
    differences, agreement, findings = compare_files(outputs, models, Pairs(models), task, 0.995, decided)
    assert all(one.level == "failure" for one in findings)
    json.dumps([vars(one) for one in differences], allow_nan=False)
    return differences, agreement, [one.text for one in findings]


def values(*shape, seed=0):
    return np.random.default_rng(seed).integers(-100, 100, shape).astype(np.float32) * STEP


@pytest.mark.parametrize("shape", [(8,), (8, 1), (8, 10), (8, 5, 3), (8, 3, 4, 4), (2, 2, 3, 4, 4)])
def test_two_files_16_steps_apart_fail_whatever_the_rank(shape):
    one = values(*shape)
    differences, texts = compare({"a.pte": (one,), "b.tflite": (one,)})
    assert not texts and differences[0].agreement == 1.0 and differences[0].largest_quanta == 0.0
    other = one.copy()
    other[-1] += 16 * STEP
    differences, texts = compare({"a.pte": (one,), "b.tflite": (other,)})
    assert len(texts) == 1 and "at most 16.0 quantization steps apart" in texts[0]
    assert differences[0].largest_quanta == pytest.approx(16)


def test_classifiers_that_agree_in_class_may_not_be_far_apart_either():
    one = values(50, 10)
    differences, texts = compare({"a.pte": (one,), "b.tflite": (one + 16 * STEP,)}, classifies=True)
    assert differences[0].agreement == 1.0 and differences[0].agreement_of == "samples"
    assert len(texts) == 1 and "give the same class on 100.00 % of samples, at most 16.0 quantization" in texts[0]


def test_one_step_is_agreement_and_two_are_not():
    one = values(100, 4, 2)
    assert compare({"a.pte": (one,), "b.tflite": (one + STEP,)})[1] == []
    differences, texts = compare({"a.pte": (one,), "b.tflite": (one + 2 * STEP,)})
    assert (
        differences[0].agreement == 0.0 and "lie within one quantization step (output 0 (out0)) in 0.00 %" in texts[0]
    )


def test_the_second_output_is_judged_as_the_first():
    good, second = values(20, 10), values(20, 3, 4, 4, seed=1)
    differences, texts = compare({"a.pte": (good, second), "b.tflite": (good, -second), "c.bin": (good, second)})
    assert all("output 1 (out1)" in text for text in texts) and len(texts) == 2
    assert "quantization has destroyed it" in texts[1] and "b.tflite" in texts[1] and "c.bin" in texts[1]
    assert differences[0].output == "output 1 (out1)", "the worst output is shown, not the first"


def test_agreement_is_that_of_the_output_where_it_is_least():
    far, near = values(50, 4), values(50, 4, seed=1)
    other = far.copy()
    other[0, 0] += 7 * STEP  # one value of 200, far apart
    differences, agreement, _ = judge({"a.pte": (far, near), "b.tflite": (other, near + 2 * STEP)})
    assert differences[0].output == "output 0 (out0)" and differences[0].agreement == pytest.approx(199 / 200)
    assert agreement == 0.0, "no value of the second output lies within one step"
    assert judge({"b.tflite": (far,), "c.bin": (far,)})[1] is None


def test_what_quantization_leaves_of_an_output_is_judged_where_accuracy_cannot():
    wanted = values(30, 2)
    zeros = np.zeros_like(wanted)
    assert "quantization has destroyed it" in compare({"b.tflite": (zeros,), "c.bin": (wanted,)})[1][0]
    assert compare({"b.tflite": (zeros,), "c.bin": (wanted,)}, decided={"b.tflite"})[1] == []
    nan = np.where(wanted == wanted.max(), np.nan, wanted)
    assert "NaN in" in compare({"b.tflite": (nan,), "c.bin": (wanted,)}, decided={"b.tflite"})[1][0]


def test_classes_that_a_file_gives_itself_are_equal_or_not():
    one = np.arange(400).reshape(4, 10, 10) % 20
    other = one.copy()
    other[0, 0] += 1  # ten pixels of 400 next to their class
    differences, texts = compare({"a.pte": (one,), "b.tflite": (other,)}, scale=None)
    assert differences[0].agreement == pytest.approx(0.975) and len(texts) == 1


def test_another_number_or_shape_of_outputs_is_a_failure():
    one = values(4, 10)
    assert "1 outputs instead of 2" in compare({"a.pte": (one,), "b.tflite": (one, one)})[1][0]
    assert "shape (4, 10) instead of (4, 9)" in compare({"a.pte": (one,), "b.tflite": (one[:, :9],)})[1][0]


def test_no_samples_are_no_pass(bundle_path):
    gate = check_bundle(open_bundle(bundle_path), [np.zeros((0, 28, 28, 1), np.uint8)], latency=False)
    assert not gate.passed and gate.findings[0].text == "there are no samples to check with"
    assert gate.agreement is None and json.dumps(gate.to_json())


def images(count):
    return np.random.default_rng(0).integers(0, 256, (count, 28, 28, 1)).astype(np.uint8)


def test_few_samples_do_not_close_the_gate_and_are_said(bundle_path):
    bundle = open_bundle(bundle_path)
    with load(bundle, precision="fp32") as model:
        labels = model.logits(images(38)).argmax(1)
    gate = check_bundle(bundle, Split(images(38), labels), latency=False)
    (text,) = {one.text.partition(" ")[2] for one in gate.findings if one.level == "undecided"}
    assert "too few samples to tell whether it keeps the budget of 0.3 points; about " in text
    assert gate.losses["model.pte"].standard_error >= 1 / 38 and json.dumps(gate.to_json())


def test_labels_that_the_float_model_does_not_meet_judge_nothing(bundle_path):
    gate = check_bundle(open_bundle(bundle_path), Split(images(38), np.arange(38) % 10), latency=False)
    (text,) = {one.text for one in gate.findings if one.level == "undecided"}
    assert "the float model itself reaches accuracy" in text and "they cannot tell what int8 costs" in text


def test_a_destroyed_file_is_found_where_the_float_model_guesses(bundle_path, monkeypatch):
    given = Model.outputs_of

    def constant(model, arrays):
        """As the file gives it, but one answer for all of a quantized one."""
        (logits,) = given(model, arrays)
        return (np.tile(np.eye(10, dtype=np.float32)[3], (len(logits), 1)) if "fp32" not in model.file else logits,)

    monkeypatch.setattr(Model, "outputs_of", constant)
    gate = check_bundle(open_bundle(bundle_path), Split(images(38), np.arange(38) % 10), max_drop=1.0, latency=False)
    assert any("quantization has destroyed it" in one.text for one in gate.findings if one.level == "failure")


def test_labels_that_do_not_fit_give_no_accuracy(bundle_path):
    gate = check_bundle(open_bundle(bundle_path), Split(images(20), np.linspace(0, 1, 20)), latency=False)
    assert gate.quality == {} and gate.losses == {} and gate.float_quality is None
    assert any(one.text.startswith("no accuracy was measured: ") for one in gate.findings)


def test_an_fp32_file_that_is_called_int8_is_told_by_its_inside(bundle_path, tmp_path):
    bundle = open_bundle(bundle_path)
    models = {
        **bundle.manifest.models,
        **{
            name: replace(bundle.manifest.models[name.replace("model.", "model.fp32.")], precision="int8")
            for name in ("model.pte", "model.tflite")
        },
    }
    contents = {name: bundle.read(name) for name in bundle.files}
    contents |= {name: bundle.read(name.replace("model.", "model.fp32.")) for name in ("model.pte", "model.tflite")}
    false = write_bundle(tmp_path / "false.edge", replace(bundle.manifest, models=models), contents)
    gate = check_bundle(false, [images(4)], latency=False)
    texts = [one.text for one in gate.findings if one.level == "failure"]
    assert [text.partition(" ")[0] for text in texts] == ["model.pte", "model.tflite"]
    assert all("is called int8, and nothing in it is int8: " in text for text in texts)


def mostly_float(content, engine, name):
    """A file with 95 % of its multiply-accumulates in float, in one region."""
    found = [("Convert", "int8 → float32", 0), ("MatMul", "float32", 95), ("Convert", "float32 → int8", 0)]
    operators = [Operator(*one[:2], (1,), one[2], 0, (0,), (1,), 0) for one in (*found, ("Conv2d", "int8", 5))]
    return Inspection(engine, 1, "XNNPACK", (), (), tuple(operators), 0, "")


@pytest.mark.parametrize("called", ["int8", "mixed"])
def test_a_file_that_is_nearly_all_float_is_said_to_be_with_its_layers(bundle_path, monkeypatch, called):
    bundle = open_bundle(bundle_path)
    layers = [f"block.{number}: matmul" for number in range(7)]
    models = {"model.pte": replace(bundle.manifest.models["model.pte"], precision=called, float_macs=0.95)}
    told = replace(bundle.manifest, models=models, training={"float_layers": layers})
    monkeypatch.setattr("edgestill_converters.inspection.inspect_bytes", mostly_float)
    _, found = look_inside(replace(bundle, manifest=told), ["model.pte"])
    assert [one.level for one in found] == ["warning", "warning"]
    assert (
        f"model.pte is called {called}, and 5 % of its multiply-accumulates are int8: block.0: matmul" in found[0].text
    )
    assert "block.4: matmul and 2 more compute in float" in found[0].text
    assert "1 float regions (MatMul)" in found[1].text
    _, unlisted = look_inside(replace(bundle, manifest=replace(told, training={"float_layers": 7})), ["model.pte"])
    assert "int8: MatMul compute in float" in unlisted[0].text


def test_texts_name_the_precision_that_the_files_have(bundle_path, monkeypatch):
    said = []
    monkeypatch.setattr("edgestill.cli.convert.say", lambda text, **_: said.append(text))
    bundle = open_bundle(bundle_path)
    models = {
        name: entry if entry.precision == "fp32" else replace(entry, precision="mixed", float_macs=0.951)
        for name, entry in bundle.manifest.models.items()
    }
    (slow,) = _latency_findings({"litert": 1.5}, Pairs(models).precisions)
    assert slow.text.startswith("litert: mixed takes 1.50 × the time of fp32")
    told = replace(bundle, manifest=replace(bundle.manifest, models=models))
    gate = check_bundle(bundle, [images(4)], latency=False)
    _show(told, replace(gate, latency_ratio={"litert": 1.5}, findings=()))
    shown = " ".join(" ".join(said).split())
    assert "model.pte mixed, 95.10 % of the MACs in float" in shown and "model.fp32.pte fp32" in shown
    assert "model.pte (mixed) and model.tflite (mixed) agree on 100.00 %" in shown
    assert "litert: mixed takes 1.50 × the time of fp32 here" in shown and "int8" not in shown


def test_of_several_outputs_the_one_that_is_furthest_apart_is_shown(bundle_path, monkeypatch):
    said = []
    monkeypatch.setattr("edgestill.cli.convert.say", lambda text, **_: said.append(text))
    bundle = open_bundle(bundle_path)
    models = {name: bundle.manifest.models[f"model.{name[2:]}"] for name in ("a.pte", "b.tflite")}
    told = replace(bundle, manifest=replace(bundle.manifest, models=models))
    near, far = values(20, 10), values(20, 3, 4, 4, seed=1)
    differences, agreement, _ = judge({"a.pte": (near, far), "b.tflite": (near, far + 3 * STEP)})
    _show(told, Gate(20, None, None, {}, {}, agreement, tuple(differences), {}, {}, ()))
    shown = " ".join(" ".join(said).split())
    assert "a.pte (int8) and b.tflite (int8) agree on 0.00 % of the values" in shown
    assert "a.pte and b.tflite, output 1 (out1): at most 1.5 apart (3.00 quantization steps), mean 1.5" in shown
    assert "output 0" not in shown


def test_files_are_paired_by_engine_and_precision(bundle_path, tmp_path):
    """Under names that say nothing, and with the precision of a bundle that kept layers in float."""
    bundle = open_bundle(bundle_path)
    names = {"model.pte": "one.pte", "model.fp32.pte": "two.pte", "model.tflite": "three.tflite"}
    names |= {"model.fp32.tflite": "four.tflite"}
    entries = {
        names[name]: replace(entry, precision=entry.precision.replace("int8", "mixed"))
        for name, entry in bundle.manifest.models.items()
    }
    contents = {names.get(name, name): bundle.read(name) for name in bundle.files if name != "golden.npz"}
    renamed = write_bundle(tmp_path / "r.edge", replace(bundle.manifest, models=entries), contents)
    gate = check_bundle(renamed, [images(8)], latency=False)
    assert {one.files for one in gate.differences} == {
        ("one.pte", "three.tflite"), ("one.pte", "two.pte"), ("three.tflite", "four.tflite"),
    }  # fmt: skip


def test_nothing_that_could_be_run_is_no_pass(bundle_path, monkeypatch):
    monkeypatch.setattr("edgestill.gate.installed_engines", lambda engines: {})
    gate = check_bundle(open_bundle(bundle_path), [images(2)], latency=False)
    texts = [one.text for one in gate.findings]
    assert not gate.passed and "model.pte was not checked: executorch is not installed" in texts
    assert "nothing was checked: no engine for it is installed; see `edgestill doctor`" in texts


@pytest.mark.parametrize("name", ["max_drop", "min_agreement"])
@pytest.mark.parametrize("value", [math.nan, -1, 2, math.inf])
def test_what_is_no_share_is_no_budget(name, value):
    with pytest.raises(EdgestillError, match=f"{name} is a share from 0 to 1 .*not {value}"):
        check_bundle(None, [], **{name: value})
    with pytest.raises(EdgestillError, match="max_drop is a share"):
        Budget(max_drop=value)
