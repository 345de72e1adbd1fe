"""Data types: promotion and the dtypes and values of results, against the published table and against PyTorch."""

from __future__ import annotations

import contextlib
import enum
import itertools
import math
import operator
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from beside_pytorch import pytorch

import tapegrad as tg
from tapegrad import dtypes

NAMES = [d.name for d in dtypes.ALL]
FLOATS = [d for d in dtypes.ALL if d.is_floating_point]

# The published table, row by row: promote_types of the row's dtype with each column's, in the order of COLUMNS.
COLUMNS = "bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64 complex64 complex128".split()
SHORT = dict(zip("b1 u1 i1 i2 i4 i8 f2 bf f4 f8 c8 c16".split(), COLUMNS, strict=True))
TABLE = """
    b1 u1 i1 i2 i4 i8 f2 bf f4 f8 c8 c16
    u1 u1 i2 i2 i4 i8 f2 bf f4 f8 c8 c16
    i1 i2 i1 i2 i4 i8 f2 bf f4 f8 c8 c16
    i2 i2 i2 i2 i4 i8 f2 bf f4 f8 c8 c16
    i4 i4 i4 i4 i4 i8 f2 bf f4 f8 c8 c16
    i8 i8 i8 i8 i8 i8 f2 bf f4 f8 c8 c16
    f2 f2 f2 f2 f2 f2 f2 f4 f4 f8 c8 c16
    bf bf bf bf bf bf f4 bf f4 f8 c8 c16
    f4 f4 f4 f4 f4 f4 f4 f4 f4 f8 c8 c16
    f8 f8 f8 f8 f8 f8 f8 f8 f8 f8 c16 c16
    c8 c8 c8 c8 c8 c8 c8 c8 c8 c16 c8 c16
    c16 c16 c16 c16 c16 c16 c16 c16 c16 c16 c16 c16
"""


@contextlib.contextmanager
def default_dtype(d: dtypes.dtype) -> Iterator[None]:
    before = tg.get_default_dtype()
    tg.set_default_dtype(d)
    try:
        yield
    finally:
        tg.set_default_dtype(before)


def test_published_table() -> None:
    rows = [line.split() for line in TABLE.strip().splitlines()]
    literal = {(a, b): SHORT[rows[i][j]] for i, a in enumerate(COLUMNS) for j, b in enumerate(COLUMNS)}
    assert tg.promotion_table() == literal
    assert all(literal[a, b] == literal[b, a] for a, b in literal)


def operands(d: dtypes.dtype) -> dict[str, Any]:
    """The same dtype as a tensor with dimensions, a 0-d tensor and a tensor without elements."""
    return {"dims": tg.ones(2, dtype=d), "zero-d": tg.ones((), dtype=d), "empty": tg.ones((0, 2), dtype=d)}


PYTHON = {"bool": True, "int": 3, "float": 2.5, "complex": 1 + 2j}


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (lambda t, s: (t(2, tg.uint8), s(tg.int64)), tg.uint8),
        (lambda t, s: (t(2, tg.int8), 1000), tg.int8),
        (lambda t, s: (t(2, tg.int8), 1.0), tg.float32),
        (lambda t, s: (t(2, tg.int64), s(tg.float16)), tg.float16),
        (lambda t, s: (t(2, tg.float16), s(tg.float64)), tg.float16),
        (lambda t, s: (t(2, tg.float32), s(tg.complex128)), tg.complex64),
        (lambda t, s: (t(2, tg.int64), s(tg.complex128)), tg.complex128),
        (lambda t, s: (t(2, tg.float64), 1j), tg.complex128),
        (lambda t, s: (s(tg.int64), 1.5), tg.float32),
        (lambda t, s: (s(tg.int8), 1), tg.int8),
        (lambda t, s: (s(tg.bool), 1), tg.int64),
        (lambda t, s: (s(tg.float64), t(0, tg.float32)), tg.float32),
        (lambda t, s: (True, 2), tg.int64),
        (lambda t, s: (2, 1j), tg.complex64),
        (lambda t, s: (s(tg.int8), s(tg.uint8)), tg.int16),
        (lambda t, s: (tg.float16, 1.0), tg.float16),
    ],
)
def test_result_type_by_hand(args: Callable[..., Any], expected: dtypes.dtype) -> None:
    made = args(lambda n, d: tg.ones(n, dtype=d), lambda d: tg.ones((), dtype=d))
    assert tg.result_type(*made) is expected
    assert tg.result_type(*made[::-1]) is expected


