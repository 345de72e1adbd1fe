"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..primitives import E
from ..tensor import Tensor
from .elementwise import ElementwiseOptimizer
from .options import check_at_least_zero, check_learning_rate
from .step import averaged, averaged_square, decay, decay_scalar


class RMSprop(ElementwiseOptimizer):
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

    def remembers(self, group: dict[str, Any]) -> dict[str, Any]:
        optional = {"momentum_buffer": group["momentum"], "grad_avg": group["centered"]}
        return dict.fromkeys(["square_avg", *(name for name, used in optional.items() if used)], 0.0)

    def scalars(self, group: dict[str, Any], step: float) -> dict[str, Any]:
        alpha = group["alpha"]
        means = {"kept": alpha, "added": 1 - alpha, "eps": group["eps"]}
        return {"rate": -group["lr"], "momentum": group["momentum"], **means, **decay_scalar(group)}

    def formula(self, param: Any, grad: Any, state: dict[str, Any], n: Any, group: dict[str, Any]) -> Any:
        param, grad = decay(param, grad, n, group)
        spread = state["square_avg"] = averaged_square(state["square_avg"], grad, n.kept, n.added)
        if group["centered"]:
            mean = state["grad_avg"] = averaged(state["grad_avg"], grad, n.kept, n.added)
            spread = spread - mean * mean
        direction = grad / (E.sqrt(spread) + n.eps)
        if group["momentum"]:
            direction = state["momentum_buffer"] = state["momentum_buffer"] * n.momentum + direction
        return param + n.rate * direction
