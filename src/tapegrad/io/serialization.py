"""Atomic, verified checkpoints: :func:`save` and :func:`load`.

A checkpoint is a plain safetensors file, so every safetensors reader can open it: eight bytes with the length of the
header, the header in JSON, then the tensors back to back. What the format lacks travels as text in the header's
``__metadata__``:

``tapegrad.sha256``
    SHA-256 over the whole file with this field read as 64 zeros. It stands first in the header, at a fixed offset, so
    that it can be filled in after the data went by once and checked without interpreting anything else.
``tapegrad.structure``
    JSON with the nesting, the scalars, and which objects share a tensor.

The digest tells damage, not malice: whoever can write the file can write a matching digest. Safety against a hostile
file comes from the format, which holds no code, and from checking every size before memory is allocated for it.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from io import BytesIO, FileIO, TextIOBase
from itertools import chain
from typing import Any, BinaryIO, cast

import numpy as np

from ..device import CPU, device as Device, to_device
from ..tensor import Tensor
from .atomic import replacing, write_all
from .header import MAX_HEADER, Array, Entry, Flaw, build, dtype_of, parse, short
from .structure import Packer, Unpacker, checked_tensor, parse_structure, type_name

__all__ = ["CheckpointError", "load", "load_file", "save", "save_file"]

Path = str | bytes | os.PathLike[Any]
Source = FileIO | BytesIO

_DIGEST, _STRUCTURE, _OWN = "tapegrad.sha256", "tapegrad.structure", "tapegrad."
_PREFIX = b'{"__metadata__":{"tapegrad.sha256":"'
_BLANK = b"0" * 64
_DIGEST_AT = 8 + len(_PREFIX)
_CHUNK = 1 << 22  # bytes hashed and moved at a time: stays in cache, and Ctrl-C is answered promptly
_PICKLES = (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")  # a zip and the pickle protocols


class CheckpointError(RuntimeError):
    """A file that :func:`load` refuses; the message has the file's name and what is wrong with it.

    (``tapegrad.utils.checkpoint`` recomputes instead of saving; its error of the same name, as in PyTorch, has nothing to do with files.)
    """


def save(obj: object, f: Path | BinaryIO, *, metadata: dict[str, str] | None = None) -> None:
    """Write ``obj`` to the file ``f``, which at every moment holds either the whole old content or the whole new one.

    Args:
        obj: a nesting of dict (keys str or int), Counter, list, tuple, None, bool, int, float, str, Tensor, Parameter and NumPy
            array; what lies on a GPU is copied. Floats and ints are exact, NaN and inf included. Tensors and arrays may have any layout and are
            stored in C order and native byte order, as bool, (u)int8 to (u)int64, float16, bfloat16, float32, float64,
            complex64 or complex128. A tensor that occurs twice is stored once and comes back as one object; two
            tensors over exactly the same memory are stored once and come back sharing memory; other overlap is not
            kept. OrderedDict comes back as dict, Parameter as a Tensor with the same ``requires_grad``.
        f: the file to write. A symbolic link is followed; the permissions of an existing file are kept, those of a
            new file follow the umask. Or a binary stream, such as ``io.BytesIO()``, which gets everything in one
            write at its place; what a failure leaves there is the stream's affair.
        metadata: strings to put beside, readable with ``safetensors.safe_open(f, "np").metadata()``.

    Raises:
        TypeError: for anything else in ``obj`` (the message has its place, such as ``obj['optim'][3]``), metadata
            that is not text, and what is no path or binary stream.
        ValueError: ``obj`` contains itself or nests deeper than 64; the structure is too large for a header;
            a metadata key starts with "tapegrad.".
        OSError: the file could not be written. The old file is untouched and nothing is left beside it. (If only the
            last step failed, flushing the folder, the new file is in place and whole.)

    Other tools see the tensors under their dotted path (``model.0.weight``), so a saved state dict reads as a plain
    safetensors file of the same names. A process that is killed may leave a ``.tapegrad-*.tmp`` beside the old file.
    """
    _check_file("save(obj, f)", f)
    packer = Packer()
    root = packer.node(obj, ())
    structure = json.dumps({"objects": packer.objects, "root": root}, separators=(",", ":"), allow_nan=False)
    # Widest items first: the data starts at a multiple of 8, so every tensor is aligned for readers that map the file.
    arrays = dict(sorted(packer.arrays.items(), key=lambda item: -min(item[1].dtype.itemsize, 8)))
    # The digest comes first and blank (see the module's docstring).
    header = build(arrays, {_DIGEST: _BLANK.decode(), _STRUCTURE: structure, **_checked_metadata(metadata)})
    digest = hashlib.sha256()
    if hasattr(f, "write"):
        content = bytearray().join([header, *(piece for array in arrays.values() for piece in _chunks(array))])
        digest.update(content)
        content[_DIGEST_AT : _DIGEST_AT + len(_BLANK)] = digest.hexdigest().encode()
        written = f.write(content)
        if isinstance(written, int) and written < len(content):  # an unbuffered file takes less than 2 GiB at a time
            write_all(cast(BinaryIO, f), memoryview(content)[written:])
        return
    with replacing(os.fsdecode(f)) as file:
        for piece in chain([header], *map(_chunks, arrays.values())):
            digest.update(piece)
            write_all(file, piece)
        file.seek(_DIGEST_AT)
        write_all(file, digest.hexdigest().encode())


def _check_file(call: str, f: object) -> None:
    if isinstance(f, TextIOBase):
        raise TypeError(f"{call}: f must be a binary stream; open the file with 'rb' or 'wb'")
    if not isinstance(f, (str, bytes, os.PathLike)) and not hasattr(f, "read") and not hasattr(f, "write"):
        raise TypeError(f"{call}: f must be a path or a binary stream, got {type_name(f)}")


def _checked_metadata(metadata: dict[str, str] | None) -> dict[str, str]:
    for key, value in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"metadata must map str to str, not {type_name(key)} to {type_name(value)}")
        if key.startswith(_OWN):
            raise ValueError(f"metadata key {key!r}: names that start with {_OWN!r} are reserved")
    return metadata or {}


def _chunks(array: Array) -> Iterator[bytes]:
    """The array in C order and little-endian, a piece at a time.

    Each piece is a copy: what is hashed and what is written are the same bytes even if another thread writes to the
    array meanwhile, and an expanded or transposed array is never laid out whole.
    """
    op_flags: Any = [["readonly", "contig"]]  # "contig" is missing from NumPy's stubs
    pieces: Any = np.nditer(
        [array],
        flags=["external_loop", "buffered", "zerosize_ok"],
        op_flags=op_flags,
        op_dtypes=[array.dtype.newbyteorder("<")],
        casting="equiv",
        order="C",
        buffersize=_CHUNK // array.dtype.itemsize,
    )
    for piece in pieces:
        yield piece.tobytes()


def load(
    f: Path | BinaryIO,
    map_location: Any = None,
    *,
    verify: bool = True,
    foreign: bool = False,
    weights_only: bool = True,
    mmap: bool | None = None,
) -> Any:
    """Read what :func:`save` wrote. No code from the file is ever run, and sizes are checked before memory is taken.

    Args:
        f: the file to read, or a binary stream, read from its place to its end.
        map_location: where tensors come back: a device, or None for the CPU. A dict or a function, as ``torch.load`` takes it, is
            accepted, and also means the CPU.
        verify: check the SHA-256 digest, so that any damaged byte is noticed. False skips only this; lengths, offsets,
            shapes and the structure are always checked.
        foreign: the file is plain safetensors from another library. Returns a dict from name to Tensor
            (``requires_grad`` False); there is no digest to check. Files that :func:`save` wrote can be read so, too.
        weights_only, mmap: accepted for ``torch.load``'s sake and without effect, since no code is ever loaded.

    Returns:
        The saved nesting: fresh, writable memory, Tensors with the ``requires_grad`` they had, arrays on the CPU.

    Raises:
        CheckpointError: the file is damaged, hostile, or of another format; or it has no digest and neither
            ``foreign=True`` nor ``verify=False`` was given; or it has a dtype that tapegrad lacks.
        OSError: the file cannot be opened or read.
        TypeError, RuntimeError: for a ``map_location`` that is no device, or none that can be used; for what is no path or binary
            stream.
    """
    where = CPU if map_location is None or callable(map_location) or isinstance(map_location, dict) else to_device(map_location)
    _check_file("load(f)", f)
    if hasattr(f, "read"):
        data, name = f.read(), str(getattr(f, "name", f))
        if not data:
            raise CheckpointError(f"{name}: nothing is left to read; after writing, call .seek(0)")
        return _verified(name, BytesIO(data), len(data), verify=verify, foreign=foreign, where=where)
    name = os.fsdecode(f)
    with open(name, "rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError(f"{name}: not a regular file")
        return _verified(name, file, status.st_size, verify=verify, foreign=foreign, where=where)


def save_file(tensors: dict[str, Tensor], filename: Path, metadata: dict[str, str] | None = None) -> None:
    """:func:`save` of a flat dict, under the name it has in ``safetensors.torch``.

    Raises:
        TypeError: for other values than tensors.
        ValueError, OSError: as :func:`save`.
    """
    for name, value in tensors.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise TypeError(f"save_file takes a dict from names to tensors, got {type_name(value)} at {name!r}; use save for other objects")
    save(tensors, filename, metadata=metadata)


def load_file(filename: Path, device: Any = "cpu") -> dict[str, Tensor]:
    """The tensors of any safetensors file by name, such as PyTorch's checkpoints: ``load(filename, device, foreign=True)``."""
    return load(filename, device, foreign=True)  # type: ignore[no-any-return]


