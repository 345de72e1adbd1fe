"""What normalisations are made of: one fused op, forward and backward, about the mean and variance of rows.

Elements are seen in a view of two to four dimensions, in which a row is what shares statistics; see :class:`Layout`.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from ... import dtypes
from ...primitives import E
from ...registry import Op, register
from ...samples import Input, Sample
from ...scalarops import elementwise
from ...tensor import Tensor


class Layout(NamedTuple):
    """Which elements share a mean and a variance, and a weight and a bias.

    Attributes:
        view: how the input's elements are seen: (rows, n), (samples, groups, channels of a group, n), or (n, channels, m).
        axes: over which, in the view, statistics are taken: (1,), (2, 3) and (0, 2).
        affine: the shape in which weight and bias broadcast to the view.
        size: their own shape.
        centered: False to take the mean to be 0.
    """

    view: tuple[int, ...]
    axes: tuple[int, ...]
    affine: tuple[int, ...]
    size: tuple[int, ...]
    centered: bool = True


@functools.lru_cache(maxsize=4096)
def by_rows(shape: tuple[int, ...], size: tuple[int, ...], centered: bool = True) -> Layout:
    """The last dimensions, of shape ``size``, make a row; each of its elements has a weight."""
    n = math.prod(size)
    return Layout((math.prod(shape[: len(shape) - len(size)]), n), (1,), (1, n), size, centered)


@functools.lru_cache(maxsize=4096)
def by_channels(shape: tuple[int, ...]) -> Layout:
    """A row is a channel of (n, channels, ...), and has a weight."""
    n, channels, *rest = shape
    return Layout((n, channels, math.prod(rest)), (0, 2), (1, channels, 1), (channels,))


@functools.lru_cache(maxsize=4096)
def by_groups(shape: tuple[int, ...], groups: int) -> Layout:
    """A row is a group of a sample's channels; each of these has a weight."""
    n, channels, *rest = shape
    each = channels // groups
    return Layout((n, groups, each, math.prod(rest)), (2, 3), (1, groups, each, 1), (channels,))


def _reference(x: Any, weight: Any, bias: Any, layout: Layout, eps: float) -> Any:
    view, axes, affine, _, centered = layout
    v = x.reshape(view)
    mean = v.mean(axis=axes, keepdims=True) * centered
    var = ((v - mean) ** 2).mean(axis=axes, keepdims=True)
    y = (v - mean) / np.sqrt(var + eps) * weight.reshape(affine) + bias.reshape(affine)
    return y.reshape(x.shape), mean, var


_LAYOUTS = (
    by_rows((2, 3, 4), (4,)),
    by_rows((2, 3, 4), (3, 4), False),
    by_channels((2, 3, 4)),
    by_channels((2, 3, 20)),
    by_groups((2, 6, 2), 3),
)
_SHAPES = ((2, 3, 4), (2, 3, 4), (2, 3, 4), (2, 3, 20), (2, 6, 2))
_SAMPLES = [
    Sample((Input(shape), Input(layout.size, 0.5), Input(layout.size)), {"layout": layout, "eps": 1e-2})
    for shape, layout in zip(_SHAPES, _LAYOUTS, strict=True)
]


def _vjp(K: Any, g: Any, x: Any, weight: Any, kept: Any, layout: Layout, eps: float, needs: tuple[bool, ...]) -> Any:
    return K.standardize_backward(g, x, weight, kept, layout=layout, eps=eps, biased=needs[2])


_standardize = register(
    Op(
        "standardize",
        ("input", "weight", "bias"),
        lambda B, x, weight, bias, *, layout, eps: B.standardize(x, weight, bias, layout, eps, False),
        {
            ("input", "weight", "bias"): lambda K, g, input, weight, kept, layout, eps, needs: _vjp(
                K, g, input, weight, kept, layout, eps, needs
            )
        },
        residuals=("kept",),
        method=False,
        samples=_SAMPLES,
        reference=lambda x, weight, bias, layout, eps: _reference(x, weight, bias, layout, eps)[0],
        kinds="f",
    )
)

