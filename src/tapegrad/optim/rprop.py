"""Rprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..primitives import E
from ..tensor import Tensor
from .elementwise import ElementwiseOptimizer
from .options import check, check_learning_rate


class Rprop(ElementwiseOptimizer):
    """Steps that follow from the signs of the gradient alone, for whole batches (Riedmiller and Braun, 1993).

    https://doi.org/10.1109/ICNN.1993.298623. Each element has a step size, which grows while its gradient keeps its sign and
    shrinks when it changes; then the element rests for a step.

    Args:
        params: see :class:`Optimizer`.
        lr: the first step size.
        etas: what a step size is multiplied by when the sign has changed, and when it has not.
        step_sizes: the smallest and largest step size.
        capturable, foreach: change nothing.
        maximize: climb instead.
        differentiable: record the steps; see :class:`Optimizer`.

    Raises:
        TypeError: for a learning rate that is no number.
        ValueError: for a negative learning rate, and unless 0 < etas[0] < 1 < etas[1].
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_learning_rate(lr)
        check(0.0 < etas[0] < 1.0 < etas[1], f"Invalid eta values: {etas[0]}, {etas[1]}")
        modes = {"capturable": capturable, "foreach": foreach, "maximize": maximize, "differentiable": differentiable}
        super().__init__(params, {"lr": lr, "etas": etas, "step_sizes": step_sizes, **modes})

    def remembers(self, group: dict[str, Any]) -> dict[str, Any]:
        return {"prev": 0.0, "step_size": group["lr"]}

    def scalars(self, group: dict[str, Any], step: float) -> dict[str, Any]:
        (shrinking, growing), (smallest, largest) = group["etas"], group["step_sizes"]
        return {"shrinking": shrinking, "growing": growing, "smallest": smallest, "largest": largest}

    def formula(self, param: Any, grad: Any, state: dict[str, Any], n: Any, group: dict[str, Any]) -> Any:
        same = grad * state["prev"]
        size = E.where(same > 0, state["step_size"] * n.growing, E.where(same < 0, state["step_size"] * n.shrinking, state["step_size"]))
        size = state["step_size"] = E.minimum(E.maximum(size, n.smallest), n.largest)
        grad = state["prev"] = E.where(same < 0, 0.0, grad)
        return param - E.sign(grad) * size
