"""Convolution, pooling, padding and resizing: what samples can't say."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import tapegrad as tg
from tapegrad.nn import functional as F
from tapegrad.tensor import Tensor

NAN, INF = math.nan, math.inf


def double(values: Any) -> Tensor:
    return tg.tensor(values, dtype=tg.float64)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return double(np.random.default_rng(seed).standard_normal(shape))


# ---------------------------------------------------------------------------------------------------------- convolution


def is_transpose(forward: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, back: Tensor) -> bool:
    """<A x, y> = <x, A' y>."""
    left, right = (forward(x) * y).sum().item(), (x * back).sum().item()
    return math.isclose(left, right, rel_tol=1e-10, abs_tol=1e-10)


@given(
    st.integers(1, 2), st.integers(1, 6), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2), st.integers(1, 2), st.integers(1, 2), st.integers(0, 2)
)
def test_a_transposed_convolution_is_the_transpose(
    dims: int, size: int, kernel: int, stride: int, padding: int, dilation: int, groups: int, extra: int
) -> None:
    conv, transposed = getattr(F, f"conv{dims}d"), getattr(F, f"conv_transpose{dims}d")
    extra = min(extra, max(stride, dilation) - 1)
    out = (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + extra + 1
    if out < 1 or (extra >= stride and (out + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1 != size):
        return  # then the convolution has another number of windows
    w = normal(2 * groups, 2, *[kernel] * dims)
    y = normal(2, 2 * groups, *[size] * dims, seed=1)
    x = normal(2, 2 * groups, *[out] * dims, seed=2)
    back = transposed(y, w, None, stride, padding, extra, groups, dilation)
    assert is_transpose(lambda v: conv(v, w, None, stride, padding, dilation, groups), x, y, back)


def test_a_one_by_one_convolution_is_a_product_of_channels() -> None:
    x, w = normal(2, 3, 4, 5), normal(6, 3, 1, 1, seed=1)
    expected = np.einsum("oc,nchw->nohw", w.numpy()[:, :, 0, 0], x.numpy())
    np.testing.assert_allclose(F.conv2d(x, w).numpy(), expected, rtol=1e-13)


def test_convolution_adds_16_bit_floats_in_32_bits() -> None:
    x, w = tg.ones(1, 64, 65, dtype=tg.float16), tg.ones(1, 64, 65, dtype=tg.float16)
    assert F.conv1d(x, w).tolist() == [[[4160.0]]]  # adding ones in float16 would stop at 2048


def test_same_padding_puts_the_odd_zero_at_the_end() -> None:
    x = double([[[1.0, 2.0, 3.0]]])
    assert F.conv1d(x, double([[[1.0, 10.0]]]), padding="same").tolist() == [[[21.0, 32.0, 3.0]]]


# -------------------------------------------------------------------------------------------------------------- pooling


@pytest.mark.parametrize("window", [{"kernel_size": 3, "stride": 1, "padding": 1}, {"kernel_size": 4, "stride": 1, "padding": 2}])
def test_nan_is_the_maximum(window: dict[str, Any]) -> None:
    values, indices = F.max_pool1d(double([[1.0, NAN, 3.0, NAN, 2.0, 5.0, 4.0]]), **window, return_indices=True)
    reach = [range(max(i - window["padding"], 0), min(i - window["padding"] + window["kernel_size"], 7)) for i in range(values.shape[1])]
    assert np.isnan(values.numpy()[0]).tolist() == [1 in r or 3 in r for r in reach]
    assert [i for i, r in zip(indices[0].tolist(), reach, strict=True) if 3 in r] == [3] * sum(3 in r for r in reach)


def test_nan_is_the_maximum_of_one_long_window() -> None:
    x = double([[[1.0, NAN, 3.0], [NAN, 2.0, 5.0]]])
    value, index = F.adaptive_max_pool2d(x, 1, return_indices=True)
    assert math.isnan(value.item()) and index.item() == 3  # the last, as in PyTorch


@pytest.mark.parametrize("value", [-INF, INF, 2.0])
def test_of_equal_elements_the_first_is_the_maximum(value: float) -> None:
    x = double([[[value] * 3] * 3]).requires_grad_()
    values, indices = F.max_pool2d(x, 3, 1, 1, return_indices=True)
    assert values.tolist() == x.tolist()
    assert indices.tolist() == [[[0, 0, 1], [0, 0, 1], [3, 3, 4]]]
    values.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[[4.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 0.0]]]


def test_an_infinity_stays_in_its_windows() -> None:
    x = double([[1.0, INF, 2.0, 3.0]])
    assert F.avg_pool1d(x, 2, 1).tolist() == [[INF, INF, 2.5]]
    assert F.adaptive_avg_pool1d(x, 2).tolist() == [[INF, 2.5]]
    assert F.adaptive_avg_pool1d(x, 1).tolist() == [[INF]]
    assert F.interpolate(x[None], 4, mode="linear").tolist() == x[None].tolist()


def test_integer_averages_round_towards_zero() -> None:
    assert F.avg_pool1d(tg.tensor([[-1, -2, 2, 1, 5, 0]]), 2).tolist() == [[-1, 1, 2]]
    assert F.avg_pool2d(tg.tensor([[[1, 2], [3, 5]]]), 2, divisor_override=-2).tolist() == [[[-5]]]


def test_a_mean_is_divided_once() -> None:
    for size in (3, 7, 49):
        assert F.avg_pool2d(tg.ones(1, size, size), size).item() == 1.0


def test_the_gradient_of_a_norm_of_zeros_is_zero() -> None:
    x = double([[0.0, 0.0, 3.0, 4.0]]).requires_grad_()
    F.lp_pool1d(x, 2, 2).sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), [[0.0, 0.0, 0.6, 0.8]], rtol=1e-15)


