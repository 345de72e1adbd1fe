"""The kernels of scans, as text around the functions of ``running``.

A lane is scanned by a warp or a block, tile by tile, or by one thread where lanes lie side by side. Long lanes are cut into chunks: a launch
finds the chunks' totals, ``prefixes`` what comes before each, and a second one like the first scans the chunks from there on.
"""

from __future__ import annotations

from typing import Any

from .. import language as L
from ..elements import stored, to_computed, to_stored, type_of
from ..kernel import family, from_text
from .kernels import part_of
from .running import Running, running

SCANS = ("cumsum", "cumprod", "cummax", "logcumsumexp", "recurrence")
TILE = {1: 8, 2: 8, 4: 8, 8: 4, 16: 2}  # elements that a thread has of a tile, by their size
AHEAD = 4  # elements that a thread of its own lane reads before it looks at the first


def _scope(op: Running, source: str, results: tuple[str, ...]) -> dict[str, Any]:
    scope: dict[str, Any] = {"nothing": op.nothing, "enter": op.enter, "merge": op.merge, "step": op.step, "leave": op.leave}
    scope |= {"get": to_computed(source), "V": type_of(part_of(source)), "int64": L.int64, "cuda": L.cuda}
    scope |= {f"{way}{n}": getattr(L, f"{way}{n}") for n in (2, 4, 8, 16) for way in ("load", "store")}
    for k, name in enumerate(results):
        scope |= {f"put{k}": to_stored(part_of(name)), f"R{k}": type_of(part_of(name))}
    return scope | {f"S{j}": getattr(L, name) for j, name in enumerate(op.state)}


def _read(name: str, source: str, place: str) -> str:
    return f"load2({name}, 2 * ({place}))" if source.startswith("complex") else f"get({name}[{place}])"


def _write(results: tuple[str, ...], value: str, place: str) -> list[str]:
    if results[0].startswith("complex"):
        return [f"store2(o0, 2 * ({place}), (put0(R0({value}[0])), put0(R0({value}[1]))))"]
    return [f"o{k}[{place}] = put{k}(R{k}({value}[{k}]))" for k in range(len(results))]


def _state(op: Running, name: str, place: str) -> str:
    return "(" + ", ".join(f"{name}{j}[{place}]" for j in range(len(op.state))) + ",)"


def _types(op: Running, source: str, results: tuple[str, ...], stage: str) -> tuple[list[str], list[str]]:
    """Names and types of a scan's arrays: inputs, outputs unless only totals are wanted, and states unless it is whole."""
    names, types = [f"x{k}" for k in range(op.inputs)], [f"{stored(part_of(source))}*"] * op.inputs
    if stage != "totals":
        names, types = names + [f"o{k}" for k in range(len(results))], types + [f"{stored(part_of(r))}*" for r in results]
    if stage != "whole":
        names, types = names + [f"p{j}" for j in range(len(op.state))], types + [f"{s}*" for s in op.state]
    return names, types


