"""Kernels that normalise rows of contiguous elements, whose weights belong to elements, and the gradients of that.

Statistics of a row are its mean, in two parts (so that rounding a large mean loses nothing), and 1 / sqrt(variance + eps): (3, rows).
See ``softmax_rows`` for ``width``, ``team``, ``count`` and ``full``. Of ``groups`` rows each has weights of its own, then these repeat.
"""

from __future__ import annotations

import functools
from typing import Any

from ..elements import type_of
from ..kernel import family, from_text
from ..language import device
from .rows import BLOCK_TEAM, STREAMED
from .softmax_kernels import FLOATS
from .teams import WARP, lines, loads, number, of, over_rows, scope_of, stores, team_sum, tree, wide

SPLIT = """
mean = start + shift
near = mean - start
rest = (start - (mean - near)) + (shift - near)
"""  # start + shift, rounded, and what was lost (Knuth's two-sum)


def welford(width: int, values: list[str]) -> list[str]:
    """Statements that take a vector into the running seen (how many), middle (their mean) and spread (their sum of squared deviations).

    Chan, Golub and LeVeque, "Algorithms for computing the sample variance" (1983).
    """
    inverse = f"T({1 / width!r})"
    return [
        f"own = {tree(values)} * {inverse}" if width > 1 else f"own = {values[0]}",
        f"seen = seen + T({width})",
        "apart = own - middle",
        f"part = T({width}) / seen",
        "middle = middle + apart * part",
        f"spread = spread + apart * apart * ((seen - T({width})) * part)",
        *([f"{v} = {v} - own" for v in values] if width > 1 else []),
        f"spread = spread + {tree([f'{v} * {v}' for v in values])}" if width > 1 else "",
    ]


@functools.cache
def joined_moments(dtype: str) -> Any:
    """A device function: (seen, middle, spread) of two sets of numbers as one, the same bits whichever comes first."""
    T = type_of(dtype)

    @device
    def join(n, middle, spread, m, other, more):  # type: ignore[no-untyped-def]
        both = n + m
        inverse = T(1) / both if both > T(0) else T(0)
        apart = other - middle
        return both, (n * middle + m * other) * inverse, (spread + more) + apart * apart * (n * m * inverse)

    return join


