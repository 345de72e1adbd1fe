"""Parameters that are computed from others, as ``torch.nn.utils.parametrize``: by modules that stand between them and the layer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from ...modes import no_grad
from ...tensor import Tensor
from ..modules.container import ModuleDict, ModuleList
from ..modules.module import Module
from ..parameter import Parameter

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]

M = TypeVar("M", bound=Module)


class _Cache(threading.local):
    depth = 0
    values: dict[tuple[int, str], Tensor]


_cache = _Cache()


@contextmanager
def cached() -> Iterator[None]:
    """Compute every parametrized tensor at most once inside the block: for layers that are used more than once, as in a loop."""
    if _cache.depth == 0:
        _cache.values = {}
    _cache.depth += 1
    try:
        yield
    finally:
        _cache.depth -= 1
        if _cache.depth == 0:
            del _cache.values


class ParametrizationList(ModuleList):
    """The modules that compute a tensor, one after the other, and what the first of them starts from.

    Attributes:
        original: the tensor that is trained instead; ``original0``, ``original1`` and so on when the first module takes several.
        unsafe: whether the modules may change shapes and dtypes.

    Raises:
        ValueError: for no modules, or when they, or their ``right_inverse``, don't fit the tensor.
    """

    original: Tensor

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if not modules:
            raise ValueError("ParametrizationList requires one or more modules")
        super().__init__(modules)
        self.unsafe = unsafe
        with no_grad():
            start = _inverted(self, original)
        self.is_tensor = isinstance(start, Tensor)
        parts = [start] if isinstance(start, Tensor) else start
        if not isinstance(parts, Sequence) or not all(isinstance(part, Tensor) for part in parts):
            raise ValueError(f"'right_inverse' must return a Tensor or a Sequence of tensors, got {_kind(start)}")
        self.ntensors = len(parts)
        if self.is_tensor and start.dtype is not original.dtype:
            raise ValueError(f"a 'right_inverse' that returns one tensor may not change the dtype, from {original.dtype} to {start.dtype}")
        if not unsafe:
            with no_grad():
                _check_like("a parametrization", self._through(parts), original)
        if self.is_tensor:
            original.data = start.detach()  # type: ignore[attr-defined]  # the same object, which an optimizer may know already
            register_tensor(self, "original", original)
        else:
            for i, part in enumerate(parts):
                value = Parameter(part.detach(), original.requires_grad) if isinstance(original, Parameter) else part
                register_tensor(self, f"original{i}", value)

    def originals(self) -> list[Tensor]:
        """The tensors that the first module takes."""
        return [self.original] if self.is_tensor else [getattr(self, f"original{i}") for i in range(self.ntensors)]

    def right_inverse(self, value: Tensor) -> None:
        """Set the originals so that the modules give ``value``; what assigning to the parametrized tensor does.

        Raises:
            RuntimeError: when a module has no ``right_inverse``.
            ValueError: when it does not return as many tensors as there are originals.
        """
        with no_grad():
            start = _inverted(self, value, strict=True)
            parts = [start] if isinstance(start, Tensor) else list(start)
            if len(parts) != self.ntensors or isinstance(start, Tensor) != self.is_tensor:
                raise ValueError(f"'right_inverse' returned {len(parts)} tensors, there are {self.ntensors} originals")
            for original, part in zip(self.originals(), parts, strict=True):
                if part.shape == original.shape and part.dtype is original.dtype:
                    original.copy_(part)
                else:
                    original.data = part.detach()  # type: ignore[attr-defined]

    def forward(self) -> Tensor:
        return self._through(self.originals())

    def _through(self, originals: Sequence[Tensor]) -> Tensor:
        first, *others = self
        value = first(*originals)
        for module in others:
            value = module(value)
        return value  # type: ignore[no-any-return]


def _kind(value: Any) -> str:
    """The type, of a sequence with those of its items."""
    name = type(value).__name__
    return f"{name} of {', '.join(type(x).__name__ for x in value)}" if isinstance(value, (list, tuple)) else name


def _inverted(modules: ParametrizationList, value: Any, strict: bool = False) -> Any:
    """What the modules make ``value`` of. One without an inverse gets it as it is, or, with ``strict``, is an error."""
    for module in list(modules)[::-1]:
        if not hasattr(module, "right_inverse"):
            if strict:
                raise RuntimeError(f"parametrization {type(module).__name__} does not implement right_inverse")
            continue
        try:
            value = module.right_inverse(value)
        except NotImplementedError:
            if strict:
                raise
    return value


def register_tensor(module: Module, name: str, value: Tensor) -> None:
    """Register a parameter as one, and another tensor as a buffer."""
    if isinstance(value, Parameter):
        module.register_parameter(name, value)
    else:
        module.register_buffer(name, value)


def _check_like(what: str, made: Any, like: Tensor) -> None:
    if not isinstance(made, Tensor):
        raise ValueError(f"{what} must return a tensor, got {type(made).__name__}")
    if made.dtype is not like.dtype or made.shape != like.shape:
        raise ValueError(
            f"{what} may not change shape and dtype unless registered with unsafe=True: from {tuple(like.shape)}, {like.dtype} to "
            f"{tuple(made.shape)}, {made.dtype}"
        )


# ----------------------------------------------------------------------------------------------------- on modules


def register_parametrization(module: M, tensor_name: str, parametrization: Module, *, unsafe: bool = False) -> M:
    """Have ``module.tensor_name`` computed by ``parametrization`` from now on, and train what it computes it from.

    The original is in ``module.parametrizations.tensor_name.original``. A parametrization with a method ``right_inverse`` (value ->
    original, or several originals, which ``forward`` then takes) starts from it, and allows assigning to the tensor. Registering
    another one for the same tensor puts it behind the first.

    Args:
        module: what has the parameter or buffer; its class becomes a subclass made for it.
        tensor_name: the name of the parameter or buffer.
        parametrization: computes the tensor.
        unsafe: allow another shape or dtype than the original's.

    Returns:
        The module.

    Raises:
        ValueError: when there is no such tensor, or the parametrization does not fit.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        listed = module.parametrizations[tensor_name]
        if not unsafe:
            with no_grad():
                before = getattr(module, tensor_name)
                after = parametrization(before)
                _check_like("a parametrization", after, before)
                if hasattr(parametrization, "right_inverse"):
                    _check_like("a parametrization's right_inverse", parametrization.right_inverse(after), before)
        listed.append(parametrization)
        listed.unsafe |= unsafe
    elif module._parameters.get(tensor_name) is not None or module._buffers.get(tensor_name) is not None:
        listed = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe=unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            module.parametrizations = ModuleDict()
        module.parametrizations[tensor_name] = listed
        _fit_class(module)
    else:
        raise ValueError(f"module {module} does not have a parameter, a buffer, or a parametrized element with name {tensor_name!r}")
    return module


