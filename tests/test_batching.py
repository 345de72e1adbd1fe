"""The batching rule that an op declares: with an extra leading dimension it gives what a loop over that dimension gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from op_matrix import EPS, Array, Case, assert_close, op_cases

from tapegrad.registry import REGISTRY
from tapegrad.tensor import wrap

BATCH = 3
DIMENSIONS = ("dim", "dims", "axes")
RULED = [
    c
    for c in op_cases()
    if c.op is not None and c.op.batch != "loop" and not c.op.random and c.name.endswith(("-0", "-1", "-2"))
    # dimension 0 of a 0-d tensor is none that could be counted one further
    if not (c.inputs[0].shape == () and "dim" in c.op.samples[int(c.name[-1])].params)
]


def shifted(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters that count dimensions from the front, one further."""
    out = dict(params)
    for name in DIMENSIONS:
        if name in out:
            value = out[name]
            out[name] = tuple(d + 1 for d in value) if isinstance(value, tuple) else value + 1
    return out


def stretched(arrays: list[Array]) -> list[Array]:
    """For operands that broadcast: sizes of one where an operand has fewer dimensions than the others."""
    rank = max(a.ndim for a in arrays)
    return [a.reshape(a.shape[:1] + (1,) * (rank - a.ndim) + a.shape[1:]) for a in arrays]


DTYPES = {"c": np.complex128, "": np.float64}  # of ops for complex numbers, and of those that make them


@pytest.mark.parametrize("case", RULED, ids=[c.name for c in RULED])
def test_a_batch_is_a_loop(case: Case) -> None:
    op = case.op
    samples = [case.arrays(DTYPES.get(case.kinds, np.float64 if "f" in case.kinds else np.int64), seed=k) for k in range(BATCH)]
    assert op is not None
    params = op.samples[int(case.name.rpartition("-")[2])].params
    batch = [np.stack(parts) for parts in zip(*samples, strict=True)]
    if op.batch == "elementwise":
        batch = stretched(batch)
    elif op.batch == "reduce":
        params_of_batch = shifted(params)
    else:
        assert op.batch == "leading", f"{op.name}: unknown batching rule {op.batch!r}"
    whole = op.call(*map(wrap, batch), **(params_of_batch if op.batch == "reduce" else params))
    parts = [op.call(*map(wrap, arrays), **params) for arrays in samples]
    if not isinstance(whole, tuple):
        whole, parts = (whole,), [(p,) for p in parts]
    for i, result in enumerate(whole):
        assert_close(result._array, np.stack([p[i]._array for p in parts]), EPS["float64"], case.name)


def test_most_ops_declare_one() -> None:
    assert sum(op.batch != "loop" for op in REGISTRY.values()) > len(REGISTRY) // 2
