"""The example operation of CONTRIBUTING.md works as printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import op_matrix

import tapegrad as tg
from tapegrad import plan, public
from tapegrad.primitives import E
from tapegrad.registry import REGISTRY
from tapegrad.samples import EdgePoint, unary
from tapegrad.scalarops import elementwise
from tapegrad.testing import check_grads


def test_the_example_operation() -> None:
    """Registered under another name, since the library has that function now."""
    text = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "elementwise(" in block)
    assert '"softsign"' in code
    scope: dict[str, Any] = {"E": E, "np": np, "unary": unary, "EdgePoint": EdgePoint, "elementwise": elementwise}
    known = set(REGISTRY)
    try:
        exec(code.replace('"softsign"', '"softsign_example"'), scope)
        cases = [c for c in op_matrix.op_cases() if c.op is not None and c.op.name not in known]
        assert len(cases) == len(unary())
        for case in cases:
            arrays = case.arrays("float32")
            result = case.fn(*case.tensors(arrays, requires_grad=False))
            op_matrix.assert_close(result.numpy(), case.reference(*[a.astype(np.float64) for a in arrays]), op_matrix.EPS["float32"], case.name)
            check_grads(case.fn, case.tensors(case.arrays()), order=2)
        (op,) = {c.op for c in cases}
        for point in op.edge_points:
            x = [tg.tensor(value, requires_grad=True) for value in point.inputs]
            scope["softsign"](*x).backward()
            assert [t.grad.item() for t in x] == list(point.grads)
    finally:
        for name in set(REGISTRY) - known:
            del REGISTRY[name]
            for table in (plan.ON_ARRAYS.__dict__, plan.ON_TENSORS.__dict__, public.FUNCTIONS, public.METHODS):
                table.pop(name, None)
