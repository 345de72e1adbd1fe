"""Adafactor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import dtypes
from ..ops.create import zeros
from ..ops.reduction.vector_norm import norm
from ..tensor import Tensor
from .optimizer import Optimizer
from .options import check, check_learning_rate
from .step import count, move, shrink, slot


class Adafactor(Optimizer):
    """Adam without momentum, whose mean squares of a matrix are kept as one row and one column (Shazeer and Stern, 2018).

    https://arxiv.org/abs/1804.04235, with PyTorch's changes: ``lr`` bounds the relative step size, and ``eps[0]`` the estimate.

    Args:
        params: see :class:`Optimizer`.
        lr: the largest step, relative to the root mean square of the parameter; step number t is at most 1 / sqrt(t).
        beta2_decay: the running means of squares move by t ** beta2_decay.
        eps: the smallest root mean square of gradients (None: the dtype's epsilon), and of parameters.
        d: the largest root mean square of an update before it is scaled down.
        weight_decay: multiplies the parameter by 1 - lr * weight_decay in every step.
        foreach: changes nothing.
        maximize: climb instead.

    Raises:
        TypeError: for a learning rate that is no number.
        ValueError: for options out of range.
        RuntimeError: in ``step()``, for complex parameters.
    """

    splits_complex = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        check_learning_rate(lr, message="Learning rate should be >= 0 but is")
        check(beta2_decay <= 0.0, f"beta2_decay should be <= 0 but is: {beta2_decay}")
        check(eps[0] is None or eps[0] >= 0.0, f"epsilon1 should be >= 0 but is: {eps[0]}")
        check(eps[1] >= 0.0, f"epsilon2 should be >= 0 but is: {eps[1]}")
        check(d >= 1.0, f"Clipping threshold d should be >= 1 but is: {d}")
        check(weight_decay >= 0.0, f"weight_decay should be >= 0 but is: {weight_decay}")
        options = {"lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay}
        super().__init__(params, {**options, "foreach": foreach, "maximize": maximize})

    def update(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        if param.is_complex():
            raise RuntimeError("Adafactor does not support complex parameters")
        lr, (floor, smallest) = group["lr"], group["eps"]
        if floor is None:
            floor = dtypes.finfo(param.dtype).eps
        weight, rate = count(state, lambda step: (step ** group["beta2_decay"], min(lr, step**-0.5)))
        size = max(smallest, _root_mean_square(param)) * rate
        shrink(param, lr, group["weight_decay"])
        update = grad * self._mean_square(grad, state, weight, floor).clamp_(min=floor * floor).rsqrt_()
        move(param, update, -size / max(1.0, _root_mean_square(update) / group["d"]))

    def _mean_square(self, grad: Tensor, state: dict[str, Any], weight: float, floor: float) -> Tensor:
        """The estimate of the mean squared gradient: for matrices, the product of the means over columns and over rows."""
        if grad.ndim < 2:
            return slot(state, "variance", grad).lerp_(grad * grad, weight).clone()
        if "row_var" not in state:
            rows, columns = _factors(grad)
            state["row_var"] = zeros(rows, dtype=grad.dtype, device=grad.device)
            state["col_var"] = zeros(columns, dtype=grad.dtype, device=grad.device)
        row = state["row_var"].lerp_(norm(grad, dim=-1, keepdim=True).square_() / grad.shape[-1], weight)
        column = state["col_var"].lerp_(norm(grad, dim=-2, keepdim=True).square_() / grad.shape[-2], weight)
        mean: Tensor = row @ column
        return mean.div_(row.mean(dim=-2, keepdim=True).clamp_(min=floor))

    def misfits(self, param: Tensor, state: dict[str, Any]) -> list[str]:
        shapes = dict(zip(("row_var", "col_var"), _factors(param), strict=True)) if param.ndim > 1 else {"variance": tuple(param.shape)}
        return [
            f"{name} has shape {tuple(state[name].shape)}, it should have {shape}"
            for name, shape in shapes.items()
            if isinstance(state.get(name), Tensor) and tuple(state[name].shape) != shape
        ]


def _factors(param: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shapes of the means over columns and over rows."""
    *batch, rows, columns = param.shape
    return (*batch, rows, 1), (*batch, 1, columns)


def _root_mean_square(x: Tensor) -> float:
    value: float = norm(x).item() / x.numel() ** 0.5
    return value