_with_statistics = register(
    Op(
        "standardize_with_statistics",
        ("input", "weight", "bias"),
        lambda B, x, weight, bias, *, layout, eps: B.standardize(x, weight, bias, layout, eps, True),
        {
            ("input", "weight", "bias"): lambda K, g0, g1, g2, input, weight, out1, kept, layout, eps, needs: _with_statistics_vjp(
                K, g0, g1, g2, input, weight, out1, kept, layout, eps, needs
            )
        },
        residuals=("kept",),
        method=False,
        samples=_SAMPLES,
        reference=_reference,
        kinds="f",
    )
)


def _with_statistics_vjp(
    K: Any, g0: Any, g1: Any, g2: Any, x: Any, weight: Any, mean: Any, kept: Any, layout: Layout, eps: float, needs: tuple[bool, ...]
) -> Any:
    of_x, of_weight, of_bias = (None, None, None) if g0 is None else _vjp(K, g0, x, weight, kept, layout, eps, needs)
    n = math.prod([layout.view[a] for a in layout.axes]) or math.nan
    v, further = K.reshape(x, shape=layout.view), []
    if g1 is not None and layout.centered:
        further.append(K.expand(K.mul(g1, 1.0 / n), size=layout.view))
    if g2 is not None:
        further.append(K.mul(K.sub(v, mean), K.mul(g2, 2.0 / n)))
    for term in further:
        term = K.to(K.reshape(term, shape=x.shape), dtype=dtypes.to_dtype(x.dtype))
        of_x = term if of_x is None else K.add(of_x, term)
    return of_x, of_weight, of_bias


def _second(
    K: Any, g0: Any, g1: Any, g2: Any, g: Any, x: Any, weight: Any, kept: Any, layout: Layout, eps: float, needs: tuple[bool, ...]
) -> Any:
    """The gradients of <g0, of_x> + <g1, of_weight> + <g2, of_bias>, which ``standardize_backward`` returns.

    With y and the inverse deviation r, u = g * weight, and S(u) = r (u - mean(u) - y mean(u y)), which is symmetric: of_x = S(u),
    of_weight = sum(g y), of_bias = sum(g). As a function of y and r, S(u) has the gradients -r (g0 mean(u y) + u mean(g0 y)) and
    sum(g0 S(u)) / r; those of x follow from them.
    """
    view, axes, affine, size, centered = layout
    plain = Layout(view, axes, affine, (), centered)
    shape, dtype, wide = x.shape, dtypes.to_dtype(x.dtype), dtypes.to_dtype(kept.dtype)

    def seen(a: Any, shape: tuple[int, ...]) -> Any:
        return None if a is None else K.to(K.reshape(a, shape=shape), dtype=wide)

    def back(a: Any, shape: tuple[int, ...]) -> Any:
        return K.to(K.reshape(a, shape=shape), dtype=dtype)

    g0, g, x, w = seen(g0, view), seen(g, view), seen(x, view), seen(weight, affine)
    y, _, var = K.standardize_with_statistics(x, None, None, layout=plain, eps=eps)
    inverse = K.rsqrt(K.add(var, eps))
    u = g if w is None else K.mul(g, w)

    def project(a: Any) -> Any:
        return K.standardize_backward(a, x, None, kept, layout=plain, eps=eps, biased=False)[0]

    def average(a: Any) -> Any:
        return K.mean(a, axes=axes, keepdim=True)

    of_g, of_y, of_x, of_weight = [], [], [], None
    if g0 is not None:
        projected = project(g0)
        of_g.append(projected if w is None else K.mul(projected, w))
        if w is not None and needs[2]:
            over = tuple([d for d, n in enumerate(affine) if n == 1])
            of_weight = back(K.sum(K.mul(projected, g), axes=over, keepdim=True), size)
        of_y.append(K.neg(K.mul(inverse, K.add(K.mul(g0, average(K.mul(u, y))), K.mul(u, average(K.mul(g0, y)))))))
        of_x.append(K.neg(K.mul(K.mul(y, inverse), average(K.mul(g0, project(u))))))
    if g1 is not None and math.prod(g1.shape):
        g1 = seen(g1, affine)
        of_g.append(K.mul(g1, y))
        of_y.append(K.mul(g1, g))
    if g2 is not None and math.prod(g2.shape):
        of_g.append(K.expand(seen(g2, affine), size=view))
    if of_y:
        of_x.append(project(functools.reduce(K.add, of_y)))
    return back(functools.reduce(K.add, of_g), shape) if of_g else None, back(functools.reduce(K.add, of_x), shape) if of_x else None, of_weight


