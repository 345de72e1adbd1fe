"""Public functions beside PyTorch's of the same name: values, shapes, dtypes and gradients, on every sample."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from beside_pytorch import pytorch
from op_matrix import EPS, Array, Case, case_of_function

from tapegrad import autograd, dtypes
from tapegrad.public import FUNCTIONS, Function
from tapegrad.samples import Sample
from tapegrad.scalarops import ElementwiseOp
from tapegrad.tensor import Tensor, wrap

pytestmark = [pytest.mark.compare, pytest.mark.filterwarnings("ignore")]

# Not compared here, each with the reason.
NOT_COMPARED: dict[str, str] = dict.fromkeys(
    (
        "bernoulli", "bernoulli_", "cauchy_", "exponential_", "geometric_", "gumbel_softmax", "log_normal_", "multinomial", "normal", "normal_",
        "poisson", "rand_like", "randint_like", "randn_like", "random_", "uniform_",
    ),
    "random; tests/test_random.py and tests/ops/test_sampling.py",
) | {
    "cholesky": "takes positive definite matrices; tests/ops/test_linalg.py",
    "view_as_complex": "takes float32 and float64 only; tests/ops/test_complex.py",
}  # fmt: skip
# Integer, bool and 16-bit results that PyTorch computes otherwise, each with the reason.
OTHER_DTYPES: dict[str, str] = {
    "complex": "complex numbers of 16-bit parts are PyTorch's alone",
    "upsample": "PyTorch interpolates images of bytes, too",
    "upsample_bilinear": "PyTorch interpolates images of bytes, too",
    "square": "PyTorch squares bools as integers",
    "topk": "PyTorch takes any of equal elements, here the first",
    "hinge_embedding_loss": "PyTorch rounds the margin to an integer",
    "local_response_norm": "PyTorch averages squares of integers in integers",
}
# Gradients that PyTorch refuses or fails to compute.
BROKEN_IN_PYTORCH: dict[str, str] = {"vander": "overwrites powers that its own backward needs"}
# Gradients that PyTorch computes otherwise, each with the reason.
OTHER_GRADIENTS: dict[str, str] = {
    "ctc_loss": "PyTorch adds exp(log_probs); tests/ops/test_losses.py compares behind log_softmax",
    "cholesky_solve": "PyTorch's gradient of the factor also uses the triangle that the value does not",
}
# Gradients that PyTorch computes in float64 with constants of float32.
COARSE_IN_PYTORCH: dict[str, str] = {
    "hardsigmoid": "1/6 is rounded to float32",
    "digamma": "its trigamma is good to 1e-10",
    "psi": "its trigamma is good to 1e-10",
    "polygamma": "its trigamma is good to 1e-10",
}


def functions() -> list[Function]:
    """Public functions with samples that are made of users' arguments: their own, or those of an elementwise op."""
    found = []
    for f in FUNCTIONS.values():
        if not f.samples and isinstance(f.op, ElementwiseOp):
            samples = f.op.samples if f.name == f.op.name else f.op.samples[:1]  # an alias is the same function
            f = Function(f.name, f.call, f.op, samples, f.op.reference, differentiable=bool(f.op.formulas), kinds=f.op.kinds)
        found.append(f)
    return found


PAIRS = [(f, case_of_function(f, sample, k), k) for f in functions() for k, sample in enumerate(f.samples)]


def test_every_function_is_compared() -> None:
    assert {f.name for f in functions() if not f.samples} == set(NOT_COMPARED)


def theirs(name: str) -> Callable[..., Any]:
    torch = pytorch()
    for space in (torch.nn.functional, torch, torch.special, torch.linalg, torch.Tensor):
        if hasattr(space, name):
            return getattr(space, name)  # type: ignore[no-any-return]
    raise AttributeError(f"PyTorch has no {name}")


def translated(sample: Sample) -> Sample:
    """The sample with PyTorch's dtypes among its parameters."""
    torch = pytorch()
    params = {k: getattr(torch, v.name) if isinstance(v, dtypes.dtype) else v for k, v in sample.params.items()}
    return dataclasses.replace(sample, params=params)


def flat(result: Any) -> list[Any]:
    """The tensors of a result, in order; numbers and bools as they are."""
    if isinstance(result, (tuple, list)):
        return [x for part in result for x in flat(part)]
    return [result]


def to_numpy(t: Any) -> Array:
    """The values of a tensor of either library, in the widest dtype of their kind."""
    if isinstance(t, Tensor):
        array = t.detach()._array
    else:
        torch = pytorch()
        if not isinstance(t, torch.Tensor):
            return np.asarray(t)
        t = t.detach().resolve_conj().resolve_neg()
        array = (t.to(torch.float32) if t.dtype is torch.bfloat16 else t).numpy(force=True)
    kind = dtypes.FROM_NUMPY[array.dtype].category if array.dtype in dtypes.FROM_NUMPY else 0
    return np.asarray(array.astype((array.dtype, np.int64, np.float64, np.complex128)[kind]))


