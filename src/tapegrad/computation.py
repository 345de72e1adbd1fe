"""Running scalar expressions on arrays and numbers: promotion, broadcasting, and the choice of a kernel.

Both the forward and the fused backward of an elementwise operation are a :class:`Computation`. What its operands' shapes and
dtypes imply is worked out once per combination and kept.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import dtypes, expr
from .device import backend
from .expr import Expr
from .kernels.cpu import Body, Fast, recording
from .kernels.once import once

NUMBERS = (bool, int, float, complex)
_EXACT = 2**53  # integers up to this are passed to kernels as float64
_ON_HOST = (*NUMBERS, np.ndarray)  # what operands on any device may be combined with
_AN_ARRAY = np.empty(())
_MAX_PLANS = 4096


class _Resolved(NamedTuple):
    """What operands of certain shapes and dtypes imply."""

    promoted: dtypes.dtype
    outputs: tuple[np.dtype[Any], ...]
    shape: tuple[int, ...]
    body: Body
    lasting: bool  # does not follow from the default dtype, which may change


class _Operand(NamedTuple):
    """An array as ``dtypes.result_type`` wants it."""

    dtype: dtypes.dtype
    ndim: int

    def dim(self) -> int:
        return self.ndim


class Computation:
    """Expressions of the same inputs, computed elementwise by one kernel.

    Args:
        name: for messages.
        inputs: the names of the operands.
        outputs: expressions for real numbers and for complex ones (where conj is not the identity).
        booleans: inputs that are truth values.
        dtype: "promote", "float" (integers become the default float) or "bool".
    """

    _quick: Any = None  # the plans of another backend than the CPU's, once there are some
    _quick_into: Any = None

    def __init__(
        self,
        name: str,
        inputs: tuple[str, ...],
        outputs: tuple[Sequence[Expr], Sequence[Expr]],
        booleans: tuple[str, ...],
        dtype: str,
    ) -> None:
        self.name = name
        self.inputs = inputs
        self.booleans = booleans
        self.dtype = dtype
        self.checks_integers = False  # their values, each time: so never on the fast path
        self._outputs = outputs
        self._promoting = [i for i, n in enumerate(inputs) if n not in booleans]
        self._bodies: dict[bool, Body] = {}
        self._plans: dict[Any, _Resolved] = {}
        self._scopes: list[dict[str, Any]] = []  # of generated code that calls ``elsewhere``
        self.fast = Fast(len(inputs), len(outputs[0]))

    def body(self, complex_valued: bool) -> Body:
        """The kernel body for real or complex numbers.

        Raises:
            TypeError: when an expression uses a function that has no complex form.
        """
        if complex_valued not in self._bodies:
            outputs = self._outputs[complex_valued]
            if complex_valued and not all(map(has_complex_form, outputs)):
                raise TypeError(f"{self.name} is not implemented for complex numbers")
            lines, results = expr.emit(outputs)
            self._bodies[complex_valued] = Body(self.inputs, tuple(lines), tuple(results), self.booleans)
        return self._bodies[complex_valued]

    def __call__(self, *operands: Any) -> Any:
        """The result, an array or a tuple of them, for arrays and numbers of any layout."""
        if not recording():
            result = self.fast.call(*operands)
            if result is None:
                result = self.fast.wide(*operands)
            if result is None:
                result = self.elsewhere(*operands)
            if result is not None:
                return result
        return self.general(operands)

    def elsewhere(self, *operands: Any) -> Any:
        """The result for arrays of another backend than the CPU's, where such operands were computed before; None otherwise."""
        return None if self._quick is None else self._quick.call(*operands)

    def elsewhere_into(self, *operands: Any) -> Any:
        """As :meth:`elsewhere`, into the last operand."""
        return None if self._quick_into is None else self._quick_into.call(*operands)

    def used_by(self, scope: dict[str, Any]) -> None:
        """Let the globals of generated code have ``elsewhere``, and native code in its place as soon as there is some."""
        self._scopes.append(scope)
        scope["elsewhere"] = self.elsewhere if self._quick is None else self._quick.call

    @once
    def fast_into(self) -> Fast:
        """The fast path that writes into a given array."""
        return Fast(len(self.inputs), 1, given=True)

    def general(self, operands: Sequence[Any], out: Any = None, learn: bool = True) -> Any:
        """As calling, without the fast path; with ``out``, into that array (single outputs only)."""
        resolved = self.resolve(operands)
        learn = learn and resolved.lasting and not (self.checks_integers and resolved.promoted.category == 1)
        ready = [number(x, resolved.promoted) if x.__class__ in NUMBERS else x for x in operands]
        first = next((x for x in operands if x.__class__ not in _ON_HOST), _AN_ARRAY)  # which says what device it is done on
        B = backend(first)
        outputs = _new_outputs(first, resolved, ready) if out is None else (out,)
        B.elementwise(resolved.body, ready, outputs, resolved.promoted.numpy)
        if learn and out is None:
            B.learn(self.fast, resolved.body, ready, outputs, resolved.promoted.numpy)
            if B.Quick is not None:
                quick = self._quick
                if quick is None:
                    quick = vars(self).setdefault("_quick", B.Quick(len(operands)))  # the first thread's, if two come here
                    for scope in self._scopes:
                        scope["elsewhere"] = quick.call
                quick.learn(resolved.body, operands, outputs, resolved.promoted.numpy)
        elif learn and out.dtype == resolved.outputs[0]:
            B.learn(self.fast_into, resolved.body, ready, outputs, resolved.promoted.numpy)
            if B.Quick is not None:
                quick = self._quick_into or vars(self).setdefault("_quick_into", B.Quick(len(operands), given=True))
                quick.learn(resolved.body, operands, outputs, resolved.promoted.numpy)
        return outputs[0] if len(outputs) == 1 else outputs

    def resolve(self, operands: Sequence[Any]) -> _Resolved:
        """The dtypes, shape and kernel body for these operands.

        Raises:
            RuntimeError: when shapes can't be broadcast.
            TypeError: as :meth:`body`.
        """
        default = dtypes.get_default_dtype()
        key = (default, *[x.__class__ if x.__class__ in NUMBERS else (x.shape, x.dtype.num) for x in operands])
        resolved = self._plans.get(key)
        if resolved is None:
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            resolved = self._plans[key] = self._resolve(operands, default)
        return resolved

    def _resolve(self, operands: Sequence[Any], default: dtypes.dtype) -> _Resolved:
        shape = broadcast_shape(self.name, [x.shape for x in operands if x.__class__ not in NUMBERS])
        parts = [
            x if x.__class__ in NUMBERS else _Operand(dtypes.FROM_NUMPY[x.dtype], x.ndim)
            for x in (operands[i] for i in self._promoting)
        ]
        promoted = dtypes.result_type(*parts) if parts else dtypes.bool_
        if self.dtype == "float" and promoted.category < 2:
            promoted = default
        # that of no operand: it follows from the default dtype
        lasting = promoted.category == max((x.dtype.category for x in parts if isinstance(x, _Operand)), default=promoted.category)
        if promoted.category == 0 and self._subtracts():
            raise RuntimeError(f"{self.name}: subtraction and negation are not defined for bool tensors; use ~ to invert and != to compare")
        body = self.body(promoted.category == 3)
        result = dtypes.bool_ if self.dtype == "bool" else promoted
        return _Resolved(promoted, (result.numpy,) * len(body.results), shape, body, lasting)


    def _subtracts(self) -> bool:
        return any(e.op in ("sub", "neg") for e in _nodes(self._outputs[0]))