def _verified(name: str, file: Source, size: int, *, verify: bool, foreign: bool, where: Device) -> Any:
    try:
        return _read(file, size, verify=verify, foreign=foreign, where=where)
    except Flaw as flaw:
        raise CheckpointError(f"{name}: {flaw}") from flaw.__cause__


def _read(file: Source, size: int, *, verify: bool, foreign: bool, where: Device) -> Any:
    head = _read_head(file, size)
    metadata, entries = parse(head[8:], size - len(head))
    if foreign:
        arrays = _read_arrays(file, entries, lambda piece: None)
        return {name: checked_tensor(name, arrays[name], requires_grad=False).to(where) for name in entries}
    if _STRUCTURE not in metadata or (verify and not head.startswith(_PREFIX, 8)):
        raise Flaw("not a tapegrad checkpoint (no digest); pass foreign=True to read it as plain safetensors")
    objects, root = parse_structure(metadata[_STRUCTURE], entries)
    if verify:
        stored = head[_DIGEST_AT : _DIGEST_AT + len(_BLANK)]
        digest = hashlib.sha256(head[:_DIGEST_AT] + _BLANK + head[_DIGEST_AT + len(_BLANK) :])
        arrays = _read_arrays(file, entries, digest.update)
        if digest.hexdigest().encode() != stored:
            raise Flaw("the SHA-256 digest does not match: the file is damaged")
    else:
        arrays = _read_arrays(file, entries, lambda piece: None)
    return Unpacker(objects, arrays, where).value(root)


