"""The CUDA backend: what ops may call. Arrays in, arrays out, in the memory of a GPU.

Imported when the first tensor is to live on a GPU; importing it starts no driver. It has the names of ``kernels.cpu``; an operation that
asks for one that is missing here raises.
"""

from __future__ import annotations

import importlib.util
from typing import Any, NoReturn

import numpy as np

from ..body import Body
from .array import (
    CudaArray as CudaArray,
    empty as empty,
    new_empty as new_empty,
    to_device as to_device,
    to_host as to_host,
    zeros as zeros,
)
from .bounds import need_between as need_between
from .complex_parts import (
    as_pairs as as_pairs,
    from_pairs as from_pairs,
    imaginary_part as imaginary_part,
    join_parts as join_parts,
    real_part as real_part,
)
from .context import context, on_device as on_device
from .elementwise import accumulate as accumulate, added as added, assign, cast as cast, copy as copy, run as elementwise
from .exchange import borrowed as borrowed, from_device as from_device, from_interface as from_interface, ready_for as ready_for
from .index.compact import as_mask as as_mask, nonzero as nonzero, true_count as true_count
from .index.index import (
    add_at as add_at,
    combine_at as combine_at,
    count_at as count_at,
    flat_index as flat_index,
    from_start as from_start,
    gather as gather,
    grid as grid,
    last_written as last_written,
    number as number,
    one_hot as one_hot,
    pick as pick,
    put as put,
    scatter_at as scatter_at,
    scatter_rows as scatter_rows,
    take as take,
)
from .index.places import settled as settled
from .index.search import bincount as bincount, histc as histc, isin as isin, searchsorted as searchsorted
from .index.shape import (
    add_strided as add_strided,
    add_windows as add_windows,
    apply_mask as apply_mask,
    broadcast_to as broadcast_to,
    concatenate as concatenate,
    diagonal as diagonal,
    expand as expand,
    pad_zeros as pad_zeros,
    place as place,
    place_diagonal as place_diagonal,
    roll as roll,
    spread as spread,
    strided as strided,
    tril as tril,
    triu as triu,
    windows as windows,
)
from .index.sort import sort as sort, unique as unique, unique_consecutive as unique_consecutive
from .linalg.matmul import linear as linear, matmul as matmul, matmul_add as matmul_add
from .linalg.triangular import cholesky as cholesky, solve_triangular as solve_triangular
from .nn.attention import attention as _attention, attention_backward as _attention_backward
from .nn.classes import (
    class_factors as class_factors,
    class_indices as class_indices,
    label_pairs as label_pairs,
    margin_factors as margin_factors,
    mean_divisor as mean_divisor,
)
from .nn.cross_entropy import (
    cross_entropy as cross_entropy,
    cross_entropy_backward as cross_entropy_backward,
    cross_entropy_weights as cross_entropy_weights,
    reduced_cross_entropy as reduced_cross_entropy,
)
from .nn.ctc import ctc as ctc, ctc_backward as ctc_backward, ctc_labels as ctc_labels
from .nn.embedding import (
    SPARE_BAGS as SPARE_BAGS,
    bag_maxima as bag_maxima,
    bag_sizes as bag_sizes,
    bags_of_offsets as bags_of_offsets,
    bags_of_rows as bags_of_rows,
    share_rows as share_rows,
    without_row as without_row,
)
from .nn.norm import standardize as standardize, standardize_backward as standardize_backward
from .nn.recurrent import recurrent as recurrent, recurrent_backward as recurrent_backward
from .nn.softmax import (
    log_softmax as log_softmax,
    log_softmax_backward as log_softmax_backward,
    masked_softmax as masked_softmax,
    softmax as softmax,
    softmax_backward as softmax_backward,
)
from .optim import Updated as Updated, update_kernel as update_kernel
from .planned import planned as _planned
from .quick import Quick as Quick
from .random.distributions import (
    bernoulli as random_bernoulli,
    cauchy as random_cauchy,
    choices as random_choices,
    exponential as random_exponential,
    geometric as random_geometric,
    log_normal as random_log_normal,
    normal_around as random_normal_around,
    uniform_between as random_uniform_between,
)
from .random.dropout import dropout as dropout
from .random.philox import (
    bits as random_bits,
    blocks as random_blocks,
    integers as random_integers,
    normal as random_normal,
    permutation as random_permutation,
    uniform as random_uniform,
)
from .random.rejection import log_gamma as random_log_gamma, log_gamma_slope as log_gamma_slope, poisson as random_poisson
from .ranges import arange as arange, linspace as linspace, triangle_places as triangle_places
from .reduction.reduce import (
    all_nonzero as all_nonzero,
    amax as amax,
    amin as amin,
    any_nonzero as any_nonzero,
    argmax as argmax,
    argmin as argmin,
    count_nonzero as count_nonzero,
    logsumexp as logsumexp,
    max_with_index as max_with_index,
    mean as mean,
    min_with_index as min_with_index,
    prod as prod,
    sum as sum,
    sum_to as sum_to,
    var as var,
    vector_norm as vector_norm,
)
from .reduction.scan import (
    cummax as cummax,
    cummin as cummin,
    cumprod as cumprod,
    cumsum as cumsum,
    linear_recurrence as linear_recurrence,
    logcumsumexp as logcumsumexp,
    shift as shift,
)
from .reduction.statistics import kth_value as kth_value, median as median, mode as mode
from .several import Following as Following
from .values import checksum as checksum, has_nan as has_nan, span as span
from .vision.conv import convolution as _convolution, convolution_input as _convolution_input, convolution_weight as _convolution_weight
from .vision.fold import col2im as col2im, im2col as im2col
from .vision.max_pool import fractional_max_pool as fractional_max_pool, max_pool as max_pool, max_pool_backward as max_pool_backward
from .vision.resample import pad_constant as pad_constant, resample as resample


def __getattr__(name: str) -> NoReturn:
    if name.startswith("__") or importlib.util.find_spec(f"{__name__}.{name}") is not None:  # a module, on the way to its import
        raise AttributeError(name)
    raise NotImplementedError(f"{name} has no implementation for CUDA yet; .cpu() moves a tensor to where it has one")


attention, attention_backward = _planned(_attention), _planned(_attention_backward)
convolution, convolution_input, convolution_weight = _planned(_convolution), _planned(_convolution_input), _planned(_convolution_weight)


def need_device() -> None:
    """Raise RuntimeError, with what is missing, when no GPU can be used."""
    if context.driver.count() == 0:
        raise RuntimeError(
            f"there is no CUDA device that can be used: {context.driver.missing()}; 'tapegrad doctor' shows what is there, and "
            "device='cpu' always works"
        )


def numbered(device: Any) -> int:
    """A device's number: of "cuda" the current one's.

    Raises:
        RuntimeError: when there is none of that number.
    """
    if device.index is None:
        return context.device
    if device.index >= context.driver.count():
        raise RuntimeError(f"device {device} does not exist: this machine has {context.driver.count()} that can be used, from cuda:0 on")
    return int(device.index)


def learn(fast: Any, body: Body, operands: Any, outputs: Any, compute: Any) -> None:
    """Nothing: plans belong to bodies here."""


def surely_all(mask: Any) -> bool:
    """Whether all of a bool array is known to be true without waiting for the device: it is not."""
    return False


def copy_into(source: Any, target: Any) -> None:
    """Write ``source``, broadcast, to ``target``."""
    assign(target, source)


flip = np.flip
