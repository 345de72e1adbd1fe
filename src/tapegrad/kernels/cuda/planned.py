"""Plans of what functions launch on a GPU (see ``native.planned``, and ``replay`` for what goes by them).

``planned(function)`` is for functions that do all their work by launches on their arguments and on arrays that they make, and that let nothing
but layouts and parameters decide which.

A plan has all the arrays that the function makes at once, also those that this lets go before it makes the next.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from ..native.call import as_word
from ..native.planned import Plan, Planned
from ..native.plans import Plans, key_of
from . import state
from .address import address_of
from .array import CudaArray
from .context import context
from .launching import FLOAT32, FLOAT64, WORD
from .pieces import MOST_DEVICES
from .recording import FILLED, Launch, Recorder, current, lose
from .replay import ARGUMENT, INT, MEMORY, MOST_PARAMETERS, MOST_TAKEN, replay

_MOST_LAUNCHES = 256  # of a plan, whose words stay for good
_IN_VECTOR = 15  # of an address: where it lies in the widest vector
R = TypeVar("R")
Parameter = tuple[int, int, int]


def plans_of(numbers: int = 0, ints: int = 0) -> Plans:
    """A table for ``replay``; ``numbers`` has a bit for each argument whose numbers are not part of the key, ``ints`` for those of them
    that are ints of any size."""
    return Plans(replay, lambda: [state.address, numbers, ints])


def key_here(args: Sequence[Any], numbers: int = 0, ints: int = 0) -> tuple[int, ...] | None:
    """The key of arguments on the current device."""
    key = key_of(tuple(args), CudaArray, _IN_VECTOR, numbers, ints)
    return None if key is None else (*key, context.device + int(state.block[state.SETTINGS]) * MOST_DEVICES)


class _Planned(Planned[R]):
    """``passed`` has a bit for each argument that the function only passes on to kernels."""

    def __init__(self, function: Callable[..., R], passed: int) -> None:
        super().__init__(function, plans_of(passed, passed))
        self._passed = passed

    def _key(self, args: tuple[Any, ...]) -> tuple[int, ...] | None:
        return key_here(args, self._passed, self._passed) if current() is None and _here(args) else None

    def _apart(self, args: tuple[Any, ...]) -> bool:
        roots = [id(_root(x)) for x in args if x.__class__ is CudaArray]
        return len(set(roots)) == len(roots)

    def _note(self, args: tuple[Any, ...]) -> tuple[R, Plan | None]:
        given = [_Passed(x, i) if self._passed >> i & 1 else x for i, x in enumerate(args)]
        with Recorder() as recorder:
            result = self._function(*given)
        return result, None if recorder.lost else _plan_of(args, result if isinstance(result, tuple) else (result,), recorder)


class _Passed(int):
    """An int argument that a function only passes on to kernels; one that does more with it has no plan."""

    index: int

    def __new__(cls, value: int, index: int) -> _Passed:
        made = super().__new__(cls, value)
        made.index = index
        return made


def _seen(name: str) -> Callable[..., Any]:
    def compute(self: Any, *others: Any) -> Any:
        lose()  # what comes of it would be this call's in every call
        return getattr(int, name)(self, *others)

    return compute


for _name in (
    "add radd sub rsub mul rmul floordiv rfloordiv truediv rtruediv mod rmod divmod rdivmod pow rpow lshift rlshift rshift rrshift and rand or ror "
    "xor rxor neg pos abs invert lt le gt ge eq ne bool int float"
).split():
    setattr(_Passed, f"__{_name}__", _seen(f"__{_name}__"))


def planned(function: Callable[..., R]) -> Planned[R]:
    """A decorator; see the module."""
    return _Planned(function, 0)


def planned_but_for(*names: str) -> Callable[[Callable[..., R]], Planned[R]]:
    """As :func:`planned`, where arguments of these names are ints that differ from call to call, and that nothing is done with but to pass
    them on to kernels."""

    def decorate(function: Callable[..., R]) -> Planned[R]:
        order = list(inspect.signature(function).parameters)
        return _Planned(function, sum(1 << order.index(name) for name in names))

    return decorate


def _here(args: Sequence[Any]) -> bool:
    """Whether all arrays are on the current device, to which plans belong."""
    return context.only == context.device or all(x.device == context.device for x in args if x.__class__ is CudaArray)


def _root(x: Any) -> Any:
    base = x.base
    return x if base is None else base


def _plan_of(args: tuple[Any, ...], results: tuple[Any, ...], recorder: Recorder) -> Plan | None:
    """The words of a plan, and what they point to; None where a launch takes memory of which it can't be told what will be in it."""
    pieces = [id(x) for x in recorder.made]
    if not 0 < len(recorder.launches) <= _MOST_LAUNCHES or len(pieces) > MOST_TAKEN:
        return None
    places = {id(_root(x)): i for i, x in enumerate(args) if x.__class__ is CudaArray}
    known = [a for a in (*args, *recorder.made) if a.__class__ is CudaArray and a.nbytes]
    lasting = {id(x) for x in recorder.lasting}
    keep: list[Any] = [[launch.what for launch in recorder.launches], recorder.lasting]

    def parameter(x: Any) -> Parameter | None:
        if x.__class__ is _Passed:
            return INT, x.index, 0
        if x.__class__ is not CudaArray:
            return None if x.__class__ is int and any(_lies_in(x, a) for a in known) else number(x)
        root, address = _root(x), address_of(x)
        if id(root) in pieces:
            return MEMORY, pieces.index(id(root)), address - address_of(root)
        same = places.get(id(root))
        if same is not None:
            return ARGUMENT, same, address - address_of(args[same])
        return (WORD, address, 0) if id(root) in lasting else None

    words = [x.nbytes for x in recorder.made]
    for launch in recorder.launches:
        parameters = [parameter(x) for x in launch.arguments]
        if None in parameters or len(parameters) > MOST_PARAMETERS:
            return None
        if launch.kind == FILLED:
            kind, index, offset = parameters[0] or (0, 0, 0)
            if kind != MEMORY or offset:
                return None
            words += [FILLED, index, *launch.sizes]
        else:
            words += kernel_words(launch, parameters)
    for x in results:
        given = result_words(x, args, pieces)
        if given is None:
            return None
        words += given
        keep.append(x.dtype)
    keep += [x.dtype for x in args if x.__class__ is CudaArray]
    given_back = [w for x in results if (w := _piece_of(x, pieces)) is not None]
    if len(set(given_back)) != len(given_back):
        return None
    mode = 0 if recorder.mode is None else recorder.mode + 1
    return [len(pieces), len(results), len(recorder.launches), int(recorder.noted), mode], words, keep


