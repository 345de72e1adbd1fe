"""All parameters as one vector, and back, as ``torch.nn.utils.convert_parameters``."""

from __future__ import annotations

from collections.abc import Iterable

from ...ops.shape.join import cat
from ...tensor import Tensor

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The elements of all parameters, one parameter after the other: shape (n,), with a gradient to them.

    Raises:
        ValueError: for no parameters.
    """
    parts = [p.reshape(-1) for p in parameters]
    if not parts:
        raise ValueError("parameters_to_vector: got no parameters")
    return cat(parts)


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Have parameters share the memory of consecutive parts of a vector; no gradient flows to it.

    Raises:
        TypeError: when ``vec`` is not a tensor.
        RuntimeError: when it has not as many elements as the parameters have; nothing is changed then.
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"vector_to_parameters: expected a Tensor, got {type(vec).__name__}")
    targets = list(parameters)
    count = sum(p.numel() for p in targets)
    if vec.ndim != 1 or vec.numel() != count:
        raise RuntimeError(f"vector_to_parameters: the parameters have {count} elements, vec has shape {tuple(vec.shape)}")
    start = 0
    for p in targets:
        p.data = vec[start : start + p.numel()].reshape(p.shape).detach()  # type: ignore[attr-defined]
        start += p.numel()
