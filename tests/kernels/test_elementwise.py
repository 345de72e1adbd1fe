"""Elementwise kernels: layouts, aliasing, dtypes, special values, and equal bits on every path."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import math
import sys
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, strategies as st

import tapegrad as tg
from tapegrad.kernels import cpu
from tapegrad.kernels.body import Body
from tapegrad.kernels.cpu.arrange import arrange
from tapegrad.kernels.cpu.fast import Fast
from tapegrad.registry import REGISTRY
from tapegrad.scalarops import ElementwiseOp

elementwise = importlib.import_module("tapegrad.kernels.cpu.elementwise")  # the package's attribute of that name is its function
run = elementwise.run

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
MIX = Body(("a", "b"), ("t0 = a * b", "t1 = t0 + a"), ("t1",))
BOTH = Body(("a", "b"), ("t0 = a + b", "t1 = a - b"), ("t0", "t1"))


def mixed(a: Any, b: Any) -> Any:
    return a * b + a


@st.composite
def layouts(draw: st.DrawFn, shape: tuple[int, ...], dtype: Any = F32, *, writable: bool = False) -> np.ndarray[Any, Any]:
    """An array that broadcasts to ``shape``: permuted, sliced, reversed, with stride 0, fewer dimensions or sizes of 1."""
    own = list(shape)
    if not writable:
        own = own[draw(st.integers(0, len(shape))) :]
        own = [1 if draw(st.booleans()) and draw(st.booleans()) else n for n in own]
    order = draw(st.permutations(range(len(own))))
    steps = [draw(st.sampled_from([1, 1, -1, 2, -3])) for _ in own]
    repeated = [not writable and draw(st.sampled_from([False, False, True])) for _ in own]
    sizes = [(1 if r else n * abs(s)) for n, s, r in zip(own, steps, repeated, strict=True)]
    base = np.arange(int(np.prod(sizes)), dtype=np.int64) % 23 - 11
    memory = base.astype(dtype).reshape([sizes[d] for d in order]).transpose(np.argsort(order))
    memory = memory[tuple(slice(None, None, 1 if r else s) for s, r in zip(steps, repeated, strict=True))]
    result = np.broadcast_to(memory[tuple(slice(0, n) for n in own)], own)
    return np.lib.stride_tricks.as_strided(memory, result.shape, result.strides, writeable=True) if writable else result


shapes = st.lists(st.integers(0, 4), max_size=5).map(tuple)


@given(st.data())
def test_layouts(data: st.DataObject) -> None:
    shape = data.draw(shapes)
    a, b, out = data.draw(layouts(shape)), data.draw(layouts(shape)), data.draw(layouts(shape, writable=True))
    assert out.shape == shape
    expected = mixed(np.broadcast_to(a, shape), np.broadcast_to(b, shape))
    run(MIX, (a, b), (out,), F32)
    assert np.array_equal(out, expected)
    scalar = data.draw(st.sampled_from([2.0, -0.5]))
    run(MIX, (a, scalar), (out,), F32)
    assert np.array_equal(out, mixed(np.broadcast_to(a, shape), F32.type(scalar)))


@given(st.data())
def test_merging_dimensions_changes_nothing(data: st.DataObject) -> None:
    shape = data.draw(shapes.filter(lambda s: 0 not in s))
    arrays = [data.draw(layouts(shape)) for _ in range(2)]
    where = arrange([*arrays, 2.0], [np.empty(shape, F32)])
    steps, rows, down = where.slots[:4], where.slots[4], where.slots[5:9]
    inner, outer, *rest = where.slots[14:] or (math.prod(shape), 0)
    sizes = (*rest[:outer], rows, inner)
    assert math.prod(sizes) == math.prod(shape)
    assert where.slots[10:14] in ((), (4, 4, 8, 4))
    for k, a in enumerate(arrays):
        strides = (*rest[outer * (k + 1) : outer * (k + 2)], down[k], steps[k])
        offsets = sorted(sum(i * s for i, s in zip(at, strides, strict=True)) for at in np.ndindex(*sizes))
        full = np.broadcast_to(a, shape)
        expected = sorted(sum(i * s // a.itemsize for i, s, n in zip(at, full.strides, shape, strict=True) if n > 1) for at in np.ndindex(*shape))
        assert offsets == expected


@pytest.mark.parametrize("rank", [8, 9, 12, 20])
def test_many_dimensions(rank: int) -> None:
    rng = np.random.default_rng(rank)
    shape = (2,) * min(rank, 12)
    a, b = (rng.random(shape).astype(F32).transpose(rng.permutation(min(rank, 12))) for _ in range(2))
    a, b = (x[(None, slice(None)) * (rank - 12)] if rank > 12 else x for x in (a, b))
    expected = mixed(a, b)
    out = np.empty(expected.shape, F32)
    run(MIX, (a, b), (out,), F32)
    assert np.array_equal(out, expected)
    target = np.zeros((2,) * 10, F32).transpose(rng.permutation(10))
    source = rng.random((2,) * 10).astype(F32).transpose(rng.permutation(10))
    run(MIX, (target, source), (target,), F32)
    assert np.array_equal(target, np.zeros_like(target))
    t = tg.zeros(*[2] * 10).permute(*rng.permutation(10).tolist())
    t.add_(tg.from_numpy(source))
    assert np.array_equal(t.numpy(), source)


# ------------------------------------------------------------------------------------------------------------- aliasing


@pytest.mark.parametrize("n", [1, 7, 64, 1000, 40_001])
@pytest.mark.parametrize("step", [1, -1, 3])
def test_outputs_may_be_the_memory_of_operands(n: int, step: int) -> None:
    for which in (0, 1):
        a, b = (np.arange(n * abs(step), dtype=F32)[::step] + k for k in (1, 2))
        expected = mixed(a, b)
        out = (a, b)[which]
        run(MIX, (a, b), (out,), F32)
        assert np.array_equal(out, expected)
    a = np.arange(n * abs(step), dtype=F32)[::step]
    expected = mixed(a, a)
    run(MIX, (a, a), (a,), F32)
    assert np.array_equal(a, expected)


def test_in_place_operations_on_overlapping_views() -> None:
    base = np.arange(12, dtype=F32)
    for name, target, other in [
        ("shifted", lambda x: x[1:], lambda x: x[:-1]), ("reversed", lambda x: x[:], lambda x: x[::-1]), ("matrix", lambda x: x[:9].reshape(3, 3), lambda x: x[:9].reshape(3, 3).T),
        ("row", lambda x: x.reshape(3, 4), lambda x: x.reshape(3, 4)[1]), ("one", lambda x: x[:], lambda x: x[3]), ("same", lambda x: x[2:5], lambda x: x[2:5]),
    ]:  # fmt: skip
        expected = base.copy()
        target(expected)[...] = target(base) + other(base)
        t = tg.tensor(base)
        mine = {"reversed": lambda x: x[::-1]}.get(name, other)
        target(t).add_(mine(t))
        assert np.array_equal(t.numpy(), expected), name


# --------------------------------------------------------------------------------------------------------------- dtypes


@pytest.mark.parametrize("source", ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64", "complex64"])
def test_operands_are_converted_to_the_dtype_of_the_computation(source: str) -> None:
    kind = np.dtype(ml_dtypes.bfloat16) if source == "bfloat16" else np.dtype(source)
    a = np.array([1, 0, 3, 100], np.float64).astype(kind)
    for compute in ("float64", "complex128"):
        out = np.empty(4, compute)
        if source.startswith("complex") and compute == "float64":
            continue
        run(MIX, (a, a), (out,), np.dtype(compute))
        wide = a.astype(compute)
        assert np.array_equal(out, mixed(wide, wide))


def test_bools_are_bytes_of_zero_and_one() -> None:
    body = Body(("a", "b"), ("t0 = a < b",), ("t0",))
    a, b = np.array([1, 2, 3], F32), np.array([2, 2, 2], F32)
    out = np.empty(3, np.bool_)
    run(body, (a, b), (out,), F32)
    assert out.view(np.uint8).tolist() == [1, 0, 0]
    odd = np.array([0, 1, 2, 255], np.uint8).view(np.bool_)  # a byte that NumPy would not write
    assert tg.where(tg.from_numpy(odd), tg.ones(4), tg.zeros(4)).tolist() == [0, 1, 1, 1]


# ------------------------------------------------------------------------------------------------------- special values

SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 5e-324, -1e300]


@pytest.mark.parametrize("d", [np.float32, np.float64, np.float16])
def test_nan_and_infinity(d: Any) -> None:
    with np.errstate(all="ignore"):
        pairs = np.array(list(itertools.product(SPECIAL, SPECIAL)), np.float64).astype(d)
    x, y = tg.tensor(pairs[:, 0].copy()), tg.tensor(pairs[:, 1].copy())
    for _ in range(2):
        for mine, theirs in ((tg.maximum, np.maximum), (tg.minimum, np.minimum)):
            result, expected = mine(x, y).numpy(), theirs(pairs[:, 0], pairs[:, 1])
            assert np.array_equal(result, expected, equal_nan=True)
        for bound in (0.5, float("inf")):
            assert np.array_equal(tg.clamp(x, max=bound).numpy(), np.minimum(pairs[:, 0], d(bound)), equal_nan=True)
        assert np.isnan(tg.clamp(x, min=float("nan")).numpy()).all()
    with np.errstate(all="ignore"):
        one = np.array(SPECIAL).astype(d)
        t = tg.tensor(one)
        assert np.array_equal(tg.relu(t).numpy(), np.maximum(one, 0), equal_nan=True)
        assert np.array_equal(tg.sign(t).numpy(), np.where(np.isnan(one), 0, np.sign(one)))  # of NaN 0, as in PyTorch
        assert np.array_equal(tg.abs(t).numpy(), np.abs(one), equal_nan=True)
        assert np.array_equal(np.signbit(tg.abs(t).numpy()), np.signbit(np.abs(one)))
        assert np.array_equal((-t).numpy().view(f"u{one.itemsize}")[1:], (-one).view(f"u{one.itemsize}")[1:])
        assert np.array_equal(tg.sqrt(t).numpy(), np.sqrt(one), equal_nan=True)
        assert np.array_equal(tg.isnan(t).numpy(), np.isnan(one))
        assert np.array_equal((t / t).numpy(), one / one, equal_nan=True)
        assert np.array_equal((1.0 / t).numpy(), d(1) / one, equal_nan=True)
        for f in ("eq", "ne", "lt", "le", "gt", "ge"):
            compare = {"eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal}[f]
            assert np.array_equal(getattr(tg, f)(x, y).numpy(), compare(pairs[:, 0], pairs[:, 1]))


def test_no_kernel_stops_at_a_special_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that raised would leave the rest of its output unwritten, and only print."""
    stopped: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", stopped.append)
    small = [0, 1, -1, 2, -3]
    for op in list(REGISTRY.values()):
        if not isinstance(op, ElementwiseOp) or op.booleans:
            continue
        for d in ("int64", "float32", "complex64"):
            values = small if d == "int64" else [*small, np.inf, -np.inf, np.nan]
            columns = np.array(list(itertools.product(values, repeat=len(op.inputs)))).T.astype(d)
            inputs = [tg.from_numpy(np.ascontiguousarray(c)) for c in columns]
            try:
                whole = op.call(*inputs)
            except TypeError:
                continue  # no complex form
            except RuntimeError:  # refused, but a compiled replay may still meet such values
                np.asarray(op.on_arrays(*columns) if d == "int64" and "i" in op.kinds else 0)
                continue
            alone = [op.call(*[x[i : i + 1] for x in inputs]).item() for i in range(0, columns.shape[1], 7)]
            assert np.array_equal(whole.numpy()[::7], alone, equal_nan=whole.dtype.differentiable), (op.name, d)
            if d != "int64" and whole.dtype.differentiable:
                for x in inputs:
                    x.requires_grad_()
                result = op.call(*inputs)
                if result.requires_grad:
                    with contextlib.suppress(TypeError):  # no complex form of the derivative
                        result.backward(tg.ones_like(whole))
            assert not stopped, (op.name, d, stopped)


