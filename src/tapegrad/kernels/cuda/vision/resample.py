"""Linear maps along axes, given by tables: average pooling, padding by existing elements, interpolation; and their transposes.

A thread computes one position of a few planes, so that it reads the tables once for all of them. Transposed maps are gathered too, from
transposed tables, so that sums have a fixed order.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...axis_maps import Axis, Table, table
from .. import language as L
from ..array import CudaArray, contiguous, empty, to_device, zeros
from ..context import blocks_for, context
from ..elements import stored, to_computed, to_stored, unchanged
from ..kernel import family, from_text
from ..language import cuda, device
from .windows import SMALL, covered, three

_PLANES = 4  # that a thread computes
_AXES = "dhw"


@family(
    threads=256, dtype=("float32", "int64", "complex64"), runs=(False, True), weighted=(False,), divided=("in", "out"), dims=(2,),
    planes=(_PLANES,), wide=(False,),
)  # fmt: skip
def resample_kernel(dtype: str, runs: bool, weighted: bool, divided: str, dims: int, planes: int, wide: bool) -> Any:
    """Of each result a sum over elements of its plane.

    Args:
        dtype: of the planes and the results.
        runs: the table has (first element, count) for each result along an axis; else a count and then the elements.
        weighted: elements have weights.
        divided: "in" when elements are divided by a divisor, "out" when the results are.
        dims: the number of axes.
        planes: how many a thread computes.
        wide: whether places need 64 bits.
    """
    if dtype.startswith(("int", "uint", "bool")):
        T, get, put, divide, real = L.int64, _whole(), to_stored(dtype), _truncated, "int64"
    elif dtype.startswith("complex"):
        T, get, put, divide, real = getattr(L, dtype), unchanged, unchanged, _divided, "float32" if dtype == "complex64" else "float64"
    else:
        real = "float64" if dtype == "float64" else "float32"
        T, get, put, divide = getattr(L, real), to_computed(dtype), to_stored(dtype), _divided
    scope: dict[str, Any] = {"T": T, "R": getattr(L, real), "get": get, "put": put, "divide": divide, "cuda": cuda, "quotient": L.quotient}
    scope |= {"I": L.int64 if wide else L.int32}
    kernel = from_text(_source(runs, weighted, divided, dims, planes), scope, "resampling")
    return kernel, f"{stored(dtype)}* {stored(dtype)}* int32* {real}* {real}* {'int64 ' * 11}"


@device  # type: ignore[untyped-decorator]
def _divided(x, by):  # type: ignore[no-untyped-def]
    return x / by


@device  # type: ignore[untyped-decorator]
def _truncated(x, by):  # type: ignore[no-untyped-def]
    return x // by if x >= 0 else -(-x // by)


@functools.cache
def _whole() -> Any:
    int64 = L.int64

    @device
    def whole(x):  # type: ignore[no-untyped-def]
        return int64(x)

    return whole


def _source(runs: bool, weighted: bool, divided: str, dims: int, planes: int) -> str:
    axes = _AXES[3 - dims :]
    lines = [
        "def kernel(x, out, table, weights, divisors, planes, n, size_d, size_h, size_w, out_d, out_h, out_w, at_h, at_w, space):",
        "    at_d = 0",
        "    volume = I(I(size_d) * I(size_h) * I(size_w))",
        "    i = I(I(cuda.blockIdx.x) * I(cuda.blockDim.x) + I(cuda.threadIdx.x))",
        "    while i < I(n):",
        "        group = I(quotient(i, I(space)))",
        "        inside = I(i - group * I(space))",
        "        rest = inside",
    ]
    add = lines.append
    for axis in reversed(axes[1:]):
        add(f"        next = I(quotient(rest, I(out_{axis})))")
        add(f"        {axis} = I(rest - next * I(out_{axis}))")
        add("        rest = next")
    add(f"        {axes[0]} = rest")
    for r in range(planes):
        place = f"group * {planes} + {r}" if planes > 1 else "group"
        add(f"        base{r} = I(min(I({place}), I(planes - 1)) * volume)")
        add(f"        total{r} = T(0)")
    for axis in axes:
        add(f"        first_{axis} = I(at_{axis}) + {axis}")
        add(f"        count_{axis} = I(table[I(first_{axis} + {f'I(out_{axis})' if runs else '0'})])")
        if runs:
            add(f"        first_{axis} = I(table[first_{axis}])")
    depth, before, weight, by = 2, "I(0)", "", ""
    for axis in axes:
        indent = "    " * depth
        if axis == axes[-1]:
            lines.extend(f"{indent}sum{r} = T(0)" for r in range(planes))
        add(f"{indent}for k_{axis} in range(count_{axis}):")
        indent += "    "
        depth += 1
        if runs:
            add(f"{indent}from_{axis} = I(first_{axis} + k_{axis})")
        else:
            add(f"{indent}entry_{axis} = I(first_{axis} + (I(k_{axis}) + I(1)) * I(out_{axis}))")
            add(f"{indent}from_{axis} = I(table[entry_{axis}])")
        add(f"{indent}at{axis} = I({before} * I(size_{axis}) + from_{axis})" if axis != axes[0] else f"{indent}at{axis} = from_{axis}")
        if weighted:
            add(f"{indent}w{axis} = weights[entry_{axis}]")
            if axis != axes[-1]:
                add(f"{indent}weight_{axis} = {weight + ' * ' if weight else ''}w{axis}")
                weight = f"weight_{axis}"
        if divided == "in":
            start = {"d": "0", "h": "size_d", "w": "size_d + size_h"}[axis]
            add(f"{indent}by_{axis} = {by + ' * ' if by else ''}divisors[I({start}) + from_{axis}]")
            by = f"by_{axis}"
        before = f"at{axis}"
    indent = "    " * depth
    for r in range(planes):
        value = f"get(x[I(base{r} + {before})])"
        value = f"divide({value}, {by})" if divided == "in" else value
        add(f"{indent}sum{r} = T(sum{r} + {f'w{axes[-1]} * ' if weighted else ''}{value})")
    indent = "    " * (depth - 1)
    for r in range(planes):
        add(f"{indent}total{r} = T(total{r} + {f'{weight} * ' if weight else ''}sum{r})")
    if divided == "out":
        starts = {"d": "0", "h": "out_d", "w": "out_d + out_h"}
        add("        by = " + " * ".join(f"divisors[I({starts[axis]}) + {axis}]" for axis in axes))
    for r in range(planes):
        value = f"divide(total{r}, by)" if divided == "out" else f"total{r}"
        add(f"        if I(group * {planes} + {r}) < I(planes):")
        add(f"            out[I((group * {planes} + {r}) * I(space) + inside)] = put({value})")
    add("        i = I(i + I(cuda.gridDim.x) * I(cuda.blockDim.x))")
    return "\n".join(lines) + "\n"


class _Plan(NamedTuple):
    """How the kernel resamples arrays of one shape and dtype."""

    outs: tuple[int, ...]
    runs: bool
    weighted: bool
    divided: str
    at: tuple[int, int]  # where the tables of height and width begin
    table: CudaArray
    weights: CudaArray | None
    divisors: CudaArray | None


def resample(x: CudaArray, maps: tuple[Axis | None, ...], transposed: bool) -> CudaArray:
    """The maps of the last ``len(maps)`` axes applied to ``x``, or their transposes; None leaves an axis as it is."""
    first = next((k for k, m in enumerate(maps) if m is not None), len(maps))
    chosen = maps[first:]
    if len(chosen) > 3:
        for k, m in enumerate(maps):
            if m is not None:
                x = _along(x, x.ndim - len(maps) + k, m, transposed)
        return x
    if not chosen:
        return x.copy()
    dims = len(chosen)
    plan = _plan(x.shape[x.ndim - dims :], chosen, transposed, x.dtype.name, context.device)
    out = empty((*x.shape[: x.ndim - dims], *plan.outs), x.dtype)
    if not out.size:
        return out
    if not x.size:
        return zeros(out.shape, x.dtype)
    planes, space = math.prod(x.shape[: x.ndim - dims]), math.prod(plan.outs)
    together = _PLANES if planes >= _PLANES else 1
    n = -(-planes // together) * space
    kernel = resample_kernel(x.dtype.name, plan.runs, plan.weighted, plan.divided, dims, together, max(x.size, out.size) + _PLANES * space >= SMALL)
    sizes, outs = three(x.shape[x.ndim - dims :], 1), three(plan.outs, 1)
    blocks = blocks_for(n, L.BLOCK, 32)
    kernel.launch(blocks, L.BLOCK, contiguous(x), out, plan.table, plan.weights, plan.divisors, planes, n, *sizes, *outs, *plan.at, space)
    return out


def _along(x: CudaArray, axis: int, m: Axis, transposed: bool) -> CudaArray:
    """One axis of many."""
    shape = (math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :]))
    out = resample(contiguous(x).reshape(shape), (m, None), transposed)
    return out.reshape((*x.shape[:axis], out.shape[1], *x.shape[axis + 1 :]))  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=1024)
def _plan(sizes: tuple[int, ...], maps: tuple[Axis | None, ...], transposed: bool, dtype: str, number: int) -> _Plan:
    """Tables on the current device, which has this number."""
    runs = all(m is None or (m.kind in ("window", "adaptive") and m.options[3:4] in ((), (1,))) for m in maps)
    wide = dtype in ("float64", "complex128", "int64", "uint64")
    integer = dtype.startswith(("int", "uint", "bool"))
    real = np.dtype(np.int64 if integer else np.float64 if wide else np.float32)
    tables = [_identity(n) if m is None else table(m, wide, transposed) for m, n in zip(maps, sizes, strict=True)]
    outs = tuple([len(t.count) for t in tables])
    parts, weights = [], []
    for m, t in zip(maps, tables, strict=True):
        parts.append(_run(m, t, transposed) if runs else np.concatenate([t.count, t.index.T.ravel()]))
        weight = np.ones(t.index.shape) if t.weight is None else t.weight
        weights += [np.zeros(len(t.count)), weight.T.ravel()]
    weighted = any(t.weight is not None for t in tables)
    divisors = None
    if any(t.divisor is not None for t in tables):
        shapes = (1,) * (3 - len(maps)) + (sizes if transposed else outs)
        given = [None] * (3 - len(maps)) + [t.divisor for t in tables]
        divisors = to_device(np.concatenate([np.ones(n) if d is None else d for d, n in zip(given, shapes, strict=True)]).astype(real))
    lengths = [0] * (3 - len(maps)) + [len(p) for p in parts]
    return _Plan(
        outs,
        runs,
        weighted,
        "" if divisors is None else "in" if transposed else "out",
        (lengths[0], lengths[0] + lengths[1]),
        to_device(np.concatenate(parts).astype(np.int32)),
        to_device(np.concatenate(weights).astype(real)) if weighted else None,
        divisors,
    )


def _identity(size: int) -> Table:
    return Table(np.arange(size)[:, None], np.ones(size, np.int64), None, None)


def _run(m: Axis | None, t: Table, transposed: bool) -> np.ndarray[Any, Any]:
    """(first element, count) of each result."""
    if m is not None and transposed:
        return np.concatenate(covered(m))
    first = t.index[:, 0] if t.index.size else 0 * t.count
    return np.concatenate([first, t.count])


def pad_constant(x: CudaArray, pads: Sequence[tuple[int, int]], value: Any) -> CudaArray:
    """``x`` with so many elements before and after it along each axis; negative numbers cut off."""
    shape = tuple([n + before + after for n, (before, after) in zip(x.shape, pads, strict=True)])
    sizes = [max(n + min(before, 0) + min(after, 0), 0) for n, (before, after) in zip(x.shape, pads, strict=True)]
    part = x[tuple([slice(max(-b, 0), max(-b, 0) + n) for (b, _), n in zip(pads, sizes, strict=True)])]
    if part.shape == shape:
        return part.copy()  # type: ignore[no-any-return]
    if value:
        out = empty(shape, x.dtype)
        out.fill(value)
    else:
        out = zeros(shape, x.dtype)
    out[tuple([slice(max(b, 0), max(b, 0) + n) for (b, _), n in zip(pads, sizes, strict=True)])] = part
    return out
