"""Kernels of attention: for a tile of rows all tiles of columns, of which the scores are there one tile at a time.

All four passes are one scheme: a tile of weights W is made from products of rows (queries or keys) and columns (the others), and then
multiplies a third operand. The passes are "out" (the forward one: rows are queries, W the exponentials of scores, and what is summed so
far shrinks when a larger score comes), "query" (rows are queries, W the derivative with respect to the scores), "key" and "value" (rows
are keys; W are the derivatives, and the weights). So every sum is that of one thread, in order.

Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018, https://arxiv.org/abs/1805.02867; Dao et al.,
"FlashAttention", 2022, https://arxiv.org/abs/2205.14135.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .. import language as L
from ..elements import computed, stored, to_computed, to_stored, type_of
from ..kernel import family, from_text
from ..language import cuda, device
from ..linalg.gemm_kernels import Slab, fetch_of, vector
from .teams import WARP, team_sum

PASSES = ("out", "query", "key", "value")
_EACH = 4  # rows and columns of scores of a thread
_UNROLLED = 4  # products of a slab that the text has one after the other


class Tile(NamedTuple):
    """Rows (and as many columns) of a tile of scores, products of a slab of rows and of columns."""

    side: int
    depth: int

    @property
    def across(self) -> int:
        """Threads along the columns."""
        return self.side // _EACH

    @property
    def threads(self) -> int:
        return self.across**2


def tile_of(dtype: str) -> Tile:
    """Tiles that leave shared memory to two blocks; in the simulator one that takes little time."""
    if L.SIMULATED:
        return Tile(16, 4)
    return Tile(32, 16) if dtype == "float64" else Tile(64, 16)


def widths(dtype: str, aligned: bool) -> tuple[int, ...]:
    """How many columns of the result a block computes: one of these. Its threads read a row of them at once, at most."""
    tile = tile_of(dtype)
    several = (4, 8) if dtype == "float64" or L.SIMULATED else (4, 8, 16)
    return tuple([n * tile.across for n in several if n * tile.across <= tile.threads * (vector(dtype) if aligned else 1)])


# The kernel's parameters behind the pointers and the scale: sizes (rows and columns of scores, the depth of the scores' products, that of
# the second ones, columns of the result), matrices, the inner batch dimension, then the strides (row, outer and inner batch) of the
# operands, of the mask (query, key, outer, inner) and of the result.
OPERANDS = ("x", "y", "u", "w", "z")
NUMBERS = (
    "rows", "columns", "depth", "second", "width", "matrices", "inner",
    *[f"{x}_{part}" for x in OPERANDS for part in ("row", "outer", "inner")],
    "m_query", "m_key", "m_outer", "m_inner", "o_row", "o_outer", "o_inner",
)  # fmt: skip


@family(
    threads=256, kind=PASSES, dtype=("float32",), mask=("float32",), causal=(True,), width=(128,), aligned=(True,), vectors=True
)
def attention_pass(kind: str, dtype: str, mask: str, causal: bool, width: int, aligned: bool) -> tuple[Callable[..., Any], str]:
    """A pass over scores of X Y^T; see :func:`source`.

    Args:
        kind: of ``PASSES``.
        dtype: of operands and result.
        mask: the dtype of what is added to scores, or "".
        causal: keys after a query's own place are hidden.
        width: columns of the result that a block computes.
        aligned: operands can be read several elements at a time.
    """
    scope: dict[str, Any] = {"cuda": cuda, "int32": L.int32, "int64": L.int64, "T": type_of(dtype), "exp": L.exp, "INF": L.INF}
    scope |= {"score": score_of(type_of(dtype), to_computed(mask or dtype), kind in ("out", "query"), bool(mask), causal)}
    scope |= {name: getattr(L, name) for name in ("load2", "load4", "store2", "store4")}
    scope |= {f"fetch_{x}": fetch_of(vector(dtype) if aligned else 1, dtype) for x in OPERANDS}
    text = source(kind, dtype, causal, width, aligned)
    scope["write"] = _write(to_stored(dtype))
    element, wide = f"{stored(dtype)}*", f"{computed(dtype)}*"
    pointers = [element] * 5 + [f"{stored(mask or dtype)}*", element, wide, wide, computed(dtype)]
    return from_text(text, scope, "attention"), " ".join([*pointers, *["int64"] * len(NUMBERS)])


def source(kind: str, dtype: str, causal: bool, width: int, aligned: bool) -> str:
    """The text of a kernel. With S = X Y^T scale + mask, and for "query" and "key" D = U W^T:

    out = softmax(S) Z, with the statistics of the rows; "query": (P (D - delta)) Z scale, where P = exp(S - largest) share; "key": the
    same, where S and D are transposed, so that statistics are those of the columns; "value": P^T Z.

    Grid: tiles of rows, matrices, chunks of columns of the result. Shared memory holds slabs, and W with its rows next to each other.
    """
    tile, lanes = tile_of(dtype), vector(computed(dtype))
    side, across, threads = tile.side, tile.across, tile.threads
    each, second, by_query = width // across, kind in ("query", "key"), kind in ("out", "query")
    read = vector(dtype) if aligned else 1
    pitch = side + lanes
    last = max(min(side, threads * read // width), 4 if L.SIMULATED else 8)  # rows of a slab of Z
    x, y, u, w = (Slab(n, f"{n}_row", "int64(1)", side, tile.depth, True, read, threads, pitch) for n in "xyuw")
    z = Slab("z", "int64(1)", "z_row", width, last, False, read, threads, width + lanes)
    rows, own = range(_EACH), range(each)

    head = [
        f"slab_x = cuda.shared.array({max(2 * x.size, z.size)}, T, alignment=16)",
        "slab_y = slab_x; slab_u = slab_x; slab_w = slab_x; slab_z = slab_x",
        f"weights = cuda.shared.array({side * pitch}, T, alignment=16)",
        "t = int32(cuda.threadIdx.x)",
        f"tx = int32(t % int32({across}) * int32({_EACH}))",
        f"ty = int32(t // int32({across}) * int32({_EACH}))",
        "tile = int64(cuda.blockIdx.x)",
    ]
    if causal and by_query:
        head.append("tile = int64(cuda.gridDim.x) - 1 - tile")  # the longest first
    head += [
        f"row0 = tile * {side}",
        f"column0 = int64(cuda.blockIdx.z) * {width}",
        f"x_count = int32(min(rows - row0, int64({side})))",
        "u_count = x_count",
        f"z_count = int32(min(width - column0, int64({width})))",
        f"buffer_x = int32(0); buffer_y = int32({x.size}); buffer_u = int32(0); buffer_w = int32({x.size}); buffer_z = int32(0)",
        f"start = {'row0' if causal and not by_query else 'int64(0)'}",
        f"stop = {f'min(columns, row0 + {side})' if causal and by_query else 'columns'}",
        "matrix = int64(cuda.blockIdx.y)",
        "while matrix < matrices:",
    ]
    inside = ["outer = matrix // inner", "within = matrix - outer * inner"]
    for name, ahead in (("x", "row0 * x_row"), ("y", ""), *([("u", "row0 * u_row"), ("w", "")] if second else []), ("z", "column0")):
        inside.append(f"{name}_base = outer * {name}_outer + within * {name}_inner{' + ' + ahead if ahead else ''}")
    for part in (x, y, *((u, w) if second else ()), z):
        inside += part.setup()
    inside += ["m_base = outer * m_outer + within * m_inner"]
    length = "rows" if by_query else "columns"
    inside.append(f"statistics_at = matrix * 2 * {length}")
    for i in rows:
        inside.append("; ".join(f"o{i}_{j} = T(0)" for j in own))
    if kind == "out":
        inside += [f"level{i} = T(-INF); sum{i} = T(0)" for i in rows]
    if kind == "query":
        inside += _statistics("row0 + int64(ty + int32({k}))", "rows", "statistics_at", second)
    inside += ["at = start", "while at < stop:"]
    loop = [f"y_count = int32(min(columns - at, int64({side})))", "w_count = y_count"]
    loop += _product(x, y, "s", "depth", tile.depth, lanes)
    if second:
        loop += _product(u, w, "d", "second", tile.depth, lanes)
    if kind in ("key", "value"):
        loop += _statistics("at + int64(tx + int32({k}))", "columns", "statistics_at", second)
    loop += _scores()
    if kind == "out":
        loop += _online(across, each)
    else:
        for i in rows:
            for j in rows:
                k = i if by_query else j
                loop.append(f"s{i}_{j} = exp(s{i}_{j} - level{k}) * share{k}")
                if second:
                    loop.append(f"s{i}_{j} *= d{i}_{j} - delta{k}")
    for j in rows:
        for g in range(0, _EACH, lanes):
            values = ", ".join(f"s{g + i}_{j}" for i in range(lanes))
            loop.append(f"store{lanes}(weights, (tx + int32({j})) * int32({pitch}) + ty + int32({g}), ({values}))")
    loop += _times_z(z, each, across, pitch, last, lanes)
    loop += [f"at += {side}"]
    inside += ["    " + line for line in loop]
    inside += _written(kind, each, across, side, lanes)
    inside += ["matrix += int64(cuda.gridDim.y)"]
    text = "\n".join("    " + line for line in [*head, *["    " + line for line in inside]])
    return f"# {kind} {tile}\ndef kernel(X, Y, U, W, Z, mask, out, statistics, delta, scale, {', '.join(NUMBERS)}):\n{text}\n"


def _statistics(place: str, length: str, at: str, second: bool) -> list[str]:
    """The largest score, the share of each exponential and the part of the derivative that all keys have in common, of four queries."""
    lines = []
    for k in range(_EACH):
        lines += [f"level{k} = T(0); share{k} = T(0); delta{k} = T(0)", f"place = {place.format(k=k)}", f"if place < {length}:"]
        lines += [f"    level{k} = statistics[{at} + place]; share{k} = statistics[{at} + {length} + place]"]
        lines += [f"    delta{k} = delta[matrix * {length} + place]"] if second else []
    return lines


def _product(x: Slab, y: Slab, name: str, depth: str, step: int, lanes: int) -> list[str]:
    """The tile of products of rows of x and rows of y: {name}{i}_{j}."""
    lines = ["; ".join(f"{name}{i}_{j} = T(0)" for j in range(_EACH)) for i in range(_EACH)]
    lines += [f"{x.name}_at = {x.name}_start", f"{y.name}_at = {y.name}_start + at * {y.name}_row", f"left = {depth}", "while left > 0:"]
    inside = [s.read(r) for s in (x, y) for r in range(s.reads)]
    inside += ["cuda.syncthreads()", *[line for s in (x, y) for r in range(s.reads) for line in s.write(r, lanes)], "cuda.syncthreads()"]
    inside += [f"use_x = int32(buffer_{x.name} + ty)", f"use_y = int32(buffer_{y.name} + tx)", f"for p in range({step // _UNROLLED}):"]
    for p in range(_UNROLLED):
        for letter in "xy":
            for g in range(0, _EACH, lanes):
                names = ", ".join(f"{letter}{g + v}" for v in range(lanes))
                inside.append(f"    {names} = load{lanes}(slab_{letter}, use_{letter} + int32({p * x.pitch + g}))")
        for i in range(_EACH):
            inside.append("    " + "; ".join(f"{name}{i}_{j} += x{i} * y{j}" for j in range(_EACH)))
    inside += [f"    use_x += int32({_UNROLLED * x.pitch})", f"    use_y += int32({_UNROLLED * x.pitch})"]
    inside += [f"left -= {step}", f"{x.name}_at += {x.name}_slab", f"{y.name}_at += {y.name}_slab"]
    return lines + ["    " + line for line in inside]


def _scores() -> list[str]:
    """Scaled and masked; -inf where there are none."""
    lines = []
    for i in range(_EACH):
        for j in range(_EACH):
            row, column = f"row0 + int64(ty + int32({i}))", f"at + int64(tx + int32({j}))"
            lines.append(f"s{i}_{j} = score(s{i}_{j}, scale, {row}, {column}, rows, columns, mask, m_base, m_query, m_key)")
    return lines


def score_of(T: Any, get_mask: Any, by_query: bool, masked: bool, causal: bool) -> Any:
    """The device function that scales and masks a score."""
    nothing = L.INF

    @device
    def score(s, scale, row, column, rows, columns, mask, m_base, m_query, m_key):  # type: ignore[no-untyped-def]
        query = row if by_query else column
        key = column if by_query else row
        found = T(-nothing)
        if (row < rows) & (column < columns) & ((key <= query) | (not causal)):
            found = s * scale
            if masked:
                found += T(get_mask(mask[m_base + query * m_query + key * m_key]))
        return found

    return score


def _online(across: int, each: int) -> list[str]:
    """Exponentials of scores less the largest so far; what was summed before shrinks to it."""
    lines = []
    for i in range(_EACH):
        lines.append(f"new = level{i}")
        lines += [f"new = max(new, s{i}_{j})" for j in range(_EACH)]
        by = across // 2
        while by:
            lines.append(f"new = max(new, cuda.shfl_xor_sync(0xFFFFFFFF, new, {by}))")
            by //= 2
        lines += ["centre = new if new > T(-INF) else T(0)", f"factor = exp(level{i} - centre)", f"level{i} = new"]
        lines += [f"s{i}_{j} = exp(s{i}_{j} - centre)" for j in range(_EACH)]
        lines.append(f"sum{i} = sum{i} * factor + ({' + '.join(f's{i}_{j}' for j in range(_EACH))})")
        lines += [f"o{i}_{j} *= factor" for j in range(each)]
    return lines


def _times_z(z: Slab, each: int, across: int, pitch: int, depth: int, lanes: int) -> list[str]:
    """The weights' tile times rows of Z: o{i}_{j}, where a thread's columns are groups of ``lanes`` that lie apart."""
    lines = ["z_at = z_start + at * z_row", "left = int64(y_count)", "use_x = ty", "while left > 0:"]
    inside = [z.read(r) for r in range(z.reads)]
    inside += ["cuda.syncthreads()", *[line for r in range(z.reads) for line in z.write(r, lanes)], "cuda.syncthreads()"]
    deep = max(1, min(_UNROLLED, 16 // each))
    inside += [f"use_y = int32(tx // int32({_EACH // lanes}))", f"for p in range({depth // deep}):"]
    for p in range(deep):
        for g in range(0, _EACH, lanes):
            inside.append(f"    {', '.join(f'x{g + v}' for v in range(lanes))} = load{lanes}(weights, use_x + int32({p * pitch + g}))")
        for g in range(0, each, lanes):
            names = ", ".join(f"y{v}" for v in range(lanes))
            inside.append(f"    {names} = load{lanes}(slab_z, use_y + int32({p * z.pitch + g * across}))")
            for i in range(_EACH):
                inside.append("    " + "; ".join(f"o{i}_{g + v} += x{i} * y{v}" for v in range(lanes)))
    inside += [f"    use_x += int32({deep * pitch})", f"    use_y += int32({deep * z.pitch})"]
    inside += [f"left -= {depth}", "z_at += z_slab"]
    return lines + ["    " + line for line in inside] + ["cuda.syncthreads()"]


def _write(put: Any) -> Any:
    """The device function that writes one element of the result where there is one."""

    @device
    def write(out, at, column, count, x):  # type: ignore[no-untyped-def]
        if column < count:
            out[at + column] = put(x)

    return write


def _written(kind: str, each: int, across: int, side: int, lanes: int) -> list[str]:
    """The result, and of the forward pass the statistics."""
    lines = []
    for i in range(_EACH):
        scale = "" if kind == "value" else " * scale"
        if kind == "out":
            by, scale = across // 2, " * share"
            while by:
                lines.append(f"sum{i} += cuda.shfl_xor_sync(0xFFFFFFFF, sum{i}, {by})")
                by //= 2
            lines.append(f"share = T(1) / sum{i} if sum{i} != T(0) else T(0)")
        lines += [f"row = row0 + int64(ty + int32({i}))", "if row < rows:"]
        lines += ["    o_at = outer * o_outer + within * o_inner + row * o_row + column0"]
        lines.append(f"    first = int32(tx // int32({_EACH // lanes}))")
        for j in range(each):
            lines.append(f"    write(out, o_at, first + int32({j // lanes * lanes * across + j % lanes}), z_count, o{i}_{j}{scale})")
        if kind == "out":
            lines += ["    if (tx == 0) & (cuda.blockIdx.z == 0):"]
            lines += [f"        statistics[statistics_at + row] = level{i} if level{i} > T(-INF) else T(0)"]
            lines += ["        statistics[statistics_at + rows + row] = share"]
    return lines


@family(threads=256, dtype=("float32", "float64", "bfloat16"))
def row_dots(dtype: str) -> tuple[Callable[..., Any], str]:
    """The sum of products along the last dimension of two arrays of (matrices, rows, width), each with strides (row, outer and inner
    batch); a warp for each row.
    """
    T, get, int64, warp_sum = type_of(dtype), to_computed(dtype), L.int64, team_sum(dtype, WARP)

    def kernel(a, b, out, rows, width, matrices, inner, a_row, a_outer, a_inner, b_row, b_outer, b_inner):  # type: ignore[no-untyped-def]
        lane = int64(cuda.laneid)
        per_block = int64(cuda.blockDim.x) // 32
        line = int64(cuda.blockIdx.x) * per_block + int64(cuda.threadIdx.x) // 32
        while line < matrices * rows:
            matrix = line // rows
            row = line - matrix * rows
            outer = matrix // inner
            within = matrix - outer * inner
            a_at = outer * a_outer + within * a_inner + row * a_row
            b_at = outer * b_outer + within * b_inner + row * b_row
            total = T(0)
            j = lane
            while j < width:
                total += T(get(a[a_at + j])) * T(get(b[b_at + j]))
                j += 32
            total = warp_sum(total, out)
            if lane == 0:
                out[line] = total
            line += int64(cuda.gridDim.x) * per_block

    return kernel, f"{stored(dtype)}* {stored(dtype)}* {computed(dtype)}* " + " ".join(["int64"] * 10)
