"""Running an elementwise op on tensors: a call specialised to its number of inputs, and the general path behind it.

The specialised call takes contiguous tensors of one dtype straight to a native kernel (``kernels.cpu.call.Fast``) and writes the
tape's entry; anything else goes to :func:`general_call`, which broadcasts, promotes and strides.
"""

from __future__ import annotations

import itertools
import linecache
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .computation import NUMBERS
from .graph import Entry
from .modes import local
from .registry import annotate, as_tensor_input, check_devices, differentiable, tell
from .tensor import TENSOR_TYPES, Storage, Tensor, init, no_tensor, tick

_MAX_WRITTEN_OUT = 4  # inputs: the sets of them that may need a gradient double with each


def specialised_call(op: Any) -> Callable[..., Any]:
    """The function that runs an op; its code is generated when it is first called, since importing makes hundreds of them."""
    scope: dict[str, Any] = {"__name__": "tapegrad.ops"}
    names = ", ".join(_variables(op))
    exec(compile(f"def call({names}): return _first({names})", f"<tapegrad op {op.name}>", "exec"), scope)
    call: Callable[..., Any] = scope.pop("call")
    call.__name__ = call.__qualname__ = op.name
    call.__code__ = _labelled(call.__code__, op)

    def first(*operands: Any) -> Any:
        call.__code__ = _labelled(_generate(op, scope), op)
        return call(*operands)

    scope["_first"] = first  # kept: another thread may be about to call it
    call.__module__ = "tapegrad"
    return call


def _variables(op: Any) -> list[str]:
    return [f"x{i}" for i in range(len(op.inputs))]


def _labelled(code: Any, op: Any) -> Any:
    """The code under the names that users see, which are kept out of the source, so that none clashes with those used there."""
    labels = op.labels
    return code.replace(co_name=op.name, co_qualname=op.name, co_varnames=(*labels, *code.co_varnames[len(labels) :]))


def _generate(op: Any, scope: dict[str, Any]) -> Any:
    """The code of the specialised call: arity, the conditions of recording and what each case saves are written out."""
    n = len(op.inputs)
    names = _variables(op)
    out = [f"def call({', '.join(names)}):", "    flags = local.flags"]
    general = f"general(op, ({', '.join(names)},))"
    out += [f"    if flags > 1: return {general}"]
    for i, (x, name) in enumerate(zip(names, op.inputs, strict=True)):
        out += [f"    c = {x}.__class__", "    if c in TENSOR_TYPES:", f"        a{i} = {x}._array; e{i} = {x}._entry; s{i} = {x}._storage"]
        if n > 1 and name not in op.booleans:
            out += ["    elif c is float or c is int:", f"        a{i} = {x} if c is float else as_float({x}); e{i} = s{i} = None"]
        out += [f"    else: return {general}"]
    arrays = ", ".join(f"a{i}" for i in range(n))
    out += [f"    r = fast({arrays})", f"    if r is None: return {general}"]
    out += ["    o = new(Tensor); o._array = r; o._grad = None; o._storage = s = Storage(); o._base = None"]
    scope |= {
        "local": local,
        "op": op,
        "general": general_call,
        "TENSOR_TYPES": TENSOR_TYPES,
        "Tensor": Tensor,
        "Storage": Storage,
        "new": Tensor.__new__,
        "tick": tick,
        "Entry": Entry,
        "fast": op.computation.fast.call,
        "as_float": as_float,
        "record": record_elementwise,
    }
    tracked = [i for i, name in enumerate(op.inputs) if name in op.formulas]
    if tracked:
        out += [f"    if flags or ({' and '.join(f'e{i} is None' for i in tracked)}):", "        o._entry = None; return o"]
        if len(tracked) > _MAX_WRITTEN_OUT:
            out += [f"    o._entry = None; record(op, ({', '.join(names)},), ({arrays},), o); return o"]
            choices = []
        else:
            choices = [(False, True) if i in tracked else (False,) for i in range(n)]
    if tracked and choices:
        out += ["    e = o._entry = new(Entry); e.seq = tick(); e.shape = r.shape; e.dtype = r.dtype; e.extra = None"]
        cases = sorted((needs for needs in itertools.product(*choices) if any(needs)), key=sum, reverse=True)
        for k, needs in enumerate(cases):
            plan = op.plans[needs]
            scope[f"plan{k}"] = plan
            test = " and ".join(f"e{i} is not None" for i in range(n) if needs[i])
            head = "else:" if k == len(cases) - 1 and len(tracked) == 1 else f"{'if' if k == 0 else 'elif'} {test}:"
            values = "".join("r, " if v == "out" else f"a{op.inputs.index(v)}, " for v in plan.saved)
            cells = "".join("s, " if v == "out" else f"s{op.inputs.index(v)}, " for v in plan.saved)
            edges = "".join(f"e{i}, " if needs[i] else "None, " for i in range(n))
            out += [f"    {head} e.op = plan{k}; e.edges = ({edges}); e.saved = ({values}); e.cells = ({cells})"]
        if len(tracked) == 1 and len(cases) == 1:
            out[-1] = out[-1].replace("    else: ", "    ").replace(f"    if {test}: ", "    ")
    elif not tracked:
        out += ["    o._entry = None"]
    out += ["    return o"]
    source = "\n".join(out) + "\n"
    file = f"<tapegrad op {op.name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    exec(compile(source, file, "exec"), scope)
    return scope.pop("call").__code__


