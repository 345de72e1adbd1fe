"""The tree of modules: registering parameters, buffers and children by assignment, and going through them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

from ...hooks import RemovableHandle
from ...tensor import Tensor
from ..parameter import Buffer, Parameter, UninitializedBuffer

if TYPE_CHECKING:
    from .module import Module

# What is told of every registration in any module: kind -> hooks (module, name, value) that may return another value.
REGISTRATION_HOOKS: dict[str, dict[int, Callable[..., Any]]] = {"parameter": {}, "buffer": {}, "module": {}}
_TABLES = {"parameter": "_parameters", "buffer": "_buffers", "module": "_modules"}
# What a use of a module asks for first, which is missing when its class has not called super().__init__().
_OWN = frozenset((*_TABLES.values(), "training", "_forward_pre_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks"))


def register_module_parameter_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, name, param)`` at every registration of a parameter; what it returns, unless None, is registered instead."""
    return RemovableHandle(REGISTRATION_HOOKS["parameter"], hook)


def register_module_buffer_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, name, buffer)`` at every registration of a buffer; what it returns, unless None, is registered instead."""
    return RemovableHandle(REGISTRATION_HOOKS["buffer"], hook)


def register_module_module_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, name, child)`` at every registration of a child; what it returns, unless None, is registered instead."""
    return RemovableHandle(REGISTRATION_HOOKS["module"], hook)


