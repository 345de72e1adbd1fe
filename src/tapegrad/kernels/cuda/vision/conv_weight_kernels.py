"""The transpose of convolution in the weight as a product of matrices: rows are channels of the results, columns are the channels and places of
a window, and what is summed over are the positions of all images, a share of them in each block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..elements import stored
from ..kernel import family, from_text
from .conv_tile import Slabs, Tile, accumulated, decoded, inside, scope_of

TILES = {
    "large": Tile(128, 128, 8, 8, 8, 1.0),
    "flat": Tile(64, 128, 8, 4, 8, 0.85),
    "medium": Tile(64, 64, 8, 4, 4, 0.65),
    "small": Tile(16, 64, 8, 2, 4, 0.35),
    "tiny": Tile(8, 8, 4, 4, 2),  # for the simulator
}
PARAMETERS = (
    "rows, columns, row_tiles, first_group, positions, in_image, chunk, count_h, count_w, size_d, size_h, size_w, shift_d, shift_h, shift_w, "
    "step_d, step_h, step_w, g_image, x_image, group_of_x, of_share"
)


@family(threads=(256, 2), vectors=True, tile=("large", "small"), dtype=("float32",), dims=(2,), parts=(True,), wide=(False,))
def correlated(tile: str, dtype: str, dims: int, parts: bool, wide: bool) -> tuple[Callable[..., Any], str]:
    """A block computes a tile of a group's gradient, from a share of the positions. Grid: tiles, shares, groups.

    Args:
        tile: a name in ``TILES``.
        dtype: of all arrays.
        dims: axes of an image.
        parts: whether the result has a matrix for each share, in the dtype of the sums.
        wide: whether places need 64 bits.
    """
    scope = scope_of(dtype, wide)
    if parts:
        scope["put"] = scope["T"]
    kernel = from_text(_source(TILES[tile], dtype, dims), scope, "convolution")
    element, index = f"{stored(dtype)}*", "int64*" if wide else "int32*"
    return kernel, f"{element} {element} {accumulated(dtype) + '*' if parts else element} {index} {'int64 ' * 22}"


def head(tile: Any, dims: int) -> list[str]:
    """The text that finds a block's group, rows, columns and share of the positions, from p to last."""
    axes = "dhw"[3 - dims :]
    return [
        "group = I(int64(cuda.blockIdx.z) + first_group)",
        "many, in_image = I(rows), I(in_image)",
        "column_tile = I(quotient(I(cuda.blockIdx.x), I(row_tiles)))",
        f"row0 = I((I(cuda.blockIdx.x) - column_tile * I(row_tiles)) * {tile.rows})",
        f"column0 = I(column_tile * {tile.columns})",
        *[f"size_{axis} = I(size_{axis})" for axis in axes],
        f"count_{axes[-1]} = I(count_w)",
        *(["count_h = I(count_h)"] if dims == 3 else []),
        "p = int64(cuda.blockIdx.y) * chunk",
        "last = min(positions, p + chunk)",
    ]


def positions_of(dims: int) -> list[str]:
    """The text that finds where the window of the thread's position m of a slab begins: its image n, place j there, and x_at."""
    axes = "dhw"[3 - dims :]
    at = f"i_{axes[0]}"
    for axis in axes[1:]:
        at = f"({at}) * size_{axis} + i_{axis}"
    return [
        "m = I(p + own_k)",
        "n = I(quotient(m, in_image))",
        "j = I(m - n * in_image)",
        *decoded(dims, "j", "i", "count"),
        *[f"i_{axis} = I(i_{axis} * I(step_{axis}) + I(shift_{axis}))" for axis in axes],
        f"x_at = I(n * I(x_image) + group * I(group_of_x) + {at})",
    ]


def _source(tile: Tile, dtype: str, dims: int) -> str:
    slabs = Slabs(tile, dtype)
    down = tile.threads // tile.depth
    lines = [*slabs.setup(), *head(tile, dims), f"own = int32(quotient(t, int32({tile.depth})))", f"own_k = int32(t - own * {tile.depth})"]
    read = [*positions_of(dims), "here = m < last", "g_at = I(n * I(g_image) + (group * many + row0) * in_image + j)"]
    write = []
    for r in range(-(-tile.rows // down)):
        row = f"own + {r * down}"
        spare = f" & ({row} < {tile.rows})" if (r + 1) * down > tile.rows else ""
        read += [f"a{r} = T(0)", f"if here & (row0 + {row} < many){spare}:", f"    a{r} = T(get(g[I(g_at + ({row}) * in_image)]))"]
        write.append(("a", f"own_k * {slabs.pitch_a} + {f'min({row}, {tile.rows})' if spare else row}", f"a{r}"))
    for r in range(-(-tile.columns // down)):
        column = f"own + {r * down}"
        spare = f" & ({column} < {tile.columns})" if (r + 1) * down > tile.columns else ""
        read += [f"b{r} = T(0)", f"if here & (I(column0 + {column}) < I(columns)){spare}:"]
        read += [f"    e0, e1, e2, e3 = load4(table, I((column0 + {column}) * 4))", f"    if {inside(dims, 'i', 'e')}:"]
        read.append(f"        b{r} = T(get(x[I(x_at + e0)]))")
        write.append(("b", f"own_k * {slabs.pitch_b} + {f'min({column}, {tile.columns})' if spare else column}", f"b{r}"))
    lines += slabs.loop([], read, write, "p < last", [f"p += {tile.depth}"])
    lines += ["start = int64(cuda.blockIdx.y) * of_share + int64(group) * rows * columns"]
    for i in range(tile.row_count):
        lines += [f"row = int64(row0 + {slabs.row(i)})", "if row < rows:"]
        for j in range(tile.column_count):
            lines.append(f"    column = int64(column0 + {slabs.column(j)})")
            lines += ["    if column < columns:", f"        out[start + row * columns + column] = put(c{i}_{j})"]
    return f"# {tile}\ndef kernel(g, x, out, table, {PARAMETERS}):\n" + "".join(f"    {line}\n" for line in lines)
