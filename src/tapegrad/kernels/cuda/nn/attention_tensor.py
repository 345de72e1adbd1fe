"""Kernels of attention on tensor cores, of 16-bit floats: the passes of ``attention_kernels``, of tiles that lie otherwise.

A warp has 16 rows of a tile of scores, and all its columns. So its weights are made in registers, and rounded to 16 bits they are already
the fragments that multiply the third operand: Dao, "FlashAttention-2", 2023, https://arxiv.org/abs/2307.08691. A slab is copied to shared
memory while another one is multiplied.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .. import language as L
from ..elements import stored, to_computed, to_stored
from ..kernel import family, from_text
from ..language import cuda, device
from ..linalg.tensor_tile import KINDS, scope_of
from .attention_kernels import NUMBERS, PASSES, score_of

WIDTHS = (16, 32, 64) if L.SIMULATED else (32, 64, 96, 128)  # elements of a row of an operand, zeros behind its own


class Tile(NamedTuple):
    """Rows (16 for each warp) and columns of a tile of scores, and elements of a row of an operand."""

    rows: int
    columns: int
    width: int

    @property
    def threads(self) -> int:
        return self.rows * 2


def tile_of(kind: str, width: int, masked: bool) -> Tile:
    """The tile that registers and 48 KiB of shared memory have room for."""
    if L.SIMULATED:
        return Tile(32, 16, width)
    columns = 32 if kind in ("query", "key") else 64
    return Tile(64, columns // 2 if masked and width > 64 else columns, width)


@family(threads=128, kind=PASSES, dtype=("bfloat16", "float16"), mask=("float32", ""), causal=(True,), width=(128, 64, 32, 96))
def tensor_attention(kind: str, dtype: str, mask: str, causal: bool, width: int) -> tuple[Callable[..., Any], str]:
    """``attention_kernels.attention_pass`` on tensor cores. Grid: tiles of rows, matrices.

    Operands' rows begin at multiples of 16 bytes.

    Args:
        kind: of ``PASSES``.
        dtype: of operands and result.
        mask: the dtype of what is added to scores, or "".
        causal: keys after a query's own place are hidden.
        width: of ``WIDTHS``: no operand's row is longer.
    """
    tile, made, by_query = tile_of(kind, width, bool(mask)), KINDS[dtype], kind in ("out", "query")
    scope = scope_of(dtype) | {"cuda": cuda, "exp": L.exp, "INF": L.INF, "pair": getattr(L, f"pair_of_{dtype}")}
    scope |= {"score": score_of(L.float32, to_computed(mask or dtype), by_query, bool(mask), causal), "of_query": _of_query()}
    scope |= {"bring_rows": _bring(tile.rows, tile), "bring": _bring(tile.columns, tile), "write": _write(to_stored(dtype))}
    pointers = [made.pointer] * 5 + [f"{stored(mask or dtype)}*", made.pointer, "float32*", "float32*", "float32"]
    return from_text(_source(kind, tile, bool(mask), causal), scope, "attention"), " ".join([*pointers, *["int64"] * len(NUMBERS)])


def _moved(width: int) -> tuple[int, int]:
    """How chunks of 16 bytes change places, so that eight rows lie in different banks: by which bits of the row, (shift, mask)."""
    near = min(8, width // 8 & -(width // 8))
    return 4 - near.bit_length(), near - 1


def _bring(rows: int, tile: Tile) -> Any:
    """The device function that starts to copy a slab: of its rows there are ``count``, of ``length`` elements; the others are 0."""
    int32, int64, copy_async = L.int32, L.int64, L.copy_async
    width, across = tile.width, tile.width // 8
    hop = min(rows, tile.threads // across // 8 * 8)  # rows at a time: in eight of them chunks change places as in the next eight
    threads, rounds = hop * across, rows // hop
    shift, mask = _moved(width)

    @device
    def bring(slab, into, source, at, step, count, length, t):  # type: ignore[no-untyped-def]
        row = int32(t // int32(across))
        chunk = int32(t - row * int32(across))
        to = int32(into + row * int32(width) + (chunk ^ ((row >> int32(shift)) & int32(mask))) * int32(8))
        at += int64(row) * step + int64(chunk * int32(8))
        left = int32(max(min(int32(length - chunk * int32(8)), int32(8)), int32(0)))
        if t < threads:
            for r in range(rounds):
                copy_async(slab, int32(to + int32(int32(r) * int32(hop * width))), source, at, int32(left * int32(row < count)))
                row = int32(row + int32(hop))
                at += hop * step

    return bring


def _of_query() -> Any:
    """The device function that reads a query's largest score and share of each exponential."""
    T = L.float32

    @device
    def of_query(statistics, at, place, length):  # type: ignore[no-untyped-def]
        level, share = T(0), T(0)
        if place < length:
            level, share = statistics[at + place], statistics[at + length + place]
        return level, share

    return of_query


