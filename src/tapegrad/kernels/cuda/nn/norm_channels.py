"""Kernels that normalise channels of (samples, channels, inner), over a batch or in groups, and the gradients of that.

A run is the ``inner`` neighbouring elements of one channel of one sample; a row is the runs that share statistics: run ``q`` is of row
``q // each % rows`` and has the weight of channel ``q % channels``. Warps take pieces of runs; where runs are short, threads take columns
of the matrix (samples, channels * inner) instead. Both leave partial results, which ``joined_*`` add up, a warp to a row or channel.
"""

from __future__ import annotations

from typing import Any

from .. import language as L
from ..elements import computed, to_computed, to_stored, type_of
from ..kernel import family, from_text
from ..language import cuda, int64
from .norm_rows import SPLIT, joined_moments, warp_moments, welford
from .softmax_kernels import FLOATS
from .teams import lines, loads, number, of, scope_of, stores, team_sum, tree, wide

PIECE = 64 if L.SIMULATED else 2048  # elements of a run that a warp takes at a time
ACROSS, DOWN = 32, 2 if L.SIMULATED else 8  # threads of a block over columns: neighbouring ones, and rows

_RUNS = """
    lane = int64(cuda.threadIdx.x % 32) * {width}
    unit = (int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)) // 32
    while unit < runs * pieces:
        q = unit // pieces
        row = q // each % rows
        channel = q % channels
        c = (unit - q * pieces) * {piece} + lane
        stop = c - lane + {piece}
        stop = stop if stop < inner else inner
        at = q * inner
"""
_RUN_TYPES = "int64 int64 int64 int64 int64 int64"  # runs, pieces, inner, each, rows, channels
_RUN_SIZES = "runs, pieces, inner, each, rows, channels"
_KEPT = ["mean = kept[row]", "rest = kept[rows + row]", "scale = kept[2 * rows + row]"]


def _runs(parameters: str, width: int, before: list[str], each: list[str], after: list[str], *, dtype: str, **scope: Any) -> Any:
    """A kernel in which a warp goes over a piece of a run: statements before, for each vector, and after it."""
    text = f"""
def kernel({parameters}, {_RUN_SIZES}):
{_RUNS.format(width=width, piece=PIECE)}
{lines(2, *before)}
        while c < stop:
{lines(3, *each)}
            c += {32 * width}
{lines(2, *after)}
        unit += int64(cuda.gridDim.x) * int64(cuda.blockDim.x) // 32
"""
    return from_text(text, scope_of(dtype, **scope))


@family(threads=256, dtype=FLOATS, width=(2,), vectors=True)
def run_moments(dtype: str, width: int) -> tuple[Any, str]:
    """x, means and sums of squared deviations of pieces, step from row to row in runs. Means are about the row's first element."""
    x = [f"x{j}" for j in range(width)]
    start = ["start = get(x[row * row_step * inner])", "seen = T(0)", "middle = T(0)", "spread = T(0)"]
    each = [loads(x, "x", "at + c", width), *[f"{v} = {v} - start" for v in x], *welford(width, x)]
    after = [*warp_moments(), "if lane == 0:", "    means[unit] = middle", "    spreads[unit] = spread"]
    kernel = _runs("x, means, spreads, row_step", width, start, each, after, dtype=dtype, join=joined_moments(dtype))
    return kernel, f"{of(dtype)} {wide(dtype)} {wide(dtype)} int64 {_RUN_TYPES}"


@family(threads=256, dtype=FLOATS, width=(2,), weighted=(True,), biased=(True,), vectors=True)
def run_forward(dtype: str, width: int, weighted: bool, biased: bool) -> tuple[Any, str]:
    """x, weight and bias (where there are), statistics, y."""
    x = [f"x{j}" for j in range(width)]
    before = [*_KEPT, "scale = scale * get(weight[channel])" if weighted else "", "shift = get(bias[channel])" if biased else ""]
    values = [f"(({v} - mean) - rest) * scale{' + shift' * biased}" for v in x]
    each = [loads(x, "x", "at + c", width), stores(values, "y", "at + c", width)]
    kernel = _runs(f"x, {'weight, ' * weighted}{'bias, ' * biased}kept, y", width, before, each, [], dtype=dtype)
    return kernel, f"{' '.join([of(dtype)] * (1 + weighted + biased))} {wide(dtype)} {of(dtype)} {_RUN_TYPES}"


