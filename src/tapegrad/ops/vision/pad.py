"""Padding."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from ...kernels.axis_maps import Axis
from ...public import composite
from ...registry import Op, register
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor
from ..checks import need_fit
from .resample import resample

__all__ = ["pad"]

_pad_constant = register(
    Op(
        "pad_constant",
        ("input",),
        lambda B, x, *, pads, value: B.pad_constant(x, pads, value),
        # what was added is cut off, and where was cut off there are zeros
        {"input": lambda K, g, pads: K.pad_constant(g, pads=tuple((-before, -after) for before, after in pads), value=0)},
        method=False,
        samples=[
            Sample((Input((2, 3)),), {"pads": ((0, 1), (2, 0)), "value": 0.5}),
            Sample((Input((4, 3)),), {"pads": ((-1, 1), (0, -2)), "value": 1}),
            Sample((Input((0, 3)),), {"pads": ((1, 1), (-1, -2)), "value": 1}),
        ],
        reference="window_references.pad_constant",
    )
)


def _pairs(pad: Any, input: Tensor) -> tuple[tuple[int, int], ...]:
    """(before, after) for each dimension; ``pad`` has them from the last one on."""
    try:
        given = [operator.index(n) for n in pad]
    except TypeError:
        raise TypeError(f"pad: expected a sequence of integers, got {pad!r}") from None
    if len(given) % 2 or len(given) > 2 * input.ndim:
        raise RuntimeError(f"pad: expected two numbers for each of the last dimensions of shape {tuple(input.shape)}, got {given}")
    pairs = [(0, 0)] * (input.ndim - len(given) // 2)
    return (*pairs, *list(zip(given[::2], given[1::2], strict=True))[::-1])


def _mistake(pattern: str, pad: Any, error: type[Exception] = RuntimeError, *options: Any) -> ErrorInput:
    return ErrorInput(lambda tg: tg.nn.functional.pad(tg.ones(2, 3, 4), pad, *options), error, f"pad: {pattern}")


@composite(
    samples=[
        Sample((Input((2, 3)),), {"pad": (1, 2)}),
        Sample((Input((2, 3, 2)),), {"pad": [1, 0, -1, 2], "value": 1.5}),
        Sample((Input((2, 4)),), {"pad": (2, 3), "mode": "reflect"}),
        Sample((Input((1, 3, 4)),), {"pad": (0, 3, 2, 1), "mode": "reflect"}),
        Sample((Input((2, 3)),), {"pad": (4, 1), "mode": "replicate"}),
        Sample((Input((1, 2, 3, 2)),), {"pad": (1, 2, 2, 0), "mode": "replicate"}),
        Sample((Input((2, 3)),), {"pad": (3, 1), "mode": "circular"}),
        Sample((Input((1, 2, 2, 3)),), {"pad": (1, 2, 2, 0), "mode": "circular"}),
        Sample((Input((1, 2, 2, 3)),), {"pad": (1, 1, 0, 1, 1, 0), "mode": "reflect"}),
        Sample((Input((2, 5)),), {"pad": (-1, 2), "mode": "circular"}),
        Sample((Input((1, 1, 2)),), {"pad": (3, -1), "mode": "replicate"}),
        Sample((Input((2, 5)),), {"pad": ()}),
        Sample((Input((0, 1, 3)),), {"pad": (1, 1), "mode": "replicate"}),
    ],
    reference="window_references.pad",
    error_inputs=[
        _mistake("expected two numbers for each", (1,)),
        _mistake("expected two numbers for each", (1,) * 8),
        _mistake("expected a sequence of integers", 1, TypeError),
        _mistake("mode must be", (1, 1), NotImplementedError, "mirror"),
        _mistake("mode 'reflect' takes no value", (1, 1), ValueError, "reflect", 1.0),
        _mistake(r"dimension 2 of shape \(2, 3, 4\) would get the size -1", (-5, 0)),
        _mistake(r"mode 'reflect' can add at most 3 elements to dimension 2 of shape \(2, 3, 4\), got \(4, 0\)", (4, 0), RuntimeError, "reflect"),
        ErrorInput(lambda tg: tg.nn.functional.pad(tg.ones(2, dtype=tg.int8), (1, 1), value=300), RuntimeError, "pad: the value 300 .*int8 without"),
        _mistake("mode 'circular' can add at most 4 elements", (0, 5), RuntimeError, "circular"),
    ],
    method=False,
    kinds="bifc",
)
def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """More elements at the ends of the last dimensions: ``pad`` is (left, right, top, bottom, ...), from the last dimension on.

    They are ``value`` (0 by default; mode "constant"), the elements mirrored at the end ("reflect"), the last element
    ("replicate"), or those from the other end ("circular"). Negative numbers cut elements off.

    Raises:
        RuntimeError: when ``pad`` does not fit the shape.
        TypeError, ValueError, NotImplementedError: for other bad arguments.
    """
    pairs = _pairs(pad, input)
    shape = tuple(map(int, input._array.shape))
    for dim, (n, (before, after)) in enumerate(zip(shape, pairs, strict=True)):
        if n + before + after < 0:
            raise RuntimeError(f"pad: dimension {dim} of shape {shape} would get the size {n + before + after} from {(before, after)}")
        left = n + min(before, 0) + min(after, 0)
        most = {"reflect": max(n - 1, 0), "circular": n if left > 0 else 0, "replicate": 0 if n == 0 else None}.get(mode)
        if most is not None and max(before, after) > most:
            raise RuntimeError(f"pad: mode {mode!r} can add at most {most} elements to dimension {dim} of shape {shape}, got {(before, after)}")
    if mode == "constant":
        need_fit("pad", 0 if value is None else value, input.dtype.numpy)
        return _pad_constant.call(input, pads=pairs, value=0 if value is None else value)
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"pad: mode must be 'constant', 'reflect', 'replicate' or 'circular', got {mode!r}")
    if value:
        raise ValueError(f"pad: mode {mode!r} takes no value, got {value}")
    maps = tuple(
        Axis(mode, n, n + before + after, (before,)) if before or after else None for n, (before, after) in zip(shape, pairs, strict=True)
    )
    return resample.call(input, maps=maps, transposed=False)
