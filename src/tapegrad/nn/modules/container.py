"""Modules that hold modules: in a row, in a list, by name."""

from __future__ import annotations

import operator
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any, TypeVar

from .module import Module, bracketed, indented

__all__ = ["ModuleDict", "ModuleList", "Sequential"]

S = TypeVar("S", bound="_Indexed")


def position(index: Any, count: int, one_more: bool = False) -> int:
    """A place among ``count`` from the front, for an index that may count from the end.

    Raises:
        IndexError: when there is no such place.
        TypeError: for what is no integer.
    """
    i = operator.index(index)
    if not -count <= i < count + one_more:
        raise IndexError(f"index {i} is out of range for {count} items")
    return i + count if i < 0 else i


def checked_iterable(items: Any, what: str) -> Any:
    """``items``, if one can go through them.

    Raises:
        TypeError: otherwise.
    """
    if not isinstance(items, Iterable):
        raise TypeError(f"{what} should be called with an iterable, but got {type(items).__name__}")
    return items


def checked_pairs(items: Any, what: str) -> list[tuple[Any, Any]]:
    """The pairs of a mapping, or of an iterable of pairs.

    Raises:
        TypeError: when it is neither.
        ValueError: for an item that is no pair.
    """
    if isinstance(items, (Mapping, ModuleDict)):
        return list(items.items())
    if not isinstance(items, Iterable):
        raise TypeError(f"{what} should be called with an iterable of key/value pairs, but got {type(items).__name__}")
    pairs = []
    for i, pair in enumerate(items):
        if not isinstance(pair, Iterable):
            raise TypeError(f"{what} sequence element #{i} should be Iterable; is {type(pair).__name__}")
        pair = tuple(pair)
        if len(pair) != 2:
            raise ValueError(f"{what} sequence element #{i} has length {len(pair)}; 2 is required")
        pairs.append(pair)
    return pairs


class _Indexed(Module):
    """Children named "0", "1", ... in order."""

    def _replace(self: S, modules: Iterable[Module]) -> S:
        kept = list(modules)
        self._modules.clear()
        for i, module in enumerate(kept):
            self.add_module(str(i), module)
        return self

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())  # type: ignore[arg-type]

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)()._replace(list(self)[index])
        return list(self)[position(index, len(self))]

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(list(self._modules)[position(index, len(self))], module)

    def __delitem__(self, index: int | slice) -> None:
        kept = list(self)
        del kept[index if isinstance(index, slice) else position(index, len(self))]
        self._replace(kept)

    def append(self: S, module: Module) -> S:
        """Add a module at the end; returns the container."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self: S, modules: Iterable[Module]) -> S:
        """Add modules at the end; returns the container."""
        for module in list(checked_iterable(modules, f"{type(self).__name__}.extend")):
            self.append(module)
        return self

    def pop(self, key: int | slice) -> Any:
        """Take a module out and return it."""
        taken = self[key]
        del self[key]
        return taken

    def __iadd__(self: S, other: Iterable[Module]) -> S:
        return self.extend(other)


class Sequential(_Indexed):
    """Modules in a row, each fed the output of the one before: ``Sequential(a, b)`` or ``Sequential({name: a})``."""

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], Mapping):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            self._replace(args)

    def forward(self, input: Any) -> Any:
        for module in self._modules.values():
            input = module(input)  # type: ignore[misc]
        return input

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(dict(list(self._modules.items())[index]))
        return super().__getitem__(index)

    def insert(self: S, index: int, module: Module) -> S:
        """Add a module before position ``index``; returns the container.

        Raises:
            IndexError: when ``index`` is beyond the end.
            TypeError: when ``module`` is no module.
        """
        if not isinstance(module, Module):
            raise TypeError(f"module should be of type: {Module}, got {type(module).__name__}")
        modules = list(self)
        modules.insert(position(index, len(self), one_more=True), module)
        return self._replace(modules)

    def __add__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            raise ValueError(f"add operator supports only objects of Sequential class, but {type(other)} is given.")
        return Sequential(*self, *other)

    def __iadd__(self, other: Any) -> Sequential:  # type: ignore[misc]  # any iterable extends a ModuleList
        if not isinstance(other, Sequential):
            raise ValueError(f"add operator supports only objects of Sequential class, but {type(other)} is given.")
        return self.extend(other)

    def __mul__(self, other: int) -> Sequential:
        return Sequential(*(list(self) * self._times(other)))

    __rmul__ = __mul__

    def __imul__(self, other: int) -> Sequential:
        return self.extend(list(self) * (self._times(other) - 1))

    def _times(self, other: Any) -> int:
        if not isinstance(other, int):
            raise TypeError(f"unsupported operand type(s) for *: {type(self)} and {type(other)}")
        if other <= 0:
            raise ValueError(f"Non-positive multiplication factor {other} for {type(self)}")
        return other


class ModuleList(_Indexed):
    """A list of modules that a module can hold; it has no ``forward`` of its own."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self += modules

    def insert(self, index: int, module: Module) -> None:
        """Add a module before position ``index``, as ``list.insert``."""
        modules = list(self)
        modules.insert(index, module)
        self._replace(modules)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __repr__(self) -> str:
        runs: list[tuple[int, int, str]] = []  # first, last, text: equal neighbours are shown once
        for i, text in enumerate(map(repr, self)):
            if runs and runs[-1][2] == text:
                runs[-1] = (runs[-1][0], i, text)
            else:
                runs.append((i, i, text))
        lines = [
            f"({a}): {indented(text)}" if a == b else f"({a}-{b}): {b - a + 1} x {indented(text)}"
            for a, b, text in runs
        ]
        return bracketed(self._get_name(), [], lines)


class ModuleDict(Module):
    """Modules by name, in order; it has no ``forward`` of its own."""

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Module:
        return self._modules[key]  # type: ignore[return-value]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> ValuesView[Any]:
        """The modules."""
        return self._modules.values()

    def items(self) -> ItemsView[str, Any]:
        """(name, module) pairs."""
        return self._modules.items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add or replace modules: a mapping, or (name, module) pairs."""
        for name, module in checked_pairs(modules, "ModuleDict.update"):
            self[name] = module

    def pop(self, key: str) -> Module:
        """Take a module out and return it."""
        module = self[key]
        del self[key]
        return module

    def clear(self) -> None:
        """Take all modules out."""
        self._modules.clear()
