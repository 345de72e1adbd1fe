"""Special functions, as ``torch.special``."""

from __future__ import annotations

from .ops.aliases import expit as expit, gammaln as gammaln, psi as psi
from .ops.elementwise.basic import erf as erf, expm1 as expm1, log1p as log1p
from .ops.elementwise.exponential import exp2 as exp2, xlogy as xlogy
from .ops.elementwise.rounding import round as round
from .ops.elementwise.special import (
    digamma as digamma,
    entr as entr,
    erfc as erfc,
    erfcx as erfcx,
    erfinv as erfinv,
    i0 as i0,
    i0e as i0e,
    i1 as i1,
    i1e as i1e,
    log_ndtr as log_ndtr,
    logit as logit,
    ndtr as ndtr,
    ndtri as ndtri,
    polygamma as polygamma,
    sinc as sinc,
    xlog1py as xlog1py,
)
from .ops.nn.softmax import log_softmax as log_softmax, softmax as softmax
from .ops.reduction.reduce import logsumexp as logsumexp

__all__ = [
    "digamma",
    "entr",
    "erf",
    "erfc",
    "erfcx",
    "erfinv",
    "exp2",
    "expit",
    "expm1",
    "gammaln",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "log1p",
    "log_ndtr",
    "log_softmax",
    "logit",
    "logsumexp",
    "ndtr",
    "ndtri",
    "polygamma",
    "psi",
    "round",
    "sinc",
    "softmax",
    "xlog1py",
    "xlogy",
]