def remove_parametrizations(module: M, tensor_name: str, leave_parametrized: bool = True) -> M:
    """Undo :func:`register_parametrization`: make ``module.tensor_name`` a parameter or buffer again.

    Args:
        module: what has the tensor.
        tensor_name: its name.
        leave_parametrized: keep its present value; else it gets that of the original.

    Returns:
        The module.

    Raises:
        ValueError: when the tensor is not parametrized, or several originals should become its value.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"module {module} does not have a parametrization on {tensor_name}")
    listed = module.parametrizations[tensor_name]
    if not listed.is_tensor and not leave_parametrized:
        raise ValueError(f"leave_parametrized=False needs one original, but {tensor_name} is computed from {listed.ntensors}")
    originals = listed.originals()
    value = originals[0]
    if leave_parametrized:
        with no_grad():
            present = getattr(module, tensor_name).detach()
            if listed.is_tensor:
                value.data = present
            else:
                trained = any(x.requires_grad for x in originals)
                value = Parameter(present) if trained else present
    del module.parametrizations[tensor_name]
    if not len(module.parametrizations):
        del module.parametrizations
    _fit_class(module)
    register_tensor(module, tensor_name, value)
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a module has parametrizations, or one for a certain tensor."""
    found = getattr(module, "parametrizations", None)
    if not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def type_before_parametrizations(module: Module) -> type:
    """The class that a module had before :func:`register_parametrization`."""
    cls = type(module)
    return cls.__bases__[0] if "_parametrized" in vars(cls) else cls


def transfer_parametrizations_and_params(from_module: Module, to_module: M, tensor_name: str | None = None) -> M:
    """Give one module the parametrizations of another, with their originals; of all its tensors or of one.

    Raises:
        ValueError: when there are none.
    """
    if not is_parametrized(from_module, tensor_name):
        raise ValueError(f"module {from_module} does not have a parametrization" + (f" on {tensor_name}" if tensor_name else ""))
    for name in list(from_module.parametrizations) if tensor_name is None else [tensor_name]:
        listed = from_module.parametrizations[name]
        if not hasattr(to_module, name):
            with no_grad():
                register_tensor(to_module, name, Parameter(getattr(from_module, name).detach().clone()))
        for parametrization in listed:
            register_parametrization(to_module, name, parametrization, unsafe=listed.unsafe)
        target = to_module.parametrizations[name]
        for label in ["original"] if listed.is_tensor else [f"original{i}" for i in range(listed.ntensors)]:
            setattr(target, label, getattr(listed, label))
    return to_module


def _fit_class(module: Module) -> None:
    """Make the module's class one whose properties are its parametrized tensors, or its own class again.

    A class is never changed once it is made, so a copy of the module may share it.
    """
    base = type_before_parametrizations(module)
    if not is_parametrized(module):
        module.__class__ = base  # type: ignore[assignment]
        return
    properties = {name: _computed(name) for name in module.parametrizations}
    module.__class__ = type(f"Parametrized{base.__name__}", (base,), {"__module__": __name__, "_parametrized": True, **properties})


def _computed(name: str) -> property:
    def get(self: Any) -> Any:
        compute: Callable[[], Tensor] = self.parametrizations[name]
        if not _cache.depth:
            return compute()
        key = (id(self), name)
        if key not in _cache.values:
            _cache.values[key] = compute()
        return _cache.values[key]

    def put(self: Any, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(get, put)
