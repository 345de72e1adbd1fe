"""The kernels of reductions, as text around an operation's functions (see ``operations``).

``rows``: some threads of a block (a few, a warp, all of it) share a lane of elements that lie in runs one behind another. ``columns``:
neighbouring threads have neighbouring lanes, and rows of a block have parts of them. Long lanes are cut into chunks, whose states
``join`` combines. All sizes and strides are in elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import language as L
from ..elements import stored, to_computed, to_stored, type_of
from ..kernel import family, from_text
from .operations import operation
from .state import Operation, exchanged

UNROLLED = 4  # vectors that a thread reads before it looks at the first
OPERATIONS = ("sum", "argmax", "logsumexp", "variance", "euclidean", "product")


def index_type(wide: bool) -> str:
    return "int64" if wide else "int32"


def _scope(op: Operation, source: str, compute: str, results: tuple[str, ...]) -> dict[str, Any]:
    scope: dict[str, Any] = {"start": op.start, "take": op.take, "merge": op.merge, "finish": op.finish, "prepare": op.prepare, "L": L}
    scope |= {"exchanged": exchanged(op.state), "get": to_computed(source), "C": type_of(compute), "int64": L.int64, "int32": L.int32}
    scope |= {"cuda": L.cuda, **{f"load{n}": getattr(L, f"load{n}") for n in (2, 4, 8, 16)}, "store2": L.store2}
    for k, name in enumerate(results):
        part = part_of(name)
        scope |= {f"put{k}": to_stored(part), f"R{k}": type_of(part)}
    return scope | {f"S{j}": getattr(L, name) for j, name in enumerate(op.state)}


def part_of(dtype: str) -> str:
    """The dtype of real and imaginary part, or the dtype itself."""
    return {"complex64": "float32", "complex128": "float64"}.get(dtype, dtype)


def _offset(out: list[str], indent: str, number: str, dims: Sequence[tuple[str, ...]], targets: tuple[str, ...]) -> None:
    """Add to each target what a row-major number of dimensions (name of the size, and of a stride for each target) is away."""
    for d in range(len(dims) - 1, -1, -1):
        if d:
            out += [f"{indent}rest = {number} // {dims[d][0]}", f"{indent}digit = {number} - rest * {dims[d][0]}"]
        digit = "digit" if d else number
        out += [f"{indent}{target} += {digit} * {dims[d][1 + k]}" for k, target in enumerate(targets)]
        if d:
            out += [f"{indent}{number} = rest"]


def _element(source: str, place: str) -> str:
    return f"load2(x, 2 * ({place}))" if source.startswith("complex") else f"get(x[{place}])"


def _vector(source: str, W: int, place: str) -> str:
    if source.startswith("complex"):
        return f"load{2 * W}(x, 2 * ({place}))"
    return f"load{W}(x, {place})"


def _of_vector(source: str, name: str, j: int) -> str:
    return f"({name}[{2 * j}], {name}[{2 * j + 1}])" if source.startswith("complex") else f"get({name}[{j}])"


def _centre(op: Operation, source: str, first: str, at: str, c: str = "c") -> list[str]:
    value = {"": "C(0)", "first": f"C({_element(source, first)})", "given": f"given[{at}]"}[op.centre]
    return [f"{c} = prepare({value}, scale)" if op.prepare else f"{c} = {value}"]


def _write(op: Operation, stage: str, results: tuple[str, ...], state: str, c: str, part: str, at: str) -> list[str]:
    """Statements that write a state's parts, or the results that are made of it."""
    if stage == "parts":
        return [f"o{j}[{part}] = {state}[{j}]" for j in range(len(op.state))]
    out = [f"f = finish({state}, {c}, scale)"]
    if results[0].startswith("complex"):
        return [*out, f"store2(o0, 2 * ({at}), (put0(R0(f[0])), put0(R0(f[1]))))"]
    return out + [f"o{k}[{at}] = put{k}(R{k}(f[{k}]))" for k in range(len(results))]


