"""Adagrad."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..primitives import E
from ..tensor import Tensor
from .elementwise import ElementwiseOptimizer
from .options import check_at_least_zero, check_fused, check_learning_rate
from .step import begin, decay, decay_scalar, slot


class Adagrad(ElementwiseOptimizer):
    """Steps divided by the root of the sum of all squared gradients (Duchi et al., 2011, https://jmlr.org/papers/v12/duchi11a.html).

    Args:
        params: see :class:`Optimizer`.
        lr: the learning rate.
        lr_decay: step number t uses lr / (1 + (t - 1) lr_decay).
        weight_decay: adds weight_decay * p to the gradient.
        initial_accumulator_value: what the sum begins with.
        eps: added to the denominator.
        foreach, fused: change nothing.
        maximize: climb instead.
        differentiable: record the steps; see :class:`Optimizer`.

    Raises:
        TypeError: for options that are no numbers.
        ValueError: for negative options.
        RuntimeError: for ``fused`` with ``foreach`` or ``differentiable``.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_learning_rate(lr)
        values = {"lr_decay": lr_decay, "weight_decay": weight_decay, "initial_accumulator_value": initial_accumulator_value}
        check_at_least_zero({**{f"{name} value": value for name, value in values.items()}, "epsilon value": eps})
        check_fused(fused, foreach, differentiable)
        modes = {"foreach": foreach, "maximize": maximize, "differentiable": differentiable, "fused": fused}
        super().__init__(params, {"lr": lr, **values, "eps": eps, **modes})
        for group in self.param_groups:
            for param in group["params"]:
                state = self.state[param]
                begin(state)
                both = complex(initial_accumulator_value, initial_accumulator_value)  # the sums of real and imaginary parts
                slot(state, "sum", param, both if param.is_complex() else initial_accumulator_value)

    def remembers(self, group: dict[str, Any]) -> dict[str, Any]:
        return {"sum": group["initial_accumulator_value"]}

    def scalars(self, group: dict[str, Any], step: float) -> dict[str, Any]:
        return {"rate": -group["lr"] / (1 + (step - 1) * group["lr_decay"]), "eps": group["eps"], **decay_scalar(group)}

    def formula(self, param: Any, grad: Any, state: dict[str, Any], n: Any, group: dict[str, Any]) -> Any:
        param, grad = decay(param, grad, n, group)
        total = state["sum"] = state["sum"] + grad * grad
        return param + n.rate * (grad / (E.sqrt(total) + n.eps))
