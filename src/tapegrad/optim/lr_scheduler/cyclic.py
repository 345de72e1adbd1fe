"""Learning rates that rise and fall, with momentum the other way round."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from ..optimizer import Optimizer
from .scheduler import (
    LRScheduler,
    assign,
    check_anneal_strategy,
    checked_optimizer,
    function_state,
    per_group,
    positive,
    set_function_state,
)


class _Cycle(LRScheduler):
    """Schedulers that cycle the momentum, too: "momentum", or the first of "betas"."""

    cycle_momentum: bool

    def _begin_momentum(self, cycle: bool, base: Any, most: Any, last_epoch: int) -> tuple[list[Any], list[Any]] | None:
        """Note in the groups between which values the momentum goes, and begin at the largest."""
        self.cycle_momentum = cycle
        if not cycle:
            return None
        optimizer = self.optimizer
        if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
            raise ValueError("optimizer must support momentum or beta1 with `cycle_momentum` option enabled")
        self.use_beta1 = "betas" in optimizer.defaults
        bases, mosts = per_group("base_momentum", optimizer, base), per_group("max_momentum", optimizer, most)
        if last_epoch == -1:
            for group, low, high in zip(optimizer.param_groups, bases, mosts, strict=True):
                self._set_momentum(group, high)
                group.update(max_momentum=high, base_momentum=low)
        return bases, mosts

    def _set_momentum(self, group: dict[str, Any], value: Any) -> None:
        if self.use_beta1:
            group["betas"] = (value, *group["betas"][1:])
        else:
            group["momentum"] = value


class CyclicLR(_Cycle):
    """Go up and down between ``base_lr`` and ``max_lr`` in straight lines (Smith, 2017, https://arxiv.org/abs/1506.01186).

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        base_lr, max_lr: the lowest and highest learning rate, or lists with one for each group.
        step_size_up, step_size_down: how many steps it takes; down as many as up by default.
        mode: "triangular"; "triangular2", whose height halves with each cycle; "exp_range", whose height is gamma^step.
        gamma: for "exp_range".
        scale_fn: a function that the height is multiplied by, in place of ``mode``.
        scale_mode: "cycle" or "iterations", what ``scale_fn`` is a function of.
        cycle_momentum: let the momentum (or the first of betas) go from ``max_momentum`` to ``base_momentum`` and back.
        base_momentum, max_momentum: numbers, or lists with one for each group.

    Raises:
        TypeError: when it is not an optimizer.
        ValueError: for another mode without a function, lists of another length, and optimizers without momentum.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: Literal["cycle", "iterations"] = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = checked_optimizer(optimizer)
        base_lrs = per_group("base_lr", optimizer, base_lr)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, base_lrs, strict=True):
                assign(group, "lr", lr)
        self.max_lrs = per_group("max_lr", optimizer, max_lr)
        up = float(step_size_up)
        self.total_size = up + (up if step_size_down is None else float(step_size_down))
        self.step_ratio = up / self.total_size
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError("mode is invalid and scale_fn is None")
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode
        self._init_scale_fn()
        momentums = self._begin_momentum(cycle_momentum, base_momentum, max_momentum, last_epoch)
        if momentums is not None:
            self.base_momentums, self.max_momentums = momentums
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def _init_scale_fn(self) -> None:
        if self._scale_fn_custom is not None:
            return
        functions: dict[str, Callable[[float], float]] = {
            "triangular": _full_height,
            "triangular2": _halving_height,
            "exp_range": partial(pow, self.gamma),
        }
        self._scale_fn_ref = functions[self.mode]
        self.scale_mode = "iterations" if self.mode == "exp_range" else "cycle"

    def scale_fn(self, x: float) -> float:
        """What the height is multiplied by in cycle (counted from 1) or step ``x``."""
        return (self._scale_fn_custom or self._scale_fn_ref)(x)

    def _next_lr(self) -> list[Any]:
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            ends = zip(self.base_momentums, self.max_momentums, strict=True)
            for group, (low, high) in zip(self.optimizer.param_groups, ends, strict=True):
                self._set_momentum(group, high - (high - low) * height * scale)
        return [low + (high - low) * height * scale for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        state.pop("_scale_fn_ref", None)
        return {**state, "_scale_fn_custom": function_state(self._scale_fn_custom)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "_scale_fn_custom"})
        set_function_state(self._scale_fn_custom, state_dict["_scale_fn_custom"])
        self._init_scale_fn()


