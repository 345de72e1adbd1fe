"""Old names of tensors of one dtype: ``FloatTensor`` and so on, which make them, tell them apart and convert with ``type()``."""

from __future__ import annotations

from typing import Any

from .. import dtypes
from ..tensor import Tensor, array_of, wrap

__all__ = [
    "BoolTensor",
    "ByteTensor",
    "CharTensor",
    "DoubleTensor",
    "FloatTensor",
    "HalfTensor",
    "IntTensor",
    "LongTensor",
    "ShortTensor",
]


class _Typed(type):
    """A class whose instances are the tensors of its dtype."""

    dtype: dtypes.dtype

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and instance.dtype is cls.dtype

    def __call__(cls, *data: Any) -> Tensor:
        return wrap(array_of(data, cls.dtype.numpy))


def _typed(name: str, dtype: dtypes.dtype) -> Any:
    text = f"The tensors of {dtype}; ``{name}(data)`` makes one of data, ``{name}(2, 3)`` one of that shape with unset elements."
    return _Typed(name, (), {"dtype": dtype, "__doc__": text, "__module__": "tapegrad"})


BoolTensor = _typed("BoolTensor", dtypes.bool_)
ByteTensor = _typed("ByteTensor", dtypes.uint8)
CharTensor = _typed("CharTensor", dtypes.int8)
DoubleTensor = _typed("DoubleTensor", dtypes.float64)
FloatTensor = _typed("FloatTensor", dtypes.float32)
HalfTensor = _typed("HalfTensor", dtypes.float16)
IntTensor = _typed("IntTensor", dtypes.int32)
LongTensor = _typed("LongTensor", dtypes.int64)
ShortTensor = _typed("ShortTensor", dtypes.int16)