def test_result_type_follows_the_default_dtype() -> None:
    with default_dtype(tg.float64):
        assert tg.result_type(tg.ones(2, dtype=tg.int8), 1.0) is tg.float64
        assert tg.result_type(tg.ones(2, dtype=tg.int8), 1j) is tg.complex128
    with pytest.raises(TypeError, match="at least one"):
        tg.result_type()


@pytest.mark.compare
def test_promotion_equals_pytorch(torch: Any) -> None:
    for a, b in itertools.product(NAMES, NAMES):
        assert tg.promotion_table()[a, b] == str(torch.promote_types(getattr(torch, a), getattr(torch, b))).removeprefix("torch.")
        for x, y in itertools.product(operands(dtypes.to_dtype(a)).values(), operands(dtypes.to_dtype(b)).values()):
            there = [torch.ones(tuple(t.shape), dtype=getattr(torch, t.dtype.name)) for t in (x, y)]
            expected = str(torch.result_type(*there)).removeprefix("torch.").replace("complex32", "complex64")  # which we lack
            assert tg.result_type(x, y).name == expected, (a, b, x.shape, y.shape)
        assert tg.can_cast(dtypes.to_dtype(a), dtypes.to_dtype(b)) == torch.can_cast(getattr(torch, a), getattr(torch, b)), (a, b)
    for a, value in itertools.product(NAMES, PYTHON.values()):
        for x in operands(dtypes.to_dtype(a)).values():
            there = torch.ones(tuple(x.shape), dtype=getattr(torch, a))
            expected = str(torch.result_type(there, value)).removeprefix("torch.").replace("complex32", "complex64")
            assert tg.result_type(x, value).name == expected, (a, value)


# ------------------------------------------------------------------------------------------------------ results of ops

VALUES = {0: [True, False, True], 1: [3, 1, 2], 2: [2.5, 1.0, 0.75], 3: [1.5 + 1j, 2.0 - 0.5j, 1.0 + 0j]}


def array_of(d: dtypes.dtype, form: str) -> np.ndarray[Any, Any]:
    values = np.array(VALUES[d.category], np.complex128 if d.category == 3 else np.float64).astype(d.numpy)
    return values if form == "dims" else values[:1].reshape(())


ARITHMETIC = {"add": operator.add, "mul": operator.mul, "div": operator.truediv}
COMPARISONS = {name: getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")}


CROSSINGS = [("bool", "bool"), ("bool", "int8"), ("uint8", "int8"), ("int32", "float16"), ("float16", "bfloat16"), ("int64", "float32")]
CROSSINGS += [("float32", "float64"), ("float64", "complex64"), ("uint8", "uint8")]


@pytest.mark.parametrize("name", ["add", "div", "lt", "maximum", "where"])
def test_results_of_dtype_pairs(name: str) -> None:
    check_results(name, [(dtypes.to_dtype(a), dtypes.to_dtype(b)) for a, b in CROSSINGS])


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["add", "mul", "div", "eq", "lt", "ge", "maximum", "where"])
def test_results_of_all_dtype_pairs(name: str) -> None:
    check_results(name, list(itertools.product(dtypes.ALL, dtypes.ALL)))


