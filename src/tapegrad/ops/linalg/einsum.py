"""Einstein summation, and contraction over chosen dimensions."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...public import composite
from ...registry import as_tensor_input
from ...samples import ErrorInput, Input, Sample
from ...tensor import Tensor
from ..elementwise.basic import mul
from ..reduction.reduce import sum as sum_
from ..shape.diagonal import diagonal
from ..shape.permute import permute
from ..shape.reshape import normalize_dims
from .matmul import matmul

__all__ = ["einsum", "tensordot"]

_LETTERS = string.ascii_uppercase + string.ascii_lowercase  # in the order of implicit outputs

Label = str | int  # a letter, or a dimension that "..." stands for, counted from the last (-1, -2, ...)


class _Labelled:
    """A tensor whose dimensions have names."""

    __slots__ = ("labels", "tensor")

    def __init__(self, tensor: Tensor, labels: list[Label]) -> None:
        self.tensor, self.labels = tensor, labels

    def size(self, label: Label) -> int:
        return int(self.tensor.shape[self.labels.index(label)])

    def ordered(self, labels: Sequence[Label]) -> Tensor:
        return permute(self.tensor, *[self.labels.index(label) for label in labels])

    def without(self, labels: Sequence[Label]) -> _Labelled:
        """Summed over some of its dimensions."""
        if not labels:
            return self
        dims = [self.labels.index(label) for label in labels]
        wide = [d for d in dims if self.tensor.shape[d] != 1]
        tensor = sum_(self.tensor, wide, keepdim=True) if wide else self.tensor
        return _Labelled(tensor.squeeze(tuple(dims)), [label for label in self.labels if label not in labels])


def _term(text: str, x: Tensor | None, name: str) -> list[Label]:
    """The labels of a term; "..." stands for the dimensions that have none."""
    before, dots, after = text.partition("...")
    for letter in before + after:
        if letter not in _LETTERS:
            raise RuntimeError(f"einsum: {letter!r} in {name} is no letter" + ("; write an ellipsis as '...'" if letter == "." else ""))
    if x is None:
        return [*before, *(["..."] if dots else []), *after]
    missing = x.ndim - len(before) - len(after)
    if missing < 0 or (missing and not dots):
        raise RuntimeError(f"einsum: {name}, {text!r}, names {len(before) + len(after)} dimensions, but its shape is {tuple(x.shape)}")
    return [*before, *range(-missing, 0), *after]


def _with_diagonals(x: Tensor, labels: list[Label]) -> _Labelled:
    """One dimension for each label: the diagonal where it is repeated."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            i = labels.index(label)
            j = labels.index(label, i + 1)
            if x.shape[i] != x.shape[j]:
                raise RuntimeError(f"einsum: index {label!r} is repeated for sizes {x.shape[i]} and {x.shape[j]} of shape {tuple(x.shape)}")
            x = diagonal(x, 0, i, j)
            labels = [n for k, n in enumerate(labels) if k not in (i, j)] + [label]
    return _Labelled(x, labels)


def _contract(a: _Labelled, b: _Labelled, kept: set[Label]) -> _Labelled:
    """The product of two, summed over the labels that they share and nobody needs any more."""
    for label in [n for n in a.labels if n in b.labels]:  # a size of 1 broadcasts: it takes no part
        if a.size(label) != b.size(label):
            if a.size(label) == 1:
                a = a.without([label])
            else:
                b = b.without([label])
    a = a.without([n for n in a.labels if n not in b.labels and n not in kept])
    b = b.without([n for n in b.labels if n not in a.labels and n not in kept])
    shared = [n for n in a.labels if n in b.labels]
    batch, summed = [n for n in shared if n in kept], [n for n in shared if n not in kept]
    left, right = [n for n in a.labels if n not in shared], [n for n in b.labels if n not in shared]
    labels = [*batch, *left, *right]
    sizes = {n: a.size(n) for n in a.labels} | {n: b.size(n) for n in b.labels}
    shape = tuple(sizes[n] for n in labels)
    m, n, k, many = (math.prod([sizes[label] for label in group]) for group in (left, right, summed, batch))
    if not summed:
        x = a.ordered([*batch, *left]).reshape(many, m, 1)
        y = b.ordered([*batch, *right]).reshape(many, 1, n)
        return _Labelled(mul(x, y).reshape(shape), labels)
    x = a.ordered([*batch, *left, *summed]).reshape(many, m, k)
    y = b.ordered([*batch, *summed, *right]).reshape(many, k, n)
    return _Labelled(matmul(x, y).reshape(shape), labels)


