"""What emits accesses to memory, and what threads of a warp do together."""

from __future__ import annotations

from .arithmetic import Operands, kinds
from .emitter import DTYPES, Emitter, address, handles, listed

_SPACES = ("param", "global", "shared", "local", "const")
_CACHING = {
    "ca", "cg", "cs", "lu", "cv", "wb", "wt", "nc", "volatile", "relaxed", "weak", "acquire", "release", "gpu", "cta", "sys", "cluster",
    "L1::evict_normal", "L1::evict_unchanged", "L1::evict_first", "L1::evict_last", "L1::no_allocate", "L2::64B", "L2::128B", "L2::256B",
}  # fmt: skip


def space_of(parts: list[str]) -> str:
    found = [part for part in parts if part in _SPACES or part.startswith("shared::")]
    return found[0].partition("::")[0] if found else "generic"


def place(e: Emitter, operand: str) -> str:
    """The address of ``[base + offset]``."""
    base, offset = address(operand)
    if not base:
        return e.value(str(offset), "u8")
    if base not in e.symbols and e.held(base) == "u4":
        base = e.let(f"{e.value(base, 'u4')}.astype(u8)")
    else:
        base = e.value(base, "u8")
    return e.let(f"{base} + {e.value(str(offset), 'u8')}") if offset else base


def vector(parts: list[str]) -> int:
    return next((int(part[1:]) for part in parts if part in ("v2", "v4", "v8")), 1)


@handles("ld", "ldu")
def _load(e: Emitter, parts: list[str], o: Operands) -> None:
    dtype, space, count = DTYPES[parts[-1]], space_of(parts), vector(parts)
    unknown = set(parts[1:-1]) - _CACHING - {space, f"v{count}", "shared::cta"}
    if unknown:
        raise KeyError(unknown)
    if space == "param":
        base, offset = address(o[1])
        if base in e.parameters:
            return e.define(o[0], dtype, f"M.parameter({base!r}, {offset}, {dtype})")
        slot = e.slot(base, offset, int(dtype[1]))
        return e.define(o[0], dtype, e.value(slot, dtype))
    found = e.let(f"M.memory.load({space!r}, {place(e, o[1])}, {dtype}, {count}, A)")
    if count == 1:
        return e.define(o[0], dtype, found)
    for k, register in enumerate(listed(o[0])):
        e.define(register, dtype, f"{found}[{k}]")


@handles("st")
def _store(e: Emitter, parts: list[str], o: Operands) -> None:
    dtype, space, count = DTYPES[parts[-1]], space_of(parts), vector(parts)
    unknown = set(parts[1:-1]) - _CACHING - {space, f"v{count}", "shared::cta"}
    if unknown:
        raise KeyError(unknown)
    values = [e.value(x, dtype) for x in listed(o[1])]
    if space == "param":
        base, offset = address(o[0])
        return e.define(e.slot(base, offset, int(dtype[1])), dtype, values[0])
    e.lines.append(f"M.memory.store({space!r}, {place(e, o[0])}, {dtype}, ({', '.join(values)},), A)")


@handles("atom", "red")
def _atomic(e: Emitter, parts: list[str], o: Operands) -> None:
    dtype, space = DTYPES[parts[-1]], space_of(parts)
    name = next(p for p in parts[1:] if p in ("add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec"))
    unknown = set(parts[1:-1]) - _CACHING - {space, name, "noftz", "shared::cta"}
    if unknown or parts[-1] in ("f16", "f16x2", "bf16", "bf16x2"):
        raise KeyError(unknown)
    first = 0 if parts[0] == "red" else 1
    values = ", ".join(e.value(x, dtype) for x in o[first + 1 :])
    old = e.let(f"M.memory.atomic({name!r}, {space!r}, {place(e, o[first])}, {dtype}, ({values},), A)")
    if first:
        e.define(o[0], dtype, old)


@handles("shfl")
def _shuffle(e: Emitter, parts: list[str], o: Operands) -> None:
    targets = [part.strip() for part in o[0].split("|")]
    value, by, clamp, mask = (e.value(x, "u4") for x in o[1:])
    found = e.let(f"M.shuffle({parts[2]!r}, {value}, {by}, {clamp}, {mask}, A)")
    e.define(targets[0], "u4", f"{found}[0]")
    if len(targets) > 1:
        e.define(targets[1], "p", f"{found}[1]")


