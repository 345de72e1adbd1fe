"""What a kernel may tell LLVM about its loops. Imported only to compile a kernel."""

from __future__ import annotations

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


@intrinsic  # type: ignore[untyped-decorator]
def independent_iterations(typing_context: Any) -> Any:
    """Called after the last loop of a kernel: none of its iterations reads what another one writes.

    Then loops are vector code also where an output is the very memory of an input; LLVM on its own must assume that they overlap in
    other ways. https://llvm.org/docs/LangRef.html#llvm-loop-parallel-accesses-metadata
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        module, blocks = builder.module, list(builder.function.blocks)
        group = _Distinct(module)
        parallel = module.add_metadata(["llvm.loop.parallel_accesses", group])
        for at, block in enumerate(blocks):
            for instruction in block.instructions:
                if isinstance(instruction, (ir.LoadInstr, ir.StoreInstr)):
                    instruction.set_metadata("llvm.access.group", group)
            last = block.terminator
            if isinstance(last, ir.Branch) and any(target in blocks[: at + 1] for target in last.operands if isinstance(target, ir.Block)):
                last.set_metadata("llvm.loop", _Distinct(module, (parallel,), loop=True))
        return context.get_dummy_value()

    return types.void(), generate