@family(threads=256, dtype=FLOATS, width=(2,), vectors=True)
def run_sums(dtype: str, width: int) -> tuple[Any, str]:
    """g, x, statistics, sums of g and of g * (x - mean) of pieces."""
    g, x = [f"g{j}" for j in range(width)], [f"x{j}" for j in range(width)]
    products = [f"{u} * (({v} - mean) - rest)" for u, v in zip(g, x, strict=True)]
    each = [loads(g, "g", "at + c", width), loads(x, "x", "at + c", width), f"level = level + {tree(g)}", f"slope = slope + {tree(products)}"]
    after = ["level = team_sum(level, levels)", "slope = team_sum(slope, levels)", "if lane == 0:", "    levels[unit] = level", "    slopes[unit] = slope"]
    before = [*_KEPT[:2], "level = T(0)", "slope = T(0)"]
    kernel = _runs("g, x, kept, levels, slopes", width, before, each, after, dtype=dtype, team_sum=team_sum(dtype, 32))
    return kernel, f"{of(dtype)} {of(dtype)} {' '.join([wide(dtype)] * 3)} {_RUN_TYPES}"


_SLOPES = ["level = levels[row] / count", "slope = slopes[row] / count * scale * scale"]


@family(threads=256, dtype=FLOATS, width=(2,), weighted=(True,), vectors=True)
def run_backward(dtype: str, width: int, weighted: bool) -> tuple[Any, str]:
    """g, x, weight (if any), statistics, sums over rows of g * weight and of that * (x - mean), gradient of x, elements of a row."""
    g, x = [f"g{j}" for j in range(width)], [f"x{j}" for j in range(width)]
    before = [*_KEPT, *_SLOPES, "own = get(weight[channel])" if weighted else ""]
    values = [f"(({u}{' * own' * weighted} - level) - (({v} - mean) - rest) * slope) * scale" for u, v in zip(g, x, strict=True)]
    each = [loads(g, "g", "at + c", width), loads(x, "x", "at + c", width), stores(values, "out", "at + c", width)]
    kernel = _runs(f"g, x, {'weight, ' * weighted}kept, levels, slopes, out, count", width, before, each, [], dtype=dtype)
    return kernel, f"{' '.join([of(dtype)] * (2 + weighted))} {' '.join([wide(dtype)] * 3)} {of(dtype)} {number(dtype)} {_RUN_TYPES}"


# --------------------------------------------------------------------------------------------------------------- columns

_COLUMN_TYPES = "int64 int64 int64 int64"  # rows of the matrix, its columns, those of a channel, rows of a chunk
_COLUMN_SIZES = "height, columns, inner, share"


def _columns(parameters: str, before: list[str], each: list[str], after: list[str], *, dtype: str, **scope: Any) -> Any:
    """A kernel in which a block goes over neighbouring columns and a chunk of rows: statements before, for each element, and after it.

    ``thread`` is the place of a thread in shared arrays, ``place`` that of a column's partial result.
    """
    text = f"""
def kernel({parameters}, {_COLUMN_SIZES}):
    shared = cuda.shared.array({3 * ACROSS * DOWN}, T)
    thread = int64(cuda.threadIdx.y) * {ACROSS} + int64(cuda.threadIdx.x)
    tiles = (columns + {ACROSS - 1}) // {ACROSS}
    chunks = (height + share - 1) // share
    unit = int64(cuda.blockIdx.x)
    while unit < tiles * chunks:
        chunk = unit // tiles
        column = (unit - chunk * tiles) * {ACROSS} + int64(cuda.threadIdx.x)
        used = column < columns
        column = column if used else columns - 1
        row = column // inner
        rows = columns // inner
        place = chunk * columns + column
        i = chunk * share + int64(cuda.threadIdx.y)
        stop = chunk * share + share
        stop = stop if stop < height else height
{lines(2, *before)}
        while i < stop:
            at = i * columns + column
{lines(3, *each)}
            i += {DOWN}
{lines(2, *after)}
        unit += int64(cuda.gridDim.x)
"""
    return from_text(text, scope_of(dtype, **scope))


