"""Sequences of different lengths in one batch: padded to the longest, or packed without padding; as ``torch.nn.utils.rnn``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from ... import cuda, dtypes
from ...ops.create import as_tensor, full, zeros
from ...ops.index.index_put import index_put
from ...ops.index.index_select import index_select
from ...ops.index.sort import argsort, sort
from ...ops.ranges import arange
from ...ops.shape.join import cat
from ...tensor import Tensor

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class _Fields(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


def _converter(dtype: dtypes.dtype) -> Callable[[PackedSequence], PackedSequence]:
    def convert(self: PackedSequence) -> PackedSequence:
        return self.to(dtype)

    convert.__doc__ = f"With data of {dtype.name}."
    return convert


class PackedSequence(_Fields):
    """Sequences step by step: the first elements of all, then the second ones of those that have one, and so on.

    Made by :func:`pack_padded_sequence` and :func:`pack_sequence`; recurrent layers take and return it.

    Attributes:
        data: shape (total length, ...).
        batch_sizes: how many sequences have each step, int64, shape (longest length,), never growing; on the CPU.
        sorted_indices: the place in the given batch of each of the sequences, which are packed by falling length; None when
            they were given so.
        unsorted_indices: the inverse permutation, or None.

    Raises:
        TypeError: when data or batch_sizes are missing.
    """

    __slots__ = ()

    def __new__(
        cls,
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> PackedSequence:
        if batch_sizes is None:  # PyTorch takes the pair, too
            if not isinstance(data, (tuple, list)) or len(data) != 2:
                raise TypeError(f"PackedSequence needs data and batch_sizes, got only data ({type(data).__name__}); see pack_padded_sequence()")
            data, batch_sizes = data
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The data converted as by :meth:`tapegrad.Tensor.to`, and the indices moved with it; itself when nothing changes."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        moved = [None if i is None else i.to(data.device) for i in (self.sorted_indices, self.unsorted_indices)]
        return type(self)(data, self.batch_sizes, *moved)

    def cpu(self) -> PackedSequence:
        """On the CPU."""
        return self.to("cpu")

    def cuda(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """On a GPU.

        Raises:
            RuntimeError: when no GPU can be used, with what is missing.
        """
        return self.to(*(args or ("cuda",)), **kwargs)

    def pin_memory(self) -> PackedSequence:
        """Its data in pinned memory; itself where there is no GPU to pin memory for."""
        data = self.data.pin_memory() if cuda.is_available() else self.data
        return self if data is self.data else type(self)(data, self.batch_sizes, self.sorted_indices, self.unsorted_indices)

    def is_pinned(self) -> bool:
        """Whether its data is in pinned memory."""
        return self.data.is_pinned()  # type: ignore[no-any-return]

    @property
    def is_cuda(self) -> bool:
        """Whether the data is on a GPU."""
        return self.data.is_cuda

    double = _converter(dtypes.float64)
    float = _converter(dtypes.float32)
    half = _converter(dtypes.float16)
    long = _converter(dtypes.int64)
    int = _converter(dtypes.int32)
    short = _converter(dtypes.int16)
    char = _converter(dtypes.int8)
    byte = _converter(dtypes.uint8)


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes one, shape (n,); None for None."""
    return None if permutation is None else argsort(permutation)


