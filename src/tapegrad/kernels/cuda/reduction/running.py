"""What scans combine: the state of the elements so far, and how the next ones go into it (see ``state``)."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

from .. import language as L
from ..language import device
from .state import LOWEST, merged_exponentials, scaled, unscaled

_INF = math.inf


class Running(NamedTuple):
    """A way to combine elements in order.

    Attributes:
        state: the dtypes of a state.
        nothing: the state of no elements.
        enter: of an element of each input, its place and whether it is the lane's first: its state.
        merge: of two states, one behind the other: both.
        step: of a state and what ``enter`` takes: the state with that element.
        leave: of a state: a tuple of results.
        inputs: how many inputs there are.
        results: how many results there are.
    """

    state: tuple[str, ...]
    nothing: Any
    enter: Any
    merge: Any
    step: Any
    leave: Any
    inputs: int = 1
    results: int = 1


@functools.cache
def running(name: str, compute: str, pairs: bool) -> Running:
    """The scan of a name, in dtype ``compute``; of complex numbers, which are ``pairs``, that of their parts."""
    if name in ("cummax", "cummin"):
        return _extreme(compute, name == "cummin")
    if name == "logcumsumexp":
        return _logsumexp(compute)
    if name == "recurrence":
        return _pair_recurrence() if pairs else _recurrence()
    if name == "cumprod":
        return _pair_product() if pairs else _extended_product() if compute == "float64" else _simple(compute, True)
    return _pair_sum(compute) if pairs else _simple(compute, False)


def _stepping(enter: Any, merge: Any) -> Any:
    @device
    def step(s, v, i, first):  # type: ignore[no-untyped-def]
        return merge(s, enter(v, i, first))

    return step


@device
def _whole(s):  # type: ignore[no-untyped-def]
    return s


def _simple(compute: str, product: bool) -> Running:
    C = getattr(L, compute)

    @device
    def nothing():  # type: ignore[no-untyped-def]
        return (C(1) if product else C(0),)

    @device
    def enter(v, i, first):  # type: ignore[no-untyped-def]
        return (C(v),)

    @device
    def add(a, b):  # type: ignore[no-untyped-def]
        return (a[0] + b[0],)

    @device
    def multiply(a, b):  # type: ignore[no-untyped-def]
        return (a[0] * b[0],)

    merge = multiply if product else add
    return Running((compute,), nothing, enter, merge, _stepping(enter, merge), _whole)


def _pair_sum(compute: str) -> Running:
    C = getattr(L, compute)

    @device
    def nothing():  # type: ignore[no-untyped-def]
        return (C(0), C(0))

    @device
    def enter(v, i, first):  # type: ignore[no-untyped-def]
        return (C(v[0]), C(v[1]))

    @device
    def merge(a, b):  # type: ignore[no-untyped-def]
        return (a[0] + b[0], a[1] + b[1])

    return Running((compute, compute), nothing, enter, merge, _stepping(enter, merge), _whole)


def _pair_product() -> Running:
    C = L.float64

    @device
    def nothing():  # type: ignore[no-untyped-def]
        return (C(1), C(0))

    @device
    def enter(v, i, first):  # type: ignore[no-untyped-def]
        return (C(v[0]), C(v[1]))

    @device
    def merge(a, b):  # type: ignore[no-untyped-def]
        return (a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0])

    return Running(("float64", "float64"), nothing, enter, merge, _stepping(enter, merge), _whole)


def _extended_product() -> Running:
    """With an exponent beside it, so that what comes after a zero can't overflow."""
    C, int32 = L.float64, L.int32

    @device
    def nothing():  # type: ignore[no-untyped-def]
        return (C(1), int32(0))

    @device
    def enter(v, i, first):  # type: ignore[no-untyped-def]
        return scaled(C(v), int32(0))

    @device
    def merge(a, b):  # type: ignore[no-untyped-def]
        return scaled(a[0] * b[0], int32(a[1] + b[1]))

    @device
    def leave(s):  # type: ignore[no-untyped-def]
        return (unscaled(s[0], s[1]),)

    return Running(("float64", "int32"), nothing, enter, merge, _stepping(enter, merge), leave)


