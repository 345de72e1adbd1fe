"""Classes as vectors with a single one."""

from __future__ import annotations

import numpy as np

from ...public import public
from ...registry import Op, register
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor
from ..checks import need_in_range, read_values

__all__ = ["one_hot"]

_SAMPLES = [Sample((Input((2, 3), 0, 4, "int"),), {"num_classes": 5}), Sample((Input((), 0, 4, "int"),), {"num_classes": 4})]

_one_hot = register(
    Op(
        "one_hot",
        ("tensor",),
        lambda B, x, *, num_classes: B.one_hot(x, num_classes),
        dtype="int64",
        method=False,
        samples=_SAMPLES,
        reference=lambda x, num_classes: np.eye(num_classes, dtype=int)[x],
        error_inputs=[
            ErrorInput(lambda tg: tg.nn.functional.one_hot(tg.ones(2)), RuntimeError, "one_hot: expected an integer tensor, got dtype .*float32"),
            ErrorInput(lambda tg: tg.nn.functional.one_hot(tg.tensor([3]), 3), RuntimeError, "one_hot: class 3 is out of range for 3 classes"),
            ErrorInput(lambda tg: tg.nn.functional.one_hot(tg.zeros(0, dtype=tg.int64)), RuntimeError, "one_hot: no elements to count classes by"),
        ],
    )
)


@public(
    _one_hot,
    samples=[*_SAMPLES, Sample((Input((6,), 0, 4, "int"),))],
    reference=lambda x, num_classes=-1: np.eye(x.max() + 1 if num_classes < 0 else num_classes, dtype=int)[x],
    differentiable=False,
)
def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Vectors of zeros with a one at each class: (...) -> (..., num_classes), int64. By default as many as the largest needs.

    Raises:
        RuntimeError: for classes that are not integers, negative or too large.
    """
    x = tensor._array
    if x.dtype.kind not in "iu":
        raise RuntimeError(f"one_hot: expected an integer tensor, got dtype {tensor.dtype}")
    if num_classes < 0 and x.size == 0:
        raise RuntimeError("one_hot: no elements to count classes by; give num_classes")
    count = num_classes
    if num_classes < 0:
        count = int(read_values(tensor, "the number of classes that one_hot() counts").max()) + 1
    need_in_range("one_hot", tensor, count, f"{count} classes", what="class", error=RuntimeError)
    return _one_hot.call(tensor, num_classes=count)