def _joined_columns(names: list[str], outputs: list[str], join: str) -> list[str]:
    """Statements that join what the threads of a column have, and write it."""
    size = ACROSS * DOWN
    return [
        *[f"shared[{k * size} + thread] = {name}" for k, name in enumerate(names)],
        "cuda.syncthreads()",
        "if cuda.threadIdx.y == 0 and used:",
        *[lines(1, join.format(*[f"shared[thread + {k * size + d * ACROSS}]" for k in range(len(names))])) for d in range(1, DOWN)],
        *[f"    {out}[place] = {name}" for out, name in zip(outputs, names[-len(outputs) :], strict=True)],
        "cuda.syncthreads()",
    ]


@family(threads=ACROSS * DOWN, dtype=FLOATS)
def column_moments(dtype: str) -> tuple[Any, str]:
    """x, means and sums of squared deviations of columns of a chunk. Means are about the channel's first element."""
    before = ["start = get(x[row * inner])", "seen = T(0)", "middle = T(0)", "spread = T(0)"]
    each = ["x0 = get(x[at]) - start", "seen = seen + T(1)", "apart = x0 - middle", "middle = middle + apart / seen", "spread = spread + apart * (x0 - middle)"]
    after = _joined_columns(
        ["seen", "middle", "spread"], ["means", "spreads"], "seen, middle, spread = join(seen, middle, spread, {}, {}, {})"
    )
    kernel = _columns("x, means, spreads", before, each, after, dtype=dtype, join=joined_moments(dtype))
    return kernel, f"{of(dtype)} {wide(dtype)} {wide(dtype)} {_COLUMN_TYPES}"


@family(threads=ACROSS * DOWN, dtype=FLOATS, weighted=(True,), biased=(True,))
def column_forward(dtype: str, weighted: bool, biased: bool) -> tuple[Any, str]:
    """x, weight and bias (where there are), statistics, y."""
    before = [*_KEPT, "scale = scale * get(weight[row])" if weighted else "", "shift = get(bias[row])" if biased else ""]
    each = ["if used:", f"    y[at] = put(((get(x[at]) - mean) - rest) * scale{' + shift' * biased})"]
    kernel = _columns(f"x, {'weight, ' * weighted}{'bias, ' * biased}kept, y", before, each, [], dtype=dtype)
    return kernel, f"{' '.join([of(dtype)] * (1 + weighted + biased))} {wide(dtype)} {of(dtype)} {_COLUMN_TYPES}"


@family(threads=ACROSS * DOWN, dtype=FLOATS, by_rows=(False, True), centered=(True,))
def column_sums(dtype: str, by_rows: bool, centered: bool) -> tuple[Any, str]:
    """g, x, statistics, sums of g and of g * (x - mean) of the columns of a chunk; ``by_rows``: each row of the
    matrix has statistics of its own, and what is added up is in units of their deviation."""
    own = ["k = i * rows + row", "mean = kept[k]", "rest = kept[height * rows + k]", "scale = kept[2 * height * rows + k]"]
    product = "g0 * ((get(x[at]) - mean) - rest)" if centered else "g0 * get(x[at])"
    before = [*([] if by_rows else _KEPT[:2]), "level = T(0)", "slope = T(0)"]
    each = [*(own if by_rows else []), "g0 = get(g[at])", "level = level + g0", f"slope = slope + {product}{' * scale' if by_rows else ''}"]
    after = _joined_columns(["level", "slope"], ["levels", "slopes"], "level = level + {}\nslope = slope + {}")
    kernel = _columns("g, x, kept, levels, slopes", before, each, after, dtype=dtype)
    return kernel, f"{of(dtype)} {of(dtype)} {' '.join([wide(dtype)] * 3)} {_COLUMN_TYPES}"


@family(threads=ACROSS * DOWN, dtype=FLOATS, weighted=(True,))
def column_backward(dtype: str, weighted: bool) -> tuple[Any, str]:
    """g, x, weight (if any), statistics, sums over rows of g * weight and of that * (x - mean), gradient of x, elements of a row."""
    before = [*_KEPT, *_SLOPES, "own = get(weight[row])" if weighted else ""]
    value = f"((get(g[at]){' * own' * weighted} - level) - ((get(x[at]) - mean) - rest) * slope) * scale"
    kernel = _columns(f"g, x, {'weight, ' * weighted}kept, levels, slopes, out, count", before, ["if used:", f"    out[at] = put({value})"], [], dtype=dtype)
    return kernel, f"{' '.join([of(dtype)] * (2 + weighted))} {' '.join([wide(dtype)] * 3)} {of(dtype)} {number(dtype)} {_COLUMN_TYPES}"


