"""Older names of mixed precision on a GPU, as ``torch.cuda.amp``; in new code write ``tapegrad.amp``. They do nothing without a GPU."""

from __future__ import annotations

import functools
import warnings

from .. import amp, dtypes

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd"]

custom_fwd = functools.partial(amp.custom_fwd, device_type="cuda")
custom_bwd = functools.partial(amp.custom_bwd, device_type="cuda")


def _warn(name: str) -> None:
    message = f"`tapegrad.cuda.amp.{name}(args...)` is deprecated. Please use `tapegrad.amp.{name}('cuda', args...)` instead."
    warnings.warn(message, FutureWarning, stacklevel=3)


class autocast(amp.autocast):
    """``amp.autocast("cuda", dtype, enabled, cache_enabled)``."""

    def __init__(self, enabled: bool = True, dtype: dtypes.dtype = dtypes.float16, cache_enabled: bool = True) -> None:
        _warn("autocast")
        super().__init__("cuda", dtype, enabled, cache_enabled)


class GradScaler(amp.GradScaler):
    """``amp.GradScaler("cuda", ...)``."""

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        _warn("GradScaler")
        super().__init__("cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled)