def _outputs(op: Operation, stage: str, results: tuple[str, ...]) -> list[str]:
    return [f"{name}*" for name in op.state] if stage == "parts" else [f"{stored(part_of(r))}*" for r in results]


def _within(op: Operation, threads: int, indent: str) -> list[str]:
    """Statements that combine ``a`` over groups of ``threads`` neighbours; every one of them has the total afterwards."""
    out = []
    k = min(threads, 32) // 2
    while k:
        out += [f"{indent}a = merge(a, exchanged(a, {k}))"]
        k //= 2
    warps = threads // 32
    if warps > 1:
        out += [f"{indent}if lane_of_warp == 0:", *[f"{indent}    shared{j}[warp] = a[{j}]" for j in range(len(op.state))]]
        out += [f"{indent}cuda.syncthreads()"]
        out += [f"{indent}a = ({', '.join(f'shared{j}[lane_of_warp & {warps - 1}]' for j in range(len(op.state)))},)"]
        k = warps // 2
        while k:
            out += [f"{indent}a = merge(a, exchanged(a, {k}))"]
            k //= 2
        out += [f"{indent}cuda.syncthreads()"]
    return out


def _thread(op: Operation, G: int) -> list[str]:
    out = ["    t = int64(cuda.threadIdx.x)", f"    slot, g = t >> {G.bit_length() - 1}, t & {G - 1}"]
    if G > 32:
        out += ["    warp, lane_of_warp = t >> 5, t & 31"]
        out += [f"    shared{j} = cuda.shared.array({G // 32}, S{j})" for j in range(len(op.state))]
    return out


@family(
    threads=L.BLOCK, vectors=True, op=OPERATIONS, source=("float32", "bfloat16"), compute=("float32",), results=(("float32",),),
    stage=("whole", "parts"), G=(L.BLOCK,), W=(4,), kept=(1,), runs=(0, 1), wide=(False,),
)  # fmt: skip
def rows(
    op: str, source: str, compute: str, results: tuple[str, ...], stage: str, G: int, W: int, kept: int, runs: int, wide: bool
) -> tuple[Any, str]:
    """Lanes of contiguous runs (of a step, where ``W`` is 1), each shared by ``G`` neighbouring threads.

    Args:
        op: the operation.
        source: dtype of the elements.
        compute: dtype of the computation.
        results: dtypes of the results.
        stage: "whole" for results, "parts" for the states of chunks.
        G: threads of a lane, a power of two.
        W: elements that are read at a time.
        kept: number of dimensions that lanes are numbered by.
        runs: number of dimensions that runs of a lane are numbered by; 0 for a single run.
        wide: whether places need 64 bits.
    """
    o = operation(op, compute, source, index_type(wide))
    S, per = o.chains, L.BLOCK // G
    numbers = ["count", "step", "skew", "lanes", "chunks", "parts", "share", "run_share", "runs", "sub"]
    numbers += [f"k{d}{c}" for d in range(kept) for c in "ns"] + [f"r{d}{c}" for d in range(runs) for c in "ns"]
    outputs = _outputs(o, stage, results)
    names = ["x", "given", *[f"o{k}" for k in range(len(outputs))], "scale", *numbers]
    out = [f"def kernel({', '.join(names)}):", *_thread(o, G)]
    out += [f"    unit0 = int64(cuda.blockIdx.x) * {per}", "    units = lanes * chunks", "    while unit0 < units:"]
    out += ["        unit = min(unit0 + slot, units - 1)", "        base = int64(0)"]
    if stage == "parts":
        out += ["        lane = unit // chunks", "        chunk = unit - lane * chunks", "        number = lane"]
        out += ["        run_part = chunk // parts", "        begin = (chunk - run_part * parts) * share", "        end = min(begin + share, count)"]
        out += ["        run, last_run = run_part * run_share, min((run_part + 1) * run_share, runs)"]
    else:
        out += ["        lane = number = unit", "        begin, end = int64(0), count", "        run, last_run = int64(0), runs"]
    if kept:
        _offset(out, "        ", "number", [(f"k{d}n", f"k{d}s") for d in range(kept)], ("base",))
    out += [f"        {line}" for line in _centre(o, source, "base", "lane")]
    out += [f"        a{k} = start(c)" for k in range(S)]
    inner = "        "
    if runs:
        out += ["        run_slot = g // sub", "        s = g - run_slot * sub", f"        apart = {G} // sub", "        run += run_slot"]
        out += ["        while run < last_run:", "            at = base", "            number = run"]
        inner += "    "
        _offset(out, inner, "number", [(f"r{d}n", f"r{d}s") for d in range(runs)], ("at",))
    else:
        out += [f"        s, sub, at = g, int64({G}), base"]
    out += [inner + line for line in _run(o, source, W, S)]
    if runs:
        out += ["            run += apart"]
    out += [f"        {line}" for line in _joined(S)]
    out += _within(o, G, "        ")
    out += ["        if (g == 0) & (unit0 + slot < units):"]
    out += [f"            {line}" for line in _write(o, stage, results, "a", "c", "chunk * lanes + lane", "lane")]
    out += [f"        unit0 += int64(cuda.gridDim.x) * {per}"]
    types = [f"{stored(part_of(source))}*", f"{compute}*", *outputs, compute, *["int64"] * len(numbers)]
    return from_text("\n".join(out), _batches(o, W) | _scope(o, source, compute, results), "reduction"), " ".join(types)


