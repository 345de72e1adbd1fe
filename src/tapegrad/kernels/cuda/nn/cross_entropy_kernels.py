"""The kernels of ``cross_entropy.py``. Rows of logits are read as those of ``softmax``; see there for ``width``, ``team``, ``count`` and ``full``."""

from __future__ import annotations

from typing import Any

from .. import language as L
from ..elements import to_computed, to_stored, type_of
from ..errors import report
from ..kernel import family, from_text
from ..language import cuda, int64
from .rows import BLOCK_TEAM, STREAMED
from .softmax_kernels import FLOATS, running
from .teams import largest, lines, loads, number, of, over_rows, scope_of, stores, team_max, team_sum, tree, wide

_NEAR = 16.0  # an exponent rounded at this size still gives a probability to within a few ulp
SUM_THREADS = 64 if L.SIMULATED else 1024

_CENTRE = "centre = most if most > -T(INF) and most < T(INF) else T(0)"  # so that nothing becomes inf - inf
# The loss of a row, by one thread, of its centre, rest = log(sum(exp(x - centre))) and, when smoothed, spread.
_OWN = ["label = target[row]", "dead = label == ignored", "label = label if label > 0 else int64(0)", "label = label if label < n else n - 1"]


def _finish(weighted: bool, smoothed: bool) -> list[str]:
    return [
        _OWN[0],
        "if label != ignored and not 0 <= label < n:",
        "    report(words, code, label, n)",
        *_OWN[1:],
        f"own = {'get(weight[label])' if weighted else 'T(1)'}",
        f"loss = ((centre - get(logits[row * n + label])) + rest){' * own' if weighted else ''}",
        "loss = kept * loss + spread" if smoothed else "",
        "losses[row] = T(0) if dead else loss",
        "counts[row] = T(0) if dead else own",
        "level[row] = centre + rest",
    ]


def _spread(x: list[str], weighted: bool) -> str:
    terms = [f"((centre - {v}) + rest)" for v in x]
    return tree([f"w{j} * {t}" for j, t in enumerate(terms)] if weighted else terms)


@family(threads=256, dtype=FLOATS, width=(2,), team=(8, BLOCK_TEAM), count=(4,), full=(False,), weighted=(True,), smoothed=(True, False), vectors=True)
def loss_rows(dtype: str, width: int, team: int, count: int, full: bool, weighted: bool, smoothed: bool) -> tuple[Any, str]:
    """Logits, target, weight (or none), losses, logsumexps, weights of the targets, rows, n, ignored target, 1 - smoothing, smoothing / n,
    and where targets out of range are noted."""
    names = [[f"x{k}_{j}" for j in range(width)] for k in range(count)]
    read, spread = [], ["spread = T(0)"]
    for k, x in enumerate(names):
        place, inside = k * team * width, "" if full else f"if lane + {k * team * width} < n:"
        both = loads(x, "logits", f"at + {place}", width)
        read += [both] if full else [inside, lines(1, both), "else:", lines(1, *[f"{v} = -T(INF)" for v in x])]
        w = [loads([f"w{j}" for j in range(width)], "weight", f"lane + {place}", width)] if weighted else []
        each = [*w, f"spread = spread + {_spread(x, weighted)}"]
        spread += each if full else [inside, lines(1, *each)]
    flat = [v for x in names for v in x]
    total = tree([f"exp({v} - centre)" for v in flat])
    text = over_rows(
        f"logits, target, {'weight, ' if weighted else ''}losses, level, counts, rows, n, ignored, kept, factor, words, code", team, width,
        *read, largest(flat), "most = team_max(most, scratch)", _CENTRE,
        f"rest = log(team_sum({total}, scratch))",
        *([*spread, "spread = team_sum(spread, scratch) * factor"] if smoothed else []),
        "if row < rows and lane == 0:",
        lines(1, *_finish(weighted, smoothed)),
    )  # fmt: skip
    scope = scope_of(dtype, team_sum=team_sum(dtype, team), team_max=team_max(dtype, team), report=report)
    return from_text(text, scope), _types(dtype, weighted)


