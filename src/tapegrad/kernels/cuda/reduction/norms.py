"""Operations on real numbers beyond sums and extremes: variance, log of sums of exp, and norms."""

from __future__ import annotations

import math
from typing import Any

from .. import language as L
from ..kernel import from_text
from ..language import device
from .state import LOWEST, Operation, merged_exponentials

_INF = math.inf


def variance(compute: str) -> Operation:
    """Mean and squared deviations of elements less the lane's first one, of which a constant has exactly 0; and how many."""
    C = getattr(L, compute)

    @device
    def start(c):  # type: ignore[no-untyped-def]
        return (C(0), C(0), C(0))

    @device
    def merge(a, b):  # type: ignore[no-untyped-def]
        n, delta = a[2] + b[2], b[0] - a[0]
        share = b[2] / n if n > C(0) else C(0)
        return (a[0] + delta * share, a[1] + b[1] + delta * delta * a[2] * share, n)

    @device
    def take(s, v, i, c):  # type: ignore[no-untyped-def]
        return merge(s, (C(v) - c, C(0), C(1)))

    @device
    def finish(s, c, scale):  # type: ignore[no-untyped-def]
        return (s[1] / scale,)

    def batch(count: int) -> Any:
        names = [f"v{j}" for j in range(count)]
        lines = [f"def batch(s, c, {', '.join(names)}):", *[f"    {v} = C({v}) - c" for v in names]]
        lines += [f"    m = ({_tree(names)}) * C({1 / count!r})", *[f"    {v} = {v} - m" for v in names]]
        lines += [f"    return merge(s, (m, {_tree([f'{v} * {v}' for v in names])}, C({count})))"]
        scope = {"C": C, "merge": merge}
        return device(from_text("\n".join(lines), scope, "variance", "batch"))

    return Operation((compute,) * 3, start, take, merge, finish, "first", chains=1, batch=batch)


def _tree(terms: list[str]) -> str:
    while len(terms) > 1:
        terms = [f"({a} + {b})" for a, b in zip(terms[::2], terms[1::2], strict=True)]
    return terms[0]


def logsumexp(compute: str) -> Operation:
    """The largest element but infinity, and the sum of exp of elements less that."""
    C, exp, log, lowest, merge = getattr(L, compute), L.exp, L.log, LOWEST[compute], merged_exponentials(compute)

    @device
    def start(c):  # type: ignore[no-untyped-def]
        return (C(lowest), C(0))

    @device
    def take(s, v, i, c):  # type: ignore[no-untyped-def]
        by = C(v) - s[0]
        up = (by > C(0)) & (C(v) < C(_INF)) & (s[1] < C(_INF))
        e = exp(-by if up else by)
        return (C(v) if up else s[0], s[1] * e + C(1) if up else s[1] + e)

    @device
    def finish(s, c, scale):  # type: ignore[no-untyped-def]
        return (log(s[1]) + s[0],)

    return Operation((compute, compute), start, take, merge, finish, chains=2)


def euclidean(compute: str) -> Operation:
    """Squares of small, ordinary and large magnitudes, each scaled so that none overflows or vanishes."""
    C, sqrt = getattr(L, compute), L.sqrt
    low, high, up, down = (2.0**-55, 2.0**45, 2.0**98, 2.0**-70) if compute == "float32" else (2.0**-450, 2.0**450, 2.0**600, 2.0**-600)

    @device
    def start(c):  # type: ignore[no-untyped-def]
        return (C(0), C(0), C(0))

    @device
    def take(s, v, i, c):  # type: ignore[no-untyped-def]
        size = abs(C(v))
        small, large = size < C(low), size > C(high)
        y = size * C(up) if small else (size * C(down) if large else size)
        y = y * y
        return (s[0] + (y if small else C(0)), s[1] + (C(0) if small | large else y), s[2] + (y if large else C(0)))

    @device
    def merge(a, b):  # type: ignore[no-untyped-def]
        return (a[0] + b[0], a[1] + b[1], a[2] + b[2])

    @device
    def hypotenuse(a, b):  # type: ignore[no-untyped-def]
        more, less = (a if a > b else b), (b if a > b else a)
        ratio = less / more
        return more if less == C(0) else more * sqrt(C(1) + ratio * ratio)

    @device
    def finish(s, c, scale):  # type: ignore[no-untyped-def]
        return (hypotenuse(hypotenuse(sqrt(s[0]) * C(1 / up), sqrt(s[1])), sqrt(s[2]) * C(1 / down)),)

    return Operation((compute,) * 3, start, take, merge, finish, chains=2)


def powers(compute: str) -> Operation:
    """Powers, by the exponent in ``scale``, of magnitudes relative to the lane's centre."""
    C = getattr(L, compute)

    @device
    def prepare(c, scale):  # type: ignore[no-untyped-def]
        return (c if (c > C(0)) & (c < C(_INF)) else C(1), scale)

    @device
    def start(c):  # type: ignore[no-untyped-def]
        return (C(0),)

    @device
    def take(s, v, i, c):  # type: ignore[no-untyped-def]
        return (s[0] + (abs(C(v)) / c[0]) ** c[1],)

    @device
    def merge(a, b):  # type: ignore[no-untyped-def]
        return (a[0] + b[0],)

    @device
    def finish(s, c, scale):  # type: ignore[no-untyped-def]
        return (s[0] ** (C(1) / scale) * c[0],)

    return Operation((compute,), start, take, merge, finish, "given", chains=2, prepare=prepare)
