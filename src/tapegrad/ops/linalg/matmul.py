"""Matrix products."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...computation import broadcast_shape
from ...opcall import check_devices
from ...public import alias, composite, public
from ...registry import Op, as_tensor_input, register
from ...samples import ErrorInput, Input, Sample
from ...tensor import TENSOR_TYPES, Tensor
from ..checks import need_same_dtype
from ..create import eye
from ..elementwise.basic import conj, mul
from ..shape.reshape import integer

__all__ = [
    "bmm",
    "chain_matmul",
    "dot",
    "ger",
    "inner",
    "matmul",
    "matrix_power",
    "mm",
    "mv",
    "outer",
    "vdot",
]


def mT(K: Any, x: Any) -> Any:
    """The transpose of the last two dimensions."""
    if x.__class__ is np.ndarray:
        return x.swapaxes(-1, -2)
    n = len(x.shape)
    return K.permute(x, dims=(*range(n - 2), n - 1, n - 2))


def conjugate(K: Any, x: Any) -> Any:
    """The complex conjugate; a real operand itself, since the op would copy it."""
    array = x if x.__class__ is np.ndarray else x._array if isinstance(x, Tensor) else x
    return K.conj(x) if array.dtype.kind == "c" else x


def summed_to(K: Any, x: Any, shape: tuple[int, ...]) -> Any:
    """A gradient summed over the dimensions along which its input was broadcast."""
    return x if x.shape == shape else K.sum_to_size(x, size=shape)


_bmm = register(
    Op(
        "matmul",
        ("input", "other"),
        lambda B, a, b: B.matmul(a, b),
        {
            "input": lambda K, g, other, input_shape: summed_to(K, K.matmul(g, conjugate(K, mT(K, other))), input_shape),
            "other": lambda K, g, input, other_shape: summed_to(K, K.matmul(conjugate(K, mT(K, input)), g), other_shape),
        },
        dtype="promote",
        samples=[
            Sample((Input(a), Input(b)))
            for a, b in [((3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((2, 1, 3, 4), (5, 4, 2)), ((1, 4), (4, 1)), ((3, 0), (0, 2)), ((0, 3), (3, 2))]
        ],
        reference=np.matmul,
        error_inputs=[
            ErrorInput(lambda tg: tg.ones(2, 3) @ tg.ones(2, 3), RuntimeError, r"matmul: shapes \(2, 3\) and \(2, 3\)"),
            ErrorInput(lambda tg: tg.ones(2, 3) @ tg.tensor(1.0), RuntimeError, "matmul: .*0-d"),
        ],
        kinds="ifc",
    )
)


@public(
    _bmm,
    samples=[
        Sample((Input(a), Input(b)))
        for a, b in [((3, 4), (4, 5)), ((4,), (4,)), ((3, 4), (4,)), ((4,), (2, 4, 3)), ((2, 3, 4), (4, 2)), ((2, 1, 3, 4), (5, 4, 2)), ((3, 0), (0,))]
    ],
    reference=np.matmul,
)
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """The matrix product of the last two dimensions, others broadcast; a 1-d operand is a row (left) or column (right).

    Shapes (..., m, k) @ (..., k, n) -> (..., m, n). Dtypes must be equal.

    Raises:
        RuntimeError: for 0-d operands, sizes that don't fit, or different dtypes.
    """
    if input.__class__ in TENSOR_TYPES and other.__class__ in TENSOR_TYPES:
        a, b = input._array, other._array
        if a.__class__ is np.ndarray is b.__class__ and a.ndim == 2 == b.ndim and a.shape[1] == b.shape[0] and a.dtype is b.dtype:
            return _bmm.call(input, other)  # type: ignore[no-any-return]
    input, other = as_tensor_input(input, "matmul", "input"), as_tensor_input(other, "matmul", "other")
    check_devices("matmul", (input, other))
    a, b = input._array, other._array
    if a.ndim == 0 or b.ndim == 0:
        raise RuntimeError(f"matmul: 0-d tensors can't be multiplied, got shapes {tuple(a.shape)} and {tuple(b.shape)}; use *")
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise RuntimeError(
            f"matmul: shapes {tuple(a.shape)} and {tuple(b.shape)} don't fit: {a.shape[-1]} columns meet {b.shape[-2 if b.ndim > 1 else 0]} rows"
        )
    need_same_dtype("matmul", input=input, other=other)
    if a.ndim > 2 or b.ndim > 2:
        broadcast_shape("matmul", [a.shape[:-2], b.shape[:-2]])
    left = input if a.ndim > 1 else input.unsqueeze(0)
    right = other if b.ndim > 1 else other.unsqueeze(1)
    out: Tensor = _bmm.call(left, right)
    if a.ndim == 1:
        out = out.squeeze(-2)
    return out.squeeze(-1) if b.ndim == 1 else out  # type: ignore[no-any-return]


# --------------------------------------------------------------------------------------------- of fixed numbers of dimensions


def need_dims(name: str, **operands: tuple[Tensor, int]) -> None:
    """Raise RuntimeError for an operand with another number of dimensions."""
    for argument, (x, ndim) in operands.items():
        if x.ndim != ndim:
            kind = {1: "a vector", 2: "a matrix", 3: "a batch of matrices"}[ndim]
            raise RuntimeError(f"{name}: {argument} must be {kind} ({ndim}-d), got shape {tuple(x.shape)}; use matmul")


@composite(
    samples=[Sample((Input((3, 4)), Input((4, 2)))), Sample((Input((3, 0)), Input((0, 2))))],
    reference=np.matmul,
    kinds="ifc",
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(2).mm(tg.ones(2, 2)), RuntimeError, r"mm: input must be a matrix \(2-d\), got shape \(2,\)"),
        ErrorInput(lambda tg: tg.ones(2, 3).mm(tg.ones(2, 3)), RuntimeError, r"matmul: shapes \(2, 3\) and \(2, 3\) don't fit"),
    ],
)
def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices (m, k) and (k, n), without broadcasting.

    Raises:
        RuntimeError: when either is not a matrix, or sizes don't fit.
    """
    need_dims("mm", input=(input, 2), mat2=(mat2, 2))
    return matmul(input, mat2)


