"""litert-torch: a correction of the pass that decides where layouts are transposed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from litert_torch._convert.fx_passes.optimize_layout_transposes_pass.pass_body import OptimizeLayoutTransposesPass


@contextmanager
def layout_marks_kept() -> Iterator[None]:
    """Let a dequantized tensor keep its layout mark, NCHW or NHWC.

    Where the converter transposes it for one reader, it gives the tensor itself the mark of the transposed one, so that
    a second reader in float (as in `where(x > 0.5, 0, x)`) gets the wrong layout. There is no option for that.
    """
    insert = OptimizeLayoutTransposesPass.insert_t_q_dq

    def keeping(self: Any, graph: Any, dequantized: Any, *arguments: Any) -> Any:
        kept = dequantized.meta
        inserted = insert(self, graph, dequantized, *arguments)
        dequantized.meta = kept
        return inserted

    OptimizeLayoutTransposesPass.insert_t_q_dq = keeping
    try:
        yield
    finally:
        OptimizeLayoutTransposesPass.insert_t_q_dq = insert
