"""RAdam."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..primitives import E
from ..tensor import Tensor
from .elementwise import ElementwiseOptimizer
from .options import check_at_least_zero, check_betas, check_learning_rate
from .step import averaged, averaged_square, decay, decay_scalar

_LONG_ENOUGH = 5.0  # from this length of the average on, the variance of the adaptive rate is tractable


class RAdam(ElementwiseOptimizer):
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

    def remembers(self, group: dict[str, Any]) -> dict[str, Any]:
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0}

    def scalars(self, group: dict[str, Any], step: float) -> dict[str, Any]:
        beta1, beta2 = group["betas"]
        longest = 2 / (1 - beta2) - 1
        correction = 1 - beta2**step
        length = longest - 2 * step * beta2**step / correction
        adaptive = length > _LONG_ENOUGH
        rate = -group["lr"] / (1 - beta1**step)
        if adaptive:
            rectified = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
            rate = rate * (correction * rectified) ** 0.5
        means = {"kept1": beta1, "added1": 1 - beta1, "kept2": beta2, "added2": 1 - beta2}
        return {"rate": rate, "adaptive": float(adaptive), "eps": group["eps"], **means, **decay_scalar(group)}

    def formula(self, param: Any, grad: Any, state: dict[str, Any], n: Any, group: dict[str, Any]) -> Any:
        param, grad = decay(param, grad, n, group)
        mean = state["exp_avg"] = averaged(state["exp_avg"], grad, n.kept1, n.added1)
        square = state["exp_avg_sq"] = averaged_square(state["exp_avg_sq"], grad, n.kept2, n.added2)
        return param + n.rate * E.where(n.adaptive > 0, mean / (E.sqrt(square) + n.eps), mean)
