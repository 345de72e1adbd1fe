"""Adamax."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..tensor import Tensor
from .optimizer import Optimizer
from .options import check_at_least_zero, check_betas, check_learning_rate
from .step import average, count, decayed, move_by_ratio, slot


class Adamax(Optimizer):
    """Adam with a decaying maximum of the gradient's size in place of its mean square (Kingma and Ba, 2015, section 7.1).

    https://arxiv.org/abs/1412.6980

    Args:
        params: see :class:`Optimizer`.
        lr: the learning rate.
        betas: decay of the running mean of the gradient, and of its largest size.
        eps: added to the size of each gradient.
        weight_decay: adds weight_decay * p to the gradient.
        maximize: climb instead.
        foreach, capturable: change nothing.
        differentiable: record the steps; see :class:`Optimizer`.

    Raises:
        TypeError: for options that are no numbers.
        ValueError: for negative options, and betas outside [0, 1).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_learning_rate(lr)
        check_at_least_zero({"epsilon value": eps, "weight_decay value": weight_decay})
        check_betas(betas)
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        modes = {"foreach": foreach, "maximize": maximize, "differentiable": differentiable, "capturable": capturable}
        super().__init__(params, {**options, **modes})

    def update(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        lr, (beta1, beta2) = group["lr"], group["betas"]
        (rate,) = count(state, lambda step: (-lr / (1 - beta1**step),))
        grad = decayed(grad, param, group["weight_decay"])
        mean, largest = slot(state, "exp_avg", param), slot(state, "exp_inf", param)
        average(mean, grad, beta1)
        largest.mul_(beta2).maximum_(grad.abs() + group["eps"])
        move_by_ratio(param, mean, largest, rate)
