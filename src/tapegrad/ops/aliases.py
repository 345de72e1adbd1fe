"""Second names of functions, as PyTorch has them; their methods and in-place methods follow."""

from __future__ import annotations

from .division import div
from .elementwise import abs, clamp, ge, gt, le, lt, mul, ne, neg, sub
from .rounding import trunc
from .trigonometry import acos, acosh, asin, asinh, atan, atan2, atanh

absolute = abs
arccos, arccosh, arcsin, arcsinh = acos, acosh, asin, asinh
arctan, arctan2, arctanh = atan, atan2, atanh
clip = clamp
divide = true_divide = div
multiply, negative, subtract = mul, neg, sub
fix = trunc
greater, greater_equal, less, less_equal, not_equal = gt, ge, lt, le, ne

__all__ = [
    "absolute",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "clip",
    "divide",
    "fix",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "multiply",
    "negative",
    "not_equal",
    "subtract",
    "true_divide",
]
