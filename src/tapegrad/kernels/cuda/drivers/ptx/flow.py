"""A kernel of PTX as basic blocks: functions that it calls written out in their places, and which registers each block needs."""

from __future__ import annotations

import linecache
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from . import accesses, arithmetic, conversions, integers, numbers
from .emitter import CARRY, Emitter, special_register
from .syntax import Function, Instruction, Module, Variable, parse

assert accesses.handles is arithmetic.handles  # both declare what emits instructions
_NAME = re.compile(r"([%$A-Za-z_][\w$%'@]*)(\.[xyz])?")
_TOGETHER = ("shfl", "vote", "redux", "match", "mma", "ldmatrix", "bar.warp", "activemask")  # what waits for the whole warp


class Block(NamedTuple):
    """A straight line of instructions.

    Attributes:
        run: given the machine, the threads and the registers it reads, returns those it changes and, of a branch, the predicate.
        reads, writes: numbers of registers.
        end: "next", "branch", "table", "exit", or "barrier".
        targets: of a branch, where threads go for which the predicate holds, and the others; of a table, one by one; else the block after.
        together: it starts with what all threads of a warp do together.
    """

    run: Callable[..., Any]
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    end: str
    targets: tuple[int, ...]
    together: bool
    first: str  # instruction, for messages


class Program(NamedTuple):
    """A kernel, ready to run.

    Attributes:
        held: of each register, the dtype.
        parameters: (name, type, size).
        variables: of the module and of the kernel.
    """

    name: str
    blocks: list[Block]
    held: list[str]
    parameters: list[tuple[str, str, int]]
    variables: dict[str, Variable]


class _Lines:
    """Instructions of a basic block, while the kernel is taken apart."""

    def __init__(self) -> None:
        self.body: list[Instruction] = []
        self.end = "next"
        self.labels: tuple[str, ...] = ()
        self.guard = ""
        self.together = False


def program(text: str) -> Program:
    """The one kernel of a file of PTX.

    Raises:
        NotImplementedError: for an instruction that no kernel of ours has had.
    """
    module = parse(text)
    entry = next(function for function in module.functions.values() if function.entry)
    registers, variables = dict(entry.registers), {**module.variables, **entry.variables}
    body = _inlined(module, entry, registers, variables, "")
    return _compiled(entry, body, registers, variables)


def _inlined(module: Module, function: Function, registers: dict[str, str], variables: dict[str, Variable], depth: str) -> list[Instruction]:
    """The body, with those of the functions that it calls in place of the calls."""
    made: list[Instruction] = []
    for k, instruction in enumerate(function.body):
        if not instruction.opcode.startswith("call"):
            made.append(instruction)
            continue
        operands = list(instruction.operands)
        returned = operands.pop(0)[1:-1].split(",") if operands[0][0] == "(" else []
        called = module.functions[operands[0]]
        given = operands[1][1:-1].split(",") if len(operands) > 1 else []
        mark = f"{depth}@{k}"
        slots = [s.strip() for s in (*returned, *given) if s.strip()]
        renamed = {p[0]: s for p, s in zip(called.parameters, slots, strict=True)}
        variables.update(called.variables)
        registers.update({_marked(r, mark): kind for r, kind in called.registers.items()})
        end = f"$end{mark}"
        for inside in _inlined(module, called, registers, variables, mark):
            if inside.opcode in ("ret", "ret.uni"):
                made.append(Instruction("bra", (end,), _renamed(inside.guard, mark, {}, variables)))
            else:
                moved = tuple([_renamed(o, mark, renamed, variables) for o in inside.operands])
                made.append(Instruction(inside.opcode, moved, _renamed(inside.guard, mark, {}, variables)))
        made.append(Instruction("label", (end,)))
    return made


def _marked(register: str, mark: str) -> str:
    return f"{register[:-2]}{mark}_<>" if register.endswith("<>") else register + mark


def _renamed(text: str, mark: str, slots: dict[str, str], variables: dict[str, Variable]) -> str:
    """An operand of a function that is called from there, with its own registers and labels."""

    def rename(found: Any) -> str:
        name = found[1]
        if name in slots:
            return slots[name]
        if name in variables or name == "_" or special_register(found[0]) is not None:
            return str(found[0])
        letters = name.rstrip("0123456789")
        return f"{letters}{mark}_{name[len(letters) :]}" if name[0] == "%" and letters != name and "'" not in name else name + mark

    return text if not text or text[0] in "0123456789-" else _NAME.sub(rename, text)


def _split(body: list[Instruction]) -> tuple[list[_Lines], dict[str, int]]:
    """Basic blocks, and the block of each label. Guarded instructions are jumped over."""
    blocks, labels = [_Lines()], {}

    def begin() -> _Lines:
        if blocks[-1].body or blocks[-1].end != "next":
            blocks.append(_Lines())
        return blocks[-1]

    tables: dict[str, tuple[str, ...]] = {}
    last = ""
    for k, instruction in enumerate(body):
        opcode, operands, guard = instruction
        if opcode == "label":
            begin()
            last = operands[0]
            labels[last] = len(blocks) - 1
        elif opcode == "targets":
            tables[last] = operands
        elif opcode in ("bra", "bra.uni"):
            blocks[-1].end, blocks[-1].labels, blocks[-1].guard = "branch", operands, guard
            begin()
        elif guard:
            over = f"$over{k}"
            block = blocks[-1]
            block.end, block.labels, block.guard = "branch", (over,), guard[1:] if guard[0] == "!" else "!" + guard
            begin()
            _append(blocks, begin, instruction._replace(guard=""))
            begin()
            labels[over] = len(blocks) - 1
        else:
            _append(blocks, begin, instruction)
    for block in blocks:
        if block.end == "table":
            block.labels = (block.labels[0], *tables[block.labels[1]])
    return blocks, labels