def _new_outputs(first: Any, resolved: _Resolved, operands: Sequence[Any]) -> tuple[Any, ...]:
    """Empty arrays on the device of the ``first``: column-major where all operands are that and of one shape (as the fast paths do), else row-major."""
    shape, B = resolved.shape, backend(first)
    arrays = [x for x in operands if x.__class__ not in NUMBERS]
    if all(x.flags.fnc and x.shape == shape for x in arrays):
        return tuple([B.new_empty(first, shape[::-1], d).T for d in resolved.outputs])
    return tuple([B.new_empty(first, shape, d) for d in resolved.outputs])


def number(value: Any, promoted: dtypes.dtype) -> Any:
    """A Python number as the kernel takes it: a float or a small int, else a 0-d array."""
    if value.__class__ is float or (value.__class__ is int and -_EXACT <= value <= _EXACT):
        return value
    if promoted.category == 2 and not isinstance(value, complex):
        return float(value)
    with np.errstate(all="ignore"):
        return np.array(value).astype(promoted.numpy)


@functools.cache
def _complex_functions() -> frozenset[str]:
    """The primitives that have a form for complex numbers."""
    names = "var const add sub mul div neg pow exp log sqrt sin cos tan sinh cosh tanh asin acos atan asinh acosh atanh conj"
    return frozenset(f"{names} eq ne where isinf isfinite logical_and logical_or logical_not logical_xor".split())


def has_complex_form(e: Expr) -> bool:
    """Whether every function in the expression is defined for complex numbers."""
    return all(node.op in _complex_functions() for node in _nodes([e]))


def _nodes(outputs: Sequence[Expr]) -> Iterator[Expr]:
    """The nodes of expressions, each once."""
    stack, seen = list(outputs), set()
    while stack:
        node = stack.pop()
        if id(node) not in seen:
            seen.add(id(node))
            yield node
            if node.op not in ("var", "const"):
                stack.extend(node.args)


def broadcast_shape(name: str, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape that these broadcast to.

    Raises:
        RuntimeError: naming the op and all shapes when they don't.
    """
    rank = max(len(s) for s in shapes)
    result = [1] * rank
    for s in shapes:
        for i, n in enumerate(s, start=rank - len(s)):
            if n != 1:
                if result[i] not in (1, n):
                    listed = " and ".join(str(tuple(s)) for s in shapes)
                    raise RuntimeError(
                        f"{name}: shapes {listed} can't be broadcast together: sizes {result[i]} and {n} differ at dimension "
                        f"{i - rank} and neither is 1"
                    )
                result[i] = n
    return tuple(result)
