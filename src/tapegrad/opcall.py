"""Running an op on tensors: a call written for its inputs and parameters, and the general path that listeners need.

The written call has the op's parameters as its own and knows what each set of inputs that need a gradient saves, so that an
operation costs little more than its forward function. While something listens (``local.flags > 1``), everything takes the
general path.
"""

from __future__ import annotations

import inspect
import itertools
import sys
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

import numpy as np

from . import dtypes
from .casting import GPU_OPS, for_op
from .device import BACKENDS, backend
from .generated import written_when_called
from .graph import CALL_SLOTS, Call
from .kernels.device_errors import ApartError
from .kernels.native.objects import maker
from .modes import local
from .observing import annotate, tell
from .storage import Storage, tick
from .tensor import Tensor, make_tensor, wrap
from .views import View, note_view

_MAX_WRITTEN_OUT = 3  # inputs: the sets of them that may need a gradient double with each
DIFFERENTIABLE_KINDS = "fcV"  # of NumPy's dtypes that tensors have; V is bfloat16


def differentiable(array: Any) -> bool:
    """Whether values of this dtype have gradients."""
    return dtypes.FROM_NUMPY[array.dtype].category >= 2


# ------------------------------------------------------------------------------------------------------------- devices


def check_devices(op_name: str, tensors: Iterable[Any], numbers: bool = False) -> Any:
    """Raise RuntimeError when tensors (None and numbers count for nothing) live on different devices; with ``numbers``, those without
    dimensions may live on the CPU. The device of the tensors if it is not the CPU, else None."""
    tensors = [t for t in tensors if isinstance(t, Tensor)]
    if all(t._array.__class__ is np.ndarray for t in tensors):
        return None  # NumPy's arrays are all on the CPU
    where = tensors[0].device
    if all(t.device is where for t in tensors):
        return where
    seen: dict[Any, Tensor] = {}
    for t in tensors:
        if t._array.ndim or not numbers or t._array.__class__ is not np.ndarray:
            seen.setdefault(t.device, t)
    if len(seen) > 1:
        (d1, t1), (d2, t2), *_ = seen.items()
        raise RuntimeError(
            f"{_called(op_name)}: expected all tensors on one device, got shape {tuple(t1.shape)} on {d1} and shape {tuple(t2.shape)} on {d2}; "
            f"move one with .to({str(d2 if d1.type == 'cpu' else d1)!r})"
        )
    return next(iter(seen))


def _called(op_name: str) -> str:
    """The public function that the caller called, of those that led to an op: the outermost before code that is not an op's."""
    found, frame = op_name, sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("tapegrad.") and not _has_self(frame):
        if frame.f_code.co_name in frame.f_globals.get("__all__", ()):
            found = frame.f_code.co_name
        frame = frame.f_back  # type: ignore[assignment]
    return found


def _has_self(frame: Any) -> bool:
    """Whether it is of a method, such as a module's ``forward``."""
    return bool(frame.f_code.co_varnames[:1] == ("self",) and frame.f_code.co_argcount)


# ------------------------------------------------------------------------------------------------------- written calls


def parameters_of(op: Any) -> list[inspect.Parameter]:
    """The keyword parameters of an op's forward function."""
    return [p for p in inspect.signature(op.forward).parameters.values() if p.kind is p.KEYWORD_ONLY]


def on_tensors(op: Any) -> Callable[..., Any]:
    """``call(*inputs, **params)``, which runs the op on tensors and records it; parameters may be given by position, too."""
    return written_when_called(op.name, lambda scope: _write_call(op, scope))


def on_arrays(op: Any) -> Callable[..., Any]:
    """``call(*arrays, **params)``, which runs the op on bare arrays, without a tape."""
    return written_when_called(op.name, lambda scope: _write_array_call(op, scope))


def _signature(op: Any, first: str, scope: dict[str, Any]) -> tuple[str, str, list[str]]:
    """The written function's signature, what it passes on by name, and the names."""
    parameters = parameters_of(op)
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    scope.update({f"_default_{name}": value for name, value in defaults.items()})
    names = [p.name for p in sorted(parameters, key=lambda p: p.name in defaults)]
    takes = [f"{first}{i}" for i in range(len(op.inputs))]
    takes += [f"{name}=_default_{name}" if name in defaults else name for name in names]
    return ", ".join(takes), "".join(f", {name}={name}" for name in names), names


def _write_array_call(op: Any, scope: dict[str, Any]) -> str:
    signature, passed, _ = _signature(op, "_a", scope)
    scope |= {"forward": op.forward, "BACKENDS": BACKENDS, "results": op.results}
    arrays = ", ".join(f"_a{i}" for i in range(len(op.inputs)))
    out = [f"def call({signature}):", *_run_forward(op, arrays, passed, scope), f"    return {'results(_r)[0]' if op.residuals else '_r'}"]
    return "\n".join(out) + "\n"


