"""What a kernel may tell LLVM about its loops. Imported only to compile a kernel."""

from __future__ import annotations

import re
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


class _Distinct(ir.MDValue):  # type: ignore[misc]
    """A metadata node that is unlike any other, which llvmlite can't write."""

    def __init__(self, module: Any, operands: tuple[Any, ...] = (), *, loop: bool = False) -> None:
        super().__init__(module, operands, str(len(module.metadata)))
        if loop:  # its first operand is the node itself
            self.operands = (self, *operands)

    def descr(self, buf: list[str]) -> None:
        buf += ("distinct !{ " + ", ".join(node.get_reference() for node in self.operands) + " }", "\n")

    __eq__ = object.__eq__
    __hash__ = object.__hash__


_VARIANT = re.compile(r"_ZGV_LLVM_N(\d+)v")


def _lanes(blocks: list[Any]) -> int:
    """How many lanes all functions called can take, where they have variants for vectors (see ``vmath.guarded``); else 0."""
    calls = [i for block in blocks for i in block.instructions if isinstance(i, ir.CallInstr)]
    variants = [_VARIANT.findall(attribute) for call in calls for attribute in call.attributes]
    return min((max(map(int, found)) for found in variants if found), default=0)


@intrinsic  # type: ignore[untyped-decorator]
def independent_iterations(typing_context: Any) -> Any:
    """Called after the last loop of a kernel: none of its iterations reads what another one writes.

    Then loops are vector code also where an output is the very memory of an input; LLVM on its own must assume that they overlap in
    other ways. https://llvm.org/docs/LangRef.html#llvm-loop-parallel-accesses-metadata
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        module, blocks = builder.module, list(builder.function.blocks)
        group = _Distinct(module)
        known = [module.add_metadata(["llvm.loop.parallel_accesses", group])]
        if lanes := _lanes(blocks):  # not several calls at once, whose results would wait in memory
            options = {"llvm.loop.vectorize.width": lanes, "llvm.loop.interleave.count": 1}
            known += [module.add_metadata([name, ir.Constant(ir.IntType(32), value)]) for name, value in options.items()]
        for at, block in enumerate(blocks):
            for instruction in block.instructions:
                if isinstance(instruction, (ir.LoadInstr, ir.StoreInstr)):
                    instruction.set_metadata("llvm.access.group", group)
            last = block.terminator
            if isinstance(last, ir.Branch) and any(target in blocks[: at + 1] for target in last.operands if isinstance(target, ir.Block)):
                last.set_metadata("llvm.loop", _Distinct(module, tuple(known), loop=True))
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic  # type: ignore[untyped-decorator]
def any_step(typing_context: Any, step: Any) -> Any:
    """A step in memory, as a sum that LLVM can't simplify: with one it makes vector code that gathers, with a lone unknown number only for
    the case that it is 1."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = args[0].type
        zero = builder.asm(ir.FunctionType(word, [word]), "", "=r,0", [ir.Constant(word, 0)], False)
        return builder.add(args[0], zero)

    return types.int64(types.int64), generate
