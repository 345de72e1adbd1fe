"""Dimensions of size 1 repeated without copying: expanding and broadcasting."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...computation import broadcast_shape
from ...modes import local
from ...public import composite, public
from ...registry import Op, register
from ...samples import ErrorInput, Input, Sample
from ...shown import Shown
from ...tensor import Size, Tensor
from .reshape import sizes

__all__ = ["broadcast_shapes", "broadcast_tensors", "broadcast_to", "expand"]

_expand = register(
    Op(
        "expand",
        ("input",),
        lambda B, x, *, size: B.expand(x, size),
        {"input": lambda K, g, input_shape: K.sum_to_size(g, size=input_shape)},
        view=True,
        samples=[
            Sample((Input((3, 1)),), {"size": (3, 4)}),
            Sample((Input((4,)),), {"size": (2, 3, 4)}),
            Sample((Input(()),), {"size": (2,)}),
            Sample((Input((1, 3)),), {"size": (0, 3)}),
        ],
        reference=lambda x, size: np.broadcast_to(x, size),
        error_inputs=[ErrorInput(lambda tg: tg.ones(2, 3).expand(4, 3), RuntimeError, r"expand: shape \(2, 3\) can't be expanded to \[4, 3\]")],
    )
)


@public(_expand, samples=[Sample((Input((3, 1)),), {"size": (2, -1, 4)})], reference=lambda x, size: np.broadcast_to(x, (2, 3, 4)))
def expand(input: Tensor, *args: Any, size: Sequence[int] | None = None, implicit: bool = False) -> Tensor:
    """A view in which dimensions of size 1 are repeated without copying; -1 keeps a size.

    Raises:
        RuntimeError: when a size that is not 1 would change.
    """
    made = None if size is not None else _expanding.quick(input, local.flags, args)
    return _expanding(input, sizes(args, size)) if made is None else made  # type: ignore[no-any-return]


@Shown
def _expanding(input: Tensor, size: tuple[int, ...]) -> Tensor:
    return _expand.call(input, _expanded(input._array.shape, size))  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=4096)
def _expanded(shape: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...]:
    missing = len(wanted) - len(shape)
    padded = (1,) * missing + shape
    full = tuple([n if w == -1 and i >= missing else w for i, (w, n) in enumerate(zip(wanted, padded, strict=False))])
    if missing < 0 or any(w < 0 or n not in (1, w) for w, n in zip(full, padded, strict=True)):
        raise RuntimeError(f"expand: shape {shape} can't be expanded to {list(wanted)}; only sizes of 1 can grow")
    return full


@composite(samples=[Sample((Input((3, 1)), Input((3, 4), kind="bool")))], reference=lambda x, other: np.broadcast_to(x, other.shape))
def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """Expand to the shape of another tensor."""
    return expand(input, *other.shape)


@composite(
    samples=[Sample((Input((3, 1)),), {"size": (2, 3, 4)}), Sample((Input((0, 1)),), {"size": (0, 2)})],
    reference=lambda x, size: np.broadcast_to(x, size),
)
def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """Expand to ``size``."""
    return expand(input, *size)


def broadcast_shapes(*shapes: int | Sequence[int]) -> Size:
    """The shape that these shapes broadcast to.

    Raises:
        RuntimeError: when they don't.
    """
    given = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    return Size(broadcast_shape("broadcast_shapes", given) if given else ())


@composite(
    method=False,
    samples=[Sample((Input((3, 1)), Input((4,)))), Sample((Input((2, 3)), Input(()), Input((1, 3))))],
    reference=lambda *tensors: tuple(np.broadcast_arrays(*tensors)),
    error_inputs=[
        ErrorInput(lambda tg: tg.broadcast_tensors(tg.ones(2, 3), tg.ones(4)), RuntimeError, r"broadcast_tensors: shapes \(2, 3\) and \(4,\)")
    ],
)
def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Views of the tensors, expanded to the shape that they broadcast to.

    Raises:
        RuntimeError: when their shapes can't be broadcast.
    """
    shape = broadcast_shape("broadcast_tensors", [tuple(t.shape) for t in tensors]) if tensors else ()
    return tuple([expand(t, *shape) for t in tensors])
