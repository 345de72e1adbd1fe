"""The operations: one declaration each, in the file of its family."""

from __future__ import annotations

from .create import arange, as_tensor, empty, empty_like, eye, from_numpy, full, full_like, linspace, ones, ones_like, tensor, zeros, zeros_like
from .elementwise import add, clamp, gelu, sub, where
from .index import embedding, gather, getitem, masked_fill, scatter_add, setitem
from .install import install
from .loss import cross_entropy, mse_loss
from .matmul import linear, matmul, mm
from .random import (
    Generator,
    default_generator,
    dropout,
    get_rng_state,
    initial_seed,
    manual_seed,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    seed,
    set_rng_state,
)
from .reduce import amax, amin, argmax, argmin, cumsum, logsumexp, max, mean, min, std, sum, var
from .shape import broadcast_to, cat, clone, expand, flatten, flip, narrow, permute, reshape, squeeze, stack, t, transpose, unsqueeze
from .softmax import log_softmax, softmax
from . import elementwise as _e

abs, conj, cos, div, eq, erf, exp, expm1 = (op.call for op in (_e.abs, _e.conj, _e.cos, _e.div, _e.eq, _e.erf, _e.exp, _e.expm1))
ge, gt, isnan, le, log, log1p, lt = (op.call for op in (_e.ge, _e.gt, _e.isnan, _e.le, _e.log, _e.log1p, _e.lt))
logical_and, logical_not, logical_or = (op.call for op in (_e.logical_and, _e.logical_not, _e.logical_or))
maximum, minimum, mul, ne, neg, pow = (op.call for op in (_e.maximum, _e.minimum, _e.mul, _e.ne, _e.neg, _e.pow))
reciprocal, relu, sigmoid, sign = (op.call for op in (_e.reciprocal, _e.relu, _e.sigmoid, _e.sign))
sin, sqrt, square, tanh = (op.call for op in (_e.sin, _e.sqrt, _e.square, _e.tanh))

install()
