"""Any model file: what is in it, counted by hand where it is ours; damaged ones are errors."""

import errno
import json
import sys
import xml.etree.ElementTree as ElementTree
from copy import copy
from types import SimpleNamespace

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from executorch.exir.schema import BoolList, DoubleList, IntList, TensorList
from flatbuffers import Builder
from torch import nn

from edgestill.file_findings import look_inside
from edgestill.models import create_model, multiply_accumulates
from edgestill_converters import contents
from edgestill_converters.backends.executorch import inspector as pte
from edgestill_converters.backends.litert import inspector as tflite
from edgestill_converters.inspection import (
    Inspection,
    InspectionError,
    Operator,
    Tensor,
    draw,
    inspect_bytes,
    inspect_file,
)
from edgestill_converters.precision import computes_in_int8
from edgestill_converters.private import executorch as private_executorch
from edgestill_runtime import open_bundle


@pytest.mark.parametrize("name", ["model.pte", "model.tflite", "model.fp32.pte", "model.fp32.tflite"])
def test_our_own_file(bundle_path, name):
    seen = inspect_file(bundle_path / name)
    # dscnn_s: the same layers in both formats, all in the delegate, in one partition.
    assert seen.macs == multiply_accumulates(create_model("dscnn_s", 10), (1, 28, 28))
    assert (seen.delegated_macs, seen.partitions, seen.outside, seen.transposes) == (1.0, 1, (), 0)
    assert seen.delegate == "XNNPACK" and seen.bytes == (bundle_path / name).stat().st_size
    precision = "float32" if "fp32" in name else "int8"
    assert seen.float_macs == (precision == "float32")
    names = ("DepthwiseConv2d", "Conv2d", "FullyConnected")
    if name.endswith("tflite"):
        names = ("DEPTHWISE_CONV_2D", "CONV_2D", "FULLY_CONNECTED")
    # The first convolution has one input channel, so both formats have it as a depthwise one.
    assert [seen.counts[f"{one} {precision}"] for one in names] == [5, 4, 1]
    assert [one.dtype for one in (*seen.inputs, *seen.outputs)] == [precision] * 2
    assert sum(one.weights for one in seen.operators) < seen.bytes
    assert 0 < seen.memory < 200_000
    plain = json.loads(json.dumps(seen.to_json()))
    assert plain["macs"] == seen.macs and len(plain["operators"]) == len(seen.operators)


@pytest.mark.parametrize(
    ("ends", "last"),
    [
        ([], ""), (["SOFTMAX"], "softmax"), (["SOFTMAX", "DEQUANTIZE"], "softmax"), (["LOGISTIC"], "sigmoid"),
        (["SOFTMAX", "RELU"], ""),
    ],
)  # fmt: skip
def test_what_makes_the_output_of_a_file_is_found(bundle_path, ends, last):
    """Our own float file with further operators behind its last; they are looked at, not run."""
    tree = schema.ModelT.InitFromPackedBuf((bundle_path / "model.fp32.tflite").read_bytes(), 0)
    graph = tree.subgraphs[0]
    for name in ends:
        code, operator, tensor = schema.OperatorCodeT(), schema.OperatorT(), copy(graph.tensors[graph.outputs[0]])
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        operator.opcodeIndex, operator.inputs = len(tree.operatorCodes), [graph.outputs[0]]
        operator.outputs = graph.outputs = [len(graph.tensors)]
        tree.operatorCodes.append(code)
        graph.operators.append(operator)
        graph.tensors.append(tensor)
    builder = Builder(1 << 16)
    builder.Finish(tree.Pack(builder), b"TFL3")
    assert inspect_bytes(bytes(builder.Output()), "litert", "x.tflite", ask_engine=False).last == last


def test_the_parameters_of_an_fp32_file_are_its_constants(bundle_path):
    layers = [one for one in create_model("dscnn_s", 10).modules() if isinstance(one, (nn.Conv2d, nn.Linear))]
    # A bias for each output, which holds the batch norm; integers, such as the shape of a reshape, are no parameters.
    expected = sum(one.weight.numel() + len(one.weight) for one in layers)
    assert tflite.count_parameters((bundle_path / "model.fp32.tflite").read_bytes()) == expected


def test_the_numbers_of_a_list_are_no_tensors():
    values = (BoolList([True, False]), DoubleList([1.5, 1.5]), IntList([7]), TensorList([4, 5]))
    plan = SimpleNamespace(values=[SimpleNamespace(val=one) for one in values])
    assert [pte._members(plan, index) for index in range(4)] == [[0], [1], [2], [4, 5]]


