"""Gives Tensor its operators and methods, NumPy its protocols, and ``expr`` its functions on tensors."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import dtypes, expr, inplace, registry
from ..computation import broadcast_shape
from ..registry import REGISTRY
from ..scalarops import ElementwiseOp
from ..tensor import Tensor, init, wrap
from . import create, elementwise, index, matmul, random, reduce, shape


def _reflected(op: ElementwiseOp) -> Callable[[Tensor, Any], Any]:
    call = op.call

    def method(self: Tensor, other: Any) -> Any:
        return call(other, self) if _operand(other) else NotImplemented

    return method


def _forward(op: ElementwiseOp) -> Callable[[Tensor, Any], Any]:
    """The operator: what is no operand gets a chance to handle the tensor itself."""
    call = op.call

    def method(self: Tensor, other: Any) -> Any:
        return call(self, other) if _operand(other) else NotImplemented

    return method


def _operand(other: Any) -> bool:
    return isinstance(other, (Tensor, int, float, complex, np.ndarray, np.generic))


_BINARY = {
    "add": "_add",
    "sub": "_sub",
    "mul": "mul",
    "truediv": "div",
    "pow": "pow",
}
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")


def _install_operators() -> None:
    for symbol, name in _BINARY.items():
        op = getattr(elementwise, name)
        # the generated call itself, so that an operator costs no second Python call
        setattr(Tensor, f"__{symbol}__", op.call)
        setattr(Tensor, f"__r{symbol}__", _reflected(op))
        setattr(Tensor, f"__i{symbol}__", inplace.in_place_method(op))
    for name in _COMPARISONS:
        setattr(Tensor, f"__{name}__", _forward(getattr(elementwise, name)))
    Tensor.__neg__ = elementwise.neg.call
    Tensor.__abs__ = elementwise.abs.call
    Tensor.__pos__ = lambda self: self
    Tensor.__matmul__ = matmul.matmul
    Tensor.__rmatmul__ = lambda self, other: matmul.matmul(other, self)
    Tensor.__invert__ = _invert
    Tensor.__and__ = Tensor.__rand__ = _bools("&", elementwise.logical_and)
    Tensor.__or__ = Tensor.__ror__ = _bools("|", elementwise.logical_or)
    Tensor.__getitem__ = index.getitem
    Tensor.__setitem__ = index.setitem
    Tensor.__contains__ = _contains
    Tensor.__copy__, Tensor.__deepcopy__, Tensor.__reduce_ex__ = _copied, _deep_copied, _reduced


def _invert(self: Tensor) -> Tensor:
    if self.dtype is not dtypes.bool_:
        raise TypeError(f"~ works on bool tensors only so far, got {self.dtype}")
    return elementwise.logical_not.call(self)  # type: ignore[no-any-return]


def _bools(symbol: str, op: ElementwiseOp) -> Callable[[Tensor, Any], Any]:
    def method(self: Tensor, other: Any) -> Any:
        if self.dtype is not dtypes.bool_ or (isinstance(other, Tensor) and other.dtype is not dtypes.bool_):
            raise TypeError(f"{symbol} works on bool tensors only so far")
        return op.call(self, other)

    return method


def _install_methods() -> None:
    for op in REGISTRY.values():
        if isinstance(op, ElementwiseOp):
            if op.method:
                setattr(Tensor, op.name, op.function or op.call)
                if op.dtype != "bool":
                    setattr(Tensor, f"{op.name}_", inplace.in_place_method(op))
            if op.function is None:
                op.function = op.call
        elif op.method and op.function is not None:
            setattr(Tensor, op.function.__name__, op.function)
    for name, function in _METHODS.items():
        setattr(Tensor, name, function)


# ------------------------------------------------------------------------------------------------- writing and converting

_copy = registry.register(
    registry.Op(
        "copy",
        ("self", "source"),
        lambda B, x, source: B.broadcast_to(source, x.shape),
        {"source": lambda K, g, source_shape, source_dtype: K.to(K.sum_to_size(g, size=source_shape), dtype=dtypes.FROM_NUMPY[source_dtype])},
        method=False,
    )
)


def copy_(self: Tensor, src: Tensor, non_blocking: bool = False) -> Tensor:
    """Overwrite with the elements of ``src``, broadcast and cast to this tensor's dtype; returns the tensor."""
    source = registry.as_tensor_input(src, "copy_", "src")
    if isinstance(self, Tensor) and broadcast_shape("copy_", [self._array.shape, source._array.shape]) != self._array.shape:
        raise RuntimeError(f"copy_: src of shape {tuple(source.shape)} can't be broadcast to shape {tuple(self.shape)}")
    return inplace.write(_copy, self, (source,), {}, cast=True)