def _joined(S: int) -> list[str]:
    out, names = [], [f"a{k}" for k in range(S)]
    while len(names) > 1:
        out += [f"{a} = merge({a}, {b})" for a, b in zip(names[::2], names[1::2], strict=True)]
        names = names[::2]
    return [*out, f"a = {names[0]}"]


def _batches(op: Operation, W: int) -> dict[str, Any]:
    return {} if op.batch is None else {f"batch{n}": op.batch(n) for n in {W, UNROLLED * W, UNROLLED} if n > 1}


def _run(op: Operation, source: str, W: int, S: int) -> list[str]:
    """Take the elements from ``begin`` to ``end`` of the run at ``at`` by threads s of ``sub``."""
    U = UNROLLED
    out = []
    if W > 1:
        out += [f"head = min(({W} - ((skew + at + begin) & {W - 1})) & {W - 1}, end - begin)", "i = begin + s", "while i < begin + head:"]
        out += [f"    a0 = take(a0, {_element(source, 'at + i')}, i, c)", "    i += sub", f"i = begin + head + s * {W}"]
    else:
        out += ["i = begin + s"]
    values = [(u, j) for u in range(U) for j in range(W)]
    out += [f"while i + {U - 1} * {W} * sub + {W} <= end:"]
    for u in range(U):
        place = f"i + {u * W} * sub"
        out += [f"    v{u} = {_vector(source, W, 'at + ' + place) if W > 1 else _element(source, f'at + ({place}) * step')}"]
    named = {(u, j): _of_vector(source, f"v{u}", j) if W > 1 else f"v{u}" for u, j in values}
    if op.batch:
        out += [f"    a0 = batch{U * W}(a0, c, {', '.join(named.values())})"]
    else:
        out += [f"    a{(u * W + j) % S} = take(a{(u * W + j) % S}, {named[u, j]}, i + {u * W} * sub + {j}, c)" for u, j in values]
    out += [f"    i += {U * W} * sub"]
    if W > 1:
        out += [f"while i + {W} <= end:", f"    v0 = {_vector(source, W, 'at + i')}"]
        if op.batch:
            out += [f"    a0 = batch{W}(a0, c, {', '.join(named[0, j] for j in range(W))})"]
        else:
            out += [f"    a{j % S} = take(a{j % S}, {named[0, j]}, i + {j}, c)" for j in range(W)]
        out += [f"    i += {W} * sub", f"i = end - ((end - begin - head) & {W - 1}) + s"]
    place = "at + i" if W > 1 else "at + i * step"
    return [*out, "while i < end:", f"    a0 = take(a0, {_element(source, place)}, i, c)", "    i += sub"]