def _append(blocks: list[_Lines], begin: Callable[[], _Lines], instruction: Instruction) -> None:
    opcode = instruction.opcode
    if opcode in ("ret", "exit", "ret.uni"):
        blocks[-1].end = "exit"
        begin()
    elif opcode.startswith("brx.idx"):
        blocks[-1].end, blocks[-1].labels = "table", (instruction.operands[0], instruction.operands[1])
        begin()
    elif opcode.startswith(("bar.sync", "barrier.sync", "bar.cta.sync")):
        if instruction.operands != ("0",):
            raise NotImplementedError(f"{opcode} {', '.join(instruction.operands)}")
        blocks[-1].end = "barrier"
        begin()
    elif opcode.startswith(_TOGETHER):
        if not blocks[-1].together:
            begin().together = True
        if not opcode.startswith("bar.warp"):
            blocks[-1].body.append(instruction)
    else:
        blocks[-1].body.append(instruction)


def _compiled(entry: Function, body: list[Instruction], registers: dict[str, str], variables: dict[str, Variable]) -> Program:
    found, labels = _split(body)
    kinds: dict[str, str] = {CARRY: "pred", **registers}

    parameters = {name for name, _, _ in entry.parameters}
    constants: dict[str, Any] = {}
    symbols = {name: f"M.memory.address({name!r})" for name in variables}
    numbers_of: dict[str, int] = {}
    emitters, source = [], []
    for block in found:
        e = Emitter(kinds, parameters, constants, symbols)
        for instruction in block.body:
            e.instruction(instruction.opcode, instruction.operands)
        condition = ""
        if block.end == "branch" and block.guard:
            condition = e.value(block.guard, "p")
        elif block.end == "table":
            condition = e.value(block.labels[0], "u4")
        emitters.append((e, condition))
        for register in (*e.read, *e.written):
            numbers_of.setdefault(register, len(numbers_of))
    targets = [_targets(block, k, labels, len(found)) for k, block in enumerate(found)]
    wanted = _needed_after([(e, t) for (e, _), t in zip(emitters, targets, strict=True)])
    blocks = []
    for k, (e, condition) in enumerate(emitters):
        written = [register for register in e.written if register in wanted[k]]
        results = [*e.results(written), condition] if condition else e.results(written)
        source.append(f"def block{k}(M, A, {', '.join(e.read.values())}):")
        source += [f"    {line}" for line in e.lines]
        source.append(f"    return ({', '.join(results)}{',' if results else ''})")
    scope = {
        "np": np, "N": numbers, "I": integers, "C": conversions, **constants,
        **{name: np.dtype(name).type for name in ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8")},
    }  # fmt: skip
    text = "\n".join(source)
    label = f"<PTX of {entry.name[:60]} {abs(hash(text)):x}>"
    linecache.cache[label] = (len(text), None, [line + "\n" for line in source], label)  # for tracebacks
    exec(compile(text, label, "exec"), scope)
    for k, (e, condition) in enumerate(emitters):
        lines = found[k]
        written = [register for register in e.written if register in wanted[k]]
        first = lines.body[0] if lines.body else None
        said = f"{first.opcode} {', '.join(first.operands)}" if first else lines.end
        end = "jump" if lines.end == "branch" and not condition else lines.end
        reads, writes = tuple([numbers_of[r] for r in e.read]), tuple([numbers_of[r] for r in written])
        blocks.append(Block(scope[f"block{k}"], reads, writes, end, targets[k], lines.together, said))
    held = [emitters[0][0].held(register) for register in numbers_of]
    return Program(entry.name, blocks, held, entry.parameters, variables)


def _targets(block: _Lines, k: int, labels: dict[str, int], count: int) -> tuple[int, ...]:
    after = k + 1
    if block.end == "branch":
        target = labels[block.labels[0]]
        return (target, after) if block.guard else (target,)
    if block.end == "table":
        return tuple([labels[name] for name in block.labels[1:]])
    return () if block.end == "exit" or after == count else (after,)


def _needed_after(blocks: list[tuple[Emitter, tuple[int, ...]]]) -> list[set[str]]:
    """Of each block, the registers that are read after it before they are written."""
    before = [set(e.read) for e, _ in blocks]
    after: list[set[str]] = [set() for _ in blocks]
    changed = True
    while changed:
        changed = False
        for k in range(len(blocks) - 1, -1, -1):
            e, targets = blocks[k]
            wanted = set().union(*[before[t] for t in targets if t < len(blocks)])
            if wanted != after[k]:
                after[k] = wanted
                before[k] = set(e.read) | (wanted - set(e.written))
                changed = True
    return after
