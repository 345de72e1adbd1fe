"""What emits arithmetic, logic, comparisons, moves and conversions."""

from __future__ import annotations

from .emitter import CARRY, DTYPES, Emitter, handles, listed

Operands = tuple[str, ...]
_ROUNDING = ("rn", "rz", "rm", "rp", "rna")


def kinds(parts: list[str]) -> list[str]:
    """The types that an opcode names."""
    return [part for part in parts if part in DTYPES]


def mode_of(parts: list[str]) -> str:
    return next((part for part in parts if part in _ROUNDING), "rn")


def unsigned(dtype: str) -> str:
    return "u" + dtype[1:] if dtype[0] in "ui" else dtype


def _floats(e: Emitter, parts: list[str], o: Operands, dtype: str) -> list[str]:
    """Operands; with zeros for subnormal float32 where the opcode says so."""
    found = [e.value(x, dtype) for x in o[1:]]
    return [e.let(f"N.flushed({x})") for x in found] if "ftz" in parts and dtype == "f4" else found


def _put(e: Emitter, parts: list[str], register: str, dtype: str, expression: str) -> None:
    if "ftz" in parts and dtype == "f4":
        expression = f"N.flushed({expression})"
    if "sat" in parts:
        expression = f"N.saturated({expression})"
    e.define(register, dtype, expression)


@handles("add", "sub", "mul", "div", "min", "max")
def _arithmetic(e: Emitter, parts: list[str], o: Operands) -> None:
    name, kind = parts[0], kinds(parts)[-1]
    dtype = DTYPES[kind]
    if "cc" in parts:
        _carried(e, parts, o)
    elif kind in ("f16x2", "bf16x2", "bf16"):
        _narrow(e, parts, o)
    elif dtype[0] == "f":
        a, b = _floats(e, parts, o, dtype)
        mode = mode_of(parts)
        if name in ("min", "max"):
            if "xorsign" in parts or "abs" in parts:
                raise KeyError(kind)
            expression = f"N.{name}imum{'_nan' if 'NaN' in parts else ''}({a}, {b})"
        elif mode != "rn":
            if dtype != "f4" or name not in ("add", "sub", "mul"):
                raise KeyError(mode)
            expression = f"N.mul32({a}, {b}, '{mode}')" if name == "mul" else f"N.add32({a}, {'-' if name == 'sub' else ''}{b}, '{mode}')"
        elif name == "div" and ("approx" in parts or "full" in parts):
            expression = f"(f8({a}) / {b}).astype(f4)"
        else:
            expression = f"{a} {'+-*/'[('add', 'sub', 'mul', 'div').index(name)]} {b}"
        _put(e, parts, o[0], dtype, expression)
    elif name == "mul":
        product, made = _product(e, parts, o, dtype)
        e.define(o[0], made, product)
    elif name == "div":
        e.define(o[0], dtype, f"I.divided({e.value(o[1], dtype)}, {e.value(o[2], dtype)})")
    elif name in ("min", "max"):
        e.define(o[0], dtype, f"np.{name}imum({e.value(o[1], dtype)}, {e.value(o[2], dtype)})")
    elif "sat" in parts:
        raise KeyError("sat")
    else:
        dtype = unsigned(dtype)
        e.define(o[0], dtype, f"{e.value(o[1], dtype)} {'+' if name == 'add' else '-'} {e.value(o[2], dtype)}")


def _narrow(e: Emitter, parts: list[str], o: Operands) -> None:
    """Arithmetic of bfloat16 and of pairs of 16-bit floats, by their bits."""
    name, kind = parts[0], kinds(parts)[-1]
    dtype = DTYPES[kind]
    if "sat" in parts or "relu" in parts or name not in ("add", "sub", "mul", "fma", "min", "max", "neg", "abs"):
        raise KeyError(kind)
    given = ", ".join(e.value(x, dtype) for x in o[1:])
    e.define(o[0], dtype, f"C.narrow('{name}', '{kind}', {given})")


def _product(e: Emitter, parts: list[str], o: Operands, dtype: str) -> tuple[str, str]:
    """The product of two integers as an instruction wants it: the expression, and its type."""
    if "wide" in parts:
        wide = f"{dtype[0]}{2 * int(dtype[1])}"
        return f"{e.value(o[1], dtype)}.astype({wide}) * {e.value(o[2], dtype)}", wide
    if "hi" in parts:
        return f"I.high_product({e.value(o[1], dtype)}, {e.value(o[2], dtype)})", dtype
    dtype = unsigned(dtype)
    return f"{e.value(o[1], dtype)} * {e.value(o[2], dtype)}", dtype