class Tree:
    """The part of :class:`Module` that holds its parts."""

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _non_persistent_buffers_set: set[str]
    _modules: dict[str, Module | None]

    # --------------------------------------------------------------------------------------------------- registration

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Register a parameter, or None to reserve the name; ``self.name = Parameter(...)`` does the same.

        Raises:
            TypeError: when it is neither, or the name is not a string.
            KeyError: when the name is empty, holds a dot or is taken.
            AttributeError: before ``super().__init__()``.
        """
        self._check_name("parameter", name)
        if param is not None and not isinstance(param, Parameter):
            raise _wrong_kind("parameter", name, param, "tapegrad.nn.Parameter")
        self._put("parameter", name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Register a tensor that is state but not trained; with ``persistent`` it is part of the state dict.

        Raises:
            TypeError, KeyError, AttributeError: as :meth:`register_parameter`.
        """
        self._check_name("buffer", name)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise _wrong_kind("buffer", name, tensor, "tapegrad.Tensor")
        self._put("buffer", name, tensor)
        (self._non_persistent_buffers_set.discard if persistent else self._non_persistent_buffers_set.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Register a child; ``self.name = module`` does the same.

        Raises:
            TypeError, KeyError, AttributeError: as :meth:`register_parameter`.
        """
        self._check_name("module", name)
        if module is not None and not isinstance(module, Tree):
            raise _wrong_kind("module", name, module, "tapegrad.nn.Module")
        self._put("module", name, module)

    def register_module(self, name: str, module: Module | None) -> None:
        """:meth:`add_module` under another name."""
        self.add_module(name, module)

    def _put(self, kind: str, name: str, value: Any) -> None:
        for hook in tuple(REGISTRATION_HOOKS[kind].values()):
            changed = hook(self, name, value)
            value = value if changed is None else changed
        self.__dict__[_TABLES[kind]][name] = value

    def _check_name(self, kind: str, name: str) -> None:
        table = self.__dict__.get(_TABLES[kind])
        if table is None:
            raise AttributeError(f"cannot assign {kind} before Module.__init__() call; call super().__init__() first")
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string, got {type(name).__name__}")
        if "." in name or not name:
            raise KeyError(f"{kind} name can't " + ('be empty string ""' if not name else f'contain ".", got: {name}'))
        # A subclass's __getattr__ is not asked: one that looks into a part would look for the part that is being put here.
        places = (self.__dict__, *(self.__dict__[other] for other in _TABLES.values()))
        if name not in table and (hasattr(type(self), name) or any(name in place for place in places)):
            raise KeyError(f"attribute '{name}' already exists")

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
        elif isinstance(value, (Buffer, UninitializedBuffer)):
            self._vacate(name, "_buffers")
            self.register_buffer(name, value, value.persistent)
        elif name in tables.get("_buffers", ()):
            self.register_buffer(name, value, name not in self._non_persistent_buffers_set)
        else:
            object.__setattr__(self, name, value)

    def _vacate(self, name: str, keep: str) -> None:
        """Forget what ``name`` was, unless it stands in the table ``keep`` already."""
        tables = self.__dict__
        tables.pop(name, None)
        for table in _TABLES.values():
            if table != keep and name in tables.get(table, ()):
                del tables[table][name]
                self._non_persistent_buffers_set.discard(name)

    def __getattr__(self, name: str) -> Any:
        tables = self.__dict__  # written out, since every use of a part comes through here
        if "_modules" in tables:
            if name in (table := tables["_parameters"]) or name in (table := tables["_modules"]) or name in (table := tables["_buffers"]):
                return table[name]
        elif name in _OWN:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}: its __init__() must call super().__init__()")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)  # so Python suggests others

    def __delattr__(self, name: str) -> None:
        for table in (self._parameters, self._buffers, self._modules):
            if name in table:
                del table[name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = {*super().__dir__(), *self._parameters, *self._buffers, *self._modules}
        return sorted(name for name in names if not name[0].isdigit())  # "0" is no attribute that can be written

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

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all below it; one that occurs twice comes once by default."""
        return (module for _, module in self.named_modules(remove_duplicate=remove_duplicate))

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

    def named_buffers(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True) -> Iterator[tuple[str, Tensor]]:
        """The buffers with dotted names; one that occurs twice comes once by default."""
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

    # ---------------------------------------------------------------------------------------------- by a dotted name

    def get_submodule(self, target: str) -> Module:
        """The module with a dotted name; "" is this one.

        Raises:
            AttributeError: when there is none.
        """
        found = cast("Module", self)
        for name in target.split(".") if target else ():
            if not hasattr(found, name):
                raise AttributeError(f"{type(found).__name__} has no attribute `{name}`")
            found = getattr(found, name)
            if not isinstance(found, Tree):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return found

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put ``module`` where the dotted name says; with ``strict``, only in the place of another one.

        Raises:
            ValueError: when ``target`` is empty or ``module`` is no module.
            AttributeError: when there is nothing to put it in, or, with ``strict``, nothing to replace; or the name is something else's.
        """
        if not target:
            raise ValueError("cannot set the submodule without a target name")
        if not isinstance(module, Tree):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{type(parent).__name__} has no attribute `{name}`")
        if hasattr(parent, name) and not isinstance(getattr(parent, name), Tree):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter with a dotted name.

        Raises:
            AttributeError: when there is none.
        """
        owner, name = self._owner(target)
        if name not in owner._parameters and not isinstance(getattr(owner, name), Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return getattr(owner, name)  # type: ignore[no-any-return]

    def get_buffer(self, target: str) -> Tensor:
        """The buffer with a dotted name.

        Raises:
            AttributeError: when there is none.
        """
        owner, name = self._owner(target)
        if name not in owner._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        return getattr(owner, name)  # type: ignore[no-any-return]

    def _owner(self, target: str) -> tuple[Module, str]:
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        if not hasattr(owner, name):
            raise AttributeError(f"{type(owner).__name__} has no attribute `{name}`")
        return owner, name


def _wrong_kind(kind: str, name: str, value: Any, wanted: str) -> TypeError:
    hint = ""
    if kind == "parameter" and isinstance(value, Tensor):
        hint = "; a Tensor becomes one by Parameter(tensor)"
    elif kind == "module" and isinstance(value, type) and issubclass(value, Tree):
        hint = f"; give an instance, {value.__name__}(...), not the class"
    elif kind == "module" and isinstance(value, (list, tuple)):
        hint = "; give the modules one by one, Sequential(*modules), or put them in a ModuleList"
    elif kind == "module" and callable(value):
        hint = f"; {getattr(value, '__name__', 'a function')} is a function: use the module that calls it, or call it in forward"
    return TypeError(f"cannot assign '{type(value).__name__}' object to {kind} '{name}' ({wanted} or None required){hint}")


def _distinct(items: Any, seen: set[Any] | None) -> Iterator[tuple[str, Any]]:
    """The items that hold something; with ``seen``, each object once."""
    for name, value in items:
        if value is None or (seen is not None and value in seen):
            continue
        if seen is not None:
            seen.add(value)
        yield name, value