def test_unpooling_puts_maxima_back() -> None:
    x = normal(2, 3, 6, 5)
    values, indices = F.max_pool2d(x, 2, return_indices=True)
    back = F.max_unpool2d(values, indices, 2, output_size=x.shape)
    kept = back != 0
    assert kept.sum().item() == values.numel()
    assert back[kept].tolist() == x[kept].tolist()


def test_of_values_with_one_index_the_last_is_put_back_and_gets_the_gradient() -> None:
    v = double([[1.0, 2.0, 3.0]]).requires_grad_()
    out = F.max_unpool1d(v, tg.tensor([[4, 4, 0]]), 2)
    assert out.tolist() == [[3.0, 0.0, 0.0, 0.0, 2.0, 0.0]]
    out.sum().backward()
    assert v.grad is not None
    assert v.grad.tolist() == [[0.0, 1.0, 1.0]]


def test_fractional_windows_follow_the_generator() -> None:
    x = normal(1, 8, 9, 9)

    def run(seed: int) -> list[Any]:
        tg.manual_seed(seed)
        return F.fractional_max_pool2d(x, 2, 5).tolist()  # type: ignore[no-any-return]

    assert run(3) == run(3)
    assert run(3) != run(4)


def test_fractional_windows_lie_inside_for_every_sample() -> None:
    x = tg.arange(9.0).reshape(1, 1, 9).expand(1, 9, 9).contiguous()
    for u in (0.0, 0.5, 1 - 2**-24):
        samples = tg.full((1, 1, 2), u)
        out = F.fractional_max_pool2d(x, 2, 4, _random_samples=samples)
        columns = out[0, 0].tolist()
        assert columns == sorted(columns) and columns[0] >= 1 and columns[-1] == 8


# ------------------------------------------------------------------------------------------------ padding and resizing


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_padding_by_nothing_is_a_copy(mode: str) -> None:
    x = tg.ones(2, 3)
    y = F.pad(x, (0, 0), mode)
    y[0, 0] = 5.0
    assert x.tolist() == [[1.0] * 3] * 2


