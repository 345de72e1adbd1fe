"""The op matrix on the GPU: every sample of every op and function, values and gradients, against references in float64."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from op_matrix import EPS, Case, assert_close, function_cases, op_cases

import tapegrad as tg
from tapegrad import dtypes
from tapegrad.tensor import Tensor, wrap

# What has no kernel yet: it must raise NotImplementedError, and nothing else.
NOT_YET: dict[str, str] = {}
CASES = [*op_cases(), *function_cases()]
FACTOR = 16  # of float32's precision: sums have another order, and functions up to 4 units in the last place


def on_device(arrays: Sequence[Any], case: Case, requires_grad: bool) -> list[Tensor]:
    made = [wrap(a).to("cuda") for a in arrays]
    for t, needed in zip(made, case.gradient, strict=True):
        if needed and requires_grad:
            t.requires_grad_()
    return made


def results(value: Any) -> list[Tensor]:
    """The tensors in what a function returned."""
    if isinstance(value, Tensor):
        return [value]
    return [t for part in value for t in results(part)] if isinstance(value, (tuple, list)) else []


def narrowed(case: Case, dtype: str) -> tuple[list[Any], list[Any]]:
    """Inputs of the dtype, and the same values in float64."""
    arrays = case.arrays(dtype)
    return arrays, [a.astype(np.float64) if dtypes.of_array(a).category == 2 else a for a in arrays]


def cotangent(t: Tensor, k: int) -> Any:
    return np.random.default_rng(k).uniform(0.5, 1.5, tuple(t.shape))


def gradients(case: Case, inputs: list[Tensor], outputs: list[Tensor]) -> list[Any]:
    """Of the inputs that get one, for fixed cotangents of all outputs that have a gradient."""
    found = [o for o in outputs if o.requires_grad]
    seeds = [tg.tensor(cotangent(o, k), dtype=o.dtype, device=o.device) for k, o in enumerate(found)]
    wanted = [t for t in inputs if t.requires_grad]
    if not found or not wanted:
        return []
    grads = tg.autograd.grad(found, wanted, seeds, allow_unused=True)
    return [None if g is None else g.cpu().numpy() for g in grads]


@pytest.mark.parametrize("case", [pytest.param(c, id=c.name) for c in CASES if "f" in c.kinds])
def test_values_and_gradients(case: Case) -> None:
    if case.name.rpartition("-")[0] in NOT_YET:
        with pytest.raises(NotImplementedError):
            check(case, "float32")
    else:
        check(case, "float32")


@pytest.mark.parametrize("case", [pytest.param(c, id=c.name) for c in CASES if "f" not in c.kinds])
def test_values_of_other_kinds(case: Case) -> None:
    check(case, {"b": "bool", "i": "int64", "c": "complex64"}[case.kinds[0]])


def check(case: Case, dtype: str) -> None:
    arrays, wide = narrowed(case, dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        inputs, expected_inputs = on_device(arrays, case, True), case.tensors(wide)
        outputs, expected = results(case.fn(*inputs)), results(case.fn(*expected_inputs))
    assert len(outputs) == len(expected)
    eps = FACTOR * EPS[dtype] if dtype in EPS else EPS["float32"]
    for k, (o, e) in enumerate(zip(outputs, expected, strict=True)):
        assert o.is_cuda, f"{case.name}: output {k} is on {o.device}"
        assert_close(o.detach().cpu().numpy(), e.detach().numpy(), eps, f"{case.name}, output {k}")
    for k, (g, e) in enumerate(zip(gradients(case, inputs, outputs), gradients(case, expected_inputs, expected), strict=True)):
        assert (g is None) == (e is None)
        if g is not None:
            assert_close(g, e, eps, f"{case.name}, gradient {k}")