def test_complex_division() -> None:
    special = [0, 1, -2, 1j, 2 - 3j, 1e30 + 1e30j, 1e-30j, complex(np.inf, 1)]
    a, b = np.array(list(itertools.product(special, repeat=2)), np.complex128).T
    with np.errstate(all="ignore"):
        np.testing.assert_allclose((tg.tensor(a) / tg.tensor(b)).numpy(), a / b, rtol=1e-15)
    assert (tg.tensor([1.0 + 2j]) / 0).item() == complex(np.inf, np.inf)


def test_nan_gradients_of_maximum() -> None:
    x = tg.tensor([float("nan"), 1.0, 2.0], requires_grad=True)
    y = tg.tensor([1.0, float("nan"), 1.0], requires_grad=True)
    tg.maximum(x, y).sum().backward()
    assert (x.grad[2].item(), y.grad[2].item()) == (1, 0)
    assert np.isfinite(x.grad.numpy()).all()


# -------------------------------------------------------------------------------------------------------------- equal bits


@pytest.mark.parametrize("d", [F32, F64])
@pytest.mark.parametrize("n", [1, 3, 8, 17, 1023, 40_003])
def test_fused_equals_unfused_and_numpy_bit_for_bit(d: Any, n: int) -> None:
    """x * y + z is rounded twice, as NumPy rounds it: no contraction to a fused multiply-add."""
    rng = np.random.default_rng(n)
    x, y, z = (rng.standard_normal(n).astype(d) for _ in range(3))
    z = (-x * y * (1 + rng.integers(-3, 4, n) * np.finfo(d).eps)).astype(d)  # where contraction would show
    tx, ty, tz = map(tg.from_numpy, (x, y, z))
    fused = tg.elementwise(lambda x, y, z: x * y + z)
    for _ in range(2):
        for result in (fused(tx, ty, tz), tx * ty + tz):
            assert result.numpy().tobytes() == (x * y + z).tobytes()
    more = tg.elementwise(lambda x, y, z: (x * y - z) * x - y * z)
    assert more(tx, ty, tz).numpy().tobytes() == ((x * y - z) * x - y * z).tobytes()
    poly = tg.elementwise(lambda x: ((x * 0.3 + 0.7) * x + 1.1) * x + 2.0)
    assert poly(tx).numpy().tobytes() == (((x * d.type(0.3) + d.type(0.7)) * x + d.type(1.1)) * x + d.type(2)).tobytes()


