"""Plans of what functions launch, and the native code that goes by them: it makes the arrays and launches, without the interpreter.

A plan is found by the layouts of the arrays, the values of the parameters, the device, and the precision allowed (see
``native.plans``). Memory that a plan takes for values between its launches goes back when they are launched, since later work of the stream
comes after them.
"""

from __future__ import annotations

from ..native import plans, runtime as rt
from ..native.call import none
from ..native.plans import MOST_ARGUMENTS, MOST_WORDS, describe, find
from ..native.words import call, float32_bits, float_bits, get, load, put, stack_words
from .drivers.thread import BLAS, BLAS_DEVICE, BLAS_MODE, BLAS_STREAM, DEVICE, STREAM
from .launching import FLOAT32, FLOAT64, SIZES, WORD, launch
from .new_array import array_on, memory_for, owner_of, ready, succeeded
from .pieces import MOST_DEVICES, device_at, give
from .recording import FILLED, PRODUCT
from .state import BLAS_FAILED, CLASS, FILL, NOTE, RECORDERS, SET_BLAS, SETTINGS, SEVERAL, thread_of, told

# Words of the control block after the table: the backend's block, the arguments whose numbers are not part of the key, and those of them
# that are ints of any size.
STATE, NUMBERS, INTS = range(plans.MORE, plans.MORE + 3)
# Of a plan: the pieces of memory that it takes, the results (of which several are a tuple), its launches, whether kernels may note errors,
# and the mode that products need cuBLAS to be in, plus one (0: there are none). After the key: the sizes of the pieces; of each launch KERNEL
# or PRODUCT, its handle or function, sizes and the number of parameters, then of each of them what it is, a number or an index, and bytes
# ahead, or FILLED, the number of a piece, a byte and the number of bytes; of each result the rank, the dtype, what it is, the index, the
# shape, and the strides.
TAKEN, RETURNED, LAUNCHES, NOTED, MODE = range(plans.FREE, plans.FREE + 5)
# What a parameter is: a word, float32 or float64 as it is (see ``launching``), an argument's or a piece's address, or an argument's number.
ARGUMENT, MEMORY, FLOAT_AS_32, FLOAT_AS_64, INT_AS_32, INT_AS_64, INT = range(3, 10)
MOST_TAKEN, MOST_PARAMETERS = 12, 80
GEMM = 18  # parameters of cublasGemmEx beside the handle; the other function is cublasGemmStridedBatchedEx


def _product(function: int, blas: int, values: int, count: int) -> int:
    """Native code: what cuBLAS's function returns, an int."""
    if count == GEMM:
        return call(
            function, blas, get(values, 0), get(values, 1), get(values, 2), get(values, 3), get(values, 4), get(values, 5), get(values, 6),
            get(values, 7), get(values, 8), get(values, 9), get(values, 10), get(values, 11), get(values, 12), get(values, 13), get(values, 14),
            get(values, 15), get(values, 16), get(values, 17),
        )  # fmt: skip
    return call(
        function, blas, get(values, 0), get(values, 1), get(values, 2), get(values, 3), get(values, 4), get(values, 5), get(values, 6),
        get(values, 7), get(values, 8), get(values, 9), get(values, 10), get(values, 11), get(values, 12), get(values, 13), get(values, 14),
        get(values, 15), get(values, 16), get(values, 17), get(values, 18), get(values, 19), get(values, 20), get(values, 21),
    )  # fmt: skip


def _launches(
    state: int, at: int, count: int, stream: int, blas: int, data: int, taken: int, values: int, pointers: int, kinds: int
) -> int:
    """Do the launches that are written down at ``at``; the driver's result, or cuBLAS's in the upper half. Both are C's ints: of the words
    that they come in, the lower half counts."""
    for _ in range(count):
        code = get(at, 0)
        if code == FILLED:
            result = call(get(state, FILL), get(taken, get(at, 1)), get(at, 2), get(at, 3), stream) & 0xFFFFFFFF
            at += 32
        else:
            handle, sizes, parameters = get(at, 1), at + 16, get(at, 2 + SIZES)
            at += 8 * (3 + SIZES)
            put(kinds, 0, parameters)
            for p in range(parameters):
                kind, value = get(at, 0), get(at, 1)
                what = kind
                if kind == ARGUMENT:
                    value, what = get(data, value) + get(at, 2), WORD
                elif kind == MEMORY:
                    value, what = get(taken, value) + get(at, 2), WORD
                elif kind == FLOAT_AS_32:
                    value, what = float32_bits(get(data, value)), FLOAT32
                elif kind == FLOAT_AS_64:
                    value, what = get(data, value), FLOAT64
                elif kind == INT_AS_32:
                    value, what = float32_bits(float_bits(get(data, value))), FLOAT32
                elif kind == INT_AS_64:
                    value, what = float_bits(get(data, value)), FLOAT64
                elif kind == INT:
                    value, what = get(data, value), WORD
                put(values, p, value)
                put(kinds, p + 1, what)
                at += 24
            if code == PRODUCT:
                result = _product(handle, blas, values, parameters) << 32
            else:
                result = launch(state, handle, sizes, stream, values, pointers, kinds) & 0xFFFFFFFF
        if result != 0:
            return result
    return 0


