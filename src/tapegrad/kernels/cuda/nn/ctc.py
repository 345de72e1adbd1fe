"""Connectionist temporal classification: sums over alignments, in log space; a block goes through the times of one sequence.

The states of a sequence are its labels with blanks between and around them: state s is label s // 2 where s is odd, else blank.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...narrow import in_float32
from .. import errors, language as L
from ..array import CudaArray, contiguous, empty, to_device, zeros
from ..context import blocks_for
from ..elements import type_of
from ..index.places import as_int64
from ..kernel import family
from ..language import cuda, device, int64

_INT64 = np.dtype(np.int64)
_DTYPES = ("float32", "float64")
_THREADS = L.BLOCK


def _functions(dtype: str) -> tuple[Any, Any]:
    """The type, and log(exp(a) + exp(b))."""
    T, exp, log1p, infinity = type_of(dtype), L.exp, L.log1p, L.INF

    @device
    def logaddexp(a, b):  # type: ignore[no-untyped-def]
        high, low = max(a, b), min(a, b)
        if low == T(-infinity):
            return high
        return high + log1p(exp(low - high))

    return T, logaddexp


@device
def _class_of(targets, n, labels, s, blank):  # type: ignore[no-untyped-def]
    """The class of state s of sequence n."""
    return targets[n * labels + s // 2] if s % 2 == 1 else blank


@family(threads=_THREADS, dtype=_DTYPES)
def forward(dtype: str) -> Any:
    T, logaddexp = _functions(dtype)
    class_of, infinity = _class_of, L.INF

    def kernel(x, targets, lengths, counts, alpha, loss, times, labels, classes, blank):  # type: ignore[no-untyped-def]
        """alpha (times, n, states): of all ways to be in a state at a time, the sum; loss (n,): minus that of all ways through."""
        n, batch = int64(cuda.blockIdx.x), int64(cuda.gridDim.x)
        states, never = 2 * labels + 1, T(-infinity)
        count = counts[n]
        for t in range(times):
            row, before = (t * batch + n) * states, ((t - 1) * batch + n) * states
            s = int64(cuda.threadIdx.x)
            while s < states:
                here = class_of(targets, n, labels, s, blank)
                if t == 0:
                    reached = T(0) if s == 0 or (s == 1 and count > 0) else never
                else:
                    reached = alpha[before + s]
                    if s > 0:
                        reached = logaddexp(reached, alpha[before + s - 1])
                    if s > 1 and here != blank and here != class_of(targets, n, labels, s - 2, blank):
                        reached = logaddexp(reached, alpha[before + s - 2])
                alpha[row + s] = reached + x[(t * batch + n) * classes + here]
                s += cuda.blockDim.x
            cuda.syncthreads()
        if cuda.threadIdx.x == 0:
            length = lengths[n]
            likelihood = never
            if length > 0:
                row = ((length - 1) * batch + n) * states
                likelihood = alpha[row + 2 * count]
                if count > 0:
                    likelihood = logaddexp(likelihood, alpha[row + 2 * count - 1])
            elif count == 0:
                likelihood = T(0)
            loss[n] = -likelihood

    return kernel, f"{dtype}* int64* int64* int64* {dtype}* {dtype}*" + " int64" * 4


@family(threads=_THREADS, dtype=_DTYPES)
def backward(dtype: str) -> Any:
    T, logaddexp = _functions(dtype)
    class_of, infinity, exp = _class_of, L.INF, L.exp

    def kernel(g, x, targets, lengths, counts, loss, alpha, beta, share, times, labels, classes, blank):  # type: ignore[no-untyped-def]
        """share (times, n, states): minus g times the probability of each state at each time; beta (2, n, states) is working memory."""
        n, batch = int64(cuda.blockIdx.x), int64(cuda.gridDim.x)
        states, never = 2 * labels + 1, T(-infinity)
        count, length = counts[n], lengths[n]
        scale, level = T(0), T(0)
        if loss[n] - loss[n] == 0 or loss[n] != loss[n]:
            scale, level = g[n], loss[n]
        for step in range(times):
            t = times - 1 - step
            now, later = ((t % 2) * batch + n) * states, (((t + 1) % 2) * batch + n) * states
            emitted = ((t + 1) * batch + n) * classes
            s = int64(cuda.threadIdx.x)
            while s < states:
                reached = never
                if length == t + 1:
                    if s == 2 * count or s == 2 * count - 1:
                        reached = T(0)
                elif step > 0:
                    here = class_of(targets, n, labels, s, blank)
                    reached = beta[later + s] + x[emitted + here]
                    if s + 1 < states:
                        following = class_of(targets, n, labels, s + 1, blank)
                        reached = logaddexp(reached, beta[later + s + 1] + x[emitted + following])
                    if s + 2 < states:
                        following = class_of(targets, n, labels, s + 2, blank)
                        if following != blank and following != here:
                            reached = logaddexp(reached, beta[later + s + 2] + x[emitted + following])
                beta[now + s] = reached
                at = (t * batch + n) * states + s
                share[at] = -(scale * exp(alpha[at] + reached + level))
                s += cuda.blockDim.x
            cuda.syncthreads()

    return kernel, " ".join([f"{dtype}* {dtype}* int64* int64* int64*", *[f"{dtype}*"] * 4, *["int64"] * 4])


@family(threads=_THREADS)
def chains() -> Any:
    class_of = _class_of

    def kernel(targets, following, labels, blank, total):  # type: ignore[no-untyped-def]
        """following (n, states): the next state of the same class, or 0 for none; minus one less where an earlier state has the class."""
        i = int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        states = 2 * labels + 1
        while i < total:
            n = i // states
            s = i - n * states
            here = class_of(targets, n, labels, s, blank)
            first = True
            q = int64(0)
            while first and q < s:
                first = class_of(targets, n, labels, q, blank) != here
                q += 1
            found = int64(0)
            q = s + 1
            while found == 0 and q < states:
                if class_of(targets, n, labels, q, blank) == here:
                    found = q
                q += 1
            following[i] = found if first else -1 - found
            i += int64(cuda.gridDim.x) * cuda.blockDim.x

    return kernel, "int64* int64* int64 int64 int64"


@family(threads=_THREADS, dtype=_DTYPES)
def shares_of_classes(dtype: str) -> Any:
    class_of = _class_of

    def kernel(share, targets, following, out, batch, labels, classes, blank, total):  # type: ignore[no-untyped-def]
        """out (times, n, classes), zeros before: the shares of each class's states, summed up by the first of them."""
        i = int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        states = 2 * labels + 1
        while i < total:
            line = i // states
            s = i - line * states
            n = line % batch
            after = following[n * states + s]
            if after >= 0:
                found = share[i]
                while after > 0:
                    found += share[line * states + after]
                    after = following[n * states + after]
                    if after < 0:
                        after = -1 - after
                out[line * classes + class_of(targets, n, labels, s, blank)] = found
            i += int64(cuda.gridDim.x) * cuda.blockDim.x

    return kernel, f"{dtype}* int64* int64* {dtype}*" + " int64" * 5


