"""Channels to pixels and back: rearrangements of elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...public import composite
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor
from ..shape.copy import clone

__all__ = ["channel_shuffle", "pixel_shuffle", "pixel_unshuffle"]


def _rearranged(input: Tensor, split: tuple[int, ...], order: tuple[int, ...], shape: tuple[int, ...]) -> Tensor:
    """In a shape with more dimensions, these in another order, in the final shape; a copy."""
    moved = input.reshape(split).permute(order).reshape(shape)
    return moved if moved._base is None else clone(moved)


def _need_image(input: Tensor, name: str, what: str, number: int) -> tuple[int, ...]:
    if input.ndim < 3:
        raise RuntimeError(f"{name}: expected an input (..., channels, height, width), got shape {tuple(input.shape)}")
    if number < 1:
        raise RuntimeError(f"{name}: {what} must be at least 1, got {number}")
    return tuple(map(int, input._array.shape))


def _mistake(name: str, pattern: str, shape: tuple[int, ...], number: int) -> ErrorInput:
    return ErrorInput(lambda tg: getattr(tg.nn.functional, name)(tg.ones(shape), number), RuntimeError, f"{name}: {pattern}")


def _shuffle_reference(x: Any, upscale_factor: int) -> Any:
    r = upscale_factor
    out = np.zeros((*x.shape[:-3], x.shape[-3] // r**2, x.shape[-2] * r, x.shape[-1] * r), x.dtype)
    for i in range(r):
        for j in range(r):
            out[..., i::r, j::r] = x[..., i * r + j :: r * r, :, :]
    return out


def _unshuffle_reference(x: Any, downscale_factor: int) -> Any:
    r = downscale_factor
    parts = [x[..., i::r, j::r] for i in range(r) for j in range(r)]
    return np.stack(parts, -3).reshape(*x.shape[:-3], x.shape[-3] * r * r, x.shape[-2] // r, x.shape[-1] // r)


@composite(
    samples=[
        Sample((Input((2, 8, 2, 3)),), {"upscale_factor": 2}),
        Sample((Input((4, 1, 2)),), {"upscale_factor": 2}),
        Sample((Input((1, 2, 3)),), {"upscale_factor": 1}),
    ],
    reference=_shuffle_reference,
    error_inputs=[
        _mistake("pixel_shuffle", r"expected an input .*got shape \(4, 4\)", (4, 4), 2),
        _mistake("pixel_shuffle", r"6 channels of shape \(6, 2, 2\) are not a multiple of 2 \* 2", (6, 2, 2), 2),
        _mistake("pixel_shuffle", "upscale_factor must be at least 1", (4, 2, 2), 0),
    ],
    method=False,
    kinds="bifc",
)
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Channels as r times finer pixels: (..., C r^2, H, W) -> (..., C, H r, W r) (Shi et al., https://arxiv.org/abs/1609.05158).

    Raises:
        RuntimeError: when the number of channels is not a multiple of r^2.
    """
    *lead, channels, h, w = _need_image(input, "pixel_shuffle", "upscale_factor", upscale_factor)
    r, n = upscale_factor, len(lead)
    if channels % (r * r):
        raise RuntimeError(f"pixel_shuffle: {channels} channels of shape {tuple(input.shape)} are not a multiple of {r} * {r}")
    c = channels // (r * r)
    return _rearranged(input, (*lead, c, r, r, h, w), (*range(n), n, n + 3, n + 1, n + 4, n + 2), (*lead, c, h * r, w * r))


@composite(
    samples=[
        Sample((Input((2, 2, 4, 2)),), {"downscale_factor": 2}),
        Sample((Input((1, 3, 6)),), {"downscale_factor": 3}),
        Sample((Input((1, 2, 3)),), {"downscale_factor": 1}),
    ],
    reference=_unshuffle_reference,
    error_inputs=[
        _mistake("pixel_unshuffle", r"expected an input .*got shape \(4, 4\)", (4, 4), 2),
        _mistake("pixel_unshuffle", r"height and width of shape \(1, 3, 2\) are not multiples of 2", (1, 3, 2), 2),
        _mistake("pixel_unshuffle", "downscale_factor must be at least 1", (4, 2, 2), 0),
    ],
    method=False,
    kinds="bifc",
)
def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """The inverse of :func:`pixel_shuffle`: (..., C, H r, W r) -> (..., C r^2, H, W).

    Raises:
        RuntimeError: when height or width is not a multiple of r.
    """
    *lead, c, height, width = _need_image(input, "pixel_unshuffle", "downscale_factor", downscale_factor)
    r, n = downscale_factor, len(lead)
    if height % r or width % r:
        raise RuntimeError(f"pixel_unshuffle: height and width of shape {tuple(input.shape)} are not multiples of {r}")
    h, w = height // r, width // r
    return _rearranged(input, (*lead, c, h, r, w, r), (*range(n), n, n + 2, n + 4, n + 1, n + 3), (*lead, c * r * r, h, w))


@composite(
    samples=[
        Sample((Input((2, 6, 2, 2)),), {"groups": 3}),
        Sample((Input((1, 4, 3)),), {"groups": 2}),
        Sample((Input((2, 4, 1, 3)),), {"groups": 1}),
        Sample((Input((0, 4, 2)),), {"groups": 2}),
    ],
    reference=lambda x, groups: np.concatenate([x[:, i :: x.shape[1] // groups] for i in range(x.shape[1] // groups)], 1),
    error_inputs=[
        _mistake("channel_shuffle", r"expected an input .*got shape \(4, 4\)", (4, 4), 2),
        _mistake("channel_shuffle", r"4 channels of shape \(1, 4, 2\) are not a multiple of groups=3", (1, 4, 2), 3),
        _mistake("channel_shuffle", "groups must be at least 1", (4, 2, 2), 0),
    ],
    method=False,
    kinds="bifc",
)
def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Channels taken in turn from each of ``groups`` parts: (N, C, ...) -> (N, C, ...) (Zhang et al., https://arxiv.org/abs/1707.01083).

    Raises:
        RuntimeError: when the number of channels is not a multiple of ``groups``.
    """
    n, channels, *space = _need_image(input, "channel_shuffle", "groups", groups)
    if channels % groups:
        raise RuntimeError(f"channel_shuffle: {channels} channels of shape {tuple(input.shape)} are not a multiple of groups={groups}")
    split = (n, groups, channels // groups, *space)
    return _rearranged(input, split, (0, 2, 1, *range(3, len(split))), (n, channels, *space))