def zero_(self: Tensor) -> Tensor:
    """Overwrite with zeros; returns the tensor."""
    return fill_(self, 0)


def fill_(self: Tensor, value: Any) -> Tensor:
    """Overwrite with a number (or 0-d tensor); returns the tensor."""
    source = value if isinstance(value, Tensor) else wrap(create.converted(np.array(value), self._array.dtype))
    return copy_(self, source)


def add_(self: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """Add ``alpha * other`` in place; returns the tensor."""
    return inplace.elementwise_(elementwise._add, self, other if alpha == 1 else elementwise.mul.call(other, alpha))


def sub_(self: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """Subtract ``alpha * other`` in place; returns the tensor."""
    return inplace.elementwise_(elementwise._sub, self, other if alpha == 1 else elementwise.mul.call(other, alpha))


def clamp_(self: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Limit values to [min, max] in place; returns the tensor."""
    if min is not None:
        inplace.elementwise_(elementwise.clamp_min, self, min)
    return self if max is None else inplace.elementwise_(elementwise.clamp_max, self, max)


def detach(self: Tensor) -> Tensor:
    """A tensor on the same memory that no gradient flows through."""
    return init(Tensor.__new__(Tensor), self._array, None, self._storage)


def detach_(self: Tensor) -> Tensor:
    """Cut this tensor off from the operations that made it; returns it.

    Raises:
        RuntimeError: for a view; use detach().
    """
    if self._base is not None:
        raise RuntimeError("detach_: a view can't be detached in place; use detach()")
    self._entry = None
    return self


def _set_data(self: Tensor, value: Tensor) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"data must be a Tensor, got {type(value).__name__}")
    self._array, self._storage = value._array, value._storage
    if self._entry is not None and self._entry.is_leaf:
        self._entry.shape, self._entry.dtype = value._array.shape, value._array.dtype


def to(self: Tensor, *args: Any, dtype: Any = None, device: Any = None, copy: bool = False, non_blocking: bool = False) -> Tensor:
    """The tensor with another dtype or on another device: ``to(dtype)``, ``to(device)``, ``to(device, dtype)``, ``to(other)``.

    Itself when nothing changes, unless ``copy``.
    """
    from ..device import device as Device
    from ..device import to_device

    for arg in args:
        if isinstance(arg, Tensor):
            dtype, device = arg.dtype, arg.device
        elif isinstance(arg, Device) or (isinstance(arg, str) and arg.partition(":")[0] in ("cpu", "cuda")):
            device = arg
        elif not isinstance(arg, bool):
            dtype = arg
    if device is not None:
        to_device(device)
    wanted = self.dtype if dtype is None else dtypes.to_dtype(dtype)
    moved = shape.to_dtype(self, wanted)
    return shape.clone(self) if copy and moved is self else moved


def _converter(d: dtypes.dtype) -> Callable[[Tensor], Tensor]:
    def method(self: Tensor) -> Tensor:
        return shape.to_dtype(self, d)

    method.__doc__ = f"The tensor as {d}."
    return method


def type_(self: Tensor, dtype: Any = None) -> Any:
    """The tensor in another dtype; without one, the name of its dtype."""
    return repr(self.dtype) if dtype is None else shape.to_dtype(self, dtypes.to_dtype(dtype))


def cpu(self: Tensor) -> Tensor:
    """The tensor on the CPU."""
    return self


def cuda(self: Tensor, device: Any = None) -> Tensor:
    """The tensor on a GPU.

    Raises:
        RuntimeError: since this version has no CUDA backend.
    """
    return to(self, "cuda" if device is None else device)


def new_tensor(self: Tensor, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A new tensor of ``data``, with this tensor's dtype unless given."""
    return create.tensor(data, dtype=self.dtype if dtype is None else dtype, device=device, requires_grad=requires_grad)


def _new(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def method(self: Tensor, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
        return make(*size, dtype=self.dtype if dtype is None else dtype, device=device, requires_grad=requires_grad)

    method.__doc__ = f"``{make.__name__}(*size)`` with this tensor's dtype."
    return method


def _contains(self: Tensor, element: Any) -> bool:
    """Whether an element equals this number (or tensor, broadcast)."""
    if not isinstance(element, (Tensor, bool, int, float, complex, np.generic)):
        raise TypeError(f"'in' looks for a number or a Tensor in a tensor, not for {type(element).__name__}")
    return bool(elementwise.eq.call(self, element)._array.any())


def _copied(self: Tensor) -> Tensor:
    """``copy.copy``: the same memory under a new object; of a leaf, a new leaf."""
    made = init(type(self).__new__(type(self)), self._array, self._entry, self._storage, self._base)
    if self._entry is not None and self._entry.is_leaf:
        made._entry = None
        made.requires_grad_()
    made.__dict__.update(self.__dict__)
    return made


def _deep_copied(self: Tensor, memo: dict[int, Any]) -> Tensor:
    """``copy.deepcopy``: memory, gradient and attributes of its own, and a place of its own in the graph.

    Raises:
        RuntimeError: for a tensor that an operation made, since its history can't be copied.
    """
    if not self.is_leaf:
        raise RuntimeError("only leaf tensors can be deep-copied: this one was made by an operation; use .detach() or .clone()")
    if id(self) not in memo:
        made = memo[id(self)] = init(type(self).__new__(type(self)), self._array.copy(order="K"))
        if self._entry is not None:
            made.requires_grad_()
        made._grad = copy.deepcopy(self._grad, memo)
        made.__dict__.update(copy.deepcopy(self.__dict__, memo))
    copied: Tensor = memo[id(self)]
    return copied


def _reduced(self: Tensor, protocol: Any) -> Any:
    """For pickle, as multiprocessing uses it (checkpoints never do): type, array, whether it requires grad, attributes.

    Raises:
        RuntimeError: for a tensor that an operation made, since its history can't leave the process.
    """
    if not self.is_leaf:
        raise RuntimeError("only leaf tensors can be pickled: this one was made by an operation; use .detach()")
    return _unpickled, (type(self), self._array, self._entry is not None, self.__dict__)


def _unpickled(kind: type[Tensor], array: Any, requires_grad: bool, attributes: dict[str, Any]) -> Tensor:
    made = init(kind.__new__(kind), array)
    made.__dict__.update(attributes)
    return made.requires_grad_() if requires_grad else made  # type: ignore[no-any-return]


def _transposed(self: Tensor) -> Tensor:
    """The view with all dimensions reversed."""
    return shape.permute(self, *reversed(range(self.ndim)))


def _matrix_transposed(self: Tensor) -> Tensor:
    """The view with the last two dimensions swapped."""
    if self.ndim < 2:
        raise RuntimeError(f"mT needs at least 2 dimensions, got shape {tuple(self.shape)}")
    return shape.transpose(self, -2, -1)


def _where(self: Tensor, condition: Tensor, other: Any) -> Any:
    """The tensor where ``condition`` holds, else ``other``."""
    return elementwise.where(condition, self, other)


_METHODS: dict[str, Any] = {
    **{f.__name__: f for f in (shape.view, shape.transpose, shape.t, shape.expand_as, shape.broadcast_to, shape.squeeze)},
    **{f.__name__: f for f in (shape.unsqueeze, shape.flatten, shape.contiguous, reduce.std, reduce.max, reduce.min, matmul.mm)},
    **{f.__name__: f for f in (copy_, zero_, fill_, add_, sub_, clamp_, detach, detach_, to, cpu, cuda, new_tensor)},
    **{f.__name__: f for f in (random.uniform_, random.normal_)},
    **{f.__name__: f for f in (index.scatter_add, index.scatter_add_, index.masked_fill, index.masked_fill_)},
    "clamp": elementwise.clamp,
    "clip": elementwise.clamp,
    "where": _where,
    "multiply": elementwise.mul.call,
    "divide": elementwise.div.call,
    "subtract": elementwise.sub,
    "negative": elementwise.neg.call,
    "bool": _converter(dtypes.bool_),
    "int": _converter(dtypes.int32),
    "long": _converter(dtypes.int64),
    "float": _converter(dtypes.float32),
    "double": _converter(dtypes.float64),
    "half": _converter(dtypes.float16),
    "type": type_,
    "new_zeros": _new(create.zeros),
    "new_ones": _new(create.ones),
    "new_empty": _new(create.empty),
    "T": property(_transposed),
    "mT": property(_matrix_transposed),
    "data": property(detach, _set_data),
}


# ------------------------------------------------------------------------------------------------------ NumPy's protocols

_UFUNCS: dict[str, Callable[..., Any]] = {
    "absolute": elementwise.abs.call,
    "power": elementwise.pow.call,
    "divide": elementwise.div.call,
    "subtract": elementwise._sub.call,
    "multiply": elementwise.mul.call,
    "add": elementwise._add.call,
    "negative": elementwise.neg.call,
    "conjugate": elementwise.conj.call,
    "less": elementwise.lt.call,
    "less_equal": elementwise.le.call,
    "greater": elementwise.gt.call,
    "greater_equal": elementwise.ge.call,
    "equal": elementwise.eq.call,
    "not_equal": elementwise.ne.call,
    "matmul": matmul.matmul,
}
_reshape = shape.reshape


def _np_reshape(a: Tensor, /, shape: Any, order: str = "C") -> Tensor:
    if order != "C":
        raise TypeError(f"np.reshape with order={order!r} does not work on tapegrad tensors; permute the dimensions")
    return _reshape(a, shape)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "concatenate": lambda arrays, axis=0: shape.cat(arrays, axis),
    "stack": lambda arrays, axis=0: shape.stack(arrays, axis),
    "transpose": lambda a, axes=None: shape.permute(a, *(axes if axes is not None else reversed(range(a.ndim)))),
    "reshape": _np_reshape,
    "where": elementwise.where,
    "clip": lambda a, a_min=None, a_max=None: elementwise.clamp(a, a_min, a_max),
    "squeeze": lambda a, axis=None: shape.squeeze(a, axis),
    "expand_dims": lambda a, axis: shape.unsqueeze(a, axis),
    "shape": lambda a: tuple(a.shape),
    "ndim": lambda a: a.ndim,
    "size": lambda a: a.numel(),
    "zeros_like": lambda a: create.zeros_like(a),
    "ones_like": lambda a: create.ones_like(a),
    "flip": lambda m, axis=None: shape.flip(m, *(range(m.ndim) if axis is None else [axis] if isinstance(axis, int) else axis)),
    **{
        name: (lambda f: lambda a, axis=None, keepdims=False: f(a, axis, keepdims))(function)
        for name, function in (("sum", reduce.sum), ("mean", reduce.mean), ("amax", reduce.amax), ("max", reduce.amax))
    },
    **{
        name: (lambda f: lambda a, axis=None, keepdims=False: f(a, axis, keepdims))(function)
        for name, function in (("amin", reduce.amin), ("min", reduce.amin), ("argmax", reduce.argmax), ("argmin", reduce.argmin))
    },
    "var": lambda a, axis=None, ddof=0, keepdims=False: reduce.var(a, axis, keepdim=keepdims, correction=ddof),
    "cumsum": lambda a, axis: reduce.cumsum(a, axis),
}


def _array_ufunc(self: Tensor, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """NumPy's functions of elements, on tensors: recorded on the tape, or refused."""
    name = ufunc.__name__
    function = _UFUNCS.get(name) or (REGISTRY[name].function if name in REGISTRY else None)
    if method != "__call__" or kwargs or function is None:
        detail = f"np.{name}" + (f".{method}" if method != "__call__" else "") + (f" with {', '.join(kwargs)}=" if kwargs else "")
        raise TypeError(f"{detail} does not work on tapegrad tensors; use tensor.detach().numpy() if no gradient is needed")
    return function(*inputs)


def _array_function(self: Tensor, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
    """NumPy's other functions, on tensors: recorded on the tape, or refused."""
    function = _FUNCTIONS.get(func.__name__)
    if function is None:
        raise TypeError(f"np.{func.__name__} does not work on tapegrad tensors; use tensor.detach().numpy() if no gradient is needed")
    return function(*args, **kwargs)


def _check_power(base: Any, exponent: Any) -> None:
    integral = isinstance(base, Tensor) and base.dtype.category == 1 and not isinstance(exponent, (Tensor, float, complex))
    if integral and exponent < 0:
        raise RuntimeError("pow: integers to negative integer powers are no integers; convert the base with .float()")


def _expression_functions() -> dict[str, Callable[..., Any]]:
    """What ``expr`` calls when an elementwise function is given tensors."""
    table: dict[str, Callable[..., Any]] = {}
    for name in expr._PRIMITIVES:
        op = REGISTRY.get(name)
        if isinstance(op, ElementwiseOp):
            table[name] = op.call
    return table


def install() -> None:
    """Install everything; importing ``tapegrad`` does it once."""
    elementwise.pow.check = _check_power
    _install_methods()
    _install_operators()
    Tensor.__array_ufunc__ = _array_ufunc
    Tensor.__array_function__ = _array_function
    expr.TABLE[Tensor] = _expression_functions()