def _from_sublists(args: Sequence[Any]) -> tuple[str, list[Any]]:
    """The form ``einsum(a, [0, 1], b, [1, 2], [0, 2])`` as an equation."""
    def term(sublist: Any) -> str:
        out = ""
        for entry in sublist:
            if entry is not Ellipsis and not (isinstance(entry, int) and 0 <= entry < len(_LETTERS)):
                raise RuntimeError(f"einsum: sublists hold integers from 0 to {len(_LETTERS) - 1} and ..., got {entry!r}")
            out += "..." if entry is Ellipsis else _LETTERS[entry]
        return out

    count = len(args) // 2
    equation = ",".join(term(args[2 * i + 1]) for i in range(count))
    return equation + (f"->{term(args[-1])}" if len(args) % 2 else ""), [args[2 * i] for i in range(count)]


@composite(
    method=False,
    samples=[
        Sample((Input((3, 4)), Input((4, 2))), arrange=lambda a, b: ("ij,jk->ik", a, b)),
        Sample((Input((2, 3, 4)), Input((2, 4))), arrange=lambda a, b: ("...ij,...j", a, b)),
        Sample((Input((3, 3)),), arrange=lambda a: ("ii->i", a)),
    ],
    reference=np.einsum,
    kinds="fc",
    error_inputs=[
        ErrorInput(lambda tg: tg.einsum(), RuntimeError, "einsum: expected an equation and operands"),
        ErrorInput(lambda tg: tg.einsum("ij,jk", tg.ones(2, 3)), RuntimeError, "einsum: the equation 'ij,jk' has 2 terms for 1 operands"),
        ErrorInput(lambda tg: tg.einsum("ij", tg.ones(2, 3, 4)), RuntimeError, r"einsum: term 0, 'ij', names 2 dimensions, but its shape is \(2, 3, 4\)"),
        ErrorInput(lambda tg: tg.einsum("i1", tg.ones(2, 3)), RuntimeError, "einsum: '1' in term 0 is no letter"),
        ErrorInput(lambda tg: tg.einsum("i..", tg.ones(2, 3)), RuntimeError, "write an ellipsis as '...'"),
        ErrorInput(lambda tg: tg.einsum("ij,jk", tg.ones(2, 3), tg.ones(2, 3)), RuntimeError, r"einsum: index 'j' has sizes 3 and 2 .*\(2, 3\), \(2, 3\)"),
        ErrorInput(lambda tg: tg.einsum("ii", tg.ones(2, 3)), RuntimeError, "einsum: index 'i' .*sizes 2 and 3"),
        ErrorInput(lambda tg: tg.einsum("ij->k", tg.ones(2, 3)), RuntimeError, "einsum: the output index 'k' is in no term"),
        ErrorInput(lambda tg: tg.einsum("ij->ii", tg.ones(2, 3)), RuntimeError, "einsum: the output index 'i' appears twice"),
        ErrorInput(lambda tg: tg.einsum(tg.ones(2), [77]), RuntimeError, "einsum: sublists hold integers from 0 to 51 and ..., got 77"),
        ErrorInput(lambda tg: tg.einsum("i", "x"), TypeError, r"einsum\(\): argument 'operand 0' must be a Tensor, not str"),
    ],
)
def einsum(*args: Any) -> Tensor:
    """The sum of products that an equation names: ``einsum("bij,bjk->bik", a, b)`` is a batched matrix product.

    Every dimension of every operand has a letter (``"..."`` stands for any number of dimensions, which broadcast from the right);
    operands are multiplied along equal letters, a letter repeated within a term takes the diagonal, and letters that the output lacks
    are summed over. Without ``->`` the output is ``...`` and then, in alphabetical order (capitals first), the letters that appear
    once. Sizes of 1 broadcast. Operands are contracted from left to right. ``einsum(a, [0, 1], b, [1, 2], [0, 2])`` names
    dimensions by numbers.

    Raises:
        RuntimeError: for an equation that does not fit the operands.
    """
    if not args:
        raise RuntimeError("einsum: expected an equation and operands")
    if isinstance(args[0], str):
        equation, operands = args[0], list(args[1:])
        if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
            operands = list(operands[0])
    else:
        equation, operands = _from_sublists(args)
    equation = "".join(equation.split())
    inputs, arrow, output = equation.partition("->")
    terms = inputs.split(",")
    if len(terms) != len(operands):
        raise RuntimeError(f"einsum: the equation {equation!r} has {len(terms)} terms for {len(operands)} operands")
    tensors = [as_tensor_input(x, "einsum", f"operand {i}") for i, x in enumerate(operands)]
    labels = [_term(term, x, f"term {i}") for i, (term, x) in enumerate(zip(terms, tensors, strict=True))]
    dots = sorted({n for term in labels for n in term if isinstance(n, int)})
    every = [n for term in labels for n in term]
    sizes: dict[Label, int] = {}
    for x, term in zip(tensors, labels, strict=True):
        for size, label in zip(map(int, x.shape), term, strict=True):
            if sizes.setdefault(label, size) == 1:
                sizes[label] = size
            elif size not in (1, sizes[label]):
                shown = "..." if isinstance(label, int) else label
                raise RuntimeError(f"einsum: index {shown!r} has sizes {sizes[label]} and {size} in operands of shapes {[tuple(t.shape) for t in tensors]}")
    if arrow:
        wanted: list[Label] = []
        for label in _term(output, None, "the output"):
            wanted += dots if label == "..." else [label]
    else:
        wanted = [*dots, *sorted(n for n in set(every) if isinstance(n, str) and every.count(n) == 1)]
    for label in wanted:
        if label not in sizes or wanted.count(label) > 1:
            raise RuntimeError(f"einsum: the output index {label!r} " + ("appears twice" if label in sizes else "is in no term"))
    parts = [_with_diagonals(x, term) for x, term in zip(tensors, labels, strict=True)]
    done = parts[0]
    for i, part in enumerate(parts[1:], 1):
        done = _contract(done, part, {*wanted, *(n for later in parts[i + 1 :] for n in later.labels)})
    done = done.without([n for n in done.labels if n not in wanted])
    return done.ordered(wanted)


