"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..tensor import Tensor
from .optimizer import Optimizer
from .options import check_at_least_zero, check_learning_rate
from .step import average, average_square, count, decayed, move, move_by_ratio, slot


class RMSprop(Optimizer):
    """Steps divided by the root of a running mean of squared gradients (Hinton, 2012, lecture 6).

    https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf; centered: Graves, 2013,
    https://arxiv.org/abs/1308.0850

    Args:
        params: see :class:`Optimizer`.
        lr: the learning rate.
        alpha: decay of the running means.
        eps: added to the root.
        weight_decay: adds weight_decay * p to the gradient.
        momentum: how much of the last step's direction is kept.
        centered: subtract the square of the mean gradient: divide by its estimated standard deviation.
        capturable, foreach: change nothing.
        maximize: climb instead.
        differentiable: record the steps; see :class:`Optimizer`.

    Raises:
        TypeError: for options that are no numbers.
        ValueError: for negative options.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_learning_rate(lr)
        check_at_least_zero(
            {"epsilon value": eps, "momentum value": momentum, "weight_decay value": weight_decay, "alpha value": alpha}
        )
        options = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum, "centered": centered}
        modes = {"capturable": capturable, "foreach": foreach, "maximize": maximize, "differentiable": differentiable}
        super().__init__(params, {**options, **modes})

    def update(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        count(state)
        grad = decayed(grad, param, group["weight_decay"])
        spread = square = slot(state, "square_avg", param)
        average_square(square, grad, group["alpha"])
        if group["centered"]:
            mean = slot(state, "grad_avg", param)
            average(mean, grad, group["alpha"])
            spread = square.addcmul(mean, mean, value=-1)
        denominator = spread.sqrt() + group["eps"]
        if group["momentum"]:
            velocity = slot(state, "momentum_buffer", param)
            velocity.mul_(group["momentum"]).addcdiv_(grad, denominator)
            move(param, velocity, -group["lr"])
        else:
            move_by_ratio(param, grad, denominator, -group["lr"])
