"""``python -m tapegrad ops``: the table of public operations, from the registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from . import ops  # noqa: F401  (registers them)
from .public import FUNCTIONS, Function
from .registry import REGISTRY, Op
from .scalarops import ElementwiseOp

_DEVICES = "cpu, cuda"  # the op matrix of tests/gpu runs every function on both
_KINDS = {"b": "bool", "i": "integer", "f": "float", "c": "complex"}


class Row(NamedTuple):
    """One public function.

    Attributes:
        kind: "elementwise", "op" (with VJP formulas of its own) or "composite" (made of others).
        dtypes: the kinds of dtypes that tests run it with.
        devices: where it has kernels; a composite is everywhere where its ops are.
        orders: up to which order its derivatives are checked against numerical ones; 0 where it has none.
        batching: the op's batching rule.
        samples: how many sample calls the tests try.
    """

    name: str
    kind: str
    dtypes: str
    devices: str
    orders: int
    batching: str
    samples: int


def _row(function: Function) -> Row:
    op = function.op
    samples = len(function.samples) or (len(op.samples) if op is not None else 0)
    kinds = (op.kinds if op is not None else "") or function.kinds
    kind = "composite" if op is None else "elementwise" if isinstance(op, ElementwiseOp) else "op"
    differentiable = function.differentiable and _has_derivative(op)
    return Row(
        function.name,
        kind,
        " ".join(_KINDS[k] for k in kinds),
        _DEVICES,
        2 if differentiable and samples else 0,
        "" if op is None else op.batch,
        samples,
    )


def _has_derivative(op: Op | None) -> bool:
    return op is None or bool(op.formulas if isinstance(op, ElementwiseOp) else op.vjp)


def rows() -> list[Row]:
    """Every public function of the registry, by name."""
    return [_row(FUNCTIONS[name]) for name in sorted(FUNCTIONS)]


def table(listed: Sequence[Row] | None = None) -> str:
    """The table as text."""
    found = rows() if listed is None else listed
    head = ("function", "kind", "dtypes checked", "devices", "orders", "batching", "samples")
    lines = [head, *(tuple(str(value or "-") for value in row) for row in found)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    text.append(f"{len(found)} functions, of {len(REGISTRY)} operations.")
    return "\n".join(text)
