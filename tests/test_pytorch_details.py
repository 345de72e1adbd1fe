"""Small things that scripts written for PyTorch rely on: scalars that don't fit, legacy arguments, writes, NaN."""

import copy

import numpy as np
import pytest

import tapegrad as tg
import tapegrad.nn.functional as F

T = tg.tensor
NAN = float("nan")
MASK = T([True, False])


def bytes_(*values):
    return T(values, dtype=tg.int8)


@pytest.mark.parametrize(
    "function",
    [
        lambda: bytes_(1, 2).masked_fill(MASK, 300),
        lambda: bytes_(1, 2).masked_fill_(MASK, 300),
        lambda: bytes_(1, 2).masked_fill(MASK, T(300)),
        lambda: tg.where(MASK, bytes_(1, 2), 300),
        lambda: tg.where(MASK, 300, bytes_(1, 2)),
        lambda: bytes_(1, 2).clamp(max=300),
        lambda: bytes_(1, 2).clamp_(min=-300),
        lambda: bytes_(1, 2) ** 300,
        lambda: bytes_(1, 2).fill_(300),
        lambda: bytes_(1, 2).index_fill(0, T([0]), 300),
        lambda: bytes_(1, 2).scatter(0, T([0]), 300),
        lambda: tg.add(bytes_(1), bytes_(1), alpha=300),
        lambda: tg.addcmul(bytes_(1), bytes_(1), bytes_(1), value=300),
        lambda: tg.full((2,), 1e300, dtype=tg.float32),
        lambda: tg.ones(2).fill_(1e300),
        lambda: tg.ones(2).masked_fill(MASK, -1e300),
        lambda: tg.ones(2, dtype=tg.float16).masked_fill(MASK, 1e6),
    ],
)
def test_a_number_that_does_not_fit_is_an_error(function):
    for _ in range(2):  # what a first call learned must not let a second one through
        with pytest.raises(RuntimeError, match="can't be converted to .* without overflow"):
            function()


def test_numbers_that_fit_or_wrap_as_in_pytorch():
    assert T([1, 2], dtype=tg.uint8).masked_fill(MASK, -1).tolist() == [255, 2]
    assert tg.ones(2).masked_fill(MASK, -float("inf")).tolist() == [-float("inf"), 1]
    assert (bytes_(1, 2) + 300).tolist() == [45, 46]
    assert tg.where(MASK, bytes_(1, 2), 127).tolist() == [1, 127]
    assert tg.where(MASK, T([1.0, 2.0]), 300).tolist() == [1, 300]


@pytest.mark.parametrize("value", [2.75, T(2.75), T(2.75, dtype=tg.float64)])
def test_integers_are_filled_with_truncated_numbers(value):
    assert bytes_(1, 2).masked_fill(MASK, value).tolist() == [2, 2]
    assert bytes_(1, 1).index_fill(0, T([1]), value).tolist() == [1, 2]
    assert T([False, False]).masked_fill(MASK, value).tolist() == [True, False]
    if not isinstance(value, tg.Tensor):
        assert bytes_(1, 1).scatter(0, T([1]), value).tolist() == [1, 2]
    with pytest.raises(RuntimeError, match="complex"):
        bytes_(1, 2).masked_fill(MASK, 1j)


def test_index_fill_counts_negative_indices_from_the_end():
    x = T([1.0, 2.0, 3.0], requires_grad=True)
    y = x.index_fill(0, T([-1, 0]), 9.0)
    y.sum().backward()
    assert (y.tolist(), x.grad.tolist()) == ([9, 2, 9], [0, 1, 0])


def test_lerp_of_complex_numbers():
    a, b, w = (T(v, dtype=tg.complex128, requires_grad=True) for v in ([1 + 2j, 3j], [2 - 1j, 1.0], [0.3 + 0.2j, 0.1 + 0.7j]))
    y = tg.lerp(a, b, w)
    assert np.allclose(y.detach().numpy(), [1 + 2j + (0.3 + 0.2j) * (1 - 3j), 3j + (0.1 + 0.7j) * (1 - 3j)], rtol=1e-14)
    y.real.sum().backward()
    assert np.allclose(a.grad.numpy(), 1 - w.detach().numpy().conj()) and np.allclose(b.grad.numpy(), w.detach().numpy().conj())
    assert np.allclose(w.grad.numpy(), (b - a).detach().numpy().conj())
    assert tg.lerp(a, b, 1.0).tolist() == b.tolist() and tg.lerp(a, b, 0.0).tolist() == a.tolist()


@pytest.mark.parametrize("shape", [(0, 2), (3, 0, 2)])
def test_no_pairs_are_no_complex_numbers(shape):
    assert tg.view_as_complex(tg.zeros(*shape)).shape == shape[:-1]