def as_float(value: float) -> Any:
    """An integer operand for the fast path: exact as a float64, or an object that the fast path refuses."""
    return float(value) if -(2**53) <= value <= 2**53 else value


def general_call(op: Any, operands: tuple[Any, ...]) -> Tensor:
    """The path for everything the fast one refuses: scalars, mixed dtypes, broadcasting, strides, listeners."""
    if op.of_complex is not None and any(isinstance(x, Tensor) and x.dtype.is_complex for x in operands):
        return op.of_complex(*operands)  # type: ignore[no-any-return]
    inputs = operands_of(op, operands)
    arrays = tuple(x._array if isinstance(x, Tensor) else x for x in inputs)
    result = op.computation.general(arrays)
    output = init(Tensor.__new__(Tensor), result)
    if local.flags & 1 == 0 and op.formulas:
        record_elementwise(op, inputs, arrays, output)
    if local.flags > 1:
        tell(op, inputs, {}, (output,))
    return output


def operands_of(op: Any, operands: Sequence[Any]) -> tuple[Any, ...]:
    inputs: list[Any] = []
    for name, value in zip(op.labels, operands, strict=True):
        if isinstance(value, np.generic):
            value = value.item()
        if value.__class__ in NUMBERS:
            inputs.append(value)
        elif isinstance(value, NUMBERS):  # an IntEnum, say
            inputs.append(next(kind for kind in NUMBERS if isinstance(value, kind))(value))  # type: ignore[arg-type]
        else:
            if isinstance(value, np.ndarray) and value.__class__ is not np.ndarray:  # a matrix multiplies in its own way
                value = np.asarray(value)
            inputs.append(as_tensor_input(value, op.name, name))
    if not any(isinstance(x, Tensor) for x in inputs):
        if op.takes_numbers:
            return tuple([as_tensor_input(x, op.name, name) for x, name in zip(inputs, op.labels, strict=True)])
        raise TypeError(f"{op.name}(): argument {op.labels[0]!r} must be a Tensor, not {no_tensor(operands[0])}")
    check_devices(op.name, inputs)
    if op.check is not None:
        op.check(*inputs)
    return tuple(inputs)


def record_elementwise(op: Any, inputs: Sequence[Any], arrays: Sequence[Any], output: Tensor) -> None:
    """Record an elementwise op that ran on the general path."""
    edges = [
        x._entry if isinstance(x, Tensor) and name in op.formulas and differentiable(x._array) else None
        for name, x in zip(op.inputs, inputs, strict=True)
    ]
    result = output._array
    if not any(e is not None for e in edges) or not differentiable(result):
        return
    plan = op.plans[tuple(e is not None for e in edges)]
    entry = Entry.__new__(Entry)
    entry.seq = tick()
    entry.op = plan
    entry.edges = tuple(edges)
    at = {name: i for i, name in enumerate(op.inputs)}
    entry.saved = tuple(result if n == "out" else arrays[at[n]] for n in plan.saved)
    entry.cells = tuple(
        output._storage if n == "out" else x._storage if isinstance(x := inputs[at[n]], Tensor) else None for n in plan.saved
    )
    entry.shape, entry.dtype, entry.extra = result.shape, result.dtype, None
    fix = tuple(
        None if e is None or (e.shape == result.shape and e.dtype == result.dtype) else (e.shape, e.dtype) for e in edges
    )
    if any(fix):
        entry.more().fix = fix
    if local.flags > 1:
        annotate(entry)
    output._entry = entry
