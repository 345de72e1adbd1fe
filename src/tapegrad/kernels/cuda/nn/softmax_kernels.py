"""The kernels of ``softmax.py``: text that is written for a width of vectors and a number of them, so that rows lie in registers."""

from __future__ import annotations

from typing import Any

from .. import language as L
from ..kernel import family, from_text
from .rows import BLOCK_TEAM, STREAMED
from .teams import largest, lines, loads, of, over_rows, scope_of, stores, team_max, team_sum, tree

FLOATS = ("float32", "float64", "float16", "bfloat16")
FORWARD = ("softmax", "log_softmax", "masked_softmax")
KINDS = (*FORWARD, "softmax_backward", "log_softmax_backward")

# What is summed of an element (its own value a, the other array's b), what is made of the sum, and the result. In forward kinds, e is
# exp(a - most), and most the largest of the row. What is masked becomes 0, where all is -inf.
_TERM = {"softmax_backward": "{a} * {b}", "log_softmax_backward": "{a}"}
_KEPT = {
    "softmax": "T(1) / total",
    "log_softmax": "log(total)",
    "masked_softmax": "T(0) if total == T(0) else T(1) / total",
    "softmax_backward": "total",
    "log_softmax_backward": "total",
}
_RESULT = {
    "softmax": "exp({a} - most) * kept",
    "log_softmax": "({a} - most) - kept",
    "masked_softmax": "exp({a} - most) * kept",
    "softmax_backward": "{b} * ({a} - kept)",
    "log_softmax_backward": "{a} - exp({b}) * kept",
}
_CENTRE = {"masked_softmax": "most = most if most > -T(INF) else T(0)"}


def results(kind: str, a: list[str], b: list[str]) -> list[str]:
    return [_RESULT[kind].format(a=x, b=y) for x, y in zip(a, b, strict=True)]


@family(threads=256, kind=KINDS, dtype=FLOATS, width=(2,), team=(8, BLOCK_TEAM), count=(4,), full=(False,), vectors=True)
def softmax_rows(kind: str, dtype: str, width: int, team: int, count: int, full: bool) -> tuple[Any, str]:
    """Rows of n elements, ``count`` vectors in each thread of a team (``full``: they make a row): a, b (or none), out, rows, n."""
    forward = kind in FORWARD
    names = [[f"a{k}_{j}" for j in range(width)] for k in range(count)]
    others = [[f"b{k}_{j}" for j in range(width)] for k in range(count)]
    read, write = [], []
    for k, (a, b) in enumerate(zip(names, others, strict=True)):
        place, offset, pad = f"at + {k * team * width}", k * team * width, "-T(INF)" if forward else "T(0)"
        both = [loads(a, "a", place, width)] + ([] if forward else [loads(b, "b", place, width)])
        if full:
            read += both
        else:
            read += [f"if lane + {offset} < n:", lines(1, *both), "else:", lines(1, *[f"{x} = {pad}" for x in (a if forward else a + b)])]
        values = [f"{x} * kept" for x in a] if forward and kind != "log_softmax" else results(kind, a, b)
        write += ["if row < rows:" if full else f"if row < rows and lane + {offset} < n:", lines(1, stores(values, "out", place, width))]
    flat, flat_b = [x for part in names for x in part], [x for part in others for x in part]
    if forward:
        sums = [largest(flat), "most = team_max(most, scratch)", _CENTRE.get(kind, "")]
        terms = [f"exp({x} - most)" for x in flat]
        if kind != "log_softmax":
            sums += [f"{x} = {t}" for x, t in zip(flat, terms, strict=True)]
            terms = flat
    else:
        sums, terms = [], [_TERM[kind].format(a=x, b=y) for x, y in zip(flat, flat_b, strict=True)]
    sums += [f"total = team_sum({tree(terms)}, scratch)", f"kept = {_KEPT[kind]}"]
    other = "b, " if not forward else ""
    text = over_rows(f"a, {other}out, rows, n", team, width, *read, *sums, *write)
    scope = scope_of(dtype, team_sum=team_sum(dtype, team), team_max=team_max(dtype, team))
    pointers = " ".join([of(dtype)] * (2 if forward else 3))
    return from_text(text, scope), f"{pointers} int64 int64"


def running(width: int) -> list[str]:
    """Statements that take x0, x1, ... into a running maximum ``most`` and sum ``total`` of exp(x - most)."""
    x = [f"x{j}" for j in range(width)]
    return [
        "before = most",
        *[f"most = {v} if {v} > most else most" for v in x],
        "centre = most if most > -T(INF) else T(0)",
        f"total = total * exp(before - centre) + {tree([f'exp({v} - centre)' for v in x])}",
    ]