@pytest.mark.parametrize("write", ["zero_", "fill_"])
@pytest.mark.parametrize("part", [lambda t: t, lambda t: t.T])
def test_a_stale_value_names_what_filled_it(write, part):
    x, t = T([1.0], requires_grad=True), tg.ones(2, 3)
    y = x * t
    getattr(part(t), write)(*([2] if write == "fill_" else []))
    with pytest.raises(RuntimeError, match=f"modified in place by {write}"):
        y.sum().backward()


@pytest.mark.parametrize("function", [tg.maximum, tg.minimum])
def test_both_operands_of_a_nan_get_the_gradient(function):
    x, y = T([NAN, 1.0, 2.0], requires_grad=True), T([1.0, NAN, 2.0], requires_grad=True)
    function(x, y).sum().backward()
    assert x.grad.tolist() == y.grad.tolist() == [1, 1, 0.5]


@pytest.mark.parametrize("name", ["max", "min"])
def test_nans_share_the_gradient_of_an_extreme(name):
    x = T([NAN, 1.0, NAN], requires_grad=True)
    getattr(x, name)().backward()
    assert x.grad.tolist() == [0.5, 0, 0.5]


@pytest.mark.parametrize("numerator", [1, 3.0, T([1.0, 2.0], requires_grad=True)])
def test_a_quotient_may_be_written_in_place(numerator):
    b = T([2.0, 4.0], requires_grad=True)
    y = numerator / b
    y -= 1.0
    y.sum().backward()
    assert b.grad.tolist() == (-(T(1.0) * numerator) / T([4.0, 16.0])).tolist()


def test_views_by_expand_can_be_written_where_no_memory_is_shared():
    x = tg.ones(3)
    x.expand(3).add_(1)
    x.expand(2, 3)[0].add_(1)
    assert x.tolist() == [3, 3, 3]
    a = tg.ones(3, requires_grad=True)
    b = a * 1
    b.expand(2, 3)[1].mul_(2)
    b.sum().backward()
    assert a.grad.tolist() == [2, 2, 2]
    with pytest.raises(RuntimeError, match="several elements share one place"):
        x.expand(2, 3).add_(1)
    with tg.no_grad(), pytest.raises(RuntimeError, match="several elements share one place"):
        x.expand(2, 3).add_(1)
    with pytest.raises(RuntimeError, match="read-only"):
        tg.from_numpy(np.broadcast_to(np.ones(3), (3,))).expand(3).add_(1)


def test_gradients_through_expand_are_their_own():
    x = tg.ones(3, requires_grad=True)
    g = tg.ones(3)
    (x.expand(2, 3).sum(0) + x.expand(3)).backward(g)
    x.grad.add_(1)
    assert (x.grad.tolist(), g.tolist()) == ([4, 4, 4], [1, 1, 1])
    y = tg.ones(3, requires_grad=True)
    (y.sum() + y.sum()).backward()
    y.grad[0] = 5
    assert y.grad.tolist() == [5, 2, 2]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda: tg.add(T([1.0, 2.0]), 2, alpha=3), [7, 8]),
        (lambda: tg.sub(T([1.0, 2.0]), 2, alpha=3), [-5, -4]),
        (lambda: T([1.0, 2.0]).add_(2, alpha=3), [7, 8]),
        (lambda: T([1.0, 2.0]).sub_(2, alpha=3), [-5, -4]),
        (lambda: T([1.0, 2.0]).add_(T([1, 2]), alpha=2.5), [3.5, 7]),
        (lambda: tg.arange(end=3), [0, 1, 2]),
        (lambda: tg.arange(1, end=3), [1, 2]),
        (lambda: tg.randint(high=1, size=(2,)), [0, 0]),
        (lambda: tg.zeros(size=(2,)), [0, 0]),
        (lambda: tg.ones(size=(1, 2))[0], [1, 1]),
        (lambda: tg.rand(size=(0, 2)), []),
        (lambda: tg.randn(size=(0, 2)), []),
        (lambda: tg.tensor([], dtype=tg.int64), []),
        (lambda: tg.as_tensor([[], []], dtype=tg.uint8)[1], []),
        (lambda: T([1]).new_tensor([]), []),
        (lambda: tg.linspace(0, 1j, 3), [0, 0.5j, 1j]),
        (lambda: F.linear(T([[1.0, 2.0], [3.0, 4.0]]), T([1.0, 1.0])), [3, 7]),
        (lambda: F.linear(T([1.0, 2.0]), T([1.0, 1.0])), 3),
        (lambda: F.mse_loss(T([1.0, 2.0]), T([1.0, 4.0]), None, None, "sum"), 4),
        (lambda: F.cross_entropy(T([[0.0, 0.0]]), T([1]), None, None, -100, None, "sum", 0.0).exp(), 2),
        (lambda: tg.nn.CrossEntropyLoss(None, None, 1)(T([[0.0, 0.0]] * 2), T([1, 0])).exp(), 2),
        (lambda: T(3).flip(0), 3),
    ],
)
def test_calls_that_pytorch_takes(function, expected):
    assert function().tolist() == pytest.approx(expected, rel=1e-6)


