"""Samples that whole families of ops share; see ``registry.Sample``."""

from __future__ import annotations

from typing import Any

from ..registry import Input, Sample


def unary(low: float = -2.0, high: float = 2.0, *, apart: bool = False, **params: Any) -> list[Sample]:
    """One input: matrix, vector, 0-d, zero-size."""
    return [Sample((Input(shape, low, high, apart=apart),), params) for shape in ((3, 4), (5,), (), (0, 3))]


def binary(low: float = -2.0, high: float = 2.0, low2: float | None = None, *, apart: bool = False) -> list[Sample]:
    """Two inputs: equal shapes, every kind of broadcasting, 0-d, zero-size."""
    second = low if low2 is None else low2
    shapes = [((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (1, 4)), ((2, 1, 3), (4, 1)), ((), (3,)), ((), ()), ((0, 3), (3,))]
    return [Sample((Input(a, low, high, apart=apart), Input(b, second, high, apart=apart))) for a, b in shapes]


def along_dim(*, apart: bool = False, keepdims: bool = True, **params: Any) -> list[Sample]:
    """One input and ``dim``, counted from the front as functions pass it on; with ``keepdim`` where the op has it."""
    keep: list[dict[str, Any]] = [{"keepdim": False}, {"keepdim": True}] if keepdims else [{}]
    return [
        Sample((Input(shape, apart=apart),), {"dim": dim, **k, **params})
        for shape, dim in (((3, 4), 0), ((3, 4), 1), ((2, 3, 4), 1), ((5,), 0))
        for k in keep
    ]
