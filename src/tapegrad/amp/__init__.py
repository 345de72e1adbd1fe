"""Mixed precision, as ``torch.amp``: :class:`autocast` chooses dtypes, :class:`GradScaler` keeps small gradients from vanishing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import imported_on_use
from .autocast_mode import (
    autocast,
    custom_bwd,
    custom_fwd,
    get_autocast_dtype as get_autocast_dtype,
    is_autocast_available,
    is_autocast_enabled as is_autocast_enabled,
)

if TYPE_CHECKING:
    from .grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)


if not TYPE_CHECKING:  # a type checker should know what there is
    __getattr__ = imported_on_use(__name__, ("GradScaler",), lambda name: "grad_scaler")
