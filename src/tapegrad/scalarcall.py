"""Running an elementwise op on tensors: a call specialised to its number of inputs, and the general path behind it.

The specialised call takes contiguous tensors of one shape straight to a native kernel (``kernels.cpu.fast.Fast``) and writes the
tape's entry. Where they broadcast, or have other layouts, another native function may know the kernel; anything else, as the first
call with operands of a kind, goes to :func:`general_call`.
"""

from __future__ import annotations

import itertools
import linecache
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .casting import GPU_OPS, for_op
from .computation import NUMBERS
from .graph import ENTRY_SLOTS, Entry
from .kernels.native.objects import maker
from .modes import local
from .observing import annotate, tell
from .opcall import check_devices, differentiable
from .registry import as_tensor_input
from .storage import Storage, tick
from .tensor import TENSOR_TYPES, Tensor, make_tensor, no_tensor, wrap

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
    out = [f"def call({', '.join(names)}):", f"    flags = local.{'careful' if op.name in GPU_OPS else 'flags'}"]
    general = f"general(op, ({', '.join(names)},))"
    out += [f"    if flags > 1: return {general}"]
    for i, (x, name) in enumerate(zip(names, op.inputs, strict=True)):
        out += [f"    c = {x}.__class__", "    if c in TENSOR_TYPES:", f"        a{i} = {x}._array; e{i} = {x}._entry; s{i} = {x}._storage"]
        if n > 1 and name not in op.booleans:
            out += ["    elif c is float or c is int:", f"        a{i} = {x}; e{i} = s{i} = None"]
        out += [f"    else: return {general}"]
    arrays = ", ".join(f"a{i}" for i in range(n))
    out += [f"    r = fast({arrays})", "    if r is None:", f"        r = wide({arrays})", "        if r is None:"]
    out += [f"            r = elsewhere({arrays})", f"            if r is None: return {general}"]
    tracked = [i for i, name in enumerate(op.inputs) if name in op.formulas]
    make = "s = Storage(); o = make_tensor(r, s)"
    differ = " or ".join(f"e{i} is not None and e{i}.dtype is not r.dtype" for i in tracked)
    finished = f"return finish(op, ({', '.join(names)},), ({arrays},), r)"
    if tracked and n > 1:  # shapes and dtypes may differ
        out += [f"        if not flags and ({' or '.join(f'e{i} is not None' for i in tracked)}):"]
        out += [f"            if {'True' if len(tracked) > _MAX_WRITTEN_OUT else differ}: {finished}"]
        if len(tracked) <= _MAX_WRITTEN_OUT:
            out += [f"            {line}" for line in (make, *_write_record(op, tracked, scope, broadcast=True), "return o")]
    out += [f"    {make}"]
    scope |= {
        "local": local,
        "op": op,
        "general": general_call,
        "TENSOR_TYPES": TENSOR_TYPES,
        "make_tensor": make_tensor,
        "Storage": Storage,
        "tick": tick,
        "make_entry": maker(Entry, *ENTRY_SLOTS),
        "fast": op.computation.fast.call,
        "wide": op.computation.fast.wide,
        "finish": _finish,
        "record": record_elementwise,
    }
    op.computation.used_by(scope)
    if tracked:
        out += [f"    if flags or ({' and '.join(f'e{i} is None' for i in tracked)}):", "        return o"]
    if len(tracked) > _MAX_WRITTEN_OUT:
        out += [f"    record(op, ({', '.join(names)},), ({arrays},), o)"]
    elif tracked:
        out += [f"    if {differ}: {finished}"] if n > 1 else []
        out += [f"    {line}" for line in _write_record(op, tracked, scope, broadcast=False)]
    out += ["    return o"]
    source = "\n".join(out) + "\n"
    file = f"<tapegrad op {op.name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    exec(compile(source, file, "exec"), scope)
    return scope.pop("call").__code__