@family(
    threads=L.BLOCK, vectors=True, op=OPERATIONS, source=("float32", "bfloat16"), compute=("float32",), results=(("float32",),),
    stage=("whole", "parts"), W=(4,), kept=(1,), reduced=(1,), wide=(False,),
)  # fmt: skip
def columns(
    op: str, source: str, compute: str, results: tuple[str, ...], stage: str, W: int, kept: int, reduced: int, wide: bool
) -> tuple[Any, str]:
    """Lanes side by side: threads along x have ``W`` neighbouring lanes each, threads along y every so many-th element of these.

    Args:
        op, source, compute, results, stage, wide: as of ``rows``.
        W: lanes that are read at a time; if more than 1, their number is a multiple of it and their elements are aligned.
        kept: number of dimensions that lanes are numbered by, beside that of neighbours.
        reduced: number of dimensions that a lane's elements are numbered by.
    """
    o = operation(op, compute, source, index_type(wide))
    numbers = ["width", "step", "out_step", "outer", "n", "chunks", "share", "lanes"]
    numbers += [f"k{d}{c}" for d in range(kept) for c in "nso"] + [f"r{d}{c}" for d in range(reduced) for c in "ns"]
    outputs = _outputs(o, stage, results)
    names = ["x", "given", *[f"o{k}" for k in range(len(outputs))], "scale", *numbers]
    out = [f"def kernel({', '.join(names)}):"]
    out += ["    tx, ty, TX, TY = int64(cuda.threadIdx.x), int64(cuda.threadIdx.y), int64(cuda.blockDim.x), int64(cuda.blockDim.y)"]
    out += [f"    shared{j} = cuda.shared.array({L.BLOCK}, S{j})" for j in range(len(o.state))]
    out += ["    t = ty * TX + tx", f"    tiles = (width + TX * {W} - 1) // (TX * {W})", "    units = tiles * outer * chunks"]
    out += ["    unit = int64(cuda.blockIdx.x)", "    while unit < units:"]
    out += ["        number = unit // tiles", f"        column = ((unit - number * tiles) * TX + tx) * {W}", "        live = column < width"]
    out += ["        column = column if live else int64(0)", "        chunk = number // outer", "        number -= chunk * outer"]
    out += ["        base, place = column * step, column * out_step"]
    if kept:
        _offset(out, "        ", "number", [(f"k{d}n", f"k{d}s", f"k{d}o") for d in range(kept)], ("base", "place"))
    out += ["        begin = chunk * share", "        end = min(begin + share, n)"]
    for j in range(W):
        out += [f"        {line}" for line in _centre(o, source, f"base + {j}", f"place + {j} * out_step", f"c{j}")]
        out += [f"        a{j} = start(c{j})"]
    out += ["        i = begin + ty", f"        while i + {UNROLLED - 1} * TY < end:"]
    dims = [(f"r{d}n", f"r{d}s") for d in range(reduced)]
    for u in range(UNROLLED):
        out += [f"            number, at{u} = i + {u} * TY, base"]
        _offset(out, "            ", "number", dims, (f"at{u}",))
    out += [f"            v{u} = {_vector(source, W, f'at{u}') if W > 1 else _element(source, f'at{u}')}" for u in range(UNROLLED)]
    for j in range(W):
        values = [_of_vector(source, f"v{u}", j) if W > 1 else f"v{u}" for u in range(UNROLLED)]
        if o.batch:
            out += [f"            a{j} = batch{UNROLLED}(a{j}, c{j}, {', '.join(values)})"]
        else:
            out += [f"            a{j} = take(a{j}, {value}, i + {u} * TY, c{j})" for u, value in enumerate(values)]
    out += [f"            i += {UNROLLED} * TY", "        while i < end:", "            number, at0 = i, base"]
    _offset(out, "            ", "number", dims, ("at0",))
    out += [f"            v0 = {_vector(source, W, 'at0') if W > 1 else _element(source, 'at0')}"]
    out += [f"            a{j} = take(a{j}, {_of_vector(source, 'v0', j) if W > 1 else 'v0'}, i, c{j})" for j in range(W)]
    out += ["            i += TY"]
    for j in range(W):
        out += [f"        a = a{j}", "        if TY > 1:"]
        state = range(len(o.state))
        out += [f"            shared{k}[t] = a[{k}]" for k in state]
        out += ["            cuda.syncthreads()", "            h = TY >> 1", "            while h > 0:", "                if ty < h:"]
        out += [f"                    a = merge(a, ({', '.join(f'shared{k}[t + h * TX]' for k in state)},))"]
        out += [f"                    shared{k}[t] = a[{k}]" for k in state]
        out += ["                cuda.syncthreads()", "                h = h >> 1"]
        out += [f"        at = place + {j} * out_step", "        if live & (ty == 0):"]
        out += [f"            {line}" for line in _write(o, stage, results, "a", f"c{j}", "chunk * lanes + at", "at")]
    out += ["        unit += int64(cuda.gridDim.x)"]
    types = [f"{stored(part_of(source))}*", f"{compute}*", *outputs, compute, *["int64"] * len(numbers)]
    return from_text("\n".join(out), _batches(o, W) | _scope(o, source, compute, results), "reduction"), " ".join(types)


