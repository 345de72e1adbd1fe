"""Views made by native code, where one like it was made before.

A view's shape, strides and place follow from the layout of what it shows and from the arguments. So the first call with arguments of a
kind runs in Python, and what came out of it is kept as a plan; the next ones make array, tensor, :class:`~tapegrad.views.View` and the
tape's entry by it without the interpreter, unless something listens.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from .device import BACKENDS
from .graph import CALL_SLOTS, Call
from .kernels.cpu import views
from .kernels.native.objects import slots_of
from .kernels.native.plans import Plans, key_of
from .kernels.once import once
from .storage import ROOM, Views, forget_dead, tick
from .tensor import TENSOR_SLOTS, Tensor
from .views import View

_NAME = sys.intern("_views")  # of the attribute of a storage


def _control() -> list[int]:
    classes = {Tensor: TENSOR_SLOTS, View: View.__slots__, Views: Views.__slots__, Call: CALL_SLOTS}
    return views.control([(kind, slots_of(kind, *slots)) for kind, slots in classes.items()], _NAME, ROOM, tick, forget_dead)


class Shown:
    """A function that makes views, ``function(input, *args, **names)``; keywords only say what to call it in messages.

    ``quick(input, local.flags, *args)`` is its native form, which returns None where it has no plan.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._plans = Plans(views.show, _control)

    def __call__(self, input: Tensor, *args: Any, **names: Any) -> Tensor:
        made = self._function(input, *args, **names)
        array, view = input._array, made._base
        if view is not None and made._storage is input._storage and view.above is input._base and array.__class__ in BACKENDS:
            key = key_of((array, *args), array.__class__) if self._plans.wanted() else None
            if key is not None:
                self._learn(key, array, made._array, view)
        return made

    @once
    def quick(self) -> Callable[..., Any]:
        return self._plans.quick()

    def _learn(self, key: tuple[int, ...], source: Any, result: Any, view: View) -> None:
        back = view.op.plans[(True,)] if view.op.vjp else None
        keep = [source.dtype, view.op, view.params, back, result.shape]
        words = [result.ndim, result.ctypes.data - source.ctypes.data, id(view.op), id(view.params), 0 if back is None else id(back), id(keep[-1])]
        self._plans.add(key, words, [*result.shape, *result.strides], keep)
