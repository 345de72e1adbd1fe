"""What elementary functions must give: references in a wider dtype, arguments, and the largest error in units in the last place."""

import math
from typing import Any

import numpy as np
from scipy import special

import tapegrad as tg

SHARED = {name: getattr(np, name) for name in "exp exp2 expm1 log log2 log10 log1p sinh cosh tanh sin cos tan".split()}
SHARED |= {name: getattr(np, f"arc{name[1:]}") for name in "asin acos atan asinh acosh atanh".split()}
SHARED["sigmoid"] = lambda x: 1 / (1 + np.exp(-x))
SINGLE = SHARED | {"erf": special.erf, "erfc": special.erfc, "ndtr": special.ndtr}
EDGES = [0.0, -0.0, math.inf, -math.inf, math.nan, 1.0, -1.0, 0.5, -0.5, 2.0, 3.0, 1000.0, 2.0**-149, -(2.0**-149), 2.0**-1074]
EDGES += [88.72283, 88.72284, -87.33655, -103.9, -104.1, 709.78, 709.79, -745.13, -745.14, 710.4758, 1e30, -1e30, 1e300]


def function(name: str) -> Any:
    return getattr(tg, name, None) or getattr(tg.special, name)


def compare(name: str, found: Any, exact: Any, bound: float) -> None:
    """Within ``bound`` units in the last place of ``exact``, of a wider dtype; infinities, NaN and signs of zeros the same."""
    with np.errstate(all="ignore"):
        expected = exact.astype(found.dtype)
    finite = np.isfinite(expected)
    smallest = np.finfo(found.dtype).smallest_subnormal
    ulp = np.maximum(np.spacing(np.abs(expected[finite])), smallest)
    error = np.abs(found[finite] - exact[finite]) / ulp
    assert (error <= bound).all(), f"{name}: {error.max()} ulp"
    np.testing.assert_array_equal(found[~finite], expected[~finite])
    zero = expected == 0
    np.testing.assert_array_equal(np.signbit(found[zero]), np.signbit(expected[zero]))


def arguments32(step: int) -> Any:
    """float32 numbers spread over all bit patterns, ``step`` apart, and the edges."""
    spread = np.arange(0, 1 << 32, step, dtype=np.uint32).view(np.float32)
    with np.errstate(over="ignore"):
        edges = np.array(EDGES, np.float32)
    return np.concatenate([spread, np.linspace(-4, 4, 1 + 2_000_000_000 // step, dtype=np.float32), edges])
