"""Sequences of different lengths: padded and packed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from beside_pytorch import arguments, assert_same, loss, twice

import tapegrad as tg
from tapegrad.nn.utils import rnn


def test_packing_by_hand() -> None:
    sequences = [tg.tensor([1.0, 2.0]), tg.tensor([3.0]), tg.tensor([4.0, 5.0, 6.0])]
    packed = rnn.pack_sequence(sequences, enforce_sorted=False)
    assert packed.data.tolist() == [4, 1, 3, 5, 2, 6]
    assert packed.batch_sizes.tolist() == [3, 2, 1]
    assert (packed.sorted_indices.tolist(), packed.unsorted_indices.tolist()) == ([2, 0, 1], [1, 2, 0])
    assert [x.tolist() for x in rnn.unpack_sequence(packed)] == [x.tolist() for x in sequences]
    data, batch_sizes, *_ = packed
    assert (data is packed.data, batch_sizes is packed[1]) == (True, True)


def test_padding_by_hand() -> None:
    sequences = [tg.tensor([1.0, 2.0], requires_grad=True), tg.tensor([3.0], requires_grad=True)]
    assert rnn.pad_sequence(sequences, padding_value=-1).tolist() == [[1, 3], [2, -1]]
    padded = rnn.pad_sequence(sequences, batch_first=True, padding_side="left")
    assert padded.tolist() == [[1, 2], [0, 3]]
    (padded * tg.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    assert [x.grad.tolist() for x in sequences] == [[1, 2], [4]]
    assert [x.tolist() for x in rnn.unpad_sequence(tg.tensor([[1.0, 3.0], [2.0, 0.0]]), [2, 1])] == [[1, 2], [3]]


def test_packing_is_undone_by_padding(rng: np.random.Generator) -> None:
    x = tg.tensor(rng.normal(size=(4, 3, 2)), requires_grad=True)
    packed = rnn.pack_padded_sequence(x, [2, 4, 1], enforce_sorted=False)
    assert packed.batch_sizes.tolist() == [3, 2, 1, 1]
    padded, lengths = rnn.pad_packed_sequence(packed, padding_value=-1.0, total_length=5)
    assert lengths.tolist() == [2, 4, 1]
    present = np.arange(5)[:, None] < np.array([2, 4, 1])
    np.testing.assert_array_equal(padded.detach().numpy()[present], x.detach().numpy()[present[:4]])
    assert (padded.detach().numpy()[~present] == -1).all()
    padded.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.broadcast_to(present[:4, :, None], (4, 3, 2)))


def test_a_packed_sequence_is_converted() -> None:
    packed = rnn.pack_padded_sequence(ones(tg), [3, 2, 2])
    assert packed.to(tg.float32) is packed
    double = packed.double()
    assert double.data.dtype is tg.float64 and double.batch_sizes is packed.batch_sizes
    assert packed.long().data.dtype is tg.int64 and packed.cpu() is packed
    assert not (packed.is_cuda or packed.is_pinned())
    assert repr(packed).startswith("PackedSequence(data=tensor(")


def ones(lib: Any) -> Any:
    return lib.ones(4, 3, 2)


MISTAKES: list[tuple[Any, type[Exception], str]] = [
    (lambda lib: lib.nn.utils.rnn.pack_padded_sequence(ones(lib), [1, 2, 4]), RuntimeError, "lengths [1, 2, 4] are not in decreasing order; sort the batch, or pass enforce_sorted=False"),
    (lambda lib: lib.nn.utils.rnn.pack_padded_sequence(ones(lib), [4, 2, 0]), RuntimeError, "lengths must be greater than 0, got 0"),
    (lambda lib: lib.nn.utils.rnn.pack_padded_sequence(ones(lib), [4, 2]), RuntimeError, "got 2 lengths for a batch of 3"),
    (lambda lib: lib.nn.utils.rnn.pack_padded_sequence(ones(lib)[:, :0], []), RuntimeError, "no sequences"),
    (lambda lib: lib.nn.utils.rnn.pack_padded_sequence(ones(lib), lib.ones(3, 1, dtype=lib.int64)), RuntimeError, "of one dimension, got shape (3, 1)"),
    (lambda lib: lib.nn.utils.rnn.pack_sequence([ones(lib)[:1], ones(lib)[:2]]), RuntimeError, "not in decreasing order"),
    (lambda lib: lib.nn.utils.rnn.pad_packed_sequence(lib.nn.utils.rnn.pack_padded_sequence(ones(lib), [4, 2, 1]), total_length=3), ValueError, "total_length=3 is less than the 4 steps"),
    (lambda lib: lib.nn.utils.rnn.pad_sequence(3), RuntimeError, "expected an iterable of tensors, got int"),
    (lambda lib: lib.nn.utils.rnn.pad_sequence([]), RuntimeError, "got no sequences"),
    (lambda lib: lib.nn.utils.rnn.pad_sequence([ones(lib)], padding_side="top"), RuntimeError, "padding_side must be 'left' or 'right', got 'top'"),
]
ONLY_HERE: list[tuple[Any, type[Exception], str]] = [  # PyTorch reads memory beyond the input, asserts, broadcasts
    (lambda lib: lib.nn.utils.rnn.pack_padded_sequence(ones(lib), [5, 2, 1]), RuntimeError, "length 5 is more than the 4 steps of input of shape (4, 3, 2)"),
    (lambda lib: lib.nn.utils.rnn.PackedSequence(ones(lib)), TypeError, "PackedSequence needs data and batch_sizes"),
    (lambda lib: lib.nn.utils.rnn.pad_sequence([ones(lib)[0], ones(lib)[0, 0]]), RuntimeError, "equal shapes after the first dimension, got (3, 2), (2,)"),
]


@pytest.mark.parametrize("call, error, message", MISTAKES + ONLY_HERE)
def test_mistakes(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        call(tg)
    assert message in str(caught.value)


@pytest.mark.compare
@pytest.mark.parametrize("call, error, message", MISTAKES)
def test_mistakes_like_torch(call: Any, error: type[Exception], message: str, torch: Any) -> None:
    with pytest.raises(error):
        call(torch)


@pytest.mark.compare
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("lengths, ordered", [([5, 3, 3, 1], True), ([2, 5, 1, 5], False)])
def test_packing_and_padding_like_torch(lengths: list[int], ordered: bool, batch_first: bool, torch: Any, rng: np.random.Generator) -> None:
    x = twice(rng.normal(size=(4, 6, 3) if batch_first else (6, 4, 3)))
    rows = [twice(rng.normal(size=(n, 2))) for n in lengths]
    results = []
    for side, lib in enumerate((tg, torch)):
        made = lib.nn.utils.rnn
        packed = made.pack_padded_sequence(x[side], lengths, batch_first, ordered)
        padded, sizes = made.pad_packed_sequence(packed, batch_first, 2.0, 7)
        together = made.pad_sequence([row[side] for row in rows], batch_first, 3.0, "left")
        again = made.pad_packed_sequence(made.pack_sequence([row[side] for row in rows], ordered))[0]
        loss(packed.data, padded, together, again).backward()
        results.append([packed.data, packed.batch_sizes, padded, sizes, together, again])
        if not ordered:
            results[-1] += [packed.sorted_indices, packed.unsorted_indices]
    for ours, theirs in zip(*results, strict=True):
        assert_same(ours, theirs)
    for ours, theirs in (x, *rows):
        assert_same(ours.grad, theirs.grad)


@pytest.mark.compare
def test_signatures_like_torch(torch: Any) -> None:
    theirs = torch.nn.utils.rnn
    for name in set(rnn.__all__) - {"PackedSequence"}:
        assert arguments(getattr(rnn, name)) == arguments(getattr(theirs, name)), name
    public = {n for n in vars(theirs.PackedSequence) if n[0] != "_"}
    assert public <= set(dir(rnn.PackedSequence))
    assert rnn.PackedSequence._fields == theirs.PackedSequence._fields
