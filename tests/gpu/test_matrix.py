"""The op matrix on the GPU: every sample of every op and function, values and gradients, against references in float64."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from op_matrix import EPS, Case, assert_close, function_cases, op_cases

import tapegrad as tg
from tapegrad import dtypes
from tapegrad.kernels import cuda
from tapegrad.kernels.cuda.drivers import ON_CPU
from tapegrad.tensor import Tensor, wrap
from tapegrad.testing.layouts import arranged

NUMBER = int(os.environ.get("TAPEGRAD_TEST_GPU", "0"))  # of the GPU that tensors are on, while the first is the current one
FACTOR = 16  # of float32's precision: sums have another order, and functions up to 4 units in the last place


def on_device(arrays: Sequence[Any], case: Case, layout: str) -> list[Tensor]:
    """Tensors of these values on the GPU, in memory of this layout, that require grad where they get one."""
    with tg.cuda.device(NUMBER):
        made = [wrap(placed(a, layout)) for a in arrays]
    for t, needed in zip(made, case.gradient, strict=True):
        if needed:
            t.requires_grad_()
    return made


def placed(array: Any, layout: str) -> Any:
    """An array on the GPU, as ``arranged`` makes one of the host."""
    flipped = (slice(None, None, -1),) * array.ndim
    if layout == "transposed":
        return cuda.to_device(array.T).T
    if layout == "negative":
        return cuda.to_device(array[flipped])[flipped]
    if layout == "expanded" and array.ndim and array.size:
        return cuda.broadcast_to(cuda.to_device(array[..., :1]), array.shape)
    if layout == "offset" and array.ndim:
        inside = cuda.zeros((*[2 * n + 1 for n in array.shape], 2), array.dtype)[(*[slice(1, None, 2)] * array.ndim, 1)]
        inside[...] = array
        return inside
    return cuda.to_device(array)


def results(value: Any) -> list[Tensor]:
    """The tensors in what a function returned."""
    if isinstance(value, Tensor):
        return [value]
    return [t for part in value for t in results(part)] if isinstance(value, (tuple, list)) else []


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


def is_first(case: Case) -> bool:
    """The first sample of an op, or of a function that is made of several."""
    return case.number == 0 and (case.op is not None or (case.function is not None and case.function.op is None))


# Not here, each with the place where it is.
NO_CASES = {
    "to_device": "moves its input, to the CPU in its samples; tests/gpu/test_namespace.py",
    "log_gamma_draw": "draws on the generator's device; tests/gpu/test_random.py",
    "log_gamma_slope": "its derivative is refused; tests/gpu/test_random.py differentiates samples",
}
CASES = [c for c in [*op_cases(), *function_cases()] if c.name.rpartition("-")[0] not in NO_CASES]

# "all": every sample in every dtype and layout, as on a GPU; "first": the first sample of each op in fewer of them; "few": in one dtype and one
# layout, another one for the next op, as on the CPU, where kernels are slow.
SAMPLES = os.environ.get("TAPEGRAD_TEST_SAMPLES", "few" if ON_CPU else "all")
FLOATING = [c for c in CASES if "f" in c.kinds]
CHOSEN = FLOATING if SAMPLES == "all" else [c for c in FLOATING if is_first(c)]
DTYPES = ("float64", "float16", "bfloat16") if SAMPLES == "all" else ("float64", "bfloat16")
LAYOUTS = ("transposed", "negative", "expanded", "offset") if SAMPLES == "all" else ("transposed", "offset")


def varied(ways: Sequence[str]) -> list[Any]:
    """Parameters: the chosen cases in all these ways, or each in one of them."""
    return [pytest.param(c, w, id=f"{c.name}-{w}") for k, c in enumerate(CHOSEN) for w in some(ways, k)]


def some(ways: Sequence[str], k: int) -> Sequence[str]:
    """These ways, or the k-th of them, counted round and round."""
    return [ways[k % len(ways)]] if SAMPLES == "few" and ways else ways


OF_KIND = {"b": ("bool",), "i": ("int64", "uint8", "int32"), "c": ("complex64",), "f": ()}

# Of 16-bit numbers these say other things than of the same numbers in float64, as on the CPU.
NOT_NARROW = {
    "complex()": "takes float32 and float64 only",
    "polar()": "takes float32 and float64 only",
    "quantile()": "takes float32 and float64 only",
    "nanquantile()": "takes float32 and float64 only",
    "standardize_with_statistics": "statistics of 16-bit numbers are in float32",
}


@pytest.mark.parametrize("case", [pytest.param(c, id=c.name) for c in FLOATING])
def test_values_and_gradients(case: Case) -> None:
    check(case, "float32")


@pytest.mark.parametrize(("case", "dtype"), varied(DTYPES))
def test_other_dtypes(case: Case, dtype: str) -> None:
    if dtype == "float64" or case.name.rpartition("-")[0] not in NOT_NARROW:
        check(case, dtype)


@pytest.mark.parametrize(("case", "layout"), varied(LAYOUTS))
def test_layouts(case: Case, layout: str) -> None:
    check(case, "float32", layout)


@pytest.mark.parametrize("case", [pytest.param(c, id=c.name) for c in CASES if "f" not in c.kinds and c.kinds])
def test_values_of_other_kinds(case: Case) -> None:
    check(case, {"b": "bool", "i": "int64", "c": "complex64"}[case.kinds[0]])


# Samples of small integers without a sign have zeros to divide by: the CPU raises there, a GPU gives any number, as PyTorch's does.
DIVIDING = {"floor_divide", "div_floor", "div_trunc", "remainder", "fmod"}


def ways_of(case: Case) -> list[str]:
    """The dtypes of other kinds that a case is run in."""
    dividing = case.name.rpartition("-")[0] in DIVIDING
    return [d for kind in case.kinds for d in OF_KIND[kind] if not (dividing and d == "uint8")]


OTHERS = [(c, ways_of(c)) for c in CASES if SAMPLES == "all" or is_first(c)]


@pytest.mark.parametrize(("case", "dtype"), [pytest.param(c, d, id=f"{c.name}-{d}") for k, (c, ways) in enumerate(OTHERS) for d in some(ways, k)])
def test_integers_and_complex_numbers_as_on_the_cpu(case: Case, dtype: str) -> None:
    arrays = case.arrays(dtype, layout="transposed")
    with tg.cuda.device(NUMBER):
        inputs = [wrap(cuda.to_device(a)) for a in arrays]
    try:
        expected = results(case.fn(*case.tensors(arrays, requires_grad=False)))
    except RuntimeError as error:  # of samples whose numbers are no integers
        with pytest.raises(RuntimeError, match=re.escape(str(error))):
            case.fn(*inputs)
        return
    outputs = results(case.fn(*inputs))
    assert [o.dtype for o in outputs] == [e.dtype for e in expected]
    for o, e in zip(outputs, expected, strict=True):
        eps = FACTOR * EPS[e.dtype.name] if e.dtype.name in EPS else 0.0
        assert_close(o.cpu().numpy(), e.numpy(), eps, f"{case.name}, {dtype}")


def check(case: Case, dtype: str, layout: str = "contiguous") -> None:
    """Values, dtypes and devices of results, and gradients (but of 16-bit floats), on the GPU and on the CPU in float64."""
    arrays = case.arrays(dtype)
    if layout == "expanded":
        arrays = [arranged(a, layout) for a in arrays]
    wide = [a.astype(np.float64) if dtypes.of_array(a).category == 2 else a for a in arrays]
    narrow = dtype in ("float16", "bfloat16")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        inputs, expected_inputs = on_device(arrays, case, layout), case.tensors(wide)
        outputs, expected = results(case.fn(*inputs)), results(case.fn(*expected_inputs))
    assert len(outputs) == len(expected)
    eps = FACTOR * EPS[dtype] if dtype in EPS else EPS["float32"]
    for k, (o, e) in enumerate(zip(outputs, expected, strict=True)):
        assert o.device == tg.device("cuda", NUMBER), f"{case.name}: output {k} is on {o.device}"
        if dtype == "float64":
            assert o.dtype is e.dtype, f"{case.name}: output {k} has dtype {o.dtype}"
        assert_close(o.detach().cpu().numpy(), e.detach().numpy(), eps, f"{case.name}, output {k}")
    if narrow:
        return
    for k, (g, e) in enumerate(zip(gradients(case, inputs, outputs), gradients(case, expected_inputs, expected), strict=True)):
        assert (g is None) == (e is None)
        if g is not None:
            assert_close(g, e, eps, f"{case.name}, gradient {k}")
