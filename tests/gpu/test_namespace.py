"""``tapegrad.cuda`` and what goes between devices and libraries."""

from __future__ import annotations

import copy
import gc
import pickle
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.tensor import Tensor
from tapegrad.utils.data import DataLoader, TensorDataset

DTYPES = [tg.bool, tg.uint8, tg.int8, tg.int16, tg.int32, tg.int64, tg.float16, tg.bfloat16, tg.float32, tg.float64, tg.complex64, tg.complex128]


def test_what_the_device_is() -> None:
    assert tg.cuda.is_available() and tg.cuda.device_count() >= 1
    tg.zeros(1, device="cuda")
    assert tg.cuda.is_initialized() and tg.cuda.current_device() == 0
    found = tg.cuda.get_device_properties()
    assert tg.cuda.get_device_name("cuda:0") == found.name and tg.cuda.get_device_capability(tg.device("cuda")) == (found.major, found.minor)
    assert found.total_memory > 2**30 and found.multi_processor_count > 0
    assert tg.cuda.is_bf16_supported() == ((found.major, found.minor) >= (8, 0))
    assert tg.accelerator.current_accelerator() == tg.device("cuda") and tg.accelerator.current_device_index() == 0
    free, total = tg.cuda.mem_get_info()
    assert 0 < free <= total
    tg.cuda.synchronize()


def test_other_devices_are_refused() -> None:
    count = tg.cuda.device_count()
    for ask in (lambda: tg.cuda.set_device(count), lambda: tg.zeros(1, device=f"cuda:{count}"), lambda: tg.cuda.get_device_name(count)):
        with pytest.raises(RuntimeError, match=f"cuda:{count} does not exist"):
            ask()
    with pytest.raises(ValueError, match="expected a GPU"):
        tg.cuda.memory_allocated("cpu")
    with pytest.raises(RuntimeError, match=r"cuda\(\) expects a GPU"):
        tg.ones(1).cuda("cpu")


def test_device_managers(cuda: Any) -> None:
    with tg.cuda.device(0):
        assert tg.cuda.current_device() == 0
    with cuda:
        assert tg.zeros(2).device == tg.tensor([1]).device == cuda
    tg.set_default_device("cuda")
    try:
        assert tg.rand(2).device == cuda
        assert nn.Linear(2, 3).weight.device == cuda
    finally:
        tg.set_default_device(None)
    assert tg.zeros(2).device == tg.device("cpu")
    with tg.cuda.device_of(tg.zeros(1)), tg.cuda.device_of(tg.zeros(1, device=cuda)):
        pass


MAKERS = {
    "zeros": lambda d: tg.zeros(2, 3, device=d), "ones": lambda d: tg.ones(2, device=d, dtype=tg.int8), "full": lambda d: tg.full((2,), 3.5, device=d),
    "empty": lambda d: tg.empty(2, 0, device=d), "arange": lambda d: tg.arange(2, 9, 3, device=d), "linspace": lambda d: tg.linspace(0, 1, 5, device=d),
    "logspace": lambda d: tg.logspace(0, 1, 5, device=d), "eye": lambda d: tg.eye(3, 2, device=d), "eye wide": lambda d: tg.eye(2, 5, device=d),
    "tensor": lambda d: tg.tensor([[1, 2], [3, 4]], device=d), "as_tensor": lambda d: tg.as_tensor(np.arange(3.0), device=d),
    "asarray": lambda d: tg.asarray([1.5], device=d), "scalar_tensor": lambda d: tg.scalar_tensor(2, device=d),
    "zeros_like": lambda d: tg.zeros_like(tg.ones(2, 2), device=d), "ones_like": lambda d: tg.ones_like(tg.ones(2, 2), device=d),
    "full_like": lambda d: tg.full_like(tg.ones(2), 4, device=d), "new_zeros": lambda d: tg.ones(2, device=d).new_zeros(3),
    "new_tensor": lambda d: tg.ones(2, device=d).new_tensor([1, 2]), "new_full": lambda d: tg.ones(2, device=d).new_full((2,), 7),
    "tril_indices": lambda d: tg.tril_indices(3, 3, device=d), "triu_indices": lambda d: tg.triu_indices(3, 3, device=d),
}  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
def test_tensors_are_made_on_the_device(name: str, cuda: Any) -> None:
    made, expected = MAKERS[name](cuda), MAKERS[name]("cpu")
    assert made.device == cuda and made.dtype is expected.dtype and made.shape == expected.shape
    np.testing.assert_array_equal(made.cpu().numpy(), expected.numpy())


def test_empty_like_and_results_stay_on_the_device(cuda: Any) -> None:
    x = tg.ones(2, 3, device=cuda)
    assert tg.empty_like(x).device == tg.zeros_like(x).device == x.new_empty(2).device == x.clone().device == cuda
    assert tg.ones(2, device=cuda, requires_grad=True).requires_grad