@pytest.mark.parametrize("name", ["exp", "log", "tanh", "sin", "sigmoid", "erf", "sqrt", "expm1", "log1p"])
@pytest.mark.parametrize("d", [F32, F64])
def test_every_path_gives_the_same_bits(name: str, d: Any) -> None:
    """Fast and general path, any length, position and layout: one implementation of each function."""
    f = getattr(tg, name)
    x = np.random.default_rng(0).uniform(0.1, 3, 1037).astype(d)
    whole = f(tg.from_numpy(x)).numpy()
    assert f(tg.from_numpy(x)).numpy().tobytes() == whole.tobytes()
    for n in (1, 2, 3, 5, 7, 8, 15, 16, 33, 100):
        assert f(tg.from_numpy(x[:n].copy())).numpy().tobytes() == whole[:n].tobytes()
        assert f(tg.from_numpy(x[1 : n + 1])).numpy().tobytes() == whole[1 : n + 1].tobytes()
    assert f(tg.from_numpy(x[::3])).numpy().tobytes() == whole[::3].tobytes()
    assert f(tg.from_numpy(x[::-1])).numpy().tobytes() == whole[::-1].tobytes()
    assert f(tg.from_numpy(x[:1036].reshape(28, 37).T)).numpy().tobytes() == np.ascontiguousarray(whole[:1036].reshape(28, 37).T).tobytes()
    assert f(tg.tensor(x[5])).item() == whole[5].item()
    t = tg.tensor(x)
    assert getattr(t, f"{name}_")().numpy().tobytes() == whole.tobytes()
    with tg.record():
        assert f(tg.from_numpy(x)).numpy().tobytes() == whole.tobytes()