def _write(put: Any) -> Any:
    """The device function that writes two neighbours of the result where there are such."""
    store2 = L.store2

    @device
    def write(out, at, here, x, y):  # type: ignore[no-untyped-def]
        if here:
            store2(out, at, (put(x), put(y)))

    return write


def _source(kind: str, tile: Tile, masked: bool, causal: bool) -> str:
    """The text of a kernel; see ``attention_kernels.source`` for what the passes compute."""
    second, by_query = kind in ("query", "key"), kind in ("out", "query")
    rows, columns, width = tile
    shift, mask = _moved(width)
    y_at = rows * width * (2 if second else 1)
    w_at = y_at + columns * width
    z_at = y_at if second else w_at
    length = "rows" if by_query else "columns"
    head = [
        f"slab = cuda.shared.array({w_at + columns * width}, word, alignment=16)",
        "t = int32(cuda.threadIdx.x)",
        "lane = int32(t & int32(31))",
        "warp = int32((t >> int32(5)) * int32(16))",
        "own_row = int32(warp + (lane >> int32(2)))",
        "own_column = int32((lane & int32(3)) * int32(2))",
        # where fragments begin: of rows of the first operand, of rows of the second (columns of scores), of the third's
        "x_row = int32(warp + (lane & int32(15)))",
        f"x_chunk = int32((lane >> int32(4)) ^ ((x_row >> int32({shift})) & int32({mask})))",
        f"x_row = int32(x_row * int32({width}))",
        "y_row = int32((lane >> int32(4)) * int32(8) + (lane & int32(7)))",
        f"y_chunk = int32(((lane >> int32(3)) & int32(1)) ^ ((y_row >> int32({shift})) & int32({mask})))",
        f"y_row = int32(y_row * int32({width}))",
        "z_row = int32(lane & int32(15))",
        f"z_chunk = int32((lane >> int32(4)) ^ ((z_row >> int32({shift})) & int32({mask})))",
        f"z_row = int32(z_row * int32({width}))",
        "tile = int64(cuda.blockIdx.x)",
    ]
    if causal and by_query:
        head.append("tile = int64(cuda.gridDim.x) - 1 - tile")  # the longest first
    head += [
        f"row_start = tile * {rows}",
        f"row_count = int32(min(rows - row_start, int64({rows})))",
        "depth = int32(depth); second = int32(second); width = int32(width)",
        f"start = {'row_start' if causal and not by_query else 'int64(0)'}",
        f"stop = {f'min(columns, row_start + {rows})' if causal and by_query else 'columns'}",
        "matrix = int64(cuda.blockIdx.y)",
        "while matrix < matrices:",
    ]
    inside = ["outer = matrix // inner", "within = matrix - outer * inner"]
    for name in ("x", "y", *("uw" if second else "z")):
        inside.append(f"{name}_base = outer * {name}_outer + within * {name}_inner")
    inside += ["m_base = outer * m_outer + within * m_inner", f"statistics_at = matrix * 2 * {length}"]
    inside.append("bring_rows(slab, int32(0), X, x_base + row_start * x_row_step, x_row_step, row_count, depth, t)")
    if second:
        inside.append(f"bring_rows(slab, int32({rows * width}), U, u_base + row_start * u_row_step, u_row_step, row_count, second, t)")
    inside += [_brought("y", y_at, "start", columns, "depth"), "commit_copies()"]
    inside += ["; ".join(f"o{j}_{e} = T(0)" for e in range(4)) for j in range(width // 8)]
    for h in range(2):
        place = f"row{h}"
        inside.append(f"row{h} = row_start + int64(own_row + int32({8 * h}))")
        if kind == "out":
            inside.append(f"level{h} = T(-INF); sum{h} = T(0)")
        if kind == "query":
            inside.append(f"level{h}, share{h} = of_query(statistics, statistics_at, {place}, rows)")
            inside.append(f"delta{h} = delta[matrix * rows + min({place}, rows - 1)]")
    inside += ["at = start", "while at < stop:"]
    loop = ["wait_copies()", "cuda.syncthreads()", _brought("w" if second else "z", w_at, "at", columns, "second" if second else "width")]
    loop += ["commit_copies()", *_scores("s", 0, y_at, tile)]
    if second:
        loop += ["wait_copies()", "cuda.syncthreads()", *_scores("d", rows * width, w_at, tile)]
    loop += _masked(tile, masked, causal, by_query)
    if kind == "out":
        loop += _online(tile)
    else:
        for j in range(columns // 8):
            for v in range(2):
                if not by_query:
                    place = f"at + int64(own_column + int32({8 * j + v}))"
                    loop.append(f"level{v}, share{v} = of_query(statistics, statistics_at, {place}, columns)")
                    loop += [f"delta{v} = delta[matrix * columns + min({place}, columns - 1)]"] if second else []
                for h in range(2):
                    e, k = 2 * h + v, h if by_query else v
                    loop.append(f"s{j}_{e} = exp(s{j}_{e} - level{k}) * share{k}" + (f" * (d{j}_{e} - delta{k})" if second else ""))
    brought = [f"if at + {columns} < stop:", f"    {_brought('y', y_at, f'at + {columns}', columns, 'depth')}", "commit_copies()"]
    loop += [] if second else ["wait_copies()", "cuda.syncthreads()", *brought]
    loop += _times_third(z_at, tile)
    loop += ["cuda.syncthreads()", *brought] if second else []
    loop += [f"at += {columns}"]
    inside += ["    " + line for line in loop]
    inside += ["wait_copies()", "cuda.syncthreads()", *_written(kind, tile), "matrix += int64(cuda.gridDim.y)"]
    text = "\n".join("    " + line for line in [*head, *["    " + line for line in inside]])
    numbers = ", ".join(f"{name}_step" if name in ("x_row", "y_row", "u_row", "w_row", "z_row") else name for name in NUMBERS)
    return f"# {kind} {tile}\ndef kernel(X, Y, U, W, Z, mask, out, statistics, delta, scale, {numbers}):\n{text}\n"


def _brought(name: str, into: int, at: str, columns: int, length: str) -> str:
    """The text that copies a slab of columns."""
    count = f"int32(max(min(columns - ({at}), int64({columns})), int64(0)))"
    return f"bring(slab, int32({into}), {name.upper()}, {name}_base + ({at}) * {name}_row_step, {name}_row_step, {count}, {length}, t)"


def _scores(name: str, x_at: int, y_at: int, tile: Tile) -> list[str]:
    """{name}{j}_{e} = products of the warp's rows of one slab and all of another."""
    lines = ["; ".join(f"{name}{j}_{e} = T(0)" for e in range(4)) for j in range(tile.columns // 8)]
    for k in range(tile.width // 16):
        lines.append(f"a0, a1, a2, a3 = load_matrices(slab, int32(x_row + int32({x_at}) + (x_chunk ^ int32({2 * k})) * int32(8)))")
        for n in range(tile.columns // 16):
            at = f"int32(y_row + int32({y_at + 16 * n * tile.width}) + (y_chunk ^ int32({2 * k})) * int32(8))"
            lines.append(f"b0, b1, b2, b3 = load_matrices(slab, {at})")
            lines += _mma(name, 2 * n, "a0, a1, a2, a3")
    return lines


def _mma(name: str, j: int, left: str) -> list[str]:
    """Sums of 16 columns += products of fragments."""
    lines = []
    for n in range(2):
        sums = ", ".join(f"{name}{j + n}_{e}" for e in range(4))
        lines.append(f"{sums} = mma({left}, b{2 * n}, b{2 * n + 1}, {sums})")
    return lines


def _masked(tile: Tile, masked: bool, causal: bool, by_query: bool) -> list[str]:
    """Scaled and masked; -inf where there are none."""
    every = [(j, e) for j in range(tile.columns // 8) for e in range(4)]
    checked = ["column = at + int64(own_column)"]
    for j, e in every:
        checked.append(f"s{j}_{e} = score(s{j}_{e}, scale, row{e // 2}, column + {8 * j + e % 2}, rows, columns, mask, m_base, m_query, m_key)")
    if masked:
        return checked
    whole = f"at + {tile.columns} <= columns"
    if causal:
        whole = f"({whole}) & ({f'at + {tile.columns - 1} <= row_start' if by_query else f'row_start + {tile.rows - 1} <= at'})"
    plain = [f"s{j}_{e} *= scale" for j, e in every]
    return [f"if {whole}:", *["    " + line for line in plain], "else:", *["    " + line for line in checked]]


def _online(tile: Tile) -> list[str]:
    """Exponentials of scores less the largest so far; what was summed before shrinks to it."""
    lines = []
    for h in range(2):
        mine = [f"s{j}_{2 * h + v}" for j in range(tile.columns // 8) for v in range(2)]
        lines += [f"new = level{h}", *[f"new = max(new, {x})" for x in mine]]
        lines += [f"new = max(new, cuda.shfl_xor_sync(0xFFFFFFFF, new, {by}))" for by in (1, 2)]
        lines += ["centre = new if new > T(-INF) else T(0)", f"factor = exp(level{h} - centre)", f"level{h} = new"]
        lines += [f"{x} = exp({x} - centre)" for x in mine]
        lines.append(f"sum{h} = sum{h} * factor + ({' + '.join(mine)})")
        lines += [f"o{j}_{2 * h + v} *= factor" for j in range(tile.width // 8) for v in range(2)]
    return lines


def _times_third(z_at: int, tile: Tile) -> list[str]:
    """The result += the weights, rounded to 16 bits, times the rows of a slab."""
    lines = []
    for k in range(tile.columns // 16):
        parts = [(2 * k, 0), (2 * k, 2), (2 * k + 1, 0), (2 * k + 1, 2)]
        lines += [f"a{r} = pair(s{j}_{e}, s{j}_{e + 1})" for r, (j, e) in enumerate(parts)]
        for n in range(tile.width // 16):
            at = f"int32(z_row + int32({z_at + 16 * k * tile.width}) + (z_chunk ^ int32({2 * n})) * int32(8))"
            lines += [f"b0, b1, b2, b3 = load_matrices_transposed(slab, {at})", *_mma("o", 2 * n, "a0, a1, a2, a3")]
    return lines


def _written(kind: str, tile: Tile) -> list[str]:
    """The result, and of the forward pass the statistics."""
    lines = []
    for h in range(2):
        scale = "" if kind == "value" else " * scale"
        if kind == "out":
            scale = " * share"
            lines += [f"sum{h} += cuda.shfl_xor_sync(0xFFFFFFFF, sum{h}, {by})" for by in (1, 2)]
            lines.append(f"share = T(1) / sum{h} if sum{h} != T(0) else T(0)")
        lines += [f"row = row{h}", "o_at = outer * o_outer + within * o_inner + row * o_row"]
        for j in range(tile.width // 8):
            values = ", ".join(f"o{j}_{2 * h + v}{scale}" for v in range(2))
            lines.append(f"write(out, o_at + int64(own_column + int32({8 * j})), (row < rows) & (int32({8 * j}) < width), {values})")
        if kind == "out":
            lines += ["if (own_column == 0) & (row < rows):"]
            lines += [f"    statistics[statistics_at + row] = level{h} if level{h} > T(-INF) else T(0)"]
            lines += ["    statistics[statistics_at + rows + row] = share"]
    return lines