def _extreme(compute: str, smallest: bool) -> Running:
    """The extremum and where it is last; a NaN stays. A negative place means that there is nothing yet."""
    C, int64 = getattr(L, compute), L.int64

    @device
    def nothing():  # type: ignore[no-untyped-def]
        return (C(0), int64(-1))

    @device
    def enter(v, i, first):  # type: ignore[no-untyped-def]
        return (C(v), int64(i))

    @device
    def merge(a, b):  # type: ignore[no-untyped-def]
        reached = (b[0] <= a[0]) if smallest else (b[0] >= a[0])
        new = (a[1] < 0) | ((b[1] >= 0) & (reached | (b[0] != b[0])))
        return (b[0] if new else a[0], b[1] if new else a[1])

    return Running((compute, "int64"), nothing, enter, merge, _stepping(enter, merge), _whole, results=2)


def _logsumexp(compute: str) -> Running:
    """The largest element but infinity, and the sum of exp of elements less that."""
    C, log, lowest, merge = getattr(L, compute), L.log, LOWEST[compute], merged_exponentials(compute)

    @device
    def nothing():  # type: ignore[no-untyped-def]
        return (C(lowest), C(0))

    @device
    def enter(v, i, first):  # type: ignore[no-untyped-def]
        finite = (C(v) > C(-_INF)) & (C(v) < C(_INF))
        return (C(v) if finite else C(lowest), C(1) if finite else (C(0) if C(v) < C(0) else C(v)))

    @device
    def leave(s):  # type: ignore[no-untyped-def]
        return (log(s[1]) + s[0],)

    return Running((compute, compute), nothing, enter, merge, _stepping(enter, merge), leave)


def _recurrence() -> Running:
    """Factor (with an exponent beside it: products of many overflow where no result does) and term of what the elements do to a value."""
    C, int32 = L.float64, L.int32

    @device
    def nothing():  # type: ignore[no-untyped-def]
        return (C(1), int32(0), C(0))

    @device
    def enter(v, w, i, first):  # type: ignore[no-untyped-def]
        m, e = scaled(C(0) if first else C(v), int32(0))
        return (m, e, C(w))

    @device
    def merge(a, b):  # type: ignore[no-untyped-def]
        m, e = scaled(a[0] * b[0], int32(a[1] + b[1]))
        carried = a[2] * b[0]
        if b[1] != 0:
            carried = unscaled(carried, b[1])
        return (m, e, b[2] + carried)

    @device
    def step(s, v, w, i, first):  # type: ignore[no-untyped-def]
        value = C(w) if first else C(w) + C(v) * s[2]
        return (s[0], s[1], value)

    @device
    def leave(s):  # type: ignore[no-untyped-def]
        return (s[2],)

    return Running(("float64", "int32", "float64"), nothing, enter, merge, step, leave, inputs=2)


def _pair_recurrence() -> Running:
    C = L.float64

    @device
    def nothing():  # type: ignore[no-untyped-def]
        return (C(1), C(0), C(0), C(0))

    @device
    def enter(v, w, i, first):  # type: ignore[no-untyped-def]
        return (C(0) if first else C(v[0]), C(0) if first else C(v[1]), C(w[0]), C(w[1]))

    @device
    def merge(a, b):  # type: ignore[no-untyped-def]
        factor = (a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0])
        return (factor[0], factor[1], b[2] + (a[2] * b[0] - a[3] * b[1]), b[3] + (a[2] * b[1] + a[3] * b[0]))

    @device
    def step(s, v, w, i, first):  # type: ignore[no-untyped-def]
        return merge(s, enter(v, w, i, first))

    @device
    def leave(s):  # type: ignore[no-untyped-def]
        return (s[2], s[3])

    return Running(("float64",) * 4, nothing, enter, merge, step, leave, inputs=2)
