"""ASGD."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..ops.create import tensor
from ..tensor import Tensor
from .optimizer import Optimizer
from .options import check_at_least_zero, check_learning_rate, number
from .step import count, counter_dtype, decayed, move, slot


class ASGD(Optimizer):
    """Gradient descent that also averages the parameter over its steps, in ``state[p]["ax"]`` (Polyak and Juditsky, 1992).

    https://doi.org/10.1137/0330046. The learning rate of step t is lr / (1 + lambd lr t)^alpha.

    Args:
        params: see :class:`Optimizer`.
        lr: the first learning rate.
        lambd: shrinks the parameter by lambd times the learning rate in each step.
        alpha: the power by which the learning rate falls.
        t0: the step from which on the average is taken; before, it is the parameter.
        weight_decay: adds weight_decay * p to the gradient.
        foreach, capturable: change nothing.
        maximize: climb instead.
        differentiable: record the steps; see :class:`Optimizer`.

    Raises:
        TypeError: for options that are no numbers.
        ValueError: for negative learning rate and weight decay.
    """

    numbers = ("step", "eta", "mu")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_learning_rate(lr)
        check_at_least_zero({"weight_decay value": weight_decay})
        options = {"lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay}
        modes = {"foreach": foreach, "maximize": maximize, "differentiable": differentiable, "capturable": capturable}
        super().__init__(params, {**options, **modes})

    def update(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        lr, lambd, alpha, t0 = number(group["lr"]), group["lambd"], group["alpha"], group["t0"]
        if "eta" not in state:
            state.update({name: tensor(value, dtype=counter_dtype(), device="cpu") for name, value in (("eta", lr), ("mu", 1.0))})
        next_eta, next_mu = count(state, lambda step: (lr / (1 + lambd * lr * step) ** alpha, 1 / max(1.0, step - t0)))
        grad = decayed(grad, param, group["weight_decay"])
        eta, mu, mean = state["eta"].item(), state["mu"].item(), slot(state, "ax", param)
        param.mul_(1 - lambd * eta)
        move(param, grad, -eta)
        if mu == 1:
            mean.copy_(param)
        else:
            mean.add_((param - mean) * mu)
        state["eta"].fill_(next_eta)
        state["mu"].fill_(next_mu)