def _run_forward(op: Any, arrays: str, passed: str, scope: dict[str, Any]) -> list[str]:
    """The lines that call ``forward`` on arrays: without the interpreter where it has a plan for them."""
    made = f"_r = forward(BACKENDS[_a0.__class__], {arrays}{passed})"
    if not op.planned:
        return [f"    {made}"]
    scope["quick"] = getattr(BACKENDS[np.ndarray], op.planned).quick
    return [f"    _r = quick({', '.join([arrays, *[p.name for p in parameters_of(op)]])})", f"    if _r is None: {made}"]


def _write_call(op: Any, scope: dict[str, Any]) -> str:
    n = len(op.inputs)
    signature, passed, names = _signature(op, "_x", scope)
    xs, arrays, edges = ("".join(f"{letter}{i}, " for i in range(n)) for letter in ("_x", "_a", "_e"))
    params = "{" + ", ".join(f"{name!r}: {name}" for name in names) + "}"
    flags = "careful" if op.name in GPU_OPS else "flags"
    out = [f"def call({signature}):", f"    _flags = local.{flags}", f"    if _flags > 1: return general(op, ({xs}), {params})"]
    out += ["    _a0 = _x0._array; _e0 = _x0._entry"]
    for i in range(1, n):
        out += [f"    if _x{i} is None: _a{i} = _e{i} = None", f"    else: _a{i} = _x{i}._array; _e{i} = _x{i}._entry"]
        out += [f"    if _a{i}.__class__ is not _a0.__class__ and _a{i} is not None: mixed(op.name, ({xs}))"]
    ran = _run_forward(op, arrays[:-2], passed, scope)
    if n > 1:
        ran = ["    try:", *[f"    {line}" for line in ran], f"    except ApartError: mixed(op.name, ({xs})); raise"]
    out += ran
    residuals = "".join(f"_s{k}, " for k in range(len(op.residuals)))
    several = f"return finish_many(op, ({xs}), {params}, ({arrays}), _r, ({edges}))"
    if residuals:
        out += [f"    if len(_r) > {1 + len(op.residuals)}: {several}", f"    _r, {residuals}= _r"]
    elif not op.view:
        out += [f"    if _r.__class__ is tuple: {several}"]
    if op.view:
        out += [f"    _p = {params}", *_NOTE_VIEW]
    else:
        out += ["    _o = make_tensor(_r, Storage())"]
    if op.vjp:
        nothing = " and ".join(f"_e{i} is None" for i in range(n))
        out += [f"    if _flags or ({nothing}) or _r.dtype.kind not in KINDS: return _o"]
        kept = "_p" if op.view else params.replace("'index': index", "'index': frozen(index)")
        out += _write_record(op, scope, xs, kept, arrays, edges, residuals)
    scope |= {"op": op, "forward": op.forward, "BACKENDS": BACKENDS, "local": local, "general": run_generally, "finish_many": finish_many}
    scope |= {"mixed": check_devices, "ApartError": ApartError, "make_tensor": make_tensor, "Storage": Storage, "tick": tick, "KINDS": DIFFERENTIABLE_KINDS}
    scope |= {"make_view": maker(View, *View.__slots__), "note_view": note_view, "ref": weakref.ref}
    scope |= {"make_call": maker(Call, *CALL_SLOTS), "record": record, "frozen": _frozen, "refuse": refuse_gradient}
    return "\n".join([*out, "    return _o"]) + "\n"


# ``note_view`` written out for the usual case
_NOTE_VIEW = """\
    _b = _r.base; _s = _x0._storage; _v = _s._views
    if _b is not None and (_b is _a0 or _b is _a0.base) and _v is not None and len(_v) < _v.room:
        _above = _x0._base
        if _above is None: _w = make_view(_x0, None, op, _p, not _flags)
        else: _w = make_view(_above.root, _above, op, _p, not _flags and _above.tracked)
        _o = make_tensor(_r, _s, _w)
        _v.append(ref(_o))
    else:
        _o = make_tensor(_r)
        note_view(op, _x0, _o, _p, not _flags)""".split("\n")


def _write_record(op: Any, scope: dict[str, Any], xs: str, params: str, arrays: str, edges: str, residuals: str) -> list[str]:
    n = len(op.inputs)
    targets = [i for i, name in enumerate(op.inputs) if name in op.targets]
    several = any(name[:3] == "out" and name[3:].isdecimal() for formula in op.plans.formulas for name in formula.names)
    if len(targets) > _MAX_WRITTEN_OUT or several:
        return [f"    record(op, ({xs}), {params}, ({arrays}), _o, _r, ({edges}), ({residuals}))"]
    out = [f"    if _e{i} is not None: refuse(op, {name!r})" for i, name in enumerate(op.inputs) if i not in targets]
    cases = [needs for needs in itertools.product(*[(False, True) if i in targets else (False,) for i in range(n)]) if any(needs)]
    for k, needs in enumerate(sorted(cases, key=sum, reverse=True)):
        plan = scope[f"_plan{k}"] = op.plans[needs]
        kept = [_kept(op, name) for name in plan.saved]
        values, cells = "".join(f"{value}, " for value, _ in kept), "".join(f"{cell}, " for _, cell in kept)
        flows = "".join(f"_e{i}, " if needs[i] else "None, " for i in range(n))
        test = " and ".join(f"_e{i} is not None" for i in range(n) if needs[i])
        head = "" if n == 1 else f"if {test}: " if k == 0 else f"elif {test}: "
        entry = f"tick(), _plan{k}, ({flows}), ({values}), ({cells}), _r.shape, _r.dtype, {params}, 0"
        out += [f"    {head}_o._entry = make_call({entry})"]
    return out


