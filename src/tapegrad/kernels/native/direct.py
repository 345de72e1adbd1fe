"""A quick way to compile code of many lines: by the translator, not by Numba.

Numba infers the types of a whole function and takes it through some twenty forms of its own: a second or two for the longest kernels and
for what looks at Python's objects. Where types are plain, which they are in all that is written for one dtype, the translator writes down
the same in milliseconds. Imports Numba, so it is imported only when something has to be compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from .abi import I64, SLOTS
from .translator import Translator, Value


def direct(function: Callable[..., None]) -> Callable[..., None]:
    """A kernel (slots, start, stop) that Numba compiles at once, since all of it is translated here."""

    @intrinsic  # type: ignore[untyped-decorator]
    def body(typing_context, slots, start, stop):  # type: ignore[no-untyped-def]
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            typed = [Value(kind, value) for kind, value in zip(signature.args, args, strict=True)]
            Translator(context, builder, typing_context).call(function, typed)
            return context.get_dummy_value()

        return types.void(SLOTS, I64, I64), generate

    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        body(slots, start, stop)

    return kernel


def compiled_words(function: Callable[..., int | None], machine: Any) -> tuple[str, Any]:
    """The symbol and the optimised LLVM module of a function on words (see ``words``), for a target machine."""
    module, word = ir.Module("words"), ir.IntType(64)
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    made = ir.Function(module, ir.FunctionType(word, [word] * function.__code__.co_argcount), f"tapegrad_{function.__name__}")
    builder = ir.IRBuilder(made.append_basic_block())
    translator = Translator(cpu_target.target_context, builder, None)
    result = translator.call(function, [Value(I64, argument) for argument in made.args])
    builder.ret(word(0) if result is None else translator.cast(result, I64))
    code = llvm.parse_assembly(str(module))
    code.verify()
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    passes.getModulePassManager().run(code, passes)
    return made.name, code
