"""The matrix product on tensor cores: copies of slabs run ahead of the one that is multiplied, without registers between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import language as L
from ..elements import stored, to_computed, to_stored, unchanged
from ..kernel import family, from_text
from ..language import cuda, device
from .gemm_kernels import NUMBERS
from .tensor_tile import KINDS, TensorTile, multiplied, scope_of, slabs_of

STAGES = 3  # slabs in shared memory: one that is multiplied, two that are copied
_TINY = {"tiny": TensorTile(32, 32, 2, 1)}
_TILES = {"large": TensorTile(128, 128, 2, 2), "medium": TensorTile(64, 64, 2, 2), "small": TensorTile(32, 32, 2, 2)}
_SINGLE = {"large": TensorTile(128, 64, 2, 2)}  # of TF32, whose factors take twice the registers


def tiles_of(kind: str, simulated: bool = L.SIMULATED) -> dict[str, TensorTile]:
    """By name, the largest first."""
    return _TINY if simulated else _TILES | (_SINGLE if kind == "tf32" else {})


@family(
    threads=128, tile=("large", "small", "medium"), kind=("bfloat16", "float16", "tf32"), a=("inner", "outer"),
    b=("outer", "inner"), extra=("start", "parts"),
)  # fmt: skip
def tensor_product(tile: str, kind: str, a: str, b: str, extra: str) -> tuple[Callable[..., Any], str]:
    """C = A B, or A B + start for ``extra`` "start", or of "parts" a share of the products each, in float32.

    Grid: tiles, matrices (two batch dimensions; a block computes several where there are too many), parts.

    Args:
        tile: a name in ``tiles_of(kind)``.
        kind: a name in ``KINDS``.
        a, b: along what operands are contiguous: the products ("inner"), or rows of A and columns of B ("outer"). Their other strides
            and addresses are multiples of 16 bytes.
    """
    dtype = KINDS[kind].dtype
    scope: dict[str, Any] = scope_of(kind) | {"cuda": cuda}
    scope["write"] = _write(unchanged if extra == "parts" else to_stored(dtype), to_computed(dtype), extra == "start")
    kernel = from_text(_source((tiles_of(kind, False) | _TINY)[tile], kind, a == "inner", b == "inner", extra), scope, "matrix product")
    element = f"{stored(dtype)}*"
    return kernel, " ".join([*[element] * 3, "float32*" if extra == "parts" else element, *["int64"] * len(NUMBERS)])


def _source(tile: TensorTile, kind: str, a_inner: bool, b_inner: bool, extra: str) -> str:
    made = KINDS[kind]
    a, b = slabs_of(tile, made, a_inner, b_inner, False)
    depth = made.depth
    head = [
        f"slab_a = cuda.shared.array({STAGES * a.size}, word, alignment=16)",
        f"slab_b = cuda.shared.array({STAGES * b.size}, word, alignment=16)",
        *tile.setup(),
        f"tiles_n = (n + {tile.columns - 1}) // {tile.columns}",
        "tile_m = int64(cuda.blockIdx.x) // tiles_n",
        f"m0 = tile_m * {tile.rows}",
        f"n0 = (int64(cuda.blockIdx.x) - tile_m * tiles_n) * {tile.columns}",
        f"a_count = int32(min(m - m0, int64({tile.rows})))",
        f"b_count = int32(min(n - n0, int64({tile.columns})))",
        "first = int64(cuda.blockIdx.z) * chunk",
        "total = max(min(k, first + chunk) - first, int64(0))",
        *[line for slab in (a, b) for line in slab.setup()],
        *a.copied(tile.threads, "a_row_step", "a_step"),
        *b.copied(tile.threads, "b_column", "b_step"),
        "matrix = int64(cuda.blockIdx.y)",
        "while matrix < matrices:",
    ]
    inside = ["outer = matrix // inner", "within = matrix - outer * inner", *tile.sums()]
    inside += ["a_at = outer * a_outer + within * a_inner + m0 * a_row_step + a_start + first * a_step"]
    inside += ["b_at = outer * b_outer + within * b_inner + n0 * b_column + b_start + first * b_step"]
    inside += ["into_a = int32(0); into_b = int32(0); use_a = int32(0); use_b = int32(0)"]
    inside += [f"left = total + {(STAGES - 1) * depth}", "more = total", "while left > 0:"]
    loop = ["wait_copies_but_1()", "cuda.syncthreads()", "if more > 0:", f"    ahead = int32(min(more, int64({depth})))"]
    loop += ["    " + line for slab in (a, b) for line in slab.copies(tile.threads)]
    loop += [f"    a_at += int64({depth}) * a_step", f"    b_at += int64({depth}) * b_step"]
    loop += [line for slab in (a, b) for line in _next("into", slab.name, slab.size)]
    loop += [f"more -= {depth}", "commit_copies()", "if left <= total:"]
    loop += ["    " + line for line in multiplied(tile, a, b)]
    loop += ["    " + line for slab in (a, b) for line in _next("use", slab.name, slab.size)]
    loop += [f"left -= {depth}"]
    inside += ["    " + line for line in loop] + ["cuda.syncthreads()"]
    inside += _written(tile, extra)
    inside += ["matrix += int64(cuda.gridDim.y)"]
    text = "\n".join("    " + line for line in [*head, *["    " + line for line in inside]])
    numbers = ", ".join("a_row_step" if name == "a_row" else name for name in NUMBERS)
    return f"# {tile}\ndef kernel(A, B, start, out, {numbers}):\n{text}\n"


def _next(which: str, name: str, size: int) -> list[str]:
    """The next slab in shared memory."""
    return [f"{which}_{name} = int32({which}_{name} + int32({size})) if {which}_{name} < int32({(STAGES - 1) * size}) else int32(0)"]


def _written(tile: TensorTile, extra: str) -> list[str]:
    """From registers to C."""
    lines = [
        "c_base = (int64(cuda.blockIdx.z) * matrices + matrix) * m" if extra == "parts" else "c_base = matrix * m",
        "s_base = outer * s_outer + within * s_inner + m0 * s_row + n0 * s_column",
        "pairs = n % 2 == 0",
    ]
    for i in range(tile.row_count):
        lines += [f"row = {tile.row(i)}", "count = int32(b_count * int32(row < a_count))"]
        lines += ["c_at = (c_base + m0 + row) * n + n0", "s_at = s_base + row * s_row"]
        for j in range(0, tile.column_count, 2):
            lines.append(f"write(out, c_at, start, s_at, s_column, {tile.column(j)}, count, pairs, c{i}_{j}, c{i}_{j + 1})")
    return lines


def _write(put: Any, get: Any, add: bool) -> Any:
    """The device function that writes two neighbours where there are such."""
    store2, T = L.store2, L.float32

    @device
    def write(out, at, start, start_at, start_step, column, count, pairs, x, y):  # type: ignore[no-untyped-def]
        if column < count:
            if add:
                x += T(get(start[start_at + column * start_step]))
            if column + 1 < count:
                if add:
                    y += T(get(start[start_at + (column + 1) * start_step]))
                if pairs:
                    store2(out, at + column, (put(x), put(y)))
                else:
                    out[at + column] = put(x)
                    out[at + column + 1] = put(y)
            else:
                out[at + column] = put(x)

    return write
