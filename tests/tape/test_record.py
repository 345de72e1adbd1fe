"""Looking at the tape: record() of a region, tape() of a tensor."""

from __future__ import annotations

import gc
import inspect
from typing import Any

import pytest

import tapegrad as tg

D = tg.float64


def here() -> int:
    return inspect.currentframe().f_back.f_lineno  # type: ignore[union-attr]


def leaf(data: Any) -> tg.Tensor:
    return tg.tensor(data, dtype=D, requires_grad=True)


def test_a_region_is_a_table() -> None:
    x, w = leaf([[1.0, 2.0]]), leaf([3.0, 4.0])
    with tg.record() as tape:
        y = x * w
        first = here() - 1
        y.add_(1)
        z = y.max(1)
        z.values.sum()
    assert [r.op for r in tape] == ["mul", "add_", "max_along", "sum"]
    assert [r.inputs for r in tape] == [("leaf(1, 2)", "leaf(2,)"), ("#0", "1"), ("#1",), ("#2",)]
    assert [r.shape for r in tape] == [(1, 2), (1, 2), (1,), ()]
    assert {r.dtype for r in tape} == {"float64"}
    assert [r.index for r in tape] == [0, 1, 2, 3]
    assert [r.line for r in tape] == [f"{__file__}:{first + k}" for k in (0, 2, 3, 4)]
    assert tape[0].saved == 16 + 16
    assert tape[1].saved == tape[3].saved == 0
    assert len(tape) == 4


def test_it_prints_aligned_columns() -> None:
    x = leaf([1.0, 2.0])
    with tg.record() as tape:
        (x * x).sum()
    head, *rows = repr(tape).splitlines()
    assert head.split() == ["#", "op", "inputs", "shape", "dtype", "saved", "line"]
    assert len(rows) == 2
    assert rows[0].split()[:2] == ["0", "mul"]
    assert "16 B" in rows[0]
    assert rows[0].index("leaf") == head.index("inputs") == rows[1].index("#0")


def test_tape_of_a_tensor() -> None:
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    h = (x * w).exp()
    (x + 1).sum()  # not on the way to the loss
    loss = (h * 2 + h).sum()
    rows = loss.tape()
    assert [r.op for r in rows] == ["mul", "exp", "mul", "add", "sum"]
    assert [r.inputs for r in rows] == [("leaf(2,)", "leaf(2,)"), ("#0",), ("#1", "const"), ("#2", "#1"), ("#3",)]
    assert [r.saved for r in rows] == [32, 16, 0, 0, 0]
    assert rows.saved == 48
    loss.backward()
    assert loss.tape().saved == 0
    with pytest.raises(RuntimeError, match="does not require grad"):
        tg.ones(2).tape()


def test_tape_shows_outputs_views_and_writes() -> None:
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    y = x * 1
    y[0].mul_(3)
    rows = y.max(1).values.tape()
    assert [r.op for r in rows] == ["mul", "slice", "mul", "copy_slices", "max_along"]
    assert rows[3].inputs == ("#0", "#2")
    two = (y.max(1).values * 2).tape()
    assert two[-1].inputs == ("#4[0]", "const")


def test_one_array_saved_twice_counts_once() -> None:
    x = leaf([1.0, 2.0])
    assert (x * x).tape()[0].saved == 16


def test_bytes_of_several_outputs_and_packed_values() -> None:
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    assert x.max(1).values.tape()[0].saved == 2 * 8  # the indices
    with tg.autograd.saved_tensors_hooks(lambda t: t.to(tg.float32), lambda t: t.to(D)):
        y = x.exp()
    assert y.tape()[0].saved == 16


def test_writes_to_views_add_no_rows_of_their_own() -> None:
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    y = x * 1
    views = [y[0], y.t()]
    with tg.record() as tape:
        y.mul_(2)
    assert [r.op for r in tape] == ["mul_"]
    assert len(views) == 2


def test_nested_regions() -> None:
    x = leaf([1.0, 2.0])
    with tg.record() as outer:
        a = x * 2
        with tg.record() as inner:
            b = a.exp()
        b.sum()
    a.sum()
    assert [r.op for r in outer] == ["mul", "exp", "sum"]
    assert [r.op for r in inner] == ["exp"]
    assert inner[0].inputs == ("const(2,)",)  # made before the inner region


def test_inside_no_grad_operations_are_seen_and_save_nothing() -> None:
    x = leaf([1.0, 2.0])
    with tg.no_grad(), tg.record() as tape:
        (x * x).sum()
    assert [r.op for r in tape] == ["mul", "sum"]
    assert tape.saved == 0


def test_what_was_made_before_the_region_is_described() -> None:
    x, c = leaf([1.0, 2.0]), tg.ones(2, dtype=D)
    with tg.record() as tape:
        x + c
    assert tape[0].inputs == ("leaf(2,)", "const(2,)")


def test_functions_appear_by_name() -> None:
    class Twice(tg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: tg.Tensor) -> tg.Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: tg.Tensor) -> tg.Tensor:
            return g * 2

    x = leaf([1.0])
    with tg.record() as tape:
        y = Twice.apply(x)
    assert [r.op for r in tape][-1] == "Twice"
    assert [r.op for r in y.tape()] == ["Twice"]


def test_a_region_ends_with_an_exception_too() -> None:
    x = leaf([1.0])

    def stop() -> None:
        x * 2
        raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"), tg.record() as tape:
        stop()
    x * 3
    assert len(tape) == 1


def test_recording_leaves_no_cycles() -> None:
    x = leaf([1.0, 2.0])

    def region() -> None:
        with tg.record() as tape:
            (x * x).exp().sum().backward()
        assert len(tape) == 3
        assert repr(tape)

    region()
    gc.collect()
    gc.disable()
    try:
        region()
        assert gc.collect() == 0
    finally:
        gc.enable()