@handles("mad", "fma")
def _multiply_add(e: Emitter, parts: list[str], o: Operands) -> None:
    kind = kinds(parts)[-1]
    dtype = DTYPES[kind]
    if "cc" in parts:
        _carried(e, parts, o)
    elif kind in ("f16x2", "bf16x2", "bf16"):
        _narrow(e, parts, o)
    elif dtype == "f2":
        e.define(o[0], dtype, f"N.fma16({', '.join(e.value(x, dtype) for x in o[1:])})")
    elif dtype == "f4":
        a, b, c = _floats(e, parts, o, dtype)
        _put(e, parts, o[0], dtype, f"N.fma32({a}, {b}, {c}, '{mode_of(parts)}')")
    elif dtype == "f8":
        if mode_of(parts) != "rn":
            raise KeyError("rounding")
        e.define(o[0], dtype, f"N.fma64({', '.join(e.value(x, dtype) for x in o[1:])})")
    else:
        product, made = _product(e, parts, o, dtype)
        e.define(o[0], made, f"{product} + {e.value(o[3], made)}")


@handles("addc", "subc", "madc")
def _carried(e: Emitter, parts: list[str], o: Operands) -> None:
    """Sums that set the carry, or that take it: each of two sums may overflow, one of them at most."""
    dtype = unsigned(DTYPES[kinds(parts)[-1]])
    values = [e.value(x, dtype) for x in o[1:]]
    if parts[0] in ("mad", "madc"):
        product = f"I.high_product({values[0]}, {values[1]})" if "hi" in parts else f"{values[0]} * {values[1]}"
        values = [e.let(product), values[2]]
    a, b = values
    coming = e.value(CARRY, "p") if parts[0].endswith("c") else ""
    if parts[0].startswith("sub"):
        total, over = e.let(f"{a} - {b}"), e.let(f"{a} < {b}")
        if coming:
            over = e.let(f"{over} | (({total} == 0) & {coming})")
            total = e.let(f"{total} - {coming}.astype({dtype})")
    else:
        total = e.let(f"{a} + {b}")
        over = e.let(f"{total} < {a}")
        if coming:
            first, total = total, e.let(f"{total} + {coming}.astype({dtype})")
            over = e.let(f"{over} | ({total} < {first})")
    e.define(o[0], dtype, total)
    if "cc" in parts:
        e.define(CARRY, "p", over)


@handles("rem")
def _remainder(e: Emitter, parts: list[str], o: Operands) -> None:
    dtype = DTYPES[parts[-1]]
    e.define(o[0], dtype, f"I.remainder({e.value(o[1], dtype)}, {e.value(o[2], dtype)})")


@handles("and", "or", "xor")
def _logic(e: Emitter, parts: list[str], o: Operands) -> None:
    dtype = DTYPES[parts[-1]]
    e.define(o[0], dtype, f"{e.value(o[1], dtype)} {'&|^'[('and', 'or', 'xor').index(parts[0])]} {e.value(o[2], dtype)}")


@handles("not", "cnot", "neg", "abs")
def _unary(e: Emitter, parts: list[str], o: Operands) -> None:
    kind = parts[-1]
    if kind in ("f16x2", "bf16x2", "bf16"):
        return _narrow(e, parts, o)
    dtype = DTYPES[kind]
    if dtype == "f4" and "ftz" in parts:
        x = _floats(e, parts, o, dtype)[0]
    else:
        x = e.value(o[1], dtype)
    e.define(o[0], dtype, {"not": f"~{x}", "cnot": f"({x} == 0).astype({dtype})", "neg": f"-{x}", "abs": f"np.abs({x})"}[parts[0]])


@handles("shl", "shr")
def _shift(e: Emitter, parts: list[str], o: Operands) -> None:
    dtype = DTYPES[parts[-1]]
    if parts[0] == "shl":
        dtype = unsigned(dtype)
    if o[2][0] in "0123456789":
        by, bits = int(o[2], 0), 8 * int(dtype[1])
        if by < bits:
            count = e.constant(_as(by, dtype), dtype)
            return e.define(o[0], dtype, f"{e.value(o[1], dtype)} {'<<' if parts[0] == 'shl' else '>>'} {count}")
    e.define(o[0], dtype, f"I.shifted_{'left' if parts[0] == 'shl' else 'right'}({e.value(o[1], dtype)}, {e.value(o[2], 'u4')})")


def _as(value: int, dtype: str) -> object:
    import numpy as np

    return np.dtype(dtype).type(value)


