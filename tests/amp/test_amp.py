"""Mixed precision: who casts, regions, gradients, the scaler."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import amp, casting, optim
from tapegrad.nn import functional as F
from tapegrad.public import FUNCTIONS
from tapegrad.registry import REGISTRY


def square(dtype=tg.float32, **options):
    return tg.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=dtype, **options)


def test_who_casts():
    x, low = square(), square(tg.bfloat16)
    with amp.autocast("cpu"):
        lower = [x @ x, x.mm(x), F.linear(x, x), tg.addmm(x, low, x), F.conv1d(x, x[:, :, None]), tg.einsum("ij,jk", x, x)]
        wide = [F.mse_loss(low, low), F.cross_entropy(low, tg.tensor([0, 1])), low.prod(), F.pad(low, (1, 0), mode="replicate")]
        alike = [low + 1, low.sum(), low.exp(), F.pad(low, (1, 0)), F.layer_norm(low, (2,)), F.softmax(low, 1)]
        widest = [low + x, tg.cat([low, x]), tg.index_copy(low, 0, tg.tensor([0]), x[:1])]
        double = square(tg.float64)
        kept = [double @ double, F.mse_loss(double, double)]
        vectors = tg.dot(x[0], x[0])
    assert {t.dtype for t in lower} == {tg.bfloat16}
    assert {t.dtype for t in wide} == {tg.float32}
    assert {t.dtype for t in alike} == {tg.bfloat16}
    assert {t.dtype for t in widest} == {tg.float32}
    assert {t.dtype for t in kept} == {tg.float64}
    assert vectors.dtype is tg.float32
    with amp.autocast("cpu"):
        fine = tg.full((2, 2), 1 + 2**-9).addmm_(x, x, alpha=0)  # bfloat16 has 8 bits
    assert fine.tolist() == [[1 + 2**-9] * 2] * 2
    assert (x @ x).dtype is tg.float32


def test_the_table_names_functions_that_exist_once():
    assert casting.POLICIES.keys() <= FUNCTIONS.keys()
    assert casting._ONLY_WHEN.keys() <= casting.POLICIES.keys()
    assert casting.GPU_POLICIES.keys() <= FUNCTIONS.keys()
    assert REGISTRY.keys() >= casting.GPU_OPS
    for table in (casting._TABLE, casting._GPU_TABLE):
        lists = [name for names in table.values() for name in names.split()]
        assert len(lists) == len(set(lists))


def test_regions_nest_and_belong_to_a_thread():
    x = square()
    seen = []
    with amp.autocast("cpu"):
        seen.append(((x @ x).dtype, tg.is_autocast_enabled("cpu"), tg.get_autocast_dtype("cpu")))
        with amp.autocast("cpu", enabled=False):
            seen.append(((x @ x).dtype, tg.is_autocast_enabled("cpu")))
            with amp.autocast("cpu", dtype=tg.float16):
                seen.append(((x @ x).dtype, tg.get_autocast_dtype("cpu")))
        other = threading.Thread(target=lambda: seen.append((x @ x).dtype))
        other.start()
        other.join()
        with pytest.raises(RuntimeError, match="don't fit"):
            x @ tg.ones(3)
        seen.append((x @ x).dtype)  # a failed call leaves the region on
    seen.append(((x @ x).dtype, tg.is_autocast_enabled("cpu")))
    low, full, half = tg.bfloat16, tg.float32, tg.float16
    assert seen == [(low, True, low), (full, False), (half, half), full, low, (full, False)]


def test_as_a_decorator():
    @tg.autocast("cpu")
    def product(x):
        return x @ x

    assert product(square()).dtype is tg.bfloat16
    with pytest.raises(TypeError, match="requires a callable, but got int"):
        tg.autocast("cpu")(3)


def test_parameters_get_gradients_in_their_dtype_through_one_cast():
    w = square(requires_grad=True)
    x = tg.tensor([[0.5, 0.25]])
    for cached, casts in ((None, 1), (False, 2)):
        with tg.record() as tape, amp.autocast("cpu", cache_enabled=cached):
            loss = F.mse_loss(x @ w @ w, tg.zeros(1, 2))
        shapes = [row.shape for row in tape if row.op == "to" and row.dtype == "bfloat16"]
        assert shapes.count((2, 2)) == casts
        (grad,) = tg.autograd.grad(loss, w)
        (exact,) = tg.autograd.grad(F.mse_loss(x @ w @ w, tg.zeros(1, 2)), w)
        assert grad.dtype is tg.float32
        np.testing.assert_allclose(grad, exact, rtol=2**-6)


def test_a_written_parameter_is_cast_again():
    w = square(requires_grad=True)
    with amp.autocast("cpu"):
        before = w @ w
        with tg.no_grad():
            w.zero_()
            assert (w @ w).tolist() == [[0, 0], [0, 0]]
        assert (w @ w).tolist() == [[0, 0], [0, 0]] != before.tolist()


def test_mistaken_regions():
    with pytest.raises(ValueError, match="Expected `device_type` of type `str`"):
        amp.autocast(3)
    with pytest.raises(RuntimeError, match="unsupported autocast device_type 'tpu'"):
        amp.autocast("tpu")
    with pytest.warns(UserWarning, match="CUDA is not available. Disabling"):
        region = amp.autocast("cuda")
    with region:
        assert (square() @ square()).dtype is tg.float32
    with pytest.warns(UserWarning, match="target dtype is not supported. Disabling autocast"), amp.autocast("cpu", dtype=tg.float64):
        assert not tg.is_autocast_enabled("cpu")


def test_custom_functions_may_ask_for_float32():
    class Square(tg.autograd.Function):
        @staticmethod
        @amp.custom_fwd(device_type="cpu", cast_inputs=tg.float32)
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x @ x

        @staticmethod
        @amp.custom_bwd(device_type="cpu")
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g @ x.T + x.T @ g

    x = square(tg.bfloat16, requires_grad=True)
    with amp.autocast("cpu"):
        y = Square.apply(x)
    y.sum().backward()
    assert (y.dtype, x.grad.dtype) == (tg.float32, tg.bfloat16)


def test_the_scaler_skips_steps_that_overflowed_and_grows():
    p = tg.tensor([1.0, 2.0], requires_grad=True)
    optimizer = optim.SGD([p], lr=1.0)
    scaler = amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)
    path = []
    for slope in (1.0, np.inf, 0.5, 0.5):
        optimizer.zero_grad()
        scaler.scale((p * slope).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        path.append((p.tolist(), scaler.get_scale()))
    assert path == [([0, 1], 8), ([0, 1], 4), ([-0.5, 0.5], 4), ([-1, 0], 8)]
    again = amp.GradScaler("cpu")
    again.load_state_dict(scaler.state_dict())
    assert again.state_dict() == scaler.state_dict()
    assert scaler.state_dict()["_growth_tracker"] == 0


def test_unscaled_gradients_can_be_clipped_once():
    p = tg.tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([p], lr=1.0)
    scaler = amp.GradScaler("cpu")
    first, second = scaler.scale([p.sum(), 2 * p.sum()])
    (first + second).backward()
    scaler.unscale_(optimizer)
    assert p.grad.item() == 3
    with pytest.raises(RuntimeError, match="already been called"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    assert p.item() == -2
    with pytest.raises(RuntimeError, match="step.. has already been called"):
        scaler.step(optimizer)
    half = tg.ones(1, dtype=tg.float16, requires_grad=True)
    half.grad = tg.ones(1, dtype=tg.float16)
    with pytest.raises(ValueError, match="unscale FP16 gradients"):
        scaler.unscale_(optim.SGD([half]))


def test_a_disabled_scaler_does_nothing():
    with pytest.warns(UserWarning, match="CUDA is not available"):
        scaler = amp.GradScaler()
    p = tg.tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([p], lr=1.0)
    loss = p.sum()
    assert scaler.scale(loss) is loss
    loss.backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert (p.item(), scaler.get_scale(), scaler.state_dict(), scaler.is_enabled()) == (0, 1.0, {}, False)
    with pytest.raises(AssertionError, match=r"The growth factor must be > 1\.0"):
        amp.GradScaler("cpu", growth_factor=1.0)
    with pytest.raises(AssertionError, match="Attempted step but _scale is None"):
        amp.GradScaler("cpu").step(optimizer)
