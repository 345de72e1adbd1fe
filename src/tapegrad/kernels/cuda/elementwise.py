"""Elementwise kernels, generated from a body of scalar statements (see ``expr.emit``), and what is made of them: copies and casts.

Where all arrays lie alike, a thread computes a vector of neighbouring elements that it reads and writes with accesses of up to 16 bytes.
Else dimensions are joined as far as strides allow, and a thread finds each element's place by division.
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
from .context import blocks_for
from .elements import stored
from .kernel import Kernel

_BYTES = 16  # of the widest access
_NUMBERS = (float, int)
_MAX_PLANS = 4096
_SMALL = 2**31  # elements below which 32-bit indices do


class _Plan(NamedTuple):
    kernel: Kernel
    units: int  # threads wanted
    numbers: tuple[int, ...]  # sizes and strides


def run(body: Body, operands: Sequence[Any], outputs: Sequence[CudaArray], compute: np.dtype[Any]) -> None:
    """Compute ``body`` on broadcast operands in dtype ``compute`` and write the outputs, all of the broadcast shape.

    Operands are arrays of the device, arrays without dimensions of the host, or numbers. An output may be the very same memory as an
    operand; any other overlap is the caller's to avoid.
    """
    if outputs[0].size == 0:
        return
    operands = [o.item() if o.__class__ is not CudaArray and not isinstance(o, _NUMBERS) else o for o in operands]
    key = ("cuda", compute.num, *[_key(o) for o in (*operands, *outputs)])
    plan = body.plans.get(key)
    if plan is None:
        if len(body.plans) >= _MAX_PLANS:
            body.plans.clear()
        plan = body.plans[key] = _plan(body, operands, outputs, compute)
    values = [o if o.__class__ is CudaArray else number(o, compute) for o in operands]
    plan.kernel.launch(blocks_for(plan.units, L.BLOCK), L.BLOCK, *values, *outputs, *plan.numbers)


def _key(o: Any) -> Any:
    return (o.shape, o.strides, o.dtype.num, o.address % _BYTES) if o.__class__ is CudaArray else None


def number(value: Any, compute: np.dtype[Any]) -> Any:
    """A number as a kernel of this dtype takes it by value."""
    if compute.kind in "bui":
        return int(value)
    if compute.kind == "c":
        return complex(value)
    return np.float64(value) if compute.itemsize == 8 and compute.kind == "f" else np.float32(value)


def _scalar_type(compute: np.dtype[Any]) -> str:
    return "int64" if compute.kind in "bui" else "float64" if compute.name == "float64" else "float32"


def _plan(body: Body, operands: Sequence[Any], outputs: Sequence[CudaArray], compute: np.dtype[Any]) -> _Plan:
    shape = outputs[0].shape
    arrays = [o if o.__class__ is CudaArray else None for o in (*operands, *outputs)]
    strides = [None if a is None else _strides(a, shape) for a in arrays]
    sizes, steps = joined(shape, [s for s in strides if s is not None])
    names = tuple([None if a is None else a.dtype.name for a in arrays])
    flat = len(sizes) <= 1 and all(step in ([], [1], [0]) for step in steps)
    n = math.prod(shape)
    wide = n >= _SMALL or any(sum((m - 1) * abs(s) for m, s in zip(sizes, step, strict=True)) >= _SMALL for step in steps)
    if not flat:
        kernel = _kernel(body, names, len(operands), compute.name, 1, len(sizes), wide, ())
        return _Plan(kernel, n, (n, *sizes, *[s for step in steps for s in step]))
    present = [a for a in arrays if a is not None]
    fixed = tuple([k for k, step in zip([k for k, a in enumerate(arrays) if a is not None], steps, strict=True) if step == [0]])
    moving = [a for k, a in enumerate(arrays) if a is not None and k not in fixed]
    width = _BYTES // max(a.itemsize for a in moving)
    width = min(max(width, 1), 8 if len(present) > 2 or body.lines else 16)
    while width > 1 and (n < width or any(a.address % (width * a.itemsize) for a in moving)):
        width //= 2
    return _Plan(_kernel(body, names, len(operands), compute.name, width, 0, wide, fixed), -(-n // width), (n,))


def _strides(array: CudaArray, shape: tuple[int, ...]) -> list[int]:
    """Strides in elements, 0 where the array is broadcast."""
    missing = len(shape) - array.ndim
    return [0] * missing + [0 if m == 1 else s // array.itemsize for m, s in zip(array.shape, array.strides, strict=True)]


def joined(shape: Sequence[int], strides: Sequence[Sequence[int]]) -> tuple[list[int], list[list[int]]]:
    """Fewer dimensions that mean the same: sorted by the last array's strides, without those of size 1, neighbours joined where all
    arrays allow it. (sizes, strides of each array), outermost first.
    """
    order = sorted((d for d in range(len(shape)) if shape[d] != 1), key=lambda d: (-abs(strides[-1][d]), d))
    sizes: list[int] = []
    steps: list[list[int]] = [[] for _ in strides]
    for d in order:
        if sizes and all(step[-1] == s[d] * shape[d] for step, s in zip(steps, strides, strict=True)):
            sizes[-1] *= shape[d]
            for step, s in zip(steps, strides, strict=True):
                step[-1] = s[d]
        else:
            sizes.append(shape[d])
            for step, s in zip(steps, strides, strict=True):
                step.append(s[d])
    return sizes, steps


def _kernel(
    body: Body, dtypes: tuple[str | None, ...], inputs: int, compute: str, width: int, rank: int, wide: bool, fixed: tuple[int, ...]
) -> Kernel:
    source, signature = kernel_source(body, dtypes, inputs, compute, width, rank, wide, fixed)
    return _of_source(source, signature, compute)


@functools.cache
def _of_source(source: str, signature: str, compute: str) -> Kernel:
    """The same kernel for the same text: many ops and their derivatives have equal bodies."""

    def make() -> tuple[Any, str]:
        scope = dict(scalars.functions("float32" if compute in ("float16", "bfloat16") else compute))
        scope |= {name: getattr(L, name) for name in L.__dict__ if name.startswith(("load", "store", "int", "uint", "float", "half", "bfloat", "complex"))}
        scope |= {"cuda": L.cuda, "device": L.device}
        exec(compile(source, "<tapegrad CUDA elementwise kernel>", "exec"), scope)
        return scope["kernel"], signature

    return Kernel("elementwise\n" + source, make, L.BLOCK, key=source)


def kernel_source(
    body: Body, dtypes: tuple[str | None, ...], inputs: int, compute: str, width: int, rank: int, wide: bool, fixed: tuple[int, ...] = ()
) -> tuple[str, str]:
    """The Python that Numba compiles, and the types of its parameters.

    Args:
        body: what one element computes.
        dtypes: of inputs and outputs; None for an input that is passed by value.
        inputs: how many of them are inputs.
        compute: the dtype of the computation.
        width: how many neighbouring elements a thread computes at a time, where all arrays lie alike.
        rank: 0 where they do, else the number of dimensions.
        wide: whether places need 64 bits.
        fixed: arrays of which every element is the first.
    """
    names = [f"p{k}" if d is not None else f"s{k}" for k, d in enumerate(dtypes)]
    scalar = _scalar_type(np.dtype(compute) if compute != "bfloat16" else np.dtype("float32"))
    types = [scalar if d is None else f"{stored(d)}*" for d in dtypes]
    index = "int64" if wide else "int32"
    arrays = [k for k, d in enumerate(dtypes) if d is not None]
    numbers = ["n"] + [f"m{d}" for d in range(rank)] + [f"t{k}_{d}" for k in arrays for d in range(rank)]
    out = [f"# compute {compute}, width {width}, rank {rank}", "@device", f"def element({', '.join(body.inputs)}):"]
    out += [f"    {line}" for line in body.lines]
    out += [f"    return {', '.join(body.results)}{',' if len(body.results) == 1 else ''}", ""]
    out += [f"def kernel({', '.join([*names, *numbers])}):"]
    out += [f"    {body.inputs[k]} = {_value(body, k, None, compute, names[k])}" for k in range(inputs) if dtypes[k] is None]
    out += [f"    {body.inputs[k]} = {_value(body, k, dtypes[k], compute, f'p{k}[0]')}" for k in range(inputs) if k in fixed]
    out += [f"    i = (int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)) * {width}"]
    out += [f"    step = int64(cuda.gridDim.x) * int64(cuda.blockDim.x) * {width}"]
    moving = [k for k in range(inputs) if dtypes[k] is not None and k not in fixed]
    if width > 1:
        out += [f"    while i + {width} <= n:"]
        out += [f"        v{k} = load{width}(p{k}, i)" for k in moving]
        for j in range(width):
            given = [_value(body, k, dtypes[k], compute, f"v{k}[{j}]") if k in moving else body.inputs[k] for k in range(inputs)]
            out += [f"        r{j} = element({', '.join(given)})"]
        for o, k in enumerate(range(inputs, len(dtypes))):
            out += [f"        store{width}(p{k}, i, ({', '.join(_stored(f'r{j}[{o}]', str(dtypes[k])) for j in range(width))}))"]
        out += ["        i += step"]
    out += ["    while i < n:"]
    if rank:
        out += [f"        rest = {index}(i)"]
        for d in range(rank - 1, 0, -1):
            out += [f"        next{d} = rest // {index}(m{d})", f"        x{d} = rest - next{d} * {index}(m{d})", f"        rest = next{d}"]
        out += ["        x0 = rest"]
        out += [f"        at{k} = " + " + ".join(f"x{d} * {index}(t{k}_{d})" for d in range(rank)) for k in arrays]
    place = {k: f"p{k}[{'at' + str(k) if rank else 'i'}]" for k in arrays}
    given = [_value(body, k, dtypes[k], compute, place[k]) if k in moving else body.inputs[k] for k in range(inputs)]
    out += [f"        r = element({', '.join(given)})"]
    out += [f"        {place[k]} = {_stored(f'r[{o}]', str(dtypes[k]))}" for o, k in enumerate(range(inputs, len(dtypes)))]
    out += ["        i += 1" if width > 1 else "        i += step"]
    return "\n".join(out) + "\n", " ".join([*types, *["int64"] * len(numbers)])


def _value(body: Body, k: int, dtype: str | None, compute: str, place: str) -> str:
    """An input's value in the dtype of the computation."""
    if body.inputs[k] in body.booleans:
        return f"{place} != 0"
    if dtype == "float16":
        place = f"half_to_float({place})"
    if dtype == "bfloat16":
        place = f"bfloat16_to_float({place})"
    if dtype is not None and dtype.startswith("complex") and not compute.startswith("complex"):
        place = f"{place}.real"
    return f"T({place})"


