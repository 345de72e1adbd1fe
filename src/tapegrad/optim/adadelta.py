"""Adadelta."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..primitives import E
from ..tensor import Tensor
from .elementwise import ElementwiseOptimizer
from .options import check, check_at_least_zero, check_learning_rate
from .step import averaged_square, decay, decay_scalar


class Adadelta(ElementwiseOptimizer):
    """Steps whose size follows from those before: sqrt(mean square step / mean square gradient) g (Zeiler, 2012).

    https://arxiv.org/abs/1212.5701

    Args:
        params: see :class:`Optimizer`.
        lr: multiplies the step.
        rho: decay of both running means of squares.
        eps: added to both means under the roots.
        weight_decay: adds weight_decay * p to the gradient.
        foreach, capturable: change nothing.
        maximize: climb instead.
        differentiable: record the steps; see :class:`Optimizer`.

    Raises:
        TypeError: for options that are no numbers.
        ValueError: for negative options, and rho outside [0, 1].
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_learning_rate(lr)
        check(0.0 <= rho <= 1.0, f"Invalid rho value: {rho}")
        check_at_least_zero({"epsilon value": eps, "weight_decay value": weight_decay})
        options = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay}
        modes = {"foreach": foreach, "capturable": capturable, "maximize": maximize, "differentiable": differentiable}
        super().__init__(params, {**options, **modes})

    def remembers(self, group: dict[str, Any]) -> dict[str, Any]:
        return {"square_avg": 0.0, "acc_delta": 0.0}

    def scalars(self, group: dict[str, Any], step: float) -> dict[str, Any]:
        rho = group["rho"]
        return {"rate": -group["lr"], "kept": rho, "added": 1 - rho, "eps": group["eps"], **decay_scalar(group)}

    def formula(self, param: Any, grad: Any, state: dict[str, Any], n: Any, group: dict[str, Any]) -> Any:
        param, grad = decay(param, grad, n, group)
        square = state["square_avg"] = averaged_square(state["square_avg"], grad, n.kept, n.added)
        delta = E.sqrt(state["acc_delta"] + n.eps) / E.sqrt(square + n.eps) * grad
        state["acc_delta"] = averaged_square(state["acc_delta"], delta, n.kept, n.added)
        return param + n.rate * delta