def _backward_reference(g: Any, x: Any, weight: Any, kept: Any, layout: Layout, eps: float, biased: bool) -> Any:
    view, axes, affine, size, centered = layout
    plain = _reference(x, np.ones(size), np.zeros(size), layout, eps)
    y, var = plain[0].reshape(view), plain[2]
    g = g.reshape(view)
    u = g * weight.reshape(affine)
    over = tuple(d for d, n in enumerate(affine) if n == 1)
    of_x = (u - centered * u.mean(axis=axes, keepdims=True) - y * (u * y).mean(axis=axes, keepdims=True)) / np.sqrt(var + eps)
    return of_x.reshape(x.shape), (g * y).sum(axis=over).reshape(size), g.sum(axis=over).reshape(size)


register(
    Op(
        "standardize_backward",
        ("g_out", "input", "weight", "kept"),
        lambda B, g, x, weight, kept, *, layout, eps, biased: B.standardize_backward(g, x, weight, kept, layout, biased),
        {
            ("g_out", "input", "weight"): lambda K, g0, g1, g2, g_out, input, weight, kept, layout, eps, needs: _second(
                K, g0, g1, g2, g_out, input, weight, kept, layout, eps, needs
            )
        },
        method=False,
        reference=_backward_reference,
        kinds="f",
    )
)

scale_shift = elementwise(
    "scale_shift",
    lambda input, scale, shift: input * scale + shift,
    {"input": lambda g, scale: g * E.conj(scale), "scale": lambda g, input: g * E.conj(input), "shift": lambda g: g},
    method=False,
    samples=[Sample((Input((3, 4), 0.5), Input((3, 4), 0.5), Input((4,), 0.5))), Sample((Input((2, 3, 4), 0.5), Input((3, 1), 0.5), Input((3, 1), 0.5)))],
    reference=lambda x, a, b: x * a + b,
    kinds="fc",
)

standardize_by = elementwise(
    "standardize_by",
    lambda input, centre, scale, shift: (input - centre) * scale + shift,
    {
        "input": lambda g, scale: g * scale,
        "centre": lambda g, scale: g * (0.0 - scale),
        "scale": lambda g, input, centre: g * (input - centre),
        "shift": lambda g: g,
    },
    method=False,
    samples=[Sample((Input((3, 4)), Input((4,)), Input((4,)), Input((4,)))), Sample((Input((2, 3, 4)), Input((3, 1)), Input((3, 1)), Input((3, 1))))],
    reference=lambda x, centre, scale, shift: (x - centre) * scale + shift,
    kinds="f",
)


def standardized(input: Tensor, weight: Tensor | None, bias: Tensor | None, layout: Layout, eps: float) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias, as the layout says; weight and bias have the input's dtype."""
    return _standardize.call(input, weight, bias, layout=layout, eps=eps)  # type: ignore[no-any-return]


def with_statistics(input: Tensor, weight: Tensor | None, bias: Tensor | None, layout: Layout, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """:func:`standardized`, the mean and the variance (its divisor is their count), both of ``layout.size``."""
    return _with_statistics.call(input, weight, bias, layout=layout, eps=eps)  # type: ignore[no-any-return]
