"""Text of tensors, character for character as PyTorch prints them.

Works on NumPy arrays and names only, so every layer above can use it. The text is made in three steps: cut the array
down to the part that is shown, turn each number of that part into one cell of text, and arrange the cells in brackets.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["format_scalar", "get_printoptions", "set_printoptions", "tensor_repr"]


class _Options(NamedTuple):
    """The printing options. Immutable, so that a repr in one thread never sees half of another thread's change."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_PROFILES = {
    "default": _Options(),
    "short": _Options(precision=2, edgeitems=2),
    "full": _Options(threshold=math.inf),
}

_options = _Options()


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Change how tensors are printed, for the whole process.

    An argument left at ``None`` keeps its present value, except ``sci_mode``: as in PyTorch, every call sets it, so
    that a call without it returns to the automatic choice.

    Args:
        precision: digits after the point of a floating-point element.
        threshold: a tensor with more elements than this is summarised with ``...``; ``math.inf`` never summarises.
        edgeitems: elements shown at each end of a summarised dimension; 0 shows none and adds the size.
        linewidth: characters per line.
        profile: ``'default'``, ``'short'`` or ``'full'``; the other arguments override what it sets.
        sci_mode: scientific notation always (True), never (False), or chosen from the values (None).

    Raises:
        ValueError: unknown profile, or a negative precision or edgeitems. Nothing is changed then.
    """
    global _options
    if profile is None:
        base = _options
    elif profile in _PROFILES:
        base = _PROFILES[profile]
    else:
        raise ValueError(
            f"set_printoptions: unknown profile {profile!r}; the profiles are {', '.join(map(repr, _PROFILES))}"
        )
    chosen = _Options(
        base.precision if precision is None else precision,
        base.threshold if threshold is None else threshold,
        base.edgeitems if edgeitems is None else edgeitems,
        base.linewidth if linewidth is None else linewidth,
        sci_mode,
    )
    if chosen.precision < 0 or chosen.edgeitems < 0:
        raise ValueError(
            "set_printoptions: precision and edgeitems must not be negative, "
            f"got precision={chosen.precision}, edgeitems={chosen.edgeitems}"
        )
    _options = chosen


def get_printoptions() -> dict[str, Any]:
    """Return the options now in force, as a new dict that ``set_printoptions(**d)`` accepts."""
    return _options._asdict()


def tensor_repr(
    array: NDArray[Any],
    *,
    dtype_name: str,
    default_dtype_name: str = "float32",
    requires_grad: bool = False,
    grad_fn: str | None = None,
    device: str = "cpu",
    class_name: str = "tensor",
) -> str:
    """Return the text that ``repr(t)`` shows for a tensor holding ``array``.

    Args:
        array: the values: bool, integer, floating (bfloat16 through ``ml_dtypes`` included) or complex, of any shape
            and strides. Only the elements that are shown are read.
        dtype_name: the tensor's dtype, without the ``tapegrad.`` that is put before it.
        default_dtype_name: the default floating dtype; it decides whether the dtype is shown.
        requires_grad: shown as ``requires_grad=True`` unless ``grad_fn`` is given.
        grad_fn: name of the operation that made the tensor, shown as ``grad_fn=<name>``.
        device: shown unless it is ``'cpu'``.
        class_name: the word before the bracket; a subclass of Tensor passes its own name.

    Raises:
        TypeError: ``array`` holds something that is not a number or a bool.
    """
    options = _options
    prefix = class_name + "("
    notes = []
    if device != "cpu":
        notes.append(f"device='{device}'")
    if array.size == 0:
        body = "[]"
        # A bare [] reads back as a 1-d tensor of the default dtype, so whatever else it is has to be said.
        show_size = array.ndim != 1
        show_dtype = dtype_name != default_dtype_name
    else:
        body = _body(array, len(prefix), options)
        show_size = options.edgeitems == 0
        default_complex = "complex128" if default_dtype_name == "float64" else "complex64"
        show_dtype = dtype_name not in (default_dtype_name, default_complex, "int64", "bool")
    if show_size:
        notes.append(f"size={array.shape}")
    if show_dtype:
        notes.append(f"dtype=tapegrad.{dtype_name}")
    if grad_fn is not None:
        notes.append(f"grad_fn=<{grad_fn}>")
    elif requires_grad:
        notes.append("requires_grad=True")
    return _with_notes(prefix + body, notes, len(prefix), options.linewidth)


def format_scalar(array_0d: NDArray[Any], spec: str) -> str:
    """Return what ``format(t, spec)`` shows for a tensor holding ``array_0d``: its one element, formatted by Python.

    With an empty ``spec`` an array with dimensions gives its plain repr, without device or gradient: a caller that
    knows those should use ``tensor_repr`` itself.

    Args:
        array_0d: the 0-d values.
        spec: a format specification of Python's mini-language.

    Raises:
        TypeError: the array has dimensions and ``spec`` is not empty.
        ValueError: ``spec`` does not suit the element, as Python's own ``format`` says.
    """
    if array_0d.ndim == 0:
        return format(_as_python(array_0d)[0], spec)
    if spec:
        raise TypeError(
            f"unsupported format string {spec!r} passed to Tensor.__format__: only a 0-d tensor can be formatted and "
            f"this one has shape {array_0d.shape}; format one element, or convert with repr()"
        )
    return tensor_repr(array_0d, dtype_name=array_0d.dtype.name)


def _body(array: NDArray[Any], indent: int, options: _Options) -> str:
    """The bracketed elements of a non-empty array whose first bracket stands in column ``indent``."""
    edge = options.edgeitems
    cut = [False] * array.ndim
    if array.ndim and array.size > options.threshold:
        if edge == 0:
            return "[...]"
        cut = [n > 2 * edge for n in array.shape]
        # One open-mesh index reads the shown elements only, even of an array too large to copy.
        ends = [[*range(edge), *range(n - edge, n)] if c else range(n) for n, c in zip(array.shape, cut, strict=True)]
        array = array[np.ix_(*ends)]
    if array.dtype.kind == "c":
        cells, width = _complex_cells(array, options)
    elif array.dtype.kind in "biu":
        cells = [str(value) for value in _as_python(array)]
        width = max(map(len, cells))
        cells = [cell.rjust(width) for cell in cells]
    else:
        cells, width = _float_cells(_as_python(array), options)
    # An element of the innermost vector is followed by a comma and a blank; each outer bracket moved it one column.
    room = options.linewidth - indent - max(array.ndim - 1, 0)
    return _brackets(cells, array.shape, cut, indent, max(1, room // (width + 2)), edge)


def _as_python(array: NDArray[Any]) -> list[Any]:
    """The elements as Python numbers, in C order."""
    if array.dtype.kind not in "biufcV":
        raise TypeError(f"cannot print an array of dtype {array.dtype}: a tensor holds numbers or bools")
    if array.dtype.kind == "V":
        # NumPy does not know what ml_dtypes' bfloat16 is, and its tolist() keeps the elements wrapped.
        array = array.astype(np.float64)
    values: list[Any] = array.ravel().tolist()
    return values


def _float_cells(values: Sequence[float], options: _Options) -> tuple[list[str], int]:
    """Cells for floating-point values, and the width that line breaking counts with.

    One style serves all cells. Zeros, infinities and NaN decide neither the style nor the width, so such a cell may
    stand out of the column, as PyTorch's do.
    """
    telling = [value for value in values if value and math.isfinite(value)]
    scientific = False
    whole = all(value.is_integer() for value in telling)
    if telling:
        low = min(map(abs, telling))
        high = max(map(abs, telling))
        wide = high / low > 1000.0 or high > 1.0e8 or low < 1.0e-4
        scientific = wide if options.sci_mode is None else options.sci_mode
    if scientific:
        spec, point = f".{options.precision}e", ""
    elif whole:
        spec, point = ".0f", "."  # the bare point tells whole floats from integers
    else:
        spec, point = f".{options.precision}f", ""
    width = max((len(format(value, spec)) + len(point) for value in telling), default=1)
    cells = [format(value, spec) + (point if math.isfinite(value) else "") for value in values]
    return [cell.rjust(width) for cell in cells], width


def _complex_cells(array: NDArray[Any], options: _Options) -> tuple[list[str], int]:
    """Cells for complex values; the real and the imaginary parts each have a style of their own."""
    real, real_width = _float_cells(_as_python(array.real), options)
    imag, imag_width = _float_cells(_as_python(array.imag), options)
    cells = []
    for re, im in zip(real, imag, strict=True):
        im = im.lstrip()
        cells.append(f"{re}{im}j" if im.startswith("-") else f"{re}+{im}j")
    return cells, real_width + imag_width + 1


def _brackets(
    cells: list[str], shape: tuple[int, ...], cut: Sequence[bool], indent: int, per_line: int, edge: int
) -> str:
    """Nest ``cells`` (C order, of ``shape``) in brackets; a dimension in ``cut`` gets its ``...`` after ``edge``."""
    if not shape:
        return cells[0]
    margin = " " * (indent + 1)
    if len(shape) == 1:
        if cut[0]:
            cells = [*cells[:edge], " ...", *cells[edge:]]
        lines = [", ".join(cells[i : i + per_line]) for i in range(0, len(cells), per_line)]
        return "[" + f",\n{margin}".join(lines) + "]"
    step = len(cells) // shape[0]
    parts = [
        _brackets(cells[i : i + step], shape[1:], cut[1:], indent + 1, per_line, edge)
        for i in range(0, len(cells), step)
    ]
    if cut[0]:
        parts.insert(edge, "...")
    return "[" + ("," + "\n" * (len(shape) - 1) + margin).join(parts) + "]"


def _with_notes(text: str, notes: Sequence[str], indent: int, linewidth: int) -> str:
    """Add the notes (dtype and such) after ``text`` and close the bracket, with a new line where one does not fit."""
    # Two columns more than the last line has: not the true width, but what PyTorch wraps by.
    column = len(text) - text.rfind("\n") + 1
    for note in notes:
        # A dtype counts at its length in PyTorch, so that the lines break where PyTorch's do.
        length = len(note.replace("dtype=tapegrad.", "dtype=torch."))
        if column + length + 2 > linewidth:
            text += ",\n" + " " * indent + note
            column = indent + length
        else:
            text += ", " + note
            column += length + 2
    return text + ")"
