"""What matrix products and convolutions on a GPU may do to be faster, as ``backends`` sets it."""

from __future__ import annotations


class _Allowed:
    """float32 factors rounded to TF32's 10 bits, and partial sums of 16-bit floats in 16 bits."""

    tf32 = False
    tf32_convolutions = False
    float16_sums = True
    bfloat16_sums = True


allowed = _Allowed()