@handles("vote")
def _vote(e: Emitter, parts: list[str], o: Operands) -> None:
    p, mask = e.value(o[1], "p"), e.value(o[2], "u4")
    e.define(o[0], "u4" if parts[2] == "ballot" else "p", f"M.vote({parts[2]!r}, {p}, {mask}, A)")


@handles("activemask")
def _active(e: Emitter, parts: list[str], o: Operands) -> None:
    e.define(o[0], "u4", "M.vote('ballot', np.True_, None, A)")


@handles("redux")
def _reduce(e: Emitter, parts: list[str], o: Operands) -> None:
    dtype = DTYPES[parts[-1]]
    e.define(o[0], dtype, f"M.reduced({parts[2]!r}, {e.value(o[1], dtype)}, {e.value(o[2], 'u4')}, A)")


@handles("match")
def _match(e: Emitter, parts: list[str], o: Operands) -> None:
    if parts[1] != "any":
        raise KeyError(parts[1])
    dtype = DTYPES[parts[-1]]
    e.define(o[0], "u4", f"M.matching({e.value(o[1], dtype)}, {e.value(o[2], 'u4')}, A)")


@handles("membar", "fence", "nanosleep", "prefetch", "prefetchu", "discard", "applypriority")
def _nothing(e: Emitter, parts: list[str], o: Operands) -> None:
    """What changes no value, where every access is seen at once."""


@handles("trap")
def _trap(e: Emitter, parts: list[str], o: Operands) -> None:
    e.lines.append("M.trap(A)")


@handles("mma")
def _products(e: Emitter, parts: list[str], o: Operands) -> None:
    """``mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32``: registers of a, b, c to those of d."""
    shape = next(part for part in parts if part.startswith("m") and part[1:2].isdigit())
    accumulated, a_kind, b_kind, _ = kinds(parts)
    if a_kind != b_kind or accumulated not in ("f32", "f16") or a_kind not in ("f16", "bf16", "tf32") or "row" not in parts:
        raise KeyError(shape)
    dtype = DTYPES[accumulated] if accumulated == "f32" else "u4"
    a, b, c = ([e.value(x, kind) for x in listed(o[k])] for k, kind in ((1, "u4"), (2, "u4"), (3, dtype)))
    given = f"({', '.join(a)},), ({', '.join(b)},), ({', '.join(c)},)"
    found = e.let(f"M.multiplied({shape!r}, {a_kind!r}, {accumulated!r}, {given}, A)")
    for k, register in enumerate(listed(o[0])):
        e.define(register, dtype, f"{found}[{k}]")


@handles("ldmatrix")
def _load_matrices(e: Emitter, parts: list[str], o: Operands) -> None:
    if "m8n8" not in parts or parts[-1] != "b16":
        raise KeyError(parts[-1])
    targets = listed(o[0])
    found = e.let(f"M.matrices({place(e, o[1])}, {len(targets)}, {'trans' in parts}, A)")
    for k, register in enumerate(targets):
        e.define(register, "u4", f"{found}[{k}]")


@handles("cp")
def _copy_later(e: Emitter, parts: list[str], o: Operands) -> None:
    """``cp.async``: what is copied arrives when it is waited for, not before."""
    if parts[1] != "async":
        raise KeyError(parts[1])
    if "commit_group" in parts:
        e.lines.append("M.memory.commit(A)")
    elif "wait_all" in parts:
        e.lines.append("M.memory.arrive(0, True, A)")
    elif "wait_group" in parts:
        e.lines.append(f"M.memory.arrive({int(o[0], 0)}, False, A)")
    elif "shared" in parts or "shared::cta" in parts:
        size = int(o[2], 0)
        given = e.value(o[3], "u4") if len(o) > 3 else e.value(o[2], "u4")
        e.lines.append(f"M.memory.copy_later({place(e, o[0])}, {place(e, o[1])}, {size}, {given}, A)")
    else:
        raise KeyError(".".join(parts))
