"""Making tensors, what they share, how they leave the library, and copies of them."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import dtypes

F32 = np.float32


@pytest.mark.parametrize(
    ("data", "expected", "d"),
    [
        (5, 5, tg.int64), (2.5, 2.5, tg.float32), (True, True, tg.bool), (1j, 1j, tg.complex64), ([], [], tg.float32), ([[], []], [[], []], tg.float32),
        ([1, 2], [1, 2], tg.int64), ([1, 2.5], [1, 2.5], tg.float32), ([True, 2], [1, 2], tg.int64), ((1, (2)), [1, 2], tg.int64), ([1, 2j], [1, 2j], tg.complex64),
        (range(3), [0, 1, 2], tg.int64), ([range(2), [5, 6]], [[0, 1], [5, 6]], tg.int64), (np.float64(2), 2, tg.float64), (np.int8(2), 2, tg.int8),
        ([np.float64(1), 2.0], [1, 2], tg.float64), ([2.0, np.float64(1)], [2, 1], tg.float64), ([np.float32(1), 2.0], [1, 2], tg.float32),
        ([np.int32(1)], [1], tg.int32), ([np.zeros(2), np.ones(2)], [[0, 0], [1, 1]], tg.float64), ([np.zeros(2, np.int8), [1, 2]], [[0, 0], [1, 2]], tg.int64),
        (np.arange(3, dtype=">i2"), [0, 1, 2], tg.int16), (np.array(3.0, np.float16), 3, tg.float16), ([[1], [2]], [[1], [2]], tg.int64),
    ],
    ids=str,
)  # fmt: skip
def test_tensor_of_data(data: Any, expected: Any, d: Any) -> None:
    made = tg.tensor(data)
    assert made.dtype is d
    assert made.tolist() == expected
    assert made._array.dtype.isnative
    assert tg.as_tensor(data).dtype is d


def test_tensor_of_tensors() -> None:
    leaf = tg.tensor([1.0, 2.0], requires_grad=True)
    made = tg.tensor([leaf[0], 5.0, leaf[1]])
    assert made.tolist() == [1, 5, 2]
    assert not made.requires_grad
    assert tg.tensor([tg.tensor(1, dtype=tg.int8), tg.tensor(2, dtype=tg.int8)]).dtype is tg.int8
    assert tg.tensor([tg.zeros(2), tg.ones(2)]).tolist() == [[0, 0], [1, 1]]
    copied = tg.tensor(leaf)
    assert not copied.requires_grad
    copied[0] = 9.0
    assert leaf.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("data", "d", "error"),
    [
        (2**70, None, RuntimeError), ([2**63], None, RuntimeError), ([-1, 2**63], None, RuntimeError), ([-(2**63) - 1], None, RuntimeError),
        (300, tg.uint8, RuntimeError), ([128], tg.int8, RuntimeError), (-129, tg.int8, RuntimeError), (-256, tg.uint8, RuntimeError), ([1e30], tg.int64, RuntimeError),
        (2.0**63, tg.int64, RuntimeError), (math.nan, tg.int32, RuntimeError), (math.inf, tg.int64, RuntimeError), (1j, tg.float32, RuntimeError), (1j, tg.int64, RuntimeError),
        ([[1], [1, 2]], None, ValueError), ([1, [2]], None, ValueError), ([[1, 2], 3], tg.float32, ValueError), (["1"], tg.int64, TypeError), ("1", None, TypeError),
        (None, None, TypeError), ([None], None, TypeError), ([1, None], tg.float32, TypeError), ({1: 2}, None, TypeError), (object(), None, TypeError), ({1, 2}, None, TypeError),
        (np.array([1, 2], object), None, TypeError), (np.array([1, 2], object), tg.int64, TypeError), (np.array(["1"]), tg.int64, TypeError),
        (np.array(["2020-01-01"], "M8[D]"), tg.int64, TypeError), (np.array([1], np.uint16), None, TypeError), (np.zeros(1, "i4,f4"), None, TypeError),
        (np.ma.masked_array([1, 2], [True, False]), None, TypeError), ([1], "nonsense", TypeError), ([1], np.uint32, TypeError),
    ],
    ids=lambda v: type(v).__name__,  # not str: an address differs between processes
)  # fmt: skip
def test_data_that_is_refused(data: Any, d: Any, error: type[Exception]) -> None:
    for make in (tg.tensor, tg.as_tensor):
        with pytest.raises(error):
            make(data, dtype=d)


def test_conversions_of_data() -> None:
    assert tg.tensor([-1, 255], dtype=tg.uint8).tolist() == [255, 255]
    assert tg.tensor([2.9, -2.9], dtype=tg.int64).tolist() == [2, -2]
    assert tg.tensor([-(2.0**63), 127.9], dtype=tg.int64).tolist() == [-(2**63), 127]
    assert tg.tensor(127.9, dtype=tg.int8).item() == 127
    assert tg.tensor([0, 2, math.nan], dtype=tg.bool).tolist() == [False, True, True]
    assert tg.tensor(2**70, dtype=tg.float64).item() == 2.0**70
    assert tg.tensor([1e300, 0.1], dtype=tg.float32).tolist() == [math.inf, float(F32(0.1))]
    assert tg.tensor([1, 2], dtype=tg.complex64).tolist() == [1, 2]
    assert tg.tensor(np.array([math.nan, 1.5]), dtype=tg.int64)[1].item() == 1  # arrays are cast as NumPy does, silently
    assert tg.tensor(np.array([1, 2], np.uint16), dtype=tg.int32).tolist() == [1, 2]
    assert tg.tensor([0.1], dtype=dtypes.bfloat16).item() == 0.10009765625


# -------------------------------------------------------------------------------------------------------------- sharing


def test_tensor_copies_and_from_numpy_shares() -> None:
    a = np.arange(6.0).reshape(2, 3)
    copied, shared, asked = tg.tensor(a), tg.from_numpy(a), tg.as_tensor(a)
    a[0, 0] = 9
    assert copied[0, 0].item() == 0
    assert shared[0, 0].item() == asked[0, 0].item() == 9
    shared.mul_(2.0)
    assert a[0, 0] == 18
    assert shared.numpy() is a
    assert tg.as_tensor(shared) is shared
    assert tg.as_tensor(shared, dtype=tg.float32).dtype is tg.float32
    leaf = tg.ones(2, requires_grad=True)
    assert tg.as_tensor(leaf) is leaf
    with pytest.raises(TypeError, match="NumPy array"):
        tg.from_numpy([1, 2])
    with pytest.raises(RuntimeError, match=r"detach\(\)"):
        leaf.numpy()
    assert leaf.detach().numpy().tolist() == [1, 1]


def layouts() -> dict[str, np.ndarray[Any, Any]]:
    base = np.arange(24.0).reshape(4, 6)
    fields = np.zeros(3, np.dtype([("x", "f8"), ("y", "f8")]))
    fields["x"] = [1, 2, 3]
    return {
        "transposed": base.T, "negative": base[::-1, ::-2], "stride 0": np.broadcast_to(base[0], (3, 6)), "zero-d": np.array(2.5), "empty": base[:0],
        "fortran": np.asfortranarray(base), "real part": (base + 1j).real, "field": fields["x"], "sliced": base[1:3, ::3],
    }  # fmt: skip


@pytest.mark.parametrize("name", layouts())
def test_from_numpy_shares_every_layout_it_can(name: str) -> None:
    a = layouts()[name]
    t = tg.from_numpy(a)
    assert t.numpy() is a
    assert np.shares_memory(t._array, a) or a.size == 0
    assert np.array_equal((t * 2.0 + 1.0).numpy(), a * 2 + 1)
    assert t.sum().item() == a.sum()
    leaf = tg.tensor(a, requires_grad=True)
    (leaf * leaf).sum().backward()
    assert np.array_equal(leaf.grad.numpy(), 2 * a)


def test_from_numpy_refuses_what_it_cannot_share() -> None:
    misaligned = np.zeros(25, np.uint8)[1:].view(np.float64)
    odd_strides = np.zeros(3, np.dtype([("x", "f8"), ("y", "f4")]))["x"]
    for a in (np.arange(3, dtype=">f4"), misaligned, odd_strides):
        with pytest.raises(ValueError, match="can't be shared"):
            tg.from_numpy(a)
        assert (tg.tensor(a) + 1.0).tolist() == (a + 1).tolist()
        assert (tg.as_tensor(a) + 1.0).tolist() == (a + 1).tolist()
    for wrong in (np.array(["a"]), np.array([1], object), np.array([1], np.uint64)):
        with pytest.raises(TypeError, match="no dtype"):
            tg.from_numpy(wrong)


def test_read_only_arrays_stay_unwritten() -> None:
    a = np.arange(3.0)
    a.flags.writeable = False
    t = tg.from_numpy(a)
    for write in (lambda: t.add_(1.0), lambda: t.__setitem__(0, 5.0), lambda: t.zero_(), lambda: t[1:].mul_(2.0), lambda: t.uniform_()):
        with pytest.raises(RuntimeError, match="read-only"):
            write()
    assert a.tolist() == [0, 1, 2]
    leaf = tg.from_numpy(a).requires_grad_()
    (leaf * leaf).sum().backward()
    (leaf * 1.0).sum().backward()
    assert leaf.grad.tolist() == [1, 3, 5]


def test_memory_maps_are_shared(tmp_path: Any) -> None:
    mapped = np.memmap(tmp_path / "file", F32, "w+", shape=(3,))
    t = tg.from_numpy(mapped)
    t.add_(2.0)
    assert mapped.tolist() == [2, 2, 2]
    assert (t * t).tolist() == [4, 4, 4]


# ------------------------------------------------------------------------------------------------------------ factories


@pytest.mark.parametrize(("name", "value"), [("zeros", 0), ("ones", 1), ("empty", None)])
def test_filled(name: str, value: Any) -> None:
    make, like = getattr(tg, name), getattr(tg, f"{name}_like")
    for made in (make(2, 3), make((2, 3)), make([2, 3]), make(tg.Size((2, 3))), make(np.int64(2), 3)):
        assert made.shape == (2, 3)
        assert made.dtype is tg.float32
        assert value is None or (made.numpy() == value).all()
    assert make(()).shape == ()
    assert make(0, 3).shape == (0, 3)
    assert make(2, dtype=tg.int8).dtype is tg.int8
    assert make(2, requires_grad=True).is_leaf
    source = tg.ones(2, 3, dtype=tg.float64).T
    assert like(source).shape == (3, 2)
    assert like(source).dtype is tg.float64
    assert like(source, dtype=tg.bool).dtype is tg.bool
    for wrong in (tg.int64, tg.bool):
        with pytest.raises(RuntimeError, match="floating-point"):
            make(2, dtype=wrong, requires_grad=True)
    for size in (2.7, "3", None, [2.5], (2, None)):
        with pytest.raises(TypeError):
            make(size)


def test_full() -> None:
    assert tg.full((2,), 3).dtype is tg.int64
    assert tg.full((2,), True).dtype is tg.bool
    assert tg.full(2, 1.5).tolist() == [1.5, 1.5]
    assert tg.full((), 1j).dtype is tg.complex64
    assert tg.full((1,), tg.tensor(4)).tolist() == [4]
    assert tg.full((1,), np.float64(2)).dtype is tg.float32
    assert tg.full((1,), -1, dtype=tg.uint8).tolist() == [255]
    assert tg.full_like(tg.ones(2, dtype=tg.float64), 7).tolist() == [7, 7]
    with pytest.raises(RuntimeError, match="overflow"):
        tg.full((1,), 300, dtype=tg.uint8)
    x = tg.zeros(2, dtype=tg.uint8)
    assert x.fill_(-1).tolist() == [255, 255]
    with pytest.raises(RuntimeError, match="overflow"):
        x.fill_(300)


HUGE: dict[str, Callable[[], Any]] = {
    "zeros": lambda: tg.zeros(2**50), "ones": lambda: tg.ones(2**31, 2**31), "empty": lambda: tg.empty(10**30), "full": lambda: tg.full((2**60,), 1.0),
    "rand": lambda: tg.rand(2**50), "randn": lambda: tg.randn(2**40, 2**20), "randint": lambda: tg.randint(3, (2**50,)), "arange": lambda: tg.arange(2**60),
    "arange step": lambda: tg.arange(0, 1, 1e-18), "linspace": lambda: tg.linspace(0, 1, 2**60), "eye": lambda: tg.eye(2**40),
}  # fmt: skip


@pytest.mark.parametrize("name", HUGE)
def test_huge_shapes_fail_before_anything_is_allocated(name: str) -> None:
    with pytest.raises(RuntimeError, match="TiB"):
        HUGE[name]()


@pytest.mark.parametrize("make", [lambda n: tg.zeros(n), lambda n: tg.ones(2, n), lambda n: tg.full((n,), 1), lambda n: tg.eye(n), lambda n: tg.empty((n,)), lambda n: tg.linspace(0, 1, n)])
def test_negative_sizes(make: Any) -> None:
    for n in (-1, -(2**40)):
        with pytest.raises(RuntimeError, match="negative"):
            make(n)


def test_arange_linspace_eye() -> None:
    assert tg.arange(4).tolist() == [0, 1, 2, 3]
    assert tg.arange(4).dtype is tg.int64
    assert tg.arange(1, 2, 0.25).tolist() == [1, 1.25, 1.5, 1.75]
    assert tg.arange(1, 2, 0.25).dtype is tg.float32
    assert tg.arange(5, 0, -2).tolist() == [5, 3, 1]
    assert tg.arange(3, 3).shape == (0,)
    assert tg.arange(tg.tensor(3)).tolist() == [0, 1, 2]
    assert tg.arange(3, dtype=tg.float64).dtype is tg.float64
    for wrong in (lambda: tg.arange(0, 3, 0), lambda: tg.arange(0, 3, -1), lambda: tg.arange(math.inf), lambda: tg.arange(0, math.nan)):
        with pytest.raises(RuntimeError, match="arange"):
            wrong()
    assert tg.linspace(0, 1, 5).tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert tg.linspace(3, 4, 1).tolist() == [3]
    assert tg.linspace(0, 1, 0).shape == (0,)
    assert tg.linspace(0, 10, 5, dtype=tg.int64).tolist() == [0, 2, 5, 7, 10]
    assert tg.eye(2, 3).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert tg.eye(0).shape == (0, 0)


@pytest.mark.compare
def test_factories_equal_pytorch(torch: Any) -> None:
    for args in [(5,), (1, 7, 2), (0.0, 1.0, 0.1), (5, -5, -3), (0, 1, 0.3), (10, 0, -0.5)]:
        mine, theirs = tg.arange(*args), torch.arange(*args)
        assert mine.shape == tuple(theirs.shape)
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-6, atol=1e-7)
    for args in [(0, 1, 7), (-3, 3, 100), (5, 1, 4), (0, 1, 1)]:
        np.testing.assert_allclose(tg.linspace(*args).numpy(), torch.linspace(*args).numpy(), rtol=1e-6, atol=1e-6)


def test_devices() -> None:
    assert tg.zeros(2, device="cpu").device == tg.device("cpu")
    assert str(tg.device("cuda:1")) == "cuda:1"
    assert tg.device("cuda", 1) == tg.device("cuda:1") == tg.device(tg.device("cuda:1"))
    assert repr(tg.device("cuda", 0)) == "device(type='cuda', index=0)"
    assert len({tg.device("cpu"), tg.device("cpu"), tg.device("cuda")}) == 2
    assert tg.device("cpu") != "gpu"
    for wrong in ("gpu", "cuda:", "cuda:x", "cuda:-1", "", "cpu:1:2"):
        with pytest.raises(RuntimeError, match="no device"):
            tg.device(wrong)
    with pytest.raises(RuntimeError, match="twice"):
        tg.device("cuda:1", 2)
    assert tg.device(1) == tg.device("cuda:1")
    for negative in ((-1,), ("cuda", -1)):
        with pytest.raises(RuntimeError, match="negative"):
            tg.device(*negative)
    with pytest.raises(TypeError, match="string"):
        tg.device(0.5)
    makers = [lambda d: tg.tensor([1.0], device=d), lambda d: tg.zeros(2, device=d), lambda d: tg.rand(2, device=d), lambda d: tg.ones(1).to(d)]
    for make in makers:
        with pytest.raises(RuntimeError, match="CUDA"):
            make("cuda")
        with pytest.raises(RuntimeError, match="no device"):
            make("tpu") if make is not makers[-1] else tg.device("tpu")
    with pytest.raises(RuntimeError, match="CUDA"):
        tg.ones(1).cuda()


# ----------------------------------------------------------------------------------------------------- Python protocols


def test_leaving_the_library() -> None:
    for value, d in [(3, tg.int8), (2.5, tg.float32), (True, tg.bool), (1 + 2j, tg.complex64), (0.5, tg.float16)]:
        t = tg.tensor(value, dtype=d)
        assert t.item() == value
        assert type(t.item()) is type(value)
        assert type(tg.tensor([[value]], dtype=d).tolist()[0][0]) is type(value)
    assert type(tg.tensor(0.5, dtype=dtypes.bfloat16).item()) is float
    one = tg.tensor([[2.75]])
    assert (float(one), int(one), bool(one), complex(one)) == (2.75, 2, True, 2.75 + 0j)
    assert [10, 20, 30][tg.tensor(1)] == 20
    assert list(range(tg.tensor([3]))) == [0, 1, 2]
    assert not tg.tensor(0.0)
    assert tg.tensor(math.nan)
    for many in (tg.ones(2), tg.ones(0)):
        for f in (lambda t: t.item(), bool, float, int):
            with pytest.raises(RuntimeError):
                f(many)
        with pytest.raises(TypeError):
            many.__index__()
    with pytest.raises(TypeError):
        [1, 2][tg.tensor(1.0)]
    with pytest.raises(TypeError):
        float(tg.tensor(1j))


def test_containers() -> None:
    t = tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    assert len(t) == 2
    rows = list(t)
    assert [r.tolist() for r in rows] == [[1, 2], [3, 4]]
    rows[1].sum().backward()
    assert t.grad.tolist() == [[0, 0], [1, 1]]
    a, b = t
    assert b.tolist() == [3, 4]
    assert 3.0 in t
    assert 5 not in t
    assert tg.tensor(4.0) in t
    assert tg.tensor([1.0, 9.0]) in t
    for wrong in ("a", None, [1]):
        with pytest.raises(TypeError, match="'in'"):
            wrong in t  # noqa: B015
    for f in (len, iter):
        with pytest.raises(TypeError, match="0-d"):
            f(tg.tensor(1.0))
    assert len(tg.ones(0, 3)) == 0
    assert list(tg.ones(0, 3)) == []


def test_hash_dir_format() -> None:
    a, b = tg.ones(2), tg.ones(2)
    assert len({a, b, a}) == 2
    assert {a: 1}[a] == 1
    for name in ("add", "backward", "shape", "grad", "sum", "view", "T"):
        assert name in dir(a)
    assert f"{tg.tensor(2.5):.3f}" == "2.500"
    assert f"{tg.tensor(7):>4d}" == "   7"
    assert f"{a}" == repr(a)
    with pytest.raises(TypeError):
        f"{a:.2f}"


def test_the_constructor() -> None:
    data = np.arange(3)
    t = tg.Tensor(data)
    assert t.dtype is tg.float32
    assert t.tolist() == [0, 1, 2]
    data[0] = 5
    assert t.tolist() == [0, 1, 2]
    assert tg.Tensor([1, 2]).dtype is tg.float32
    assert tg.Tensor().shape == (0,)
    assert [tuple(x.shape) for x in (tg.Tensor(3), tg.Tensor(2, 3), tg.Tensor(tg.Size([2, 3])), tg.Tensor((2, 3)))] == [(3,), (2, 3), (2, 3), (2,)]
    with pytest.raises(TypeError):
        tg.Tensor([1], dtype=tg.int8)


@pytest.mark.parametrize(
    "arguments, error, match",
    [
        ((3.0,), TypeError, "sizes or a sequence of data, got float"),
        ((True,), TypeError, "got bool"),
        ((None,), TypeError, "got NoneType"),
        (("3",), TypeError, "got str"),
        ((2, 3.0), TypeError, r"sizes, which are integers, got \(2, 3.0\)"),
        ((2, -1), RuntimeError, r"must not be negative, got \(2, -1\)"),
    ],
)
def test_mistakes_of_the_constructor(arguments: tuple[Any, ...], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        tg.Tensor(*arguments)


def test_the_old_constructors_of_one_dtype() -> None:
    assert tg.LongTensor([1, 2]).dtype is tg.int64 and tg.LongTensor([1, 2]).tolist() == [1, 2]
    assert tg.DoubleTensor(2, 3).shape == (2, 3) and tg.DoubleTensor(2, 3).dtype is tg.float64
    assert tg.tensor([1.5]).type(tg.LongTensor).tolist() == [1] and tg.zeros(1, dtype=tg.LongTensor).dtype is tg.int64
    assert isinstance(tg.ones(1), tg.FloatTensor) and not isinstance(tg.ones(1), tg.ByteTensor)
    assert isinstance(tg.nn.Parameter(tg.ones(1)), tg.FloatTensor) and not isinstance(1.0, tg.FloatTensor)
    assert repr(tg.BoolTensor) == "<class 'tapegrad.BoolTensor'>"


# --------------------------------------------------------------------------------------------------------------- copies


@pytest.mark.parametrize("make", [lambda: tg.tensor([1.0, 2.0], requires_grad=True), lambda: tg.nn.Parameter(tg.tensor([1.0, 2.0]))])
def test_deep_copies_of_leaves_have_a_place_of_their_own(make: Any) -> None:
    t = make()
    (t * t).sum().backward()
    t.note = ["kept"]
    for duplicate in (copy.deepcopy(t), pickle.loads(pickle.dumps(t))):
        assert type(duplicate) is type(t)
        assert duplicate.requires_grad
        assert duplicate.is_leaf
        duplicate.grad = None
        (duplicate * 3.0).sum().backward()
        assert duplicate.grad.tolist() == [3, 3]
        assert t.grad.tolist() == [2, 4]
        with tg.no_grad():
            duplicate.add_(1.0)
        assert t.tolist() == [1, 2]


def test_deep_copies_keep_what_is_shared_and_what_is_set() -> None:
    t = tg.ones(2, requires_grad=True)
    t.grad = tg.full((2,), 5.0)
    t.note = ["kept"]
    again, twice = copy.deepcopy([t, t])
    assert again is twice
    assert again.grad.tolist() == [5, 5]
    assert again.grad is not t.grad
    assert again.note == ["kept"]
    assert again.note is not t.note
    assert copy.deepcopy(tg.ones(2, 3).T).shape == (3, 2)
    assert not copy.deepcopy(tg.ones(2)).requires_grad
    for f in (copy.deepcopy, pickle.dumps):
        with pytest.raises(RuntimeError, match="leaf"):
            f(t * 2.0)
    assert pickle.loads(pickle.dumps((t * 2.0).detach())).tolist() == [2, 2]


def test_shallow_copies_share_memory() -> None:
    t = tg.ones(2, requires_grad=True)
    same = copy.copy(t)
    assert same is not t
    assert np.shares_memory(same._array, t._array)
    (same * 2.0).sum().backward()
    assert same.grad.tolist() == [2, 2]
    assert t.grad is None
    derived = t * 3.0
    copy.copy(derived).sum().backward()
    assert t.grad.tolist() == [3, 3]


def test_tensors_cross_processes() -> None:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        result = pool.submit(copy.copy, tg.arange(4)).result(timeout=120)
    assert result.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("d", dtypes.ALL)
def test_every_dtype_is_pickled(d: Any) -> None:
    t = tg.ones(2, 3, dtype=d)
    again = pickle.loads(pickle.dumps(t[:, ::2]))
    assert again.dtype is d
    assert (again == t[:, ::2]).numpy().all()
    assert tg.add(again, again).shape == (2, 2)


def test_logspace_and_scalar_tensor() -> None:
    assert tg.logspace(0, 2, 3).tolist() == [1, 10, 100] and tg.logspace(-1, 1, 3, base=2).tolist() == [0.5, 1, 2]
    assert tg.logspace(0, 2, 3, dtype=tg.int64).tolist() == [1, 10, 100] and tg.logspace(0, 1, 0).shape == (0,)
    with pytest.raises(RuntimeError, match="logspace"):
        tg.logspace(0, 1, -1)
    assert tg.scalar_tensor(3).dtype is tg.float32 and tg.scalar_tensor(3, dtype=tg.int8).dtype is tg.int8 and tg.scalar_tensor(3).shape == ()


def test_asarray() -> None:
    array, t = np.ones(2), tg.ones(2, requires_grad=True)
    assert tg.asarray(array).data_ptr() == array.ctypes.data and tg.asarray(array, copy=True).data_ptr() != array.ctypes.data
    assert tg.asarray(t) is t and not tg.asarray(t, requires_grad=False).requires_grad and tg.asarray([1, 2.5]).tolist() == [1, 2.5]
    assert tg.asarray(t, copy=True) is not t and tg.asarray([1.0], requires_grad=True).requires_grad
    for obj in (array, [1.0]):
        with pytest.raises(ValueError, match="without a copy"):
            tg.asarray(obj, dtype=tg.float32, copy=False)
