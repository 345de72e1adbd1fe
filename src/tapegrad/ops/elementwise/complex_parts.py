"""Complex numbers, their parts, sizes and angles. Gradients are dL/dRe + i dL/dIm, PyTorch's convention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import dtypes
from ...computation import broadcast_shape
from ...public import composite, method, public
from ...registry import Op, register
from ...samples import ErrorInput, Input, Sample
from ...scalarops import elementwise_op
from ...tensor import Tensor
from ..create import ones_like, zeros_like
from ..shape.expand import expand
from . import basic as elementwise, exponential
from .basic import eq, exp, log, lt, mul, ne, reciprocal, sign, where
from .trigonometry import atan2, hypot

__all__ = [
    "angle",
    "complex",
    "conj",
    "conj_physical",
    "imag",
    "isreal",
    "polar",
    "real",
    "resolve_conj",
    "resolve_neg",
    "sgn",
    "view_as_complex",
    "view_as_real",
]

_MATRIX = [Sample((Input((3, 4)),)), Sample((Input(()),))]

_complex = register(
    Op(
        "complex",
        ("real", "imag"),
        lambda B, real, imag: B.join_parts(real, imag),
        {"real": lambda K, g: K.real(g), "imag": lambda K, g: K.imag(g)},
        batch="leading",
        method=False,
        samples=[Sample((Input((3, 4)), Input((3, 4)))), Sample((Input(()), Input(())))],
        reference=lambda a, b: a + 1j * b,
        error_inputs=[
            ErrorInput(lambda tg: tg.complex(tg.ones(2), tg.ones(2).double()), RuntimeError, "complex: .*float32 and tapegrad.float64"),
            ErrorInput(lambda tg: tg.complex(tg.arange(2), tg.arange(2)), RuntimeError, "complex: .*float32 or float64.*int64"),
        ],
        kinds="",
    )
)


@public(_complex, samples=[Sample((Input((3, 4)), Input((3, 4)))), Sample((Input((3, 1)), Input((4,))))], reference=lambda real, imag: real + 1j * imag)
def complex(real: Tensor, imag: Tensor) -> Tensor:
    """Complex numbers from their parts, of one dtype: float32 or float64; the shapes broadcast.

    Raises:
        RuntimeError: for other or different dtypes, and shapes that can't be broadcast.
    """
    if real.dtype is not imag.dtype or real.dtype not in (dtypes.float32, dtypes.float64):
        raise RuntimeError(f"complex: both parts must be float32 or float64, got {real.dtype} and {imag.dtype}")
    shape = broadcast_shape("complex", [tuple(real.shape), tuple(imag.shape)])
    parts = tuple([x if tuple(x.shape) == shape else expand(x, *shape) for x in (real, imag)])
    return _complex.call(*parts)  # type: ignore[no-any-return]


_real = register(
    Op(
        "real",
        ("input",),
        lambda B, x: B.real_part(x),
        {"input": lambda K, g: K.complex(g, None)},
        batch="leading",
        view=True,
        method=False,
        samples=_MATRIX,
        reference=np.real,
        error_inputs=[ErrorInput(lambda tg: tg.real([1.0]), TypeError, "real.*'input' must be a Tensor, not list")],
        kinds="c",
    )
)

_imag = register(
    Op(
        "imag",
        ("input",),
        lambda B, x: B.imaginary_part(x),
        {"input": lambda K, g: K.mul(K.complex(g, None), 1j)},
        batch="leading",
        view=True,
        method=False,
        samples=_MATRIX,
        reference=np.imag,
        error_inputs=[ErrorInput(lambda tg: tg.imag(tg.ones(2)), RuntimeError, "imag: .*float32.*complex")],
        kinds="c",
    )
)

_view_as_real = register(
    Op(
        "view_as_real",
        ("input",),
        lambda B, x: B.as_pairs(x),
        {"input": lambda K, g: K.view_as_complex(g)},
        batch="leading",
        view=True,
        method=False,
        samples=_MATRIX,
        reference=lambda x: np.stack([x.real, x.imag], -1),
        error_inputs=[ErrorInput(lambda tg: tg.view_as_real(tg.ones(2)), RuntimeError, "view_as_real: .*float32.*complex")],
        kinds="c",
    )
)

_view_as_complex = register(
    Op(
        "view_as_complex",
        ("input",),
        lambda B, x: B.from_pairs(x),
        {"input": lambda K, g: K.view_as_real(g)},
        batch="leading",
        view=True,
        method=False,
        samples=[Sample((Input((3, 4, 2)),)), Sample((Input((2,)),)), Sample((Input((3, 0, 2)),))],
        reference=lambda x: x[..., 0] + 1j * x[..., 1],
        error_inputs=[
            ErrorInput(lambda tg: tg.view_as_complex(tg.ones(3)), RuntimeError, r"view_as_complex: .*\(3,\).*2"),
            ErrorInput(lambda tg: tg.view_as_complex(tg.ones(2, 3).T), RuntimeError, r"view_as_complex: .*strides \(1, 3\)"),
        ],
        kinds="",
    )
)


def _need_complex(input: Tensor, name: str) -> None:
    if not input.dtype.is_complex:
        raise RuntimeError(f"{name}: the input has dtype {input.dtype}, it must be complex")


@public(_real, samples=_MATRIX, reference=np.real)
def real(input: Tensor) -> Tensor:
    """A view of the real parts; a real tensor itself."""
    return _real.call(input) if input.dtype.is_complex else input  # type: ignore[no-any-return]


@public(_imag, samples=_MATRIX, reference=np.imag, kinds="c")
def imag(input: Tensor) -> Tensor:
    """A view of the imaginary parts.

    Raises:
        RuntimeError: for a real tensor.
    """
    _need_complex(input, "imag")
    return _imag.call(input)  # type: ignore[no-any-return]


@public(_view_as_real, samples=_MATRIX, reference=lambda x: np.stack([x.real, x.imag], -1), kinds="c")
def view_as_real(input: Tensor) -> Tensor:
    """A view of complex numbers with one more dimension, of size 2: their real and imaginary parts.

    Raises:
        RuntimeError: for a real tensor.
    """
    _need_complex(input, "view_as_real")
    return _view_as_real.call(input)  # type: ignore[no-any-return]


@public(_view_as_complex, kinds="")
def view_as_complex(input: Tensor) -> Tensor:
    """A view of pairs of real numbers, in a last dimension of size 2, as complex ones.

    Raises:
        RuntimeError: for other dtypes than float32 and float64, another last size, or strides that leave no whole pairs.
    """
    name, size = "view_as_complex", input.element_size()
    strides = tuple(s // size for s in input._array.strides)
    if input.dtype not in (dtypes.float32, dtypes.float64):
        raise RuntimeError(f"{name}: the input must be float32 or float64, got {input.dtype}")
    if input.ndim == 0 or input.shape[-1] != 2:
        raise RuntimeError(f"{name}: shape {tuple(input.shape)} must end in 2, a real and an imaginary part")
    if input.numel() and (strides[-1] != 1 or any(s % 2 for s in strides[:-1])):
        raise RuntimeError(f"{name}: strides {strides} must end in 1, the others be even; .clone() the tensor first")
    return _view_as_complex.call(input)  # type: ignore[no-any-return]


def set_real(self: Tensor, value: Any) -> None:
    real(self).copy_(value)


def set_imag(self: Tensor, value: Any) -> None:
    imag(self).copy_(value)


# ------------------------------------------------------------------------------------------------------ sizes and angles


@composite(samples=_MATRIX, reference=np.conj, kinds="fc")
def conj(input: Tensor) -> Tensor:
    """The complex conjugate; a real tensor itself."""
    return elementwise.conj(input) if input.dtype.is_complex else input


@composite(samples=_MATRIX[:1], reference=np.conj, kinds="fc")
def conj_physical(input: Tensor) -> Tensor:
    """:func:`conj`, which always computes here."""
    return conj(input)


@method
def resolve_conj(input: Tensor) -> Tensor:
    """The tensor itself: conjugates are computed at once here."""
    return input


@method
def resolve_neg(input: Tensor) -> Tensor:
    """The tensor itself: nothing is negated lazily here."""
    return input


def _size(z: Tensor) -> Tensor:
    """|z|, with gradient 0 at 0."""
    return hypot(real(z), imag(z))  # type: ignore[no-any-return]


@composite(
    samples=[Sample((Input((3, 4), apart=True),)), Sample((Input(()),))],
    reference=np.angle,
    kinds="fc",
)
def angle(input: Tensor) -> Tensor:
    """The angle of complex numbers in radians; of real ones 0, pi for negative ones, NaN for NaN, with gradient 0."""
    if input.dtype.is_complex:
        return atan2(imag(input), real(input))  # type: ignore[no-any-return]
    if not input.dtype.is_floating_point:
        input = input.to(dtypes.get_default_dtype())
    return where(ne(input, input), input, where(lt(input, 0.0), math.pi, zeros_like(input)))  # type: ignore[no-any-return]


@composite(samples=[Sample((Input((3, 4), apart=True),)), Sample((Input(()),))], reference=lambda x: x / np.abs(x), kinds="fc")
def sgn(input: Tensor) -> Tensor:
    """``input / |input|`` of complex numbers, 0 of 0; the :func:`sign` of real ones."""
    if not input.dtype.is_complex:
        return sign(input)  # type: ignore[no-any-return]
    size = _size(input)
    none = eq(size, 0.0)
    return where(none, 0.0, input / where(none, 1.0, size))  # type: ignore[no-any-return]


@composite(samples=[Sample((Input((3, 4), 0.5, 2.0), Input((3, 4))))], reference=lambda abs, angle: abs * np.exp(1j * angle), method=False)
def polar(abs: Tensor, angle: Tensor) -> Tensor:
    """Complex numbers of these sizes and angles (in radians), of one dtype: float32 or float64.

    Raises:
        RuntimeError: for other or different dtypes.
    """
    return complex(mul(abs, elementwise.cos(angle)), mul(abs, elementwise.sin(angle)))


@composite(samples=_MATRIX, reference=np.isreal, differentiable=False, kinds="bifc")
def isreal(input: Tensor) -> Tensor:
    """Where the imaginary part is 0."""
    return eq(imag(input.detach()), 0.0) if input.dtype.is_complex else ones_like(input, dtype=dtypes.bool_)  # type: ignore[no-any-return]


def _scaled(z: Tensor, factor: float) -> Tensor:
    """Each part times a number: an infinite one does not make the other NaN."""
    return complex(real(z) * factor, imag(z) * factor)


# Elementwise functions whose one expression is for real numbers.
for _name, _of_complex in {
    "abs": _size,
    "sigmoid": lambda z: reciprocal(exp(-z) + 1.0),
    "log1p": lambda z: log(z + 1.0),
    "log2": lambda z: _scaled(log(z), 1.0 / exponential.LN2),
    "log10": lambda z: _scaled(log(z), 1.0 / exponential.LN10),
}.items():
    elementwise_op(_name).of_complex = _of_complex