def made(*operators, source=0, target=9):
    """A file of (name, precision, macs, what flows in, what flows out, whether it reorders)."""
    found = [
        Operator(name, precision, (), macs, 0, inputs, outputs, None, reorders=turns)
        for name, precision, macs, inputs, outputs, turns in operators
    ]
    tensors = [Tensor(number, "", (1,), "int8") for number in (source, target)]
    return Inspection("litert", 0, "none", (tensors[0],), (tensors[1],), tuple(found), 0, "")


def test_a_transpose_at_an_end_is_not_counted():
    turns = [("TRANSPOSE", "int8", 0, (number,), (number + 1,), True) for number in range(9)]
    assert made(*turns).transposes == 7
    assert made(*turns[:1], source=5).transposes == 1


def test_an_output_that_nothing_makes_is_no_probability():
    assert made(source=1, target=1).last == ""


@pytest.mark.parametrize(
    ("inputs", "outputs", "weights", "word"),
    [
        (["int8", "int32"], ["int8", "bool"], [], "int8"),
        (["float32"], ["int8"], [], "float32 → int8"),
        (["float32"], ["float32"], ["int8", "float32"], "float32, int8 weights"),
        ([], ["float32"], ["int8", "int32"], "int8 → float32"),
        (["int8"], [], [], "int8"),
        ([], [], [], "none"),
    ],
)
def test_the_word_for_a_precision(inputs, outputs, weights, word):
    assert contents.precision_of(inputs, outputs, weights) == word


@pytest.mark.parametrize(
    ("operators", "known"),
    [
        ([("ADD", "int8", 0)], True),
        ([("QUANTIZE", "float32 → int8", 0), ("ADD", "float32", 0), ("DEQUANTIZE", "int8 → float32", 0)], False),
        ([("CONV_2D", "float32", 9), ("ADD", "int8", 0)], False),
        ([("CONV_2D", "float32", 9), ("CONV_2D", "int8", 1)], True),
    ],
)
def test_a_file_is_int8_by_its_products_or_by_more_than_its_ends(operators, known):
    assert computes_in_int8(made(*((*one, (), (), False) for one in operators))) == known


@pytest.mark.parametrize(
    ("order", "shape", "turns"),
    [([0, 3, 1, 2], (1, 3, 4, 5), True), ([0, 3, 1, 2], (1, 1, 4, 5), False), ([0, 3, 1, 2], (1, 6, 1, 1), False)],
)
def test_a_transpose_of_axes_of_length_one_reorders_nothing(order, shape, turns):
    # Two tensors of a .tflite: the order, and the output.
    tensors = [SimpleNamespace(buffer=0), SimpleNamespace(shape=shape)]
    buffer = SimpleNamespace(data=np.array(order, np.int32).view(np.uint8))
    model, graph = SimpleNamespace(buffers=[buffer]), SimpleNamespace(tensors=tensors)
    assert tflite._reorders(model, graph, 0, 1) == turns
    buffer.data = None  # is computed
    assert tflite._reorders(model, graph, 0, 1)


@pytest.mark.parametrize(
    ("name", "shapes", "macs"),
    [
        ("aten::bmm", [(2, 3, 4), (2, 4, 5), (2, 3, 5)], 2 * 3 * 4 * 5),
        ("aten::addmm", [(5,), (3, 4), (4, 5), (3, 5)], 3 * 4 * 5),
        ("aten::linear", [(3, 4), (5, 4), (5,), (3, 5)], 3 * 4 * 5),
        ("aten::convolution", [(1, 3, 9, 9), (8, 3, 2, 5), (1, 8, 8, 5)], 8 * 8 * 5 * 3 * 2 * 5),
        ("aten::add", [(3, 4), (3, 4), (3, 4)], 0),
    ],
)
def test_products_outside_the_delegate_are_counted(name, shapes, macs):
    plan = SimpleNamespace(values=[SimpleNamespace(val=SimpleNamespace(sizes=one)) for one in shapes])
    assert pte._kernel_macs(plan, name, list(range(len(shapes)))) == macs


