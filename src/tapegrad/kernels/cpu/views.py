"""The native function that makes views as tensors: the array, the tensor, what is known of the view, and the tape's entry.

See :mod:`tapegrad.shown`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..native import plans, runtime as rt
from ..native.call import none
from ..native.plans import MOST_ARGUMENTS, MOST_WORDS, describe, find
from ..native.words import call, get, load, load32, put, stack_words, store

# Words of the control block after the table: classes, constants, functions, and where objects have their slots.
_TENSOR, _VIEW, _VIEWS, _CALL, _SLICE, _TRUE, _FALSE, _ZERO, _NO_ITEMS, _NAME, _MOST, _TICK, _FORGET = range(plans.MORE, plans.MORE + 13)
_IS_SUBTYPE, _GET_ATTRIBUTE, _SET_ATTRIBUTE, _NEW_ARRAY, _SET_BASE, _NEW_REFERENCE, _APPEND = range(_FORGET + 1, _FORGET + 8)
_ARRAY, _STORAGE, _BASE, _ENTRY, _GRAD, _ROOT, _ABOVE, _OP, _PARAMS, _TRACKED, _ROOM = range(_APPEND + 1, _APPEND + 12)
_SEQ, _CALL_OP, _EDGES, _SAVED, _CELLS, _CALL_SHAPE, _DTYPE, _CALL_PARAMS, _OUTPUTS, _EXTRA = range(_ROOM + 1, _ROOM + 11)
# Of a plan: the rank, where the data begins, the op, its parameters, how to differentiate it, and the shape as a tuple; after the key the
# shape and the strides.
_NDIM, _OFFSET, _BY, _WITH, _BACK, _SIZES = range(plans.FREE, plans.FREE + 6)
_FLAGS_KEPT = rt.ALIGNED | rt.WRITEABLE
_GIVEN = 2  # arguments of the builtin before those of the function


def control(classes: Sequence[tuple[type, Sequence[int]]], *objects: Any) -> list[int]:
    """The words of the control block, given Tensor, View, Views and Call with the places of their slots, the name of a storage's views, how
    many there may be at first, the clock, and what forgets dead ones. The caller keeps them alive."""
    constants = [id(x) for x in (slice, True, False, 0, (), *objects)]
    names = ("PyType_IsSubtype", "PyObject_GetAttr", "PyObject_SetAttr", "PyWeakref_NewRef", "PyList_Append")
    functions = [rt.c_function(name) for name in names]
    functions[3:3] = rt.numpy_function(94), rt.numpy_function(282)  # PyArray_NewFromDescr, PyArray_SetBaseObject
    return [*(id(kind) for kind, _ in classes), *constants, *functions, *(place for _, places in classes for place in places)]


def _fill(runtime: int, place: int, value: int) -> None:
    call(get(runtime, rt.INCREF), value)
    store(place, value)


def _views_of(control: int, runtime: int, storage: int) -> int:
    """A new reference to the list of a storage's views, with room in it; 0 with an exception set."""
    views = call(get(control, _GET_ATTRIBUTE), storage, get(control, _NAME))
    if views == get(runtime, rt.NONE):
        call(get(runtime, rt.DECREF), views)
        views = call(get(runtime, rt.GENERIC_ALLOC), get(control, _VIEWS), 0)
        if views != 0:
            _fill(runtime, views + get(control, _ROOM), get(control, _MOST))
            if call(get(control, _SET_ATTRIBUTE), storage, get(control, _NAME), views) & 0xFFFFFFFF != 0:
                call(get(runtime, rt.DECREF), views)
                return 0
    elif views != 0 and load(views + rt.COUNT) >= call(get(runtime, rt.LONG_AS_INT64), load(views + get(control, _ROOM))):
        given = stack_words(1)
        store(given, views)
        done = call(get(runtime, rt.VECTORCALL), get(control, _FORGET), given, 1, 0)
        if done == 0:
            call(get(runtime, rt.DECREF), views)
            return 0
        call(get(runtime, rt.DECREF), done)
    return views


