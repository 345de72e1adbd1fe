"""Elementwise parts of reductions' gradients, each in one pass over the elements."""

from __future__ import annotations

import math

import numpy as np

from ...primitives import E
from ...samples import EdgePoint, Input, Sample
from ...scalarops import elementwise

_BESIDE_TOTALS = [
    Sample((Input((3, 1)), Input((3, 4)), Input((3, 1)))),
    Sample((Input((4,)), Input((2, 3, 4)), Input((4,)))),
    Sample((Input(()), Input((5,)), Input(()))),
]

elementwise(
    "scaled_deviation",
    lambda slope, input, centre: slope * (input - centre),
    {
        "slope": lambda g, input, centre: g * (input - centre),
        "input": lambda g, slope: g * slope,
        "centre": lambda g, slope: g * (0.0 - slope),
    },
    method=False,
    samples=_BESIDE_TOTALS,
    reference=lambda slope, x, centre: slope * (x - centre),
    kinds="f",
)

elementwise(
    "exponential_share",  # 0 where all of what was summed was 0
    lambda slope, input, total: E.where(total == -math.inf, 0.0, slope * E.exp(input - total)),
    {
        "slope": lambda g, input, total: E.where(total == -math.inf, 0.0, g * E.exp(input - total)),
        "input": lambda g, out: g * out,
        "total": lambda g, out: g * (0.0 - out),
    },
    dtype="float",
    method=False,
    samples=_BESIDE_TOTALS,
    reference=lambda slope, x, total: slope * np.exp(x - total),
    edge_points=[EdgePoint((2.0, -math.inf, -math.inf), (0.0, 0.0, 0.0))],
    kinds="f",
)

elementwise(
    "is_chosen",  # 1 or 0; NaN is chosen wherever there is one
    lambda input, chosen: E.where((input == chosen) | (input != input), 1.0, 0.0),
    {},
    method=False,
    samples=[Sample((Input((3, 4), apart=True), Input((3, 1), apart=True)))],
    reference=lambda x, chosen: np.asarray(x == chosen, x.dtype),
    kinds="f",
)
