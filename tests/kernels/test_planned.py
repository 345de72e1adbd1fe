"""Functions with plans: the same bits with a plan as without, for every layout, and nothing kept or leaked."""

import sys
import threading
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.kernels import cpu
from tapegrad.kernels.cpu.arrays import empty
from tapegrad.kernels.cpu.linalg import gemm
from tapegrad.kernels.cpu.planned import Planned, planned
from tapegrad.kernels.native import plans
from tapegrad.kernels.native.call import Launches, launcher

RNG = np.random.default_rng(0)
LAYOUTS = {
    "contiguous": lambda x: x,
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "backwards": lambda x: np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
    "spaced": lambda x: np.repeat(x, 2, 1)[:, ::2],
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape),
}
CALLS: dict[str, tuple[Planned[Any], tuple[Any, ...]]] = {
    "sum of all": (cpu.sum, ((0, 1), False)),
    "sum of columns": (cpu.sum, ((0,), True)),
    "sum of rows": (cpu.sum, ((1,), False)),
    "sum_to": (cpu.sum_to, ((1, 7),)),
    "mean": (cpu.mean, ((1,), True)),
    "var": (cpu.var, ((0, 1), False, 1)),
    "logsumexp": (cpu.logsumexp, ((0,), False)),
    "amax": (cpu.amax, ((1,), False)),
    "amin": (cpu.amin, ((0, 1), True)),
    "argmax": (cpu.argmax, (1, False)),
    "argmin": (cpu.argmin, (None, True)),
    "max_with_index": (cpu.max_with_index, (0, False)),
    "cumsum": (cpu.cumsum, (1, np.dtype(np.float64), True)),
}


def unplanned(function: Planned[Any]) -> Planned[Any]:
    """The function without the plans that other tests have left."""
    return planned(function._function)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("call", CALLS)
def test_a_plan_gives_the_same_bits(call: str, layout: str) -> None:
    function, parameters = CALLS[call]
    function = unplanned(function)
    for dtype in (np.float32, np.float64):
        for seed in range(2):  # the second run finds the plan of the first
            x = LAYOUTS[layout](np.random.default_rng(seed).standard_normal((5, 7)).astype(dtype))
            expected = function._function(x, *parameters)
            assert same(function(x, *parameters), expected)
            found = function.quick(x, *parameters)
            assert found is None or same(found, expected)
        if layout in ("contiguous", "transposed") and function.__name__ not in ("argmax", "argmin", "max_with_index", "cumsum"):
            assert found is not None  # these copy what is not row-major


def test_results_are_new_arrays_and_values_are_not_remembered() -> None:
    total = unplanned(cpu.sum)
    x = np.ones((3, 4), np.float32)
    first = total(x, (1,), False)
    second = total(x, (1,), False)
    assert not np.may_share_memory(first, second)
    x *= 2
    assert total.quick(x, (1,), False).tolist() == [8.0] * 3
    assert first.tolist() == [4.0] * 3


def test_parameters_of_other_types_and_sizes_have_other_plans() -> None:
    total, spread = unplanned(cpu.sum), unplanned(cpu.var)
    x = RNG.standard_normal((4, 4))
    for correction in (0, 1, 1.5, 2):
        np.testing.assert_allclose(spread(x, (0, 1), False, correction), x.var() * 16 / (16 - correction))
        np.testing.assert_allclose(spread.quick(x, (0, 1), False, correction), x.var() * 16 / (16 - correction))
    assert total(x, (0,), True).shape == (1, 4)
    assert total(x, (0,), False).shape == (4,)
    assert total.quick(x, (0,), True).shape == (1, 4)
    assert total.quick(x, (1 << 70,), True) is None
    assert total.quick(x, [0], True) is None
    assert total.quick(x[None].repeat(3, 0), (0,), True) is None


def test_arrays_that_no_kernel_may_read_have_no_plan() -> None:
    odd = np.zeros(41, np.uint8)[1:].view(np.float32)
    swapped = np.arange(10, dtype=">f4")
    assert cpu.sum(odd, (0,), False) == 0 == cpu.sum(odd, (0,), False)
    assert cpu.sum.quick(odd, (0,), False) is None
    with pytest.raises(TypeError, match="byte order"):
        cpu.sum(swapped, (0,), False)
    assert cpu.sum(np.zeros((0, 3)), (0,), False).tolist() == [0, 0, 0]
    assert cpu.sum(np.zeros((3, 0)), (0,), False).shape == (0,)


def test_what_uses_memory_that_is_not_its_own_has_no_plan() -> None:
    buffer = np.zeros(4, np.float32)

    @planned
    def add_up(x: Any) -> Any:
        buffer[...] = x
        return cpu.sum._function(buffer, (0,), False)

    @planned
    def kept(x: Any) -> Any:
        out = empty((), np.dtype(np.float32))
        with Launches() as launches:
            cpu.sum._function(x, (0,), False)
        (kernel, n, grain, (source, _, *rest)), = launches.rows
        launcher()(kernel, n, grain, source, out, *rest)
        return out

    for value in (1.0, 2.0):
        x = np.full(4, value, np.float32)
        assert add_up(x) == kept(x) == 4 * value
        assert add_up.quick(x) is None
        assert kept.quick(x) is None


