"""GradScaler: a factor for the loss that keeps gradients within the range of float16."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from enum import Enum
from typing import Any

from .. import dtypes
from ..device import cuda_is_available as is_available
from ..modes import no_grad
from ..ops.create import tensor
from ..ops.shape.join import stack
from ..tensor import Tensor


class OptState(Enum):
    """How far an optimizer is since the last ``update()``."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


class _Progress:
    """Of one optimizer: its stage, and whether a gradient was not finite (None: none was looked at)."""

    def __init__(self) -> None:
        self.stage = OptState.READY
        self.found_inf: bool | Tensor | None = None  # a tensor on a GPU, which step() waits for


class GradScaler:
    """Multiply the loss by a large factor, divide the gradients by it, and skip steps whose gradients overflowed.

    The factor falls after an overflow, and grows after ``growth_interval`` steps without one (Micikevicius et al., 2018,
    https://arxiv.org/abs/1710.03740)::

        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)  # only to look at gradients before the step, to clip them, say
        scaler.step(optimizer)
        scaler.update()

    Args:
        device: "cpu" or "cuda", the default, which warns and disables it where there is no GPU.
        init_scale: the first factor.
        growth_factor, backoff_factor: what it is multiplied by.
        growth_interval: steps without overflow before it grows.
        enabled: without it, every method does what an unscaled loop does.

    Raises:
        AssertionError: unless growth_factor > 1 > backoff_factor.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        self._device = device
        self._enabled = enabled
        if enabled and device == "cuda" and not is_available():
            warnings.warn("GradScaler is enabled for CUDA, but CUDA is not available. Disabling; use GradScaler('cpu')", stacklevel=2)
            self._enabled = False
        if not self._enabled:
            return
        if growth_factor <= 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if backoff_factor >= 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        self._init_scale = init_scale
        self._scale: Tensor | None = None
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._growth_tracker = 0
        self._progress: dict[int, _Progress] = {}

    # --------------------------------------------------------------------------------------------------------- the loop

    def scale(self, outputs: Any) -> Any:
        """The outputs (a tensor, or nested lists and tuples of tensors) times the factor.

        Raises:
            ValueError: for anything else.
        """
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            if self._scale is None:
                self._scale = tensor(float(self._init_scale), dtype=dtypes.float32, device=outputs.device)
            return outputs * self._scale.to(outputs.device)
        if isinstance(outputs, Iterable):
            scaled = map(self.scale, outputs)
            return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients of the optimizer's parameters by the factor, and note whether all are finite.

        Raises:
            RuntimeError: for a second time, and after ``step()``.
            ValueError: for gradients in float16: keep parameters in float32.
        """
        if not self._enabled:
            return
        scale = self._need_scale("unscale_")
        progress = self._progress.setdefault(id(optimizer), _Progress())
        if progress.stage is OptState.UNSCALED:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        if progress.stage is OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if any(grad.dtype is dtypes.float16 for grad in grads):
            raise ValueError("Attempting to unscale FP16 gradients.")
        with no_grad():
            if scale.is_cuda:
                progress.found_inf = self._unscale_there(grads, scale)
            else:
                inverse, found = 1.0 / scale.item(), False
                for grad in grads:
                    found |= not grad.isfinite().all().item()
                    grad.mul_(inverse)
                progress.found_inf = found if grads else None
        progress.stage = OptState.UNSCALED

    @staticmethod
    def _unscale_there(grads: list[Tensor], scale: Tensor) -> Tensor | None:
        """Divide by the factor, and note whether all are finite, without waiting for the GPU."""
        inverse, flags = scale.double().reciprocal().float(), []
        for grad in grads:
            flags.append(grad.isfinite().all().logical_not().to(scale.device))
            grad.mul_(inverse.to(grad.device))
        return stack(flags).any() if flags else None

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """``optimizer.step(*args, **kwargs)`` on gradients divided by the factor, unless one of them is not finite.

        Raises:
            RuntimeError: for a closure, and for a second time.
            AssertionError: when nothing was scaled, and without gradients.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._need_scale("step")
        progress = self._progress.setdefault(id(optimizer), _Progress())
        if progress.stage is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if progress.stage is OptState.READY:
            self.unscale_(optimizer)
        if progress.found_inf is None:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        progress.found_inf = bool(progress.found_inf)
        result = None if progress.found_inf else optimizer.step(*args, **kwargs)
        progress.stage = OptState.STEPPED
        return result

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """End the iteration: lower the factor if a step was skipped, or count towards its growth; or set ``new_scale``.

        Raises:
            AssertionError: when nothing was scaled or checked, and for a tensor of several elements or one that requires grad.
        """
        if not self._enabled:
            return
        scale = self._need_scale("update")
        if isinstance(new_scale, Tensor):
            if new_scale.numel() != 1 or new_scale.requires_grad:
                raise AssertionError("new_scale should be a float or a tensor of one element with requires_grad=False.")
            scale.copy_(new_scale.reshape(()))
        elif new_scale is not None:
            scale.fill_(float(new_scale))
        else:
            found = [p.found_inf for p in self._progress.values() if p.found_inf is not None]
            if not found:
                raise AssertionError("No inf checks were recorded prior to update.")
            if any(map(bool, found)):
                scale.mul_(self._backoff_factor)
                self._growth_tracker = 0
            else:
                self._growth_tracker += 1
                if self._growth_tracker == self._growth_interval:
                    self._growth_tracker = 0
                    grown = scale * self._growth_factor
                    if grown.isfinite().item():
                        scale.copy_(grown)
        self._progress = {}

    def _need_scale(self, name: str) -> Tensor:
        if self._scale is None:
            raise AssertionError(
                f"Attempted {name} but _scale is None.  This may indicate your script did not use scaler.scale(loss or outputs) earlier "
                "in the iteration."
            )
        return self._scale

    # --------------------------------------------------------------------------------------------------------- settings

    def get_scale(self) -> float:
        """The factor; 1 when disabled."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else float(self._scale)

    def get_growth_factor(self) -> float:
        """What the factor is multiplied by to grow."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set what the factor is multiplied by to grow."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """What the factor is multiplied by after an overflow."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set what the factor is multiplied by after an overflow."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """How many steps without overflow it takes to grow."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set how many steps without overflow it takes to grow."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Whether it scales."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """The factor and how it changes, for after ``update()``; nothing when disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned; a disabled one ignores it.

        Raises:
            RuntimeError: for an empty one.
        """
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler."
            )
        self._init_scale = state_dict["scale"]
        if self._scale is not None:
            self._scale.fill_(state_dict["scale"])
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._growth_tracker = state_dict["_growth_tracker"]
