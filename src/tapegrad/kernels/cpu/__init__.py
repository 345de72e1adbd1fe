"""The CPU backend: what ops may call. Arrays in, arrays out."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..body import Body
from ..narrow import in_float32
from ..native.call import Launches, Steps, recording, replay_address
from ..native.runtime import address as runtime_address, get_num_threads, set_num_threads
from .arrays import empty as empty, new_empty as new_empty, zeros as zeros
from .complex_parts import as_pairs, from_pairs, imaginary_part, join_parts, real_part
from .elementwise import copy, learn, run as elementwise
from .fast import Fast
from .index.index import (
    add_at,
    combine_at,
    count_at,
    flat_index,
    from_start,
    gather,
    grid,
    last_written,
    nonzero,
    number,
    one_hot,
    pick,
    put,
    scatter_at,
    scatter_rows,
    settled,
    true_count,
)
from .index.scatter import take
from .index.shape import add_strided, add_windows, diagonal, expand, place_diagonal, roll, spread, strided, tril, triu, windows
from .index.sort import bincount, histc, isin, searchsorted, sort, span, unique, unique_consecutive
from .linalg.matmul import matmul, matmul_add as _matmul_add
from .linalg.triangular import cholesky, solve_triangular
from .memory import empty_cache as empty_cache, memory_stats as memory_stats, set_cache_limit as set_cache_limit
from .nn.attention import attention, attention_backward, masked_softmax as _masked_softmax
from .nn.classes import class_factors, class_indices, label_pairs, margin_factors, mean_divisor
from .nn.ctc import ctc, ctc_backward, ctc_labels, last_states, may_skip, with_blanks
from .nn.embedding import SPARE_BAGS, bag_maxima, bag_sizes, bags_of_offsets, bags_of_rows, share_rows, without_row
from .nn.norm import standardize, standardize_backward
from .nn.recurrent import recurrent as _recurrent, recurrent_backward as _recurrent_backward
from .nn.softmax import (
    cross_entropy as _cross_entropy,
    cross_entropy_backward as _cross_entropy_backward,
    cross_entropy_weights as _cross_entropy_weights,
    log_softmax as _log_softmax,
    log_softmax_backward as _log_softmax_backward,
    reduced_cross_entropy,
    softmax as _softmax,
    softmax_backward as _softmax_backward,
)
from .optim import Counters as Counters, Updated as Updated, update_kernel as update_kernel
from .random.distributions import (
    bernoulli as random_bernoulli,
    cauchy as random_cauchy,
    choices as random_choices,
    exponential as random_exponential,
    geometric as random_geometric,
    log_normal as random_log_normal,
    normal_around as random_normal_around,
    poisson as random_poisson,
    uniform_between as random_uniform_between,
)
from .random.dropout import dropout
from .random.gamma import log_gamma as random_log_gamma, log_gamma_slope
from .random.philox import (
    bits as random_bits,
    blocks as random_blocks,
    integers as random_integers,
    normal as random_normal,
    permutation as random_permutation,
    uniform as random_uniform,
)
from .ranges import arange, linspace, triangle_places
from .reduction.recurrence import linear_recurrence
from .reduction.reduce import amax, amin, argmax, argmin, cumsum, logsumexp, max_with_index, mean, min_with_index, sum, sum_to, var
from .reduction.statistics import (
    all_nonzero,
    any_nonzero,
    count_nonzero,
    cummax,
    cummin,
    cumprod,
    kth_value,
    logcumsumexp,
    median,
    mode,
    prod,
    shift,
    vector_norm,
)
from .vision.conv import col2im, convolution, convolution_input, convolution_weight, im2col
from .vision.pool import fractional_max_pool, max_pool, max_pool_backward
from .vision.resample import pad_constant, resample

Quick = None  # what elementwise operations keep of operands that they ran on; here native code does (see ``learn``)
broadcast_to = np.broadcast_to
concatenate = np.concatenate
flip = np.flip
copy_into = np.positive  # a ufunc: one C call, copy_into(source, target)


_ADD = Body(("a", "b"), ("t0 = a + b",), ("t0",))
_add_into = Fast(2, 1, given=True)
_add = Fast(2, 1)


def accumulate(into: Any, value: Any) -> Any:
    """``into += value`` (broadcast), in the memory of ``into``; returns it."""
    if recording() or (_add_into.call(into, value, into) is None and _add_into.wide(into, value, into) is None):
        elementwise(_ADD, (into, value), (into,), into.dtype)
        learn(_add_into, _ADD, (into, value), (into,), into.dtype)
    return into


def added(a: Any, b: Any) -> Any:
    """``a + b`` (broadcast to ``a``) in new memory."""
    total = None
    if not recording():
        total = _add.call(a, b)
        if total is None:
            total = _add.wide(a, b)
    if total is None:
        total = empty(a.shape, a.dtype)
        elementwise(_ADD, (a, b), (total,), a.dtype)
        learn(_add, _ADD, (a, b), (total,), a.dtype)
    return total


def cast(x: Any, dtype: np.dtype[Any]) -> Any:
    """``x`` in another dtype; complex numbers lose their imaginary part."""
    with np.errstate(all="ignore"):
        return (x.real if x.dtype.kind == "c" and dtype.kind != "c" else x).astype(dtype, order="C")


def pad_zeros(x: Any, dim: int, before: int, total: int) -> Any:
    """``x`` within zeros: ``before`` of them ahead of it along ``dim``, ``total`` the size there."""
    out = zeros((*x.shape[:dim], total, *x.shape[dim + 1 :]), x.dtype)
    out[(slice(None),) * dim + (slice(before, before + x.shape[dim]),)] = x
    return out


def as_mask(x: Any) -> Any:
    """Bools: what is not zero."""
    return np.asarray(x != 0)  # of a 0-d array, too


def surely_all(mask: Any) -> bool:
    """Whether all of a bool array is known to be true, without waiting for a device."""
    return bool(mask.all())


def has_nan(x: Any) -> bool:
    """Whether an element of a floating or complex array is NaN."""
    return bool(np.isnan(x).any())


def checksum(x: Any) -> int:
    """A number that other values very likely don't have."""
    return zlib.crc32(np.ascontiguousarray(x).tobytes())


