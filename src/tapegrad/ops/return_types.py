"""The named tuples that functions with several results return, as PyTorch's ``torch.return_types``."""

from __future__ import annotations

from typing import Any, ClassVar

from ..tensor import Tensor


class ReturnType(tuple[Tensor, ...]):
    """A tuple of tensors, also by name. ``fields`` are the names in order."""

    __slots__ = ()
    fields: ClassVar[tuple[str, ...]]

    def __getattr__(self, name: str) -> Tensor:
        if name in self.fields:
            return self[self.fields.index(name)]
        raise AttributeError(f"{type(self).__name__} has {', '.join(self.fields)}, no {name!r}")

    def __reduce__(self) -> Any:
        return tuple, (tuple(self),)

    def __repr__(self) -> str:
        inside = ",\n".join(f"{name}={value!r}" for name, value in zip(self.fields, self, strict=True))
        return f"tapegrad.return_types.{type(self).__name__}(\n{inside})"


def return_type(name: str, *fields: str) -> type[ReturnType]:
    """A named tuple type; of (values, indices) unless fields are given."""
    return type(name, (ReturnType,), {"__slots__": (), "fields": fields or ("values", "indices")})
