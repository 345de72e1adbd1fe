"""Elementwise kernels, generated from a body of scalar statements (see ``expr.emit``), and what is made of them: copies and casts.

Dimensions are joined as far as strides allow. Where all arrays lie alike, a thread computes a vector of neighbouring elements that it reads and
writes with accesses of up to 16 bytes. Else it finds the place of each element by division; or of a vector, where elements of every array are
neighbours, or the same one, along the innermost dimension.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..body import Body
from . import language as L, scalars
from .array import CudaArray, empty, to_device
from .context import blocks_for, context, on_device
from .dimensions import SMALL as _SMALL, merged, strides_of
from .elementwise_source import Layout, kernel_source
from .kernel import Kernel, from_text
from .planned import planned as planned_once
from .transpose import turn

_BYTES = 16  # of the widest access
_NUMBERS = (float, int, complex)
_MAX_PLANS = 4096


class _Plan(NamedTuple):
    kernel: Kernel
    blocks: tuple[int, int, int]
    numbers: tuple[int, ...]  # sizes and strides


def run(body: Body, operands: Sequence[Any], outputs: Sequence[CudaArray], compute: np.dtype[Any]) -> None:
    """Compute ``body`` on broadcast operands in dtype ``compute`` and write the outputs, all of the broadcast shape.

    Operands are arrays of the device, arrays without dimensions of the host, or numbers. An output may be the very same memory as an
    operand; any other overlap is the caller's to avoid.
    """
    if outputs[0].size == 0:
        return
    operands = [o.item() if o.__class__ is not CudaArray and not isinstance(o, _NUMBERS) else o for o in operands]
    plan = planned(body, operands, outputs, compute)
    values: list[Any] = []
    for o in operands:
        values += (o,) if o.__class__ is CudaArray else numbers(o, compute)
    plan.kernel.launch(plan.blocks, (L.BLOCK, 1, 1), *values, *outputs, *plan.numbers)


def planned(body: Body, operands: Sequence[Any], outputs: Sequence[CudaArray], compute: np.dtype[Any]) -> _Plan:
    """What to launch on operands (arrays and numbers) and outputs like these."""
    key = ("cuda", compute.num, *[_key(o) for o in (*operands, *outputs)])
    plan = body.plans.get(key)
    if plan is None:
        if len(body.plans) >= _MAX_PLANS:
            body.plans.clear()
        plan = body.plans[key] = _plan(body, operands, outputs, compute)
    return plan  # type: ignore[no-any-return]


def _key(o: Any) -> Any:
    return (o.shape, o.strides, o.dtype.num, o.address % _BYTES) if o.__class__ is CudaArray else None


def numbers(value: Any, compute: np.dtype[Any]) -> tuple[Any, ...]:
    """A number as a kernel of this dtype takes it by value: one parameter, of complex ones two."""
    if compute.kind in "bui":
        value = int(value)
        return (value - 2**64 if value >= 2**63 else value,)
    if compute.kind == "c":
        real = np.float64 if compute.itemsize == 16 else np.float32
        return real(value.real), real(value.imag)
    return (np.float64(value) if compute.itemsize == 8 and compute.kind == "f" else np.float32(value),)


def _plan(body: Body, operands: Sequence[Any], outputs: Sequence[CudaArray], compute: np.dtype[Any]) -> _Plan:
    shape = outputs[0].shape
    arrays = {k: a for k, a in enumerate((*operands, *outputs)) if a.__class__ is CudaArray}
    names = tuple([arrays[k].dtype.name if k in arrays else None for k in range(len(operands) + len(outputs))])
    sizes, joint = joined(shape, [strides_of(a, shape) for a in arrays.values()])
    steps = dict(zip(arrays, joint, strict=True))
    if body is _SAME and len(arrays) == 2 and names[0] == names[1] and all(a.address % a.itemsize == 0 for a in arrays.values()):
        found = turn(sizes, joint[0], joint[1], outputs[0].itemsize)
        if found is not None:
            return _Plan(found.kernel, (blocks_for(found.tiles, 1), 1, 1), found.numbers)
    n = math.prod(shape)
    wide = n >= _SMALL or any(sum((m - 1) * abs(s) for m, s in zip(sizes, step, strict=True)) >= _SMALL for step in joint)
    moving = {k: a for k, a in arrays.items() if steps[k] and steps[k][-1] != 0}
    width = 1
    if all(step in ([], [1], [0]) or step[-1] in (0, 1) for step in joint):
        width = min(max(_BYTES // max([a.itemsize for a in moving.values()], default=_BYTES), 1), 8 if len(arrays) > 2 or body.lines else 16)
    flat = len(sizes) <= 1 and all(step in ([], [1], [0]) for step in joint)
    last = n if flat else sizes[-1]
    while width > 1 and (
        (n < width if flat else last % width)
        or any(a.address % (width * a.itemsize) for a in moving.values())
        or any(s % width for k in moving for s in steps[k][:-1])
    ):
        width //= 2
    whole = compute.name if compute.name != "bfloat16" else "float32"
    if flat:
        fixed = tuple([k for k in arrays if k not in moving and steps[k]])
        layout = Layout(width, 0, wide, fixed)
        return _Plan(_kernel(body, names, len(operands), whole, layout), _grid(-(-n // width)), (n,))
    layout = Layout(width, len(sizes), wide, tuple([k for k in arrays if k not in moving]) if width > 1 else ())
    sizes[-1] //= width
    units = n // width
    return _Plan(_kernel(body, names, len(operands), whole, layout), _grid(units), (units, *sizes, *[s for step in joint for s in step]))


def _grid(units: int) -> tuple[int, int, int]:
    return blocks_for(units, L.BLOCK), 1, 1


def joined(shape: Sequence[int], strides: Sequence[Sequence[int]]) -> tuple[list[int], list[list[int]]]:
    """Fewer dimensions that mean the same: sorted by the last array's strides, without those of size 1, neighbours joined where all
    arrays allow it. (sizes, strides of each array), outermost first.
    """
    order = sorted(range(len(shape)), key=lambda d: (-abs(strides[-1][d]), d))
    dims = merged([shape[d], *[s[d] for s in strides]] for d in order)
    return [d[0] for d in dims], [[d[1 + k] for d in dims] for k in range(len(strides))]


def _kernel(body: Body, dtypes: tuple[str | None, ...], inputs: int, compute: str, layout: Layout) -> Kernel:
    key = ("cuda kernel", dtypes, inputs, compute, layout)
    found = body.plans.get(key)
    if found is None:
        source, signature = kernel_source(body, dtypes, inputs, compute, layout)
        found = body.plans[key] = kernel_of(source, signature, compute)
    return found  # type: ignore[no-any-return]


@functools.cache
def kernel_of(source: str, signature: str, compute: str) -> Kernel:
    """The same kernel for the same text: many ops and their derivatives have equal bodies."""

    def make() -> tuple[Any, str]:
        scope = L.words() | scalars.functions("float32" if compute in ("float16", "bfloat16") else compute) | {"device": L.device}
        return from_text(source, scope, "elementwise kernel"), signature

    return Kernel("elementwise\n" + source, make, L.BLOCK, key=f"{signature}\n{source}")


# ------------------------------------------------------------------------------------------------------------- copies

_SAME = Body(("a",), (), ("a",))


@planned_once
def copy(x: CudaArray) -> CudaArray:
    """A row-major copy."""
    return cast(x, x.dtype)


@planned_once
def cast(x: CudaArray, dtype: np.dtype[Any]) -> CudaArray:
    """A row-major copy in another dtype."""
    if context.only != context.device and x.device != context.device:
        with on_device(x.device):
            return cast(x, dtype)
    out = empty(x.shape, dtype)
    assign(out, x)
    return out


def assign(target: CudaArray, value: Any) -> None:
    """Write a number or an array, broadcast, to an array; arrays of the host are copied first."""
    if context.only != context.device and target.device != context.device:
        with on_device(target.device):
            return assign(target, value)
    if value.__class__ is CudaArray or (value.__class__ in (bool, int, float) and value in (0, 1)):
        _assigned(target, value)
    else:
        _assign(target, value)


@planned_once
def _assigned(target: CudaArray, value: Any) -> CudaArray:
    _assign(target, value)
    return target


def _assign(target: CudaArray, value: Any) -> None:
    if isinstance(value, np.ndarray) and value.__class__ is not CudaArray:
        value = to_device(value.astype(target.dtype)) if value.size > 1 else value.astype(target.dtype).item()
    if target.dtype.kind == "b" and not isinstance(value, np.ndarray):
        value = bool(value)
    wide = value.dtype if isinstance(value, np.ndarray) else target.dtype
    compute = wide if wide.itemsize >= target.dtype.itemsize and wide.kind not in "bui" else target.dtype
    if isinstance(value, np.ndarray) and wide.kind in "bui" and target.dtype.kind in "bui":
        compute = np.dtype(np.int64)
    if compute.name in ("float16", "bfloat16"):
        compute = np.dtype(np.float32)
    elif compute.kind == "b":
        compute = np.dtype(np.int64)
    run(_SAME, (value,), (target,), compute)


# ------------------------------------------------------------------------------------------------------------------ sums

_ADD = Body(("a", "b"), ("t0 = a + b",), ("t0",))


@planned_once
def accumulate(into: CudaArray, value: Any) -> CudaArray:
    """``into += value`` (broadcast), in the memory of ``into``; returns it."""
    run(_ADD, (into, value), (into,), into.dtype)
    return into


@planned_once
def added(a: CudaArray, b: Any) -> CudaArray:
    """``a + b`` (broadcast to ``a``) in new memory."""
    total = empty(a.shape, a.dtype)
    run(_ADD, (a, b), (total,), a.dtype)
    return total
