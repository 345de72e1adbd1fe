"""PTX text to lists of statements, with the names of registers and labels made unique over scopes."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

SIZES = {
    "b8": 1, "u8": 1, "s8": 1, "b16": 2, "u16": 2, "s16": 2, "f16": 2, "bf16": 2, "b32": 4, "u32": 4, "s32": 4, "f32": 4, "f16x2": 4,
    "bf16x2": 4, "b64": 8, "u64": 8, "s64": 8, "f64": 8,
}  # fmt: skip


class Instruction(NamedTuple):
    """``@guard opcode operands``; of a label, the opcode is "label"."""

    opcode: str
    operands: tuple[str, ...]
    guard: str = ""  # a predicate, after "!" where it must be false


class Variable(NamedTuple):
    """Memory of the module or of a function's: its state space, alignment, size in bytes, and what it holds first."""

    space: str
    alignment: int
    size: int
    values: bytes | None
    dynamic: bool = False  # as large as a launch says


class Function(NamedTuple):
    """An entry, or a function that others call.

    Attributes:
        registers: name -> "pred", "b32", "f32", ...
        parameters: (name, type, size in bytes), of a function that is called those it returns first.
        returns: how many of the parameters it returns.
    """

    name: str
    entry: bool
    parameters: list[tuple[str, str, int]]
    returns: int
    registers: dict[str, str]
    variables: dict[str, Variable]
    body: list[Instruction]


class Module(NamedTuple):
    """What a file of PTX says."""

    functions: dict[str, Function]
    variables: dict[str, Variable]


_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_FUNCTION = re.compile(r"\.(entry|func)\s*(?:\(([^()]*)\))?\s*([\w$%]+)\s*(?:\(([^()]*)\))?([^{};]*)([{;])")
_VARIABLE = re.compile(
    r"\.(global|const|shared|local)\s+(?:\.align\s+(\d+)\s+)?(?:\.v[24]\s+)?\.(\w+)\s+([\w$%]+)\s*((?:\[\d*\])*)\s*(?:=\s*(\{[^}]*\}|[^;]+))?\s*;"
)
_PARAMETER = re.compile(r"\.param\s+(?:\.align\s+\d+\s+)?\.(\w+)\s+(?:\.ptr[\w.\s]*?\s)?([\w$%]+)(?:\[(\d+)\])?\s*$")
_REGISTERS = re.compile(r"\.reg\s+(?:\.v[24]\s+)?\.(\w+)\s+(.*)$", re.DOTALL)
_LABEL = re.compile(r"([\w$%]+)\s*:(?!:)\s*")
_NAME = re.compile(r"[%$A-Za-z_][\w$%]*")
_IGNORED = (".loc ", ".loc\t", ".pragma", ".file", ".section", ".callprototype")


def parse(text: str) -> Module:
    """What a file of PTX says.

    Raises:
        NotImplementedError: for what no kernel of ours has.
    """
    text = _COMMENT.sub(" ", text)
    functions, variables, outside, at = {}, {}, [], 0
    while (found := _FUNCTION.search(text, at)) is not None:
        outside.append(text[at : found.start()])
        at = found.end()
        if found[6] == ";":
            continue  # a declaration; the definition comes
        end = _closing(text, at)
        function = _function(found, text[at:end])
        functions[function.name] = function
        at = end + 1
    outside.append(text[at:])
    for found in _VARIABLE.finditer(" ".join(outside)):
        name, variable = _variable(found)
        variables[name] = variable
    return Module(functions, variables)


def _closing(text: str, at: int) -> int:
    depth = 1
    for found in re.compile(r"[{}]").finditer(text, at):
        depth += 1 if found[0] == "{" else -1
        if depth == 0:
            return found.start()
    raise ValueError("a brace that nothing closes")


