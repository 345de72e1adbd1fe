"""``mma.sync``: which element of which matrix each register of each thread holds, as PTX says, and the product."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from . import numbers as N

_WARP = np.arange(32)
_GROUP, _MEMBER = _WARP // 4, _WARP % 4


@functools.cache
def _places(shape: str, kind: str) -> tuple[Any, Any, Any]:
    """Rows and columns of a (16, k), b (k, 8) and c (16, 8), each as (thread, element of the thread's)."""
    k = int(shape.rpartition("k")[2])
    if not shape.startswith("m16n8k") or (k not in (8, 16) if kind != "tf32" else k not in (4, 8)):
        raise NotImplementedError(f"mma.sync {shape} of {kind}")
    pair = 1 if kind == "tf32" else 2  # neighbours in a register
    half = 4 * pair  # columns of a that the threads of a group have between them
    first = [(row, column + n) for column in range(0, k, half) for row in (0, 8) for n in range(pair)]
    second = [row + n for row in range(0, k, half) for n in range(pair)]
    a = tuple(np.stack([part + by for by in moves], 1) for part, moves in (
        (_GROUP, [row for row, _ in first]), (_MEMBER * pair, [column for _, column in first]),
    ))  # fmt: skip
    b = np.stack([_MEMBER * pair + by for by in second], 1), np.repeat(_GROUP[:, None], len(second), 1)
    c = np.stack([_GROUP + by for by in (0, 0, 8, 8)], 1), np.stack([_MEMBER * 2 + by for by in (0, 1, 0, 1)], 1)
    return a, b, c


def _elements(registers: list[Any], kind: str) -> Any:
    """Registers, each (warps, 32), as doubles (warps, 32, elements)."""
    words = np.ascontiguousarray(np.stack(registers, axis=-1))
    if kind == "f32":
        return words.astype(np.float64)
    if kind == "tf32":
        return (words & np.uint32(0xFFFFE000)).view(np.float32).astype(np.float64)  # the other bits are not looked at
    bits = words.view(np.uint16)
    return (bits.view(np.float16) if kind == "f16" else N.of_bfloat16(bits)).astype(np.float64)


def multiplied(shape: str, kind: str, accumulated: str, a: list[Any], b: list[Any], c: list[Any]) -> list[Any]:
    """a b + c, of all warps: registers (warps, 32) to registers; sums in double precision, rounded once."""
    (ar, ac), (br, bc), (cr, cc) = _places(shape, kind)
    warps, k = a[0].shape[0], int(shape.rpartition("k")[2])
    left, right, start = np.empty((warps, 16, k)), np.empty((warps, k, 8)), np.empty((warps, 16, 8))
    left[:, ar, ac], right[:, br, bc], start[:, cr, cc] = _elements(a, kind), _elements(b, kind), _elements(c, accumulated)
    total = (left @ right + start)[:, cr, cc]
    if accumulated == "f32":
        return [np.ascontiguousarray(total[..., n]).astype(np.float32) for n in range(4)]
    words = total.astype(np.float16).view(np.uint16).view(np.uint32)
    return [np.ascontiguousarray(words[..., n]) for n in range(2)]
