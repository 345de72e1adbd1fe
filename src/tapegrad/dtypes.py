"""Data types and the one promotion table.

Promotion is PyTorch's: types have a category (bool < integer < floating < complex). Tensors with dimensions decide the result;
a 0-d tensor takes part only when its category is higher, and a Python number only when its category is higher still.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt


class dtype:
    """A data type, such as ``tapegrad.float32``. There is one object per type; compare with ``is`` or ``==``.

    Attributes:
        name: "float32", ...
        numpy: the NumPy dtype that stores it.
        itemsize: bytes per element.
        category: 0 bool, 1 integer, 2 floating, 3 complex.
    """

    __slots__ = ("category", "itemsize", "name", "numpy")

    def __init__(self, name: str, numpy_dtype: npt.DTypeLike, category: int) -> None:
        self.name = name
        self.numpy: np.dtype[Any] = np.dtype(numpy_dtype)
        self.itemsize = self.numpy.itemsize
        self.category = category

    @property
    def is_floating_point(self) -> bool:
        return self.category == 2

    @property
    def is_complex(self) -> bool:
        return self.category == 3

    @property
    def is_signed(self) -> bool:
        return self.category >= 1 and self.name != "uint8"

    @property
    def differentiable(self) -> bool:
        return self.category >= 2

    def __repr__(self) -> str:
        return f"tapegrad.{self.name}"

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return to_dtype, (self.name,)


bool_: Final = dtype("bool", np.bool_, 0)
uint8: Final = dtype("uint8", np.uint8, 1)
int8: Final = dtype("int8", np.int8, 1)
int16: Final = dtype("int16", np.int16, 1)
int32: Final = dtype("int32", np.int32, 1)
int64: Final = dtype("int64", np.int64, 1)
float16: Final = dtype("float16", np.float16, 2)
float32: Final = dtype("float32", np.float32, 2)
float64: Final = dtype("float64", np.float64, 2)
complex64: Final = dtype("complex64", np.complex64, 3)
complex128: Final = dtype("complex128", np.complex128, 3)

ALL: list[dtype] = [
    bool_,
    uint8,
    int8,
    int16,
    int32,
    int64,
    float16,
    float32,
    float64,
    complex64,
    complex128,
]

bfloat16: dtype | None
try:  # optional: NumPy itself has no bfloat16
    import ml_dtypes

    bfloat16 = dtype("bfloat16", ml_dtypes.bfloat16, 2)
    ALL.insert(7, bfloat16)
except ImportError:
    bfloat16 = None


def need_bfloat16(what: str) -> dtype:
    """bfloat16, for ``what``.

    Raises:
        RuntimeError: without the package ml_dtypes.
    """
    if bfloat16 is None:
        raise RuntimeError(f"{what}: bfloat16 needs the package ml_dtypes (pip install 'tapegrad[bfloat16]'); float16 needs none")
    return bfloat16


FROM_NUMPY: Final[dict[np.dtype[Any], dtype]] = {d.numpy: d for d in ALL}
_BY_NAME: Final = {d.name: d for d in ALL} | {
    "float": float32,
    "double": float64,
    "half": float16,
    "long": int64,
    "int": int32,
    "short": int16,
    "cfloat": complex64,
    "cdouble": complex128,
}
_BY_PYTHON: Final[dict[type, dtype]] = {bool: bool_, int: int64, float: float64, complex: complex128}

_default_float = float32


def get_default_dtype() -> dtype:
    """The dtype of floating-point tensors made from Python numbers: float32 unless set otherwise."""
    return _default_float


def set_default_dtype(d: dtype) -> None:
    """Make ``d`` (float16, float32, float64 or bfloat16) the default floating dtype.

    Raises:
        TypeError: when ``d`` is not a floating-point dtype.
    """
    global _default_float
    if not isinstance(d, dtype) or not d.is_floating_point:
        raise TypeError(f"set_default_dtype expects a floating-point dtype such as tapegrad.float64, got {d!r}")
    _default_float = d


def default_complex() -> dtype:
    """The complex dtype whose parts have the default floating dtype."""
    return complex128 if _default_float is float64 else complex64


def to_dtype(spec: Any) -> dtype:
    """A dtype from a dtype, a NumPy dtype or scalar type, a Python type, a name, or a class that has one (``FloatTensor``).

    Raises:
        TypeError: for anything that tapegrad has no dtype for (uint16, strings, objects, ...).
    """
    if isinstance(spec, dtype):
        return spec
    if isinstance(spec, str) and spec in _BY_NAME:
        return _BY_NAME[spec]
    if isinstance(spec, type) and spec in _BY_PYTHON:
        return _BY_PYTHON[spec]  # float is float64, as in PyTorch, whatever dtype Python's floats become
    if isinstance(spec, type) and isinstance(getattr(spec, "dtype", None), dtype):
        return spec.dtype  # type: ignore[attr-defined, no-any-return]
    try:
        return FROM_NUMPY[np.dtype("O" if spec is None else spec).newbyteorder("=")]  # NumPy takes None for float64
    except (KeyError, TypeError):
        names = ", ".join(d.name for d in ALL)
        why = ", since tensors hold numbers and truth values" if isinstance(spec, np.dtype) and spec.kind not in "buifcV" else ""
        raise TypeError(f"tapegrad has no dtype for {spec!r}{why}; it has {names}") from None


def of_array(array: Any) -> dtype:
    """The dtype of an array that a tensor holds."""
    return FROM_NUMPY[array.dtype]


def surely_fits(value: Any, dtype: np.dtype[Any]) -> bool:
    """Whether a number needs no further look to be stored as this dtype: a Python number of moderate size, and float32 or float64."""
    return (value.__class__ is float or value.__class__ is int) and dtype.kind == "f" and dtype.itemsize > 2 and -1e38 < value < 1e38


def of_scalar(value: bool | int | float | complex) -> dtype:
    """The dtype a Python number has on its own: bool, int64, the default float or the default complex."""
    return of_type(next((kind for kind in _BY_PYTHON if isinstance(value, kind)), type(value)))


def of_type(kind: type) -> dtype:
    """The dtype that Python numbers of this type have on their own."""
    return _default_float if kind is float else default_complex() if kind is complex else to_dtype(kind)


# ------------------------------------------------------------------------------------------------------------ promotion

_INTEGERS: Final = [uint8, int8, int16, int32, int64]


def promote_types(a: dtype | str, b: dtype | str) -> dtype:
    """The smallest dtype to which both convert without changing category, as ``torch.promote_types``.

    >>> promote_types(uint8, int8), promote_types(int64, float16)
    (tapegrad.int16, tapegrad.float16)

    Raises:
        TypeError: for what is no dtype or its name.
    """
    a = a if a.__class__ is dtype else to_dtype(a)
    b = b if b.__class__ is dtype else to_dtype(b)
    if a is b:
        return a
    if a.category > b.category:
        a, b = b, a
    if a.category < b.category:
        if b is complex64 and a is float64:
            return complex128
        return b
    if a.category == 1:
        if uint8 in (a, b):  # no signed 8-bit type holds uint8
            other = b if a is uint8 else a
            return int16 if other is int8 else other
        return max(a, b, key=_INTEGERS.index)
    if a.category == 2:
        return float32 if a.itemsize == b.itemsize else max(a, b, key=lambda d: d.itemsize)
    return complex128


def result_type(*operands: Any) -> dtype:
    """The dtype of an operation on these operands, as ``torch.result_type``: tensors (anything with ``dtype`` and ``dim()``),
    dtypes and Python numbers.

    >>> result_type(int32, 1), result_type(int32, 1.0), result_type(float16, 1.0)
    (tapegrad.int32, tapegrad.float32, tapegrad.float16)

    Raises:
        TypeError: for no operands, and for other things.
    """
    dimensioned: dtype | None = None
    zero_dim: dtype | None = None
    scalar: dtype | None = None
    for operand in operands:
        if isinstance(operand, str):
            operand = to_dtype(operand)
        if isinstance(operand, dtype):
            dimensioned = operand if dimensioned is None else promote_types(dimensioned, operand)
        elif isinstance(operand, (bool, int, float, complex)):
            found = of_scalar(operand)
            scalar = found if scalar is None else promote_types(scalar, found)
        elif not hasattr(operand, "dim"):
            raise TypeError(f"result_type takes tensors, dtypes and numbers, got {type(operand).__name__}")
        elif operand.dim() > 0:
            dimensioned = operand.dtype if dimensioned is None else promote_types(dimensioned, operand.dtype)
        else:
            zero_dim = operand.dtype if zero_dim is None else promote_types(zero_dim, operand.dtype)
    result = dimensioned
    for weaker in (zero_dim, scalar):
        result = _let_category_win(result, weaker)
    if result is None:
        raise TypeError("result_type needs at least one operand")
    return result


def _let_category_win(stronger: dtype | None, weaker: dtype | None) -> dtype | None:
    """``stronger``, unless ``weaker`` has a higher category; a float that turns complex keeps its width."""
    if stronger is None or weaker is None:
        return weaker if stronger is None else stronger
    if weaker.category <= stronger.category:
        return stronger
    if stronger.category == 2:
        return complex128 if stronger is float64 else complex64
    return promote_types(stronger, weaker)


def promotion_table() -> dict[tuple[str, str], str]:
    """The published table: ``{(a, b): promote_types(a, b)}`` by name, for every pair of dtypes."""
    return {(a.name, b.name): promote_types(a, b).name for a in ALL for b in ALL}


def can_cast(source: dtype | str, target: dtype | str) -> bool:
    """Whether an in-place result of dtype ``source`` may be written into ``target``: the category must not fall.

    >>> can_cast(float64, float32), can_cast(float32, int64)
    (True, False)

    Raises:
        TypeError: for what is no dtype or its name.
    """
    return to_dtype(source).category <= to_dtype(target).category


class finfo:
    """Numeric limits of a floating dtype: ``bits, eps, max, min, tiny, smallest_normal, resolution, dtype``."""

    def __init__(self, d: dtype | str | None = None) -> None:
        d = get_default_dtype() if d is None else to_dtype(d)
        if not d.differentiable:
            raise TypeError(f"finfo expects a floating-point dtype, got {d!r}; use iinfo for integers")
        real = {complex64: float32, complex128: float64}.get(d, d)
        if bfloat16 is not None and real is bfloat16:
            info: Any = ml_dtypes.finfo(real.numpy)  # type: ignore[no-untyped-call]
        else:
            info = np.finfo(real.numpy)
        self.bits = real.itemsize * 8
        self.eps, self.max, self.min = float(info.eps), float(info.max), float(info.min)
        self.tiny = self.smallest_normal = float(info.smallest_normal)
        self.resolution = float(info.resolution)
        self.dtype = real.name

    def __repr__(self) -> str:
        return f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, dtype={self.dtype})"


class iinfo:
    """Numeric limits of an integer dtype: ``bits, max, min, dtype``."""

    def __init__(self, d: dtype | str) -> None:
        d = to_dtype(d)
        if d.category != 1:
            raise TypeError(f"iinfo expects an integer dtype, got {d!r}; use finfo for floating-point")
        info = np.iinfo(d.numpy)
        self.bits, self.max, self.min, self.dtype = d.itemsize * 8, int(info.max), int(info.min), d.name

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