def pack_padded_sequence(
    input: Tensor, lengths: Tensor | Sequence[int], batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Leave out the padding of a batch of sequences.

    Args:
        input: shape (steps, batch, ...), or (batch, steps, ...) with ``batch_first``.
        lengths: of the sequences, each at least 1; shape (batch,). They are read on the host.
        batch_first: see ``input``.
        enforce_sorted: the lengths never grow; else the sequences are sorted, and layers put their results back in order.

    Raises:
        RuntimeError: for lengths that don't fit the input, are not positive, or grow in spite of ``enforce_sorted``.
    """
    name = "pack_padded_sequence"
    sizes = as_tensor(lengths, dtype=dtypes.int64, device="cpu")
    if input.ndim < 2:
        raise RuntimeError(f"{name}: expected input of shape (steps, batch, ...), got {tuple(input.shape)}")
    steps, batch = (int(input.shape[d]) for d in ((1, 0) if batch_first else (0, 1)))
    if sizes.ndim != 1:
        raise RuntimeError(f"{name}: lengths must be a list or a tensor of one dimension, got shape {tuple(sizes.shape)}")
    if len(sizes) != batch:
        raise RuntimeError(f"{name}: expected one length per sequence, got {len(sizes)} lengths for a batch of {batch}")
    if batch == 0:
        raise RuntimeError(f"{name}: can't pack a batch of no sequences")
    order = None
    if not enforce_sorted:
        sizes, order = sort(sizes, stable=True, descending=True)
        order = order.to(input.device)
        input = index_select(input, 0 if batch_first else 1, order)
    numbers = sizes.tolist()
    if min(numbers) <= 0:
        raise RuntimeError(f"{name}: lengths must be greater than 0, got {min(numbers)}")
    if max(numbers) > steps:
        raise RuntimeError(f"{name}: length {max(numbers)} is more than the {steps} steps of input of shape {tuple(input.shape)}")
    if any(a < b for a, b in pairwise(numbers)):
        raise RuntimeError(f"{name}: lengths {numbers} are not in decreasing order; sort the batch, or pass enforce_sorted=False")
    present = arange(numbers[0], device="cpu").unsqueeze(1) < sizes
    rows = input.transpose(0, 1) if batch_first else input
    return PackedSequence(rows[: numbers[0]][present], present.sum(1), order)


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """Undo :func:`pack_padded_sequence`.

    Args:
        sequence: what to unpack.
        batch_first: have the batch first, shape (batch, steps, ...), rather than (steps, batch, ...).
        padding_value: what follows shorter sequences.
        total_length: the number of steps; by default those of the longest sequence.

    Returns:
        The padded sequences, and their lengths: int64, shape (batch,).

    Raises:
        ValueError: when ``total_length`` is too small.
    """
    data, sizes = sequence.data, sequence.batch_sizes
    longest, batch = len(sizes), int(sizes[0])  # type: ignore[arg-type,call-overload]
    if total_length is not None and total_length < longest:
        raise ValueError(f"pad_packed_sequence: total_length={total_length} is less than the {longest} steps of the longest sequence")
    if total_length is not None:
        sizes = cat([sizes, zeros(total_length - longest, dtype=dtypes.int64, device="cpu")])
    present = arange(batch, device="cpu") < sizes.unsqueeze(1)
    padded = _padded(data, present, padding_value)
    lengths = present.sum(0)
    if sequence.unsorted_indices is not None:
        padded, lengths = index_select(padded, 1, sequence.unsorted_indices), lengths[sequence.unsorted_indices.cpu()]
    return padded.transpose(0, 1) if batch_first else padded, lengths


def _padded(data: Tensor, present: Tensor, padding_value: float) -> Tensor:
    """The rows of ``data`` where ``present``, on the CPU, says that there are some, in that order."""
    padded = full((*present.shape, *data.shape[1:]), padding_value, dtype=data.dtype, device=data.device)
    return index_put(padded, (present.to(data.device),), data)  # type: ignore[no-any-return]


def pad_sequence(
    sequences: Tensor | Iterable[Tensor], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Sequences of shapes (length, ...) as one tensor of shape (longest, batch, ...), or with ``batch_first`` (batch, longest, ...).

    Args:
        sequences: the sequences, equal in all but their lengths.
        batch_first: see above.
        padding_value: what fills the rest.
        padding_side: where the rest is, "right" or "left".

    Raises:
        RuntimeError: for no sequences, shapes that differ further, or another side.
    """
    if not isinstance(sequences, (Tensor, Iterable)):
        raise RuntimeError(f"pad_sequence: expected an iterable of tensors, got {type(sequences).__name__}")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"pad_sequence: padding_side must be 'left' or 'right', got {padding_side!r}")
    rows = list(sequences.unbind(0) if isinstance(sequences, Tensor) else sequences)
    if not rows:
        raise RuntimeError("pad_sequence: got no sequences")
    if any(row.ndim == 0 or row.shape[1:] != rows[0].shape[1:] for row in rows):
        shapes = ", ".join(str(tuple(row.shape)) for row in rows)
        raise RuntimeError(f"pad_sequence: sequences must have equal shapes after the first dimension, got {shapes}")
    sizes = as_tensor([len(row) for row in rows], device="cpu").unsqueeze(1)  # type: ignore[arg-type]
    longest = int(sizes.max())
    steps = arange(longest, device="cpu")
    present = steps < sizes if padding_side == "right" else steps >= longest - sizes
    padded = _padded(cat(rows), present, padding_value)
    return padded if batch_first else padded.transpose(0, 1)  # type: ignore[no-any-return]


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor | Sequence[int], batch_first: bool = False) -> list[Tensor]:
    """Undo :func:`pad_sequence`: one tensor of shape (length, ...) per sequence.

    Args:
        padded_sequences: shape (steps, batch, ...), or with ``batch_first`` (batch, steps, ...).
        lengths: of the sequences, shape (batch,).
        batch_first: see above.
    """
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [rows[i, :length] for i, length in enumerate(as_tensor(lengths).tolist())]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack sequences of shapes (length, ...), equal in all but their lengths; see :func:`pack_padded_sequence`."""
    return pack_padded_sequence(pad_sequence(sequences), [len(x) for x in sequences], enforce_sorted=enforce_sorted)  # type: ignore[arg-type]


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """Undo :func:`pack_sequence`."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
