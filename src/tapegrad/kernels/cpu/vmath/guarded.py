"""Functions with arguments that are rare and cost much more than others: kept out of line, where whole vectors of arguments may branch.

In a loop that becomes vector code there is no branch, so all arguments would pay for the rare ones. Here the loop calls a function instead,
whose variants for vectors look whether any of their lanes is rare. LLVM finds them by the attribute of the call
(https://llvm.org/docs/LangRef.html#call-site-attributes, "vector-function-abi-variant"). A lane never depends on its neighbours.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils

from ...native.abi import use_widest_vectors
from .value import INT, Value, call_named, suffix, where

Function = Callable[[Value], Value]
_BYTES = ir.IntType(8).as_pointer()


def guarded(x: Value, ordinary: Function, rare: Function, is_rare: Function) -> Value:
    """``rare(x)`` where ``is_rare(x)``, else ``ordinary(x)``, which is computed in any case."""
    name = f"tapegrad.{ordinary.__name__}.{suffix(x.type)}"
    widest = 2 * vector_bytes() // (4 if x.single else 8)  # two registers full: they share the constants, and one fills the other's gaps
    widths = [lanes for lanes in (widest, widest // 2, widest // 4) if lanes > 1]
    module = x.builder.module
    function = module.globals.get(name)
    if function is None:
        wider = _define(module, f"{name}.v{widest}", ir.VectorType(x.type, widest), lambda v: _branch(v, ordinary, rare, is_rare))
        for lanes in widths[1:]:
            wider = _define(module, f"{name}.v{lanes}", ir.VectorType(x.type, lanes), functools.partial(_widened, wider))
        function = _define(module, name, x.type, functools.partial(_widened, wider))
    result = x.builder.call(function, [x.ir])
    variants = ",".join(f"_ZGV_LLVM_N{lanes}v_{name}({name}.v{lanes})" for lanes in widths)
    set.add(result.attributes, f'"vector-function-abi-variant"="{variants}"')
    return Value(x.builder, result)


@functools.cache
def vector_bytes() -> int:
    """The width of the processor's vectors."""
    features = llvm.get_host_cpu_features()
    return 64 if features.get("avx512f") else 32 if features.get("avx2") else 16


def _define(module: Any, name: str, kind: Any, body: Function, *attributes: str) -> Any:
    """A function of one value, which LLVM neither inlines nor removes while it doesn't know its callers yet."""
    function = ir.Function(module, ir.FunctionType(kind, [kind]), name)
    function.linkage = "internal"
    for attribute in ("noinline", "nounwind", "willreturn", "memory(none)", *attributes):
        set.add(function.attributes, attribute)
    use_widest_vectors(function)
    _keep(module, function)
    builder = ir.IRBuilder(function.append_basic_block())
    builder.ret(body(Value(builder, function.args[0])).ir)
    return function


def _keep(module: Any, function: Any) -> None:
    used = module.globals.get("llvm.compiler.used")
    if used is None:
        used = ir.GlobalVariable(module, ir.ArrayType(_BYTES, 0), "llvm.compiler.used")
        used.linkage, used.section, used.initializer = "appending", "llvm.metadata", ir.Constant(used.value_type, [])
    elements = [*used.initializer.constant, function.bitcast(_BYTES)]
    used.value_type = ir.ArrayType(_BYTES, len(elements))
    used.initializer = ir.Constant(used.value_type, elements)


def _branch(x: Value, ordinary: Function, rare: Function, is_rare: Function) -> Value:
    builder, module = x.builder, x.builder.module
    mask, y = is_rare(x), ordinary(x)
    found = call_named(f"llvm.vector.reduce.or.v{x.type.count}i1", ir.IntType(1), mask)
    with builder.if_then(found.ir, likely=False):
        slowly = _define(module, f"{builder.function.name}.rare", x.type, rare, "cold")
        builder.ret(where(mask, Value(builder, builder.call(slowly, [x.ir])), y).ir)
    return y


def _widened(function: Any, x: Value) -> Value:
    """What a function of wider vectors makes of x, in its first lanes; the others are zeros."""
    builder, kind = x.builder, function.ftype.args[0]
    zeros = ir.Constant(kind, [0.0] * kind.count)
    if not isinstance(x.type, ir.VectorType):
        wide = builder.call(function, [builder.insert_element(zeros, x.ir, INT(0))])
        return Value(builder, builder.extract_element(wide, INT(0)))
    lanes = x.type.count
    places = ir.VectorType(INT, kind.count)
    padded = builder.shuffle_vector(x.ir, ir.Constant(x.type, [0.0] * lanes), ir.Constant(places, [min(i, lanes) for i in range(kind.count)]))
    wide = builder.call(function, [padded])
    first = ir.Constant(ir.VectorType(INT, lanes), list(range(lanes)))
    return Value(builder, builder.shuffle_vector(wide, wide, first))


def libm(name: str) -> Function:
    """A function of libm's, of one lane after another."""

    def function(x: Value) -> Value:
        builder, element = x.builder, x.element
        scalar = cgutils.get_or_insert_function(builder.module, ir.FunctionType(element, [element]), name + ("f" if x.single else ""))
        y = ir.Constant(x.type, ir.Undefined)
        for lane in map(INT, range(x.type.count)):
            y = builder.insert_element(y, builder.call(scalar, [builder.extract_element(x.ir, lane)]), lane)
        return Value(builder, y)

    return function
