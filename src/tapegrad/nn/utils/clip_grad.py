"""Limits for gradients before an optimizer's step, as ``torch.nn.utils.clip_grad``."""

from __future__ import annotations

import types
import warnings
from collections.abc import Iterable

from ...modes import no_grad
from ...ops.create import tensor
from ...ops.reduction.vector_norm import norm
from ...ops.shape.join import stack
from ...tensor import Tensor
from ..old_names import without_underscore

__all__ = ["clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"]

Tensors = Tensor | Iterable[Tensor]


def _listed(given: Tensors, name: str) -> list[Tensor]:
    if isinstance(given, Tensor):
        return [given]
    if not isinstance(given, Iterable):
        hint = "; pass its .parameters()" if hasattr(given, "parameters") else ""
        raise TypeError(f"{name}: expected a tensor or an iterable of tensors, got {type(given).__name__}{hint}")
    return list(given)


def _grads(given: Tensors, name: str) -> list[Tensor]:
    found = _listed(given, name)
    if not found and isinstance(given, types.GeneratorType):  # which may have been used up
        warnings.warn(f"{name}: `parameters` is an empty generator, no gradient clipping will occur", stacklevel=4)
    return [p.grad for p in found if p.grad is not None]


def _on_device_of(x: Tensor, like: Tensor) -> Tensor:
    """Parameters may be on several devices; the norm is on the first one's."""
    return x if x.device is like.device else x.to(like.device)


@no_grad()
def get_total_norm(tensors: Tensors, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None) -> Tensor:
    """The norm of all tensors as one vector, 0-d.

    Args:
        tensors: a tensor or several.
        norm_type: p of the p-norm, a number or "inf"; see :func:`tapegrad.norm`.
        error_if_nonfinite: raise when the norm is infinite or NaN.
        foreach: ignored; PyTorch's choice of an implementation.

    Raises:
        RuntimeError: see ``error_if_nonfinite``.
    """
    p = float(norm_type)
    norms = [norm(x, p) for x in _listed(tensors, "get_total_norm")]
    if not norms:
        return tensor(0.0)
    total = norms[0] if len(norms) == 1 else norm(stack([_on_device_of(x, norms[0]) for x in norms]), p)
    if error_if_nonfinite and not bool(total.isfinite()):
        raise RuntimeError(
            f"the total norm of order {p} of the gradients is {total.item()}, so they can't be clipped; pass error_if_nonfinite=False to "
            "scale them by it anyway"
        )
    return total


@no_grad()
def clip_grads_with_norm_(parameters: Tensors, max_norm: float, total_norm: Tensor, foreach: bool | None = None) -> None:
    """Multiply all gradients by ``max_norm / (total_norm + 1e-6)`` where that is less than 1; see :func:`clip_grad_norm_`."""
    _scale(_grads(parameters, "clip_grads_with_norm_"), max_norm, total_norm)


def _scale(grads: list[Tensor], max_norm: float, total_norm: Tensor) -> None:
    factor = (float(max_norm) / (total_norm + 1e-6)).clamp(max=1.0)  # multiplied always: asking whether it is 1 would show values to Python
    for grad in grads:
        grad.mul_(_on_device_of(factor, grad))


@no_grad()
def clip_grad_norm_(
    parameters: Tensors, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Tensor:
    """Scale the gradients of parameters, in place, so that their norm as one vector is at most ``max_norm``.

    Pascanu et al., https://arxiv.org/abs/1211.5063.

    Args:
        parameters: a tensor or several; those without a gradient are passed over.
        max_norm: the largest norm.
        norm_type, error_if_nonfinite, foreach: see :func:`get_total_norm`.

    Returns:
        The norm before, 0-d.

    Raises:
        RuntimeError: see ``error_if_nonfinite``.
        TypeError: when ``parameters`` is neither a tensor nor an iterable.
    """
    grads = _grads(parameters, "clip_grad_norm_")
    total = get_total_norm(grads, norm_type, error_if_nonfinite, foreach)
    _scale(grads, max_norm, total)
    return total


clip_grad_norm = without_underscore(clip_grad_norm_, "nn.utils")


@no_grad()
def clip_grad_value_(parameters: Tensors, clip_value: float, foreach: bool | None = None) -> None:
    """Clamp the elements of all gradients, in place, to [-clip_value, clip_value].

    Raises:
        TypeError: when ``parameters`` is neither a tensor nor an iterable.
    """
    limit = float(clip_value)
    for grad in _grads(parameters, "clip_grad_value_"):
        grad.clamp_(-limit, limit)