def _write_record(op: Any, tracked: Sequence[int], scope: dict[str, Any], broadcast: bool) -> list[str]:
    """The lines that make the tape's entry: one case for each set of inputs that need a gradient."""
    out = ["shape = r.shape"]
    choices = [(False, True) if i in tracked else (False,) for i in range(len(op.inputs))]
    cases = sorted((needs for needs in itertools.product(*choices) if any(needs)), key=sum, reverse=True)
    for k, needs in enumerate(cases):
        plan = scope[f"plan{k}"] = op.plans[needs]  # whose summing form is made when it is wanted
        needed = [i for i in tracked if needs[i]]
        chosen = f"plan{k}"
        if broadcast:
            chosen += f" if {' and '.join(f'e{i}.shape == shape' for i in needed)} else plan{k}.summing"
        values = "".join("r, " if v == "out" else f"a{op.inputs.index(v)}, " for v in plan.saved)
        cells = "".join("s, " if v == "out" else f"s{op.inputs.index(v)}, " for v in plan.saved)
        edges = "".join(f"e{i}, " if needs[i] else "None, " for i in range(len(op.inputs)))
        test = " and ".join(f"e{i} is not None" for i in needed)
        head = "" if len(cases) == 1 else f"if {test}: " if k == 0 else f"elif {test}: "
        out += [f"{head}o._entry = make_entry(tick(), {chosen}, ({edges}), ({values}), ({cells}), shape, r.dtype)"]
    return out


def general_call(op: Any, operands: tuple[Any, ...]) -> Tensor:
    """The path for everything the fast one refuses: scalars, mixed dtypes, broadcasting, strides, listeners."""
    if op.of_complex is not None and any(isinstance(x, Tensor) and x.dtype.is_complex for x in operands):
        return op.of_complex(*operands)  # type: ignore[no-any-return]
    inputs = operands_of(op, operands)
    if local.careful > local.flags:
        inputs = for_op(op.name, inputs)
    arrays = tuple(x._array if isinstance(x, Tensor) else x for x in inputs)
    output = _finish(op, inputs, arrays, op.computation.general(arrays))
    if local.flags > 1:
        tell(op, inputs, {}, (output,))
    return output


def _finish(op: Any, inputs: tuple[Any, ...], arrays: tuple[Any, ...], result: Any) -> Tensor:
    """The tensor of a result, and the tape's entry."""
    output = wrap(result)
    if local.flags & 1 == 0 and op.formulas:
        record_elementwise(op, inputs, arrays, output)
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
    where = check_devices(op.name, inputs, numbers=True)
    if where is not None and local.flags & 1 == 0:  # a gradient goes back to the CPU the way its number came from there
        inputs = [x.to(where) if isinstance(x, Tensor) and x._entry is not None and not x.is_cuda else x for x in inputs]
    if op.check is not None:
        op.check(*inputs)
    return tuple(inputs)


def record_elementwise(op: Any, inputs: Sequence[Any], arrays: Sequence[Any], output: Tensor) -> None:
    """Record an elementwise op on operands of any kind."""
    edges = tuple(
        [
            x._entry if name in op.formulas and isinstance(x, Tensor) and x._entry is not None and differentiable(x._array) else None
            for name, x in zip(op.inputs, inputs, strict=True)
        ]
    )
    result = output._array
    if not any(edges) or not differentiable(result):
        return
    plan = op.plans[tuple([e is not None for e in edges])]
    shape, dtype = result.shape, result.dtype
    entry = Entry.__new__(Entry)
    entry.seq, entry.edges, entry.shape, entry.dtype, entry.extra = tick(), edges, shape, dtype, None
    values: list[Any] = []
    cells: list[Storage | None] = []
    for name in plan.saved:
        if name == "out":
            values.append(result)
            cells.append(output._storage)
        else:
            i = op.inputs.index(name)
            values.append(arrays[i])
            cells.append(inputs[i]._storage if isinstance(inputs[i], Tensor) else None)
    entry.saved, entry.cells = tuple(values), tuple(cells)
    if any(e is not None and e.dtype != dtype for e in edges):
        entry.more().fix = tuple([None if e is None else (e.shape, e.dtype) for e in edges])
    elif any(e is not None and e.shape != shape for e in edges):
        plan = plan.summing
    entry.op = plan
    if local.flags > 1:
        annotate(entry)
    output._entry = entry