@handles("shf")
def _funnel(e: Emitter, parts: list[str], o: Operands) -> None:
    low, high, by = (e.value(x, "u4") for x in o[1:])
    e.define(o[0], "u4", f"I.funnel({low}, {high}, {by}, {parts[1] == 'l'}, {parts[2] == 'clamp'})")


@handles("bfi", "bfe", "prmt", "lop3", "popc", "clz", "brev", "bfind")
def _bits(e: Emitter, parts: list[str], o: Operands) -> None:
    name, dtype = parts[0], DTYPES[kinds(parts)[-1]]
    if name == "bfi":
        a, b, start, length = e.value(o[1], dtype), e.value(o[2], dtype), e.value(o[3], "u4"), e.value(o[4], "u4")
        e.define(o[0], dtype, f"I.inserted({a}, {b}, {start}, {length})")
    elif name == "bfe":
        e.define(o[0], dtype, f"I.extracted({e.value(o[1], dtype)}, {e.value(o[2], 'u4')}, {e.value(o[3], 'u4')})")
    elif name == "prmt":
        if len(parts) > 2:
            raise KeyError(parts[2])
        e.define(o[0], "u4", f"I.bytes_picked({', '.join(e.value(x, 'u4') for x in o[1:])})")
    elif name == "lop3":
        e.define(o[0], "u4", f"I.logic({', '.join(e.value(x, 'u4') for x in o[1:4])}, {int(o[4], 0)})")
    elif name == "popc":
        e.define(o[0], "u4", f"np.bitwise_count({e.value(o[1], dtype)}).astype(u4)")
    elif name == "bfind":
        if "shiftamt" in parts:
            raise KeyError("shiftamt")
        e.define(o[0], "u4", f"I.highest_bit({e.value(o[1], dtype)})")
    elif name == "clz":
        e.define(o[0], "u4", f"I.leading_zeros({e.value(o[1], dtype)})")
    else:
        e.define(o[0], dtype, f"I.reversed_bits({e.value(o[1], dtype)})")


@handles("ex2", "lg2", "rcp", "rsqrt", "sqrt", "sin", "cos", "tanh")
def _function(e: Emitter, parts: list[str], o: Operands) -> None:
    name, dtype = parts[0], DTYPES[parts[-1]]
    x = _floats(e, parts, o, dtype)[0]
    if "approx" in parts:
        if dtype == "f8":
            e.define(o[0], dtype, {"rcp": f"N.coarse_reciprocal({x})", "rsqrt": f"N.coarse_root({x})"}[name])
        elif dtype == "f4":
            _put(e, parts, o[0], dtype, f"N.approximate('{name}', {x})")
        else:
            raise KeyError(dtype)
    elif mode_of(parts) == "rn":
        _put(e, parts, o[0], dtype, {"rcp": f"{dtype}(1) / {x}", "sqrt": f"np.sqrt({x})"}[name])
    else:
        raise KeyError("rounding")


@handles("copysign")
def _copysign(e: Emitter, parts: list[str], o: Operands) -> None:
    dtype = DTYPES[parts[-1]]
    e.define(o[0], dtype, f"np.copysign({e.value(o[2], dtype)}, {e.value(o[1], dtype)})")


@handles("testp")
def _test(e: Emitter, parts: list[str], o: Operands) -> None:
    dtype = DTYPES[parts[-1]]
    x = e.value(o[1], dtype)
    least = f"np.finfo({dtype}).smallest_normal"
    tests = {
        "finite": f"np.isfinite({x})", "infinite": f"np.isinf({x})", "number": f"~np.isnan({x})", "notanumber": f"np.isnan({x})",
        "normal": f"np.isfinite({x}) & (np.abs({x}) >= {least})", "subnormal": f"({x} != 0) & (np.abs({x}) < {least})",
    }  # fmt: skip
    e.define(o[0], "p", tests[parts[1]])


_COMPARED = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "lo": "<", "ls": "<=", "hi": ">", "hs": ">="}
_OPPOSITE = {"equ": "!=", "ltu": ">=", "leu": ">", "gtu": "<=", "geu": "<"}


