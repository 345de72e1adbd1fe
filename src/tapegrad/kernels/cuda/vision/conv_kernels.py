"""Convolution and its transpose in the input as a product of matrices, of which one is gathered from the images as it is read.

Rows are channels of the result, columns are its positions in all images, and what is summed over are the channels and places of a window.
A table says for each of these where it lies relative to a position. Positions that have different windows, as those of the transpose with a
stride, are phases, each with a table and a matrix of weights of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..elements import stored
from ..kernel import family, from_text
from ..language import cuda, int32, int64, quotient
from .conv_tile import OUTSIDE as OUTSIDE, Slabs, Tile, decoded, inside, scope_of

TILES = {
    "large": Tile(128, 128, 8, 8, 8, 1.0),
    "flat": Tile(64, 128, 8, 4, 8, 0.85),
    "medium": Tile(64, 64, 8, 4, 4, 0.65),
    "wide": Tile(32, 256, 8, 8, 4, 0.7),
    "thin": Tile(16, 256, 8, 4, 4, 0.55),
    "few": Tile(4, 128, 8, 4, 2, 0.2),
    "tiny": Tile(8, 8, 4, 4, 2),  # for the simulator
}
SLAB = 128  # the depth of tables is a multiple of this: of the products of a slab, and of the columns of a tile

# Words of a phase.
DEPTH, TABLE, WEIGHTS, POSITIONS, IN_IMAGE, SIZE_H, SIZE_W, SHIFT_D, SHIFT_H, SHIFT_W, STEP_D, STEP_H, STEP_W, OUT, OUT_D, OUT_H, OUT_W = range(17)
PLACES, PLACES_AT = 17, 18
WORDS = 19
PARAMETERS = "rows, row_tiles, first_phase, first_group, image, group_of_x, group_of_a, size_d, size_h, size_w, out_image, out_plane"


@family(
    threads=(256, 2), vectors=True, tile=("large", "few"), dtype=("float32",), dims=(2,), biased=(True,), fours=(True,), into=("vectors", "apart"),
    wide=(False,),
)  # fmt: skip
def gathered(tile: str, dtype: str, dims: int, biased: bool, fours: bool, into: str, wide: bool) -> tuple[Callable[..., Any], str]:
    """A block computes a tile of a phase of a group. Grid: tiles, phases, groups.

    Args:
        tile: a name in ``TILES``.
        dtype: of all arrays.
        dims: axes of an image.
        biased: whether a bias is added.
        fours: whether weights can be read four at a time.
        into: whether a channel's positions lie next to each other in the result ("flat"), and several can be written at a time
            ("vectors"), or "apart".
        wide: whether places need 64 bits.
    """
    scope = scope_of(dtype, wide)
    kernel = from_text(_source(TILES[tile], dtype, dims, biased, fours, into), scope, "convolution")
    element, index = f"{stored(dtype)}*", "int64*" if wide else "int32*"
    return kernel, f"{element} {element} {element} {element} {index} int64* {'int64 ' * 12}"


def head(tile: Any, dims: int) -> tuple[list[str], dict[str, str]]:
    """The text that finds a block's phase, group, rows and columns; and of each word of a phase the text that reads it."""
    word = {name: f"I(phases[first + {k}])" for k, name in enumerate(
        "depth table weights positions in_image size_h size_w shift_d shift_h shift_w step_d step_h step_w out out_d out_h out_w".split()
    )}  # fmt: skip
    return [
        f"first = (int64(cuda.blockIdx.y) + first_phase) * {WORDS}",
        f"depth = {word['depth']}",
        f"table_at = {word['table']}",
        f"positions = {word['positions']}",
        f"in_image = {word['in_image']}",
        f"count_h, count_w = {word['size_h']}, {word['size_w']}",
        "group = I(int64(cuda.blockIdx.z) + first_group)",
        "column_tile = I(quotient(I(cuda.blockIdx.x), I(row_tiles)))",
        f"row0 = I((I(cuda.blockIdx.x) - column_tile * I(row_tiles)) * {tile.rows})",
        f"column0 = I(column_tile * {tile.columns})",
        "many = I(rows)",
        *[f"size_{axis} = I(size_{axis})" for axis in "dhw"[3 - dims :]],
    ], word


