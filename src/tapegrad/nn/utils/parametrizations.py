"""Parametrizations that normalize weights, as ``torch.nn.utils.parametrizations``."""

from __future__ import annotations

from typing import Any, TypeVar

from ...modes import no_grad
from ...ops.linalg.matmul import matmul
from ...ops.random.generator import randn
from ...ops.reduction.vector_norm import norm
from ...tensor import Tensor
from .. import functional as F
from ..modules.conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from ..modules.module import Module
from .parametrize import register_parametrization

__all__ = ["spectral_norm", "weight_norm"]

M = TypeVar("M", bound=Module)

# ----------------------------------------------------------------------------------------------------------- weight norm


def norm_except_dim(v: Tensor, dim: int | None) -> Tensor:
    """The norms of the slices at every index along ``dim``, in v's shape with 1 elsewhere; of all, 0-d, for None or -1."""
    if dim is None or dim == -1:
        return norm(v)
    others = [d for d in range(v.ndim) if d != dim % v.ndim]
    return norm(v, 2, others, keepdim=True) if others else v.abs()


def weight_of(g: Tensor, v: Tensor, dim: int | None) -> Tensor:
    """``g v / norm(v)``: Salimans and Kingma, https://arxiv.org/abs/1602.07868."""
    return v * (g / norm_except_dim(v, dim))


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return weight_of(weight_g, weight_v, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_except_dim(weight, self.dim), weight.detach().clone()


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Train a weight's magnitude and direction apart: ``g v / norm(v)`` (Salimans and Kingma, https://arxiv.org/abs/1602.07868).

    The parameters are ``parametrizations.weight.original0`` (g) and ``original1`` (v). State dicts of the older
    :func:`tapegrad.nn.utils.weight_norm` can be loaded.

    Args:
        module: what has the weight.
        name: the weight's name.
        dim: along which each index has a magnitude of its own; None for one of all.

    Returns:
        The module.

    Raises:
        ValueError: when there is no such weight.
    """
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def accept_old_names(_module: Module, state_dict: Any, prefix: str, *_: Any) -> None:
        for i, old in enumerate((f"{prefix}{name}_g", f"{prefix}{name}_v")):
            if old in state_dict:
                state_dict[f"{prefix}parametrizations.{name}.original{i}"] = state_dict.pop(old)

    module.register_load_state_dict_pre_hook(accept_old_names)
    return module


# --------------------------------------------------------------------------------------------------------- spectral norm


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """(size of ``dim``, all others)."""
    return weight.movedim(dim, 0).flatten(1)  # type: ignore[no-any-return]


def spectral_dim(module: Module, dim: int | None) -> int:
    """The dimension of a weight's outputs unless one is given: 0, for transposed convolutions 1."""
    if dim is not None:
        return dim
    return 1 if isinstance(module, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)) else 0


@no_grad()
def power_iteration(matrix: Tensor, u: Tensor, v: Tensor, times: int, eps: float) -> None:
    """Bring u and v, in place, nearer to the singular vectors of the largest singular value."""
    for _ in range(times):
        u.copy_(F.normalize(matmul(matrix, v), dim=0, eps=eps))
        v.copy_(F.normalize(matmul(matrix.mT, u), dim=0, eps=eps))


def random_direction(size: int, like: Tensor, eps: float) -> Tensor:
    """A vector of norm 1, of the dtype of ``like``."""
    return F.normalize(randn(size, dtype=like.dtype, device=like.device), dim=0, eps=eps)


def check_iterations(count: int) -> None:
    """Raise ValueError for a number of power iterations that is not positive."""
    if count <= 0:
        raise ValueError(f"Expected n_power_iterations to be positive, but got n_power_iterations={count}")


class _SpectralNorm(Module):
    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        check_iterations(n_power_iterations)
        if not -weight.ndim <= dim < weight.ndim:
            raise IndexError(f"spectral_norm: dim {dim} is out of range for a weight of shape {tuple(weight.shape)}")
        self.n_power_iterations, self.dim, self.eps = n_power_iterations, dim % weight.ndim, eps
        if weight.ndim > 1:
            matrix = as_matrix(weight.detach(), self.dim)
            for name, size in zip(("_u", "_v"), matrix.shape, strict=True):
                self.register_buffer(name, random_direction(size, weight, eps))
            power_iteration(matrix, self._u, self._v, 15, eps)

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            power_iteration(matrix, self._u, self._v, self.n_power_iterations, self.eps)
        # copies, since the next forward may come before this one's backward
        u, v = self._u.clone(), self._v.clone()
        return weight / matmul(u, matmul(matrix, v))

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(module: M, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None) -> M:
    """Divide a weight by its largest singular value (Miyato et al., https://arxiv.org/abs/1802.05957).

    The value is estimated by power iteration, which goes on at each access in training. The parameter is
    ``parametrizations.weight.original``, the buffers are ``parametrizations.weight.0._u`` and ``_v``.

    Args:
        module: what has the weight.
        name: the weight's name.
        n_power_iterations: steps per access.
        eps: the least norm to divide by.
        dim: of the outputs, which are the rows of the matrix; by default 0, for transposed convolutions 1.

    Returns:
        The module.

    Raises:
        ValueError: when there is no such weight, or a number of iterations that is not positive.
        IndexError: when ``dim`` is out of range.
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"module {module} has no parameter or buffer with name {name!r}")
    return register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, spectral_dim(module, dim), eps))
