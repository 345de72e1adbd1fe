"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..tensor import Tensor
from .elementwise import ElementwiseOptimizer
from .options import check, check_at_least_zero, check_fused, check_learning_rate
from .step import decay, decay_scalar


class SGD(ElementwiseOptimizer):
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

    counts = False

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

    def remembers(self, group: dict[str, Any]) -> dict[str, Any]:
        return {"momentum_buffer": 0.0} if group["momentum"] else {}

    def scalars(self, group: dict[str, Any], step: float) -> dict[str, Any]:
        kept, added = (0.0, 1.0) if step == 1 else (group["momentum"], 1 - group["dampening"])
        return {"rate": -group["lr"], "momentum": group["momentum"], "kept": kept, "added": added, **decay_scalar(group)}

    def formula(self, param: Any, grad: Any, state: dict[str, Any], n: Any, group: dict[str, Any]) -> Any:
        param, grad = decay(param, grad, n, group)
        if group["momentum"]:
            taken = grad.detach() if isinstance(grad, Tensor) and n.kept == 0 else grad  # in the first step, as in PyTorch
            velocity = state["momentum_buffer"] = n.kept * state["momentum_buffer"] + n.added * taken
            grad = grad + n.momentum * velocity if group["nesterov"] else velocity
        return param + n.rate * grad