def test_general_and_fast_path_of_a_body() -> None:
    fast = Fast(2, 2)
    a, b = np.random.default_rng(0).standard_normal((2, 501)).astype(F32)
    outputs = (np.empty_like(a), np.empty_like(a))
    run(BOTH, (a, b), outputs, F32)
    assert fast.call(a, b) is None
    cpu.learn(fast, BOTH, (a, b), outputs, F32)
    again = fast.call(a, b)
    assert [o.tobytes() for o in again] == [o.tobytes() for o in outputs]
    strided = [np.repeat(x, 2)[::2] for x in (a, b)]
    others = (np.empty((501, 2), F32)[:, 0], np.empty(501, F32)[::-1])
    run(BOTH, strided, others, F32)
    assert all(np.array_equal(x, y) for x, y in zip(others, outputs, strict=True))


def test_zero_size_and_single_elements() -> None:
    for shape in [(0,), (3, 0), (0, 5, 2)]:
        out = np.empty(shape, F32)
        run(MIX, (np.empty(shape, F32), 1.0), (out,), F32)
        assert (tg.ones(*shape) + tg.ones(*shape[-1:])).shape == shape
    for shape in [(), (1,), (1, 1)]:
        out = np.zeros(shape, F32)
        run(MIX, (np.full(shape, 2, F32), np.full((), 3, F32)), (out,), F32)
        assert out.item() == 8


def test_source_names_no_address_and_no_text_of_the_users() -> None:
    for letters in ("csc", "cxc"):
        source = elementwise.kernel_source(MIX, ("float32", "float64"), ("float32",), "float64", letters)
        compile(source, "kernel", "exec")
        assert "0x" not in source
        assert source.startswith("# compute float64")
