"""AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..tensor import Tensor
from .adam import Adam


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameter itself (Loshchilov and Hutter, 2019, https://arxiv.org/abs/1711.05101).

    Args:
        params: see :class:`Optimizer`.
        lr, betas, eps, amsgrad, maximize, foreach, capturable, differentiable, fused: see :class:`Adam`.
        weight_decay: multiplies the parameter by 1 - lr * weight_decay in every step.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        modes: dict[str, Any] = {"foreach": foreach, "capturable": capturable, "differentiable": differentiable, "fused": fused}
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, **modes, decoupled_weight_decay=True)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for group in self.param_groups:  # also when it is the state of an Adam
            group["decoupled_weight_decay"] = True
