"""What users call: the public functions of ops, functions composed of ops, and Tensor's methods."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from . import casting
from .generated import written_when_called
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
        given = function
        record.function = function = _checked(function)
        if record.method:
            METHODS[function.__name__] = _method_of(given, function)
        FUNCTIONS[function.__name__] = Function(function.__name__, function, record, **tests)
        return function

    return decorate


def composite(*, method: bool = True, **tests: Any) -> Callable[[F], F]:
    """Decorate a public function made of ops; with ``method``, it is a Tensor method, too. ``tests``: see :class:`Function`."""

    def decorate(function: F) -> F:
        given = function
        function = _checked(function)
        if method:
            METHODS[function.__name__] = _method_of(given, function)
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
    METHODS[function.__name__] = _method_of(function, _checked(function))
    return METHODS[function.__name__]  # type: ignore[return-value]


def alias(name: str, function: F, *, method: bool = True) -> F:
    """A public function under another of PyTorch's names; tests try its first sample under that name, too.

    With ``method``, it is a method where the function is, and its in-place form has a second name, too.
    """
    known = FUNCTIONS[function.__name__]
    if method and function.__name__ in METHODS and METHODS[function.__name__] in (function, getattr(function, "__wrapped__", None)):
        METHODS[name] = METHODS[function.__name__]
        ALIASES[name] = function.__name__
    FUNCTIONS[name] = replace(known, name=name, samples=known.samples[:1], error_inputs=())
    return function


_ABSENT: Any = object()

# PyTorch takes NumPy's names for these keywords.
_NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim"}


def _method_of(given: F, checked: F) -> F:
    """The function as a method: as it was given where the tensor itself is all that would be checked, to save a call."""
    code = given.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    plain = not _renames(names) and _tensors_of(given, names) == list(names[:1]) and not casting.has_policy(given)
    return given if plain else checked


def _renames(names: Sequence[str]) -> bool:
    return "dim" in names or "keepdim" in names


def _tensors_of(function: Callable[..., Any], names: Sequence[str]) -> list[str]:
    """The parameters that are tensors."""
    return [n for n in names if function.__annotations__.get(n) in ("Tensor", "Tensor | None")]


def _checked(function: F) -> F:
    """The function as users call it: NumPy's keywords are accepted, ``autocast`` is followed, what should have been a tensor is named."""
    code = function.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    renames = _renames(names)
    tensors = _tensors_of(function, names)
    casts = casting.has_policy(function)
    if not renames and not tensors and not casts:
        return function

    def explain(error: AttributeError, given: dict[str, Any]) -> None:
        """Looked for only now, so that right calls pay nothing."""
        for name in tensors:
            value = given.get(name)
            if value is not None and value is error.obj and not isinstance(value, Tensor):
                raise TypeError(f"{function.__name__}(): argument {name!r} must be a Tensor, not {no_tensor(value)}") from None

    if renames and function.__name__ not in casting.POLICIES and not code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS):
        return _written(function, explain)

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if casts and local.autocast:
            policy = casting.policy_in(function, args, kwargs)
            if policy is not None:
                return casting.call(policy, checked, args, kwargs)
        if renames and kwargs and not _NUMPY_NAMES.keys().isdisjoint(kwargs):
            kwargs = _renamed(function.__name__, kwargs)
        try:
            return function(*args, **kwargs)
        except AttributeError as error:
            explain(error, dict(zip(names, args, strict=False)) | kwargs)
            raise

    return cast(F, checked)


def _written(function: F, explain: Callable[[AttributeError, dict[str, Any]], None]) -> F:
    """The checked function with its own parameters, and NumPy's names beside them, since it costs less than to look at keywords."""

    def write(scope: dict[str, Any]) -> str:
        scope |= {"function": function, "explain": explain, "slowly": slowly, "ABSENT": _ABSENT, "local": local, "cast": cast_first}
        takes: list[str] = []
        passed: list[str] = []
        names: list[str] = []
        needed: list[str] = []
        for p in inspect.signature(function).parameters.values():
            if p.kind is p.KEYWORD_ONLY and "*" not in takes:
                takes.append("*")
            default = ""
            if p.default is not p.empty:
                default = f"=_default_{p.name}"
                scope[default[1:]] = p.default
            elif needed or p.name in _NUMPY_NAMES.values():  # none without a default may come after it
                default = "=ABSENT"
                needed.append(p.name)
            takes.append(p.name + default)
            passed.append(f"{p.name}={p.name}" if p.kind is p.KEYWORD_ONLY else p.name)
            names.append(p.name)
        others = [n for n, known in _NUMPY_NAMES.items() if known in names]
        takes += ["*"] * ("*" not in takes) + [f"{n}=ABSENT" for n in others]
        odd = " or ".join([f"{n} is not ABSENT" for n in others] + [f"{n} is ABSENT" for n in needed])
        given, renamed = (f"dict({', '.join(f'{n}={n}' for n in some)})" for some in (names, others))
        casts = f"if local.autocast: return cast({given})\n        " if casting.has_policy(function) else ""
        return f"""\
def call({", ".join(takes)}):
    try:
        if {odd}: return slowly({given}, {renamed})
        {casts}return function({", ".join(passed)})
    except AttributeError as error:
        explain(error, {given})
        raise
"""

    def cast_first(given: dict[str, Any]) -> Any:
        policy = casting.policy_in(function, (), given)
        return function(**given) if policy is None else casting.call(policy, function, (), given)

    def slowly(given: dict[str, Any], others: dict[str, Any]) -> Any:
        for name, value in others.items():
            key = _NUMPY_NAMES[name]
            if value is not _ABSENT:
                default = inspect.signature(function).parameters[key].default
                if given[key] is not _ABSENT and given[key] is not default:
                    raise TypeError(f"{function.__name__}() got both {key!r} and {name!r}, which are the same")
                given[key] = value
        return function(**{name: value for name, value in given.items() if value is not _ABSENT})

    return cast(F, functools.update_wrapper(written_when_called(function.__name__, write), function))


def _renamed(name: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for given, value in kwargs.items():
        key = _NUMPY_NAMES.get(given, given)
        if key in kwargs and key != given:
            raise TypeError(f"{name}() got both {key!r} and {given!r}, which are the same")
        out[key] = value
    return out