@composite(
    samples=[Sample((Input((2, 3, 4)), Input((2, 4, 5)))), Sample((Input((0, 3, 4)), Input((0, 4, 2))))],
    reference=np.matmul,
    kinds="ifc",
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(2, 3).bmm(tg.ones(2, 3, 4)), RuntimeError, r"bmm: input must be a batch of matrices \(3-d\), got shape \(2, 3\)"),
        ErrorInput(lambda tg: tg.ones(2, 3, 4).bmm(tg.ones(1, 4, 5)), RuntimeError, r"bmm: batches of 2 and 1 matrices"),
    ],
)
def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """The products of two batches of as many matrices: (b, m, k) and (b, k, n) -> (b, m, n).

    Raises:
        RuntimeError: when either is not 3-d, or sizes differ.
    """
    need_dims("bmm", input=(input, 3), mat2=(mat2, 3))
    if input.shape[0] != mat2.shape[0]:
        raise RuntimeError(f"bmm: batches of {input.shape[0]} and {mat2.shape[0]} matrices; use matmul to broadcast")
    return matmul(input, mat2)


@composite(
    samples=[Sample((Input((3, 4)), Input((4,))))],
    reference=np.matmul,
    kinds="ifc",
    error_inputs=[ErrorInput(lambda tg: tg.ones(2, 3).mv(tg.ones(3, 1)), RuntimeError, r"mv: vec must be a vector \(1-d\), got shape \(3, 1\)")],
)
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """The product of a matrix (m, k) and a vector (k,).

    Raises:
        RuntimeError: for other numbers of dimensions, or sizes that don't fit.
    """
    need_dims("mv", input=(input, 2), vec=(vec, 1))
    return matmul(input, vec)


@composite(
    samples=[Sample((Input((4,), 0.5, 2.0), Input((4,), 0.5, 2.0))), Sample((Input((0,)), Input((0,))))],
    reference=np.dot,
    kinds="ifc",
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(2).dot(tg.ones(3)), RuntimeError, r"matmul: shapes \(2,\) and \(3,\) don't fit"),
        ErrorInput(lambda tg: tg.ones(2, 2).dot(tg.ones(2)), RuntimeError, r"dot: input must be a vector \(1-d\)"),
    ],
)
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The sum of the products of two vectors' elements.

    Raises:
        RuntimeError: when either is not a vector, or their lengths differ.
    """
    need_dims("dot", input=(input, 1), tensor=(tensor, 1))
    return matmul(input, tensor)


@composite(
    samples=[Sample((Input((4,), 0.5, 2.0), Input((4,), 0.5, 2.0)))],
    reference=np.vdot,
    kinds="ifc",
    error_inputs=[ErrorInput(lambda tg: tg.ones(2, 2).vdot(tg.ones(2)), RuntimeError, r"vdot: input must be a vector \(1-d\)")],
)
def vdot(input: Tensor, other: Tensor) -> Tensor:
    """:func:`dot`, with the first vector conjugated.

    Raises:
        RuntimeError: when either is not a vector, or their lengths differ.
    """
    need_dims("vdot", input=(input, 1), other=(other, 1))
    return matmul(conj(input) if input.dtype.is_complex else input, other)


@composite(
    samples=[
        Sample((Input((3, 4)), Input((2, 4)))),
        Sample((Input((4,), 0.5, 2.0), Input((4,), 0.5, 2.0))),
        Sample((Input((2, 3, 4)), Input((5, 4)))),
        Sample((Input(()), Input((3,)))),
    ],
    reference=np.inner,
    kinds="ifc",
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(2, 3).inner(tg.ones(2)), RuntimeError, r"inner: the last sizes of shapes \(2, 3\) and \(2,\) must be equal"),
    ],
)
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Sums of products over the last dimension of both: (..., k) and (*, k) -> (..., *); a 0-d operand multiplies.

    Raises:
        RuntimeError: when the last sizes differ.
    """
    if input.ndim == 0 or other.ndim == 0:
        return mul(input, other)  # type: ignore[no-any-return]
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(f"inner: the last sizes of shapes {tuple(input.shape)} and {tuple(other.shape)} must be equal")
    k = input.shape[-1]
    rows = [x.reshape(math.prod(x.shape[:-1]), k) for x in (input, other)]
    return matmul(rows[0], rows[1].mT).reshape(*input.shape[:-1], *other.shape[:-1])  # type: ignore[no-any-return]