def test_moving_copies_and_gradients_come_back(cuda: Any) -> None:
    x = tg.arange(6.0).reshape(2, 3).requires_grad_()
    y = x.T.to(cuda)
    assert y.device == cuda and y.shape == (3, 2) and y.to(cuda) is y and y.to(cuda, copy=True) is not y
    (y * y).backward(tg.ones(3, 2, device=cuda))
    assert x.grad is not None and x.grad.device == tg.device("cpu")
    np.testing.assert_array_equal(x.grad.numpy(), 2 * x.detach().numpy())
    z = y.detach().to("cpu", tg.float64)
    assert z.dtype is tg.float64 and z.tolist() == x.detach().T.tolist()


def test_copy_writes_across_devices(cuda: Any) -> None:
    host, there = tg.arange(4.0), tg.zeros(4, device=cuda)
    assert there.copy_(host).tolist() == [0, 1, 2, 3]
    there += 1
    assert host.copy_(there).tolist() == [1, 2, 3, 4] and host.device == tg.device("cpu")
    assert there.copy_(tg.tensor([7])).tolist() == [7] * 4  # broadcast, and of another dtype
    leaf = tg.ones(4, requires_grad=True)
    (tg.zeros(4, device=cuda).copy_(leaf) * 3).sum().backward()
    assert leaf.grad is not None and leaf.grad.tolist() == [3] * 4


def test_pinned_memory(cuda: Any) -> None:
    t = tg.arange(5000.0)
    p = t.pin_memory()
    assert p.is_pinned() and p.pin_memory() is p and not t.is_pinned() and p[10:].is_pinned()
    there = p.to(cuda, non_blocking=True)
    back = there.to("cpu", non_blocking=True)
    tg.cuda.synchronize()
    assert back.tolist() == t.tolist() and back.is_pinned()
    assert p.cuda(non_blocking=True).add(1).cpu()[-1] == 5000
    with pytest.raises(RuntimeError, match="only the host's memory"):
        there.pin_memory()
    batches = list(DataLoader(TensorDataset(t.reshape(50, 100), tg.arange(50)), batch_size=20, pin_memory=True))
    assert [part.is_pinned() for batch in batches for part in batch] == [True] * 6
    assert tg.cat([x for x, _ in batches]).flatten().tolist() == t.tolist()


def test_modules_move_with_all_they_have(cuda: Any) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    weight = model[0].weight
    weight.grad = tg.ones(4, 3)
    assert model.cuda() is model and model[0].weight is weight
    assert {t.device for t in [*model.parameters(), *model.buffers(), weight.grad]} == {cuda}
    twin = copy.deepcopy(model)
    assert twin[0].weight.device == cuda and twin[0].weight.data_ptr() != weight.data_ptr() and twin[0].weight.requires_grad
    assert pickle.loads(pickle.dumps(weight)).device == cuda
    assert model.to("cpu", tg.float64)[1].running_mean.dtype is tg.float64
    assert model.to(cuda)[1].num_batches_tracked.device == cuda
    assert {t.device for t in model.cpu().state_dict().values()} == {tg.device("cpu")}


def test_streams_and_events_order_work(cuda: Any) -> None:
    x = tg.arange(20000.0, device=cuda)
    side = tg.cuda.Stream()
    side.wait_stream(tg.cuda.current_stream())
    start, end = tg.cuda.Event(enable_timing=True), tg.cuda.Event(enable_timing=True)
    with tg.cuda.stream(side):
        assert tg.cuda.current_stream() == side != tg.cuda.default_stream()
        start.record()
        y = x * 2 + 1
        end.record()
        x.record_stream(side)
    y.record_stream(tg.cuda.current_stream())
    tg.cuda.current_stream().wait_event(end)
    assert y[-1].item() == 39999
    end.synchronize()
    assert end.query() and side.query() and start.elapsed_time(end) >= 0
    with side:
        assert tg.cuda.current_stream() == side
    assert tg.cuda.current_stream() == tg.cuda.default_stream()
    with pytest.raises(RuntimeError, match="only memory of a GPU"):
        tg.ones(1).record_stream(side)


def test_memory_is_counted(cuda: Any) -> None:
    gc.collect()
    before = tg.cuda.memory_allocated()
    tg.cuda.reset_peak_memory_stats()
    x = tg.zeros(1 << 16, device=cuda)
    assert tg.cuda.memory_allocated() - before == x.nbytes
    del x
    assert tg.cuda.memory_allocated() == before and tg.cuda.max_memory_allocated() >= before + (1 << 18)
    tg.cuda.empty_cache()
    assert tg.cuda.memory_reserved() >= before and "tensors" in tg.cuda.memory_summary()
    with pytest.raises(tg.cuda.OutOfMemoryError, match="tried to allocate .* TiB"):
        tg.empty(2**42, device=cuda)


