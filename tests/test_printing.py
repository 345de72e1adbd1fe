"""Printed text of tensors: literal expectations, and a comparison with PyTorch over random arrays."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from tapegrad import printing
from tapegrad.printing import format_scalar, get_printoptions, set_printoptions, tensor_repr

INF, NAN = math.inf, math.nan


@pytest.fixture(autouse=True)
def default_options() -> Iterator[None]:
    set_printoptions(profile="default")
    yield
    set_printoptions(profile="default")


def shown(data: Any, dtype: str = "float32", **kwargs: Any) -> str:
    text: str = tensor_repr(np.array(data, dtype=dtype), dtype_name=dtype, **kwargs)
    return text


@pytest.mark.parametrize(
    ("data", "dtype", "expected"),
    [
        # whole floats have a bare point, others four decimals
        ([1, 2], "float32", "tensor([1., 2.])"),
        ([1, 2.5], "float32", "tensor([1.0000, 2.5000])"),
        ([0.1, -0.25, 0], "float32", "tensor([ 0.1000, -0.2500,  0.0000])"),
        ([-0.0, 1], "float32", "tensor([-0., 1.])"),
        ([-0.0, 1.5], "float32", "tensor([-0.0000, 1.5000])"),
        ([0, 0], "float32", "tensor([0., 0.])"),
        ([[1, -2], [3, 40]], "float32", "tensor([[ 1., -2.],\n        [ 3., 40.]])"),
        # 0-d
        (3, "float32", "tensor(3.)"),
        (-0.0, "float32", "tensor(-0.)"),
        (0.1, "float32", "tensor(0.1000)"),
        (1e-5, "float32", "tensor(1.0000e-05)"),
        (NAN, "float32", "tensor(nan)"),
        (-INF, "float32", "tensor(-inf)"),
        (7, "int64", "tensor(7)"),
        (7, "uint8", "tensor(7, dtype=tapegrad.uint8)"),
        (True, "bool", "tensor(True)"),
        (1 - 1.5j, "complex64", "tensor(1.-1.5000j)"),
        # scientific: ratio above 1000, above 1e8, or below 1e-4
        ([1, 1000], "float32", "tensor([   1., 1000.])"),
        ([1, 1001], "float32", "tensor([1.0000e+00, 1.0010e+03])"),
        ([1e8], "float32", "tensor([100000000.])"),
        ([1e8 + 8], "float32", "tensor([1.0000e+08])"),
        ([1e-4], "float64", "tensor([0.0001], dtype=tapegrad.float64)"),
        ([9.99e-5], "float32", "tensor([9.9900e-05])"),
        ([0, 1e-5, -2], "float32", "tensor([ 0.0000e+00,  1.0000e-05, -2.0000e+00])"),
        ([1e-300, 1e300], "float64", "tensor([1.0000e-300, 1.0000e+300], dtype=tapegrad.float64)"),
        ([5e-324, 1.7e308], "float64", "tensor([4.9407e-324, 1.7000e+308], dtype=tapegrad.float64)"),
        # infinities and NaN count neither for the style nor for the width
        ([NAN, NAN], "float32", "tensor([nan, nan])"),
        ([INF, 1, -INF], "float32", "tensor([inf, 1., -inf])"),
        ([INF, 1, 2.5], "float32", "tensor([   inf, 1.0000, 2.5000])"),
        ([NAN, 1e-9], "float32", "tensor([       nan, 1.0000e-09])"),
        # float16
        ([1.5, 2], "float16", "tensor([1.5000, 2.0000], dtype=tapegrad.float16)"),
        (
            [0.1, INF, 3e-5, NAN],
            "float16",
            "tensor([9.9976e-02,        inf, 2.9981e-05,        nan], dtype=tapegrad.float16)",
        ),
        # integers and bools
        ([[1, 2], [3, 4]], "int64", "tensor([[1, 2],\n        [3, 4]])"),
        ([1, 0, 100], "uint8", "tensor([  1,   0, 100], dtype=tapegrad.uint8)"),
        ([-128, 127], "int8", "tensor([-128,  127], dtype=tapegrad.int8)"),
        ([-5, 7], "int16", "tensor([-5,  7], dtype=tapegrad.int16)"),
        ([-5, 7], "int32", "tensor([-5,  7], dtype=tapegrad.int32)"),
        ([-(2**63), 2**63 - 1], "int64", "tensor([-9223372036854775808,  9223372036854775807])"),
        ([True, False], "bool", "tensor([ True, False])"),
        ([True, True], "bool", "tensor([True, True])"),
        ([[[1]]], "int64", "tensor([[[1]]])"),
        # complex: the two parts are styled apart
        ([1 + 2j, -1 - 2j], "complex64", "tensor([ 1.+2.j, -1.-2.j])"),
        ([complex(1, -0.0), complex(-0.0, NAN)], "complex64", "tensor([1.-0.j, -0.+nanj])"),
        ([complex(INF, -INF), 1.5j], "complex64", "tensor([inf-infj, 0.+1.5000j])"),
        ([1e-9 + 2j, 1 - 2j], "complex128", "tensor([1.0000e-09+2.j, 1.0000e+00-2.j], dtype=tapegrad.complex128)"),
        # zero-size: any dtype but the default is named
        ([], "float32", "tensor([])"),
        ([], "int64", "tensor([], dtype=tapegrad.int64)"),
        ([], "bool", "tensor([], dtype=tapegrad.bool)"),
        ([[]], "float32", "tensor([], size=(1, 0))"),
        (np.zeros((0, 3)), "float64", "tensor([], size=(0, 3), dtype=tapegrad.float64)"),
        (np.zeros((4, 0, 7)), "complex64", "tensor([], size=(4, 0, 7), dtype=tapegrad.complex64)"),
    ],
)
def test_literal(data: Any, dtype: str, expected: str) -> None:
    assert shown(data, dtype) == expected


def test_bfloat16() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    array = np.array([0.1, 1e5, 3e-5, NAN]).astype(ml_dtypes.bfloat16)
    expected = "tensor([1.0010e-01, 9.9840e+04, 3.0041e-05,        nan], dtype=tapegrad.bfloat16)"
    assert tensor_repr(array, dtype_name="bfloat16") == expected
    assert tensor_repr(array[0].reshape(()), dtype_name="bfloat16") == "tensor(0.1001, dtype=tapegrad.bfloat16)"
    assert tensor_repr(array[:0], dtype_name="bfloat16") == "tensor([], dtype=tapegrad.bfloat16)"
    assert format_scalar(array[0].reshape(()), ".3f") == "0.100"


def test_default_dtype_decides_what_is_named() -> None:
    assert shown([1.0], "float64", default_dtype_name="float64") == "tensor([1.])"
    assert shown([1.0], "float32", default_dtype_name="float64") == "tensor([1.], dtype=tapegrad.float32)"
    assert shown([1j], "complex128", default_dtype_name="float64") == "tensor([0.+1.j])"
    assert shown([1j], "complex64", default_dtype_name="float64") == "tensor([0.+1.j], dtype=tapegrad.complex64)"
    assert shown([], "float64", default_dtype_name="float64") == "tensor([])"


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        ({"requires_grad": True}, "tensor([3.], requires_grad=True)"),
        ({"requires_grad": True, "grad_fn": "MulBackward0"}, "tensor([3.], grad_fn=<MulBackward0>)"),
        ({"device": "cuda:0"}, "tensor([3.], device='cuda:0')"),
        ({"device": "cuda:1", "requires_grad": True}, "tensor([3.], device='cuda:1', requires_grad=True)"),
        ({"class_name": "Weights"}, "Weights([3.])"),
    ],
)
def test_notes(kwargs: dict[str, Any], expected: str) -> None:
    assert shown([3], **kwargs) == expected


def test_notes_of_other_kinds() -> None:
    assert shown(3, grad_fn="MulBackward0") == "tensor(3., grad_fn=<MulBackward0>)"
    empty = shown(np.zeros((0, 3)), "float64", grad_fn="MulBackward0", device="cuda:0")
    assert empty == ("tensor([], device='cuda:0', size=(0, 3), dtype=tapegrad.float64,\n       grad_fn=<MulBackward0>)")


def test_note_that_does_not_fit_starts_a_line() -> None:
    row = [0.5] * 7
    assert shown(row, requires_grad=True) == (
        "tensor([0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000],\n       requires_grad=True)"
    )
    assert shown(row[:5], requires_grad=True) == (
        "tensor([0.5000, 0.5000, 0.5000, 0.5000, 0.5000], requires_grad=True)"
    )
    assert shown([row[:5]] * 2, class_name="Weights", grad_fn="SoftmaxBackward0") == (
        "Weights([[0.5000, 0.5000, 0.5000, 0.5000, 0.5000],\n"
        "         [0.5000, 0.5000, 0.5000, 0.5000, 0.5000]], grad_fn=<SoftmaxBackward0>)"
    )


def test_long_vector_wraps() -> None:
    assert shown(np.arange(30), "int64") == (
        "tensor([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17,\n"
        "        18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29])"
    )


def test_lines_filled_to_the_last_column() -> None:
    set_printoptions(linewidth=45)
    assert shown([1.5, 2], requires_grad=True) == "tensor([1.5000, 2.0000], requires_grad=True)"
    set_printoptions(linewidth=44)
    assert shown([1.5, 2], requires_grad=True) == "tensor([1.5000, 2.0000],\n       requires_grad=True)"
    set_printoptions(linewidth=20)
    assert shown([[1, 2, 3, 4]], "int64") == "tensor([[1, 2, 3, 4]])"
    set_printoptions(linewidth=19)
    assert shown([[1, 2, 3, 4]], "int64") == "tensor([[1, 2, 3,\n         4]])"
    set_printoptions(linewidth=39)
    assert shown([1e9 - 1j] * 2, "complex64") == "tensor([1.0000e+09-1.j, 1.0000e+09-1.j])"
    set_printoptions(linewidth=38)
    assert shown([1e9 - 1j] * 2, "complex64") == "tensor([1.0000e+09-1.j,\n        1.0000e+09-1.j])"


def test_zeros_do_not_widen_the_line_count() -> None:
    # a cell of zeros counts as one column, so the line runs past the width, as in PyTorch
    assert shown(np.zeros(24)) == f"tensor([{', '.join(['0.'] * 24)}])"
    assert shown(np.zeros(25)) == f"tensor([{', '.join(['0.'] * 24)},\n        0.])"


def test_higher_dimensions_leave_blank_lines() -> None:
    assert shown(np.arange(8).reshape(2, 2, 2), "int64") == (
        "tensor([[[0, 1],\n         [2, 3]],\n\n        [[4, 5],\n         [6, 7]]])"
    )
    assert shown(np.arange(4).reshape(2, 1, 2, 1), "int64") == (
        "tensor([[[[0],\n          [1]]],\n\n\n        [[[2],\n          [3]]]])"
    )


def test_summary() -> None:
    assert shown(np.zeros(1001)) == "tensor([0., 0., 0.,  ..., 0., 0., 0.])"
    assert "..." not in shown(np.zeros(1000))
    assert shown(np.arange(12000).reshape(10, 1200), "int32") == (
        "tensor([[    0,     1,     2,  ...,  1197,  1198,  1199],\n"
        "        [ 1200,  1201,  1202,  ...,  2397,  2398,  2399],\n"
        "        [ 2400,  2401,  2402,  ...,  3597,  3598,  3599],\n"
        "        ...,\n"
        "        [ 8400,  8401,  8402,  ...,  9597,  9598,  9599],\n"
        "        [ 9600,  9601,  9602,  ..., 10797, 10798, 10799],\n"
        "        [10800, 10801, 10802,  ..., 11997, 11998, 11999]], dtype=tapegrad.int32)"
    )
    assert shown(np.zeros((2, 600)), "bool") == (
        "tensor([[False, False, False,  ..., False, False, False],\n"
        "        [False, False, False,  ..., False, False, False]])"
    )
    # a dimension of exactly twice the edge is shown whole
    row = "[0., 0., 0.,  ..., 0., 0., 0.]"
    assert shown(np.zeros((6, 200))) == "tensor([" + ",\n        ".join([row] * 6) + "])"
    # hidden elements decide nothing
    hidden = np.ones(2000)
    hidden[1000] = 1e-9
    assert shown(hidden) == "tensor([1., 1., 1.,  ..., 1., 1., 1.])"
    assert shown(np.full(1500, 1 - 2j), "complex64") == (
        "tensor([1.-2.j, 1.-2.j, 1.-2.j,  ..., 1.-2.j, 1.-2.j, 1.-2.j])"
    )


def test_summary_reads_only_what_it_shows() -> None:
    # 10**13 elements behind one number: any whole-array work would run out of memory or time
    huge = np.broadcast_to(np.float32(1), (10**4, 2, 10**9 // 2))
    start = time.perf_counter()
    text = tensor_repr(huge, dtype_name="float32")
    assert time.perf_counter() - start < 5.0
    assert text.count("1.") == 72


def test_any_strides() -> None:
    base = np.arange(12, dtype=np.int64).reshape(3, 4)
    assert tensor_repr(base[::-1, ::2].T, dtype_name="int64") == "tensor([[ 8,  4,  0],\n        [10,  6,  2]])"


def test_options() -> None:
    set_printoptions(precision=2)
    assert shown([1.23456, 10]) == "tensor([ 1.23, 10.00])"
    set_printoptions(precision=0)
    assert shown([1.5, 10]) == "tensor([ 2, 10])"
    set_printoptions(profile="default", threshold=5)
    assert shown(range(10), "int64") == "tensor([0, 1, 2,  ..., 7, 8, 9])"
    set_printoptions(edgeitems=1)
    assert shown(range(10), "int64") == "tensor([0,  ..., 9])"
    set_printoptions(edgeitems=0)
    assert shown(range(10), "int64") == "tensor([...], size=(10,))"
    assert shown(np.zeros((4, 4))) == "tensor([...], size=(4, 4))"
    assert shown([1.0]) == "tensor([1.], size=(1,))"
    set_printoptions(profile="default", linewidth=20)
    assert shown(range(10), "int64") == "tensor([0, 1, 2, 3,\n        4, 5, 6, 7,\n        8, 9])"
    set_printoptions(profile="default", threshold=0)
    assert shown(5.0) == "tensor(5.)"


def test_sci_mode_is_set_by_every_call() -> None:
    set_printoptions(sci_mode=True)
    assert shown([1.0, 25]) == "tensor([1.0000e+00, 2.5000e+01])"
    assert shown([0.0, NAN]) == "tensor([0., nan])"
    set_printoptions(sci_mode=False)
    assert shown([1e-6, 1]) == "tensor([0.0000, 1.0000])"
    set_printoptions(precision=4)
    assert shown([1e-6, 1]) == "tensor([1.0000e-06, 1.0000e+00])"


def test_profiles() -> None:
    default = {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80, "sci_mode": None}
    assert get_printoptions() == default
    set_printoptions(linewidth=120, profile="short")
    assert get_printoptions() == {**default, "precision": 2, "edgeitems": 2, "linewidth": 120}
    set_printoptions(profile="full")
    assert get_printoptions() == {**default, "threshold": INF}
    assert shown(np.zeros(1001)).count("0.") == 1001
    get_printoptions()["precision"] = 9
    assert get_printoptions()["precision"] == 4
    saved = get_printoptions()
    set_printoptions(precision=1, sci_mode=True)
    set_printoptions(**saved)
    assert get_printoptions() == saved


def test_bad_options_change_nothing() -> None:
    before = get_printoptions()
    with pytest.raises(ValueError, match=r"'long'.*'default', 'short', 'full'"):
        set_printoptions(precision=1, profile="long")
    with pytest.raises(ValueError, match="precision=-1"):
        set_printoptions(precision=-1, linewidth=10)
    with pytest.raises(ValueError, match="edgeitems=-2"):
        set_printoptions(edgeitems=-2)
    assert get_printoptions() == before


@pytest.mark.parametrize(
    ("data", "dtype", "spec", "expected"),
    [
        (3.14159, "float32", ".3f", "3.142"),
        (3.14159, "float32", "", "3.141590118408203"),
        (3.14159, "float32", "e", "3.141590e+00"),
        (3, "int64", ">10", "         3"),
        (3, "int64", ".3f", "3.000"),
        (3, "int32", "d", "3"),
        (True, "bool", "", "True"),
        (True, "bool", ".3f", "1.000"),
        (1 + 2j, "complex64", ".3f", "1.000+2.000j"),
        (0.1, "float16", ".5f", "0.09998"),
    ],
)
def test_format_scalar(data: Any, dtype: str, spec: str, expected: str) -> None:
    assert format_scalar(np.array(data, dtype=dtype), spec) == expected


def test_format_errors() -> None:
    with pytest.raises(TypeError, match=r"'\.3f' passed to Tensor\.__format__.*\(2,\)"):
        format_scalar(np.zeros(2), ".3f")
    with pytest.raises(ValueError, match="format code 'd'"):
        format_scalar(np.array(1.5), "d")
    assert format_scalar(np.zeros(2, np.float32), "") == "tensor([0., 0.])"


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([object()]), np.zeros(2, "M8[s]")])
def test_not_numbers(array: np.ndarray[Any, Any]) -> None:
    with pytest.raises(TypeError, match="numbers or bools"):
        tensor_repr(array, dtype_name="other")


def test_needs_numpy_only() -> None:
    code = (
        "import runpy, sys; runpy.run_path(sys.argv[1]);"
        "print([m for m in ('numba', 'torch', 'ml_dtypes') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, printing.__file__], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


FLOATS = ["float16", "bfloat16", "float32", "float64"]
DTYPES = [*FLOATS, "complex64", "complex128", "bool", "uint8", "int8", "int16", "int32", "int64"]
SHAPES = st.one_of(
    st.lists(st.integers(1, 9), max_size=4).map(tuple),
    st.lists(st.integers(0, 3), max_size=5).map(tuple),
    st.sampled_from([(1000,), (1001,), (5000,), (40, 40), (3, 400), (400, 3), (7, 12, 13), (6, 7, 6, 7), (2, 1, 900)]),
)
SPECIAL = [0.0, -0.0, INF, -INF, NAN, 1.0, -1.0, 1000.0, 1e-4, 1e8, 0.5, 99999.5, 5e-324, 1e308]


def reals(rng: np.random.Generator, size: int, low: float, high: float, whole: bool, special: float) -> Any:
    """Real numbers of magnitude 10**low to 10**high, of both signs in some arrays, with a share of special ones."""
    signs = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])[rng.integers(0, 3)]
    values = 10.0 ** rng.uniform(low, high, size) * signs[rng.integers(0, 2, size)]
    if whole:
        values = np.round(values)
    return np.where(rng.random(size) < special, rng.choice(SPECIAL, size), values)


@st.composite
def arrays(draw: st.DrawFn) -> tuple[np.ndarray[Any, Any], str]:
    """A base array (any layout) of a drawn dtype; bfloat16 comes as float32, for each side to round."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(SHAPES)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = math.prod(shape)

    def part() -> Any:
        low = draw(st.floats(-12, 12) | st.floats(-320, 305))
        return reals(
            rng, size, low, low + draw(st.floats(0, 4)), draw(st.booleans()), draw(st.sampled_from([0.0, 0.1, 1.0]))
        )

    with np.errstate(over="ignore"):
        if dtype == "bool":
            flat = rng.random(size) < draw(st.sampled_from([0.0, 0.5, 1.0]))
        elif "int" in dtype:
            info = np.iinfo(dtype)
            bits = draw(st.integers(0, info.bits - 1))
            flat = rng.integers(max(info.min, -(2**bits)), min(info.max, 2**bits), size, endpoint=True, dtype=dtype)
        elif dtype.startswith("complex"):
            flat = np.empty(size, dtype)
            flat.real, flat.imag = part(), part()
        else:
            flat = part().astype("float32" if dtype == "bfloat16" else dtype)
    array = flat.reshape(shape)
    layout = draw(st.sampled_from(["plain", "transposed", "reversed", "broadcast"]))
    if layout == "transposed":
        array = array.T
    elif layout == "reversed" and shape:
        array = np.flip(array)
    elif layout == "broadcast":
        array = np.broadcast_to(array, (draw(st.integers(1, 8)), *array.shape))
    return array, dtype


