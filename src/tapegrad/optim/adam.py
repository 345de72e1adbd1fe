"""Adam."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..primitives import E
from ..tensor import Tensor
from .elementwise import ElementwiseOptimizer
from .options import check_at_least_zero, check_betas, check_fused, check_learning_rate
from .step import averaged, averaged_square, decay, decay_scalar


class Adam(ElementwiseOptimizer):
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

    def remembers(self, group: dict[str, Any]) -> dict[str, Any]:
        return dict.fromkeys(("exp_avg", "exp_avg_sq", "max_exp_avg_sq")[: 3 if group["amsgrad"] else 2], 0.0)

    def scalars(self, group: dict[str, Any], step: float) -> dict[str, Any]:
        lr, (beta1, beta2) = group["lr"], group["betas"]
        # The factor of mean / (root + eps), where both means are to be divided by 1 - beta^step, since they start at zero.
        scale = (1 - beta2**step) ** 0.5
        rates = {"rate": -lr / (1 - beta1**step) * scale, "eps": group["eps"] * scale}
        return {**rates, "kept1": beta1, "added1": 1 - beta1, "kept2": beta2, "added2": 1 - beta2, **decay_scalar(group)}

    def formula(self, param: Any, grad: Any, state: dict[str, Any], n: Any, group: dict[str, Any]) -> Any:
        param, grad = decay(param, grad, n, group)
        mean = state["exp_avg"] = averaged(state["exp_avg"], grad, n.kept1, n.added1)
        square = state["exp_avg_sq"] = averaged_square(state["exp_avg_sq"], grad, n.kept2, n.added2)
        if group["amsgrad"]:
            square = state["max_exp_avg_sq"] = E.maximum(state["max_exp_avg_sq"], square)
        return param + n.rate * (mean / (E.sqrt(square) + n.eps))