def _make(control: int, runtime: int, source: int, array: int, above: int, storage: int, edge: int, flags: int, plan: int, length: int) -> int:
    """The view as a tensor; 0 with an exception set."""
    nothing = get(runtime, rt.NONE)
    ndim, shape, dtype = get(plan, _NDIM), plan + 8 * (plans.HEAD + length), load(array + rt.DESCR)
    call(get(runtime, rt.INCREF), dtype)
    flags_kept = load32(array + rt.FLAGS) & _FLAGS_KEPT
    place = load(array + rt.DATA) + get(plan, _OFFSET)
    result = call(get(control, _NEW_ARRAY), load(array + rt.TYPE), dtype, ndim, shape, shape + 8 * ndim, place, flags_kept, 0)
    if result == 0:
        return 0
    call(get(runtime, rt.INCREF), array)
    call(get(control, _SET_BASE), result, array)
    view, tensor = call(get(runtime, rt.GENERIC_ALLOC), get(control, _VIEW), 0), call(get(runtime, rt.GENERIC_ALLOC), get(control, _TENSOR), 0)
    views = _views_of(control, runtime, storage) if view != 0 and tensor != 0 else 0
    recorded = flags != 1 and edge != nothing and get(plan, _BACK) != 0
    entry, edges, seq = 0, 0, 0
    if recorded and views != 0:
        entry, edges = call(get(runtime, rt.GENERIC_ALLOC), get(control, _CALL), 0), call(get(runtime, rt.TUPLE_NEW), 1)
        seq = call(get(runtime, rt.VECTORCALL), get(control, _TICK), 0, 0, 0) if entry != 0 and edges != 0 else 0
    if views == 0 or (recorded and seq == 0):
        for made in (result, view, tensor, views, entry, edges):
            if made != 0:
                call(get(runtime, rt.DECREF), made)
        return 0
    root, tracked = source, flags == 0
    if above != nothing:
        root = load(above + get(control, _ROOT))
        tracked = tracked and load(above + get(control, _TRACKED)) == get(control, _TRUE)
    _fill(runtime, view + get(control, _ROOT), root)
    _fill(runtime, view + get(control, _ABOVE), above)
    _fill(runtime, view + get(control, _OP), get(plan, _BY))
    _fill(runtime, view + get(control, _PARAMS), get(plan, _WITH))
    _fill(runtime, view + get(control, _TRACKED), get(control, _TRUE) if tracked else get(control, _FALSE))
    store(tensor + get(control, _ARRAY), result)
    store(tensor + get(control, _BASE), view)
    _fill(runtime, tensor + get(control, _STORAGE), storage)
    _fill(runtime, tensor + get(control, _GRAD), nothing)
    if not recorded:
        _fill(runtime, tensor + get(control, _ENTRY), nothing)
    else:
        call(get(runtime, rt.INCREF), edge)
        store(edges + rt.ITEMS, edge)
        store(entry + get(control, _SEQ), seq)
        store(entry + get(control, _EDGES), edges)
        _fill(runtime, entry + get(control, _CALL_OP), get(plan, _BACK))
        _fill(runtime, entry + get(control, _SAVED), get(control, _NO_ITEMS))
        _fill(runtime, entry + get(control, _CELLS), get(control, _NO_ITEMS))
        _fill(runtime, entry + get(control, _CALL_SHAPE), get(plan, _SIZES))
        _fill(runtime, entry + get(control, _DTYPE), dtype)
        _fill(runtime, entry + get(control, _CALL_PARAMS), get(plan, _WITH))
        _fill(runtime, entry + get(control, _OUTPUTS), get(control, _ZERO))
        _fill(runtime, entry + get(control, _EXTRA), nothing)
        store(tensor + get(control, _ENTRY), entry)
    reference = call(get(control, _NEW_REFERENCE), tensor, 0)
    failed = reference == 0 or call(get(control, _APPEND), views, reference) & 0xFFFFFFFF != 0
    if reference != 0:
        call(get(runtime, rt.DECREF), reference)
    call(get(runtime, rt.DECREF), views)
    if failed:
        call(get(runtime, rt.DECREF), tensor)
        return 0
    return tensor


def show(self: int, args: int, nargs: int) -> int:
    """The builtin."""
    control = load(self + rt.DATA)
    runtime = load(control)
    source = get(args, 0)
    kind = load(source + rt.TYPE)
    if kind != get(control, _TENSOR) and call(get(control, _IS_SUBTYPE), kind, get(control, _TENSOR)) & 1 == 0:
        return none(runtime)
    flags = call(get(runtime, rt.LONG_AS_INT64), get(args, 1))
    array, above, storage = load(source + get(control, _ARRAY)), load(source + get(control, _BASE)), load(source + get(control, _STORAGE))
    edge = load(source + get(control, _ENTRY))
    if flags < 0 or flags > 1 or array == 0 or above == 0 or storage == 0 or edge == 0:
        return none(runtime)
    kind = load(array + rt.TYPE)
    if kind != get(runtime, rt.NDARRAY) and kind != get(runtime, rt.DEVICE_ARRAY):
        return none(runtime)
    given, key, data = stack_words(MOST_ARGUMENTS), stack_words(MOST_WORDS), stack_words(MOST_ARGUMENTS)
    count = nargs - _GIVEN + 1
    if count > MOST_ARGUMENTS:
        return none(runtime)
    put(given, 0, array)
    for i in range(1, count):
        put(given, i, get(args, i + _GIVEN - 1))
    length = describe(runtime, kind, 0, 0, 0, get(control, _SLICE), given, count, key, data)
    plan = find(get(control, plans.TABLE), key, length) if length >= 0 else 0
    if plan == 0:
        return none(runtime)
    # What this may run, as finalizers, may give the source another array or storage.
    for held in (array, above, storage, edge):
        call(get(runtime, rt.INCREF), held)
    made = _make(control, runtime, source, array, above, storage, edge, flags, plan, length)
    for held in (array, above, storage, edge):
        call(get(runtime, rt.DECREF), held)
    return made