def _full_height(x: float) -> float:
    return 1.0


def _halving_height(x: float) -> float:
    return 1 / 2.0 ** (x - 1)


class OneCycleLR(_Cycle):
    """Rise to ``max_lr`` and fall far below the start, once (Smith and Topin, 2018, https://arxiv.org/abs/1708.07120).

    Steps go from max_lr / div_factor to max_lr, then to max_lr / div_factor / final_div_factor.

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        max_lr: the highest learning rate, or a list with one for each group.
        total_steps: the number of steps, or give ``epochs`` and ``steps_per_epoch``.
        pct_start: the share of steps in which it rises.
        anneal_strategy: "cos" or "linear", the shape of both parts.
        cycle_momentum: let the momentum (or the first of betas) go from ``max_momentum`` to ``base_momentum`` and back.
        base_momentum, max_momentum: numbers, or lists with one for each group.
        div_factor: what the first learning rate is a fraction of ``max_lr`` by.
        final_div_factor: what the last is a fraction of the first by.
        three_phase: fall as fast as it rose first, then to the last learning rate.

    Raises:
        TypeError: when it is not an optimizer.
        ValueError: for arguments out of range, lists of another length, optimizers without momentum; in ``step()``, after the last.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = checked_optimizer(optimizer)
        if total_steps is not None:
            self.total_steps = positive("total_steps", total_steps)
        elif epochs is not None and steps_per_epoch is not None:
            self.total_steps = positive("epochs", epochs) * positive("steps_per_epoch", steps_per_epoch)
        else:
            raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        check_anneal_strategy(anneal_strategy)
        self._schedule_phases = _phases(self.total_steps, pct_start, three_phase)
        self._anneal_func_type = anneal_strategy
        max_lrs = per_group("max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for group, high in zip(optimizer.param_groups, max_lrs, strict=True):
                first = high / div_factor
                group.update(initial_lr=first, max_lr=high, min_lr=first / final_div_factor)
        self._begin_momentum(cycle_momentum, base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)

    def _between(self, start: Any, end: Any, share: float) -> Any:
        if self._anneal_func_type == "linear":
            return (end - start) * share + start
        return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)

    def _next_lr(self) -> list[Any]:
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(f"Tried to step {step} times. The specified number of total steps is {self.total_steps}")
        start = 0.0
        for phase in self._schedule_phases:
            if step <= phase["end_step"] or phase is self._schedule_phases[-1]:
                break
            start = phase["end_step"]
        share = (step - start) / (phase["end_step"] - start)
        groups = self.optimizer.param_groups
        if self.cycle_momentum:
            for group in groups:
                self._set_momentum(group, self._between(group[phase["start_momentum"]], group[phase["end_momentum"]], share))
        return [self._between(group[phase["start_lr"]], group[phase["end_lr"]], share) for group in groups]


def _phases(total: int, rising: float, three: bool) -> list[dict[str, Any]]:
    """Where each part of the cycle ends, and between which options of a group it goes."""

    def phase(end: float, start_lr: str, end_lr: str, start_momentum: str, end_momentum: str) -> dict[str, Any]:
        momentum = {"start_momentum": f"{start_momentum}_momentum", "end_momentum": f"{end_momentum}_momentum"}
        return {"end_step": end, "start_lr": f"{start_lr}_lr", "end_lr": f"{end_lr}_lr", **momentum}

    up = phase(float(rising * total) - 1, "initial", "max", "max", "base")
    if not three:
        return [up, phase(total - 1, "max", "min", "base", "max")]
    down = phase(float(2 * rising * total) - 2, "max", "initial", "base", "max")
    return [up, down, phase(total - 1, "initial", "min", "max", "max")]
