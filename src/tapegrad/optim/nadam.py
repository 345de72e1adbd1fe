"""NAdam."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..ops.create import tensor
from ..tensor import Tensor
from .optimizer import Optimizer
from .options import check_at_least_zero, check_betas, check_learning_rate
from .step import average, average_square, count, counter_dtype, move_by_ratio, slot, with_weight_decay


class NAdam(Optimizer):
    """Adam with Nesterov's momentum (Dozat, 2016, https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ).

    Args:
        params: see :class:`Optimizer`.
        lr: the learning rate.
        betas: decay of the running mean of the gradient, and of its square.
        eps: added to the denominator.
        weight_decay: adds weight_decay * p to the gradient.
        momentum_decay: how fast the momentum approaches its final value, betas[0].
        decoupled_weight_decay: shrink the parameter by lr * weight_decay instead.
        foreach, capturable: change nothing.
        maximize: climb instead.
        differentiable: record the steps; see :class:`Optimizer`.

    Raises:
        TypeError: for options that are no numbers.
        ValueError: for negative options, and betas outside [0, 1).
    """

    numbers = ("step", "mu_product")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_learning_rate(lr)
        check_at_least_zero({"epsilon value": eps, "weight_decay value": weight_decay, "momentum_decay value": momentum_decay})
        check_betas(betas)
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay}
        modes = {"foreach": foreach, "maximize": maximize, "capturable": capturable, "differentiable": differentiable}
        super().__init__(params, {**options, **modes, "decoupled_weight_decay": decoupled_weight_decay})

    def update(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        lr, (beta1, beta2), decay = group["lr"], group["betas"], group["momentum_decay"]

        def momentum(step: float) -> float:
            factor: float = beta1 * (1.0 - 0.5 * 0.96 ** (step * decay))
            return factor

        correction, now, following = count(state, lambda step: (1 - beta2**step, momentum(step), momentum(step + 1)))
        grad = with_weight_decay(param, grad, group)
        if "mu_product" not in state:
            state["mu_product"] = tensor(1.0, dtype=counter_dtype(), device="cpu")
        product = state["mu_product"].mul_(now).item()
        mean, square = slot(state, "exp_avg", param), slot(state, "exp_avg_sq", param)
        average(mean, grad, beta1)
        average_square(square, grad, beta2)
        denominator = (square / correction).sqrt() + group["eps"]
        move_by_ratio(param, grad, denominator, -lr * (1.0 - now) / (1.0 - product))
        move_by_ratio(param, mean, denominator, -lr * following / (1.0 - product * following))
