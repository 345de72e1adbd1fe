"""Source of elementwise CUDA kernels, for numba.cuda to compile: a grid-stride loop over flat arrays."""

from __future__ import annotations

from ..body import Body


def kernel_source(body: Body, in_dtypes: tuple[str, ...], out_dtypes: tuple[str, ...], compute: str, scalars: tuple[int, ...] = ()) -> str:
    """The kernel ``kernel(pointers of inputs..., pointers of outputs..., n)`` over n contiguous elements, with 64-bit indices.

    Inputs whose positions are in ``scalars`` are passed by value. ``T`` and the scalar functions are the compiler module's to
    supply; every literal is wrapped in ``T``, since a double in a float32 kernel is ruinous on a GPU.
    """
    count = len(in_dtypes)
    inputs = [name if i in scalars else f"p{i}" for i, name in enumerate(body.inputs)]
    outputs = [f"p{count + k}" for k in range(len(out_dtypes))]
    lines = [f"# compute {compute}", f"def kernel({', '.join([*inputs, *outputs])}, n):"]
    lines += [f"    {body.inputs[i]} = T({body.inputs[i]})" for i in scalars]
    lines += ["    i = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)"]
    lines += ["    step = int64(cuda.gridDim.x) * int64(cuda.blockDim.x)", "    while i < n:"]
    for k, (name, dtype) in enumerate(zip(body.inputs, in_dtypes, strict=True)):
        if k not in scalars:
            place = f"p{k}[i] != 0" if name in body.booleans else f"T({_widened(f'p{k}[i]', dtype)})"
            lines.append(f"        {name} = {place}")
    lines += [f"        {line}" for line in body.lines]
    for pointer, result, dtype in zip(outputs, body.results, out_dtypes, strict=True):
        lines.append(f"        {pointer}[i] = {_narrowed(result, dtype)}")
    lines.append("        i += step")
    return "\n".join(lines) + "\n"


def _widened(place: str, dtype: str) -> str:
    return f"float32({place})" if dtype in ("float16", "bfloat16") else place


def _narrowed(result: str, dtype: str) -> str:
    return f"uint8({result})" if dtype == "bool" else f"{dtype}({result})"