@composite(
    samples=[Sample((Input((3,)), Input((4,)))), Sample((Input((0,)), Input((4,))))],
    reference=np.outer,
    kinds="bifc",
    error_inputs=[ErrorInput(lambda tg: tg.ones(2, 2).outer(tg.ones(2)), RuntimeError, r"outer: input must be a vector \(1-d\)")],
)
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """All products of the elements of two vectors: (m,) and (n,) -> (m, n).

    Raises:
        RuntimeError: when either is not a vector.
    """
    need_dims("outer", input=(input, 1), vec2=(vec2, 1))
    return mul(input.unsqueeze(1), vec2)  # type: ignore[no-any-return]


ger = alias("ger", outer)


@composite(
    method=False,
    samples=[Sample((Input((3, 4)), Input((4, 2)), Input((2, 5)))), Sample((Input((3, 4)),))],
    reference=lambda *matrices: np.linalg.multi_dot(matrices) if len(matrices) > 1 else matrices[0],
    error_inputs=[
        ErrorInput(lambda tg: tg.chain_matmul(), RuntimeError, "chain_matmul: expected at least one matrix"),
        ErrorInput(lambda tg: tg.chain_matmul(tg.ones(2), tg.ones(2, 2)), RuntimeError, r"chain_matmul: matrix 0 must be a matrix \(2-d\)"),
    ],
)
def chain_matmul(*matrices: Tensor) -> Tensor:
    """The product of matrices, in the order that takes the fewest multiplications.

    Raises:
        RuntimeError: for none, or for what is not a matrix.
    """
    if not matrices:
        raise RuntimeError("chain_matmul: expected at least one matrix")
    for i, x in enumerate(matrices):
        need_dims("chain_matmul", **{f"matrix {i}": (as_tensor_input(x, "chain_matmul", f"matrix {i}"), 2)})
    if len(matrices) == 1:
        return matrices[0].clone()  # type: ignore[no-any-return]
    sizes = [int(x.shape[0]) for x in matrices] + [int(matrices[-1].shape[1])]
    cost: dict[tuple[int, int], tuple[int, int]] = {(i, i): (0, i) for i in range(len(matrices))}
    for span in range(1, len(matrices)):  # the textbook's dynamic program: the best place to cut [i, j]
        for i in range(len(matrices) - span):
            j = i + span
            cost[i, j] = min((cost[i, k][0] + cost[k + 1, j][0] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j))

    def product(i: int, j: int) -> Tensor:
        cut = cost[i, j][1]
        return matrices[i] if i == j else matmul(product(i, cut), product(cut + 1, j))

    return product(0, len(matrices) - 1)


@composite(
    samples=[Sample((Input((3, 3), -1.0, 1.0),), {"n": n}) for n in (5, 1, 2)] + [Sample((Input((2, 3, 3), -1.0, 1.0),), {"n": 3})],
    reference=np.linalg.matrix_power,
    error_inputs=[
        ErrorInput(lambda tg: tg.ones(2, 3).matrix_power(2), RuntimeError, r"matrix_power: expected square matrices, got shape \(2, 3\)"),
        ErrorInput(lambda tg: tg.ones(2, 2).matrix_power(-1), NotImplementedError, "matrix_power: n=-1 needs an inverse"),
    ],
)
def matrix_power(input: Tensor, n: int) -> Tensor:
    """The n-th power (n >= 0) of square matrices (..., m, m) by repeated squaring; the identity for n = 0.

    Raises:
        RuntimeError: when they are not square.
        NotImplementedError: for a negative n.
    """
    if input.ndim < 2 or input.shape[-1] != input.shape[-2]:
        raise RuntimeError(f"matrix_power: expected square matrices, got shape {tuple(input.shape)}")
    n = integer(n, "matrix_power", "n")
    if n < 0:
        raise NotImplementedError(f"matrix_power: n={n} needs an inverse, which this version does not have")
    if n == 0:
        return eye(input.shape[-1], dtype=input.dtype, device=input.device).expand(*input.shape).clone()  # type: ignore[no-any-return]
    result, square = None, input
    while n:
        if n & 1:
            result = square if result is None else matmul(result, square)
        n >>= 1
        if n:
            square = matmul(square, square)
    assert result is not None
    return result.clone() if result is input else result  # type: ignore[no-any-return]
