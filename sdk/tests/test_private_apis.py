"""Every private API of torch and accelerate that training and models use still does what they use it for.

A test that fails here names the library; `edgestill/private/` has the one place to change.
"""

import contextlib

import pytest
import torch
from torch import nn


@contextlib.contextmanager
def uses(library, name):
    """Turn whatever fails inside into a message that says which library moved what."""
    try:
        yield
    except Exception as error:
        pytest.fail(f"{library} has moved or changed {name}: {type(error).__name__}: {error}")


def test_torch_compile_wraps_a_module():
    with uses("torch", "what torch.compile leaves (_orig_mod, _is_torch_compile)"):
        from edgestill.private.torch import COMPILED_PREFIX, MODULE_ATTRIBUTES, without_compile

        net = nn.Linear(2, 2)
        wrapped = torch.compile(net)
        assert without_compile(wrapped) is net and without_compile(net) is net
        assert set(wrapped.state_dict()) == {f"{COMPILED_PREFIX}weight", f"{COMPILED_PREFIX}bias"}
        assert set(vars(net)) - {"in_features", "out_features"} <= MODULE_ATTRIBUTES


def test_torch_compiles_a_module_in_place():
    with uses("torch", "nn.Module._compiled_call_impl or the modules of the compiler's errors"):
        from edgestill.private.torch import drop_compiled_code, is_compiler_error

        def failing(graph, examples):
            raise ValueError("no compiler")

        net = nn.Linear(2, 2)
        net.compile(backend=failing)
        with pytest.raises(Exception) as caught:
            net(torch.zeros(1, 2))
        assert is_compiler_error(caught.value) and not is_compiler_error(ValueError())
        drop_compiled_code(net)
        net(torch.zeros(1, 2))  # by its own code


def test_torch_modules_keep_their_parts_and_hooks():
    with uses("torch", "nn.Module._parameters, ._buffers, ._modules or its hooks"):
        from edgestill.private.torch import hooks_of, own_modules, own_tensors

        norm = nn.BatchNorm1d(2)
        before, after = (lambda *_: None), (lambda *_: None)
        norm.register_forward_pre_hook(before)
        norm.register_forward_hook(after)
        parameters, buffers = own_tensors(norm)
        assert set(parameters) == {"weight", "bias"}
        assert set(buffers) == {"running_mean", "running_var", "num_batches_tracked"}
        assert hooks_of(norm) == ([before], [after])
        assert list(own_modules(nn.Sequential(norm)).items()) == [("0", norm)]


def test_torch_knows_the_instructions_of_the_processor():
    with uses("torch", "torch.cpu._is_avx512_bf16_supported"):
        from edgestill.private.torch import has_avx512_bf16

        assert has_avx512_bf16() in (True, False)


def test_accelerate_chooses_its_precision_anew():
    with uses("accelerate", "AcceleratorState._reset_state"):
        from accelerate import Accelerator

        from edgestill.private.accelerate import forget_settings

        for precision in ("no", "bf16", "no"):
            forget_settings()
            assert Accelerator(cpu=True, mixed_precision=precision).mixed_precision == precision