def warp_moments(team: int = WARP) -> list[str]:
    """Statements that join what the threads of a warp have (of a block, through ``scratch``, 3 * 32 numbers)."""
    done = []
    for k in (16, 8, 4, 2, 1):
        parts = [f"{new} = cuda.shfl_xor_sync(0xFFFFFFFF, {old}, {k})" for new, old in (("m", "seen"), ("other", "middle"), ("more", "spread"))]
        done += [*parts, "seen, middle, spread = join(seen, middle, spread, m, other, more)"]
    if team > WARP:
        done += [
            "if cuda.threadIdx.x % 32 == 0:",
            *[f"    scratch[{32 * k} + cuda.threadIdx.x // 32] = {name}" for k, name in enumerate(("seen", "middle", "spread"))],
            "cuda.syncthreads()",
            "seen, middle, spread = scratch[0], scratch[32], scratch[64]",
            *[f"seen, middle, spread = join(seen, middle, spread, scratch[{k}], scratch[{32 + k}], scratch[{64 + k}])" for k in range(1, team // WARP)],
            "cuda.syncthreads()",
        ]
    return done


def _names(prefix: str, width: int, count: int) -> list[list[str]]:
    return [[f"{prefix}{k}_{j}" for j in range(width)] for k in range(count)]


def _keep(statistics: bool) -> list[str]:
    """Statements of one thread that write what is kept of a row."""
    more = ["means[row] = mean + rest", "variances[row] = variance"] if statistics else []
    return ["kept[row] = mean", "kept[rows + row] = rest", "kept[2 * rows + row] = scale", *more]


def _scaled(x: list[str], weighted: bool, biased: bool) -> list[str]:
    """The results of deviations, with weights w and biases b of the same vector."""
    return [f"{v} * scale{f' * w{j}' if weighted else ''}{f' + b{j}' if biased else ''}" for j, v in enumerate(x)]


def _affine(width: int, weighted: bool, biased: bool, place: str) -> list[str]:
    return [loads([f"{p}{j}" for j in range(width)], name, place, width) for p, name, given in (("w", "weight", weighted), ("b", "bias", biased)) if given]


def _forward_types(dtype: str, weighted: bool, biased: bool, statistics: bool) -> str:
    kept = " ".join([wide(dtype)] * (3 if statistics else 1))
    return f"{' '.join([of(dtype)] * (1 + weighted + biased))} {of(dtype)} {kept} int64 int64 int64 {number(dtype)}"


def _parameters(weighted: bool, biased: bool, statistics: bool) -> str:
    return f"x, {'weight, ' * weighted}{'bias, ' * biased}y, kept, {'means, variances, ' * statistics}rows, n, groups, eps"


@family(threads=256, dtype=FLOATS, width=(2,), team=(8, BLOCK_TEAM), count=(4,), full=(False,), centered=(True,), weighted=(True,), biased=(True,),
        statistics=(False,), vectors=True)  # fmt: skip
def rows_forward(
    dtype: str, width: int, team: int, count: int, full: bool, centered: bool, weighted: bool, biased: bool, statistics: bool
) -> tuple[Any, str]:
    """Rows in registers: x, weight, bias (where there are), y, statistics, mean and variance (where wanted), rows, n, groups, eps."""
    names, read, write, zeroed = _names("x", width, count), [], [], []
    for k, x in enumerate(names):
        place, inside = k * team * width, f"lane + {k * team * width} < n"
        both = loads(x, "x", f"at + {place}", width)
        pad = "start" if centered else "T(0)"
        read += [both] if full else [f"if {inside}:", lines(1, both), "else:", lines(1, *[f"{v} = {pad}" for v in x])]
        zeroed += [f"{v} = {v} - mean" if full else f"{v} = {v} - mean if {inside} else T(0)" for v in x]
        each = [f"{v} = {v} - rest" for v in x] if centered else []
        each += [*_affine(width, weighted, biased, f"own + {place}"), stores(_scaled(x, weighted, biased), "y", f"at + {place}", width)]
        write += ["if row < rows:" if full else f"if row < rows and {inside}:", lines(1, *each)]
    flat = [v for x in names for v in x]
    squares = tree([f"{v} * {v}" for v in flat])
    if centered:
        moments = [
            f"mean = start + team_sum({tree([f'({v} - start)' for v in flat])}, scratch) / T(n)",
            *zeroed,
            f"rest = team_sum({tree(flat)}, scratch) / T(n)",
            f"variance = team_sum({squares}, scratch) / T(n) - rest * rest",
            "variance = T(0) if variance < T(0) else variance",
        ]
    else:
        moments = ["mean = T(0)", "rest = T(0)", f"variance = team_sum({squares}, scratch) / T(n)"]
    text = over_rows(
        _parameters(weighted, biased, statistics), team, width,
        "own = row_read % groups * n + lane",
        "start = get(x[at - lane])" if centered else "", *read, *moments,
        "scale = T(1) / sqrt(variance + eps)",
        *write,
        "if row < rows and lane == 0:",
        lines(1, *_keep(statistics)),
    )  # fmt: skip
    return from_text(text, scope_of(dtype, team_sum=team_sum(dtype, team))), _forward_types(dtype, weighted, biased, statistics)


@family(threads=512, dtype=FLOATS, width=(2,), centered=(True, False), weighted=(True,), biased=(True,), statistics=(True,), vectors=True)
def streamed_forward(dtype: str, width: int, centered: bool, weighted: bool, biased: bool, statistics: bool) -> tuple[Any, str]:
    """:func:`rows_forward`, a block to a row, which it reads twice."""
    x = [f"x{j}" for j in range(width)]
    if centered:
        each = [*[f"{v} = {v} - start" for v in x], *welford(width, x)]
        between = [*warp_moments(STREAMED), "shift = middle", SPLIT, "variance = spread / T(n)"]
    else:
        each = [f"spread = spread + {tree([f'{v} * {v}' for v in x])}"]
        between = ["mean = T(0)", "rest = T(0)", "variance = team_sum(spread, scratch) / T(n)"]
    last = [f"{v} = ({v} - mean) - rest" for v in x] if centered else []
    text = f"""
def kernel({_parameters(weighted, biased, statistics)}):
    scratch = cuda.shared.array(96, T)
    row = int64(cuda.blockIdx.x)
    while row < rows:
        at = row * n
        own_weights = row % groups * n
        start = get(x[at])
        seen = T(0)
        middle = T(0)
        spread = T(0)
        c = int64(cuda.threadIdx.x) * {width}
        while c < n:
{lines(3, loads(x, "x", "at + c", width), *each)}
            c += {STREAMED * width}
{lines(2, *between)}
        scale = T(1) / sqrt(variance + eps)
        c = int64(cuda.threadIdx.x) * {width}
        while c < n:
{lines(3, loads(x, "x", "at + c", width), *last, *_affine(width, weighted, biased, "own_weights + c"))}
{lines(3, stores(_scaled(x, weighted, biased), "y", "at + c", width))}
            c += {STREAMED * width}
        if cuda.threadIdx.x == 0:
{lines(3, *_keep(statistics))}
        row += int64(cuda.gridDim.x)
"""
    scope = scope_of(dtype, team_sum=team_sum(dtype, STREAMED), join=joined_moments(dtype))
    return from_text(text, scope), _forward_types(dtype, weighted, biased, statistics)


# ------------------------------------------------------------------------------------------------------------- gradients

_ROW = ["mean = kept[row_read]", "rest = kept[rows + row_read]", "scale = kept[2 * rows + row_read]"]


def _slopes(centered: bool) -> list[str]:
    return ["level = level / T(n)" if centered else "level = T(0)", "slope = slope / T(n) * scale * scale"]


def _gradient(g: list[str], x: list[str]) -> list[str]:
    return [f"(({u} - level) - {v} * slope) * scale" for u, v in zip(g, x, strict=True)]


def _backward_types(dtype: str, weighted: bool) -> str:
    return f"{' '.join([of(dtype)] * (2 + weighted))} {wide(dtype)} {of(dtype)} int64 int64 int64"


@family(threads=256, dtype=FLOATS, width=(2,), team=(8, BLOCK_TEAM), count=(4,), full=(False,), centered=(True,), weighted=(True,), vectors=True)
def rows_backward(dtype: str, width: int, team: int, count: int, full: bool, centered: bool, weighted: bool) -> tuple[Any, str]:
    """The gradient of x, of rows in registers: g, x, weight (if any), statistics, out, rows, n, groups."""
    gs, xs, read, write = _names("g", width, count), _names("x", width, count), [], []
    for k, (g, x) in enumerate(zip(gs, xs, strict=True)):
        place, inside = k * team * width, f"lane + {k * team * width} < n"
        each = [loads(g, "g", f"at + {place}", width), loads(x, "x", f"at + {place}", width), *_affine(width, weighted, False, f"own + {place}")]
        each += [f"{u} = {u} * w{j}" for j, u in enumerate(g)] if weighted else []
        each += [f"{v} = ({v} - mean) - rest" for v in x] if centered else []
        read += each if full else [f"if {inside}:", lines(1, *each), "else:", lines(1, *[f"{v} = T(0)" for v in g + x])]
        write += ["if row < rows:" if full else f"if row < rows and {inside}:", lines(1, stores(_gradient(g, x), "out", f"at + {place}", width))]
    flat = [(u, v) for g, x in zip(gs, xs, strict=True) for u, v in zip(g, x, strict=True)]
    products = tree([f"{u} * {v}" for u, v in flat])
    text = over_rows(
        f"g, x, {'weight, ' * weighted}kept, out, rows, n, groups", team, width,
        "own = row_read % groups * n + lane",
        *_ROW, *read,
        f"level = team_sum({tree([u for u, _ in flat])}, scratch)" if centered else "level = T(0)",
        f"slope = team_sum({products}, scratch)",
        *_slopes(centered), *write,
    )  # fmt: skip
    return from_text(text, scope_of(dtype, team_sum=team_sum(dtype, team))), _backward_types(dtype, weighted)


@family(threads=512, dtype=FLOATS, width=(2,), centered=(True,), weighted=(True,), vectors=True)
def streamed_backward(dtype: str, width: int, centered: bool, weighted: bool) -> tuple[Any, str]:
    """:func:`rows_backward`, a block to a row, which it reads twice."""
    g, x = [f"g{j}" for j in range(width)], [f"x{j}" for j in range(width)]
    read = [loads(g, "g", "at + c", width), loads(x, "x", "at + c", width), *_affine(width, weighted, False, "own + c")]
    read += [f"{u} = {u} * w{j}" for j, u in enumerate(g)] if weighted else []
    read += [f"{v} = ({v} - mean) - rest" for v in x] if centered else []
    text = f"""
def kernel(g, x, {'weight, ' * weighted}kept, out, rows, n, groups):
    scratch = cuda.shared.array(32, T)
    row_read = int64(cuda.blockIdx.x)
    while row_read < rows:
        at = row_read * n
        own = row_read % groups * n
        level = T(0)
        slope = T(0)
{lines(2, *_ROW)}
        c = int64(cuda.threadIdx.x) * {width}
        while c < n:
{lines(3, *read, f"level = level + {tree(g)}", f"slope = slope + {tree([f'{u} * {v}' for u, v in zip(g, x, strict=True)])}")}
            c += {STREAMED * width}
        level = team_sum(level, scratch)
        slope = team_sum(slope, scratch)
{lines(2, *_slopes(centered))}
        c = int64(cuda.threadIdx.x) * {width}
        while c < n:
{lines(3, *read, stores(_gradient(g, x), "out", "at + c", width))}
            c += {STREAMED * width}
        row_read += int64(cuda.gridDim.x)
"""
    return from_text(text, scope_of(dtype, team_sum=team_sum(dtype, STREAMED))), _backward_types(dtype, weighted)
