"""Matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..computation import broadcast_shape
from ..public import method, public
from ..registry import Op, apply, as_tensor_input, check_devices, register
from ..samples import ErrorInput, Input, Sample
from ..tensor import Tensor

__all__ = [
    "matmul",
    "mm",
]

def mT(K: Any, x: Any) -> Any:
    """The transpose of the last two dimensions."""
    n = len(x.shape)
    return K.permute(x, dims=(*range(n - 2), n - 1, n - 2))


def conjugate(K: Any, x: Any) -> Any:
    """The complex conjugate; a real operand itself, since the op would copy it."""
    array = x._array if isinstance(x, Tensor) else x
    return K.conj(x) if array.dtype.kind == "c" else x


def _matmul_flops(a: Any, b: Any) -> int:
    return 2 * int(np.prod(a.shape)) * int(b.shape[-1])


_bmm = register(
    Op(
        "matmul",
        ("input", "other"),
        lambda B, a, b: B.matmul(a, b),
        {
            "input": lambda K, g, other, input_shape: K.sum_to_size(K.matmul(g, conjugate(K, mT(K, other))), size=input_shape),
            "other": lambda K, g, input, other_shape: K.sum_to_size(K.matmul(conjugate(K, mT(K, input)), g), size=other_shape),
        },
        dtype="promote",
        flops=_matmul_flops,
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


@public(_bmm)
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """The matrix product of the last two dimensions, others broadcast; a 1-d operand is a row (left) or column (right).

    Shapes (..., m, k) @ (..., k, n) -> (..., m, n). Dtypes must be equal.

    Raises:
        RuntimeError: for 0-d operands, sizes that don't fit, or different dtypes.
    """
    input, other = as_tensor_input(input, "matmul", "input"), as_tensor_input(other, "matmul", "other")
    check_devices("matmul", (input, other))
    a, b = input._array, other._array
    if a.ndim == 0 or b.ndim == 0:
        raise RuntimeError(f"matmul: 0-d tensors can't be multiplied, got shapes {tuple(a.shape)} and {tuple(b.shape)}; use *")
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise RuntimeError(
            f"matmul: shapes {tuple(a.shape)} and {tuple(b.shape)} don't fit: {a.shape[-1]} columns meet {b.shape[-2 if b.ndim > 1 else 0]} rows"
        )
    if a.dtype != b.dtype:
        raise RuntimeError(f"matmul: expected equal dtypes, got {input.dtype} and {other.dtype}; convert one with .to()")
    if a.ndim > 2 or b.ndim > 2:
        broadcast_shape("matmul", [a.shape[:-2], b.shape[:-2]])
    left = input if a.ndim > 1 else input.unsqueeze(0)
    right = other if b.ndim > 1 else other.unsqueeze(1)
    out: Tensor = apply(_bmm, (left, right), {})
    if a.ndim == 1:
        out = out.squeeze(-2)
    return out.squeeze(-1) if b.ndim == 1 else out  # type: ignore[no-any-return]


@method
def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices, without broadcasting.

    Raises:
        RuntimeError: when either is not a matrix.
    """
    if input.ndim != 2 or mat2.ndim != 2:
        raise RuntimeError(f"mm expects two matrices, got shapes {tuple(input.shape)} and {tuple(mat2.shape)}; use matmul")
    return matmul(input, mat2)
