"""The header of a safetensors file: built for the arrays to write, and checked without trust when read.

A safetensors file is eight bytes with the length of the header (little-endian), the header in JSON, and the tensors
back to back: ``{"__metadata__": {text: text}, name: {"dtype", "shape", "data_offsets": [begin, end]}, ...}``.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
from typing import Any, NamedTuple, TypeGuard

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_HEADER", "Array", "Entry", "Flaw", "build", "code_of", "dtype_of", "parse", "parse_json", "short"]

Array = NDArray[Any]

MAX_HEADER = 100_000_000  # the limit of the safetensors readers
_MAX_DIMS = 64  # NumPy's
_MAX_BYTES = 2**63 - 1
# A string, closed or not (so that matching stays linear in the text), or a bracket outside strings.
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)

# NumPy's kind and item size -> the format's name.
_CODES = {
    "b1": "BOOL", "u1": "U8", "i1": "I8", "u2": "U16", "i2": "I16", "u4": "U32", "i4": "I32", "u8": "U64", "i8": "I64",
    "f2": "F16", "f4": "F32", "f8": "F64", "c8": "C64",
}  # fmt: skip
_KINDS = {code: kind for kind, code in _CODES.items()}

_repr = reprlib.Repr()
_repr.maxstring = 200


def short(value: object) -> str:
    """The ``repr`` of a value for messages, cut: what a file contains may be long."""
    return _repr.repr(value)


class Flaw(Exception):
    """What is wrong with the file being read; :func:`tapegrad.load` puts the file's name before it."""


class Entry(NamedTuple):
    """One tensor in the header: the format's dtype code, the shape and the bytes ``[begin, end)`` of the data."""

    code: str
    shape: tuple[int, ...]
    begin: int
    end: int


def code_of(dtype: np.dtype[Any]) -> str | None:
    """The format's code for a dtype, None if it has none. complex128 is stored as pairs of float64."""
    if dtype.name == "bfloat16":
        return "BF16"
    return "F64" if dtype.name == "complex128" else _CODES.get(f"{dtype.kind}{dtype.itemsize}")


def dtype_of(code: object) -> np.dtype[Any]:
    """The NumPy dtype for the format's ``code``; ValueError if there is none."""
    if code == "BF16":
        try:
            import ml_dtypes
        except ImportError:
            raise ValueError("reading bfloat16 needs the ml_dtypes package") from None
        bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return bfloat16
    if not isinstance(code, str) or code not in _KINDS:
        raise ValueError(f"dtype {short(code)} is not supported")
    return np.dtype("<" + _KINDS[code])


def build(arrays: dict[str, Array], metadata: dict[str, str]) -> bytes:
    """The first part of the file: the length, then the header, which begins with the metadata in the order given.

    Raises:
        ValueError: the header would be too large for any reader, or its text cannot be UTF-8.
    """
    table: dict[str, object] = {"__metadata__": metadata}
    begin = 0
    for name, array in arrays.items():
        shape = array.shape if array.dtype.name != "complex128" else (*array.shape, 2)
        end = begin + array.nbytes
        table[name] = {"dtype": code_of(array.dtype), "shape": shape, "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER:
        raise ValueError(f"the structure and names take {len(text)} bytes; a header holds at most {MAX_HEADER}")
    return len(text).to_bytes(8, "little") + text


def parse(text: bytes, data_size: int) -> tuple[dict[str, str], dict[str, Entry]]:
    """The metadata and the tensors by name. Refuses whatever does not describe ``data_size`` bytes exactly."""
    if not text.startswith(b"{"):
        raise Flaw("not a tapegrad checkpoint, or damaged: the header does not begin with '{'")
    try:
        table = parse_json(text.decode(), "the header", depth=3)
    except UnicodeDecodeError as error:
        raise Flaw(f"the header is not UTF-8: {error}") from None
    metadata = table.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise Flaw("__metadata__ does not map strings to strings")
    entries = {name: _parse_entry(name, fields) for name, fields in table.items()}
    position = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != position:
            wrong = "overlaps another tensor" if entry.begin < position else "leaves a gap before it"
            raise Flaw(f"tensor {short(name)}: the range [{entry.begin}, {entry.end}) {wrong}")
        position = entry.end
    if position != data_size:
        raise Flaw(f"the tensors take {position} bytes, but {data_size} follow the header (truncated or extended)")
    return metadata, entries


def _parse_entry(name: str, fields: object) -> Entry:
    if not isinstance(fields, dict) or fields.keys() != {"dtype", "shape", "data_offsets"}:
        raise Flaw(f"tensor {short(name)}: dtype, shape and data_offsets expected")
    code, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not _sizes(shape) or len(shape) > _MAX_DIMS:
        raise Flaw(f"tensor {short(name)}: shape {short(shape)} is not a list of at most {_MAX_DIMS} sizes")
    if not _sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise Flaw(f"tensor {short(name)}: data_offsets {short(offsets)} are not a range")
    try:
        itemsize = dtype_of(code).itemsize
    except ValueError as error:
        raise Flaw(f"tensor {short(name)}: {error}") from None
    # NumPy wants even the product without the zeros to fit.
    if math.prod(n for n in shape if n) * itemsize > _MAX_BYTES:
        raise Flaw(f"tensor {short(name)}: shape {short(shape)} is too large")
    size = math.prod(shape) * itemsize
    if offsets[1] - offsets[0] != size:
        raise Flaw(f"tensor {short(name)}: {code} of shape {short(shape)} takes {size} bytes, not {short(offsets)}")
    return Entry(code, tuple(shape), offsets[0], offsets[1])


def _sizes(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(n) is int and 0 <= n <= _MAX_BYTES for n in value)


def parse_json(text: str, what: str, depth: int) -> Any:
    """Parse JSON nested at most ``depth`` deep, refusing repeated keys and the NaN and Infinity that JSON lacks."""
    # Counted beforehand, since the parser's recursion is only as safe as the interpreter's recursion limit.
    level = 0
    for token in _BRACKETS.finditer(text):
        level += (token[0] in ("[", "{")) - (token[0] in ("]", "}"))
        if level > depth:
            raise Flaw(f"{what} nests too deep")
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except ValueError as error:
        raise Flaw(f"{what} is not valid JSON: {error}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for key, value in pairs:
        if key in table:
            raise Flaw(f"the key {short(key)} occurs twice")
        table[key] = value
    return table


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is not a number")