def _blas_ready(state: int, thread: int, mode: int) -> int:
    """Native code: whether cuBLAS is set to the thread's device and stream and to a mode, after Python was asked to; 0 with an exception set."""
    if get(thread, BLAS_DEVICE) == get(thread, DEVICE) and get(thread, BLAS_STREAM) == get(thread, STREAM) and get(thread, BLAS_MODE) == mode:
        return 1
    return told(state, SET_BLAS, mode)


def _here(state: int, device: int, args: int, nargs: int) -> int:
    """Whether all arrays are on a device."""
    for i in range(nargs):
        x = get(args, i)
        if load(x + rt.TYPE) == get(state, CLASS):
            owner = owner_of(state, x)
            if owner == 0 or device_at(state, load(owner + rt.DATA)) != device:
                return 0
    return 1


def _end_of_launches(at: int, count: int) -> int:
    for _ in range(count):
        at += 32 if get(at, 0) == FILLED else 8 * (3 + SIZES) + 24 * get(at, 2 + SIZES)
    return at


def replay(self: int, args: int, nargs: int) -> int:
    """The builtin: what the plan for such arguments gives, or None where there is none."""
    control = load(self + rt.DATA)
    runtime, state = load(control), get(control, STATE)
    thread = thread_of(state)
    if nargs > MOST_ARGUMENTS or thread == 0 or get(state, RECORDERS) != 0 or get(runtime, rt.RECORDERS) != 0:
        return none(runtime)
    device, stream = get(thread, DEVICE), get(thread, STREAM)
    key, data = stack_words(MOST_WORDS + 1), stack_words(MOST_ARGUMENTS)
    length = describe(runtime, get(state, CLASS), 15, get(control, NUMBERS), get(control, INTS), 0, args, nargs, key, data)
    plan = 0
    if length >= 0:
        put(key, length, device + get(state, SETTINGS) * MOST_DEVICES)
        length += 1
        plan = find(get(control, plans.TABLE), key, length)
    if plan == 0 or (get(state, SEVERAL) != 0 and _here(state, device, args, nargs) == 0):
        return none(runtime)
    taken, count, done = stack_words(MOST_TAKEN), get(plan, TAKEN), 0
    at = plan + 8 * (plans.HEAD + length)
    while done < count:
        address = memory_for(state, device, stream, get(at, done))
        if address == 0:
            break
        put(taken, done, address)
        done += 1
    good = 0
    if done == count:
        good = 1
        if get(plan, MODE) != 0:
            good = _blas_ready(state, thread, get(plan, MODE) - 1)
    if good != 0:
        good = ready(state, thread)  # after what may run Python, which may have used another device
    if good != 0:
        at += 8 * count
        values, pointers, kinds = stack_words(MOST_PARAMETERS), stack_words(MOST_PARAMETERS), stack_words(MOST_PARAMETERS + 1)
        saved = call(get(runtime, rt.SAVE_THREAD))
        result = _launches(state, at, get(plan, LAUNCHES), stream, get(thread, BLAS), data, taken, values, pointers, kinds)
        call(get(runtime, rt.RESTORE_THREAD), saved)
        at = _end_of_launches(at, get(plan, LAUNCHES))
        if result >> 32 != 0:
            told(state, BLAS_FAILED, result >> 32)
            good = 0
        else:
            good = succeeded(state, result)
        if good != 0 and get(plan, NOTED) != 0:
            good = call(get(runtime, rt.VECTORCALL), get(state, NOTE), 0, 0, 0)
            if good != 0:
                call(get(runtime, rt.DECREF), good)
    returned, made = get(plan, RETURNED), 0
    if good != 0 and returned > 1:
        made = call(get(runtime, rt.TUPLE_NEW), returned)
        good = made
    k = 0
    while good != 0 and k < returned:
        ndim, dtype, kind, index = get(at, 0), get(at, 1), get(at, 2), get(at, 3)
        if kind == ARGUMENT:
            good = get(args, index)
            call(get(runtime, rt.INCREF), good)
        else:
            good = array_on(state, ndim, at + 32, at + 32 + 8 * ndim, dtype, get(taken, index))
            put(taken, index, 0)  # it has an owner
        if good != 0 and returned > 1:
            call(get(runtime, rt.TUPLE_SET), made, k, good)
        elif good != 0:
            made = good
        at += 8 * (4 + 2 * ndim)
        k += 1
    for k in range(done):
        if get(taken, k) != 0:
            give(state, get(taken, k))
    if good == 0 and made != 0:
        call(get(runtime, rt.DECREF), made)
        made = 0
    return made