def _source(tile: Tile, dtype: str, dims: int, biased: bool, fours: bool, into: str) -> str:
    slabs = Slabs(tile, dtype)
    lines, word = head(tile, dims)
    lines = [*slabs.setup(), *lines]
    if tile.columns > tile.threads:  # several columns for each thread to gather
        loads, columns, step = tile.depth, tile.columns // tile.threads, 1
        lines += ["own_k = int32(0)", "own_column = t"]
    else:
        loads, columns, step = tile.depth * tile.columns // tile.threads, 1, tile.threads // tile.columns
        lines += [f"own_k = int32(quotient(t, int32({tile.columns})))", f"own_column = int32(t - own_k * {tile.columns})"]
    for q in range(columns):
        lines += position(dims, f"g{q}", f"I(column0 + own_column + {q * tile.threads})", word)
    lines.append("table_at = I((table_at + own_k) * 4)")
    setup, read, write = _weights(tile, fours, slabs)
    lines += setup
    for r in range(loads):
        read.append(f"e0, e1, e2, e3 = load4(table, I(table_at + (k + {r * step}) * 4))")
        for q in range(columns):
            read += [f"b{q}_{r} = T(0)", f"if {inside(dims, f'g{q}', 'e')}:", f"    b{q}_{r} = T(get(x[I(g{q}_at + e0)]))"]
            write.append(("b", f"(own_k + {r * step}) * {slabs.pitch_b} + own_column + {q * tile.threads}", f"b{q}_{r}"))
    lines += slabs.loop(["k = I(0)"], read, write, "k < depth", [f"k = I(k + {tile.depth})"])
    lines += results(tile, slabs, dims, biased, into, word)
    return f"# {tile}\ndef kernel(a, x, bias, out, table, phases, {PARAMETERS}):\n" + "".join(f"    {line}\n" for line in lines)


def position(dims: int, name: str, column: str, word: dict[str, str]) -> list[str]:
    """Where the window of a position begins: its coordinates, and its place in ``x``."""
    axes = "dhw"[3 - dims :]
    lines = [
        f"{name}_column = {column}",
        f"{name}_n = I(quotient({name}_column, in_image))",
        f"{name}_j = I({name}_column - {name}_n * in_image)",
        *decoded(dims, f"{name}_j", f"{name}", "count"),
        *[f"{name}_{axis} = I({name}_{axis} * {word['step_' + axis]} + {word['shift_' + axis]})" for axis in axes],
    ]
    at = f"{name}_{axes[0]}"
    for axis in axes[1:]:
        at = f"({at}) * size_{axis} + {name}_{axis}"
    lines.append(f"{name}_at = I({name}_n * I(image) + group * I(group_of_x) + {at})")
    return [*lines, f"if {name}_column >= positions:", f"    {name}_w = I({OUTSIDE})"]