def _scan_block(op: Running, G: int, indent: str) -> list[str]:
    """Statements that make ``before``, of the states ``a`` of G threads and ``carry``, what comes before a thread, and ``carry`` all."""
    state = range(len(op.state))
    out = []
    k = 1
    while k < 32:
        out += [f"b = ({', '.join(f'cuda.shfl_up_sync(0xFFFFFFFF, a[{j}], {k})' for j in state)},)"]
        out += [f"a = merge(b, a) if in_warp >= {k} else a"]
        k *= 2
    out += [f"b = ({', '.join(f'cuda.shfl_up_sync(0xFFFFFFFF, a[{j}], 1)' for j in state)},)"]
    if G == 32:
        out += ["before = merge(carry, b) if in_warp > 0 else carry"]
        out += [f"b = ({', '.join(f'cuda.shfl_sync(0xFFFFFFFF, a[{j}], 31)' for j in state)},)", "carry = merge(carry, b)"]
        return [indent + line for line in out]
    out += ["if in_warp == 31:", *[f"    shared{j}[warp] = a[{j}]" for j in state], "cuda.syncthreads()", "before = carry"]
    for w in range(G // 32):
        out += [f"before = carry if warp == {w} else before", f"carry = merge(carry, {_state(op, 'shared', str(w))})"]
    out += ["before = merge(before, b) if in_warp > 0 else before", "cuda.syncthreads()"]
    return [indent + line for line in out]


def _threads(op: Running, G: int) -> list[str]:
    out = ["    t = int64(cuda.threadIdx.x)", f"    slot, g, warp, in_warp = t // {G}, t & {G - 1}, t >> 5, t & 31"]
    return out + ([f"    shared{j} = cuda.shared.array({G // 32}, S{j})" for j in range(len(op.state))] if G > 32 else [])


@family(
    threads=(L.BLOCK, 2), vectors=True, doubles=True, op=SCANS, source=("float32",), compute=("float64",), results=(("float32", "int64"),),
    stage=("whole", "totals", "carried"), G=(L.BLOCK,), W=(4,), reverse=(False, True),
)  # fmt: skip
def rows(
    op: str, source: str, compute: str, results: tuple[str, ...], stage: str, G: int, W: int, reverse: bool
) -> tuple[Any, str]:
    """Scans of contiguous lanes.

    Args:
        op: the scan.
        source: dtype of the elements.
        compute: dtype of the computation.
        results: dtypes of the results.
        stage: "whole", or of chunks: "totals" or "carried".
        G: threads of a lane or chunk: a warp or a block.
        W: elements that are read and written at a time.
        reverse: whether the last element is the first.
    """
    pairs = source.startswith("complex")
    o = running(op, compute, pairs)
    results = results[: o.results]
    K = max(W, TILE[{"complex64": 8, "complex128": 16, "float64": 8, "int64": 8}.get(source, 4)])
    per = L.BLOCK // G
    arrays, types = _types(o, source, results, stage)
    out = [f"def kernel({', '.join([*arrays, 'lanes', 'n', 'chunks', 'share'])}):", *_threads(o, G)]
    out += [f"    unit0 = int64(cuda.blockIdx.x) * {per}", "    while unit0 < lanes * chunks:"]
    out += ["        unit = min(unit0 + slot, lanes * chunks - 1)", "        live = unit0 + slot < lanes * chunks"]
    out += ["        lane = unit // chunks", "        chunk = unit - lane * chunks", "        base = lane * n"]
    if reverse:
        out += ["        end = n - chunk * share", "        begin = max(end - share, 0)"]
        out += [f"        edge = end + ((-(base + end)) & {W - 1})", f"        tiles = (edge - begin + {G * K - 1}) // {G * K}"]
    else:
        out += ["        begin = chunk * share", "        end = min(begin + share, n)"]
        out += [f"        edge = begin - ((base + begin) & {W - 1})", f"        tiles = (end - edge + {G * K - 1}) // {G * K}"]
    carried = _state(o, "p", "chunk * lanes + lane")
    out += [f"        carry = {carried}" if stage == "carried" else "        carry = nothing()"]
    out += ["        for tile in range(tiles):"]
    out += [f"            at = edge - tile * {G * K} - (g + 1) * {K}" if reverse else f"            at = edge + tile * {G * K} + g * {K}"]
    out += [f"            ok{j} = (at + {j} >= begin) & (at + {j} < end)" for j in range(K)]
    out += [f"            full = ok0 & ok{K - 1}", "            if full:"]
    for k in range(o.inputs):
        name = "vw"[k]
        for q in range(K // W):
            place = f"base + at + {q * W}"
            if W == 1:
                out += [f"                {name}{q} = {_read(f'x{k}', source, place)}"]
            elif pairs:
                out += [f"                u = load{2 * W}(x{k}, 2 * ({place}))"]
                out += [f"                {name}{q * W + j} = (u[{2 * j}], u[{2 * j + 1}])" for j in range(W)]
            else:
                out += [f"                u = load{W}(x{k}, {place})", *[f"                {name}{q * W + j} = get(u[{j}])" for j in range(W)]]
    out += ["            else:"]
    for k in range(o.inputs):
        zero = "(V(0), V(0))" if pairs else "V(0)"
        out += [f"                {'vw'[k]}{j} = {_read(f'x{k}', source, f'base + at + {j}')} if ok{j} else {zero}" for j in range(K)]
    order = range(K - 1, -1, -1) if reverse else range(K)

    def given(j: int) -> str:
        first = f"at + {j} == {'n - 1' if reverse else '0'}"
        return ", ".join([*[f"{name}{j}" for name in "vw"[: o.inputs]], f"at + {j}", first])

    out += ["            a = nothing()"]
    out += [f"            a = merge(a, enter({given(j)})) if ok{j} else a" for j in order]
    out += _scan_block(o, G, "            ")
    if stage != "totals":
        for j in order:
            out += [f"            before = step(before, {given(j)}) if ok{j} else before", f"            r{j} = leave(before)"]
        if W > 1:
            out += ["            if full & live:"]
            for q in range(K // W):
                if pairs:
                    values = ", ".join(f"put0(R0(r{q * W + j}[{c}]))" for j in range(W) for c in (0, 1))
                    out += [f"                store{2 * W}(o0, 2 * (base + at + {q * W}), ({values}))"]
                else:
                    for k, name in enumerate(results):
                        most = W if bytes_of(name) * W <= 16 else 16 // bytes_of(name)
                        for h in range(0, W, most):
                            values = ", ".join(f"put{k}(R{k}(r{q * W + h + j}[{k}]))" for j in range(most))
                            out += [f"                store{most}(o{k}, base + at + {q * W + h}, ({values}))"]
            out += ["            elif live:"]
        else:
            out += ["            if live:"]
        for j in range(K):
            out += [f"                if ok{j}:", *[f"                    {line}" for line in _write(results, f"r{j}", f"base + at + {j}")]]
    else:
        out += ["        if (g == 0) & live:"]
        out += [f"            p{j}[chunk * lanes + lane] = carry[{j}]" for j in range(len(o.state))]
    out += [f"        unit0 += int64(cuda.gridDim.x) * {per}"]
    return from_text("\n".join(out), _scope(o, source, results), "scan"), " ".join([*types, *["int64"] * 4])


def bytes_of(dtype: str) -> int:
    """Bytes of an element."""
    return {"float16": 2, "bfloat16": 2, "bool": 1, "uint8": 1, "int8": 1, "int16": 2, "int32": 4, "float32": 4}.get(dtype, 8)


@family(
    threads=L.BLOCK, doubles=True, op=SCANS, source=("float32",), compute=("float64",), results=(("float32", "int64"),),
    stage=("whole", "totals", "carried"), reverse=(False,),
)  # fmt: skip
def columns(op: str, source: str, compute: str, results: tuple[str, ...], stage: str, reverse: bool) -> tuple[Any, str]:
    """Scans of lanes that lie side by side, ``inner`` of them, each by one thread, or by one for each chunk. Arguments as of ``rows``."""
    o = running(op, compute, source.startswith("complex"))
    results = results[: o.results]
    arrays, types = _types(o, source, results, stage)
    out = [f"def kernel({', '.join([*arrays, 'lanes', 'inner', 'n', 'chunks', 'share'])}):"]
    out += ["    unit = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)", "    while unit < lanes * chunks:"]
    out += ["        chunk = unit // lanes", "        lane = unit - chunk * lanes", "        outer = lane // inner"]
    out += ["        base = outer * n * inner + lane - outer * inner", "        i = chunk * share", "        end = min(i + share, n)"]
    out += ["        step_by = inner"]
    if reverse:
        out += ["        base += (n - 1) * inner", "        step_by = -inner"]
    out += [f"        s = {_state(o, 'p', 'unit')}" if stage == "carried" else "        s = nothing()"]

    def body(u: int) -> list[str]:
        place, where = f"base + (i + {u}) * step_by", f"n - 1 - i - {u}" if reverse else f"i + {u}"
        given = ", ".join([*[f"{name}{u}" for name in "vw"[: o.inputs]], where, f"i + {u} == 0"])
        if stage == "totals":
            return [f"s = merge(s, enter({given}))"]
        return [f"s = step(s, {given})", "r = leave(s)", *_write(results, "r", place)]

    def reads(u: int) -> list[str]:
        return [f"{'vw'[k]}{u} = {_read(f'x{k}', source, f'base + (i + {u}) * step_by')}" for k in range(o.inputs)]

    out += [f"        while i + {AHEAD} <= end:"]
    out += [f"            {line}" for u in range(AHEAD) for line in reads(u)]
    out += [f"            {line}" for u in range(AHEAD) for line in body(u)]
    out += [f"            i += {AHEAD}", "        while i < end:"]
    out += [f"            {line}" for line in (*reads(0), *body(0))]
    out += ["            i += 1"]
    if stage == "totals":
        out += [f"        p{j}[unit] = s[{j}]" for j in range(len(o.state))]
    out += ["        unit += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)"]
    return from_text("\n".join(out), _scope(o, source, results), "scan"), " ".join([*types, *["int64"] * 5])


@family(threads=L.BLOCK, doubles=True, op=SCANS, source=("float32",), compute=("float64",), G=(1, L.BLOCK))
def prefixes(op: str, source: str, compute: str, G: int) -> tuple[Any, str]:
    """Of the states of chunks (those of a chunk beside each other) what comes before each, in place, by ``G`` threads for a lane."""
    o = running(op, compute, source.startswith("complex"))
    state = range(len(o.state))
    names = [*[f"p{j}" for j in state], "lanes", "chunks"]
    if G == 1:
        out = [f"def kernel({', '.join(names)}):"]
        out += ["    lane = int64(cuda.blockIdx.x) * int64(cuda.blockDim.x) + int64(cuda.threadIdx.x)", "    while lane < lanes:"]
        out += ["        s = nothing()", "        place = lane", "        while place < chunks * lanes:", f"            a = {_state(o, 'p', 'place')}"]
        out += [f"            p{j}[place] = s[{j}]" for j in state]
        out += ["            s = merge(s, a)", "            place += lanes", "        lane += int64(cuda.gridDim.x) * int64(cuda.blockDim.x)"]
    else:
        out = [f"def kernel({', '.join(names)}):", *_threads(o, G), "    lane = int64(cuda.blockIdx.x)", "    while lane < lanes:"]
        out += ["        carry = nothing()", "        first = int64(0)", "        while first < chunks:", "            chunk = first + g"]
        out += ["            a = nothing()", "            if chunk < chunks:", f"                a = {_state(o, 'p', 'chunk * lanes + lane')}"]
        out += _scan_block(o, G, "            ")
        out += ["            if chunk < chunks:", *[f"                p{j}[chunk * lanes + lane] = before[{j}]" for j in state]]
        out += [f"            first += {G}", "        lane += int64(cuda.gridDim.x)"]
    return from_text("\n".join(out), _scope(o, source, ()), "scan"), " ".join([*[f"{s}*" for s in o.state], "int64", "int64"])