@in_float32
def ctc(log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int) -> tuple[Any, Any, Any]:
    """The negative log-likelihoods (n,), twice, and the forward variables alpha (t, n, s), for log-probabilities (t, n, c).

    Of ``targets`` (n, l), the first ``target_lengths`` (n,) count. Graves et al., ICML 2006, section 4.1.
    """
    times, n, classes = log_probs.shape
    labels = targets.shape[1]
    alpha, loss = empty((times, n, 2 * labels + 1), log_probs.dtype), empty((n,), log_probs.dtype)
    if n:
        arrays = [contiguous(a) for a in (log_probs, targets, input_lengths, target_lengths)]
        forward(log_probs.dtype.name).launch(n, _threads(labels), *arrays, alpha, loss, times, labels, classes, blank)
    return loss, loss.copy(), alpha  # users may write to the first, backward needs the second


@in_float32
def ctc_backward(g: Any, log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, loss: Any, alpha: Any, blank: int) -> Any:
    """The gradient (t, n, c) of ``ctc``: minus the probability of each label at each time, given the targets."""
    times, n, classes = log_probs.shape
    out = zeros(log_probs.shape, log_probs.dtype)
    if out.size == 0:
        return out
    labels, states = targets.shape[1], 2 * targets.shape[1] + 1
    g, x, targets, lengths, counts, loss, alpha = [contiguous(a) for a in (g, log_probs, targets, input_lengths, target_lengths, loss, alpha)]
    beta, share, following = empty((2, n, states), x.dtype), empty((times, n, states), x.dtype), empty((n, states), _INT64)
    numbers = (times, labels, classes, blank)
    backward(x.dtype.name).launch(n, _threads(labels), g, x, targets, lengths, counts, loss, alpha, beta, share, *numbers)
    chains().launch(blocks_for(n * states, _THREADS), _THREADS, targets, following, labels, blank, n * states)
    kernel = shares_of_classes(x.dtype.name)
    kernel.launch(blocks_for(share.size, _THREADS), _THREADS, share, targets, following, out, n, labels, classes, blank, share.size)
    return out


def _threads(labels: int) -> int:
    return min(_THREADS, -(-(2 * labels + 1) // 32) * 32)


# -------------------------------------------------------------------------------------------------------------- labels


@family(threads=_THREADS)
def padded_labels() -> Any:
    report = errors.report

    def kernel(targets, starts, counts, labels, words, code, most, classes, blank, total):  # type: ignore[no-untyped-def]
        """labels[n, k]: targets[starts[n] + k], but blank from counts[n] on."""
        i = int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        while i < total:
            n = i // most
            k = i - n * most
            label = int64(blank)
            if k < counts[n]:
                label = targets[starts[n] + k]
                if not 0 <= label < classes:
                    report(words, code, label, classes)
                    label = int64(blank)
            labels[i] = label
            i += int64(cuda.gridDim.x) * cuda.blockDim.x

    return kernel, "int64* int64* int64* int64* int64*" + " int64" * 5


def ctc_labels(targets: Any, counts: Any, classes: int, blank: int) -> Any:
    """Labels (n, most) from targets (n, s), or from those of all sequences in one row; blank behind the ``counts`` (n,), of the host, of
    each. What is no class is noted (see ``errors``)."""
    most = int(counts.max(initial=0))
    out = empty((len(counts), most), _INT64)
    if out.size:
        starts = np.cumsum(counts) - counts if targets.ndim == 1 else np.arange(len(counts)) * targets.shape[1]
        given: CudaArray = as_int64(targets)
        arrays = (given, to_device(starts.astype(np.int64)), to_device(counts), out, errors.words())
        numbers = (errors.operation("ctc_loss"), most, classes, blank, out.size)
        padded_labels().launch(blocks_for(out.size, _THREADS), _THREADS, *arrays, *numbers)
    return out