def test_products_of_a_transposed_convolution():
    sizes = {"kernel_height": 3, "kernel_width": 2, "group_output_channels": 4, "input1_id": 7}
    assert pte._xnn_macs("ConvTranspose2d", sizes, (1, 9, 9, 4), {7: {"dims": [1, 5, 5, 8]}}) == 5 * 5 * 8 * 3 * 2 * 4
    tensors = [SimpleNamespace(shape=one) for one in ((4,), (4, 3, 2, 8), (1, 5, 5, 8), (1, 9, 9, 4))]
    graph = SimpleNamespace(tensors=tensors)
    assert tflite._macs("TRANSPOSE_CONV", graph, [0, 1, 2], [3]) == 5 * 5 * 8 * 3 * 2 * 4


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os; os.abort()", "unknown: the interpreter was ended by SIGABRT"),
        ("raise SystemExit(1)", "unknown: the interpreter does not load this file"),
        ("print('noise'); print('{}')", "none"),
    ],
)
def test_an_interpreter_that_fails_leaves_it_unknown(bundle_path, tmp_path, monkeypatch, code, reason):
    (tmp_path / "delegation.py").write_text(code)
    monkeypatch.setattr(tflite, "_DELEGATION", tmp_path / "delegation.py")
    seen = inspect_file(bundle_path / "model.tflite")
    assert seen.delegate == reason and seen.partitions == 0 and seen.delegation_known == (reason == "none")


def test_the_picture_has_a_line_for_each_operator(bundle_path):
    seen = inspect_file(bundle_path / "model.tflite")
    root = ElementTree.fromstring(draw(seen))
    space = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{space}g")) == len(seen.operators)
    assert len(root.findall(f"{space}path")) == len(seen.operators) - 1  # a chain: each flows to the next


def test_a_program_with_operators_outside_the_delegate(programs):
    found = {path.stem: inspect_file(path) for path in sorted(programs.glob("*.pte"))}
    assert found
    outside = {name: [one.name for one in seen.outside] for name, seen in found.items()}
    assert any(outside.values())
    for seen in found.values():
        assert all(one.why for one in seen.outside)
        assert seen.partitions or seen.delegate == "none"


@pytest.mark.parametrize("suffix", ["pte", "tflite"])
@pytest.mark.parametrize("damage", ["cut", "noise", "empty"])
def test_a_damaged_file_is_an_error(bundle_path, tmp_path, suffix, damage):
    content = (bundle_path / f"model.{suffix}").read_bytes()
    bad = {"cut": content[: len(content) // 3], "noise": content[:8] + b"\xff" * 4000, "empty": b""}[damage]
    path = tmp_path / f"bad.{suffix}"
    path.write_bytes(bad)
    with pytest.raises(InspectionError, match=r"bad\.\w+ cannot be read as"):
        inspect_file(path)


@pytest.mark.parametrize(
    ("backend", "suffix", "module"),
    [("executorch", "pte", "executorch.exir._serialize._program"), ("litert", "tflite", "ai_edge_litert")],
)
def test_a_reader_that_is_missing_is_no_damage(bundle_path, monkeypatch, backend, suffix, module):
    monkeypatch.delitem(sys.modules, f"edgestill_converters.backends.{backend}.inspector")
    monkeypatch.delitem(sys.modules, f"edgestill_converters.private.{backend}", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    package = module.partition(".")[0]
    with pytest.raises(InspectionError, match=rf"{package}, which is not installed.*edgestill\[convert\]"):
        inspect_file(bundle_path / f"model.{suffix}")


def test_a_program_or_a_system_that_fails_is_no_damage(bundle_path, monkeypatch):
    monkeypatch.setattr(private_executorch, "_get_flatc_path", lambda: "/no/flatc")
    with pytest.raises(InspectionError, match="program flatc, which executorch brings"):
        inspect_file(bundle_path / "model.pte")

    def full(content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tflite, "_delegation", full)
    with pytest.raises(InspectionError, match="the system refused: No space left on device"):
        inspect_file(bundle_path / "model.tflite")


def test_an_interpreter_that_does_not_say_what_is_delegated_in_time_leaves_it_unknown(bundle_path, monkeypatch):
    monkeypatch.setattr(tflite, "LOAD_SECONDS", 0.001)
    seen = inspect_file(bundle_path / "model.tflite")
    assert seen.macs and not seen.delegation_known and "had not loaded this file after 0.001 s" in seen.delegate
    shares, found = look_inside(open_bundle(bundle_path), ["model.tflite"])
    assert shares == {} and [one.text.partition(" is ")[2] for one in found] == [seen.delegate]


def test_what_is_no_model_file(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(InspectionError, match=r"no model file \(\.tflite, \.pte\), nor a bundle"):
        inspect_file(tmp_path / "notes.txt")
    with pytest.raises(InspectionError, match="cannot be read: No such file"):
        inspect_file(tmp_path / "none.pte")
