"""RAdam."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..tensor import Tensor
from .optimizer import Optimizer
from .options import check_at_least_zero, check_betas, check_learning_rate
from .step import average, average_square, count, move, move_by_ratio, slot, with_weight_decay

_LONG_ENOUGH = 5.0  # from this length of the average on, the variance of the adaptive rate is tractable


class RAdam(Optimizer):
    """Adam that starts as momentum and turns adaptive when its averages are long enough (Liu et al., 2020).

    https://arxiv.org/abs/1908.03265

    Args:
        params: see :class:`Optimizer`.
        lr: the learning rate.
        betas: decay of the running mean of the gradient, and of its square.
        eps: added to the denominator.
        weight_decay: adds weight_decay * p to the gradient.
        decoupled_weight_decay: shrink the parameter by lr * weight_decay instead.
        foreach, capturable: change nothing.
        maximize: climb instead.
        differentiable: record the steps; see :class:`Optimizer`.

    Raises:
        TypeError: for options that are no numbers.
        ValueError: for negative options, and betas outside [0, 1).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_learning_rate(lr)
        check_at_least_zero({"epsilon value": eps, "weight_decay value": weight_decay})
        check_betas(betas)
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        modes = {"foreach": foreach, "maximize": maximize, "capturable": capturable, "differentiable": differentiable}
        super().__init__(params, {**options, **modes, "decoupled_weight_decay": decoupled_weight_decay})

    def update(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        lr, (beta1, beta2) = group["lr"], group["betas"]
        longest = 2 / (1 - beta2) - 1

        def formula(step: float) -> tuple[Any, ...]:
            correction = 1 - beta2**step
            length = longest - 2 * step * beta2**step / correction
            rate = -lr / (1 - beta1**step)
            if length <= _LONG_ENOUGH:
                return False, rate
            rectified = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
            return True, rate * (correction * rectified) ** 0.5

        adaptive, rate = count(state, formula)
        grad = with_weight_decay(param, grad, group)
        mean, square = slot(state, "exp_avg", param), slot(state, "exp_avg_sq", param)
        average(mean, grad, beta1)
        average_square(square, grad, beta2)
        if adaptive:
            move_by_ratio(param, mean, square.sqrt() + group["eps"], rate)
        else:
            move(param, mean, rate)