def test_random_states(cuda: Any) -> None:
    state = tg.cuda.get_rng_state()
    tg.cuda.manual_seed(5)
    first = tg.rand(100, device=cuda)
    middle = tg.cuda.get_rng_state()
    second = tg.rand(100, device=cuda)
    tg.cuda.set_rng_state(middle)
    assert tg.rand(100, device=cuda).equal(second) and not first.equal(second)
    tg.manual_seed(5)  # of all devices
    assert tg.rand(100, device=cuda).equal(first) and tg.cuda.initial_seed() == 5
    tg.cuda.set_rng_state_all([state])


# ----------------------------------------------------------------------------------------------------- other libraries


class Theirs:
    """An array of another library's, which has no more than the protocol."""

    def __init__(self, tensor: Tensor, **more: Any) -> None:
        self.tensor = tensor
        self.__cuda_array_interface__ = {**tensor.__cuda_array_interface__, **more}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_cuda_array_interface_shares_memory(dtype: Any, cuda: Any) -> None:
    x = tg.tensor([[0, 1, 1], [1, 0, 1]], dtype=dtype, device=cuda)
    for t in (x, x.T, x[:, 1:], x[1, 1], x[:0]):
        given = t.__cuda_array_interface__
        assert given["version"] == 3 and given["data"][0] == (t.data_ptr() if t.numel() else 0)
        y = tg.as_tensor(Theirs(t))
        assert y.dtype is dtype and y.device == cuda and y.tolist() == t.tolist()
        assert y.numel() == 0 or y.data_ptr() == t.data_ptr()
    copied = tg.tensor(Theirs(x))
    assert copied.data_ptr() != x.data_ptr() and copied.tolist() == x.tolist()
    assert tg.as_tensor(Theirs(x), device="cpu", dtype=tg.complex128).tolist() == x.cpu().to(tg.complex128).tolist()


def test_the_cuda_array_interface_keeps_memory_and_waits_for_its_stream(cuda: Any) -> None:
    side = tg.cuda.Stream()
    x = tg.ones(1000, device=cuda) * 3
    y = tg.as_tensor(Theirs(x, stream=side.cuda_stream))
    del x
    gc.collect()
    tg.zeros(1000, device=cuda)
    assert (y + 1).sum().item() == 4000
    with pytest.raises(AttributeError, match="on the CPU"):
        _ = tg.ones(1).__cuda_array_interface__
    assert not hasattr(tg.ones(1), "__cuda_array_interface__")
    with pytest.raises(RuntimeError, match="detach"):
        _ = tg.ones(1, device=cuda, requires_grad=True).__cuda_array_interface__


@pytest.mark.parametrize("version", [None, (1, 0)])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dlpack_shares_memory(dtype: Any, version: Any, cuda: Any) -> None:
    x = tg.tensor([[0, 1, 1], [1, 0, 1]], dtype=dtype, device=cuda)
    assert x.__dlpack_device__() == (2, 0)
    for t in (x, x.T, x[:, 1:], x[1, 1]):
        y = tg.from_dlpack(t.__dlpack__(max_version=version))
        assert y.dtype is dtype and y.device == cuda and y.data_ptr() == t.data_ptr() and y.tolist() == t.tolist()
    y = tg.from_dlpack(x)
    y.fill_(0)
    assert not x.cpu().numpy().any()


def test_dlpack_keeps_memory_as_long_as_it_is_used(cuda: Any) -> None:
    gc.collect()
    before = tg.cuda.memory_allocated()
    capsule = tg.ones(1000, device=cuda).__dlpack__()
    assert tg.cuda.memory_allocated() > before
    y = tg.utils.dlpack.from_dlpack(capsule)
    with pytest.raises(ValueError, match="used before"):
        tg.from_dlpack(capsule)
    del capsule
    gc.collect()
    z = y[10:]
    del y
    assert z.sum().item() == 990
    del z
    gc.collect()
    assert tg.cuda.memory_allocated() == before
    tg.ones(1000, device=cuda).__dlpack__()  # nobody takes it
    gc.collect()
    assert tg.cuda.memory_allocated() == before


def test_dlpack_to_other_devices_and_streams(cuda: Any) -> None:
    x = tg.arange(3.0, device=cuda)
    assert np.from_dlpack(tg.from_dlpack(x, device="cpu")).tolist() == [0, 1, 2]
    capsule = x.__dlpack__(dl_device=(1, 0), stream=-1)
    assert tg.from_dlpack(capsule).device == tg.device("cpu")
    with pytest.raises(BufferError, match="without a copy"):
        x.__dlpack__(dl_device=(1, 0), copy=False)
    with pytest.raises(BufferError, match="detach"):
        x.requires_grad_().__dlpack__()
    side = tg.cuda.Stream()
    for stream in (None, -1, 1, side.cuda_stream):
        assert tg.from_dlpack(x.detach().__dlpack__(stream=stream)).tolist() == [0, 1, 2]
    assert tg.from_dlpack(x.detach(), copy=True).data_ptr() != x.data_ptr()