def _stored(result: str, dtype: str) -> str:
    if dtype == "bool":
        return f"uint8(1) if {result} else uint8(0)"
    if dtype == "float16":
        return f"float_to_half(float32({result}))"
    if dtype == "bfloat16":
        return f"float_to_bfloat16(float32({result}))"
    return f"{dtype}({result})"


# ------------------------------------------------------------------------------------------------------------- copies

_SAME = Body(("a",), (), ("a",))


def copy(x: CudaArray) -> CudaArray:
    """A row-major copy."""
    return cast(x, x.dtype)


def cast(x: CudaArray, dtype: np.dtype[Any]) -> CudaArray:
    """A row-major copy in another dtype."""
    out = empty(x.shape, dtype)
    assign(out, x)
    return out


def assign(target: CudaArray, value: Any) -> None:
    """Write a number or an array, broadcast, to an array; arrays of the host are copied first."""
    if isinstance(value, np.ndarray) and value.__class__ is not CudaArray:
        value = to_device(value.astype(target.dtype))
    wide = value.dtype if isinstance(value, np.ndarray) else target.dtype
    compute = wide if wide.itemsize >= target.dtype.itemsize and wide.kind not in "bui" else target.dtype
    if isinstance(value, np.ndarray) and wide.kind in "bui" and target.dtype.kind in "bui":
        compute = np.dtype(np.int64)
    if compute.name in ("float16", "bfloat16"):
        compute = np.dtype(np.float32)
    elif compute.kind == "b":
        compute = np.dtype(np.int64)
    run(_SAME, (value,), (target,), compute)