@handles("setp", "set")
def _compare(e: Emitter, parts: list[str], o: Operands) -> None:
    kind = kinds(parts)[-1]
    if kind in ("f16x2", "bf16x2", "bf16") or "ftz" in parts:
        raise KeyError(kind)
    dtype, how = DTYPES[kind], parts[1]
    if how in ("lo", "ls", "hi", "hs"):
        dtype = unsigned(dtype)
    a, b = e.value(o[1], dtype), e.value(o[2], dtype)
    if how in ("num", "nan"):
        found = f"np.isnan({a}) | np.isnan({b})"
        found = f"~({found})" if how == "num" else found
    elif how == "neu":
        found = f"{a} != {b}"
    elif how == "ne" and dtype[0] == "f":
        found = f"({a} != {b}) & ({a} == {a}) & ({b} == {b})"
    elif how in _OPPOSITE:
        found = {"equ": f"~(({a} < {b}) | ({a} > {b}))"}.get(how) or f"~({a} {_OPPOSITE[how]} {b})"
    else:
        found = f"{a} {_COMPARED[how]} {b}"
    joint = next((part for part in parts[2:] if part in ("and", "or", "xor")), "")
    found = e.let(found)
    if parts[0] == "set":
        wanted = DTYPES[kinds(parts)[0]]
        ones = f"{wanted}(1)" if wanted[0] == "f" else f"~{wanted}(0)"
        return e.define(o[0], wanted, f"np.where({found}, {ones}, {wanted}(0))[()]")
    targets = [part.strip() for part in o[0].split("|")]
    both = [found, f"~{found}"]
    if joint:
        other = e.value(o[3], "p")
        both = [f"({x}) {'&|^'[('and', 'or', 'xor').index(joint)]} {other}" for x in both]
    for target, expression in zip(targets, both, strict=False):
        e.define(target, "p", expression)


@handles("selp")
def _select(e: Emitter, parts: list[str], o: Operands) -> None:
    dtype = DTYPES[parts[-1]]
    a, b, p = e.value(o[1], dtype), e.value(o[2], dtype), e.value(o[3], "p")
    e.define(o[0], dtype, f"np.where({p}, {a}, {b})[()]")


@handles("slct")
def _select_by_sign(e: Emitter, parts: list[str], o: Operands) -> None:
    first, second = kinds(parts)
    dtype = DTYPES[first]
    a, b, c = e.value(o[1], dtype), e.value(o[2], dtype), e.value(o[3], DTYPES[second])
    e.define(o[0], dtype, f"np.where({c} >= 0, {a}, {b})[()]")


@handles("sad")
def _difference(e: Emitter, parts: list[str], o: Operands) -> None:
    dtype = DTYPES[parts[-1]]
    a, b, c = e.value(o[1], dtype), e.value(o[2], dtype), e.value(o[3], dtype)
    e.define(o[0], dtype, f"{c} + np.where({a} < {b}, {b} - {a}, {a} - {b})[()]")


@handles("mov")
def _move(e: Emitter, parts: list[str], o: Operands) -> None:
    kind = parts[-1]
    dtype = DTYPES[kind]
    if o[0][0] == "{":
        targets = listed(o[0])
        narrow = f"u{int(dtype[1]) // len(targets)}"
        x = e.value(o[1], dtype)
        for k, target in enumerate(targets):
            if target != "_":
                shift = e.constant(_as(8 * int(narrow[1]) * k, dtype), dtype)
                e.define(target, narrow, f"({x} >> {shift}).astype({narrow})")
    elif o[1][0] == "{":
        sources = listed(o[1])
        narrow = f"u{int(dtype[1]) // len(sources)}"
        terms = []
        for k, source in enumerate(sources):
            shift = e.constant(_as(8 * int(narrow[1]) * k, dtype), dtype)
            terms.append(f"({e.value(source, narrow)}.astype({dtype}) << {shift})")
        e.define(o[0], dtype, " | ".join(terms))
    else:
        e.define(o[0], dtype, e.value(o[1], dtype))


@handles("cvt")
def _convert(e: Emitter, parts: list[str], o: Operands) -> None:
    to, source = kinds(parts)
    flags = [part for part in parts[1:] if part not in (to, source)]
    if to in ("f16x2", "bf16x2"):
        upper, lower = e.value(o[1], DTYPES[source]), e.value(o[2], DTYPES[source])
        return e.define(o[0], "u4", f"C.pair({upper}, {lower}, '{to}', {flags!r})")
    e.define(o[0], DTYPES[to], f"C.converted({e.value(o[1], DTYPES[source])}, '{source}', '{to}', {tuple(flags)!r})")


@handles("cvta")
def _convert_address(e: Emitter, parts: list[str], o: Operands) -> None:
    space = next(part for part in parts if part in ("global", "shared", "local", "const", "param"))
    x = e.value(o[1], "u8")
    e.define(o[0], "u8", f"M.memory.{'of' if 'to' in parts else 'to'}_generic({x}, '{space}')")
