"""Modules that hold parameters: in a list, by name. Other tensors become parameters; what is no tensor is kept as it is."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn, TypeVar

from ...tensor import Tensor
from ..parameter import Parameter
from .container import checked_iterable, checked_pairs, position
from .module import Module

__all__ = ["ParameterDict", "ParameterList"]

D = TypeVar("D", bound="ParameterDict")
L = TypeVar("L", bound="ParameterList")


class _Holder(Module):
    """Values that are attributes of the module, so that parameters among them are registered."""

    def _put_value(self, key: str, value: Any) -> None:
        if isinstance(value, Tensor) and not isinstance(value, Parameter):
            value = Parameter(value)
        setattr(self, key, value)

    def forward(self, *input: Any) -> NoReturn:
        raise RuntimeError(f"{type(self).__name__} should not be called.")

    def _lines(self, pairs: Iterable[tuple[Any, Any]]) -> str:
        lines = []
        for key, value in pairs:
            if isinstance(value, Tensor):
                kind = "Parameter" if isinstance(value, Parameter) else "Tensor"
                text = f"{kind} containing: [{value.dtype} of size {'x'.join(map(str, value.shape))}]"
            else:
                text = f"Object of type: {type(value).__name__}"
            lines.append(f"  ({key}): {text}")
        return "\n".join(lines)


class ParameterList(_Holder):
    """A list of parameters that a module can hold.

    Attributes are named "0", "1", ..., which are their names in the state dict.
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self += values

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, idx: int | slice) -> Any:
        if isinstance(idx, slice):
            return type(self)(list(self)[idx])
        return getattr(self, str(position(idx, self._size)))

    def __setitem__(self, idx: int, param: Any) -> None:
        self._put_value(str(position(idx, self._size)), param)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(self._size))

    def __iadd__(self: L, parameters: Iterable[Any]) -> L:
        return self.extend(parameters)

    def append(self: L, value: Any) -> L:
        """Add a value at the end; returns the list."""
        self._size += 1
        self[self._size - 1] = value
        return self

    def extend(self: L, values: Iterable[Any]) -> L:
        """Add values at the end; returns the list."""
        for value in list(checked_iterable(values, "ParameterList.extend")):
            self.append(value)
        return self

    def extra_repr(self) -> str:
        return self._lines(enumerate(self))


class ParameterDict(_Holder):
    """Parameters by name, in order."""

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def _key_to_attr(self, key: Any) -> str:
        if not isinstance(key, str):
            raise TypeError(f"names in a ParameterDict are strings, got {key!r} ({type(key).__name__})")
        return key

    def __getitem__(self, key: str) -> Any:
        return getattr(self, self._key_to_attr(key))

    def __setitem__(self, key: str, value: Any) -> None:
        name = self._key_to_attr(key)
        self._put_value(name, value)
        self._keys[key] = None

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, self._key_to_attr(key))

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __or__(self, other: ParameterDict) -> ParameterDict:
        made = self.copy()
        made.update(other)
        return made

    def __ror__(self, other: ParameterDict) -> ParameterDict:
        made = ParameterDict(other)
        made.update(self)
        return made

    def __ior__(self: D, other: ParameterDict) -> D:
        self.update(other)
        return self

    def copy(self) -> ParameterDict:
        """A dictionary of its own with the same parameters."""
        return ParameterDict(self.items())

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value of a name, put there now if there was none."""
        if key not in self:
            self[key] = default
        return self[key]

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a name, or ``default``."""
        return self[key] if key in self._keys else default

    def pop(self, key: str) -> Any:
        """Take a value out and return it."""
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Take the last name and value out and return them."""
        key = next(reversed(self))
        return key, self.pop(key)

    def clear(self) -> None:
        """Take all values out."""
        for key in list(self._keys):
            del self[key]

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """A new dictionary with one value for all names."""
        return ParameterDict((key, default) for key in keys)

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._keys.keys()

    def values(self) -> Iterable[Any]:
        """The values."""
        return (self[key] for key in self._keys)

    def items(self) -> Iterable[tuple[str, Any]]:
        """(name, value) pairs."""
        return ((key, self[key]) for key in self._keys)

    def update(self, parameters: Mapping[str, Any] | ParameterDict | Iterable[tuple[str, Any]]) -> None:
        """Add or replace values: a mapping, or (name, value) pairs. A plain dict's come in the order of names, as in PyTorch."""
        pairs = list(parameters.items()) if isinstance(parameters, ParameterDict) else checked_pairs(parameters, "ParameterDict.update")
        if isinstance(parameters, Mapping) and not isinstance(parameters, OrderedDict):
            pairs.sort(key=lambda pair: pair[0])
        for key, value in pairs:
            self[key] = value

    def extra_repr(self) -> str:
        return self._lines(self.items())