def outcome(call: Any, *args: Any) -> Any:
    """What a call returns, or the type of what it raises."""
    try:
        return call(*args)
    except (TypeError, ValueError) as error:
        return type(error)


OPTIONS: st.SearchStrategy[dict[str, Any]] = st.just({}) | st.fixed_dictionaries(
    {},
    optional={
        "profile": st.sampled_from(["default", "short", "full"]),
        "precision": st.integers(0, 9),
        "threshold": st.integers(0, 2000),
        "edgeitems": st.integers(0, 5),
        "linewidth": st.integers(1, 160),
        "sci_mode": st.sampled_from([None, True, False]),
    },
)


@pytest.mark.compare
@settings(deadline=None)
@given(
    drawn=arrays(),
    options=OPTIONS,
    default=st.sampled_from(["float32", "float64"]),
    grad=st.sampled_from(["none", "leaf", "result"]),
    name=st.sampled_from(["tensor", "X", "SomewhatLongerName"]),
    spec=st.sampled_from(["", ".3f", ">12", "e", "d", "+.2g"]),
)
def test_same_as_torch(
    drawn: tuple[np.ndarray[Any, Any], str], options: dict[str, Any], default: str, grad: str, name: str, spec: str
) -> None:
    torch = pytest.importorskip("torch")
    array, dtype = drawn
    theirs = torch.from_numpy(array.copy())
    if dtype == "bfloat16":
        ml_dtypes = pytest.importorskip("ml_dtypes")
        theirs = theirs.to(torch.bfloat16)
        array = array.astype(ml_dtypes.bfloat16)
    if name != "tensor":
        theirs = theirs.as_subclass(type(name, (torch.Tensor,), {}))
    if not (theirs.is_floating_point() or theirs.is_complex()):
        grad = "none"
    theirs.requires_grad_(grad != "none")
    if grad == "result":
        theirs = theirs.clone()

    set_printoptions(**{"profile": "default", **options})
    torch.set_printoptions(**{"profile": "default", **options})
    torch.set_default_dtype(getattr(torch, default))
    try:
        assert get_printoptions() == torch._tensor_str.get_printoptions()
        expected = repr(theirs)
        ours = tensor_repr(
            array,
            dtype_name=dtype,
            default_dtype_name=default,
            requires_grad=grad != "none",
            grad_fn=type(theirs.grad_fn).__name__ if grad == "result" else None,
            class_name=name,
        )
        assert ours == expected.replace("torch.", "tapegrad.")
        if name == "tensor" and (spec or array.ndim == 0):  # format() of a subclass is refused by PyTorch
            assert outcome(format_scalar, array, spec) == outcome(format, theirs, spec)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_printoptions(profile="default")
        set_printoptions(profile="default")
