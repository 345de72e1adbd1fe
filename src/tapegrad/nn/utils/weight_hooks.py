"""Weights normalized before each forward by a hook, ``torch.nn.utils.weight_norm`` and ``spectral_norm``: for old scripts and checkpoints.

New code takes the functions of the same names in :mod:`tapegrad.nn.utils.parametrizations`.
"""

from __future__ import annotations

import warnings
from typing import Any, TypeVar

from ...ops.linalg.matmul import matmul
from ...tensor import Tensor
from ..modules.module import Module
from ..parameter import Parameter
from .parametrizations import as_matrix, check_iterations, norm_except_dim, power_iteration, random_direction, spectral_dim, weight_of
from .parametrize import register_tensor

__all__ = ["remove_spectral_norm", "remove_weight_norm", "spectral_norm", "weight_norm"]

M = TypeVar("M", bound=Module)


class _Hook:
    """A forward pre-hook that sets the plain attribute ``name`` from parameters and buffers whose names begin so."""

    kind: str
    suffixes: tuple[str, ...]  # of what replaces the parameter

    def __init__(self, name: str) -> None:
        self.name = name

    def parts(self, module: Module) -> list[Any]:
        """What the weight is computed from."""
        return [getattr(module, self.name + suffix) for suffix in self.suffixes]

    def compute(self, module: Module, update: bool) -> Tensor:
        raise NotImplementedError

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute(module, module.training))


def _hooked(module: M, hook: _Hook, parts: list[Tensor]) -> M:
    del module._parameters[hook.name]
    for suffix, part in zip(hook.suffixes, parts, strict=True):
        register_tensor(module, hook.name + suffix, part)
    setattr(module, hook.name, hook.compute(module, False))
    module.register_forward_pre_hook(hook)
    return module


def _unhooked(module: M, kind: type[_Hook], name: str) -> M:
    found = [(key, hook) for key, hook in module._forward_pre_hooks.items() if isinstance(hook, kind) and hook.name == name]
    if not found:
        raise ValueError(f"{kind.kind} of '{name}' not found in {module}")
    [(key, hook)] = found
    weight = hook.compute(module, False).detach()
    for suffix in hook.suffixes:
        delattr(module, name + suffix)
    delattr(module, name)
    del module._forward_pre_hooks[key]
    setattr(module, name, Parameter(weight))
    return module


class _WeightNorm(_Hook):
    kind, suffixes = "weight_norm", ("_g", "_v")

    def __init__(self, name: str, dim: int | None) -> None:
        super().__init__(name)
        self.dim = dim

    def compute(self, module: Module, update: bool) -> Tensor:
        g, v = self.parts(module)
        return weight_of(g, v, self.dim)


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """:func:`tapegrad.nn.utils.parametrizations.weight_norm` with the parameters ``weight_g`` and ``weight_v``. Deprecated.

    Raises:
        RuntimeError: when it is there already.
        KeyError: when there is no parameter of that name.
    """
    warnings.warn("nn.utils.weight_norm is deprecated; call nn.utils.parametrizations.weight_norm", FutureWarning, stacklevel=2)
    weight = _parameter(module, _WeightNorm, name)
    return _hooked(module, _WeightNorm(name, dim), [Parameter(norm_except_dim(weight, dim)), Parameter(weight)])


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Undo :func:`weight_norm`; the weight keeps its value.

    Raises:
        ValueError: when it is not there.
    """
    return _unhooked(module, _WeightNorm, name)


class _SpectralNorm(_Hook):
    kind, suffixes = "spectral_norm", ("_orig", "_u", "_v")

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float) -> None:
        super().__init__(name)
        self.n_power_iterations, self.dim, self.eps = n_power_iterations, dim, eps

    def compute(self, module: Module, update: bool) -> Tensor:
        weight, u, v = self.parts(module)
        matrix = as_matrix(weight, self.dim)
        if update:
            power_iteration(matrix.mT, v, u, self.n_power_iterations, self.eps)  # v first, as PyTorch's here
        u, v = u.clone(), v.clone()
        return weight / matmul(u, matmul(matrix, v))


def spectral_norm(module: M, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None) -> M:
    """:func:`tapegrad.nn.utils.parametrizations.spectral_norm` with ``weight_orig`` and the buffers ``weight_u`` and ``weight_v``.

    Raises:
        RuntimeError: when it is there already.
        KeyError: when there is no parameter of that name.
        ValueError: for a number of iterations that is not positive.
    """
    check_iterations(n_power_iterations)
    weight = _parameter(module, _SpectralNorm, name)
    hook = _SpectralNorm(name, n_power_iterations, spectral_dim(module, dim), eps)
    directions = [random_direction(n, weight, eps) for n in as_matrix(weight, hook.dim).shape]
    return _hooked(module, hook, [getattr(module, name), *directions])


def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """Undo :func:`spectral_norm`; the weight keeps its value.

    Raises:
        ValueError: when it is not there.
    """
    return _unhooked(module, _SpectralNorm, name)


def _parameter(module: Module, kind: type[_Hook], name: str) -> Tensor:
    """The values of the parameter to replace."""
    if any(isinstance(hook, kind) and hook.name == name for hook in module._forward_pre_hooks.values()):
        raise RuntimeError(f"Cannot register two {kind.kind} hooks on the same parameter {name}")
    found = module._parameters.get(name)
    if found is None:
        known = ", ".join(map(repr, module._parameters))
        raise KeyError(f"{type(module).__name__} has no parameter {name!r}; it has {known}")
    return found.detach()
