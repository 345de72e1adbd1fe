"""Operations on the bits of integers; on bools they are the logical ones."""

from __future__ import annotations

import numpy as np

from ...primitives import E
from ...samples import binary, few
from ...scalarops import elementwise
from ..checks import accept

__all__ = ["bitwise_and", "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor"]

bitwise_and = elementwise("bitwise_and", lambda input, other: E.bitwise_and(input, other), {}, samples=binary(), reference=np.bitwise_and, kinds="bi")
bitwise_or = elementwise("bitwise_or", lambda input, other: E.bitwise_or(input, other), {}, samples=binary(), reference=np.bitwise_or, kinds="bi")
bitwise_xor = elementwise("bitwise_xor", lambda input, other: E.bitwise_xor(input, other), {}, samples=binary(), reference=np.bitwise_xor, kinds="bi")
bitwise_not = elementwise("bitwise_not", lambda input: E.bitwise_not(input), {}, samples=few(), reference=np.bitwise_not, kinds="bi")
bitwise_left_shift = elementwise(
    "bitwise_left_shift",  # by a count outside of [0, bits): 0
    lambda input, other: E.left_shift(input, other),
    {},
    samples=binary(0.0, 6.0),
    reference=np.left_shift,
    kinds="i",
)
bitwise_right_shift = elementwise(
    "bitwise_right_shift",  # by a count outside of [0, bits): the sign
    lambda input, other: E.right_shift(input, other),
    {},
    samples=binary(0.0, 6.0),
    reference=np.right_shift,
    kinds="i",
)


accept("bi", "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", instead="convert with .to(dtype)")
accept("i", "bitwise_left_shift", "bitwise_right_shift", instead="convert with .to(dtype)")