def _weights(tile: Tile, fours: bool, slabs: Slabs) -> tuple[list[str], list[str], list[tuple[str, str, str]]]:
    """What is prepared once, how threads read a slab of weights, and where they write it."""
    width = 4 if fours else 1
    across = tile.depth // width
    down = tile.threads // across
    setup = [f"own_row = int32(quotient(t, int32({across})))", f"own_a = int32((t - own_row * {across}) * {width})"]
    setup.append("weights_at = I(I(phases[first + 2]) + group * I(group_of_a) + (row0 + own_row) * depth + own_a)")
    read: list[str] = []
    write = []
    for r in range(-(-tile.rows // down)):
        row = f"own_row + {r * down}"
        fits = f"(row0 + {row} < many) & (k + own_a < depth)"
        spare = (r + 1) * down > tile.rows  # some threads have no row
        fits += f" & ({row} < {tile.rows})" if spare else ""
        at = f"I(weights_at + {r * down} * depth + k)"
        read += ["; ".join(f"a{r}_{v} = T(0)" for v in range(width)), f"if {fits}:"]
        if width == 1:
            read.append(f"    a{r}_0 = T(get(a[{at}]))")
        else:
            read.append(f"    v = load4(a, {at})")
            read += [f"    a{r}_{v} = T(get(v[{v}]))" for v in range(width)]
        for v in range(width):
            place_row = f"min({row}, {tile.rows})" if spare else row  # the slab's padding takes what nobody reads
            write.append(("a", f"(own_a + {v}) * {slabs.pitch_a} + {place_row}", f"a{r}_{v}"))
    return setup, read, write


def results(tile: Any, slabs: Any, dims: int, biased: bool, into: str, word: dict[str, str]) -> list[str]:
    """From registers to the result: several neighbours at a time where planes are aligned."""
    lines = []
    group = slabs.b_group
    for i in range(tile.row_count):
        lines += [f"at_row{i} = I(row0 + {slabs.row(i)})"]
        if biased:
            lines += [f"bias{i} = T(0)", f"if at_row{i} < many:", f"    bias{i} = T(get(bias[I(group * many + at_row{i})]))"]
        lines += [f"line{i} = I((group * many + at_row{i}) * I(out_plane))"]
    for g in range(0, tile.column_count, group):
        column = slabs.column(g)
        if into == "vectors":
            lines += [f"column = I(column0 + {column})", "if column < positions:", "    n = I(quotient(column, in_image))"]
            lines.append("    to = I(n * I(out_image) + column - n * in_image)")
            for i in range(tile.row_count):
                values = ", ".join(f"put({_sum(i, g + v, biased)})" for v in range(group))
                values = f"({values})" if group > 1 else values
                lines.append(f"    write{group if group > 1 else ''}(out, I(to + line{i}), at_row{i} < many, {values})")
            continue
        for v in range(group):
            lines += [f"column = I(column0 + {column} + {v})", "if column < positions:"]
            lines += ["    n = I(quotient(column, in_image))", "    j = I(column - n * in_image)"]
            if into == "flat":
                lines.append("    to = I(n * I(out_image) + j)")
            else:
                lines += ["    " + line for line in decoded(dims, "j", "o", "count")]
                apart = " + ".join(f"o_{axis} * {word['out_' + axis]}" for axis in "dhw"[3 - dims :])
                lines.append(f"    to = I(n * I(out_image) + {word['out']} + {apart})")
            for i in range(tile.row_count):
                lines.append(f"    write(out, I(to + line{i}), at_row{i} < many, put({_sum(i, g + v, biased)}))")
    return lines


def _sum(i: int, j: int, biased: bool) -> str:
    return f"c{i}_{j} + bias{i}" if biased else f"c{i}_{j}"


@family(threads=256, dtype=("float32",), wide=(False,))
def packed(dtype: str, wide: bool) -> tuple[Callable[..., Any], str]:
    """The matrices of the phases, (inside, channels * places) each, of every group, from a weight (channels, inside, taps).

    Grid: blocks over a phase's matrix, phases, groups.
    """
    I, words, at_depth, at_weights, at_count, at_places = int64 if wide else int32, WORDS, DEPTH, WEIGHTS, PLACES, PLACES_AT

    def kernel(weight, out, phases, places, first_phase, first_group, channels, inside, taps, group_of_a):  # type: ignore[no-untyped-def]
        first = (int64(cuda.blockIdx.y) + first_phase) * words
        group = I(int64(cuda.blockIdx.z) + first_group)
        depth, count, places_at = I(phases[first + at_depth]), I(phases[first + at_count]), I(phases[first + at_places])
        source = I(group * I(channels) * I(inside) * I(taps))
        target = I(group * I(group_of_a) + I(phases[first + at_weights]))
        i = I(I(cuda.blockIdx.x) * I(cuda.blockDim.x) + I(cuda.threadIdx.x))
        while i < I(depth * I(inside)):
            row = I(quotient(i, depth))
            k = I(i - row * depth)
            channel = I(quotient(k, count))
            place = I(places[I(places_at + k - channel * count)])
            out[I(target + i)] = weight[I(source + (channel * I(inside) + row) * I(taps) + place)]
            i = I(i + I(cuda.gridDim.x) * I(cuda.blockDim.x))

    return kernel, f"{stored(dtype)}* {stored(dtype)}* int64* int32* {'int64 ' * 6}"