def test_arguments_that_are_one_array_are_not_taken_for_one_another_later() -> None:
    places = np.array([2, 0, 1])
    for _ in range(3):
        assert cpu.take(places, places, 0).tolist() == [1, 2, 0]
        assert cpu.take(np.array([7, 8, 9]), places, 0).tolist() == [9, 7, 8]
        assert cpu.scatter_rows(places, places, (3,), None).tolist() == [0, 1, 2]
        assert cpu.scatter_rows(np.array([7, 8, 9]), places, (3,), None).tolist() == [8, 9, 7]


def test_no_plan_is_taken_while_launches_are_recorded() -> None:
    total = unplanned(cpu.sum)
    x = np.ones(5)
    total(x, (0,), False)
    assert total.quick(x, (0,), False) == 5
    with Launches() as launches:
        assert total.quick(x, (0,), False) is None
        assert total(x, (0,), False) == 5
    assert len(launches.rows) == 1
    assert total.quick(x, (0,), False) == 5


def test_plans_are_bounded_and_calls_beyond_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "_CAPACITY", 4)
    total = planned(lambda x, axes: cpu.sum._function(x, axes, False))
    for n in range(1, 60):
        x = np.arange(float(n))
        for _ in range(3):
            assert total(x, (0,)) == n * (n - 1) / 2
    assert len(total._plans._known) == 4
    assert not total._plans.wanted()
    assert total.quick(np.arange(1.0), (0,)) == 0
    assert total.quick(x, (0,)) is None


def test_threads_that_plan_at_once() -> None:
    """A table that is being filled is searched by the others."""
    total, failures = planned(lambda x, axes: cpu.sum._function(x, axes, False)), []

    def work(first: int) -> None:
        for n in range(first, 2600, 3):
            if total(np.ones(n), (0,)) != n:
                failures.append(n)

    threads = [threading.Thread(target=work, args=(1 + k % 3,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_references_are_given_back() -> None:
    x = np.ones((3, 4), np.float32)
    for function, parameters in CALLS.values():
        function(x, *parameters)
        counts = sys.getrefcount(x), sys.getrefcount(x.dtype), sys.getrefcount(None), sys.getrefcount(parameters)
        for _ in range(1000):
            function.quick(x, *parameters)
        after = sys.getrefcount(x), sys.getrefcount(x.dtype), sys.getrefcount(None), sys.getrefcount(parameters)
        assert all(abs(a - b) < 50 for a, b in zip(after, counts, strict=True)), function.__name__


def test_threads_share_plans() -> None:
    wrong: list[Any] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(150):
            shape = tuple(rng.integers(1, 9, rng.integers(1, 4)))
            x = rng.integers(-9, 9, shape).astype(np.float64)
            axes = tuple(range(x.ndim))[: rng.integers(0, x.ndim + 1)]
            if not (np.array_equal(cpu.sum(x, axes, False), x.sum(axes)) and np.array_equal(cpu.amax(x, axes or (0,), True), x.max(axes or (0,), keepdims=True))):
                wrong.append((shape, axes))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_large_arrays_on_one_thread_and_two() -> None:
    x = RNG.standard_normal((700, 1000), dtype=np.float32)
    found = []
    before = tg.get_num_threads()
    try:
        for threads in (1, 2):
            tg.set_num_threads(threads)
            found.append([function(x, *parameters) for function, parameters in CALLS.values() if parameters != ((1, 7),)])
            found.append([function(x, *parameters) for function, parameters in CALLS.values() if parameters != ((1, 7),)])
    finally:
        tg.set_num_threads(before)
    assert all(same(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


def test_a_call_that_cannot_be_planned_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    real = Launches.__enter__
    monkeypatch.setattr(Launches, "__enter__", lambda self: (tried.append(self), real(self))[1])
    other = planned(lambda x: np.array(x + 1))  # on memory that is not fresh
    x = np.arange(6.0)
    for _ in range(3):
        assert other(x).tolist() == (x + 1).tolist()
    assert len(tried) == 1


def test_operands_that_are_one_array_say_nothing_of_two() -> None:
    product = planned(gemm.matmul)
    square = np.eye(3)
    assert product(square, square, None).tolist() == square.tolist()
    assert not product._hopeless
    for _ in range(2):
        assert product(square, 2 * square, None).tolist() == (2 * square).tolist()
    assert product.quick(square, 2 * square, None) is not None


def test_first_views_leave_no_references() -> None:
    tensors = [tg.zeros(1) for _ in range(200)]
    tensors[0].expand(32)
    before = sys.getrefcount(None)
    for tensor in tensors[1:]:
        tensor.expand(32)
    assert sys.getrefcount(None) - before < 100