def both(f: Function, k: int, arrays: Sequence[Array], gradient: Sequence[bool]) -> tuple[list[Tensor], list[Any], list[Any], list[Any]]:
    """Inputs and flat results of both libraries."""
    torch = pytorch()
    mine = [wrap(a.copy()) for a in arrays]
    other = [
        torch.from_numpy(a.view(np.uint16).astype(np.int32)).to(torch.uint16).view(torch.bfloat16)
        if a.dtype.name == "bfloat16"
        else torch.from_numpy(a.copy())
        for a in arrays
    ]
    for x, y, needed in zip(mine, other, gradient, strict=True):
        if needed and x.dtype.differentiable:
            x.requires_grad_()
            y.requires_grad_()
    sample = f.samples[k]
    return mine, other, flat(sample.call(f.call, mine)), flat(translated(sample).call(theirs(f.name), other))


def assert_same(a: Any, b: Any, eps: float, what: str) -> None:
    x, y = to_numpy(a), to_numpy(b)
    assert x.shape == y.shape, f"{what}: shape {x.shape}, PyTorch {y.shape}"
    if isinstance(a, Tensor):
        assert a.dtype.name == str(b.dtype).removeprefix("torch."), f"{what}: dtype {a.dtype}, PyTorch {b.dtype}"
    with np.errstate(all="ignore"):
        scale = np.max(np.abs(y), where=np.isfinite(y), initial=0.0) if y.dtype.kind in "fc" else 0.0
        close = (x == y) | ((x != x) & (y != y)) | (np.abs(x - y) <= 32 * eps * (np.abs(y) + scale) if y.dtype.kind in "fc" else x == y)
    assert np.all(close), f"{what}:\n{x}\nPyTorch:\n{y}"


FLOATING = [(f, c, k) for f, c, k in PAIRS if "f" in f.kinds]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("f", "case", "k"), FLOATING, ids=[c.name for _, c, _ in FLOATING])
def test_values_and_gradients(f: Function, case: Case, k: int, dtype: str) -> None:
    torch = pytorch()
    mine, other, results, expected = both(f, k, case.arrays(dtype), case.gradient)
    assert len(results) == len(expected)
    for a, b in zip(results, expected, strict=True):
        assert_same(a, b, EPS["float32" if f.name in COARSE_IN_PYTORCH else dtype], f"{case.name} {dtype}")
    if f.name in BROKEN_IN_PYTORCH:
        return
    pairs = [(a, b) for a, b in zip(results, expected, strict=True) if isinstance(a, Tensor)]
    assert [a.requires_grad for a, _ in pairs] == [b.requires_grad for _, b in pairs], f"{case.name}: requires_grad"
    pairs = [(a, b) for a, b in pairs if a.requires_grad]
    if not pairs or f.name in OTHER_GRADIENTS:
        return
    rng = np.random.default_rng(zlib.crc32(case.name.encode()))
    seeds = [np.asarray(rng.uniform(0.5, 1.5, a._array.shape).astype(a._array.dtype)) for a, _ in pairs]
    wanted = [i for i, x in enumerate(mine) if x.requires_grad]
    found = autograd.grad([a for a, _ in pairs], [mine[i] for i in wanted], [wrap(s) for s in seeds], allow_unused=True)
    right = torch.autograd.grad([b for _, b in pairs], [other[i] for i in wanted], [torch.from_numpy(s) for s in seeds], allow_unused=True)
    for i, g, h in zip(wanted, found, right, strict=True):
        assert (g is None) == (h is None), f"{case.name}: gradient {i} is {g}, PyTorch {h}"
        if g is not None:
            eps = EPS["float32" if f.name in COARSE_IN_PYTORCH else dtype]
            assert_same(g, h, 4 * eps, f"{case.name} {dtype}: gradient {i}")


KINDS = [d for d in ("bool", "uint8", "int8", "int32", "int64", "float16", "bfloat16") if any(a.name == d for a in dtypes.ALL)]
FIRST = [(f, c, k) for f, c, k in PAIRS if k == 0 and f.name not in OTHER_DTYPES]


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize(("f", "case", "k"), FIRST, ids=[f.name for f, _, _ in FIRST])
def test_other_dtypes_give_the_same_values_or_are_refused(f: Function, case: Case, k: int, dtype: str) -> None:
    arrays = case.arrays(dtype)
    try:
        _, _, results, expected = both(f, k, arrays, [False] * len(arrays))
    except Exception as error:
        refused = error
    else:
        eps = EPS.get(dtype, EPS["float32"])
        for a, b in zip(results, expected, strict=True):
            assert_same(a, b, eps, f"{case.name} {dtype}")
        return
    # One of the two refuses. What PyTorch can, so must we; what it can't, we may.
    sample = f.samples[k]
    torch = pytorch()
    tensors = [torch.from_numpy(a.astype(np.float32)).to(torch.bfloat16) if a.dtype.name == "bfloat16" else torch.from_numpy(a) for a in arrays]
    with pytest.raises((RuntimeError, TypeError, ValueError, NotImplementedError, IndexError)):
        translated(sample).call(theirs(f.name), tensors)
    assert isinstance(refused, (RuntimeError, TypeError, ValueError, NotImplementedError, IndexError)), refused
