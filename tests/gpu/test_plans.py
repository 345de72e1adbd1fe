"""Functions with plans on the GPU: the same bits with a plan as without, for every layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.kernels import cuda as kernels
from tapegrad.kernels.cuda.planned import Planned, planned

RNG = np.random.default_rng(0)
F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
LAYOUTS = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.T.copy().T,
    "backwards": lambda x: x[::-1, ::-1],
    "spaced": lambda x: kernels.to_device(np.repeat(kernels.to_host(x), 2, 1))[:, ::2],
    "apart": lambda x: kernels.to_device(np.pad(kernels.to_host(x), ((0, 0), (1, 0))))[:, 1:],  # not at the start of a vector
}
LAYOUTS_OF_TENSORS: dict[str, Any] = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.t().contiguous().t(),
    "backwards": lambda x: x.flip(0).flip(1),
    "spaced": lambda x: x.repeat_interleave(2, 1)[:, ::2],
    "apart": lambda x: tg.cat([x[:, :1], x], 1)[:, 1:],
}
CALLS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "sum of all": (kernels.sum, ((0, 1), False)),
    "sum of rows": (kernels.sum, ((1,), True)),
    "sum_to": (kernels.sum_to, ((1, 12),)),
    "var": (kernels.var, ((0,), False, 1)),
    "amax": (kernels.amax, ((1,), False)),
    "max_with_index": (kernels.max_with_index, (0, False)),
    "argmin": (kernels.argmin, (None, True)),
    "vector_norm": (kernels.vector_norm, ((0, 1), False, 3.0)),
    "softmax": (kernels.softmax, (1,)),
    "log_softmax": (kernels.log_softmax, (0,)),
    "copy": (kernels.copy, ()),
    "cast": (kernels.cast, (F64,)),
}


def host(result: Any) -> list[Any]:
    return [kernels.to_host(x) for x in (result if isinstance(result, tuple) else (result,))]


def same(a: Any, b: Any) -> bool:
    return all(x.shape == y.shape and x.dtype == y.dtype and x.tobytes() == y.tobytes() for x, y in zip(host(a), host(b), strict=True))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("call", CALLS)
def test_a_plan_gives_the_same_bits(call: str, layout: str) -> None:
    function, parameters = CALLS[call]
    again: Planned[Any] = planned(function._function)
    for _ in range(3):  # the later runs find the plan of the first
        x = LAYOUTS[layout](kernels.to_device(RNG.normal(size=(9, 12)).astype(F32)))
        assert same(again(x, *parameters), function._function(x, *parameters))
    assert again.quick(x, *parameters) is not None


@pytest.mark.parametrize("layout", LAYOUTS_OF_TENSORS)
@pytest.mark.parametrize("dtype", [tg.float32, tg.float64, tg.float16, tg.int64, tg.complex64])
def test_elementwise_operations_give_the_same_bits_again(dtype: Any, layout: str) -> None:
    for value in (3, 2.5, -7):
        if dtype is tg.int64 and isinstance(value, float):
            continue
        given = RNG.integers(-9, 9, (9, 12)) + (1j if dtype is tg.complex64 else 0)
        on_host = tg.tensor(given).to(dtype)
        x = LAYOUTS_OF_TENSORS[layout](on_host.cuda())
        expected = on_host.flip(0).flip(1) if layout == "backwards" else on_host
        for _ in range(2):
            assert tg.equal((x * value).cpu(), expected * value)
            assert tg.equal((x + x[:1]).cpu(), expected + expected[:1])
            into = tg.empty(9, 12, dtype=dtype, device="cuda")
            into.copy_(x)
            into.add_(x[0])
            assert tg.equal(into.cpu(), expected + expected[0])


def test_views_are_those_of_the_first_time() -> None:
    x = tg.arange(24.0).reshape(4, 6)
    g = x.cuda().requires_grad_()
    for _ in range(3):
        for view in (lambda t: t[1:, ::2], lambda t: t.t(), lambda t: t.reshape(2, 2, 6), lambda t: t[2], lambda t: t.unsqueeze(1).expand(4, 3, 6)):
            made = view(g)
            assert made.data_ptr() - g.data_ptr() == view(x).data_ptr() - x.data_ptr()
            assert made.stride() == view(x).stride() and made._base is not None and made._array.base is g._array
            assert tg.equal(made.detach().cpu(), view(x))
    part = g.detach()[1:]
    part.zero_()
    assert g[1:].sum().item() == 0 and g[0].sum().item() == 15


def test_gradients_of_planned_operations() -> None:
    w, x = tg.randn(5, 7), tg.randn(3, 7)
    found = []
    for device in ("cpu", "cuda", "cuda", "cuda"):
        a, b = (t.clone().to(device).requires_grad_() for t in (w, x))
        y = tg.nn.functional.linear(b, a).softmax(1)
        (tg.nn.functional.layer_norm(y, (5,)) * y[1:].sum()).pow(2).mean().backward()
        found.append([a.grad.cpu(), b.grad.cpu()])
    for grads in found[1:]:
        for ours, expected in zip(grads, found[0], strict=True):
            assert tg.allclose(ours, expected, rtol=1e-4, atol=1e-6)
        assert all(tg.equal(a, b) for a, b in zip(grads, found[1], strict=True))


def test_a_call_with_one_array_twice_says_nothing_of_calls_with_two() -> None:
    x, y, w = (tg.tensor(np.random.default_rng(k).standard_normal((8, 8)), dtype=tg.float32) for k in range(3))
    calls: dict[str, Callable[[Any, Any], Any]] = {
        "matmul": lambda a, b: a @ b,
        "layer_norm": lambda a, b: tg.nn.functional.layer_norm(w.to(a.device), (8,), a[0], b[0]),
        "take": lambda a, b: a.argsort(1)[0][b.argsort(1)[1]],
        "in place": lambda a, b: a.clone().add_(b),
    }
    for name, call in calls.items():
        for a, b in ((x, x), (x, y), (y, x), (y, y), (x, y)):
            found = call(a.to("cuda"), b.to("cuda")) if a is not b else call(*[a.to("cuda")] * 2)
            np.testing.assert_allclose(found.cpu().numpy(), call(a, b).numpy(), rtol=1e-5, atol=1e-6, err_msg=name)


def test_products_in_pieces_again_on_other_memory() -> None:
    kept = []
    for seed in range(4):
        a, b = (tg.tensor(np.random.default_rng(seed).standard_normal(shape), dtype=tg.float32) for shape in ((2, 4, 1024), (2, 1024, 4)))
        kept += [a.to("cuda"), b.to("cuda"), a.to("cuda") @ b.to("cuda")]
        np.testing.assert_allclose(kept[-1].cpu().numpy(), (a @ b).numpy(), rtol=1e-4, atol=1e-4)
        kept.append(a[0].to("cuda") @ b[0].to("cuda"))
        np.testing.assert_allclose(kept[-1].cpu().numpy(), (a[0] @ b[0]).numpy(), rtol=1e-4, atol=1e-4)
