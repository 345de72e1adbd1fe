"""The native fast path and launcher: what they refuse, what they own, and the intrinsics kernels are written with."""

from __future__ import annotations

import ctypes
import gc
import importlib
import sys
import threading
import time
import tracemalloc
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import tapegrad as tg
from tapegrad.kernels import cpu
from tapegrad.kernels.body import Body
from tapegrad.kernels.cpu.arrange import arrange
from tapegrad.kernels.cpu.fast import MOST_OPERANDS, Fast
from tapegrad.kernels.native import call, runtime

elementwise = importlib.import_module("tapegrad.kernels.cpu.elementwise")  # the package's attribute of that name is its function
F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
ADD = Body(("a", "b"), ("t0 = a + b",), ("t0",))
BOTH = Body(("a", "b"), ("t0 = a + b", "t1 = a * b"), ("t0", "t1"))


def learnt(body: Body = ADD, dtype: Any = F32, outputs: int = 1, *, scalar: bool = False, given: bool = False) -> Fast:
    fast = Fast(2, outputs, given=given)
    x = np.ones(3, dtype)
    cpu.learn(fast, body, (x, 2.0 if scalar else x), tuple(np.empty(3, dtype) for _ in range(outputs)), np.dtype(dtype))
    return fast


class Sub(np.ndarray[Any, Any]):
    pass


def test_fast_path_computes_what_it_learnt() -> None:
    fast = learnt()
    runtime.start_threads()
    for shape in [(3,), (2, 5), (), (0,), (0, 3), (1, 1, 1), (70000,)]:
        a, b = np.arange(np.prod(shape), dtype=F32).reshape(shape), np.full(shape, 0.5, F32)
        result = fast.call(a, b)
        assert type(result) is np.ndarray
        assert result.flags.owndata and result.flags.writeable and result.flags.c_contiguous
        assert result.shape == shape
        assert result.dtype is F32
        assert np.array_equal(result, a + b)


def test_fast_path_refuses_what_it_did_not_learn() -> None:
    fast, x = learnt(), np.ones((4, 6), F32)
    misaligned = np.zeros(x.nbytes + 1, np.uint8)[1:].view(F32).reshape(4, 6)
    wrong: list[tuple[Any, ...]] = [
        (),
        (x,),
        (x, x, x),
        (x,) * 40,
        (x, x.astype(F64)),
        (x.astype(F64), x.astype(F64)),
        (x, x.astype(">f4")),
        (x.astype(">f4"), x.astype(">f4")),
        (x, x[:, ::2]),
        (x[::-1], x[::-1]),
        (x, misaligned),
        (misaligned, misaligned),
        (x, np.broadcast_to(np.ones(6, F32), (4, 6))),
        (np.ones((6, 4), F32).T, x),
        (x, np.ones((6, 4), F32)),
        (x, np.ones(24, F32)),
        (x, np.ones((), F32)),
        (x, x.view(Sub)),
        (x, 2.0),
        (2.0, 2.0),
        (x, 2),
        (x, True),
        (x, None),
        (x, np.float32(2)),
        (x, np.float64(2)),
        (x, "two"),
        (x, [1.0]),
        (x, tg.ones(4, 6)),
    ]
    for operands in wrong:
        assert fast.call(*operands) is None, operands
    with pytest.raises(TypeError, match="keyword"):
        fast.call(x, b=x)


def test_fast_path_with_python_floats() -> None:
    fast, x = learnt(scalar=True), np.arange(4, dtype=F32)
    for value in (2.0, -0.0, float("inf"), 1e-300, 0.1):
        with np.errstate(all="ignore"):
            assert np.array_equal(fast.call(x, value), x + np.float32(value))
    assert fast.call(2.0, x) is None
    assert fast.call(x, x) is None


def test_fast_path_with_several_outputs_and_with_given_ones() -> None:
    x = np.arange(5, dtype=F32)
    total, product = learnt(BOTH, outputs=2).call(x, x)
    assert np.array_equal(total, x + x)
    assert np.array_equal(product, x * x)
    into, out = learnt(given=True), np.empty(5, F32)
    assert into.call(x, x, out) is out
    assert np.array_equal(out, x + x)
    assert into.call(out, x, out) is out
    assert np.array_equal(out, 3 * x)
    assert into.call(x, x) is None
    assert into.call(x, x, np.empty(4, F32)) is None
    assert into.call(x, x, np.empty(5, F64)) is None
    assert into.call(x, x, 1.0) is None


