"""``cvt``: every pair of types, rounding and saturation."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import numbers as N
from .emitter import DTYPES

_TO_INTEGER = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}


def converted(x: Any, source: str, to: str, flags: tuple[str, ...]) -> Any:
    """x, of a type of PTX, in another."""
    if set(flags) - {"rn", "rz", "rm", "rp", "rna", "rni", "rzi", "rmi", "rpi", "sat", "ftz"}:
        raise NotImplementedError(f"cvt.{'.'.join(flags)}.{to}.{source}")
    dtype = np.dtype(DTYPES[to])
    if source == "bf16":
        x, source = N.of_bfloat16(x), "f32"
        if to == "bf16":
            raise NotImplementedError("cvt.bf16.bf16")
    floating, was = to in ("f16", "bf16", "f32", "f64", "tf32"), source[0] == "f"
    if was and source == "f32" and "ftz" in flags:
        x = N.flushed(x)
    integral = next((f for f in flags if f in _TO_INTEGER), None)
    if was and not floating:
        return _integer(_TO_INTEGER[integral or "rzi"](x), source, to, dtype)
    if not was and not floating:
        if "sat" in flags:
            limits = np.iinfo(dtype)
            low, high = max(limits.min, int(np.iinfo(x.dtype).min)), min(limits.max, int(np.iinfo(x.dtype).max))
            x = np.clip(x, x.dtype.type(low), x.dtype.type(high))
        return x.astype(dtype)
    if was and integral is not None:
        x = _TO_INTEGER[integral](x)
    mode = next((f for f in flags if f in ("rn", "rz", "rm", "rp", "rna")), "rn")
    made = _float(x, to, mode, dtype)
    if "sat" in flags:
        made = N.saturated(made)
    return N.flushed(made) if "ftz" in flags and to == "f32" else made


def _float(x: Any, to: str, mode: str, dtype: Any) -> Any:
    if to == "tf32":
        bits = np.asarray(x).view(np.uint32)
        if mode not in ("rna", "rn"):
            raise NotImplementedError(f"cvt.{mode}.tf32")
        half = np.uint32(0x1000) if mode == "rna" else np.uint32(0xFFF) + ((bits >> np.uint32(13)) & np.uint32(1))
        return np.where(np.isfinite(x), (bits + half) & np.uint32(0xFFFFE000), bits)[()]
    if to == "bf16":
        if x.dtype == np.float64:
            raise NotImplementedError("cvt.bf16.f64")
        return N.bfloat16(x.astype(np.float32), mode)
    if to == "f16" and x.dtype.kind == "f":
        return N.half(x, mode)
    if mode == "rn" or x.dtype.itemsize < dtype.itemsize:
        return x.astype(dtype)
    if to == "f32" and x.dtype == np.float64:
        return N.rounded(x, np.float64(0), mode)
    raise NotImplementedError(f"cvt.{mode}.{to} of {x.dtype}")


def _integer(x: Any, source: str, to: str, dtype: Any) -> Any:
    """A float without fraction, clamped to the range of an integer type; of NaN 0, or the highest bit where doubles or 64 bits are in it."""
    limits = np.iinfo(dtype)
    x = x.astype(np.float64)
    inside = (x >= float(limits.min)) & (x < float(limits.max) + (1 if dtype.itemsize < 8 else 0))
    made = np.where(inside, x, 0).astype(dtype)
    made = np.where(x >= float(limits.max), dtype.type(limits.max), np.where(x < float(limits.min), dtype.type(limits.min), made))
    nan = dtype.type(0)
    if source == "f64" or dtype.itemsize == 8:
        nan = dtype.type(limits.min) if dtype.kind == "i" else dtype.type(1 << (8 * dtype.itemsize - 1))
    return np.where(np.isnan(x), nan, made)[()]


def pair(upper: Any, lower: Any, to: str, flags: list[str]) -> Any:
    """Two float32 as 16-bit floats in one register."""
    if set(flags) - {"rn", "rz"}:
        raise NotImplementedError(f"cvt.{'.'.join(flags)}.{to}")
    mode = flags[0] if flags else "rn"
    bits = [N.bfloat16(x, mode) if to == "bf16x2" else np.asarray(N.half(x, mode)).view(np.uint16) for x in (upper, lower)]
    return (bits[0].astype(np.uint32) << np.uint32(16)) | bits[1].astype(np.uint32)


def narrow(name: str, kind: str, *operands: Any) -> Any:
    """Arithmetic of bfloat16, or of two 16-bit floats in a register, by their bits."""
    if kind == "bf16":
        return _narrow(name, True, *operands)
    low = _narrow(name, kind == "bf16x2", *[(x & np.uint32(0xFFFF)).astype(np.uint16) for x in operands])
    high = _narrow(name, kind == "bf16x2", *[(x >> np.uint32(16)).astype(np.uint16) for x in operands])
    return (high.astype(np.uint32) << np.uint32(16)) | low.astype(np.uint32)


def _narrow(name: str, brain: bool, *bits: Any) -> Any:
    if name == "neg":
        return bits[0] ^ np.uint16(0x8000)
    if name == "abs":
        return bits[0] & np.uint16(0x7FFF)
    if name == "fma":
        if brain:
            return N.fma_bfloat16(*bits)
        return np.asarray(N.fma16(*[np.asarray(b).view(np.float16) for b in bits])).view(np.uint16)[()]
    a, b = (N.of_bfloat16(x) if brain else np.asarray(x).view(np.float16).astype(np.float32) for x in bits)
    # A product of two such numbers is exact in float32, and the sum of two is rounded there so finely that rounding again is right.
    operations: dict[str, Any] = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "min": N.minimum, "max": N.maximum}
    x = operations[name](a, b)
    return N.bfloat16(x) if brain else np.asarray(x.astype(np.float16)).view(np.uint16)[()]