def _variable(found: re.Match[str]) -> tuple[str, Variable]:
    space, alignment, kind, name, extents, given = found.groups()
    size = SIZES[kind]
    sizes = [int(n) if n else 0 for n in re.findall(r"\[(\d*)\]", extents)]
    total = size * int(np.prod(sizes)) if sizes else size
    values = None
    if given is not None:
        numbers = [int(n, 0) for n in re.findall(r"-?\w+", given)]
        values = b"".join([(n & ((1 << (8 * size)) - 1)).to_bytes(size, "little") for n in numbers]).ljust(total, b"\0")
    elif space in ("global", "const"):
        values = bytes(total)
    return name, Variable(space, int(alignment or size), total, values, 0 in sizes)


def _parameters(text: str | None) -> list[tuple[str, str, int]]:
    found = []
    for part in (text or "").split(","):
        if part.strip():
            match = _PARAMETER.match(part.strip())
            if match is None:
                raise NotImplementedError(f"parameter {part.strip()!r}")
            found.append((match[2], match[1], SIZES[match[1]] * int(match[3] or 1)))
    return found


def _function(found: re.Match[str], text: str) -> Function:
    kind, returned, name, given = found[1], _parameters(found[2]), found[3], _parameters(found[4])
    registers: dict[str, str] = {}
    variables: dict[str, Variable] = {}
    body: list[Instruction] = []
    scopes: list[dict[str, str]] = [{}]  # the name in the text -> the name that is like no other
    patterns: dict[str, str] = {}
    opened = 0

    def unique(match: re.Match[str]) -> str:
        for scope in reversed(scopes):
            if match[0] in scope:
                return scope[match[0]]
        return match[0]

    for statement in text.split(";"):
        statement = statement.strip()
        while statement:
            if statement[0] == "{":
                opened += 1
                scopes.append({})
                statement = statement[1:].lstrip()
            elif statement[0] == "}":
                scopes.pop()
                statement = statement[1:].lstrip()
            elif (label := _LABEL.match(statement)) is not None:
                body.append(Instruction("label", (unique(label) if label[1] in scopes[-1] else label[1],)))
                statement = statement[label.end() :]
            else:
                break
        if not statement or statement.startswith(_IGNORED):
            continue
        if statement.startswith(".reg"):
            declared = _REGISTERS.match(statement)
            assert declared is not None, statement
            for name_ in declared[2].split(","):
                name_ = name_.strip()
                if name_.endswith(">"):
                    patterns[name_[: name_.index("<")]] = declared[1]
                elif len(scopes) > 1:
                    scopes[-1][name_] = f"{name_}'{opened}"
                    registers[f"{name_}'{opened}"] = declared[1]
                else:
                    registers[name_] = declared[1]
        elif statement.startswith(".param"):
            for slot, _, _ in _parameters(statement):
                scopes[-1][slot] = f"{slot}'{opened}"
        elif statement.startswith((".local", ".shared", ".global", ".const")):
            variable = _VARIABLE.match(statement + ";")
            assert variable is not None, statement
            variables[variable[4]] = _variable(variable)[1]
        elif statement.startswith(".branchtargets"):
            body.append(Instruction("targets", tuple([t.strip() for t in statement[len(".branchtargets") :].split(",")])))
        else:
            body.append(_instruction(_NAME.sub(unique, statement) if len(scopes) > 1 else statement))
    for prefix, kind_ in patterns.items():
        registers[prefix + "<>"] = kind_
    return Function(name, kind == "entry", returned + given, len(returned), registers, variables, body)


def _instruction(text: str) -> Instruction:
    guard = ""
    if text[0] == "@":
        guard, text = text[1:].split(None, 1)
    opcode, *rest = text.split(None, 1)
    return Instruction(opcode, tuple(split(rest[0])) if rest else (), guard)


def split(text: str) -> list[str]:
    """Operands: what stands between commas that no bracket holds."""
    if "{" not in text and "(" not in text:
        return [part.strip() for part in text.split(",")] if text.strip() else []
    found, depth, start = [], 0, 0
    for k, c in enumerate(text):
        if c in "{([":
            depth += 1
        elif c in "})]":
            depth -= 1
        elif c == "," and depth == 0:
            found.append(text[start:k].strip())
            start = k + 1
    found.append(text[start:].strip())
    return found
