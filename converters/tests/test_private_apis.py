"""Every private API of a library that the converters use still does what they use it for.

A test that fails here names the library; `edgestill_converters/private/` has the one place to change.
"""

import contextlib
import inspect
import json
import subprocess
import sys
import traceback

import pytest
import torch
from torch import nn

aten = torch.ops.aten


@contextlib.contextmanager
def uses(library, name):
    """Turn whatever fails inside into a message that says which library moved what."""
    try:
        yield
    except Exception as error:
        pytest.fail(f"{library} has moved or changed {name}: {type(error).__name__}: {error}")


def exported(function, *examples):
    class Plain(nn.Module):
        def forward(self, *inputs):
            return function(*inputs)

    return torch.export.export(Plain(), examples)


def targets_of(program):
    return [node.target for node in program.graph.nodes if node.op == "call_function"]


@pytest.fixture(scope="module")
def pte():
    """A convolution as an ExecuTorch program."""
    from edgestill_converters.backends.executorch.export import export_pte

    net = nn.Conv2d(2, 3, 1).eval()
    return export_pte(torch.export.export(net, (torch.zeros(1, 2, 4, 4),)))[0]


# torch


def test_torch_operators_have_schemas_and_names():
    with uses("torch", "torch._ops.OpOverload, ._schema or ._opname"):
        from edgestill_converters.private.torch import OpOverload, operator_name, schema_of

        assert isinstance(aten.relu.default, OpOverload)
        assert not schema_of(aten.relu.default).is_mutable and schema_of(aten.relu_.default).is_mutable
        names = {one.name: one.has_default_value() for one in schema_of(aten.dropout.default).arguments}
        assert names == {"input": False, "p": False, "train": False}
        assert operator_name(aten.conv2d.default) == "conv2d"
        assert schema_of(len) is None and operator_name(len) == "len"


def test_torch_marks_graphs_within_a_graph():
    with uses("torch", "torch._ops.HigherOrderOperator"):
        from edgestill_converters.private.torch import HigherOrderOperator

        def under_autocast(images):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return images @ images

        targets = targets_of(exported(under_autocast, torch.ones(2, 2)))
        assert any(isinstance(one, HigherOrderOperator) for one in targets)


def test_torch_gives_views_the_memory_of_their_base():
    with uses("torch", "UntypedStorage._cdata"):
        from edgestill_converters.private.torch import storage_ids

        program = exported(lambda images: images.view(4) + 1, torch.ones(2, 2))
        source, view, total = [node.meta["val"] for node in program.graph.nodes if "val" in node.meta]
        assert storage_ids([source]) == storage_ids([view]) != storage_ids([total])
        assert storage_ids([None, 3]) == frozenset()


@pytest.mark.parametrize(
    ("mode", "antialias", "name"),
    [
        ("nearest-exact", False, "RESIZE_NEAREST_EXACT"),
        ("bicubic", True, "RESIZE_BICUBIC_ANTIALIASED"),
        ("bilinear", True, "RESIZE_BILINEAR_ANTIALIASED"),
    ],
)
def test_torch_exports_resizing_as_these_operators(mode, antialias, name):
    with uses("torch", f"the ATen operator of interpolate(mode={mode!r}, antialias={antialias})"):
        from edgestill_converters.private import torch as private_torch

        program = exported(
            lambda images: nn.functional.interpolate(images, size=(6, 6), mode=mode, antialias=antialias),
            torch.ones(1, 1, 4, 4),
        )
        assert getattr(private_torch, name) in targets_of(program)


def test_torch_decomposes_to_these_operators():
    with uses("torch", "aten._to_copy or aten._native_batch_norm_legit_no_training"):
        from edgestill_converters.private.torch import BATCH_NORM_AT_INFERENCE, TO_COPY

        norm = nn.BatchNorm2d(2).eval()
        program = exported(lambda images: norm(images).double(), torch.ones(1, 2, 4, 4)).run_decompositions({})
        norms = [node for node in program.graph.nodes if node.target is BATCH_NORM_AT_INFERENCE]
        assert len(norms) == 1 and TO_COPY in targets_of(program)
        # input, weight, bias, mean, variance, momentum, eps: what `in_place.py` makes a batch_norm of.
        assert norms[0].args[5:] == (norm.momentum, norm.eps) and len(norms[0].meta["val"]) == 3


def test_torch_calls_modules_through_this_function():
    with uses("torch", "nn.Module._call_impl"):
        from edgestill_converters.private.torch import CALL

        class Broken(nn.Module):
            def forward(self):
                raise KeyError

        with pytest.raises(KeyError) as caught:
            Broken()()
        assert CALL in [frame.name for frame in traceback.extract_tb(caught.tb)]


def test_torch_modules_keep_their_parts_here():
    with uses("torch", "nn.Module._parameters, ._buffers or ._modules"):
        from edgestill_converters.private.torch import MODULE_PARTS

        net = nn.Sequential(nn.BatchNorm1d(2))
        kept = {name for module in net.modules() for part in MODULE_PARTS for name in vars(module)[part]}
        assert kept == {"0", "weight", "bias", "running_mean", "running_var", "num_batches_tracked"}


def test_torch_flattens_nested_outputs():
    with uses("torch", "torch.utils._pytree"):
        from edgestill_converters.private.torch import leaves, leaves_with_paths

        nested = {"logits": 1, "features": [2, (3, None)]}
        assert leaves(nested) == [1, 2, 3, None]
        assert leaves_with_paths(nested) == [
            (["logits"], 1), (["features", 0], 2), (["features", 1, 0], 3), (["features", 1, 1], None),
        ]  # fmt: skip


# torchao