def _lies_in(address: int, array: CudaArray) -> bool:
    """Whether an int may be an address in an array's memory, which would be another one at another time."""
    root = _root(array)
    return bool(0 <= address - address_of(root) < root.nbytes)


def number(x: Any) -> Parameter:
    """A number, or None, as a parameter."""
    if isinstance(x, np.float32):
        return FLOAT32, int(x.view(np.int32)), 0
    if isinstance(x, float):
        return FLOAT64, as_word(float(x)), 0
    return WORD, 0 if x is None else int(x), 0


def kernel_words(launch: Launch, parameters: Sequence[Any]) -> list[int]:
    """The words of what is launched with parameters."""
    return [launch.kind, launch.handle, *map(int, launch.sizes), len(parameters), *(word for p in parameters for word in p)]


def _piece_of(x: Any, pieces: list[int]) -> int | None:
    return pieces.index(id(_root(x))) if id(_root(x)) in pieces else None


def result_words(x: Any, args: Sequence[Any], pieces: list[int]) -> list[int] | None:
    """The words of a result: an argument, or the whole of a piece of memory; else None."""
    if x.__class__ is not CudaArray:
        return None
    given = next((i for i, a in enumerate(args) if a is x), None)
    if given is not None:
        return [0, id(x.dtype), ARGUMENT, given]
    piece, root = _piece_of(x, pieces), _root(x)
    if piece is None or address_of(x) != address_of(root) or x.nbytes != root.nbytes or min(x.strides, default=0) < 0:
        return None
    return [x.ndim, id(x.dtype), MEMORY, piece, *x.shape, *x.strides]