def test_table_is_bounded() -> None:
    fast = Fast(1, 1)
    x = np.ones(2, F32)
    where = arrange((x,), (x,))
    for n in range(1, 100):
        kind = np.dtype(f"S{n}")
        fast.add((np.zeros(2, kind),), where, lambda: (0, 0), 1, (kind,))
    assert len(fast._known) == int(fast._table[0]) < 60
    assert fast.call(x) is None
    many = Fast(MOST_OPERANDS, 1)
    many.add((x,) * MOST_OPERANDS, arrange((x,) * MOST_OPERANDS, (x,)), lambda: 0, 1, (F32,))
    assert not many._known
    assert many.call(*(x,) * MOST_OPERANDS) is None
    assert many.wide(*(x,) * MOST_OPERANDS) is None


@pytest.mark.parametrize("count", [5, 8, 15, pytest.param(40, marks=pytest.mark.nightly)])
def test_operations_of_many_operands(count: int) -> None:
    """More operands than the fast path's slots, forward and backward (gradient, inputs and outputs together)."""
    scope: dict[str, Any] = {}
    names = [f"x{i}" for i in range(count)]
    exec(f"def f({', '.join(names)}): return {' + '.join(f'{i + 1.0} * {n}' for i, n in enumerate(names))}", scope)
    f = tg.elementwise(scope["f"])
    for _ in range(3):
        xs = [tg.full((5,), i / 8, requires_grad=True) for i in range(count)]
        result = f(*xs)
        assert result.tolist() == pytest.approx([sum((i + 1) * i / 8 for i in range(count))] * 5)
        result.sum().backward()
        assert [x.grad.tolist() for x in xs] == [[i + 1.0] * 5 for i in range(count)]


def test_many_operands_of_many_dimensions() -> None:
    f = tg.elementwise(lambda a, b, c, d, e: a * b * c * d * e)
    rng = np.random.default_rng(0)
    arrays = [rng.random((2,) * 12).astype(F32).transpose(rng.permutation(12)) for _ in range(5)]
    xs = [tg.from_numpy(a).requires_grad_() for a in arrays]
    f(*xs).sum().backward()
    np.testing.assert_allclose(xs[0].grad.numpy(), arrays[1] * arrays[2] * arrays[3] * arrays[4], rtol=1e-6)


# ------------------------------------------------------------------------------------------------------------ ownership


def test_references_stay_level() -> None:
    fast, two, with_float = learnt(), learnt(BOTH, outputs=2), learnt(scalar=True)
    x, number = np.ones(4, F32), 0.12345
    odd = np.ones(3, F64)
    watched = [x, F32, None, number, odd, np.ndarray, float, fast._control]

    def work(times: int) -> None:
        for _ in range(times):
            fast.call(x, x)
            two.call(x, x)
            with_float.call(x, number)
            fast.call(x, odd)  # refused
            fast.call(x, number)

    work(100)
    gc.collect()
    before = [sys.getrefcount(w) for w in watched]
    work(20_000)
    gc.collect()
    after = [sys.getrefcount(w) for w in watched]
    assert all(abs(a - b) <= 2 for a, b in zip(before, after, strict=True)), (before, after)
    tracemalloc.start()
    work(100)
    start = tracemalloc.get_traced_memory()[0]
    work(5_000)
    grown = tracemalloc.get_traced_memory()[0] - start
    tracemalloc.stop()
    assert grown < 4096


def test_launcher_keeps_references_level_and_reports_bad_slots() -> None:
    x, out = np.ones(4, F32), np.empty(4, F32)
    where = arrange((x, x), (out,))
    address, _ = elementwise.kernels(ADD, (x, x), (out,), F32, where)
    launch = call.launcher()
    before = [sys.getrefcount(w) for w in (x, out, None)]
    for _ in range(5_000):
        launch(address, 4, 32768, x, x, out, *where.slots)
    assert all(abs(sys.getrefcount(w) - b) <= 2 for w, b in zip((x, out, None), before, strict=True))
    assert out.tolist() == [2, 2, 2, 2]
    for bad in ("text", None, 2**70, [1]):
        with pytest.raises((TypeError, OverflowError)):
            launch(address, 4, 32768, x, x, bad)
    launch(address, 0, 32768, x, x, out)


def test_impossible_sizes_are_memory_errors() -> None:
    small = tg.ones(1)
    huge = small.expand(2**45)
    with pytest.raises((MemoryError, RuntimeError)):
        huge + 1.0
    with pytest.raises((MemoryError, RuntimeError)):
        huge * huge
    assert (small + 1.0).tolist() == [2.0]