# ------------------------------------------------------------------------------------------------------------- joining

# Partial results of row (or channel) r are (r * row_step + s * step) * pieces + p, for s below ``segments`` and p below ``pieces``.
_PARTS = "segments, pieces, row_step, step"
_PART_TYPES = "int64 int64 int64 int64"


@family(threads=256, dtype=FLOATS, statistics=(True,))
def joined_rows(dtype: str, statistics: bool) -> tuple[Any, str]:
    """x, means and sums of squared deviations of parts, statistics, mean and variance (where wanted), eps; first element of a row in x;
    elements of a part: those of a segment in all and of each but the last, those of a piece in all and of each but the last."""
    more = ["means[row] = mean + rest", "variances[row] = variance"] if statistics else []
    text = f"""
def kernel(x, part_means, part_spreads, kept, {'means, variances, ' * statistics}eps, row_size, height, share, inner, piece, rows, {_PARTS}):
    lane = int64(cuda.threadIdx.x % 32)
    row = (int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)) // 32
    while row < rows:
        seen = T(0)
        middle = T(0)
        spread = T(0)
        i = lane
        while i < segments * pieces:
            s = i // pieces
            p = i - s * pieces
            tall = height - s * share if height - s * share < share else share
            wide = inner - p * piece if inner - p * piece < piece else piece
            place = (row * row_step + s * step) * pieces + p
            seen, middle, spread = join(seen, middle, spread, T(tall * wide), part_means[place], part_spreads[place])
            i += 32
{lines(2, *warp_moments())}
        start = get(x[row * row_size])
        shift = middle
{lines(2, SPLIT.strip())}
        variance = spread / seen
        if lane == 0:
            kept[row] = mean
            kept[rows + row] = rest
            kept[2 * rows + row] = T(1) / sqrt(variance + eps)
{lines(3, *more)}
        row += int64(cuda.gridDim.x) * int64(cuda.blockDim.x) // 32
"""
    sizes = f"{number(dtype)} int64 int64 int64 int64 int64 int64 {_PART_TYPES}"
    return from_text(text, scope_of(dtype, join=joined_moments(dtype))), f"{of(dtype)} {' '.join([wide(dtype)] * (5 if statistics else 3))} {sizes}"


@family(threads=256, dtype=FLOATS, kind=("rows", "channels", "elements"), weighted=(True,))
def joined_sums(dtype: str, kind: str, weighted: bool) -> tuple[Any, str]:
    """Levels and slopes of parts, weight, statistics, their sums, targets, parts as above, each, rows, channels.

    Of "rows", in units of the weights; of "channels", slopes in those of the deviation, and of "elements", both as they are, written in
    the dtype of the weights.
    """
    T, get, total = type_of(dtype), to_computed(dtype), team_sum(dtype, 32)
    put = to_stored(computed(dtype) if kind == "rows" else dtype)
    of_rows, of_channels = kind == "rows" and weighted, kind == "channels"

    def kernel(  # type: ignore[no-untyped-def]
        levels, slopes, weight, kept, level_sums, slope_sums, targets, segments, pieces, row_step, step, each, rows, channels
    ):
        lane = int64(cuda.threadIdx.x % 32)
        target = (int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)) // 32
        while target < targets:
            level, slope = T(0), T(0)
            i = lane
            while i < segments * pieces:
                s = i // pieces
                q = target * row_step + s * step
                place = q * pieces + (i - s * pieces)
                own = get(weight[q % channels]) if of_rows else T(1)
                scale = kept[2 * rows + q // each % rows] if of_channels else own
                level += levels[place] * own
                slope += slopes[place] * scale
                i += 32
            level = total(level, levels)
            slope = total(slope, levels)
            if lane == 0:
                level_sums[target] = put(level)
                slope_sums[target] = put(slope)
            target += int64(cuda.gridDim.x) * int64(cuda.blockDim.x) // 32

    out = wide(dtype) if kind == "rows" else of(dtype)
    return kernel, f"{wide(dtype)} {wide(dtype)} {of(dtype)} {wide(dtype)} {out} {out} int64 {_PART_TYPES} int64 int64 int64"