def check_results(name: str, pairs: list[tuple[dtypes.dtype, dtypes.dtype]]) -> None:
    """dtype by the table, value as NumPy computes it in that dtype (in float32 for 16-bit floats)."""
    mask = np.array([True, False, True])
    for a, b in pairs:
        if max(a.category, b.category) == 3 and name in ("lt", "ge", "maximum"):
            continue
        for form_a, form_b in itertools.product(("dims", "zero-d"), repeat=2):
            x, y = array_of(a, form_a), array_of(b, form_b)
            p, q = tg.tensor(x), tg.tensor(y)
            common = tg.result_type(p, q)
            if name == "div" and common.category < 2:
                common = tg.float32
            wide = np.float32 if common.itemsize == 2 and common.category == 2 else common.numpy
            u, v = x.astype(wide), y.astype(wide)
            if name == "where":
                result, expected = tg.where(tg.tensor(mask), p, q), np.where(mask, u, v)
            elif name == "maximum":
                result, expected = tg.maximum(p, q), np.maximum(u, v)
            else:
                f = {**ARITHMETIC, **COMPARISONS}[name]
                with np.errstate(all="ignore"):
                    result, expected = f(p, q), f(u, v)
            wanted = tg.bool if name in COMPARISONS else common
            assert result.dtype is wanted, (a, b, form_a, form_b)
            assert result.shape == expected.shape
            close = 1e-6 if wanted.category == 3 else 0  # complex division may be associated differently
            np.testing.assert_allclose(
                result.numpy().astype(np.complex128), np.asarray(expected).astype(wanted.numpy).astype(np.complex128), rtol=close,
                err_msg=f"{a} {b} {form_a} {form_b}",
            )