@family(threads=512, kind=KINDS, dtype=FLOATS, width=(2,), vectors=True)
def softmax_streamed(kind: str, dtype: str, width: int) -> tuple[Any, str]:
    """A row of n elements to a block, which reads it twice: a, b (or none), out, rows, n."""
    forward = kind in FORWARD
    x, y = [f"x{j}" for j in range(width)], [f"y{j}" for j in range(width)]
    read = [loads(x, "a", "at + c", width), *([] if forward else [loads(y, "b", "at + c", width)])]
    if forward:
        first = running(width)
        between = [
            "before = most", "most = team_max(most, scratch)", "centre = most if most > -T(INF) else T(0)",
            "total = team_sum(total * exp(before - centre), scratch)", _CENTRE.get(kind, ""),
        ]  # fmt: skip
    else:
        first = [f"total = total + {tree([_TERM[kind].format(a=p, b=q) for p, q in zip(x, y, strict=True)])}"]
        between = ["total = team_sum(total, scratch)"]
    text = f"""
def kernel(a, {"" if forward else "b, "}out, rows, n):
    scratch = cuda.shared.array(32, T)
    row = int64(cuda.blockIdx.x)
    while row < rows:
        at = row * n
        most = -T(INF)
        total = T(0)
        c = int64(cuda.threadIdx.x) * {width}
        while c < n:
{lines(3, *read, *first)}
            c += {STREAMED * width}
{lines(2, *between)}
        kept = {_KEPT[kind]}
        c = int64(cuda.threadIdx.x) * {width}
        while c < n:
{lines(3, *read, stores(results(kind, x, y), "out", "at + c", width))}
            c += {STREAMED * width}
        row += int64(cuda.gridDim.x)
"""
    scope = scope_of(dtype, team_sum=team_sum(dtype, STREAMED), team_max=team_max(dtype, STREAMED))
    pointers = " ".join([of(dtype)] * (2 if forward else 3))
    return from_text(text, scope), f"{pointers} int64 int64"


COLUMNS = 64 if L.SIMULATED else 256  # threads of a block


@family(threads=COLUMNS, kind=KINDS, dtype=FLOATS, width=(2,), vectors=True)
def softmax_columns(kind: str, dtype: str, width: int) -> tuple[Any, str]:
    """(outer, n, inner) along n: a, b (or none), out, outer, n, inner. Blocks are (neighbouring columns / width, threads of a column).

    Each thread sums with compensation (Kahan), since columns may be long.
    """
    forward = kind in FORWARD
    x, y = [f"x{j}" for j in range(width)], [f"y{j}" for j in range(width)]
    read = [loads(x, "a", "p", width), *([] if forward else [loads(y, "b", "p", width)])]
    per = range(width)
    start = [f"most{j} = -T(INF)\ntotal{j} = T(0)\nlost{j} = T(0)" for j in per]
    first = []
    for j in per:
        if forward:
            first += [
                f"before = most{j}", f"most{j} = x{j} if x{j} > most{j} else most{j}", f"centre = most{j} if most{j} > -T(INF) else T(0)",
                "scale = exp(before - centre)", f"term = exp(x{j} - centre) - lost{j} * scale", f"total{j} = total{j} * scale",
            ]  # fmt: skip
        else:
            first += [f"term = {_TERM[kind].format(a=x[j], b=y[j])} - lost{j}"]
        first += [f"next = total{j} + term", f"lost{j} = (next - total{j}) - term", f"total{j} = next"]
    join = []
    for j in per:
        join += [f"shared_total[thread] = total{j}", *([f"shared_most[thread] = most{j}"] if forward else []), "cuda.syncthreads()"]
        join += ["total = T(0)", "most = -T(INF)", "k = int32(cuda.threadIdx.x)"]
        if forward:
            join += [f"while k < {COLUMNS}:", "    most = shared_most[k] if shared_most[k] > most else most", "    k += across"]
            join += ["centre = most if most > -T(INF) else T(0)", "k = int32(cuda.threadIdx.x)"]
        added = "shared_total[k] * exp(shared_most[k] - centre)" if forward else "shared_total[k]"
        join += [f"while k < {COLUMNS}:", f"    total = total + {added}", "    k += across", "cuda.syncthreads()"]
        join += [_CENTRE.get(kind, "") if forward else "", f"kept{j} = {_KEPT[kind]}", f"most{j} = most"]
    values = [_RESULT[kind].replace("most", f"most{j}").replace("kept", f"kept{j}").format(a=x[j], b=y[j]) for j in per]
    text = f"""
def kernel(a, {"" if forward else "b, "}out, outer, n, inner):
    shared_total = cuda.shared.array({COLUMNS}, T)
    shared_most = cuda.shared.array({COLUMNS}, T)
    across = int32(cuda.blockDim.x)
    down = int64(cuda.blockDim.y)
    thread = int32(cuda.threadIdx.y) * across + int32(cuda.threadIdx.x)
    tiles = (inner + int64(across) * {width} - 1) // (int64(across) * {width})
    tile = int64(cuda.blockIdx.x)
    while tile < outer * tiles:
        above = tile // tiles
        column = (tile - above * tiles) * int64(across) * {width} + int64(cuda.threadIdx.x) * {width}
        at = above * n * inner + column
{lines(2, *start)}
        if column < inner:
            i = int64(cuda.threadIdx.y)
            while i < n:
                p = at + i * inner
{lines(4, *read, *first)}
                i += down
{lines(2, *join)}
        if column < inner:
            i = int64(cuda.threadIdx.y)
            while i < n:
                p = at + i * inner
{lines(4, *read, stores(values, "out", "p", width))}
                i += down
        tile += int64(cuda.gridDim.x)
"""
    pointers = " ".join([of(dtype)] * (2 if forward else 3))
    return from_text(text, scope_of(dtype)), f"{pointers} int64 int64 int64"
