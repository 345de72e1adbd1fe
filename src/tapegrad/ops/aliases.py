"""Second names of functions, as PyTorch has them; their methods and in-place methods follow."""

from __future__ import annotations

from ..public import alias
from .elementwise.basic import abs, clamp, ge, gt, le, lt, mul, ne, neg, sigmoid, sub
from .elementwise.division import div
from .elementwise.rounding import trunc
from .elementwise.special import digamma, lgamma
from .elementwise.trigonometry import acos, acosh, asin, asinh, atan, atan2, atanh

absolute = alias("absolute", abs)
arccos, arccosh = alias("arccos", acos), alias("arccosh", acosh)
arcsin, arcsinh = alias("arcsin", asin), alias("arcsinh", asinh)
arctan, arctan2, arctanh = alias("arctan", atan), alias("arctan2", atan2), alias("arctanh", atanh)
clip = alias("clip", clamp)
divide, true_divide = alias("divide", div), alias("true_divide", div)
multiply, negative, subtract = alias("multiply", mul), alias("negative", neg), alias("subtract", sub)
fix = alias("fix", trunc)
greater, greater_equal = alias("greater", gt), alias("greater_equal", ge)
less, less_equal, not_equal = alias("less", lt), alias("less_equal", le), alias("not_equal", ne)
# in ``special``, and no methods
expit = alias("expit", sigmoid, method=False)
gammaln, psi = alias("gammaln", lgamma, method=False), alias("psi", digamma, method=False)

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