def torch_function(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    torch = pytorch()
    if name in ARITHMETIC or name in COMPARISONS:
        return {**ARITHMETIC, **COMPARISONS}[name], {**ARITHMETIC, **COMPARISONS}[name]
    if name == "where":
        mask = [True, False, True]
        return lambda x, y: tg.where(tg.tensor(mask), x, y), lambda x, y: torch.where(torch.tensor(mask), x, y)
    if name == "clamp":
        return lambda x, y: tg.clamp(x, min=y), lambda x, y: torch.clamp(x, min=y)
    return getattr(tg, name), getattr(torch, name)


def outcome(f: Callable[[], Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return f()
        except (RuntimeError, TypeError, NotImplementedError, OverflowError):
            return None


# Where tapegrad gives a result that PyTorch refuses, and why that is right: name -> condition on the categories.
MORE = {"div": lambda a, b: 3 in (a, b), "pow": lambda a, b: True, "maximum": lambda a, b: True, "sub": lambda a, b: 0 in (a, b), "clamp": lambda a, b: True}


def to_torch(value: Any) -> Any:
    torch = pytorch()
    if not isinstance(value, tg.Tensor):
        return value
    array = value.numpy()
    if value.dtype is dtypes.bfloat16:
        return torch.from_numpy(array.astype(np.float32)).to(torch.bfloat16)
    return torch.from_numpy(array.copy())


def check_against_torch(mine: Any, theirs: Any, what: tuple[Any, ...]) -> None:
    torch = pytorch()
    assert tuple(mine.shape) == tuple(theirs.shape), what
    if theirs.dtype is torch.complex32:  # which tapegrad lacks
        assert mine.dtype is tg.complex64
        return
    assert mine.dtype.name == str(theirs.dtype).removeprefix("torch."), what
    a = mine.detach().numpy().astype(np.complex128)
    b = theirs.to(torch.complex128).numpy()
    # PyTorch divides a complex number by a 16-bit float in 16 bits
    used = [mine.dtype, *(v.dtype for v in what if isinstance(v, tg.Tensor) and v.dtype.is_floating_point)]
    eps = 0.0 if mine.dtype.category < 2 else max(dtypes.finfo(d).eps for d in used)
    np.testing.assert_allclose(a, b, rtol=4 * eps, atol=4 * eps, err_msg=str(what))


@pytest.mark.compare
@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "pow", "eq", "ne", "lt", "le", "gt", "ge", "maximum", "minimum", "where", "clamp"])
def test_binary_results_equal_pytorch(name: str) -> None:
    mine, theirs = torch_function(name)
    crossings = [(dtypes.to_dtype(a), dtypes.to_dtype(b)) for a, b in CROSSINGS]
    whole = name in ("add", "sub", "mul", "div", "pow", "lt", "maximum", "where", "clamp")
    pairs = list(itertools.combinations_with_replacement(dtypes.ALL, 2)) if whole else crossings
    cases = [(a, b, "dims", "dims") for a, b in pairs]
    cases += [(*pair, *forms) for pair in crossings for forms in (("dims", "zero-d"), ("zero-d", "dims"), ("zero-d", "zero-d"))]
    for a, b, form_a, form_b in cases:
        compare_outcomes(name, mine, theirs, tg.tensor(array_of(a, form_a)), tg.tensor(array_of(b, form_b)))
    if name in ("maximum", "minimum"):
        return
    for a, (kind, value) in itertools.product(dtypes.ALL if whole else {a for pair in crossings for a in pair}, PYTHON.items()):
        x = tg.tensor(array_of(a, "dims"))
        compare_outcomes(f"{name} {kind}", mine, theirs, x, value)
        if name != "clamp":
            compare_outcomes(f"{kind} {name}", mine, theirs, value, x)


def compare_outcomes(name: str, mine: Any, theirs: Any, x: Any, y: Any) -> None:
    what = (name, x, y)
    expected = outcome(lambda: theirs(to_torch(x), to_torch(y)))
    result = outcome(lambda: mine(x, y))
    categories = [v.dtype.category if isinstance(v, tg.Tensor) else dtypes.of_scalar(v).category for v in (x, y)]
    if expected is None:
        op = next((word for word in name.split() if word in MORE), "")
        assert result is None or (op in MORE and MORE[op](*categories)), f"PyTorch refuses {what}, tapegrad gives {result}"
        return
    assert result is not None, f"tapegrad refuses {what}, PyTorch gives {expected}"
    check_against_torch(result, expected, what)


UNARY = "exp log log1p expm1 sqrt sin cos tanh sigmoid erf abs neg sign square reciprocal relu conj isnan logical_not".split()


@pytest.mark.compare
@pytest.mark.parametrize("name", UNARY)
def test_unary_results_equal_pytorch(name: str, torch: Any) -> None:
    for d, form in itertools.product(dtypes.ALL, ("dims", "zero-d")):
        x = tg.tensor(array_of(d, form))
        expected = outcome(lambda x=x: getattr(torch, name)(to_torch(x)).resolve_conj())
        result = outcome(lambda x=x: getattr(tg, name)(x))
        if expected is None or (d.category == 0 and name == "square") or (d.category == 3 and result is None):
            continue  # PyTorch's square of a bool is an int64; not every function has a complex form here
        assert result is not None, (name, d, form)
        check_against_torch(result, expected, (name, d, form))


@pytest.mark.parametrize("d", [d for d in dtypes.ALL if d.category == 1])
def test_integers_wrap_around(d: dtypes.dtype) -> None:
    info = tg.iinfo(d)
    top = tg.tensor([info.max, info.min], dtype=d)
    assert (top + 1).tolist() == [info.min, info.min + 1]
    assert (top - tg.tensor([-1, 1], dtype=d)).tolist() == [info.min, info.max]
    with np.errstate(all="ignore"):
        assert (top * top).tolist() == (top.numpy() * top.numpy()).tolist()
    assert (-top).tolist() == (-top.numpy()).tolist()
    assert (top + 1).dtype is d


def test_division_of_integers() -> None:
    x = tg.tensor([7, -8, 2**53 + 1])
    assert (x / 2).dtype is tg.float32
    assert (x / 2).tolist() == (x.numpy().astype(np.float32) / np.float32(2)).tolist()
    with default_dtype(tg.float64):
        assert (x / x).dtype is tg.float64
        assert (x / 2).tolist() == (x.numpy().astype(np.float64) / 2).tolist()


@pytest.mark.parametrize("function", [tg.exp, tg.sqrt, tg.sin, tg.reciprocal, lambda t: t / t, lambda t: t / 2])
def test_functions_of_integers_follow_the_default_dtype_at_every_call(function: Callable[[Any], Any]) -> None:
    for size in (3, 3):  # the second call may take another path than the first
        x = tg.ones(size, dtype=tg.int32)
        for d in (tg.float32, tg.float64, tg.float32):
            with default_dtype(d):
                assert function(x).dtype is d
                assert function(tg.ones(2, dtype=tg.bool)).dtype is d


def test_bool_arithmetic() -> None:
    a, b = tg.tensor([True, True, False, False]), tg.tensor([True, False, True, False])
    assert (a + b).tolist() == [True, True, True, False]
    assert (a * b).tolist() == [True, False, False, False]
    assert tg.maximum(a, b).tolist() == [True, True, True, False]
    assert (a + b).dtype is (a * b).dtype is tg.maximum(a, b).dtype is tg.bool
    assert (a / b)[:2].tolist() == [1.0, math.inf]
    for f in (lambda: a - b, lambda: -a, lambda: a - True, lambda: tg.sub(a, b), lambda: tg.neg(a)):
        for _ in range(3):  # also once a fast path could have learnt it
            with pytest.raises(RuntimeError, match="not defined for bool"):
                f()
    with pytest.raises(RuntimeError, match="not defined for bool"):
        a.sub_(b)
    assert (1 - a).dtype is tg.int64


def test_negative_powers_of_integers() -> None:
    x = tg.tensor([1, 2, 3])
    for _ in range(3):
        with pytest.raises(RuntimeError, match="negative"):
            x**-1
        with pytest.raises(RuntimeError, match="negative"):
            tg.pow(x, -2)
    with pytest.raises(RuntimeError, match="negative"):
        x.clone().pow_(-1)
    assert (x**2).tolist() == [1, 4, 9]
    assert (x**-1.0).tolist() == pytest.approx([1, 0.5, 1 / 3])
    assert (tg.tensor([1, -1, 2, -1, 0, 0]) ** tg.tensor([-1, -1, -1, -2, -1, 0])).tolist() == [1, -1, 0, 1, 0, 1]


def test_python_integers_that_do_not_fit() -> None:
    u = tg.tensor([1, 255], dtype=tg.uint8)
    assert (u + 300).tolist() == [45, 43]
    assert (u + (-1)).tolist() == [0, 254]
    assert (u == 257).tolist() == [True, False]  # as in PyTorch: the number takes the tensor's dtype
    x = tg.tensor([1, 2])
    with pytest.raises(OverflowError):
        x + 2**70
    with pytest.raises(OverflowError):
        tg.ones(2) * 10**400
    assert (tg.ones(2, dtype=tg.float64) * 2**70).tolist() == [2.0**70] * 2
    assert (tg.ones(2, dtype=tg.float64) + 2**53).tolist() == [float(2**53 + 1)] * 2
    assert (x + 2**62).tolist() == [2**62 + 1, 2**62 + 2]


def test_numpy_scalars_count_as_python_numbers() -> None:
    x, i = tg.ones(2), tg.ones(2, dtype=tg.int8)
    for scalar in (np.float64(2), np.float32(2), np.float16(2), np.int64(2), np.uint8(2), np.bool_(True)):
        for result in (x * scalar, scalar * x, x + scalar, tg.mul(x, scalar)):
            assert result.dtype is tg.float32, type(scalar)
    assert (i * np.int64(2)).dtype is tg.int8
    assert (np.float64(2) * i).dtype is tg.float32
    assert (np.complex128(1j) * x).dtype is tg.complex64

    class Level(enum.IntEnum):
        HIGH = 3

    assert (x * Level.HIGH).tolist() == [3, 3]
    assert (i + Level.HIGH).dtype is tg.int8


@pytest.mark.parametrize("d", [tg.float16, dtypes.bfloat16])
def test_sixteen_bit_floats_compute_in_float32(d: Any) -> None:
    values = np.linspace(-3, 3, 257).astype(d.numpy)
    x = tg.tensor(values)
    wide = values.astype(np.float32)
    assert (x * x + x).dtype is d
    assert np.array_equal((x * x).numpy(), (wide * wide).astype(d.numpy))
    assert np.array_equal((x + 0.1).numpy(), (wide + np.float32(0.1)).astype(d.numpy))
    error = np.abs(tg.exp(x).numpy().astype(np.float64) - np.exp(wide.astype(np.float64)))
    assert (error <= dtypes.finfo(d).eps * np.exp(wide)).all()  # one rounding of the result, not of the steps
    total = tg.ones(5000, dtype=d).sum()
    assert total.dtype is d
    assert float(total) == pytest.approx(5000, rel=dtypes.finfo(d).eps)
    leaf = tg.tensor(values, requires_grad=True)
    (leaf * leaf).sum().backward()
    assert leaf.grad.dtype is d
    assert np.array_equal(leaf.grad.numpy(), (2 * wide).astype(d.numpy))
    gathered = tg.ones(1, dtype=d, requires_grad=True)
    gathered[[0] * 5000].sum().backward()
    assert float(gathered.grad) == pytest.approx(5000, rel=dtypes.finfo(d).eps)


def test_set_default_dtype() -> None:
    assert tg.get_default_dtype() is tg.float32
    with default_dtype(tg.float64):
        assert tg.tensor([1.5]).dtype is tg.zeros(2).dtype is tg.rand(2).dtype is tg.linspace(0, 1, 3).dtype is tg.float64
        assert tg.tensor(1j).dtype is tg.complex128
        assert tg.tensor([1]).dtype is tg.int64
        assert dtypes.to_dtype(float) is tg.float64
        assert tg.finfo().bits == 64
    for wrong in (tg.int32, "float64", np.float64, None):
        with pytest.raises(TypeError, match="floating-point dtype"):
            tg.set_default_dtype(wrong)
    assert tg.get_default_dtype() is tg.float32


def test_finfo_and_iinfo() -> None:
    for d in FLOATS:
        info = tg.finfo(d)
        one = np.ones((), d.numpy)
        assert info.bits == 8 * d.itemsize
        assert np.float64(one + np.asarray(info.eps, d.numpy)) == 1 + info.eps
        assert info.min == -info.max
        assert info.tiny == info.smallest_normal
    assert tg.finfo(tg.complex128).eps == 2.0**-52
    assert dtypes.finfo(dtypes.bfloat16).eps == 2.0**-7
    assert (tg.iinfo(tg.uint8).min, tg.iinfo(tg.uint8).max) == (0, 255)
    assert (tg.iinfo(tg.int64).min, tg.iinfo(tg.int64).max) == (-(2**63), 2**63 - 1)
    with pytest.raises(TypeError, match="use iinfo"):
        tg.finfo(tg.int8)
    with pytest.raises(TypeError, match="use finfo"):
        tg.iinfo(tg.float32)
    assert "eps" in repr(tg.finfo(tg.float16))
    assert "max=127" in repr(tg.iinfo(tg.int8))


@pytest.mark.compare
def test_finfo_equals_pytorch(torch: Any) -> None:
    for d in FLOATS:
        mine, theirs = tg.finfo(d), torch.finfo(getattr(torch, d.name))
        for name in ("bits", "eps", "max", "min", "tiny", "smallest_normal", "dtype"):
            assert getattr(mine, name) == getattr(theirs, name), (d, name)


def test_to_dtype() -> None:
    for d in dtypes.ALL:
        assert dtypes.to_dtype(d) is dtypes.to_dtype(d.name) is dtypes.to_dtype(d.numpy) is dtypes.to_dtype(d.numpy.type) is d
    assert dtypes.to_dtype(np.dtype(">f4")) is tg.float32
    assert [dtypes.to_dtype(t) for t in (bool, int, float, complex)] == [tg.bool, tg.int64, tg.float64, tg.complex128]
    assert [dtypes.to_dtype(n) for n in ("half", "long", "double", "cfloat")] == [tg.float16, tg.int64, tg.float64, tg.complex64]
    for wrong in (np.uint16, "U3", object, "nonsense", 3, None, str, list):
        with pytest.raises(TypeError, match="no dtype for"):
            dtypes.to_dtype(wrong)


def test_dtypes_are_values() -> None:
    import copy
    import pickle

    for d in dtypes.ALL:
        assert copy.copy(d) is copy.deepcopy(d) is d
    assert pickle.loads(pickle.dumps(tg.float32)) is tg.float32
    assert pickle.loads(pickle.dumps(tg.bool)) is tg.bool
    assert repr(tg.float32) == "tapegrad.float32"
    assert len(set(dtypes.ALL)) == len(dtypes.ALL)
    assert not tg.uint8.is_signed
    assert tg.int8.is_signed
    assert tg.complex64.is_complex
    assert not tg.complex64.is_floating_point


def test_conversions() -> None:
    x = tg.tensor([-1.75, 0.0, 2.5], requires_grad=True)
    for method, d in [("bool", tg.bool), ("int", tg.int32), ("long", tg.int64), ("double", tg.float64), ("half", tg.float16)]:
        assert getattr(x, method)().dtype is d
        assert x.to(d).dtype is x.type(d).dtype is x.to(dtype=d).dtype is d
    for method, d in [("byte", tg.uint8), ("char", tg.int8), ("short", tg.int16), ("cfloat", tg.complex64), ("cdouble", tg.complex128)]:
        assert getattr(tg.tensor([2.5]), method)().dtype is d
    assert x.type_as(tg.ones(1, dtype=tg.int8)).dtype is tg.int8
    assert x.new_full((2,), 7).tolist() == [7, 7] and x.new_full((2,), 7).dtype is tg.float32
    assert x.bool().tolist() == [True, False, True]
    assert x.long().tolist() == [-1, 0, 2]
    assert x.float() is x.to(tg.float32) is x.to("cpu") is x.to(x) is x
    assert x.to(tg.float32, copy=True) is not x
    assert x.type() == "tapegrad.float32"
    assert x.to("cpu", tg.float64).dtype is tg.float64
    assert x.to(tg.ones(1, dtype=tg.int8)).dtype is tg.int8
    assert not x.long().requires_grad
    (x.double() * tg.tensor([1.0, 2.0, 3.0], dtype=tg.float64)).sum().backward()
    assert x.grad.dtype is tg.float32
    assert x.grad.tolist() == [1, 2, 3]
    with pytest.raises(TypeError, match="no dtype"):
        x.to("float33")


def test_in_place_results_keep_the_dtype() -> None:
    i = tg.tensor([1, 2, 3])
    for f in (lambda: i.add_(1.5), lambda: i.div_(2), lambda: i.mul_(tg.ones(3)), lambda: i.sqrt_()):
        with pytest.raises(RuntimeError, match="can't be written into a tensor of dtype"):
            f()
    assert i.tolist() == [1, 2, 3]
    x = tg.ones(3)
    x += tg.ones(3, dtype=tg.float64)
    x *= 2
    x -= tg.ones(3, dtype=tg.bool)
    assert (x.dtype, x.tolist()) == (tg.float32, [3, 3, 3])
    with pytest.raises(RuntimeError, match="complex"):
        x += 1j
    b = tg.ones(2, dtype=tg.bool)
    with pytest.raises(RuntimeError, match="can't be written"):
        b += 1
    u = tg.tensor([250], dtype=tg.uint8)
    u += 10
    assert u.tolist() == [4]
    u += tg.tensor([1], dtype=tg.int64)  # of the same category, so it may narrow
    assert (u.dtype, u.tolist()) == (tg.uint8, [5])


@pytest.mark.parametrize(
    "f",
    [
        lambda i, x: tg.where(i > 1, x, i),
        lambda i, x: tg.clamp(i, min=x),
        lambda i, x: tg.clamp(i, 1.5),
        lambda i, x: i * 0.5,
        lambda i, x: x + i,
    ],
)
def test_integers_beside_floats_give_floats_and_gradients(f: Callable[..., Any]) -> None:
    i, x = tg.tensor([1, 2, 3]), tg.tensor([1.5, 1.5, 1.5], requires_grad=True)
    result = f(i, x)
    assert result.dtype is tg.float32
    if result.requires_grad:
        result.sum().backward()
        assert x.grad.dtype is tg.float32