def test_old_reduction_arguments_warn():
    with pytest.warns(UserWarning, match="reduction='sum'"):
        assert F.mse_loss(T([1.0, 2.0]), T([1.0, 4.0]), size_average=False).item() == 4
    with pytest.warns(UserWarning, match="reduction='none'"):
        assert tg.nn.MSELoss(reduce=False)(T([1.0, 2.0]), T([1.0, 4.0])).tolist() == [0, 4]
    with pytest.warns(UserWarning, match="reduction='none'"):
        assert F.cross_entropy(T([[0.0, 0.0]]), T([1]), reduce=False).shape == (1,)


@pytest.mark.parametrize("layer", [tg.nn.Softmax, tg.nn.LogSoftmax])
@pytest.mark.parametrize(("shape", "dim"), [((2,), 0), ((2, 3), 1), ((2, 3, 4), 0), ((2, 3, 4, 5), 1)])
def test_softmax_layers_guess_their_dimension(layer, shape, dim):
    x = tg.arange(float(np.prod(shape))).reshape(shape)
    with pytest.warns(UserWarning, match=f"give dim={dim}"):
        guessed = layer()(x)
    assert guessed.tolist() == layer(dim)(x).tolist()


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda: T([1, 2]).add(T([1, 2]), alpha=2.5), RuntimeError, "add: alpha=2.5 must be an integer"),
        (lambda: T([1, 2]).add_(2, alpha=2.5), RuntimeError, "add_: alpha=2.5 must be an integer"),
        (lambda: tg.arange(0, 1j), RuntimeError, "arange: complex numbers have no order"),
        (lambda: tg.zeros(0, 2**62), RuntimeError, "zeros: the sizes .* are too large"),
        (lambda: F.mse_loss(T([1j]), T([1j])), TypeError, "not implemented for complex"),
        (lambda: setattr(T([1.0], requires_grad=True), "data", T([1])), RuntimeError, "data: this tensor requires grad"),
        (lambda: setattr(T([1.0], requires_grad=True) * 2, "requires_grad", True), RuntimeError, "only on leaf tensors"),
        (lambda: T(1.0).flatten(1), IndexError, "flatten: dimension 1"),
        (lambda: T([1.0]).clamp_(), RuntimeError, "clamp_: at least one"),
        (lambda: T([1.0, 2.0]).fill_(T([3.0])), RuntimeError, r"fill_: the value must be .* shape \(1,\)"),
        (lambda: T([1.0, 2.0]).scatter_add(0, T([0]), 1.0), TypeError, "argument 'src' must be a Tensor, not float"),
        (lambda: np.sum(tg.ones(2), where=[True, False]), TypeError, "np.sum does not work on tapegrad tensors with these arguments"),
    ],
)
def test_calls_that_pytorch_refuses(function, error, message):
    with pytest.raises(error, match=message):
        function()


@pytest.mark.parametrize("default", [tg.float32, tg.float64])
def test_python_types_as_dtypes(default):
    tg.set_default_dtype(default)
    try:
        found = [tg.zeros(1, dtype=d).dtype for d in (bool, int, float, complex)]
        assert found == [tg.bool, tg.int64, tg.float64, tg.complex128]
        assert tg.ones(1).sum(dtype=float).dtype is tg.ones(1).to(float).dtype is tg.float64
        assert T([1.0]).dtype is T(1.0).dtype is default
        assert T(1j).dtype is (tg.complex64 if default is tg.float32 else tg.complex128)
    finally:
        tg.set_default_dtype(tg.float32)


def test_a_gradient_with_a_graph_accumulates_in_place():
    x = T([1.0, 2.0], requires_grad=True)
    (x**2).sum().backward(create_graph=True)
    first = x.grad
    (x**2).sum().backward()
    assert x.grad is first
    assert (first.tolist(), first.requires_grad) == ([4, 8], True)


def test_flatten_of_a_vector_is_itself():
    x = tg.ones(3)
    assert x.flatten() is x
    assert T(1.0).flatten().shape == (1,)


def test_deep_copies_share_memory_as_the_originals_do():
    t = T([1.0, 2.0, 3.0])
    a, b, c = copy.deepcopy([t[1:], t[:2], t.expand(2, 3)])
    b[1] = 9
    assert (a.tolist(), c.tolist(), t.tolist()) == ([9, 3], [[1, 9, 3]] * 2, [1, 2, 3])
    assert a._version == b._version == 1


