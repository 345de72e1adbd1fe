"""Muon."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from .. import dtypes
from ..ops.linalg.matmul_add import addmm
from ..ops.reduction.vector_norm import norm
from ..tensor import Tensor
from .optimizer import Optimizer
from .options import check, check_learning_rate
from .step import average, move, shrink, slot

_MAX_ITERATIONS = 100
_ADJUSTMENTS = ("original", "match_rms_adamw")


class Muon(Optimizer):
    """Momentum whose matrix is made nearly orthogonal before it is subtracted (Jordan, 2024).

    https://kellerjordan.github.io/posts/muon/. For the weight matrices of hidden layers; give biases, embeddings and the last
    layer to another optimizer, such as AdamW. The orthogonalization runs in bfloat16, as PyTorch's.

    Args:
        params: matrices; see :class:`Optimizer`.
        lr: the learning rate.
        weight_decay: multiplies the parameter by 1 - lr * weight_decay in every step.
        momentum: decay of the running mean of the gradient.
        nesterov: mix the gradient into the mean once more.
        ns_coefficients: of the polynomial a x + b x^3 + c x^5 that each Newton-Schulz iteration applies to the singular values.
        eps: the smallest norm that a matrix is divided by.
        ns_steps: the number of iterations, less than 100.
        adjust_lr_fn: "original" (or None) multiplies lr by sqrt(max(1, rows / columns)); "match_rms_adamw" by
            0.2 sqrt(max(rows, columns)), so that settings for AdamW carry over (Liu et al., 2025, https://arxiv.org/abs/2502.16982).

    Raises:
        TypeError: for a learning rate that is no number.
        ValueError: for options out of range, and parameters that are no matrices.
        RuntimeError: in ``step()``, for complex parameters, and when there is no bfloat16.
    """

    splits_complex = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        check_learning_rate(lr, message="Learning rate should be >= 0 but is")
        check(momentum >= 0.0, f"momentum should be >= 0 but is: {momentum}")
        check(weight_decay >= 0.0, f"weight decay should be >= 0 but is: {weight_decay}")
        check(
            adjust_lr_fn is None or adjust_lr_fn in _ADJUSTMENTS,
            f"Adjust learning rate function {adjust_lr_fn} is not supported",
        )
        options = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov}
        shaping = {"ns_coefficients": ns_coefficients, "eps": eps, "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn}
        super().__init__(params, {**options, **shaping})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        for p in self.param_groups[-1]["params"]:
            if p.ndim != 2:
                del self.param_groups[-1]
                raise ValueError(f"Muon only supports 2D parameters whereas we found a parameter with size: {p.shape}")

    def update(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        if param.is_complex():
            raise RuntimeError("Muon does not support complex parameters")
        mean = slot(state, "momentum_buffer", grad)
        average(mean, grad, group["momentum"])
        matrix = grad.lerp(mean, group["momentum"]) if group["nesterov"] else mean
        direction = orthogonalized(matrix, group["ns_coefficients"], group["ns_steps"], group["eps"])
        shrink(param, group["lr"], group["weight_decay"])
        move(param, direction, -group["lr"] * _adjustment(group["adjust_lr_fn"], *param.shape))


def orthogonalized(matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """A matrix with the singular vectors of ``matrix`` and singular values near 1, in bfloat16, by Newton-Schulz iterations.

    Raises:
        ValueError: for 100 steps and more, for other than three coefficients, and for what is no matrix.
        RuntimeError: when there is no bfloat16.
    """
    check(steps < _MAX_ITERATIONS, "Number of steps must be less than 100 for computational efficiency")
    check(matrix.ndim == 2, "Input tensor gradient must be a 2D matrix")
    check(len(coefficients) == 3, "Coefficients must be a tuple of exactly 3 values")
    a, b, c = coefficients
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.to(dtypes.need_bfloat16("Muon"))
    x = x.T if tall else x
    x = x / norm(x).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = _addmm(x, _addmm(gram, gram, gram, b, c), x, a, 1.0)
    return x.T if tall else x


def _addmm(input: Tensor, a: Tensor, b: Tensor, beta: float, alpha: float) -> Tensor:
    """``beta * input + alpha * (a @ b)``, rounded once."""
    result: Tensor = addmm(input.float(), a.float(), b.float(), beta=beta, alpha=alpha).to(input.dtype)
    return result


def _adjustment(name: str | None, rows: int, columns: int) -> float:
    """What the learning rate of a matrix is multiplied by."""
    return 0.2 * math.sqrt(max(rows, columns)) if name == "match_rms_adamw" else math.sqrt(max(1, rows / columns))
