"""Adam."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..tensor import Tensor
from .optimizer import Optimizer
from .options import check_at_least_zero, check_betas, check_fused, check_learning_rate
from .step import average, average_square, count, move_by_ratio, slot, with_weight_decay


class Adam(Optimizer):
    """Steps scaled by running moments of the gradient (Kingma and Ba, 2015, https://arxiv.org/abs/1412.6980).

    Args:
        params: see :class:`Optimizer`.
        lr: the learning rate.
        betas: decay of the running mean of the gradient, and of its square.
        eps: added to the denominator.
        weight_decay: adds weight_decay * p to the gradient.
        amsgrad: divide by the largest mean square seen (Reddi et al., 2018, https://openreview.net/forum?id=ryQu7f-RZ).
        foreach, capturable, fused: change nothing.
        maximize: climb instead.
        differentiable: record the steps; see :class:`Optimizer`.
        decoupled_weight_decay: shrink the parameter by lr * weight_decay instead, as :class:`AdamW`.

    Raises:
        TypeError: for options that are no numbers.
        ValueError: for negative options, and betas outside [0, 1).
        RuntimeError: for ``fused`` with ``foreach`` or ``differentiable``.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_learning_rate(lr, foreach, capturable)
        check_at_least_zero({"epsilon value": eps, "weight_decay value": weight_decay})
        check_betas(betas, foreach, capturable)
        check_fused(fused, foreach, differentiable)
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad, "maximize": maximize}
        modes = {"foreach": foreach, "capturable": capturable, "differentiable": differentiable, "fused": fused}
        super().__init__(params, {**options, **modes, "decoupled_weight_decay": decoupled_weight_decay})

    def update(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        lr, (beta1, beta2), eps = group["lr"], group["betas"], group["eps"]

        def formula(step: float) -> tuple[Any, ...]:
            """The factor of mean / (root + eps), where both means are to be divided by 1 - beta^step, since they start at zero."""
            scale = (1 - beta2**step) ** 0.5
            return -lr / (1 - beta1**step) * scale, eps * scale

        rate, eps_scaled = count(state, formula)
        grad = with_weight_decay(param, grad, group)
        mean, square = slot(state, "exp_avg", param), slot(state, "exp_avg_sq", param)
        average(mean, grad, beta1)
        average_square(square, grad, beta2)
        if group["amsgrad"]:
            square = slot(state, "max_exp_avg_sq", param).maximum_(square)
        move_by_ratio(param, mean, square.sqrt() + eps_scaled, rate)
