"""What layers without parts of their own share: how they are shown, and the flag ``inplace``."""

from __future__ import annotations

from typing import Any, ClassVar

from ...tensor import Tensor
from .module import Module


class Layer(Module):
    """A layer that is shown by a template of its attributes, and by further options that differ from what is usual.

    ``_shown`` is a template such as ``"p={p}, bias={bias}"``, in which a parameter stands for whether there is one. ``_shown_unless``
    has the usual value of each further option, also where the layer keeps one for each axis; a key may end in ``!r``.
    """

    _shown: ClassVar[str] = ""
    _shown_unless: ClassVar[dict[str, Any]] = {}

    def extra_repr(self) -> str:
        attributes = _Attributes(self)
        parts = [self._shown.format_map(attributes)] if self._shown else []
        for field, usual in self._shown_unless.items():
            name = field.removesuffix("!r")
            value = attributes[name]
            if value != usual and not (isinstance(value, tuple) and all(v == usual for v in value)):
                parts.append(f"{name}={{{field}}}".format_map(attributes))
        return ", ".join(parts)


class _Attributes(dict[str, Any]):
    """The attributes of a layer, looked up when they are asked for."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self._layer = layer

    def __missing__(self, name: str) -> Any:
        value = getattr(self._layer, name)
        is_parameter = isinstance(value, Tensor) or name in self._layer._parameters
        return value is not None if is_parameter else value


class InPlace(Layer):
    """A layer that may write its result into its input, which is shown only when it does."""

    _shown_unless: ClassVar[dict[str, Any]] = {"inplace": False}

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        if isinstance(inplace, Tensor):
            name = type(self).__name__
            raise TypeError(f"{name}: inplace is a flag, got a Tensor; make the layer first, then call it: {name}()(input)")
        self.inplace = inplace