# -------------------------------------------------------------------------------------------------------------- threads


def test_big_work_releases_the_interpreter() -> None:
    """Another thread makes progress while a large kernel runs."""
    f = tg.elementwise(lambda x: tg.E.exp(tg.E.sin(tg.E.cos(tg.E.exp(-x * x)))))
    x = tg.zeros(3_000_000)
    f(x)
    ticks: list[float] = []
    stop = threading.Event()

    def tick() -> None:
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.0005)

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.perf_counter()
    while time.perf_counter() - start < 0.3:
        begin = time.perf_counter()
        f(x)
        end = time.perf_counter()
    stop.set()
    thread.join()
    inside = [t for t in ticks if begin + 0.2 * (end - begin) < t < end - 0.2 * (end - begin)]
    assert inside or end - begin < 0.003


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    x = tg.randn(200_003)
    before = tg.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3, 7):
            tg.set_num_threads(count)
            results.append((tg.exp(x) * x + 1.0).numpy().tobytes())
    finally:
        tg.set_num_threads(before)
    assert len(set(results)) == 1
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="positive"):
            tg.set_num_threads(wrong)


def test_two_threads_at_once() -> None:
    x = tg.randn(300_000)
    expected = (tg.exp(x) + 1.0).numpy()
    wrong: list[int] = []

    def work() -> None:
        for _ in range(20):
            if not np.array_equal((tg.exp(x) + 1.0).numpy(), expected):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    assert int(runtime.block[runtime.BUSY]) == 0


def test_layout_check(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime._check_layout()
    monkeypatch.setattr(runtime, "DATA", runtime.DESCR)
    with pytest.raises(ImportError, match="object layout"):
        runtime._check_layout()


# ----------------------------------------------------------------------------------------------------------- intrinsics


def converted(values: np.ndarray[Any, Any], to: Any) -> np.ndarray[Any, Any]:
    """By an elementwise kernel that only converts."""
    out = np.empty(values.shape, to)
    compute = np.dtype(np.float32)
    elementwise.run(Body(("a",), (), ("a",)), (values,), (out,), compute)
    return out


@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16])
def test_sixteen_bit_floats_are_converted_exactly(kind: Any) -> None:
    every = np.arange(2**16, dtype=np.uint16).view(kind)
    wide = converted(every, np.float32)
    with np.errstate(all="ignore"):
        expected = every.astype(np.float32)
    nan = np.isnan(expected)
    assert np.array_equal(np.isnan(wide), nan)
    assert np.array_equal(wide.view(np.uint32)[~nan], expected.view(np.uint32)[~nan])
    back = converted(wide, kind)
    assert np.array_equal(back.view(np.uint16)[~nan], every.view(np.uint16)[~nan])
    assert np.isnan(back[nan].astype(np.float32)).all()


@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16])
def test_floats_are_rounded_to_sixteen_bits_as_numpy_does(kind: Any) -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, 200_000, dtype=np.uint64).astype(np.uint32)
    every = np.arange(2**16, dtype=np.uint16).view(kind).astype(np.float32).view(np.uint32)
    steps = np.array([-1, 0, 1, 0x0FFF, 0x1000, 0x1001, 0x7FFF, 0x8000, 0x8001], np.int64)  # ties and their neighbours
    edges = (every[:, None].astype(np.int64) + steps).astype(np.uint32).ravel()
    values = np.concatenate([bits, edges]).view(np.float32)
    with np.errstate(all="ignore"):
        expected = values.astype(kind)
    result, nan = converted(values, kind), np.isnan(values)
    assert np.array_equal(result.view(np.uint16)[~nan], expected.view(np.uint16)[~nan])
    assert np.isnan(result[nan].astype(np.float32)).all()


def test_steps_run_like_launches() -> None:
    x, out = np.ones(4, F32), np.zeros(4, F32)
    where = arrange((x, x), (out,))
    address, _ = elementwise.kernels(ADD, (x, x), (out,), F32, where)
    steps = call.Steps([(address, 4, 32768, (a, x, out, *where.slots)) for a in (x, out)])
    steps.run()
    assert out.tolist() == [3, 3, 3, 3]
    words = call._as_words((1.5, 7, x))
    assert ctypes.c_double.from_buffer(words).value == 1.5
    assert words[1:].tolist() == [7, x.ctypes.data]
    call.Steps([]).run()
