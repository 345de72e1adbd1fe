"""Learning rates on a cosine (Loshchilov and Hutter, 2017, https://arxiv.org/abs/1608.03983)."""

from __future__ import annotations

import math
from typing import Any

from ..optimizer import Optimizer
from .scheduler import LRScheduler, positive, values_of


class CosineAnnealingLR(LRScheduler):
    """Move along a cosine: eta_min + (lr - eta_min) (1 + cos(pi t / T_max)) / 2; after T_max steps it rises again.

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        T_max: the step of the smallest learning rate.
        eta_min: the smallest learning rate.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def _next_lr(self) -> list[Any]:
        rates, low = values_of(self.optimizer, "lr"), self.eta_min
        if self._is_initial:
            return rates
        if self._step_count == 1 and self.last_epoch > 0:
            return self._get_closed_form_lr()
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:  # the last one was the smallest, and shows no amplitude
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            return [lr + (base - low) * rise for lr, base in zip(rates, self.base_lrs, strict=True)]
        before = 1 + math.cos(math.pi * (self.last_epoch - 1) / self.T_max)
        return [(1 + math.cos(math.pi * self.last_epoch / self.T_max)) / before * (lr - low) + low for lr in rates]

    def _get_closed_form_lr(self) -> list[Any]:
        height = 1 + math.cos(math.pi * self.last_epoch / self.T_max)
        return [self.eta_min + (base - self.eta_min) * height / 2 for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Fall along a cosine and begin again: for T_0 steps, then for T_0 T_mult, T_0 T_mult^2, ...

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        T_0: steps until the first restart.
        T_mult: how many times longer each period is.
        eta_min: the learning rate that each period falls to.

    Raises:
        ValueError: for T_0 and T_mult that are not positive integers, and an eta_min that is no number.
    """

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        positive("T_0", T_0)
        if not isinstance(T_mult, int) or T_mult < 1:
            raise ValueError(f"Expected integer T_mult >= 1, but got {T_mult}")
        if not isinstance(eta_min, (float, int)):
            raise ValueError(f"Expected float or int eta_min, but got {eta_min} of type {type(eta_min)}")
        self.T_0 = T_0
        self.T_i = T_0  # the length of this period
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur: float = last_epoch  # the step within it
        super().__init__(optimizer, last_epoch)

    def _next_lr(self) -> list[Any]:
        height = 1 + math.cos(math.pi * self.T_cur / self.T_i)
        return [self.eta_min + (base - self.eta_min) * height / 2 for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Go on to the next step, or to any ``epoch``, which may be a fraction (epoch + batch / batches).

        Raises:
            ValueError: for a negative epoch.
        """
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        elif epoch < 0:
            raise ValueError(f"Expected non-negative epoch, but got {epoch}")
        elif self.T_mult == 1:
            self.T_i, self.T_cur = self.T_0, epoch % self.T_0
        else:
            periods = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult)) if epoch >= self.T_0 else 0
            self.T_i = self.T_0 * self.T_mult**periods
            self.T_cur = epoch - self.T_0 * (self.T_mult**periods - 1) / (self.T_mult - 1) if periods else epoch
        self.last_epoch = math.floor(epoch)
        with self._while("_get_lr_called_within_step"):
            values = self.get_lr()
        self._set(values)
