"""Memory shared by DLPack on the CPU; on a GPU: ``tests/gpu/test_namespace.py``."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

DTYPES = [tg.bool, tg.uint8, tg.int8, tg.int16, tg.int32, tg.int64, tg.float16, tg.float32, tg.float64, tg.complex64, tg.complex128]


class Older:
    """An array whose library knows no versions of DLPack."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()

    def __dlpack__(self, *, stream: Any = None) -> Any:
        return self.array.__dlpack__()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_numpy_and_tensors_share_memory(dtype: Any) -> None:
    x = tg.tensor([[0, 1, 1], [1, 0, 1]], dtype=dtype)
    for t in (x, x.T, x[:, 1:], x[1, 1], x[:0]):
        a = np.from_dlpack(t)
        assert a.dtype == t.numpy().dtype and a.shape == t.shape and np.array_equal(a, t.numpy())
        for given in (a, Older(a), t, Older(t), t.__dlpack__(), t.__dlpack__(max_version=(1, 0)), tg.to_dlpack(t)):
            back = tg.from_dlpack(given)
            assert back.dtype is dtype and back.stride() == t.stride() and (back.numel() == 0 or back.data_ptr() == t.data_ptr())
    tg.from_dlpack(Older(x)).fill_(0)
    assert not x.numpy().any()


def test_bfloat16_which_numpy_has_not() -> None:
    bfloat16 = tg.dtypes.need_bfloat16("test")
    x = tg.tensor([[1.5, 2.0], [3.0, -4.0]], dtype=bfloat16)
    for given in (x.T, Older(x.T), x.T.__dlpack__()):
        y = tg.from_dlpack(given)
        assert y.dtype is bfloat16 and y.data_ptr() == x.data_ptr() and y.tolist() == [[1.5, 3.0], [2.0, -4.0]]
        y += 0


def test_memory_lives_as_long_as_it_is_used() -> None:
    array = np.ones(1000)
    gone = weakref.ref(array)
    t = tg.from_dlpack(array)
    del array
    gc.collect()
    assert gone() is not None and t.sum().item() == 1000
    del t
    gc.collect()
    assert gone() is None
    kept = tg.ones(1000)
    gone = weakref.ref(kept._array)
    a = np.from_dlpack(kept)
    del kept
    gc.collect()
    assert gone() is not None and a.sum() == 1000
    del a
    gc.collect()
    assert gone() is None
    kept = tg.ones(1000)
    gone = weakref.ref(kept._array)
    kept.__dlpack__()  # nobody takes it
    del kept
    gc.collect()
    assert gone() is None


def test_read_only_memory_stays_unwritten() -> None:
    array = np.ones(3)
    array.flags.writeable = False
    t = tg.from_dlpack(array)
    with pytest.raises(RuntimeError, match="read-only"):
        t.add_(1)
    assert (t + 1).tolist() == [2, 2, 2]


def test_copies_and_devices() -> None:
    x = tg.ones(3)
    assert tg.from_dlpack(x, copy=True).data_ptr() != x.data_ptr()
    assert np.from_dlpack(tg.from_dlpack(x.__dlpack__(copy=True))).tolist() == [1, 1, 1]
    assert tg.from_dlpack(x, device="cpu").data_ptr() == x.data_ptr()
    assert x.__dlpack_device__() == (1, 0)


def test_what_is_refused() -> None:
    with pytest.raises(BufferError, match="detach"):
        tg.ones(1, requires_grad=True).__dlpack__()
    with pytest.raises(BufferError, match="without a copy"):
        tg.ones(1).__dlpack__(dl_device=(2, 0))
    with pytest.raises(TypeError, match="__dlpack__, got list"):
        tg.from_dlpack([1.0])
    capsule = tg.ones(1).__dlpack__()
    tg.from_dlpack(capsule)
    with pytest.raises(ValueError, match="used before"):
        tg.from_dlpack(capsule)
    with pytest.raises(TypeError, match="uint64"):
        tg.from_dlpack(np.ones(2, np.uint64))

    class Elsewhere(Older):
        def __dlpack__(self, **options: Any) -> Any:
            from tapegrad.ops.dlpack import _header

            capsule = self.array.__dlpack__()
            _header(capsule).device_type = 8  # Apple's
            return capsule

    with pytest.raises(BufferError, match="device 8"):
        tg.from_dlpack(Elsewhere(tg.ones(1)))


@pytest.mark.compare
@pytest.mark.parametrize("dtype", [*DTYPES, "bfloat16"], ids=str)
def test_pytorch_and_tensors_share_memory(dtype: Any, torch: Any) -> None:
    dtype = tg.dtypes.to_dtype(dtype)
    x = tg.tensor([[0, 1, 1], [1, 0, 1]], dtype=dtype)
    for t in (x, x.T, x[:, 1:], x[1, 1]):
        theirs = torch.from_dlpack(t)
        assert str(theirs.dtype).removeprefix("torch.") == dtype.name and theirs.tolist() == t.tolist() and theirs.data_ptr() == t.data_ptr()
        for given in (theirs, torch.utils.dlpack.to_dlpack(theirs)):
            back = tg.from_dlpack(given)
            assert back.dtype is dtype and back.stride() == t.stride() and back.data_ptr() == t.data_ptr()
    theirs = torch.from_dlpack(x)
    del x
    gc.collect()
    assert theirs.tolist() == tg.tensor([[0, 1, 1], [1, 0, 1]], dtype=dtype).tolist()