def _types(dtype: str, weighted: bool) -> str:
    return f"{of(dtype)} int64* {of(dtype) if weighted else ''} {' '.join([wide(dtype)] * 3)} int64 int64 int64 {number(dtype)} {number(dtype)} int64* int64"


@family(threads=512, dtype=FLOATS, width=(2,), weighted=(True,), smoothed=(True, False), vectors=True)
def loss_streamed(dtype: str, width: int, weighted: bool, smoothed: bool) -> tuple[Any, str]:
    """:func:`loss_rows`, a block to a row, which it reads once, or twice when smoothed."""
    x, w = [f"x{j}" for j in range(width)], [f"w{j}" for j in range(width)]
    second = ""
    if smoothed:
        each = [loads(x, "logits", "at + c", width), *([loads(w, "weight", "c", width)] if weighted else [])]
        second = f"""
        spread = T(0)
        c = int64(cuda.threadIdx.x) * {width}
        while c < n:
{lines(3, *each, f"spread = spread + {_spread(x, weighted)}")}
            c += {STREAMED * width}
        spread = team_sum(spread, scratch) * factor
"""
    text = f"""
def kernel(logits, target, {"weight, " if weighted else ""}losses, level, counts, rows, n, ignored, kept, factor, words, code):
    scratch = cuda.shared.array(32, T)
    row = int64(cuda.blockIdx.x)
    while row < rows:
        at = row * n
{lines(2, *_statistics(width))}
{second}
        if cuda.threadIdx.x == 0:
{lines(3, *_finish(weighted, smoothed))}
        row += int64(cuda.gridDim.x)
"""
    scope = scope_of(dtype, team_sum=team_sum(dtype, STREAMED), team_max=team_max(dtype, STREAMED), report=report)
    return from_text(text, scope), _types(dtype, weighted)


def _statistics(width: int) -> list[str]:
    """Statements of a block that leave a row's centre and rest."""
    return [
        "most = -T(INF)",
        "total = T(0)",
        f"c = int64(cuda.threadIdx.x) * {width}",
        "while c < n:",
        lines(1, loads([f"x{j}" for j in range(width)], "logits", "at + c", width), *running(width), f"c += {STREAMED * width}"),
        "before = most",
        "most = team_max(most, scratch)",
        "total = total * exp(before - most) if before > -T(INF) else total",
        _CENTRE,
        "total = total if most > -T(INF) else T(0)",
        "rest = log(team_sum(total, scratch))",
    ]


# ------------------------------------------------------------------------------------------------------------- gradient


def _gradient(x: list[str], weighted: bool, smoothed: bool, hits: list[str]) -> list[str]:
    """The gradient of each logit; ``hits`` says which of them is the target's."""
    done = []
    for j, (v, hit) in enumerate(zip(x, hits, strict=True)):
        less = (f" - share * w{j}" if weighted else " - share") if smoothed else ""
        done += [f"{v} = factor * exp(({v} - centre) - rest){less}", f"{v} = {v} - own if {hit} else {v}", f"{v} = T(0) if dead else {v}"]
    return done


def _factors(weighted: bool, smoothed: bool) -> list[str]:
    """own: what the target's logit gets less; factor: what multiplies probabilities; share: what each logit gets less, per weight."""
    kept = "kept * " if smoothed else ""
    own = f"own = {kept}get(weight[label]) * g" if weighted else f"own = {kept}g"
    more = (" + share * all_weights[0]" if weighted else " + share * T(n)") if smoothed else ""
    return [own, "share = smoothing * g" if smoothed else "", f"factor = own{more}"]


def _gradient_types(dtype: str, weighted: bool) -> str:
    weights = f"{of(dtype)} {wide(dtype)}" if weighted else ""
    return f"{wide(dtype)} {of(dtype)} int64* {wide(dtype)} {weights} {of(dtype)} int64 int64 int64 {number(dtype)} {number(dtype)}"