@family(
    threads=(L.BLOCK, 2), doubles=True, op=OPERATIONS, source=("float32",), compute=("float32", "float64"), results=(("float32",),),
    G=(1, L.BLOCK), wide=(False,),
)  # fmt: skip
def join(op: str, source: str, compute: str, results: tuple[str, ...], G: int, wide: bool) -> tuple[Any, str]:
    """The results of lanes whose chunks' states are given, those of a chunk beside each other; ``G`` threads share a lane."""
    o = operation(op, compute, source, index_type(wide))
    per, state = L.BLOCK // G, range(len(o.state))
    outputs = _outputs(o, "whole", results)
    names = [*[f"p{k}" for k in state], "given", *[f"o{k}" for k in range(len(outputs))], "scale", "lanes", "chunks"]
    out = [f"def kernel({', '.join(names)}):", *_thread(o, G), f"    unit0 = int64(cuda.blockIdx.x) * {per}", "    while unit0 < lanes:"]
    out += ["        lane = min(unit0 + slot, lanes - 1)", "        chunk = min(g, chunks - 1)"]
    value = {"given": "given[lane]"}.get(o.centre, "C(0)")
    out += [f"        c = prepare({value}, scale)" if o.prepare else f"        c = {value}"]
    read = ", ".join(f"p{k}[chunk * lanes + lane]" for k in state)
    if o.repeatable:
        out += [f"        a = ({read},)"]
    else:
        out += ["        a = start(c)", "        if g < chunks:", f"            a = ({read},)"]
    out += [f"        chunk = g + {G}", "        while chunk < chunks:", f"            a = merge(a, ({read},))", f"            chunk += {G}"]
    out += _within(o, G, "        ")
    out += ["        if (g == 0) & (unit0 + slot < lanes):"]
    out += [f"            {line}" for line in _write(o, "whole", results, "a", "c", "", "lane")]
    out += [f"        unit0 += int64(cuda.gridDim.x) * {per}"]
    types = [*[f"{name}*" for name in o.state], f"{compute}*", *outputs, compute, "int64", "int64"]
    return from_text("\n".join(out), _scope(o, source, compute, results), "reduction"), " ".join(types)
