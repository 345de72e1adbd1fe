"""Plans of what functions launch on the CPU (see ``native.planned``).

``planned(function)`` is for functions that do all their work by launches, on their arguments, on arrays made by ``fresh`` and on
read-only tables of their own, and that let nothing but layouts and parameters decide which.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from ..native import plans, runtime as rt
from ..native.call import Launches, as_word, none, recorder, recording, run
from ..native.planned import Plan, Planned
from ..native.plans import MOST_ARGUMENTS, MOST_WORDS, Plans, describe, find, key_of
from ..native.words import call, get, load, put, stack_words
from .arrays import empty, new_array

# Words of a plan (see plans.py): the arrays it makes, how many of them it returns, its launches, and whether one needs threads. After the
# key: of each array the rank, the dtype and the shape; of each launch the kernel, n, grain, the number of its slots, and these: what kind
# it is, and which number, argument or array made.
_MADE, _RETURNED, _LAUNCHES, _THREADS = range(plans.FREE, plans.FREE + 4)
_NUMBER, _ARGUMENT, _NEW = range(3)
_MOST_MADE, _MOST_SLOTS = 8, 32
R = TypeVar("R")


def fresh(shape: int | tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """``empty(shape, dtype)``, for a result of a planned function or for values between its launches."""
    made = empty(shape, dtype)
    to = recorder()
    if to is not None:
        to.fresh.append(made)
    return made


def _replay(self: int, args: int, nargs: int) -> int:
    """The builtin: what the plan for such arguments gives, or None where there is none."""
    control = load(self + rt.DATA)
    runtime = load(control)
    if nargs > MOST_ARGUMENTS or get(runtime, rt.RECORDERS) != 0:
        return none(runtime)
    key, data = stack_words(MOST_WORDS), stack_words(MOST_ARGUMENTS)
    length = describe(runtime, get(runtime, rt.NDARRAY), 0, 0, 0, 0, args, nargs, key, data)
    plan = find(get(control, plans.TABLE), key, length) if length >= 0 else 0
    if plan == 0 or (get(plan, _THREADS) != 0 and get(runtime, rt.THREADS) > 1 and get(runtime, rt.PARALLEL_FOR) == 0):
        return none(runtime)
    made, slots, at, result, done = stack_words(_MOST_MADE), stack_words(_MOST_SLOTS), plan + 8 * (plans.HEAD + length), 0, 0
    for k in range(get(plan, _MADE)):
        ndim, dtype = get(at, 0), get(at, 1)
        call(get(runtime, rt.INCREF), dtype)
        array = new_array(runtime, ndim, at + 16, dtype, 0)
        if array == 0:
            break
        put(made, k, array)
        at += 8 * (2 + ndim)
        done += 1
    if done == get(plan, _MADE):
        for _ in range(get(plan, _LAUNCHES)):
            kernel, n, grain, count = get(at, 0), get(at, 1), get(at, 2), get(at, 3)
            at += 32
            for s in range(count):
                kind, value = get(at, 0), get(at, 1)
                if kind == _ARGUMENT:
                    value = get(data, value)
                elif kind == _NEW:
                    value = load(get(made, value) + rt.DATA)
                put(slots, s, value)
                at += 16
            run(runtime, kernel, slots, n, grain)
        returned = get(plan, _RETURNED)
        result = get(made, 0)
        call(get(runtime, rt.INCREF), result)
        if returned > 1:
            call(get(runtime, rt.DECREF), result)
            result = call(get(runtime, rt.TUPLE_NEW), returned)
            for k in range(returned if result != 0 else 0):
                call(get(runtime, rt.INCREF), get(made, k))
                call(get(runtime, rt.TUPLE_SET), result, k, get(made, k))
    for k in range(done):
        call(get(runtime, rt.DECREF), get(made, k))
    return result


class _Planned(Planned[R]):
    def _key(self, args: tuple[Any, ...]) -> tuple[int, ...] | None:
        return None if recording() else key_of(args)

    def _apart(self, args: tuple[Any, ...]) -> bool:
        starts = [x.ctypes.data for x in args if isinstance(x, np.ndarray)]
        return len(set(starts)) == len(starts)

    def _note(self, args: tuple[Any, ...]) -> tuple[R, Plan | None]:
        with Launches() as launches:
            result = self._function(*args)
        return result, _plan_of(args, result if isinstance(result, tuple) else (result,), launches)


def planned(function: Callable[..., R]) -> Planned[R]:
    """A decorator; see the module."""
    return _Planned(function, Plans(_replay))


def _plan_of(args: tuple[Any, ...], results: tuple[Any, ...], launches: Launches) -> Plan | None:
    """The words of the plan, and what they point to; None where a launch takes memory of which it can't be told what will be in it."""
    made = [*results, *(x for x in launches.fresh if not any(x is r for r in results))]
    if not launches.rows or len(made) > _MOST_MADE or not all(any(r is x for x in launches.fresh) for r in results):
        return None
    head = [len(made), len(results), len(launches.rows), int(any(n > grain for _, n, grain, _ in launches.rows))]
    words: list[int] = []
    for x in made:
        words += [x.ndim, id(x.dtype), *x.shape]
    keep: list[Any] = [x.dtype for x in (*made, *args) if isinstance(x, np.ndarray)]
    for kernel, n, grain, slots in launches.rows:
        if len(slots) > _MOST_SLOTS:
            return None
        words += [kernel, n, grain, len(slots)]
        for slot in slots:
            if not isinstance(slot, np.ndarray):
                words += [_NUMBER, as_word(slot)]
            elif (place := _place(slot, args)) is not None:
                words += [_ARGUMENT, place]
            elif (place := _place(slot, made)) is not None:
                words += [_NEW, place]
            elif slot.base is None and not slot.flags.writeable:
                words += [_NUMBER, slot.ctypes.data]
                keep.append(slot)
            else:
                return None
    return head, words, keep


def _place(array: Any, among: Any) -> int | None:
    """Which of these arrays has the same memory, from its start."""
    return next((i for i, x in enumerate(among) if isinstance(x, np.ndarray) and (x is array or _starts_alike(array, x))), None)


def _starts_alike(view: Any, x: Any) -> bool:
    return view.base is not None and (view.base is x or view.base is x.base) and view.ctypes.data == x.ctypes.data
