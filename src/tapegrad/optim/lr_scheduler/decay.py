"""Learning rates that fall, or rise, by a formula: at certain steps, or a little in every step."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from typing import Any

from ..optimizer import Optimizer
from .scheduler import Chainable


class StepLR(Chainable):
    """Multiply the learning rate by ``gamma`` every ``step_size`` steps: lr gamma^floor(t / step_size).

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        step_size: how many steps one learning rate lasts.
        gamma: the factor.
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _factor(self) -> float:
        return 1 if self.last_epoch == 0 or self.last_epoch % self.step_size else self.gamma

    def _closed_factor(self) -> float:
        return self.gamma ** (self.last_epoch // self.step_size)


class MultiStepLR(Chainable):
    """Multiply the learning rate by ``gamma`` at each of the ``milestones``.

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        milestones: steps; one that is given n times counts n times.
        gamma: the factor.
    """

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.milestones = Counter(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _factor(self) -> float:
        times = self.milestones[self.last_epoch]
        return self.gamma**times if times else 1

    def _closed_factor(self) -> float:
        return self.gamma ** bisect_right(sorted(self.milestones.elements()), self.last_epoch)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.milestones = Counter(self.milestones)  # a file has a plain dict


class ConstantLR(Chainable):
    """Multiply the learning rate by ``factor`` for the first ``total_iters`` steps.

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        factor: between 0 and 1.
        total_iters: the step at which the learning rate is the initial one again.

    Raises:
        ValueError: for a factor out of range.
    """

    def __init__(self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1) -> None:
        if not 0 <= factor <= 1.0:
            raise ValueError("Constant multiplicative factor expected to be between 0 and 1.")
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _factor(self) -> float:
        if self.last_epoch == 0:
            return self.factor
        return 1 if self.last_epoch != self.total_iters else 1.0 / self.factor

    def _closed_factor(self) -> float:
        return self.factor + (self.last_epoch >= self.total_iters) * (1 - self.factor)


class LinearLR(Chainable):
    """Let a factor of the learning rate go from ``start_factor`` to ``end_factor`` in ``total_iters`` equal steps, and stay.

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        start_factor: above 0, at most 1.
        end_factor: between 0 and 1.
        total_iters: how many steps it takes.

    Raises:
        ValueError: for factors out of range.
    """

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1.0 / 3, end_factor: float = 1.0, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        if not 0 < start_factor <= 1.0:
            raise ValueError("Starting multiplicative factor expected to be greater than 0 and less or equal to 1.")
        if not 0 <= end_factor <= 1.0:
            raise ValueError("Ending multiplicative factor expected to be between 0 and 1.")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _factor(self) -> float:
        if self.last_epoch == 0:
            return self.start_factor
        if self._is_initial or self.last_epoch > self.total_iters:
            return 1
        rise = self.end_factor - self.start_factor
        return 1.0 + rise / (self.total_iters * self.start_factor + (self.last_epoch - 1) * rise)

    def _closed_factor(self) -> float:
        rise = self.end_factor - self.start_factor
        return self.start_factor + rise * min(self.total_iters, self.last_epoch) / self.total_iters


class ExponentialLR(Chainable):
    """Multiply the learning rate by ``gamma`` in every step: lr gamma^t.

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        gamma: the factor.
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _factor(self) -> float:
        return 1 if self._is_initial else self.gamma

    def _closed_factor(self) -> float:
        return self.gamma**self.last_epoch


class PolynomialLR(Chainable):
    """Let the learning rate fall to zero in ``total_iters`` steps: lr (1 - t / total_iters)^power.

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        total_iters: how many steps it takes.
        power: of the polynomial.
    """

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def _factor(self) -> float:
        if self._is_initial or self.last_epoch > self.total_iters:
            return 1
        left = (1.0 - self.last_epoch / self.total_iters) / (1.0 - (self.last_epoch - 1) / self.total_iters)
        return float(left**self.power)

    def _closed_factor(self) -> float:
        return float((1.0 - min(self.total_iters, self.last_epoch) / self.total_iters) ** self.power)