@pytest.mark.parametrize("name", ["pixel_shuffle", "pixel_unshuffle", "channel_shuffle"])
def test_shuffling_is_a_copy_also_where_it_moves_nothing(name: str) -> None:
    x = tg.ones(1, 2, 2, 2)
    y = getattr(F, name)(x, 1)
    y[0, 0, 0, 0] = 5.0
    assert y.tolist() != x.tolist() == [[[[1.0, 1.0]] * 2] * 2]


def test_shuffling_nothing_gives_the_right_shape() -> None:  # PyTorch 2.13 does not
    assert F.pixel_shuffle(tg.ones(0, 8, 2, 3), 2).shape == (0, 2, 4, 6)
    assert F.pixel_unshuffle(tg.ones(0, 2, 4, 6), 2).shape == (0, 8, 2, 3)


def test_fold_counts_overlaps() -> None:
    counts = F.fold(F.unfold(tg.ones(1, 1, 3, 3), 2), 3, 2)
    assert counts.tolist() == [[[[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]]]


def test_resizing_a_line_with_aligned_corners_keeps_it_a_line() -> None:
    x = tg.linspace(0, 1, 5, dtype=tg.float64).reshape(1, 1, 5)
    np.testing.assert_allclose(F.interpolate(x, 9, mode="linear", align_corners=True)[0, 0].numpy(), np.linspace(0, 1, 9), atol=1e-15)


def test_resizing_long_signals_to_little_is_precise() -> None:
    x = tg.full((1, 1, 100_001), 0.1)
    assert math.isclose(F.adaptive_avg_pool1d(x, 1).item(), float(np.float32(0.1)), rel_tol=3e-7)


def test_upsample_is_interpolate() -> None:
    x = normal(1, 2, 3, 3)
    assert F.upsample(x, 5, mode="bilinear").tolist() == F.interpolate(x, 5, mode="bilinear").tolist()
    assert F.upsample_nearest(x, scale_factor=2).tolist() == F.interpolate(x, scale_factor=2).tolist()
    assert F.upsample_bilinear(x, 5).tolist() == F.interpolate(x, 5, mode="bilinear", align_corners=True).tolist()


# ------------------------------------------------------------------------------------------------------------- sampling


def test_the_identity_grid_samples_the_image_itself() -> None:
    x = normal(2, 3, 4, 5)
    theta = double([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]).expand(2, 2, 3)
    for aligned in (False, True):
        grid = F.affine_grid(theta, x.shape, align_corners=aligned)
        for mode in ("bilinear", "nearest", "bicubic"):
            np.testing.assert_allclose(F.grid_sample(x, grid, mode, align_corners=aligned).numpy(), x.numpy(), atol=1e-14)


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize(("padding_mode", "expected"), [("zeros", [0.0, 0.0, 0.0]), ("border", [1.0, 3.0, 1.0])])
def test_positions_far_away_are_outside(mode: str, padding_mode: str, expected: list[float]) -> None:
    x = double([[[[1.0, 2.0, 3.0]] * 3]]).requires_grad_()
    grid = double([[[[-INF, 0.0], [INF, 0.0], [-1e300, 0.0]]]]).requires_grad_()
    out = F.grid_sample(x, grid, mode, padding_mode, align_corners=True)
    np.testing.assert_allclose(out[0, 0, 0].detach().numpy(), expected, atol=1e-14)
    out.sum().backward()
    assert x.grad is not None and grid.grad is not None
    assert np.isfinite(x.grad.numpy()).all()
    assert grid.grad[..., 0].tolist() == [[[0.0] * 3]]


def test_a_nan_position_is_minus_one() -> None:
    x = double([[[[1.0, 2.0, 3.0]]]])
    at = [F.grid_sample(x, double([[[[place, 0.0]]]]), align_corners=True).item() for place in (NAN, -1.0)]
    assert at == [1.0, 1.0]