def _kept(op: Any, name: str) -> tuple[str, str]:
    """The variables that hold a value to save and the storage whose version must not move."""
    if name == "out":
        return "_r", "_o._storage"
    if name in op.residuals:
        return f"_s{op.residuals.index(name)}", "None"
    i = op.inputs.index(name)
    return f"_a{i}", f"_x{i}._storage" if i == 0 else f"None if _x{i} is None else _x{i}._storage"


# -------------------------------------------------------------------------------------------------------- general path


def run_generally(op: Any, inputs: tuple[Any, ...], params: dict[str, Any]) -> Any:
    """Run an op on tensors (None for optional inputs left out), record it, and tell listeners."""
    if local.careful > local.flags:
        inputs = for_op(op.name, inputs)
    arrays = tuple([None if t is None else t._array for t in inputs])
    edges = tuple([None if t is None else t._entry for t in inputs])
    if any(a.__class__ is not arrays[0].__class__ for a in arrays):
        check_devices(op.name, inputs)
    try:
        result = op.forward(backend(arrays[0]), *arrays, **params)
    except ApartError:
        check_devices(op.name, inputs)
        raise
    residuals: tuple[Any, ...] = ()
    if op.residuals:
        made, residuals = op.results(result)
    else:
        made = result
    if isinstance(made, tuple):
        return finish_many(op, inputs, params, arrays, result, edges)
    output = wrap(made)
    if op.view:
        note_view(op, inputs[0], output, params, local.grad)
    if local.flags & 1 == 0 and op.vjp and any(e is not None for e in edges) and differentiable(made):
        record(op, inputs, params, arrays, output, made, edges, residuals)
    if local.flags > 1:
        tell(op, inputs, params, (output,))
    return output


def finish_many(
    op: Any, inputs: tuple[Any, ...], params: dict[str, Any], arrays: tuple[Any, ...], result: tuple[Any, ...], edges: tuple[Any, ...]
) -> tuple[Tensor, ...]:
    """Make tensors of the several outputs in what forward returned, and record them."""
    made, residuals = op.results(result)
    outputs = tuple([wrap(array) for array in made])
    if local.flags & 1 == 0 and op.vjp and any(e is not None for e in edges):
        entry = record(op, inputs, params, arrays, outputs, made, edges, residuals)
        entry.split([(a.shape, a.dtype) if differentiable(a) else None for a in made])
        for i, output in enumerate(outputs):
            output._entry = entry.output(i)
    if local.flags > 1:
        tell(op, inputs, params, outputs)
    return outputs


def record(
    op: Any,
    inputs: Sequence[Any],
    params: dict[str, Any],
    arrays: Sequence[Any],
    output: Any,
    result: Any,
    edges: tuple[Any, ...],
    residuals: tuple[Any, ...] = (),
) -> Call:
    """Make the entry of an op that ran, and attach it to its (single) output."""
    for edge, name in zip(edges, op.inputs, strict=True):
        if edge is not None and name not in op.targets:
            refuse_gradient(op, name)
    if "index" in params and not op.view:
        params = {**params, "index": _frozen(params["index"])}
    entry = Call.__new__(Call)
    entry.seq = tick()
    entry.op = plan = op.plans[tuple([e is not None for e in edges])]
    entry.edges = edges
    entry.params = params
    entry.outputs = 0
    entry.extra = None
    values: list[Any] = []
    cells: list[Storage | None] = []
    for name in plan.saved:
        if name == "out":
            values.append(result)
            cells.append(output._storage)
        elif name in plan.outputs:
            values.append(result[plan.outputs[name]])
            cells.append(output[plan.outputs[name]]._storage)
        elif name in op.residuals:
            values.append(residuals[op.residuals.index(name)])
            cells.append(None)
        else:
            i = plan.index[name]
            values.append(arrays[i])
            cells.append(None if inputs[i] is None else inputs[i]._storage)
    entry.saved = tuple(values)
    entry.cells = tuple(cells)
    if isinstance(output, tuple):
        entry.shape, entry.dtype = result[0].shape, result[0].dtype
    else:
        entry.shape, entry.dtype = result.shape, result.dtype
        output._entry = entry
    if local.flags > 1:
        annotate(entry)
    return entry


def refuse_gradient(op: Any, name: str) -> NoReturn:
    """Raise for an input that requires grad and has no VJP."""
    raise RuntimeError(f"{op.name}: the derivative with respect to {name!r} is not implemented; .detach() it if it is constant")


def _frozen(index: Any) -> Any:
    """An index with arrays of its own, since the caller may write to them before backward."""
    return tuple([part.copy() if isinstance(part, np.ndarray) else part for part in index]) if isinstance(index, tuple) else index
