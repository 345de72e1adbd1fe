"""Straight lines of PTX to Python: one function of NumPy for each basic block.

A register is an array with an element for each thread, or one number that all threads have. Within a block it has a name for each type that
its bits were taken as. Blocks are given the registers that they read, for the threads that are there, and return those that others read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

DTYPES = {
    "b8": "u1", "u8": "u1", "s8": "i1", "b16": "u2", "u16": "u2", "s16": "i2", "f16": "f2", "bf16": "u2", "b32": "u4", "u32": "u4", "s32": "i4",
    "f32": "f4", "f16x2": "u4", "bf16x2": "u4", "b64": "u8", "u64": "u8", "s64": "i8", "f64": "f8", "pred": "p", "tf32": "u4",
}  # fmt: skip
HELD = {"b8": "u2", "u8": "u2", "s8": "u2", "s16": "u2", "f16": "u2", "s32": "u4", "s64": "u8"}  # what a register of a type is kept as, where it is another
CARRY = "%carry"

Handler = Callable[["Emitter", list[str], tuple[str, ...]], None]
HANDLERS: dict[str, Handler] = {}  # by the first part of the opcode


def handles(*names: str) -> Callable[[Handler], Handler]:
    """Declare what emits an instruction."""

    def declare(handler: Handler) -> Handler:
        for name in names:
            HANDLERS[name] = handler
        return handler

    return declare


class Emitter:
    """Python of one basic block.

    Args:
        kinds: of each register its type; of those declared together ("%r<9>") as "%r<>".
        parameters: of the kernel. Other slots of that space, for functions that it calls, are registers.
        symbols: variable -> its address, as an expression.

    Attributes:
        read, written: registers that come in, and that the block changes.
    """

    def __init__(self, kinds: dict[str, str], parameters: Collection[str], constants: dict[str, Any], symbols: Mapping[str, str]) -> None:
        self.kinds = kinds
        self.parameters = parameters
        self.constants = constants
        self.symbols = symbols
        self.lines: list[str] = []
        self.read: dict[str, str] = {}  # register -> its name in Python
        self.written: dict[str, None] = {}
        self._names: dict[str, dict[str, str]] = {}  # register -> dtype -> its name
        self._count = 0

    def held(self, register: str) -> str:
        """The dtype that a register is kept in."""
        kind = self.kinds.get(register)
        if kind is None:
            kind = self.kinds[register] = self.kinds[register.rstrip("0123456789") + "<>"]
        return HELD.get(kind) or DTYPES[kind]

    def instruction(self, opcode: str, operands: tuple[str, ...]) -> None:
        parts = opcode.split(".")
        handler = HANDLERS.get(parts[0])
        if handler is None:
            raise NotImplementedError(f"PTX instruction {opcode}")
        try:
            handler(self, parts, operands)
        except (KeyError, IndexError, StopIteration) as error:
            raise NotImplementedError(f"PTX instruction {opcode} {', '.join(operands)}") from error

    def slot(self, name: str, offset: int, size: int) -> str:
        """The register for a parameter, or a part of one, of a function that is called."""
        register = f"%slot {name}+{offset}"
        self.kinds.setdefault(register, f"b{8 * size}")
        return register

    # ---------------------------------------------------------------------------------------------------------- operands

    def fresh(self) -> str:
        self._count += 1
        return f"v{self._count}"

    def let(self, expression: str) -> str:
        """A new name for the value of an expression."""
        name = self.fresh()
        self.lines.append(f"{name} = {expression}")
        return name

    def value(self, operand: str, dtype: str) -> str:
        """An operand as a name of this dtype; of a wider register its lowest bits."""
        if operand[0] == "!":
            return self.let(f"~{self.value(operand[1:], dtype)}")
        if operand[0] == "-" and operand[1] in "%$":
            raise NotImplementedError(f"operand {operand}")
        if operand[0] in "0123456789-":
            return self.constant(number(operand, dtype), dtype)
        if operand.startswith("%") and (special := special_register(operand)) is not None:
            return self.value_of(self.let(special), "u4", dtype)
        if operand in self.symbols:
            return self.value_of(self.let(self.symbols[operand]), "u8", dtype)
        names = self._names.get(operand)
        if names is None:
            kept = self.held(operand)
            name = f"r{len(self.read)}"
            self.read[operand] = name
            names = self._names[operand] = {kept: name}
        found = names.get(dtype)
        if found is None:
            kept, name = next(iter(names.items()))
            found = names[dtype] = self.value_of(name, kept, dtype)
        return found

    def value_of(self, name: str, has: str, wanted: str) -> str:
        """A name of a dtype, as one of another dtype: the same bits, or the lowest of them."""
        if has == wanted:
            return name
        if has == "p" or wanted == "p" or int(wanted[1]) > int(has[1]):
            raise KeyError(wanted)
        if wanted[1] == has[1]:
            return self.let(f"{name}.view({wanted})")
        unsigned = "u" + has[1]
        if has != unsigned:
            name = f"{name}.view({unsigned})"
        narrow = self.let(f"{name}.astype(u{wanted[1]})")
        return narrow if wanted[0] == "u" else self.let(f"{narrow}.view({wanted})")

    def constant(self, value: Any, dtype: str) -> str:
        name = f"k{dtype}_{value.tobytes().hex()}"
        self.constants[name] = value
        return name

    def define(self, register: str, dtype: str, expression: str) -> None:
        """The register becomes the value of an expression of this dtype; a narrower one is extended, by its sign where it has one."""
        if register == "_":
            return
        kept = self.held(register)
        if dtype != kept and dtype != "p" and int(dtype[1]) < int(kept[1]):
            expression = f"({expression}).astype({dtype[0]}{kept[1]})"
            dtype = dtype[0] + kept[1]
        name = self.let(expression)
        if dtype != kept:
            if "p" in (dtype, kept) or dtype[1] != kept[1]:
                raise KeyError(dtype)
            self._names[register] = {kept: self.let(f"{name}.view({kept})"), dtype: name}
        else:
            self._names[register] = {kept: name}
        self.written[register] = None

    def results(self, registers: Sequence[str]) -> list[str]:
        """The names that registers have at the end, as they are kept."""
        return [self._names[register][self.held(register)] for register in registers]


_SPECIAL = re.compile(r"%(tid|ntid|ctaid|nctaid)\.([xyz])$|%(laneid|warpid|nwarpid|lanemask_\w\w|clock|clock_hi|smid|nsmid)$")


def special_register(operand: str) -> str | None:
    """What reads it."""
    found = _SPECIAL.match(operand)
    if found is None:
        return None
    return f"M.special('{found[1]}_{found[2]}', A)" if found[1] else f"M.special('{found[3]}', A)"


def number(text: str, dtype: str) -> Any:
    """A literal as a NumPy number."""
    if text[:2] in ("0f", "0F"):
        bits = int(text[2:], 16)
        value = np.uint32(bits).view(np.float32)
        return np.float64(value) if dtype == "f8" else np.uint32(bits) if dtype[0] in "ui" else value
    if text[:2] in ("0d", "0D"):
        bits = int(text[2:], 16)
        return np.float32(np.uint64(bits).view(np.float64)) if dtype == "f4" else np.uint64(bits) if dtype[0] in "ui" else np.uint64(bits).view(np.float64)
    if dtype == "p":
        return np.bool_(int(text, 0))
    if dtype[0] == "f":
        return np.dtype(dtype).type(float(text))
    text = text.rstrip("U")
    negative = text[0] == "-"
    digits = text[1:] if negative else text
    found = int(digits, 8) if len(digits) > 1 and digits[0] == "0" and digits[1] in "01234567" else int(digits, 0)
    size = int(dtype[1])
    return np.frombuffer(((-found if negative else found) & ((1 << 8 * size) - 1)).to_bytes(size, "little"), dtype)[0]


def address(operand: str) -> tuple[str, int]:
    """``[base + offset]``: the base, which may be empty, and the offset."""
    inside = operand.strip()[1:-1].strip()
    if inside[0] in "0123456789":
        return "", int(inside, 0)
    base, plus, offset = inside.partition("+")
    return base.strip(), int(offset, 0) if plus else 0


def listed(operand: str) -> list[str]:
    """The registers of a vector ``{a, b}``, or the one that it is."""
    return [part.strip() for part in operand[1:-1].split(",")] if operand[0] == "{" else [operand]
