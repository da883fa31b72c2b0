"""The parent's side of an export: what it reads of its children, and which operator is blamed."""

import fcntl
import math
import os
import resource
import subprocess
import sys

import pytest
import torch
from torch import nn

from edgestill_converters.blame import Blame, first_failing
from edgestill_converters.errors import ConversionError
from edgestill_converters.exporting import _Child, _wait
from edgestill_converters.graph import export


def test_progress_is_read_from_any_descriptor(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2000:
        pytest.skip("the system allows no descriptor above 1,100")
    resource.setrlimit(resource.RLIMIT_NOFILE, (2000, hard))
    try:
        reading, writing = os.pipe()
        high = fcntl.fcntl(reading, fcntl.F_DUPFD, 1100)  # as in a server with as many open sockets
        os.write(writing, b"model.pte\nmodel.fp32.pte\n\n")
        os.close(writing)
        begun = []
        with subprocess.Popen([sys.executable, "-c", ""]) as process:
            _wait([_Child("executorch", process, high, deadline=math.inf)], 60.0, tmp_path, begun.append)
        assert begun == ["model.pte", "model.fp32.pte"]
        os.close(high)
        os.close(reading)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def failing(folder, last, limit_seconds):
    """The message for an exporter that fails, reports that it looks for the operator, and then does `last`."""
    reading, writing = os.pipe()
    code = f"import os; os.write({writing}, b'model.pte\\n?\\n'); {last}"
    with subprocess.Popen([sys.executable, "-c", code], pass_fds=(writing,), stdin=subprocess.PIPE) as process:
        os.close(writing)
        try:
            with pytest.raises(ConversionError) as caught:
                _wait(
                    [_Child("executorch", process, reading, deadline=math.inf)], limit_seconds, folder, lambda _: None
                )
        finally:
            process.kill()
            os.close(reading)
    return str(caught.value)


def test_the_search_for_the_operator_has_a_time_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "model.pte.blame.json").write_text('{"operator": "tanh", "module": "second.1"}')
    reason = failing(tmp_path, "os._exit(1)", limit_seconds=1e-9)
    assert "model.pte: the executorch exporter cannot convert operator tanh in module 'second.1'" in reason
    monkeypatch.setattr("edgestill_converters.exporter.BLAME_SECONDS", 0.01)
    reason = failing(tmp_path, "os.read(0, 1)", limit_seconds=600.0)
    assert "cannot convert this graph, and no single operator was found" in reason
    assert "no single operator" in failing(tmp_path, "os.kill(os.getpid(), 9)", limit_seconds=600.0)


class Layers(nn.Module):
    """Five operators, of which an exporter may refuse one."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        self.second = nn.Sequential(nn.Linear(4, 4), nn.Tanh())

    def forward(self, values):
        return self.second(self.first(values)).sigmoid()


def test_the_operator_that_fails_is_found_by_halving():
    program = export(Layers().eval(), (torch.zeros(1, 4),))
    tried = []

    def refuse(target):
        def exporter(part):
            tried.append(len(part.graph.nodes))
            if any(node.target is target for node in part.graph.nodes):
                raise RuntimeError("failed to legalize operation")

        return exporter

    assert first_failing(program, refuse(torch.ops.aten.tanh.default), 60.0) == Blame("tanh", "second.1")
    assert len(tried) <= 4
    assert first_failing(program, refuse(torch.ops.aten.sigmoid.default), 60.0) == Blame("sigmoid", "")
    # The whole fails, and none of its beginnings does.
    assert first_failing(program, refuse(None), 60.0) == Blame()


class OnGrid(nn.Module):
    """Adds a weight that is rounded to int8 and back."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, values):
        scale = (0.1, 0, -128, 127, torch.int8)
        whole = torch.ops.quantized_decomposed.quantize_per_tensor(self.weight, *scale)
        return values.relu() + torch.ops.quantized_decomposed.dequantize_per_tensor(whole, *scale)


def test_a_weight_is_no_operator_that_could_be_blamed():
    import torchao.quantization.pt2e.quantize_pt2e  # noqa: F401  (registers these operators)

    program = export(OnGrid().eval(), (torch.zeros(1, 4),))

    def exporter(part):
        if any("quantize_per" in str(node.target) for node in part.graph.nodes):
            raise RuntimeError("failed to legalize operation")

    assert first_failing(program, exporter, 60.0) == Blame()
