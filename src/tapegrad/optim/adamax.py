"""Adamax."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..primitives import E
from ..tensor import Tensor
from .elementwise import ElementwiseOptimizer
from .options import check_at_least_zero, check_betas, check_learning_rate
from .step import averaged, decay, decay_scalar


class Adamax(ElementwiseOptimizer):
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

    def remembers(self, group: dict[str, Any]) -> dict[str, Any]:
        return {"exp_avg": 0.0, "exp_inf": 0.0}

    def scalars(self, group: dict[str, Any], step: float) -> dict[str, Any]:
        beta1, beta2 = group["betas"]
        rate = -group["lr"] / (1 - beta1**step)
        return {"rate": rate, "kept1": beta1, "added1": 1 - beta1, "kept2": beta2, "eps": group["eps"], **decay_scalar(group)}

    def formula(self, param: Any, grad: Any, state: dict[str, Any], n: Any, group: dict[str, Any]) -> Any:
        param, grad = decay(param, grad, n, group)
        mean = state["exp_avg"] = averaged(state["exp_avg"], grad, n.kept1, n.added1)
        largest = state["exp_inf"] = E.maximum(state["exp_inf"] * n.kept2, abs(grad) + n.eps)
        return param + n.rate * (mean / largest)
