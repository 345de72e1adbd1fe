"""What users call: the public functions of ops, functions composed of ops, and Tensor's methods."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from . import casting
from .modes import local
from .registry import REGISTRY, Op
from .samples import ErrorInput, Sample
from .tensor import Tensor, no_tensor

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(eq=False)
class Function:
    """A public function and what tests try it with.

    Attributes:
        name: its name, the same in PyTorch.
        call: the function.
        op: the op it is the public function of; None for a composite.
        samples: arguments as users give them (``dim=0``, not an op's ``axes=(0,)``).
        reference: NumPy arrays in and out, independent of the implementation; or the dotted path of such a function.
        error_inputs: mistakes.
        differentiable: whether results have gradients.
        smooth: false where elements that repeat make ties.
        kinds: of dtypes that it is made for: b(ool), i(nteger), f(loat), c(omplex).
    """

    name: str
    call: Callable[..., Any]
    op: Op | None
    samples: Sequence[Sample] = ()
    reference: Callable[..., Any] | str | None = None
    error_inputs: Sequence[ErrorInput] = ()
    differentiable: bool = True
    smooth: bool = True
    kinds: str = "f"


FUNCTIONS: dict[str, Function] = {}
METHODS: dict[str, Callable[..., Any]] = {}  # of Tensor
ALIASES: dict[str, str] = {}  # second names of methods


def public(op: Op | str, **tests: Any) -> Callable[[F], F]:
    """Decorate the public function of an op, which turns users' arguments into inputs and parameters.

    ``tests`` are fields of :class:`Function`, for what the samples of the op itself can't say.
    """

    def decorate(function: F) -> F:
        record = REGISTRY[op] if isinstance(op, str) else op
        record.function = function = _checked(function)
        if record.method:
            METHODS[function.__name__] = function
        FUNCTIONS[function.__name__] = Function(function.__name__, function, record, **tests)
        return function

    return decorate


def composite(*, method: bool = True, **tests: Any) -> Callable[[F], F]:
    """Decorate a public function made of ops; with ``method``, it is a Tensor method, too. ``tests``: see :class:`Function`."""

    def decorate(function: F) -> F:
        function = _checked(function)
        if method:
            METHODS[function.__name__] = function
        FUNCTIONS[function.__name__] = Function(function.__name__, function, None, **tests)
        return function

    return decorate


def named(function: F, name: str, doc: str) -> F:
    """A function made by another one, with its own name and docstring."""
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


def method(function: F) -> F:
    """Decorate a function that is a method of Tensor."""
    METHODS[function.__name__] = function = _checked(function)
    return function


def alias(name: str, function: F, *, method: bool = True) -> F:
    """A public function under another of PyTorch's names; tests try its first sample under that name, too.

    With ``method``, it is a method where the function is, and its in-place form has a second name, too.
    """
    known = FUNCTIONS[function.__name__]
    if method and METHODS.get(function.__name__) is function:
        METHODS[name] = function
        ALIASES[name] = function.__name__
    FUNCTIONS[name] = replace(known, name=name, samples=known.samples[:1], error_inputs=())
    return function


# PyTorch takes NumPy's names for these keywords.
_NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim"}


def _checked(function: F) -> F:
    """The function as users call it: NumPy's keywords are accepted, ``autocast`` is followed, what should have been a tensor is named."""
    code = function.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    renames = "dim" in names or "keepdim" in names
    tensors = [n for n in names if function.__annotations__.get(n) in ("Tensor", "Tensor | None")]
    policy = casting.policy_of(function)
    if not renames and not tensors and policy is None:
        return function

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if policy is not None and local.autocast and casting.applies(function, args, kwargs):
            return casting.call(policy, checked, args, kwargs)
        if renames and kwargs and not _NUMPY_NAMES.keys().isdisjoint(kwargs):
            kwargs = _renamed(function.__name__, kwargs)
        try:
            return function(*args, **kwargs)
        except AttributeError as error:  # looked for only now, so that right calls pay nothing
            given = dict(zip(names, args, strict=False)) | kwargs
            for name in tensors:
                value = given.get(name)
                if value is not None and value is error.obj and not isinstance(value, Tensor):
                    raise TypeError(f"{function.__name__}(): argument {name!r} must be a Tensor, not {no_tensor(value)}") from None
            raise

    return cast(F, checked)


def _renamed(name: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for given, value in kwargs.items():
        key = _NUMPY_NAMES.get(given, given)
        if key in kwargs and key != given:
            raise TypeError(f"{name}() got both {key!r} and {given!r}, which are the same")
        out[key] = value
    return out
