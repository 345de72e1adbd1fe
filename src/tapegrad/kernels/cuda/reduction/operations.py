"""What reductions combine: the state of a partial result, and how elements and other states go into it.

A state is a tuple of numbers that warps can exchange. ``Operation`` says what a kernel needs, as functions of the device; combining is
associative, up to rounding, and the kernels' order depends on shapes, dtypes and the alignment of the operand alone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from .. import language as L
from ..language import device
from .norms import euclidean, logsumexp, powers, variance
from .state import Operation, all_parts, divided, first_part, pair_divided, scaled, unscaled

_INF = math.inf


@functools.cache
def operation(name: str, compute: str, source: str, index: str = "int64") -> Operation:
    """The operation of a name, in dtype ``compute`` (of complex numbers that of their parts), on elements of ``source``.

    Complex elements are pairs. ``index`` is the dtype of places.
    """
    if source.startswith("complex") and name in _OF_PAIRS:
        return _OF_PAIRS[name](compute)
    if name in ("any", "all", "count"):
        return _truth(name, source)
    if name in ("argmax", "argmin", "max_with_index", "min_with_index"):
        return _with_index(name, compute, index)
    if name == "product" and compute == "float64":
        return _extended_product(source)
    return _MAKERS[name](compute)


# -------------------------------------------------------------------------------------------------------- sums, products


def _sum(compute: str, divide: bool = False, magnitude: bool = False) -> Operation:
    C = getattr(L, compute)

    @device
    def start(c):  # type: ignore[no-untyped-def]
        return (C(0),)

    @device
    def take(s, v, i, c):  # type: ignore[no-untyped-def]
        return (s[0] + C(v),)

    @device
    def take_magnitude(s, v, i, c):  # type: ignore[no-untyped-def]
        return (s[0] + abs(C(v)),)

    @device
    def merge(a, b):  # type: ignore[no-untyped-def]
        return (a[0] + b[0],)

    return Operation((compute,), start, take_magnitude if magnitude else take, merge, divided if divide else first_part)


def _pair_sum(compute: str, divide: bool = False) -> Operation:
    C = getattr(L, compute)

    @device
    def start(c):  # type: ignore[no-untyped-def]
        return (C(0), C(0))

    @device
    def take(s, v, i, c):  # type: ignore[no-untyped-def]
        return (s[0] + C(v[0]), s[1] + C(v[1]))

    @device
    def merge(a, b):  # type: ignore[no-untyped-def]
        return (a[0] + b[0], a[1] + b[1])

    return Operation((compute, compute), start, take, merge, pair_divided if divide else all_parts, chains=2)


def _product(compute: str) -> Operation:
    C = getattr(L, compute)

    @device
    def start(c):  # type: ignore[no-untyped-def]
        return (C(1),)

    @device
    def take(s, v, i, c):  # type: ignore[no-untyped-def]
        return (s[0] * C(v),)

    @device
    def merge(a, b):  # type: ignore[no-untyped-def]
        return (a[0] * b[0],)

    return Operation((compute,), start, take, merge, first_part)


def _pair_product(compute: str) -> Operation:
    C = getattr(L, compute)

    @device
    def start(c):  # type: ignore[no-untyped-def]
        return (C(1), C(0))

    @device
    def merge(a, b):  # type: ignore[no-untyped-def]
        return (a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0])

    @device
    def take(s, v, i, c):  # type: ignore[no-untyped-def]
        return merge(s, (C(v[0]), C(v[1])))

    return Operation((compute, compute), start, take, merge, all_parts, chains=2)


def _extended_product(source: str) -> Operation:
    """In float64 with an exponent beside it: what comes before a zero never overflows, in whatever order."""
    float64, int32, large = L.float64, L.int32, source == "float64"

    @device
    def start(c):  # type: ignore[no-untyped-def]
        return (float64(1), int32(0))

    @device
    def merge(a, b):  # type: ignore[no-untyped-def]
        return scaled(a[0] * b[0], int32(a[1] + b[1]))

    @device
    def take(s, v, i, c):  # type: ignore[no-untyped-def]
        return scaled(s[0] * float64(v), s[1])

    @device
    def take_large(s, v, i, c):  # type: ignore[no-untyped-def]
        return merge(s, scaled(float64(v), int32(0)))

    @device
    def finish(s, c, scale):  # type: ignore[no-untyped-def]
        return (unscaled(s[0], s[1]),)

    return Operation(("float64", "int32"), start, take_large if large else take, merge, finish, chains=2)


# ------------------------------------------------------------------------------------------------------------- extremes


@functools.cache
def beyond(smallest: bool) -> Any:
    """A device function: whether b is above a (below, for ``smallest``), where NaN is above all."""

    @device
    def above(b, a):  # type: ignore[no-untyped-def]
        return (b > a) | ((b != b) & (a == a))

    @device
    def below(b, a):  # type: ignore[no-untyped-def]
        return (b < a) | ((b != b) & (a == a))

    return below if smallest else above


def _extreme(compute: str, smallest: bool = False, magnitude: bool = False) -> Operation:
    C, better = getattr(L, compute), beyond(smallest)

    @device
    def start(c):  # type: ignore[no-untyped-def]
        return (C(c),)

    @device
    def start_magnitude(c):  # type: ignore[no-untyped-def]
        return (C(_INF) if smallest else C(0),)

    @device
    def take(s, v, i, c):  # type: ignore[no-untyped-def]
        return (C(v) if better(C(v), s[0]) else s[0],)

    @device
    def take_magnitude(s, v, i, c):  # type: ignore[no-untyped-def]
        return (abs(C(v)) if better(abs(C(v)), s[0]) else s[0],)

    @device
    def merge(a, b):  # type: ignore[no-untyped-def]
        return (b[0] if better(b[0], a[0]) else a[0],)

    if magnitude:
        return Operation((compute,), start_magnitude, take_magnitude, merge, first_part)
    return Operation((compute,), start, take, merge, first_part, "first", repeatable=True)


def _with_index(name: str, compute: str, index: str) -> Operation:
    """The extremum and the first place where it is."""
    C, place, better = getattr(L, compute), getattr(L, index), beyond("min" in name)

    @device
    def start(c):  # type: ignore[no-untyped-def]
        return (C(c), place(0))

    @device
    def take(s, v, i, c):  # type: ignore[no-untyped-def]
        new = better(C(v), s[0])
        return (C(v) if new else s[0], place(i) if new else s[1])

    @device
    def merge(a, b):  # type: ignore[no-untyped-def]
        equal = (a[0] == b[0]) | ((a[0] != a[0]) & (b[0] != b[0]))
        new = better(b[0], a[0]) | (equal & (b[1] < a[1]))
        return (b[0] if new else a[0], b[1] if new else a[1])

    @device
    def second(s, c, scale):  # type: ignore[no-untyped-def]
        return (s[1],)

    both = name.endswith("with_index")
    finish = all_parts if both else second
    return Operation((compute, index), start, take, merge, finish, "first", chains=2, results=2 if both else 1, repeatable=True)


# --------------------------------------------------------------------------------------------------------- truth values


def _truth(name: str, source: str) -> Operation:
    pairs, many = source.startswith("complex"), name == "count"
    number = L.int64 if many else L.int32

    @device
    def one(v):  # type: ignore[no-untyped-def]
        return v != 0

    @device
    def one_of_pair(v):  # type: ignore[no-untyped-def]
        return (v[0] != 0) | (v[1] != 0)

    holds = one_of_pair if pairs else one

    @device
    def start(c):  # type: ignore[no-untyped-def]
        return (number(1) if name == "all" else number(0),)

    @device
    def take_any(s, v, i, c):  # type: ignore[no-untyped-def]
        return (number(1) if holds(v) else s[0],)

    @device
    def take_all(s, v, i, c):  # type: ignore[no-untyped-def]
        return (s[0] if holds(v) else number(0),)

    @device
    def take_count(s, v, i, c):  # type: ignore[no-untyped-def]
        return (s[0] + (number(1) if holds(v) else number(0)),)

    @device
    def merge_any(a, b):  # type: ignore[no-untyped-def]
        return (number(a[0] | b[0]),)

    @device
    def merge_all(a, b):  # type: ignore[no-untyped-def]
        return (number(a[0] & b[0]),)

    @device
    def merge_count(a, b):  # type: ignore[no-untyped-def]
        return (a[0] + b[0],)

    take = {"any": take_any, "all": take_all, "count": take_count}[name]
    merge = {"any": merge_any, "all": merge_all, "count": merge_count}[name]
    return Operation(("int64" if many else "int32",), start, take, merge, first_part)


_MAKERS: dict[str, Callable[[str], Operation]] = {
    "sum": _sum,
    "mean": functools.partial(_sum, divide=True),
    "magnitudes": functools.partial(_sum, magnitude=True),
    "product": _product,
    "max": _extreme,
    "min": functools.partial(_extreme, smallest=True),
    "largest": functools.partial(_extreme, magnitude=True),
    "least": functools.partial(_extreme, smallest=True, magnitude=True),
    "variance": variance,
    "logsumexp": logsumexp,
    "euclidean": euclidean,
    "powers": powers,
}
_OF_PAIRS: dict[str, Callable[[str], Operation]] = {
    "sum": _pair_sum,
    "mean": functools.partial(_pair_sum, divide=True),
    "product": _pair_product,
}
