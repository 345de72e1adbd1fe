"""Making small Python objects fast: instances of classes with ``__slots__``, filled by native code."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from . import runtime as rt
from .call import builtin
from .words import call, get, load, store

_RUNTIME, _CLASS, _COUNT, _OFFSETS = range(4)  # words of the control block
_MEMBER, _OFFSET = rt.HEADER + 24, 16  # in a slot's descriptor: its PyMemberDef; in that: where the slot is


def _make(self: int, args: int, nargs: int) -> int:
    control = load(self + rt.DATA)
    runtime = load(control)
    made = call(get(runtime, rt.GENERIC_ALLOC), get(control, _CLASS), 0)
    if made != 0:
        for i in range(get(control, _COUNT)):
            value = get(runtime, rt.NONE)
            if i < nargs:
                value = get(args, i)
            call(get(runtime, rt.INCREF), value)
            store(made + get(control, _OFFSETS + i), value)
    return made


@functools.cache
def maker(kind: type, *slots: str) -> Callable[..., Any]:
    """``make(*values)``: an instance of the class with these slots set, in order; to None where there are fewer values.

    As ``kind.__new__`` and assignments, and several times as fast; ``__init__`` is not called.

    Raises:
        TypeError: as :func:`slots_of`.
    """
    offsets = slots_of(kind, *slots)
    return builtin(_make, np.array([rt.address, id(kind), len(slots), *offsets], np.int64))


def slots_of(kind: type, *slots: str) -> list[int]:
    """Where objects of a class have these slots.

    Raises:
        TypeError: for what is no slot of the class.
    """
    for name in slots:
        if type(getattr(kind, name, None)).__name__ != "member_descriptor":
            raise TypeError(f"{name!r} is not a slot of {kind.__name__}")
    offsets = [_word(_word(id(getattr(kind, name)) + _MEMBER) + _OFFSET) for name in slots]
    new: Any = kind.__new__
    probe = new(kind)
    for name, offset in zip(slots, offsets, strict=True):
        setattr(probe, name, value := object())
        if not 0 < offset < kind.__basicsize__ or _word(id(probe) + offset) != id(value):
            raise ImportError("tapegrad cannot find the slots of objects of this interpreter: unknown layout (please report)")
    return offsets


def _word(address: int) -> int:
    return int(ctypes.c_int64.from_address(address).value)
