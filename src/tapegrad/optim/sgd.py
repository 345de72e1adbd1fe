"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..tensor import Tensor
from .optimizer import Optimizer
from .options import check, check_at_least_zero, check_fused, check_learning_rate
from .step import decayed, move


class SGD(Optimizer):
    """Gradient descent with momentum (Sutskever et al., 2013, https://proceedings.mlr.press/v28/sutskever13.html).

    v = momentum v + (1 - dampening) g, p = p - lr v.

    Args:
        params: see :class:`Optimizer`.
        lr: the learning rate.
        momentum: how much of the last step's direction is kept; 0 remembers nothing.
        dampening: how much less of the gradient is added; the first step adds all of it.
        weight_decay: adds weight_decay * p to the gradient.
        nesterov: use the gradient plus the momentum's direction.
        maximize: climb instead.
        foreach, fused: change nothing.
        differentiable: record the steps; see :class:`Optimizer`.

    Raises:
        TypeError: for options that are no numbers.
        ValueError: for negative options, and nesterov without momentum or with dampening.
        RuntimeError: for ``fused`` with ``foreach`` or ``differentiable``.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_learning_rate(lr)
        check_at_least_zero({"momentum value": momentum, "weight_decay value": weight_decay})
        check(not nesterov or (momentum > 0 and dampening == 0), "Nesterov momentum requires a momentum and zero dampening")
        check_fused(fused, foreach, differentiable)
        options = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov}
        modes = {"maximize": maximize, "foreach": foreach, "differentiable": differentiable, "fused": fused}
        super().__init__(params, {**options, **modes})

    def update(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        grad = decayed(grad, param, group["weight_decay"])
        if group["momentum"]:
            velocity = state.get("momentum_buffer")
            if velocity is None:
                velocity = state["momentum_buffer"] = grad.detach().clone()
            else:
                velocity.mul_(group["momentum"]).add_(grad, alpha=1 - group["dampening"])
            grad = grad.add(velocity, alpha=group["momentum"]) if group["nesterov"] else velocity
        move(param, grad, -group["lr"])