def _read_head(file: Source, size: int) -> bytes:
    """The length of the header and the header, as bytes, of a file of ``size`` bytes."""
    if size < 8:
        raise Flaw(f"not a tapegrad checkpoint, or truncated: {size} bytes are too few for a safetensors file")
    start = bytearray(8)
    _read_into(file, memoryview(start))
    length = int.from_bytes(start, "little")
    if length > min(size - 8, MAX_HEADER):
        why = f"header length {length} exceeds what follows ({size - 8} bytes) or {MAX_HEADER}"
        if start[:2] in _PICKLES:
            remedy = "save the state dict with safetensors.torch.save_file, and load that with foreign=True"
            raise Flaw(f"it looks like a pickle or a zip of pickles, such as torch.save writes, which are never read: {remedy} ({why})")
        raise Flaw(f"not a tapegrad checkpoint, or truncated: {why}")
    head = start + bytearray(length)
    _read_into(file, memoryview(head)[8:])
    return bytes(head)


def _read_arrays(file: Source, entries: dict[str, Entry], update: Callable[[memoryview], object]) -> dict[str, Array]:
    """Read all tensors, in the order of their bytes, which is not always the header's."""
    in_file = sorted(entries, key=lambda name: (entries[name].begin, entries[name].end))
    return {name: _read_array(file, name, entries[name], update) for name in in_file}


def _read_array(file: Source, name: str, entry: Entry, update: Callable[[memoryview], object]) -> Array:
    """Read the next tensor of the file and show its bytes to ``update``."""
    array = np.empty(entry.shape, dtype_of(entry.code))
    if array.nbytes:
        data = array.reshape(-1).view(np.uint8).data
        for begin in range(0, len(data), _CHUNK):
            piece = data[begin : begin + _CHUNK]
            _read_into(file, piece)
            update(piece)
        if entry.code == "BOOL" and array.view(np.uint8).max() > 1:
            raise Flaw(f"tensor {short(name)}: a bool is neither 0 nor 1")
    return array


def _read_into(file: Source, piece: memoryview) -> None:
    while piece:
        count = file.readinto(piece)
        if not count:
            raise Flaw("the file became shorter while it was read")
        piece = piece[count:]
