"""Objects made by native code are like those that classes make."""

import gc
import sys
import weakref
from typing import Any

import pytest

from tapegrad.graph import CALL_SLOTS, Call
from tapegrad.kernels.native.objects import maker, slots_of
from tapegrad.tensor import TENSOR_SLOTS, Tensor


class Base:
    __slots__ = ("__weakref__", "a")


class Point(Base):
    __slots__ = ("b", "c")


class Open(Base):
    __slots__ = ("__dict__", "b")


def test_slots_are_set_in_order_and_the_rest_is_none() -> None:
    make = maker(Point, "b", "a")
    point = make(1, "x")
    assert (type(point), point.b, point.a) == (Point, 1, "x")
    assert not hasattr(point, "c")
    assert (make(1).a, make().b) == (None, None)
    assert make(1, 2, 3).a == 2


def test_they_are_collected_and_can_be_referred_to_weakly() -> None:
    make = maker(Point, "a", "b", "c")
    point = make([], None, None)
    point.b = point
    assert gc.is_tracked(point)
    ref = weakref.ref(point)
    del point
    gc.collect()
    assert ref() is None


def test_they_have_a_dict_where_the_class_says_so() -> None:
    made = maker(Open, "a", "b")(1, 2)
    assert made.__dict__ == {}
    made.other = 3
    assert (made.other, made.a, vars(made)) == (3, 1, {"other": 3})
    tensor: Any = maker(Tensor, *TENSOR_SLOTS)(None, None)
    tensor.note = 1
    assert tensor.note == 1


def test_references_are_counted() -> None:
    make, value = maker(Point, "a", "b", "c"), object()
    counts = sys.getrefcount(value), sys.getrefcount(Point), sys.getrefcount(None)
    kept = [make(value, value) for _ in range(100)]
    assert sys.getrefcount(value) == counts[0] + 200
    del kept
    after = sys.getrefcount(value), sys.getrefcount(Point), sys.getrefcount(None)
    assert after[:2] == counts[:2]
    assert abs(after[2] - counts[2]) < 50


def test_only_slots_can_be_set() -> None:
    with pytest.raises(TypeError, match="'d' is not a slot of Point"):
        maker(Point, "a", "d")
    with pytest.raises(TypeError, match="'__dict__' is not a slot of Open"):
        slots_of(Open, "__dict__")
    assert len(set(slots_of(Call, *CALL_SLOTS))) == len(CALL_SLOTS)
