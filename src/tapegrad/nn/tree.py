"""The tree of modules: registering parameters, buffers and children by assignment, and going through them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from ..tensor import Tensor
from .parameter import Parameter

if TYPE_CHECKING:
    from .module import Module


class Tree:
    """The part of :class:`Module` that holds its parts."""

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _transient: set[str]  # buffers that are not part of the state dict
    _modules: dict[str, Module | None]

    def __init__(self) -> None:
        self._parameters = {}
        self._buffers = {}
        self._transient = set()
        self._modules = {}

    # --------------------------------------------------------------------------------------------------- registration

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Register a parameter, or None to reserve the name; ``self.name = Parameter(...)`` does the same.

        Raises:
            TypeError: when it is neither, or the name is not a string.
            KeyError: when the name is empty, holds a dot or is taken.
        """
        self._check_name("parameter", name, "_parameters")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign a {type(param).__name__} as parameter {name!r} (tapegrad.nn.Parameter or None required)"
            )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Register a tensor that is state but not trained; with ``persistent`` it is part of the state dict.

        Raises:
            TypeError, KeyError: as :meth:`register_parameter`.
        """
        self._check_name("buffer", name, "_buffers")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign a {type(tensor).__name__} as buffer {name!r} (tapegrad.Tensor or None required)"
            )
        self._buffers[name] = tensor
        (self._transient.discard if persistent else self._transient.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Register a child; ``self.name = module`` does the same.

        Raises:
            TypeError, KeyError: as :meth:`register_parameter`.
        """
        self._check_name("module", name, "_modules")
        if module is not None and not isinstance(module, Tree):
            raise TypeError(
                f"cannot assign a {type(module).__name__} as module {name!r} (tapegrad.nn.Module or None required)"
            )
        self._modules[name] = module

    register_module = add_module

    def _check_name(self, kind: str, name: str, table: str) -> None:
        if table not in self.__dict__:
            raise AttributeError(f"cannot assign a {kind} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string, got {type(name).__name__}")
        if "." in name or not name:
            raise KeyError(f"{kind} name can't " + ("be empty" if not name else f'contain ".", got {name!r}'))
        if name not in self.__dict__[table] and hasattr(self, name):
            raise KeyError(f"attribute {name!r} already exists")

    def __setattr__(self, name: str, value: Any) -> None:
        tables = self.__dict__
        if isinstance(value, Parameter):
            self._vacate(name, "_parameters")
            self.register_parameter(name, value)
        elif name in tables.get("_parameters", ()):
            self.register_parameter(name, value)  # None empties the place; anything else is a TypeError
        elif isinstance(value, Tree):
            self._vacate(name, "_modules")
            self.add_module(name, cast("Module", value))
        elif name in tables.get("_modules", ()):
            self.add_module(name, value)
        elif name in tables.get("_buffers", ()):
            self.register_buffer(name, value, name not in self._transient)
        else:
            object.__setattr__(self, name, value)

    def _vacate(self, name: str, keep: str) -> None:
        """Forget what ``name`` was, unless it stands in the table ``keep`` already."""
        tables = self.__dict__
        tables.pop(name, None)
        for table in {"_parameters", "_buffers", "_modules"} - {keep}:
            tables.get(table, {}).pop(name, None)

    def __getattr__(self, name: str) -> Any:
        for table in ("_parameters", "_buffers", "_modules"):
            if table in self.__dict__ and name in self.__dict__[table]:
                return self.__dict__[table][name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        for table in (self._parameters, self._buffers, self._modules):
            if name in table:
                del table[name]
                self._transient.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules})

    # -------------------------------------------------------------------------------------------------- going through

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below it, with dotted names; a module that occurs twice comes once by default."""
        memo = set() if memo is None else memo
        module = cast("Module", self)
        if module in memo:
            return
        if remove_duplicate:
            memo.add(module)
        yield prefix, module
        for name, child in self._modules.items():
            if child is not None:
                yield from child.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly below, with their names."""
        return ((name, child) for name, child in _distinct(self._modules.items(), set()))

    def children(self) -> Iterator[Module]:
        """The modules directly below."""
        return (child for _, child in self.named_children())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters with dotted names; one that occurs twice comes once by default."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once: what an optimizer is given."""
        return (param for _, param in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers with dotted names."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def _named(self, table: str, prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[tuple[str, Any]]:
        seen: set[Any] | None = set() if remove_duplicate else None
        owners = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        if not recurse:
            owners = iter([(prefix, cast("Module", self))])
        for path, module in owners:
            dot = f"{path}." if path else ""
            yield from ((dot + name, value) for name, value in _distinct(getattr(module, table).items(), seen))

    def get_submodule(self, target: str) -> Module:
        """The module with a dotted name; "" is this one.

        Raises:
            AttributeError: when there is none.
        """
        found = cast("Module", self)
        for name in target.split(".") if target else ():
            child = found._modules.get(name)
            if child is None:
                raise AttributeError(f"{type(found).__name__} has no module {name!r} (looking for {target!r})")
            found = child
        return found

    def get_parameter(self, target: str) -> Parameter:
        """The parameter with a dotted name.

        Raises:
            AttributeError: when there is none.
        """
        path, _, name = target.rpartition(".")
        param = self.get_submodule(path)._parameters.get(name)
        if param is None:
            raise AttributeError(f"{type(self).__name__} has no parameter {target!r}")
        return param


def _distinct(items: Any, seen: set[Any] | None) -> Iterator[tuple[str, Any]]:
    """The items that hold something; with ``seen``, each object once."""
    for name, value in items:
        if value is None or (seen is not None and value in seen):
            continue
        if seen is not None:
            seen.add(value)
        yield name, value
