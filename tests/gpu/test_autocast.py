"""Which dtypes functions compute in under ``autocast("cuda")``: PyTorch's lists for GPUs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import Tensor, amp, nn

F = nn.functional


@pytest.fixture(params=[tg.float16, tg.float32], ids=str)
def x(request: pytest.FixtureRequest, cuda: Any) -> Tensor:
    return (tg.arange(12.0).reshape(3, 4) / 16 + 0.125).to(cuda, request.param)


@pytest.mark.parametrize("dtype", [tg.float16, tg.bfloat16], ids=str)
@pytest.mark.parametrize(
    "call",
    [
        lambda x: x @ x.T, lambda x: F.linear(x, x), lambda x: x.mv(x[0]), lambda x: tg.einsum("ij,kj->ik", x, x), lambda x: x[:, 0].addmv(x, x[0]),
        lambda x: F.conv1d(x[None], x[:, :, None].transpose(0, 1)[:1].expand(2, 3, 1)), lambda x: x.addmm(x, x.T @ x),
        lambda x: F.scaled_dot_product_attention(x[None], x[None], x[None]), lambda x: F.prelu(x, x[0, :1]),
    ],
)  # fmt: skip
def test_products_compute_in_the_lower_dtype(x: Tensor, call: Callable[..., Any], dtype: Any) -> None:
    with amp.autocast("cuda", dtype=dtype):
        assert call(x).dtype is dtype


@pytest.mark.parametrize(
    "call",
    [
        *[lambda x, name=name: getattr(x, name)() for name in
          "acos asin cosh erfinv exp expm1 log log10 log1p log2 reciprocal rsqrt sinh tan sum prod norm".split()],
        lambda x: tg.exp(x), lambda x: x**2, lambda x: 2.0**x, lambda x: x**x, lambda x: x.softmax(-1), lambda x: F.log_softmax(x, dim=0),
        lambda x: x.cumsum(0), lambda x: x.cumprod(1), lambda x: x.sum(0, keepdim=True), lambda x: x.logsumexp(1), lambda x: F.softplus(x),
        lambda x: F.layer_norm(x, (4,)), lambda x: F.group_norm(x[None], 3), lambda x: F.rms_norm(x, (4,)), lambda x: F.cosine_similarity(x, x, dim=0),
        lambda x: F.mse_loss(x, x), lambda x: F.cross_entropy(x, tg.tensor([0, 1, 3], device=x.device)), lambda x: F.kl_div(x, x),
        lambda x: F.binary_cross_entropy_with_logits(x, x), lambda x: tg.cdist(x, x), lambda x: F.interpolate(x[None], 2),
    ],
)  # fmt: skip
def test_what_a_few_bits_would_spoil_computes_in_float32(x: Tensor, call: Callable[..., Any]) -> None:
    with amp.autocast("cuda"):
        assert call(x).dtype is tg.float32
        assert call(x.double()).dtype is tg.float64


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x + 1, lambda x: x * x, lambda x: F.relu(x), lambda x: F.gelu(x), lambda x: x.mean(), lambda x: x.sqrt(), lambda x: x.max(),
        lambda x: x.sigmoid(), lambda x: x.tanh(), lambda x: F.interpolate(x[None], 2, mode="area"), lambda x: x.exp_(), lambda x: tg.outer(x[0], x[0]),
        lambda x: F.avg_pool3d(x[None, None], 1), lambda x: F.pad(x[None], (1, 1), mode="reflect"), lambda x: tg.dot(x[0], x[0]),
    ],
)  # fmt: skip
def test_others_take_tensors_as_they_are(x: Tensor, call: Callable[..., Any]) -> None:
    with amp.autocast("cuda"):
        assert call(x).dtype is x.dtype


def test_of_two_dtypes_the_wider_one(cuda: Any) -> None:
    a, b = tg.ones(3, device=cuda), tg.ones(3, dtype=tg.float16, device=cuda)
    with amp.autocast("cuda"):
        for made in (tg.dot(a, b), tg.atan2(a, b), tg.addcmul(b, a, b), tg.tensordot(b, a, 1), b.scatter_add(0, tg.tensor([0, 1], device=cuda), a)):
            assert made.dtype is tg.float32


def test_losses_of_probabilities_are_refused(cuda: Any) -> None:
    p = tg.full((2,), 0.5, device=cuda)
    with amp.autocast("cuda"):
        with pytest.raises(RuntimeError, match="binary_cross_entropy is unsafe to autocast"):
            F.binary_cross_entropy(p, p)
        assert F.binary_cross_entropy(p.cpu(), p.cpu()).dtype is tg.float32
        with amp.autocast("cuda", enabled=False):
            assert F.binary_cross_entropy(p, p).dtype is tg.float32
    assert tg.exp(p.half()).dtype is tg.float16


def test_gradients_have_the_dtypes_of_inputs(cuda: Any) -> None:
    x = tg.linspace(0.1, 1, 4, device=cuda).half().requires_grad_()
    with amp.autocast("cuda"):
        y = (x.exp().sum() + x.softmax(0)[0]) * 2
    y.backward()
    assert y.dtype is tg.float32 and x.grad.dtype is tg.float16
    values = x.detach().cpu().double().requires_grad_()
    ((values.exp().sum() + values.softmax(0)[0]) * 2).backward()
    assert x.grad.cpu().double().allclose(values.grad, rtol=2e-3)
    with amp.autocast("cpu"):
        assert x.exp().dtype is tg.float16 and x.cpu().exp().dtype is tg.float16


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_compute_in_the_lower_dtype_as_a_whole(kind: Any) -> None:
    tg.manual_seed(0)
    layer, x = kind(6, 8, 2, bidirectional=True).to("cuda"), tg.randn(5, 3, 6).to("cuda")
    exact = layer(x)[0]
    exact.sum().backward()
    expected = layer.weight_ih_l0.grad.cpu().numpy()
    layer.zero_grad()
    with tg.autocast("cuda", dtype=tg.bfloat16):
        out, _ = layer(nn.functional.linear(x, tg.eye(6, device="cuda")))
    assert out.dtype is tg.bfloat16
    out.float().sum().backward()
    grad = layer.weight_ih_l0.grad
    assert grad.dtype is tg.float32
    np.testing.assert_allclose(out.detach().float().cpu().numpy(), exact.detach().cpu().numpy(), atol=2**-6)
    np.testing.assert_allclose(grad.cpu().numpy(), expected, atol=2**-6 * np.abs(expected).max())
