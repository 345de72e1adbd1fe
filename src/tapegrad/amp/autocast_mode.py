"""Regions in which functions choose the dtype they compute in; :mod:`tapegrad.casting` has the lists."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from .. import dtypes
from ..casting import cast_nested, lower_dtype
from ..device import cuda_is_available as is_available
from ..modes import Mode, local

_DEVICES = ("cpu", "cuda")


def is_autocast_available(device_type: str) -> bool:
    """Whether there is autocasting for a type of device."""
    return device_type in _DEVICES


def is_autocast_enabled(device_type: str = "cpu") -> bool:
    """Whether functions cast their tensors in this thread, on that type of device."""
    return bool(local.autocast and _checked(device_type) in local.autocast_on)


def get_autocast_dtype(device_type: str) -> dtypes.dtype:
    """The lower dtype that functions compute in under :class:`autocast`: unless told otherwise bfloat16 on a CPU, float16 on a GPU."""
    dtype: dtypes.dtype = lower_dtype(_checked(device_type))
    return dtype


def _checked(device_type: Any) -> str:
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if device_type not in _DEVICES:
        raise RuntimeError(f"User specified an unsupported autocast device_type '{device_type}'")
    return device_type


class autocast(Mode):
    """Matrix products, convolutions and attention compute in a lower dtype, losses in float32. Context manager and decorator.

    Parameters stay as they are, and so do their gradients. Call ``backward()`` outside. Regions nest; ``enabled=False`` computes in
    the dtypes of the tensors again. On float16, use a :class:`GradScaler`.

    >>> import tapegrad as tg
    >>> x, w = tg.ones(2, 3), tg.ones(3, 2, requires_grad=True)
    >>> with autocast("cpu"):
    ...     y = x @ w
    >>> y.dtype, tg.autograd.grad(y.float().sum(), w)[0].dtype
    (tapegrad.bfloat16, tapegrad.float32)

    Args:
        device_type: "cpu" or "cuda": where the tensors are that are cast; "cuda" warns, and does nothing, where there is no GPU.
        dtype: bfloat16 or float16; by default bfloat16 on a CPU, float16 on a GPU.
        enabled: whether to cast.
        cache_enabled: keep the casts of parameters until the outermost region ends, so that each is made once.

    Raises:
        ValueError: for a device type that is no string.
        RuntimeError: for an unknown device type, and when bfloat16 is missing.
    """

    def __init__(
        self, device_type: str, dtype: dtypes.dtype | None = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        super().__init__()
        self.device = _checked(device_type)
        if self.device == "cuda" and enabled and not is_available():
            warnings.warn("CUDA is not available. Disabling autocast.", stacklevel=2)
            enabled = False
        kept = local.autocast_dtype if self.device == "cpu" else local.autocast_cuda_dtype
        self.fast_dtype = dtype if dtype is not None else lower_dtype(self.device) if enabled else kept
        if enabled and self.fast_dtype not in (dtypes.bfloat16, dtypes.float16):
            warnings.warn(
                f"In {self.device.upper()} autocast, but the target dtype is not supported. Disabling autocast.\n"
                f"{self.device.upper()} Autocast only supports dtypes of "
                f"bfloat16, float16 currently, got {dtype}",
                stacklevel=2,
            )
            enabled = False
        self._enabled = enabled
        self._cache_enabled = cache_enabled

    def _settings(self) -> dict[str, Any]:
        if self.device == "cuda" and not is_available():
            return {}
        others = (local.autocast_on if local.autocast else frozenset()) - {self.device}
        on = others | {self.device} if self._enabled else others
        outer = local.autocast_casts
        inside = outer is not None or not local.autocast
        caching = inside if self._cache_enabled is None else self._cache_enabled
        casts = ({} if outer is None else outer) if caching else None
        lower = "autocast_dtype" if self.device == "cpu" else "autocast_cuda_dtype"
        return {"autocast": bool(on), "autocast_on": on, lower: self.fast_dtype, "autocast_casts": casts}

    def _clone(self) -> Mode:
        return autocast(self.device, self.fast_dtype, self._enabled, self._cache_enabled)

    def __call__(self, function: Any) -> Any:
        if not callable(function):
            raise TypeError(
                f"autocast()(func) requires a callable, but got {type(function).__name__}; as a context manager it is used as "
                "`with autocast(device_type): ...`"
            )
        return super().__call__(function)


# ---------------------------------------------------------------------------------------------------- custom operations


def custom_fwd(fwd: Callable[..., Any] | None = None, *, device_type: str, cast_inputs: dtypes.dtype | None = None) -> Any:
    """Decorate ``forward`` of a :class:`tapegrad.autograd.Function` so that it knows of autocasting.

    Args:
        fwd: the function, whose first argument is ctx; without it, a decorator is returned.
        device_type: as for :class:`autocast`.
        cast_inputs: under autocast, convert floating-point tensors (but float64) to this dtype and cast nothing inside. Without it, what
            runs inside casts as elsewhere; :func:`custom_bwd` lets ``backward`` do the same.

    Raises:
        ValueError, RuntimeError: for a bad device type.
    """
    _checked(device_type)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def forward(*args: Any, **kwargs: Any) -> Any:
        ctx, active = args[0], is_autocast_enabled(device_type)
        ctx._dtype = get_autocast_dtype(device_type)
        ctx._fwd_used_autocast = active and cast_inputs is None
        if not active or cast_inputs is None:
            return fwd(*args, **kwargs)
        with autocast(device_type, enabled=False):
            return fwd(*cast_nested(args, cast_inputs), **cast_nested(kwargs, cast_inputs))

    return forward


def custom_bwd(bwd: Callable[..., Any] | None = None, *, device_type: str) -> Any:
    """Decorate ``backward`` of a :class:`tapegrad.autograd.Function` so that it casts as its ``forward`` did.

    Raises:
        ValueError, RuntimeError: for a bad device type.
    """
    _checked(device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def backward(*args: Any, **kwargs: Any) -> Any:
        with autocast(device_type, dtype=args[0]._dtype, enabled=args[0]._fwd_used_autocast):
            return bwd(*args, **kwargs)

    return backward
