"""Checks of the options that optimizers share."""

from __future__ import annotations

import numbers
from typing import Any

from ..tensor import Tensor


def check(valid: Any, message: str) -> None:
    """Raise ValueError with ``message`` unless ``valid``."""
    if not valid:
        raise ValueError(message)


def check_at_least_zero(options: dict[str, Any]) -> None:
    """Raise when an option is no number (tensors of one element are), negative or NaN.

    Raises:
        TypeError, ValueError: naming it.
    """
    for name, value in options.items():
        _check_at_least_zero(f"Invalid {name}", value)


def _check_at_least_zero(message: str, value: Any) -> None:
    if isinstance(value, Tensor):
        check(value.numel() == 1, f"{message}: a tensor of shape {tuple(value.shape)}, it must have 1 element")
    elif not isinstance(value, numbers.Real):
        raise TypeError(f"{message}: expected a number, got {type(value).__name__}")
    check(number(value) >= 0.0, f"{message}: {value}")


def check_learning_rate(
    lr: Any, foreach: bool | None = False, capturable: bool = False, message: str = "Invalid learning rate"
) -> None:
    """Raise when a learning rate is no number, no tensor of one element, negative or NaN.

    Raises:
        TypeError, ValueError: saying so.
    """
    if isinstance(lr, Tensor):
        check(capturable or not foreach, "lr as a Tensor is not supported for capturable=False and foreach=True")
        check(lr.numel() == 1, "Tensor lr must be 1-element")
    _check_at_least_zero(message, lr)


def check_betas(betas: Any, foreach: bool | None = False, capturable: bool = False) -> None:
    """Raise unless these are two numbers, or two tensors of one element, in [0, 1).

    Raises:
        TypeError, ValueError: naming what is wrong.
    """
    if not isinstance(betas, (tuple, list)) or len(betas) != 2 or not all(isinstance(b, (numbers.Real, Tensor)) for b in betas):
        raise TypeError(f"betas must be two numbers, got {betas!r}")
    for i, beta in enumerate(betas):
        if isinstance(beta, Tensor):
            check(capturable or not foreach, f"betas[{i}] as a Tensor is not supported for capturable=False and foreach=True")
            check(beta.numel() == 1, f"Tensor betas[{i}] must be 1-element")
        check(0.0 <= number(beta) < 1.0, f"Invalid beta parameter at index {i}: {beta}")
    check(isinstance(betas[0], Tensor) == isinstance(betas[1], Tensor), "betas must be either both floats or both Tensors")


def check_fused(fused: bool | None, foreach: bool | None, differentiable: bool) -> None:
    """Raise for what PyTorch's fused kernels exclude, although nothing depends on these choices here.

    Raises:
        RuntimeError: for ``fused`` together with ``differentiable`` or ``foreach``.
    """
    if fused and differentiable:
        raise RuntimeError("`fused` does not support `differentiable`")
    if fused and foreach:
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")


def number(value: Any) -> Any:
    """A tensor of one element as a Python number, read without an operation that a trace would refuse; the rest as it is.

    What a trace depends on that way, ``Optimizer.step`` has it watch.
    """
    return value._array.item() if isinstance(value, Tensor) else value


def numbers_of(group: dict[str, Any], differentiable: bool = False) -> dict[str, Any]:
    """A group whose options are numbers where they are tensors; with ``differentiable``, those that require grad stay."""
    if not any(isinstance(value, Tensor) or (value.__class__ is tuple and _has_tensors(value)) for value in group.values()):
        return group

    def plain(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(plain(v) for v in value)
        stays = isinstance(value, Tensor) and (value.numel() != 1 or (differentiable and value.requires_grad))
        return value if stays else number(value)

    return {name: value if name == "params" else plain(value) for name, value in group.items()}


def _has_tensors(values: tuple[Any, ...]) -> bool:
    return any(isinstance(value, Tensor) for value in values)