def test_torchao_annotations_are_marked_as_done():
    with uses("torchao", "QuantizationAnnotation(_annotated=…)"):
        from edgestill_converters.private.torchao import annotation

        (node,) = (one for one in exported(torch.relu, torch.ones(1)).graph.nodes if one.op == "call_function")
        made = annotation({node: None}, None)
        assert made._annotated and made.input_qspec_map == {node: None}


def test_torchao_observers_take_a_smallest_scale():
    with uses("torchao", "the wrapped partial of an observer's constructor (.p)"):
        from torchao.quantization.pt2e import PerChannelMinMaxObserver

        from edgestill_converters.private.torchao import with_smallest_scale

        constructor = PerChannelMinMaxObserver.with_args(qscheme=torch.per_channel_symmetric, eps=2**-12)
        observer = with_smallest_scale(constructor, 2**-16)()
        observer(torch.full((1, 4), 1e-9))
        assert float(observer.calculate_qparams()[0]) == 2**-16
        assert observer.qscheme is torch.per_channel_symmetric  # what was there before is still there


# executorch


def test_executorch_names_copies_of_the_edge_dialect():
    with uses("executorch", "executorch.exir.dialects._ops or dim_order_ops._to_dim_order_copy"):
        from executorch.exir import to_edge

        from edgestill_converters.private.executorch import COPIES

        program = exported(lambda row: row.expand(3, 2).to(torch.float64), torch.ones(1, 2))
        found = {node.target for node in to_edge(program).exported_program().graph.nodes}
        assert set(COPIES) <= found


def test_executorch_reads_programs(pte):
    with uses("executorch", "executorch.exir._serialize or the header of an XNNPACK delegate"):
        from edgestill_converters.private.executorch import has_flatc, read_program, read_xnnpack_graph

        assert has_flatc()
        program = read_program(pte)
        assert program.execution_plan[0].name == "forward"
        (delegate,) = program.execution_plan[0].delegates
        blob = bytes(program.backend_delegate_data[delegate.processed.index].data)
        kinds = [node["xnode_union_type"] for node in read_xnnpack_graph(blob)["xnodes"]]
        assert any("Conv2d" in one for one in kinds)


def test_executorch_quantizer_annotates_patterns():
    with uses("executorch", "XNNPACKQuantizer._annotate_for_quantization_config or .SUPPORTED_PATTERNS"):
        from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
            XNNPACKQuantizer,
            get_symmetric_quantization_config,
        )

        from edgestill_converters.private.executorch import annotate_patterns, drop_batch_norm_patterns

        quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
        everything = [one.name for one in quantizer.SUPPORTED_PATTERNS]
        drop_batch_norm_patterns(quantizer)
        left = [one.name for one in quantizer.SUPPORTED_PATTERNS]
        assert 0 < len(left) < len(everything) and not any("bn" in one for one in left)
        assert [one.name for one in XNNPACKQuantizer.SUPPORTED_PATTERNS] == everything  # others' are untouched
        net = torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),)).module(check_guards=False)
        annotated = annotate_patterns(quantizer, net)
        assert sum("quantization_annotation" in node.meta for node in annotated.graph.nodes) > 0


# litert-torch and what it calls


def test_litert_converter_has_the_strict_setting():
    with uses("litert-converter", "converter_api_ext.ConvertToTFLConfig or .strict_qdq_mode"):
        from litert_converter.mlir._mlir_libs import converter_api_ext

        from edgestill_converters.private.litert_converter import strict_quantization

        before = converter_api_ext.ConvertToTFLConfig
        assert not before().strict_qdq_mode
        with strict_quantization():
            assert converter_api_ext.ConvertToTFLConfig().strict_qdq_mode
        assert converter_api_ext.ConvertToTFLConfig is before


def test_litert_torch_makes_its_settings_by_that_name():
    """`strict_quantization` replaces the class in the module, which works for who looks it up there at each call."""
    with uses("litert-torch", "how it calls converter_api_ext.ConvertToTFLConfig"):
        import litert_torch
        from litert_converter.mlir._mlir_libs import converter_api_ext

        made = []
        plain = converter_api_ext.ConvertToTFLConfig

        def counted():
            made.append(plain())
            return made[-1]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(converter_api_ext, "ConvertToTFLConfig", counted)
            litert_torch.convert(nn.ReLU().eval(), (torch.zeros(1, 2),))
        assert made


def test_litert_torch_pass_is_corrected():
    with uses("litert-torch", "OptimizeLayoutTransposesPass.insert_t_q_dq"):
        from litert_torch._convert.fx_passes.optimize_layout_transposes_pass.pass_body import (
            OptimizeLayoutTransposesPass,
        )

        from edgestill_converters.private.litert_torch import layout_marks_kept

        before = OptimizeLayoutTransposesPass.insert_t_q_dq
        assert list(inspect.signature(before).parameters)[:3] == ["self", "graph", "input_dq"], inspect.signature(
            before
        )
        with layout_marks_kept():
            assert OptimizeLayoutTransposesPass.insert_t_q_dq is not before
        assert OptimizeLayoutTransposesPass.insert_t_q_dq is before


# ai-edge-litert


def test_ai_edge_litert_lists_delegated_operators():
    with uses("ai-edge-litert", "Interpreter._get_ops_details"):
        import litert_torch

        from edgestill_converters.backends.litert import delegation

        net = nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU()).eval()
        content = litert_torch.convert(net, (torch.zeros(1, 2, 4, 4),)).model_content()
        done = subprocess.run(
            [sys.executable, "-P", delegation.__file__], input=content, capture_output=True, check=True
        )
        found = json.loads(done.stdout.decode().splitlines()[-1])
        assert found and set(found.values()) == {0}
