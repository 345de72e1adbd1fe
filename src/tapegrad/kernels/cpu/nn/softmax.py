"""softmax, log_softmax and cross_entropy with their gradients: fused, stable, float32 and float64.

Arrays of any strides in (copied unless C-contiguous), C-contiguous arrays out. A lane is the unit of parallel work and
is summed in a fixed tree, so the bits never depend on the number of threads.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ...narrow import is_narrow, widen
from ...native import cache, runtime as rt
from ...native.call import launcher
from ..arrays import empty
from ..reduction.layout import TILE_BYTES, along, contiguous

Array = np.ndarray[Any, np.dtype[Any]]

_GRAIN = 16384  # elements below which one thread is faster
_NAMES = {np.dtype(name): name for name in ("float32", "float64")}  # NumPy takes 2 us to name a dtype


@functools.cache
def _kernel(name: str, *args: Any) -> int:
    def build() -> Any:
        from . import softmax_kernels

        return getattr(softmax_kernels, name)(*args)

    return cache.native(f"softmax:{name}:{args}", build, translated=True)


@functools.lru_cache(maxsize=4096)
def _plan(kind: str, shape: tuple[int, ...], axis: int, dtype: np.dtype[Any]) -> tuple[int, int, int, tuple[int, ...]]:
    """(kernel, units, grain, sizes for the kernel)."""
    outer, n, inner = along(shape, axis)
    units = outer * -(-inner // (TILE_BYTES // dtype.itemsize))
    if outer * n * inner == 0:
        return 0, 0, 0, ()
    grain = max(1, _GRAIN * units // (outer * n * inner))
    if inner == 1:
        return _kernel("lanes", kind, dtype.name), units, grain, (n,)
    return _kernel("columns", kind, dtype.name), units, grain, (n, inner)


def _along_axis(kind: str, a: Array, b: Array | None, axis: int) -> Array:
    a = contiguous(a)
    b = a if b is None else contiguous(b)
    out = empty(a.shape, a.dtype)
    kernel, units, grain, sizes = _plan(kind, a.shape, axis, a.dtype)
    if units:
        if units > grain:
            rt.start_threads()
        launcher()(kernel, units, grain, a, b, out, *sizes)
    return out


def softmax(x: Array, axis: int) -> Array:
    """exp(x) / sum(exp(x)) along an axis; NaN in a lane that has NaN or inf, or nothing but -inf, as in PyTorch."""
    return _along_axis("softmax", x, None, axis)


def log_softmax(x: Array, axis: int) -> Array:
    """x - log(sum(exp(x))) along an axis; NaN where ``softmax`` is."""
    return _along_axis("log_softmax", x, None, axis)


def softmax_backward(g: Array, y: Array, axis: int) -> Array:
    """y * (g - sum(g * y)): the gradient of softmax, whose result was ``y``; shapes and dtypes equal."""
    return _along_axis("softmax_backward", g, y, axis)


def log_softmax_backward(g: Array, y: Array, axis: int) -> Array:
    """g - exp(y) * sum(g): the gradient of log_softmax, whose result was ``y``; shapes and dtypes equal."""
    return _along_axis("log_softmax_backward", g, y, axis)


def cross_entropy(
    logits: Array, target: Array, weight: Array | None, ignore_index: int, label_smoothing: float
) -> tuple[Array, Array]:
    """Losses of the rows of (n, c) logits and their logsumexps, both (n,), for int64 targets (n,).

    A loss is weight[target] * (logsumexp - logits[target]), mixed with the same of all classes when smoothed, and 0
    where the target is ``ignore_index``. ``weight`` (c,) has the logits' dtype. The caller checks that targets are in
    range; one that is not is clamped.
    """
    losses, level = empty(len(logits), logits.dtype), empty(len(logits), logits.dtype)
    _loss_rows(logits, target, weight, losses, level, 0, ignore_index, label_smoothing)
    return losses, level


def reduced_cross_entropy(
    logits: Array, target: Array, weight: Array | None, ignore_index: int, label_smoothing: float, mean: bool
) -> tuple[Array, Array, Array]:
    """(loss, logsumexps, divisor): the sum of the losses of ``cross_entropy``, or their mean weighted as their targets are.

    16-bit logits are computed in float32, and the last two stay in it.
    """
    if is_narrow(logits.dtype):
        loss, level, divisor = reduced_cross_entropy(
            widen(logits), target, None if weight is None else widen(weight), ignore_index, label_smoothing, mean
        )
        return loss.astype(logits.dtype), level, divisor
    n, dtype = len(logits), logits.dtype
    losses, level, loss, divisor = empty(n, dtype), empty(n, dtype), empty((), dtype), empty((), dtype)
    if logits.size == 0:
        loss.fill(np.nan if mean else 0)
        divisor.fill(0)
        return loss, level, divisor
    counts: Any = empty(n, dtype) if mean else 0
    _loss_rows(logits, target, weight, losses, level, counts, ignore_index, label_smoothing)
    launcher()(_kernel("loss_of_rows", _NAMES[dtype]), 1, 1, losses, counts, loss, divisor, n)
    return loss, level, divisor


def _loss_rows(
    logits: Array, target: Array, weight: Array | None, losses: Array, level: Array, counts: Any, ignore_index: int, smoothing: float
) -> None:
    logits = contiguous(logits)
    slots = (logits, contiguous(target), 0 if weight is None else contiguous(weight), losses, level, counts)
    _launch_rows("cross_entropy", logits, weight is None and smoothing == 0, *slots, logits.shape[1], ignore_index, float(smoothing))


def cross_entropy_backward(
    g_rows: Array,
    logits: Array,
    target: Array,
    logsumexp: Array,
    weight: Array | None,
    ignore_index: int,
    label_smoothing: float,
) -> Array:
    """The gradient (n, c) of ``cross_entropy`` with respect to its logits, from the gradients (n,) of its losses."""
    g_rows, logits, target, logsumexp = map(contiguous, (g_rows, logits, target, logsumexp))
    out = empty(logits.shape, logits.dtype)
    _launch_rows(
        "cross_entropy_backward",
        logits,
        weight is None and label_smoothing == 0,
        *(g_rows, logits, target, logsumexp, 0 if weight is None else contiguous(weight), out),
        *(logits.shape[1], ignore_index, float(label_smoothing)),
    )
    return out


def cross_entropy_weights(
    logits: Array, target: Array, weight: Array | None, ignore_index: int, label_smoothing: float
) -> Array:
    """What each row counts for in ``cross_entropy``, (n,): its class weights mixed as its losses are, 0 where it is ignored."""
    target, out = contiguous(target), empty(len(logits), logits.dtype)
    slots = (target, 0 if weight is None else contiguous(weight), out, logits.shape[1], ignore_index, float(label_smoothing))
    if out.size and logits.shape[1]:
        if len(out) > _GRAIN:
            rt.start_threads()
        launcher()(_kernel("cross_entropy_weights", logits.dtype.name), len(out), _GRAIN, *slots)
    return out


def _launch_rows(name: str, logits: Array, plain: bool, *slots: Any) -> None:
    """Run a kernel whose units are rows; ``plain``: there are no weights and no smoothing."""
    rows, classes = logits.shape
    if rows == 0 or classes == 0:
        return
    grain = max(1, _GRAIN // classes)
    if rows > grain:
        rt.start_threads()
    launcher()(_kernel(name, _NAMES[logits.dtype], plain), rows, grain, *slots)
