"""The Python of elementwise kernels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..body import Body
from .elements import stored

_PARTS = {"complex64": "float32", "complex128": "float64"}


class Layout(NamedTuple):
    """How the arrays of a kernel lie.

    Attributes:
        width: how many neighbouring elements a thread computes at a time.
        rank: 0 where all arrays lie alike, else the number of dimensions.
        wide: places need 64 bits.
        fixed: arrays of which every element is the first, with dimensions: which repeat one element along the last, where width > 1.
    """

    width: int = 1
    rank: int = 0
    wide: bool = False
    fixed: tuple[int, ...] = ()


def kernel_source(body: Body, dtypes: tuple[str | None, ...], inputs: int, compute: str, layout: Layout) -> tuple[str, str]:
    """The Python that Numba compiles, and the types of its parameters.

    The parameters are the operands (arrays, complex ones as arrays of their parts; numbers, complex ones as two), the outputs, the number of
    elements, or with dimensions of vectors; the sizes of the dimensions, of the last one in vectors; the strides of each array.

    Args:
        body: what one element computes.
        dtypes: of inputs and outputs; None for an input that is passed by value.
        inputs: how many of them are inputs.
        compute: the dtype of the computation.
        layout: how the arrays lie.
    """
    return _Writer(body, dtypes, inputs, compute, layout).written()


class _Writer:
    def __init__(self, body: Body, dtypes: tuple[str | None, ...], inputs: int, compute: str, layout: Layout) -> None:
        self.body, self.dtypes, self.inputs, self.compute, self.layout = body, dtypes, inputs, compute, layout
        self.arrays = [k for k, d in enumerate(dtypes) if d is not None]
        self.moving = [k for k in self.arrays if k not in layout.fixed]

    def written(self) -> tuple[str, str]:
        body, layout = self.body, self.layout
        names, types = self.parameters()
        out = [f"# compute {self.compute}, {layout}", "@device", f"def element({', '.join(body.inputs)}):"]
        out += [f"    {line}" for line in body.statements(self.compute)]
        out += [f"    return {', '.join(body.results)}{',' if len(body.results) == 1 else ''}", ""]
        out += [f"def kernel({', '.join(names)}):"]
        out += [f"    e{k} = {self.number(k)}" for k in range(self.inputs) if self.dtypes[k] is None]
        if not layout.rank:
            out += [f"    e{k} = {self.read(k, '0')}" for k in layout.fixed if k < self.inputs]
        step = layout.width if not layout.rank else 1
        out += [f"    i = (int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)) * {step}"]
        out += [f"    step = int64(cuda.gridDim.x) * int64(cuda.blockDim.x) * {step}"]
        if layout.rank:
            out += ["    while i < n:", *self.places()]
            out += self.vector("at") if layout.width > 1 else self.single("at")
            out += ["        i += step"]
        else:
            if layout.width > 1:
                out += [f"    while i + {layout.width} <= n:", *self.vector(""), "        i += step"]
            out += ["    while i < n:", *self.single(""), "        i += 1" if layout.width > 1 else "        i += step"]
        return "\n".join(out) + "\n", " ".join(types)

    def parameters(self) -> tuple[list[str], list[str]]:
        scalar = "int64" if np.dtype(self.compute).kind in "bui" else "float64" if self.compute in ("float64", "complex128") else "float32"
        names, types = [], []
        for k, dtype in enumerate(self.dtypes):
            if dtype is not None:
                names.append(f"p{k}")
                types.append(f"{stored(_PARTS.get(dtype, dtype))}*")
            elif self.compute in _PARTS:
                names += [f"s{k}", f"i{k}"]
                types += [scalar] * 2
            else:
                names.append(f"s{k}")
                types.append(scalar)
        rank = range(self.layout.rank)
        numbers = ["n", *[f"m{d}" for d in rank], *[f"t{k}_{d}" for k in self.arrays for d in rank]]
        return names + numbers, types + ["int64"] * len(numbers)

    def places(self) -> list[str]:
        """The places of the i-th element or vector in all arrays: at0, at1, ..."""
        layout, index = self.layout, "int64" if self.layout.wide else "int32"
        out = [f"        rest = {index}(i)"]
        for d in range(layout.rank - 1, 0, -1):
            quotient = f"rest // m{d}" if layout.wide else f"quotient(rest, int32(m{d}))"
            out += [f"        next{d} = {quotient}", f"        x{d} = {index}(rest - next{d} * {index}(m{d}))", f"        rest = next{d}"]
        out += ["        x0 = rest"]
        last = layout.rank - 1
        for k in self.arrays:
            terms = [f"x{d} * {index}(t{k}_{d})" for d in range(layout.rank if layout.width == 1 else last)]
            if layout.width > 1 and k in self.moving:
                terms.append(f"x{last} * {index}({layout.width})")
            out.append(f"        at{k} = " + (" + ".join(terms) or f"{index}(0)"))
        return out

    # ------------------------------------------------------------------------------------------- reading and computing

    def single(self, at: str) -> list[str]:
        """One element."""
        place = {k: f"{at}{k}" if at else "i" for k in self.arrays}
        given = [self.read(k, place[k]) if self.dtypes[k] is not None and (at or k in self.moving) else f"e{k}" for k in range(self.inputs)]
        out = [f"        r = element({', '.join(given)})"]
        for o, k in enumerate(range(self.inputs, len(self.dtypes))):
            parts = self.stored(f"r[{o}]", str(self.dtypes[k]))
            out += [f"        p{k}[{self.scaled(k, place[k])}{f' + {j}' if j else ''}] = {part}" for j, part in enumerate(parts)]
        return out

    def vector(self, at: str) -> list[str]:
        """Neighbouring elements, as many as the layout's width."""
        width, given, out = self.layout.width, {}, []
        for k in range(self.inputs):
            dtype = self.dtypes[k]
            if k in self.moving:
                parts = 2 if dtype in _PARTS else 1
                out.append(f"        v{k} = load{width * parts}(p{k}, {self.scaled(k, f'{at}{k}' if at else 'i')})")
                given[k] = [self.value(k, [f"v{k}[{j * parts + part}]" for part in range(parts)]) for j in range(width)]
            elif dtype is not None and at:
                out.append(f"        e{k} = {self.read(k, f'{at}{k}')}")
        for j in range(width):
            values = [given[k][j] if k in given else f"e{k}" for k in range(self.inputs)]
            out += [f"        r{j} = element({', '.join(values)})"]
        for o, k in enumerate(range(self.inputs, len(self.dtypes))):
            made = [part for j in range(width) for part in self.stored(f"r{j}[{o}]", str(self.dtypes[k]))]
            out += [f"        store{len(made)}(p{k}, {self.scaled(k, f'{at}{k}' if at else 'i')}, ({', '.join(made)}))"]
        return out

    def scaled(self, k: int, place: str) -> str:
        """The place of an element's first part."""
        return f"2 * {place}" if self.dtypes[k] in _PARTS else place

    def read(self, k: int, place: str) -> str:
        """One element of an input, in the dtype of the computation."""
        first = self.scaled(k, place)
        return self.value(k, [f"p{k}[{first}]", f"p{k}[{first} + 1]"] if self.dtypes[k] in _PARTS else [f"p{k}[{first}]"])

    def value(self, k: int, parts: list[str]) -> str:
        """What was read of an input, in the dtype of the computation."""
        if self.body.inputs[k] in self.body.booleans:
            return " or ".join(f"{part} != 0" for part in parts)
        if self.dtypes[k] == "float16":
            return f"T(half_to_float({parts[0]}))"
        if self.dtypes[k] == "bfloat16":
            return f"T(bfloat16_to_float({parts[0]}))"
        return f"T(complex({', '.join(parts)}))" if len(parts) > 1 and self.compute in _PARTS else f"T({parts[0]})"

    def number(self, k: int) -> str:
        """An input that is passed by value."""
        if self.body.inputs[k] in self.body.booleans:
            return f"s{k} != 0"
        return f"T(complex(s{k}, i{k}))" if self.compute in _PARTS else f"T(s{k})"

    def stored(self, result: str, dtype: str) -> list[str]:
        """What is written of a result, in parts."""
        if self.compute in _PARTS and dtype not in _PARTS:
            result = f"({result} != 0)" if dtype == "bool" else f"{result}.real"
        if dtype in _PARTS:
            return [f"{_PARTS[dtype]}({dtype}({result}).{part})" for part in ("real", "imag")]
        if dtype == "bool":
            return [f"uint8(1) if {result} else uint8(0)"]
        if dtype in ("float16", "bfloat16"):
            return [f"float_to_{'half' if dtype == 'float16' else dtype}(float32({result}))"]
        return [f"{dtype}({result})"]
