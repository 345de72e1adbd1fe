"""What an operation is, for the kernels of reductions, and numbers with a wider exponent for products."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from .. import language as L
from ..kernel import from_text
from ..language import cuda, device

_INF = math.inf
_STEP, _BACK = 2.0**500, 2.0**-500  # what extended products are scaled by


class Operation(NamedTuple):
    """A way to combine elements.

    Attributes:
        state: the dtypes of a state.
        start: of the lane's centre: the state of no elements.
        take: of a state, an element, its place in the lane and the lane's centre: the state with it.
        merge: of two states: both.
        finish: of a state, the lane's centre and the scale: a tuple of results.
        centre: what the lane's centre is: "" (nothing), "first" (its first element), "given" (an element of another array).
        chains: how many independent states a thread keeps.
        batch: of a number of elements, a power of two: takes so many at once (state, centre, elements...), where that is cheaper.
        results: how many results there are.
        repeatable: whether taking an element twice changes nothing; then there is no state of no elements.
        prepare: of the lane's centre and the scale: what the functions above get as the centre.
    """

    state: tuple[str, ...]
    start: Any
    take: Any
    merge: Any
    finish: Any
    centre: str = ""
    chains: int = 4
    batch: Callable[[int], Any] | None = None
    results: int = 1
    prepare: Any = None
    repeatable: bool = False


@functools.cache
def exchanged(state: tuple[str, ...]) -> Any:
    """A device function: the state of the thread of this warp whose number differs in the bits of k."""
    scope: dict[str, Any] = {"cuda": cuda}
    parts = ", ".join(f"cuda.shfl_xor_sync(0xFFFFFFFF, s[{j}], k)" for j in range(len(state)))
    return device(from_text(f"def other(s, k):\n    return ({parts},)", scope, "exchange", "other"))


@device
def first_part(s, c, scale):  # type: ignore[no-untyped-def]
    return (s[0],)


@device
def all_parts(s, c, scale):  # type: ignore[no-untyped-def]
    return s


@device
def divided(s, c, scale):  # type: ignore[no-untyped-def]
    return (s[0] / scale,)


@device
def pair_divided(s, c, scale):  # type: ignore[no-untyped-def]
    return (s[0] / scale, s[1] / scale)


LOWEST = {"float32": -3.4028234663852886e38, "float64": -1.7976931348623157e308}


@functools.cache
def merged_exponentials(compute: str) -> Any:
    """A device function: two states as one, of the largest element but infinity and the sum of exp of elements less that."""
    C, exp = getattr(L, compute), L.exp

    @device
    def merge(a, b):  # type: ignore[no-untyped-def]
        up = b[0] > a[0]
        high, low = (b[0] if up else a[0]), (a[0] if up else b[0])
        most, rest = (b[1] if up else a[1]), (a[1] if up else b[1])
        return (high, most + (rest * exp(low - high) if rest < C(_INF) else rest))

    return merge


@device
def scaled(m, e):  # type: ignore[no-untyped-def]
    """m 2^(500 e) with m as far from overflow and underflow as e allows."""
    size = abs(m)
    large, small = (size > _STEP) & (size < _INF), (size < _BACK) & (size > 0)
    m = m * _BACK if large else (m * _STEP if small else m)
    return m, L.int32(e + (1 if large else (-1 if small else 0)))


@device
def unscaled(m, e):  # type: ignore[no-untyped-def]
    """The value of an extended number, infinite or 0 where it has to be; 0 stays 0 whatever the exponent."""
    for _ in range(4):
        m = m * _STEP if e > 0 else (m * _BACK if e < 0 else m)
        e = L.int32(e - (1 if e > 0 else (-1 if e < 0 else 0)))
    return m
