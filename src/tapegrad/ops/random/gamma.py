"""Random numbers of gamma distributions, with gradients for the shape parameter."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...plan import ON_ARRAYS
from ...registry import Op, register
from ...samples import Input, Sample
from ...tensor import Tensor
from .generator import Generator, drawn_like


def _refused(K: Any, g: Any) -> Any:
    raise RuntimeError("the second derivative of a gamma distribution's samples with respect to its concentration is not implemented")


register(
    Op(
        "log_gamma_slope",
        ("concentration", "draw"),
        lambda B, a, y: _moved(B, a, y),
        {("concentration", "draw"): _refused},
        method=False,
        batch="elementwise",
        samples=[Sample((Input((3, 4), 2.0, 4.0), Input((3, 4), -1.0, 1.3))), Sample((Input((), 2.0, 3.0), Input((), 0.0, 1.0)))],
        reference="distribution_references.log_gamma_slope",
        kinds="f",
    )
)


def _moved(B: Any, a: Any, y: Any) -> Any:
    wide = a.astype(np.float64)
    return B.log_gamma_slope(wide, y.astype(np.float64), ON_ARRAYS.digamma(ON_ARRAYS.add(wide, 1.0))).astype(a.dtype)


_log_gamma = register(
    Op(
        "log_gamma_draw",
        ("concentration",),
        lambda B, a, *, draw: draw.astype(a.dtype),
        {"concentration": lambda K, g, concentration, out: K.mul(g, K.log_gamma_slope(concentration, out))},
        random=True,
        method=False,
        batch="elementwise",
        samples=[Sample((Input((3, 4), 0.5, 5.0),), {"draw": np.linspace(-2.0, 2.0, 12).reshape(3, 4)})],
        reference=lambda a, draw: draw,
        kinds="f",
    )
)


def log_gamma_draw(concentration: Tensor, generator: Generator | None = None) -> Tensor:
    """Logarithms of random numbers of gamma distributions of these shapes and of rate 1; finite where the numbers themselves underflow.

    The gradient is the implicit one: how a number moves with the shape while its quantile stays (Figurnov et al., "Implicit
    Reparameterization Gradients", 2018, https://arxiv.org/abs/1805.08498). It has no second derivative. NaN for shapes that
    are not positive.
    """
    draw = drawn_like(generator, "log_gamma", concentration, concentration._array)
    return _log_gamma.call(concentration, draw=draw)  # type: ignore[no-any-return]