@family(threads=256, dtype=FLOATS, width=(2,), team=(8, BLOCK_TEAM), count=(4,), full=(False,), weighted=(True,), smoothed=(True, False), vectors=True)
def gradient_rows(dtype: str, width: int, team: int, count: int, full: bool, weighted: bool, smoothed: bool) -> tuple[Any, str]:
    """Gradients of the losses, logits, target, logsumexps, weight and its sum (or neither), out, rows, n, ignored target, 1 - smoothing,
    smoothing / n. Logsumexps that are rounded too coarsely are taken again, of what lies in registers."""
    names = [[f"x{k}_{j}" for j in range(width)] for k in range(count)]
    read, write = [], []
    w = [f"w{j}" for j in range(width)]
    for k, x in enumerate(names):
        place = k * team * width
        both = loads(x, "logits", f"at + {place}", width)
        read += [both] if full else [f"if lane + {place} < n:", lines(1, both), "else:", lines(1, *[f"{v} = -T(INF)" for v in x])]
        each = [loads(w, "weight", f"lane + {place}", width)] if weighted and smoothed else []
        each += [*_gradient(x, weighted, smoothed, [f"place == {place + j}" for j in range(width)]), stores(x, "out", f"at + {place}", width)]
        write += ["if row < rows:" if full else f"if row < rows and lane + {place} < n:", lines(1, *each)]
    flat = [v for x in names for v in x]
    total = tree([f"exp({v} - centre)" for v in flat])
    text = over_rows(
        f"gradient, logits, target, level, {'weight, all_weights, ' if weighted else ''}out, rows, n, ignored, kept, smoothing", team, width,
        *read,
        "centre = level[row_read]",
        "rest = T(0)",
        f"if cuda.any_sync(0xFFFFFFFF, not (centre > T({-_NEAR}) and centre < T({_NEAR}))):",
        lines(1, largest(flat), "most = team_max(most, scratch)", _CENTRE),
        f"    rest = log(team_sum({total}, scratch))",
        *[s.replace("[row]", "[row_read]") for s in _OWN], "g = gradient[row_read]", *_factors(weighted, smoothed),
        "place = int32(label - lane)",
        *write,
    )  # fmt: skip
    scope = scope_of(dtype, team_sum=team_sum(dtype, team), team_max=team_max(dtype, team))
    return from_text(text, scope), _gradient_types(dtype, weighted)


@family(threads=512, dtype=FLOATS, width=(2,), weighted=(True,), smoothed=(True, False), vectors=True)
def gradient_streamed(dtype: str, width: int, weighted: bool, smoothed: bool) -> tuple[Any, str]:
    """:func:`gradient_rows`, a block to a row, which it reads once, or twice where the logsumexp is rounded too coarsely."""
    x, w = [f"x{j}" for j in range(width)], [f"w{j}" for j in range(width)]
    each = [loads(x, "logits", "at + c", width), *([loads(w, "weight", "c", width)] if weighted and smoothed else [])]
    each += [*_gradient(x, weighted, smoothed, [f"c + {j} == label" for j in range(width)]), stores(x, "out", "at + c", width)]
    text = f"""
def kernel(gradient, logits, target, level, {"weight, all_weights, " if weighted else ""}out, rows, n, ignored, kept, smoothing):
    scratch = cuda.shared.array(32, T)
    row = int64(cuda.blockIdx.x)
    while row < rows:
        at = row * n
{lines(2, *_OWN, "g = gradient[row]", *_factors(weighted, smoothed))}
        centre = level[row]
        rest = T(0)
        if not (centre > T({-_NEAR}) and centre < T({_NEAR})):
{lines(3, *_statistics(width))}
        c = int64(cuda.threadIdx.x) * {width}
        while c < n:
{lines(3, *each)}
            c += {STREAMED * width}
        row += int64(cuda.gridDim.x)
"""
    scope = scope_of(dtype, team_sum=team_sum(dtype, STREAMED), team_max=team_max(dtype, STREAMED))
    return from_text(text, scope), _gradient_types(dtype, weighted)


