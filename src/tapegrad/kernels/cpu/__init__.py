"""The CPU backend: what ops may call. Arrays in, arrays out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..body import Body
from . import elementwise as _elementwise
from .call import Fast, Launches, Steps, recording, replay_address
from .complex_parts import as_pairs, from_pairs, imaginary_part, join_parts, real_part
from .elementwise import Operand, copy, run as elementwise
from .index.index import add_at, combine_at, count_at, gather, grid, last_written, nonzero, one_hot, pick, put, scatter_at, scatter_rows
from .index.shape import add_strided, add_windows, diagonal, expand, place_diagonal, roll, strided, tril, triu, windows
from .index.sort import bincount, histc, isin, searchsorted, sort, unique, unique_consecutive
from .linalg.matmul import matmul
from .linalg.triangular import cholesky, solve_triangular
from .narrow import in_float32
from .nn.attention import masked_softmax as _masked_softmax, scores as _scores
from .nn.ctc import ctc, ctc_backward, last_states, may_skip, with_blanks
from .nn.embedding import bag_maxima, share_rows
from .nn.norm import standardize, standardize_backward
from .nn.softmax import (
    cross_entropy as _cross_entropy,
    cross_entropy_backward as _cross_entropy_backward,
    cross_entropy_weights as _cross_entropy_weights,
    log_softmax as _log_softmax,
    log_softmax_backward as _log_softmax_backward,
    softmax as _softmax,
    softmax_backward as _softmax_backward,
)
from .random.distributions import (
    bernoulli as random_bernoulli,
    cauchy as random_cauchy,
    choices as random_choices,
    exponential as random_exponential,
    geometric as random_geometric,
    log_normal as random_log_normal,
    normal_around as random_normal_around,
    permutation as random_permutation,
    poisson as random_poisson,
    uniform_between as random_uniform_between,
)
from .random.gamma import log_gamma as random_log_gamma, log_gamma_slope
from .random.philox import bits as random_bits, integers as random_integers, normal as random_normal, uniform as random_uniform
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
from .runtime import address as runtime_address, get_num_threads, set_num_threads
from .vision.conv import col2im, convolution, convolution_input, convolution_weight, im2col
from .vision.pool import fractional_max_pool, max_pool
from .vision.resample import pad_constant, resample

empty = np.empty
broadcast_to = np.broadcast_to
concatenate = np.concatenate
flip = np.flip
copy_into = np.positive  # a ufunc: one C call, copy_into(source, target)


_ADD = Body(("a", "b"), ("t0 = a + b",), ("t0",))
_add_into = Fast(2, 1, 32768, given=True)


def accumulate(into: Any, value: Any) -> Any:
    """``into += value`` (broadcast), in the memory of ``into``; returns it."""
    if recording() or _add_into.call(into, value, into) is None:
        elementwise(_ADD, (into, value), (into,), into.dtype)
        learn(_add_into, _ADD, (into, value), (into,), into.dtype)
    return into


def cast(x: Any, dtype: np.dtype[Any]) -> Any:
    """``x`` in another dtype; complex numbers lose their imaginary part."""
    with np.errstate(all="ignore"):
        return (x.real if x.dtype.kind == "c" and dtype.kind != "c" else x).astype(dtype, order="C")


def pad_zeros(x: Any, dim: int, before: int, total: int) -> Any:
    """``x`` within zeros: ``before`` of them ahead of it along ``dim``, ``total`` the size there."""
    out = np.zeros((*x.shape[:dim], total, *x.shape[dim + 1 :]), x.dtype)
    out[(slice(None),) * dim + (slice(before, before + x.shape[dim]),)] = x
    return out


def learn(fast: Fast, body: Body, operands: Sequence[Operand], outputs: Sequence[Any], compute: np.dtype[Any]) -> None:
    """After a general run: let the fast path serve such operands from now on, if they are of the kind it takes."""
    first = next(o for o in operands if not isinstance(o, float))
    mask = 0
    for i, operand in enumerate(operands):
        if isinstance(operand, float):
            mask |= 1 << i
        elif operand.dtype is not first.dtype or operand.shape != first.shape:
            return
        elif not (operand.flags.c_contiguous and operand.flags.aligned):
            return
    if fast.knows(first.dtype, mask) or (mask and first.dtype.kind not in "fV"):
        return
    names = tuple("float64" if isinstance(o, float) else o.dtype.name for o in operands)
    pattern = "".join("s" if isinstance(o, float) else "c" for o in operands) + "c" * len(outputs)
    out_dtypes = tuple(o.dtype for o in outputs)
    address = _elementwise.kernel(body, names, tuple(d.name for d in out_dtypes), compute.name, pattern, True)
    fast.add(first.dtype, mask, address, out_dtypes)


def apply_mask(x: Any, mask: Any, scale: float) -> Any:
    """``x * scale`` where the bool array ``mask`` holds, else 0."""
    return np.where(mask, x * x.dtype.type(scale), x.dtype.type(0))


def place(x: Any, index: Any, size: tuple[int, ...]) -> Any:
    """Zeros of shape ``size`` with ``x`` written at a basic index."""
    out = np.zeros(size, x.dtype)
    out[index] = x
    return out


def linear(x: Any, weight: Any, bias: Any | None) -> Any:
    """``x @ weight.T + bias``: (..., in), (out, in), (out,) -> (..., out)."""
    rows = x.reshape(-1, x.shape[-1]) if x.shape[-1] else x.reshape(x.size if x.ndim == 1 else math.prod(x.shape[:-1]), 0)
    out = matmul(rows, weight.T)
    if bias is not None:
        accumulate(out, bias)
    return out.reshape((*x.shape[:-1], weight.shape[0]))


softmax, softmax_backward = in_float32(_softmax), in_float32(_softmax_backward)
log_softmax, log_softmax_backward = in_float32(_log_softmax), in_float32(_log_softmax_backward)
cross_entropy = in_float32(_cross_entropy)
cross_entropy_backward = in_float32(_cross_entropy_backward)
cross_entropy_weights = in_float32(_cross_entropy_weights)


def masked_softmax(x: Any) -> Any:
    """softmax along the last axis; zeros where all of it is -inf."""
    return _masked_softmax(x, softmax)


def attention(q: Any, k: Any, v: Any, mask: Any | None, scale: float, kept: Any | None, p: float) -> Any:
    """``softmax(q @ k.T * scale + mask) @ v``; of dropout with probability ``p``, the bool array ``kept`` says which weights stay."""
    weights = masked_softmax(_scores(q, k, mask, scale, matmul))
    if kept is not None:
        weights = apply_mask(weights, kept, 1.0 / (1.0 - p) if p < 1.0 else 0.0)
    return matmul(weights, v)
