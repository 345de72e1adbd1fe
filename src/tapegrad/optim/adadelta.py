"""Adadelta."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..tensor import Tensor
from .optimizer import Optimizer
from .options import check, check_at_least_zero, check_learning_rate
from .step import average_square, count, decayed, move, slot


class Adadelta(Optimizer):
    """Steps whose size follows from those before: sqrt(mean square step / mean square gradient) g (Zeiler, 2012).

    https://arxiv.org/abs/1212.5701

    Args:
        params: see :class:`Optimizer`.
        lr: multiplies the step.
        rho: decay of both running means of squares.
        eps: added to both means under the roots.
        weight_decay: adds weight_decay * p to the gradient.
        foreach, capturable: change nothing.
        maximize: climb instead.
        differentiable: record the steps; see :class:`Optimizer`.

    Raises:
        TypeError: for options that are no numbers.
        ValueError: for negative options, and rho outside [0, 1].
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_learning_rate(lr)
        check(0.0 <= rho <= 1.0, f"Invalid rho value: {rho}")
        check_at_least_zero({"epsilon value": eps, "weight_decay value": weight_decay})
        options = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay}
        modes = {"foreach": foreach, "capturable": capturable, "maximize": maximize, "differentiable": differentiable}
        super().__init__(params, {**options, **modes})

    def update(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        rho, eps = group["rho"], group["eps"]
        count(state)
        grad = decayed(grad, param, group["weight_decay"])
        square, steps = slot(state, "square_avg", param), slot(state, "acc_delta", param)
        average_square(square, grad, rho)
        delta = (steps + eps).sqrt() / (square + eps).sqrt() * grad
        average_square(steps, delta, rho)
        move(param, delta, -group["lr"])
