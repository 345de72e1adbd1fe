"""Adam and AdamW."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from typing import Any

from ..modes import counted
from ..ops.create import zeros_like
from ..ops.elementwise import maximum
from ..tensor import Tensor
from .optimizer import Optimizer, check_at_least_zero


class Adam(Optimizer):
    """Steps scaled by running moments of the gradient (Kingma and Ba, 2015, https://arxiv.org/abs/1412.6980).

    Args:
        params: see :class:`Optimizer`.
        lr: the learning rate.
        betas: decay of the running mean of the gradient, and of its square.
        eps: added to the denominator.
        weight_decay: adds weight_decay * p to the gradient.
        amsgrad: divide by the largest mean square seen (Reddi et al., 2018).
        maximize: climb instead.
        decoupled_weight_decay: shrink the parameter by lr * weight_decay instead, as :class:`AdamW`.

    Raises:
        TypeError: for options that are no numbers.
        ValueError: for negative options, and betas outside [0, 1).
        RuntimeError: in ``step()``, for complex parameters.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_at_least_zero({"learning rate": lr, "epsilon value": eps, "weight_decay value": weight_decay})
        if not isinstance(betas, (tuple, list)) or len(betas) != 2 or not all(isinstance(b, numbers.Real) for b in betas):
            raise TypeError(f"betas must be two numbers, got {betas!r}")
        for i, beta in enumerate(betas):
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        super().__init__(params, {**options, "maximize": maximize, "decoupled_weight_decay": decoupled_weight_decay})

    def update(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        if param.is_complex():
            raise RuntimeError(f"{type(self).__name__} works on real parameters so far, got {param.dtype}")
        if not state:
            state.update(step=0, exp_avg=zeros_like(param), exp_avg_sq=zeros_like(param))
            if group["amsgrad"]:
                state["max_exp_avg_sq"] = zeros_like(param)
        beta1, beta2 = group["betas"]
        decay, decoupled = group["weight_decay"], group["decoupled_weight_decay"]
        if group["maximize"]:
            grad = -grad
        if decay and decoupled:
            param.mul_(1 - group["lr"] * decay)
        elif decay:
            grad = grad.add(param, alpha=decay)
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        mean.mul_(beta1).add_(grad, alpha=1 - beta1)
        square.mul_(beta2).add_(grad * grad, alpha=1 - beta2)
        if group["amsgrad"]:
            largest = state["max_exp_avg_sq"]
            square = largest.copy_(maximum(largest, square))
        # both means start at zero; dividing by 1 - beta^step corrects for that
        lr = group["lr"]
        scale, rate = counted(state, "step", lambda step: (math.sqrt(1 - beta2**step), -lr / (1 - beta1**step)))
        denominator = (square.sqrt() / scale).add_(group["eps"])
        param.add_(mean / denominator * rate)


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameter itself (Loshchilov and Hutter, 2019, https://arxiv.org/abs/1711.05101).

    Args:
        params: see :class:`Optimizer`.
        lr, betas, eps, amsgrad, maximize: see :class:`Adam`.
        weight_decay: multiplies the parameter by 1 - lr * weight_decay in every step.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True)