def apply_mask(x: Any, mask: Any, scale: float) -> Any:
    """``x * scale`` where the bool array ``mask`` holds, else 0."""
    return np.where(mask, x * x.dtype.type(scale), x.dtype.type(0))


def place(x: Any, index: Any, size: tuple[int, ...]) -> Any:
    """Zeros of shape ``size`` with ``x`` written at a basic index."""
    out = zeros(size, x.dtype)
    out[index] = x
    return out


def matmul_add(a: Any, b: Any, start: Any) -> Any:
    """``a @ b + start``; ``start`` broadcasts to the product."""
    out = _matmul_add(a, b, start)
    return accumulate(matmul(a, b), start) if out is None else out


def linear(x: Any, weight: Any, bias: Any | None) -> Any:
    """``x @ weight.T + bias``: (..., in), (out, in), (out,) -> (..., out)."""
    if x.ndim == 1:
        return linear(x[None], weight, bias)[0]
    return matmul(x, weight.T) if bias is None else matmul_add(x, weight.T, bias)


softmax, softmax_backward = in_float32(_softmax), in_float32(_softmax_backward)
log_softmax, log_softmax_backward = in_float32(_log_softmax), in_float32(_log_softmax_backward)
recurrent, recurrent_backward = in_float32(_recurrent), in_float32(_recurrent_backward)
cross_entropy = in_float32(_cross_entropy)
cross_entropy_backward = in_float32(_cross_entropy_backward)
cross_entropy_weights = in_float32(_cross_entropy_weights)


def masked_softmax(x: Any) -> Any:
    """softmax along the last axis; zeros where all of it is -inf."""
    return _masked_softmax(x, softmax)