# ------------------------------------------------------------------------------------------------------------- tensordot


def _np_tensordot(a: Any, b: Any, dims: Any = 2) -> Any:
    return np.tensordot(a, b, dims)


@composite(
    method=False,
    samples=[
        Sample((Input((2, 3, 4)), Input((3, 4, 2)))),
        Sample((Input((2, 3)), Input((2, 3))), {"dims": 0}),
        Sample((Input((2, 3, 4)), Input((4, 2, 5))), {"dims": ([0, -1], [1, 0])}),
        Sample((Input((2, 3)), Input((3, 2))), {"dims": 1}),
    ],
    reference=_np_tensordot,
    kinds="ifc",
    error_inputs=[
        ErrorInput(lambda tg: tg.tensordot(tg.ones(2, 3), tg.ones(2, 3), 1), RuntimeError, r"tensordot: dimensions \[1\] of shape \(2, 3\)"),
        ErrorInput(lambda tg: tg.tensordot(tg.ones(2), tg.ones(2), ([0], [])), RuntimeError, "tensordot: both lists of dims must be as long"),
        ErrorInput(lambda tg: tg.tensordot(tg.ones(2), tg.ones(2), 2), RuntimeError, "tensordot: dims=2 .* at most 1"),
        ErrorInput(lambda tg: tg.tensordot(tg.ones(2), tg.ones(2), ([1], [0])), IndexError, "tensordot: dimension 1 is out of range"),
    ],
)
def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """The products of ``a`` and ``b`` summed over pairs of dimensions: the last ``dims`` of a with the first of b, or two lists.

    The result has a's other dimensions, then b's.

    Raises:
        RuntimeError: when sizes or numbers of dimensions differ.
    """
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if not isinstance(dims, (int, list, tuple)):
        raise TypeError(f"tensordot(): argument 'dims' must be an integer or two lists, got {dims!r}")
    if isinstance(dims, int):
        most = min(a.ndim, b.ndim)
        if not 0 <= dims <= most:
            raise RuntimeError(f"tensordot: dims={dims} is out of range for shapes {tuple(a.shape)} and {tuple(b.shape)}: at least 0, at most {most}")
        left, right = tuple(range(a.ndim - dims, a.ndim)), tuple(range(dims))
    else:
        if len(dims[0]) != len(dims[1]):
            raise RuntimeError(f"tensordot: both lists of dims must be as long, got {list(dims[0])} and {list(dims[1])}")
        left, right = normalize_dims(dims[0], a.ndim, "tensordot"), normalize_dims(dims[1], b.ndim, "tensordot")
    if any(1 not in (a.shape[i], b.shape[j]) and a.shape[i] != b.shape[j] for i, j in zip(left, right, strict=True)):
        raise RuntimeError(
            f"tensordot: dimensions {list(left)} of shape {tuple(a.shape)} and {list(right)} of shape {tuple(b.shape)} have different sizes"
        )
    # a size of 1 is broadcast: the other tensor's elements are summed
    apart = [(i, j) for i, j in zip(left, right, strict=True) if a.shape[i] != b.shape[j]]
    if any(a.shape[i] != 1 for i, _ in apart):
        a = sum_(a, [i for i, _ in apart if a.shape[i] != 1], True)
    if any(b.shape[j] != 1 for _, j in apart):
        b = sum_(b, [j for _, j in apart if b.shape[j] != 1], True)
    rows, columns = [d for d in range(a.ndim) if d not in left], [d for d in range(b.ndim) if d not in right]
    m, n, k = (math.prod(part) for part in ([a.shape[d] for d in rows], [b.shape[d] for d in columns], [a.shape[d] for d in left]))
    x, y = permute(a, *rows, *left).reshape(m, k), permute(b, *right, *columns).reshape(k, n)
    return matmul(x, y).reshape(*[a.shape[d] for d in rows], *[b.shape[d] for d in columns])  # type: ignore[no-any-return]