def test_numpy_calls_with_their_own_arguments():
    t = tg.ones(2, 3, requires_grad=True)
    assert np.sum(t, dtype=np.float64).dtype is tg.float64
    assert np.mean(t, 0, np.float64).dtype is tg.float64
    assert np.cumsum(t).tolist() == [1, 2, 3, 4, 5, 6]
    assert np.expand_dims(t, (0, -1)).shape == (1, 2, 3, 1)
    assert np.expand_dims(t, 1).shape == (2, 1, 3)


VALUES = {
    "sign of NaN": (lambda: tg.sign(T([NAN, -0.0, 2.0, -3.0])), [0, 0, 1, -1]),
    "heaviside of NaN": (lambda: tg.heaviside(T([NAN]), T([1.0])), [0]),
    "shift of unsigned": (lambda: tg.bitwise_right_shift(T([255], dtype=tg.uint8), T([9], dtype=tg.uint8)), [0]),
    "shift of signed": (lambda: tg.bitwise_right_shift(bytes_(-5), bytes_(9)), [-1]),
    "arange of short integers": (lambda: tg.arange(0.1, -7.9, -4.0, dtype=tg.int32), [0, -4]),
    "arange of integers": (lambda: tg.arange(0.0, -8.000001, -4.0, dtype=tg.int64), [0, -4]),
    "linspace of integers": (lambda: tg.linspace(4.3, -3, 5, dtype=tg.int64), [4, 2, 0, -1, -3]),
    "numbers only": (lambda: tg.add(1, 2) + tg.mul(2, 3) - tg.sub(1, 2) + tg.floor_divide(7, 2), 13),
    "division of numbers": (lambda: tg.div(7, 2), 3.5),
    "differences of order 0": (lambda: tg.diff(T([1, 2]), 0, prepend=T([0])), [1, 2]),
    "tensordot broadcasts": (lambda: tg.tensordot(tg.ones(1, 1, 1), tg.ones(2, 1, 2), dims=[[0, 1], [2, 0]]), [[4]]),
    "mask of bytes": (lambda: tg.where(T([1, 0], dtype=tg.uint8), 1.0, 2.0), [1, 2]),
    "truth of a number": (lambda: T([False, False]).masked_fill(MASK, 10), [True, False]),
    "places from the end": (lambda: tg.take_along_dim(T([[1, 2, 3]]), T([[-1, 0]]), 1), [[3, 1]]),
    "a single class": (lambda: F.multi_margin_loss(T(1.0), T(0)), 0),
    "diagonal": (lambda: tg.zeros(4, 2).fill_diagonal_(1.0, wrap=True), [[1, 0], [0, 1], [0, 0], [1, 0]]),
    "diagonal of a cube": (lambda: tg.zeros(2, 2, 2).fill_diagonal_(1.0), [[[1, 0], [0, 0]], [[0, 0], [0, 1]]]),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_as_in_pytorch(name):
    function, expected = VALUES[name]
    assert function().tolist() == expected


def test_what_is_a_copy_and_what_is_none():
    x = tg.arange(12.0).reshape(3, 4)
    assert tg.ravel(x).data_ptr() == x.data_ptr()
    assert tg.ravel(x[:, ::2]).data_ptr() != x.data_ptr()
    assert tg.cartesian_prod(x[0]).data_ptr() == x.data_ptr()
    assert x[1:].storage_offset() == 4


@pytest.mark.parametrize("functional", [F.softmax, F.log_softmax, F.softmin])
@pytest.mark.parametrize(("shape", "dim"), [((), 0), ((3,), 0), ((2, 3), 1), ((2, 3, 2), 0), ((2, 3, 1, 2), 1)])
def test_softmax_without_dim_warns(functional, shape, dim):
    x = tg.arange(float(np.prod(shape))).reshape(shape)
    with pytest.warns(UserWarning, match=f"give dim={dim}"):
        found = functional(x)
    assert tg.equal(found, functional(x, dim))


@pytest.mark.parametrize(
    ("mistake", "error", "match"),
    [
        (lambda: tg.ones(4, dtype=tg.int64).polygamma_(1), RuntimeError, "polygamma_: .*floating-point.*int64"),
        (lambda: tg.ones(4).narrow(0, T([1, 2]), 2), RuntimeError, r"narrow: start must be .*\(2,\)"),
        (lambda: tg.ones(4).hsplit("abc"), TypeError, "must be an integer or integers, got 'abc'"),
        (lambda: tg.kl_div(tg.ones(2), tg.ones(2), 3), ValueError, "kl_div: reduction must be 0 .none., 1 .mean. or 2 .sum., got 3"),
        (lambda: tg.ones(2).fill_diagonal_(1.0), RuntimeError, r"fill_diagonal_: .*\(2,\)"),
    ],
)
def test_mistakes(mistake, error, match):
    with pytest.raises(error, match=match):
        mistake()