# ------------------------------------------------------------------------------------------------------------- sums of rows


@family(threads=1024, dtype=("float32", "float64"))
def sums(dtype: str) -> tuple[Any, str]:
    """Each block adds up its ``share`` of two arrays (a, b, of n elements): a, b, sum of each, n, share."""
    T, team, threads = type_of(dtype), team_sum(dtype, SUM_THREADS), SUM_THREADS

    def kernel(a, b, sum_a, sum_b, n, share):  # type: ignore[no-untyped-def]
        scratch = cuda.shared.array(32, T)
        i = int64(cuda.blockIdx.x) * share
        stop = i + share if i + share < n else n
        i += int64(cuda.threadIdx.x)
        of_a, of_b = T(0), T(0)
        while i < stop:
            of_a += a[i]
            of_b += b[i]
            i += threads
        of_a = team(of_a, scratch)
        of_b = team(of_b, scratch)
        if cuda.threadIdx.x == 0:
            sum_a[cuda.blockIdx.x] = of_a
            sum_b[cuda.blockIdx.x] = of_b

    return kernel, f"{' '.join([f'{dtype}*'] * 4)} int64 int64"


@family(threads=1024, dtype=FLOATS, mean=(False, True))
def loss_of_rows(dtype: str, mean: bool) -> tuple[Any, str]:
    """The sum of losses, or that by the sum of counts: losses, counts, loss, sum of counts, n. One block."""
    T, put, team, threads = type_of(dtype), to_stored(dtype), team_sum(dtype, SUM_THREADS), SUM_THREADS

    def kernel(losses, counts, loss, divisor, n):  # type: ignore[no-untyped-def]
        scratch = cuda.shared.array(32, T)
        i = int64(cuda.threadIdx.x)
        of_losses, of_counts = T(0), T(0)
        while i < n:
            of_losses += losses[i]
            of_counts += counts[i]
            i += threads
        of_losses = team(of_losses, scratch)
        of_counts = team(of_counts, scratch)
        if cuda.threadIdx.x == 0:
            loss[0] = put(of_losses / of_counts if mean else of_losses)
            divisor[0] = of_counts

    return kernel, f"{wide(dtype)} {wide(dtype)} {of(dtype)} {wide(dtype)} int64"


@family(threads=1024, dtype=FLOATS)
def weight_sum(dtype: str) -> tuple[Any, str]:
    """The sum of n class weights: weight, sum, n. One block."""
    T, get, team, threads = type_of(dtype), to_computed(dtype), team_sum(dtype, SUM_THREADS), SUM_THREADS

    def kernel(weight, total, n):  # type: ignore[no-untyped-def]
        scratch = cuda.shared.array(32, T)
        i = int64(cuda.threadIdx.x)
        found = T(0)
        while i < n:
            found += get(weight[i])
            i += threads
        found = team(found, scratch)
        if cuda.threadIdx.x == 0:
            total[0] = found

    return kernel, f"{of(dtype)} {wide(dtype)} int64"


@family(threads=256, dtype=FLOATS, weighted=(False, True))
def row_weights(dtype: str, weighted: bool) -> tuple[Any, str]:
    """What rows count for: target, weight and its sum (or any pointers), out, rows, n, ignored target, 1 - smoothing, smoothing / n."""
    T, get, put = type_of(dtype), to_computed(dtype), to_stored(dtype)

    def kernel(target, weight, all_weights, out, rows, n, ignored, kept, smoothing):  # type: ignore[no-untyped-def]
        row = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)
        while row < rows:
            label = target[row]
            found = kept + smoothing * T(n)
            if weighted:
                place = label if label > 0 else int64(0)
                place = place if place < n else n - 1
                found = kept * get(weight[place]) + smoothing * all_weights[0]
            out[row] = put(T(0) if label == ignored else found)
            row += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)

    return kernel, f"int64* {of(dtype)} {wide(dtype)} {of(dtype)} int64 int64 int64 {number(dtype)} {number(dtype)}"
